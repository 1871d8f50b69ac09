"""Imports go one way, and heavy or fenced packages are touched where the design says."""

import ast
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mammo"

# Which parts of the package each module may import, beside `mammo` itself.
ALLOWED = {
    "": set(),
    "data": set(),
    "data.index": set(),
    "data.download": {"files"},
    "data.images": set(),
    "data.tasks": {"data.index"},
    "data.cache": {"files"},
    "data.mix": set(),
    "data.augment": {"data.mix"},
    "data.gan": {"data.augment", "data.cache", "data.mias"},
    "data.mias": {"data.download", "data.images", "data.index"},
    "data.drawing": {"data.mias"},
    "data.phantom": {"data.drawing", "data.images", "data.mias", "files"},
    "data.datasets": {"data.mias", "data.phantom"},
    "data.split": {"data.index", "data.tasks"},
    "data.squares": {"data.cache", "data.images"},
    "data.crop": {"data.squares", "data.tasks"},
    "data.trunk": {"data.cache", "data.images", "data.samples"},
    "data.samples": {"data.augment", "data.crop", "data.images", "data.mix"},
    "data.summary": {"data.mias", "data.tasks", "figures"},
    "data.hashes": {"data.mias", "files"},
    "data.duplicates": {"data.hashes"},
    "data.inventory": {"data.index", "data.mias"},
    "data.audit": {"data.datasets", "data.duplicates", "data.hashes", "data.index", "data.inventory", "figures"},
    "data.planted": {"data.audit", "data.duplicates", "data.hashes", "data.inventory"},
    "data.datamodule": {
        "cluster", "data.augment", "data.crop", "data.datasets", "data.gan",
        "data.images", "data.index", "data.mias", "data.samples", "data.split", "data.tasks", "data.trunk",
    },
    "backbones": set(),
    "models": {"backbones", "weights"},
    "losses": set(),
    "weights": set(),
    "files": set(),
    "figures": {"files"},
    "predictions": {"files"},
    "cluster": set(),
    "checkpoints": {"cluster", "files"},
    "devices": {"checkpoints", "cluster"},
    "heads": {"files"},
    "classifier": {"checkpoints", "losses", "models"},
    "guard": {"data.datamodule", "data.samples", "data.tasks"},
    "callbacks": {"checkpoints", "data.datamodule", "heads", "predictions"},
    "evaluation": set(),
    "evaluation.significance": set(),
    "evaluation.claim": set(),
    "evaluation.verdict": {"evaluation.claim"},
    "evaluation.audit": {"evaluation.answers", "evaluation.operating", "predictions"},
    "evaluation.intervals": set(),
    "evaluation.operating": set(),
    "evaluation.answers": {"evaluation.operating", "predictions"},
    "evaluation.metrics": {"data.tasks", "evaluation.answers", "evaluation.intervals", "evaluation.operating"},
    "evaluation.units": {"data.tasks", "evaluation.answers"},
    "evaluation.judged": {
        "data.index", "evaluation.answers", "evaluation.intervals", "evaluation.metrics", "evaluation.operating",
        "evaluation.tables",
    },
    "evaluation.curves": {"evaluation.intervals", "evaluation.metrics"},
    "evaluation.tables": {"evaluation.answers", "evaluation.intervals", "evaluation.metrics"},
    "evaluation.systems": {
        "evaluation.answers", "evaluation.audit", "evaluation.intervals", "evaluation.metrics",
        "evaluation.operating", "predictions",
    },
    "evaluation.comparison": {
        "evaluation.answers", "evaluation.intervals", "evaluation.significance", "evaluation.systems",
        "evaluation.tables",
    },
    "evaluation.leaderboard": {
        "evaluation", "evaluation.answers", "evaluation.comparison", "evaluation.intervals",
        "evaluation.systems", "evaluation.tables", "figures", "files", "predictions",
    },
    "evaluation.dial": {
        "evaluation.answers", "evaluation.intervals", "evaluation.systems", "evaluation.tables",
        "figures", "files", "predictions",
    },
    "evaluation.tuning": {"evaluation.tables", "files", "predictions"},
    "evaluation.literature": {
        "data.tasks", "evaluation.answers", "evaluation.audit", "evaluation.systems", "evaluation.tables",
        "evaluation.units", "files", "predictions",
    },
    "evaluation.strata": {
        "evaluation.answers", "evaluation.intervals", "evaluation.metrics", "evaluation.operating",
    },
    "evaluation.report": {
        "data.index", "data.tasks", "evaluation", "evaluation.answers", "evaluation.audit", "evaluation.curves",
        "evaluation.intervals", "evaluation.judged", "evaluation.leaderboard", "evaluation.metrics",
        "evaluation.operating", "evaluation.strata", "evaluation.tables", "evaluation.units", "figures", "files",
        "predictions",
    },
    "settings": {
        "data.index", "data.tasks", "evaluation", "evaluation.operating", "evaluation.units", "heads", "predictions",
    },
    "choices": set(),
    "resume": {"cluster", "files"},
    "sweep": {
        "cluster", "evaluation", "evaluation.dial", "evaluation.leaderboard", "evaluation.literature",
        "evaluation.tuning", "files", "predictions", "resume",
    },
    "training": {
        "callbacks", "classifier", "data.datamodule", "devices", "evaluation", "evaluation.report", "guard", "run",
    },
    "run": {
        "checkpoints", "classifier", "data.datamodule", "data.gan", "data.images", "data.index", "devices", "figures",
        "heads", "predictions", "resume",
    },
    "bench": set(),
    "bench.protocol": set(),
    "bench.machine": {"devices", "predictions"},
    "bench.bare_loop": {"bench.protocol", "devices", "models"},
    "bench.keras_loop": {"bench.protocol"},
    "bench.trainer_loop": {
        "bench.protocol", "classifier", "data.cache", "data.datamodule", "data.trunk", "devices", "run",
    },
    "bench.models": {"backbones", "bench", "bench.machine", "bench.protocol", "devices"},
    "bench.profile": {"bench", "bench.bare_loop", "bench.machine", "bench.models", "devices"},
    "bench.runs": {"bench", "bench.machine", "data.mias"},
    "bench.tables": {"data", "data.audit", "data.index", "data.inventory", "data.split"},
    "bench.growth": {"bench", "bench.machine", "bench.protocol", "data.mias", "figures"},
    "__main__": {
        "bench", "bench.growth", "bench.machine", "bench.models", "bench.profile", "bench.runs", "data", "data.audit",
        "data.cache",
        "data.datasets", "data.mias", "data.planted", "data.summary", "evaluation", "evaluation.leaderboard",
        "evaluation.literature", "evaluation.report", "evaluation.verdict", "figures",
        "sweep",
    },
}  # fmt: skip

