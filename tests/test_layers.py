"""Imports go one way, heavy packages are fenced, programs answer at once, and files stay short: a dozen rules."""

import ast
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each package or file of mammo, with all of mammo that it may import.
BELOW = {
    "errors": "paths",
    "paths": "",
    "memory": "",
    "wording": "",
    "cells": "",
    "files": "errors",
    "fields": "errors",
    "detector_config": "errors fields",
    "crop_config": "errors fields",
    "segmentation_config": "errors fields",
    "config": "crop_config detector_config errors fields segmentation_config",
    "targets": "errors",
    "trust": "errors",
    "figures": "files",
    "drawn": "figures",
    "formats": "errors paths processes wording",  # many headers are read by several processes
    "tables": "cells config errors memory",
    "drawing": "",
    "datasets": "cells config drawing errors figures files formats paths tables targets wording",
    "archives": "config datasets errors files formats paths processes tables wording",
    "preprocessing": "crop_config datasets errors files formats paths processes targets wording",
    "models": "config detector_config datasets errors files paths targets",
    "processes": "cells config errors files memory paths trust",
    "tasks": "config detector_config datasets errors models preprocessing processes targets",
    "training": "config detector_config datasets errors files memory models paths preprocessing processes tables "
    "targets tasks wording",
    "evaluation": "config datasets errors files tables wording",
    "run_tables": "errors evaluation files datasets tables wording",
    "run_folder": "config datasets errors evaluation files models processes run_tables trust",
    "reports": "cells config datasets drawn errors evaluation figures files paths run_folder tables wording",
    "auditing": "datasets errors evaluation figures files formats paths preprocessing processes tables wording",
}
UP = {
    "api": {"cli", "bench"},
    "inference": {"cli", "bench", "auditing", "runs", "reports", "explaining"},
    "explaining": {"cli", "bench", "auditing", "runs", "reports"},
    "serving": {"cli", "bench", "auditing"},
    "bench": {"cli"},
    "runs": {"cli", "bench"},  # a run is audited before it trains
    "cli": set(),
    "testing": {"cli", "bench", "auditing"},
}  # not these
FENCED = {  # third-party packages, and who may import them
    "hydra": "cli config runs bench",
    "omegaconf": "cli config runs processes reports",
    "lightning": "runs tasks training processes bench",
    "torch": "models preprocessing processes tasks training bench run_folder runs testing inference explaining",
    "torchvision": "models",
    "torchmetrics": "tasks",
    "sklearn": "models",
    "skops": "models",
    "albumentations": "preprocessing",
    "cv2": "archives drawing formats datasets preprocessing models training auditing bench testing processes "
    "explaining serving",
    "matplotlib": "figures auditing datasets runs explaining",
    "captum": "explaining",
    "imagehash": "auditing",
    "PIL": "auditing",
    "typer": "cli",
    "markdown_it": "reports",
    "optuna": "runs",
    "keras": "bench",
    "yaml": "datasets runs",
    "pydicom": "formats datasets bench inference",
    "highdicom": "inference",
    "gdcm": "formats",
    "onnx_ir": "inference",
    "onnxruntime": "inference bench",
    "openjpeg": "formats",
    "jpeg_ls": "formats",
    "fastapi": "serving cli",  # the command asks if it is there
    "uvicorn": "serving cli",
    "starlette": "serving",
    "python_multipart": "cli",
}
LATE = {  # modules, and the packages that neither they nor what they import may import before they are used
    "runs.train": "sklearn skops albumentations captum onnx_ir onnxruntime highdicom optuna",
    "reports.run": "matplotlib torch lightning hydra sklearn skops pydicom captum scipy.stats scipy.optimize",
    "inference.predict": "torch lightning hydra sklearn skops albumentations matplotlib scipy.stats scipy.optimize",
    "cli.audit": "numpy pandas torch matplotlib",
    "models.task_networks": "lightning torchmetrics sklearn skops matplotlib",
}
LONG: set[str] = set()  # files over 300 lines, each with its reason
LARGEST = 0.15  # share of the lines that a package may have


@cache
def files():
    """The text of each file of the package."""
    return {path.relative_to(ROOT / "mammo"): path.read_text() for path in sorted((ROOT / "mammo").rglob("*.py"))}


