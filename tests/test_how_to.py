"""The page on extensions does what it says: its files are written as they stand, checked, and trained with."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib

import pandas as pd
import pytest

from mammo import __version__
from mammo.run_folder import RunFolder
from mammo.runs.compose import config_of
from mammo.runs.train import train
from tests.clinic import Clinic
from tests.conftest import CONF

ROOT = CONF.parent
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "docs/how-to/extend.md").read_text(), re.MULTILINE | re.DOTALL)
NAMED = [(text.partition("\n")[0].removeprefix("# "), text) for kind, text in BLOCKS if kind in ("python", "yaml")]
DRAWN = "draw_films.py"
FILES = {name: text for name, text in NAMED if name not in ("check", DRAWN)}
CHECKS = [text for name, text in NAMED if name == "check"]
LINES = [shlex.split(text.replace("\\\n", "")) for kind, text in BLOCKS if kind == "sh"]
SMALL = ["model.weights=null", "model.image_size=32", "data.batch_size=4", "data.workers=0", "trainer.max_epochs=1",
         "split.shares=[0.4,0.3,0.3]", "augment=none", "trainer.precision=32-true", "hydra.run.dir=run"]  # fmt: skip


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A folder with the files of the page, films of 16 bits and their table of boxes."""
    folder = tmp_path_factory.mktemp("lab")
    clinic = Clinic(root=str(folder / "clinic"), patients=12)
    clinic.prepare()
    table = clinic.findings()
    table = table[table["mask_path"].isna() & table["severity"].notna()]
    shutil.copytree(folder / "clinic" / "films", folder / "films")
    edges = table[["x0_px", "y0_px", "x1_px", "y1_px"]].set_axis(["left", "top", "right", "bottom"], axis=1)
    ill = table["severity"].map({"malignant": "yes"})
    ill.loc[ill[ill == "yes"].index[:1]] = "no"
    boxes = table[["image_id", "patient", "laterality"]].rename(columns={"image_id": "image"}).join(edges)
    boxes.assign(malignant=ill).to_csv(folder / "films" / "boxes.csv", index=False)
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def mammo(tmp_path_factory):
    """Runs `mammo` as `pip install .` leaves it, with no checkout in sight."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "installed"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("mammo", "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, str(source)], check=True, capture_output=True)

    for part in ("mammo", "conf"):  # every file is there
        place = target / "mammo" / ("" if part == "mammo" else part)
        wanted = [one for one in (source / part).rglob("*") if one.suffix in (".py", ".yaml", ".csv")]
        assert [one for one in wanted if not (place / one.relative_to(source / part)).is_file()] == []

    def run(cwd, *words):
        env = os.environ | {"PYTHONPATH": str(target)}
        command = [str(target / "bin" / "mammo"), *words]
        ended = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    return run


def trained(mammo, lab, line, *more):
    assert line[:2] == ["python", "train.py"]
    shutil.rmtree(lab / "run", ignore_errors=True)
    mammo(lab, "train", *line[2:], *SMALL, *more)
    run = RunFolder(lab / "run")
    assert run.provenance["git_commit"] is None  # the installed package ran
    return run


def test_every_folder_with_files_of_the_program_is_named_as_a_package():
    """A package that is not named is not installed, as `-m slow` tries."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    files = [*(ROOT / "mammo").rglob("*.py"), *CONF.rglob("*.yaml")]
    folders = {file.parent.relative_to(ROOT).parts for file in files}
    assert sorted(named) == sorted(".".join(one if one[0] == "mammo" else ("mammo", *one)) for one in folders)


@pytest.mark.slow
def test_an_installed_package_explains_itself(mammo, tmp_path):
    assert mammo(tmp_path, "--version").strip() == __version__
    assert "crop.window_mm" in mammo(tmp_path, "train", "--help")


@pytest.mark.slow
def test_an_installed_package_trains_on_the_phantom_in_an_empty_folder(mammo, tmp_path):
    mammo(tmp_path, "train", "data=phantom", "model=compact", "data.patients=16", *SMALL)
    assert [one.name for one in tmp_path.iterdir()] == ["run"] and (tmp_path / "run" / "report.md").is_file()


def test_each_extension_is_short():
    assert len(FILES) == 5 and all(text.count("\n") < 35 for text in FILES.values())


@pytest.mark.slow
def test_films_can_be_drawn_for_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_lab.py").write_text(FILES["my_lab.py"])
    exec(dict(NAMED)[DRAWN].replace("patients=20", "patients=2"), {})
    exec(next(text for text in CHECKS if "check_dataset" in text), {})


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda text: text.split("check_")[-1].partition("(")[0])
def test_each_extension_keeps_its_contract(lab, check, monkeypatch):
    monkeypatch.chdir(lab)
    monkeypatch.syspath_prepend(str(lab))
    (lab / "check.py").write_text(check)
    runpy.run_path("check.py")


def has_the_boxes(run, lab):
    assert set(run.samples["image_id"]) <= set(pd.read_csv(lab / "films" / "boxes.csv")["image"])
    assert (run.samples["finding_id"] == 1).any()


@pytest.mark.slow
def test_films_of_sixteen_bits_with_boxes_train_in_this_process(lab, unreported, monkeypatch, tmp_path):
    """The line of the page starts it here; with `-m slow`, the installed package does."""
    monkeypatch.chdir(lab)
    monkeypatch.syspath_prepend(str(lab))
    line = next(line for line in LINES if "data.spacing_mm=0.1" in line)
    train(config_of([*line[2:], "model=compact", "heads=[knn]", *SMALL[:-1]], {}), tmp_path)
    has_the_boxes(RunFolder(tmp_path), lab)


@pytest.mark.slow
def test_films_of_sixteen_bits_with_boxes_train(mammo, lab):
    line = next(line for line in LINES if "data.spacing_mm=0.1" in line)
    has_the_boxes(trained(mammo, lab, line, "model=compact", "heads=[knn]"), lab)


@pytest.mark.slow
def test_all_extensions_train_together(mammo, lab):
    run = trained(mammo, lab, LINES[-1])
    assert (run.config.model.name, run.config.loss.name, run.config.task.name) == ("resnet34", "generalised", "mass")
    assert {"forest"} < set(run.predictions()[0]["head"])
    has_the_boxes(run, lab)