# Packages that only these modules may import.
FENCED = {
    "albumentations": {"data.augment"},
    "torchvision": {"backbones", "weights"},
    "torch": {
        "data.cache",
        "data.squares",
        "data.gan",
        "data.samples",
        "data.datamodule",
        "data.trunk",
        "bench.bare_loop",
        "bench.models",
        "bench.profile",
        "bench.trainer_loop",
        "backbones",
        "models",
        "weights",
        "losses",
        "classifier",
        "callbacks",
        "checkpoints",
        "devices",
    },
    "lightning": {
        "data.datamodule",
        "classifier",
        "callbacks",
        "checkpoints",
        "devices",
        "guard",
        "run",
        "training",
        "bench.trainer_loop",
    },
    "sklearn": {"heads"},
    "skops": {"heads"},
    "hydra": {"choices", "settings", "sweep", "bench.machine"},
    "threadpoolctl": {"heads"},
    "statsmodels": {"evaluation.significance"},
    "imagehash": {"data.hashes"},
    "matplotlib": {"figures", "data.summary", "run"},
}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_every_module_is_in_the_table():
    assert set(modules()) == set(ALLOWED)


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_a_module_imports_only_what_its_layer_allows(name):
    known = modules()
    ours = set()
    for target in imported(known[name]):
        if target.startswith("mammo."):
            inner = target.removeprefix("mammo.")
            while inner not in known and "." in inner:  # `mammo.data.split.PARTS` is the module `data.split`
                inner = inner.rpartition(".")[0]
            ours |= {inner} & set(known)
    assert ours - {name} <= ALLOWED[name], f"mammo.{name} imports {sorted(ours - ALLOWED[name])}"


@pytest.mark.parametrize("package", sorted(FENCED))
def test_a_fenced_package_stays_behind_its_fence(package):
    users = {name for name, path in modules().items() if any(t.split(".")[0] == package for t in imported(path))}
    assert users == FENCED[package]


def output(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, check=True).stdout


def test_importing_mammo_loads_nothing_heavy():
    code = "import sys, mammo; print(sorted(m for m in ('torch', 'numpy', 'pandas', 'lightning') if m in sys.modules))"
    assert output("-c", code) == "[]\n"


def test_train_help_answers_within_two_seconds():
    def seconds() -> float:
        start = time.perf_counter()
        assert "Trains, evaluates and reports" in output("train.py", "--help")
        return time.perf_counter() - start

    assert min(seconds() for _ in range(3)) < 2.0


def test_every_local_link_of_the_readme_exists():
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\(((?!http)[^)]+)\)", text)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert links and [link for link in links if link not in anchors and not (ROOT / link).exists()] == []