def imports(text, here):
    """Names that a file imports: `mammo.x.y` as far as it is a module, and third-party packages."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{here}: expected an absolute import"
            for one in node.names:
                full = f"{node.module}.{one.name}"
                module = ROOT / full.replace(".", "/")
                yield full if module.with_suffix(".py").is_file() or module.is_dir() else str(node.module)


def part_of(path):
    return path.parts[0].removesuffix(".py")


@cache
def imported():
    """The names that each file imports."""
    return {path: sorted(set(imports(text, path))) for path, text in files().items()}


def ours():
    """The folders of the package itself."""
    return {path: {name for name in names if name.split(".")[0] == "mammo"} for path, names in imported().items()}


def test_imports_go_one_way():
    parts = {part_of(path) for path in files()} - {"__init__", "__main__"}
    assert parts <= set(BELOW) | set(UP), "a new package needs its row"
    for path, names in ours().items():
        part, others = part_of(path), {name.split(".")[1] for name in names if "." in name} - {part_of(path)}
        if part in BELOW:
            assert others <= set(BELOW[part].split()), path
        else:
            assert not others & UP.get(part, set()), path


def test_no_file_imports_itself_by_way_of_others():
    module = {".".join(["mammo", *path.with_suffix("").parts]).removesuffix(".__init__"): path for path in files()}
    known = ours()
    left = {name: known[path] & set(module) - {name} for name, path in module.items()}
    while free := [name for name, needs in left.items() if not needs]:
        left = {name: needs - set(free) for name, needs in left.items() if name not in free}
    assert not left, f"a cycle is among {sorted(left)}"


@pytest.mark.parametrize("package", FENCED)
def test_a_third_party_package_is_imported_where_it_belongs(package):
    users = {part_of(path) for path, names in imported().items() if package in {name.split(".")[0] for name in names}}
    assert users <= set(FENCED[package].split())


@pytest.mark.slow
def test_light_modules_stay_light():
    heavy = "{'torch', 'lightning', 'hydra', 'sklearn', 'skops', 'albumentations'}"
    steps = [
        ("mammo, mammo.files, mammo.paths, mammo.errors", f"{heavy} | {{'numpy', 'pandas', 'omegaconf', 'typer'}}"),
        ("mammo.cli.main", f"{heavy} | {{'numpy', 'pandas', 'omegaconf'}}"),
        (
            "mammo.run_folder, mammo.reports.run, mammo.reports.leaderboard",
            f"{heavy} | {{'matplotlib', 'scipy.stats', 'scipy.ndimage'}}",
        ),
        ("mammo.auditing.audit, mammo.datasets.registry", heavy),
        (
            "mammo.models.task_networks, mammo.processes.checkpoint_io",  # all that predicting needs of training
            "{'lightning', 'torchmetrics', 'sklearn', 'albumentations'}",
        ),
    ]
    code = "import sys\n" + "".join(
        f"import {names}\nfound = ({barred}) & set(sys.modules)\nassert not found, found\n" for names, barred in steps
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def at_once(name):
    """The names that a module imports before anything in it is used."""
    path = Path("/".join(name.split(".")[1:]))
    text = files().get(path.with_suffix(".py")) or files().get(path / "__init__.py") or ""
    body = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return set(imports("\n".join(map(ast.unparse, body)), path)) if body else set()


@pytest.mark.parametrize("begins", LATE)
def test_what_a_program_does_not_begin_with_is_imported_late(begins):
    known, left = set(), {f"mammo.{begins}"}
    while left:
        known |= left
        left = {name for one in left if one.startswith("mammo.") for name in at_once(one)} - known
    assert len(known) > 3
    every = {".".join(name.split(".")[:2]) for name in known} | {name.split(".")[0] for name in known}
    assert not every & set(LATE[begins].split())


def test_the_programs_answer_at_once():
    for words, seconds in ((["train.py", "--help"], 2), (["-m", "mammo", "--help"], 0.7)):
        before = os.times()
        subprocess.run([sys.executable, *words], check=True, cwd=ROOT, capture_output=True)
        after = os.times()  # of the processor: a busy machine makes nobody slower
        assert after.children_user + after.children_system - before.children_user - before.children_system < seconds


def test_no_file_is_long():
    lengths = {path.as_posix(): text.count("\n") for path, text in files().items()}
    assert {name for name, length in lengths.items() if length > 300} == LONG
    assert max(lengths.values()) < 330


def test_no_package_holds_too_much():
    lines = {}
    for path, text in files().items():
        lines[part_of(path)] = lines.get(part_of(path), 0) + text.count("\n")
    largest = max(lines, key=lines.get)
    assert lines[largest] < LARGEST * sum(lines.values()), largest
