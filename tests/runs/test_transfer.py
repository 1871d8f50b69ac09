"""A transfer sweep: jobs that differ in their data are tested on each other's test parts; no failure stops it."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from mammo.evaluation.predictions import read_predictions
from mammo.reports import transfer as tables
from mammo.reports.transfer_runs import FAILED
from mammo.run_folder import RunFolder
from mammo.runs import job, sweep, transfer
from tests.conftest import SHARES, SMALL, resolved

ROOT = Path(__file__).parents[2]
SIDES = ("left", "right")


@pytest.fixture(scope="module")
def folder(phantom, tmp_path_factory):
    """The jobs of a sweep over the breasts of the phantom, by windows of lesions, tested on each other."""
    folder = tmp_path_factory.mktemp("sweep")
    own = [*SMALL[:-1], SHARES, f"data.root={phantom.root}", "model=compact", "model.image_size=32", "heads=[]"]
    own += ["trainer.max_epochs=1", "trainer.precision=32-true", "crop=lesion", "augment=none", "data.batch_size=4"]
    for side in SIDES:
        words = [*{line.partition("=")[0]: line for line in own}.values(), f"data.laterality={side}"]
        said = sweep.said(["sweep=transfer", *words])
        job.run(resolved(*words), folder / side, said, of_sweep=True)
    (folder / "jobs.json").write_text(json.dumps(SIDES))
    assert transfer.test_all(folder) == []
    return folder


@pytest.mark.slow
def test_a_column_has_the_same_windows_in_each_row(folder):
    own = RunFolder(folder / "right").samples.query("split == 'test'")
    other = RunFolder(folder / "tests/left/right").samples
    columns = ["image_id", "finding_id", "x_px", "y_px", "label"]
    pd.testing.assert_frame_equal(own[columns].reset_index(drop=True), other[columns].reset_index(drop=True))
    assert set(other["finding_id"]) > {0}  # backgrounds are in the same places, too
    table = read_predictions(folder / "tests/left/right/predictions.csv")[0]
    assert set(table["split"]) == {"test"} and set(table["image_id"]) == set(own["image_id"])


@pytest.mark.slow
def test_the_matrix_is_written_and_a_patient_whose_other_breast_was_learnt_is_a_leak(folder):
    """Left and right films are split apart, so some patients have trained by one and are tested by the other."""
    assert tables.write(folder) == folder / "transfer.md"
    found = pd.read_csv(folder / "transfer.csv").set_index(["head", "trained_on", "tested_on"])
    assert set(found.index.get_level_values("tested_on")) == {"laterality=left", "laterality=right"}
    crossed = found.loc["softmax", "laterality=left", "laterality=right"]
    assert -1 <= crossed["minus_own"] <= 1 and crossed[["minus_own_low", "minus_own_high"]].isna().all()  # one is ill
    assert f"{crossed['minus_own']:+.3f} (no interval)" in (folder / "transfer.md").read_text()
    left, right = (RunFolder(folder / side).split for side in SIDES)
    assert set(left.query("split != 'test'")["patient"]) & set(right.query("split == 'test'")["patient"])
    assert "same name in the same data set" in crossed["leaks"]


@pytest.mark.slow
def test_tests_that_exist_are_not_repeated(folder):
    path = folder / "tests/left/right/predictions.csv"
    before = path.stat().st_mtime_ns
    assert transfer.test_all(folder) == [] and path.stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_test_that_fails_is_named_and_done_when_the_sweep_goes_on(folder):
    kept, path = folder / "left/checkpoints/best.ckpt", folder / "tests/left/right"
    (path / "finished.json").unlink()
    kept.rename(kept.with_suffix(".away"))
    assert transfer.test_all(folder) == ["tests/left/right"]
    assert "best.ckpt" in json.loads((path / FAILED).read_text())["error"]
    assert "## Failed" in tables.write(folder).read_text()
    kept.with_suffix(".away").rename(kept)
    assert transfer.test_all(folder) == [] and not (path / FAILED).exists()
    assert "## Failed" not in tables.write(folder).read_text()


def of_sweep(folder, name="transfer"):
    hydra = {"sweep": {"dir": str(folder)}, "runtime": {"choices": {"sweep": name}, "output_dir": str(folder / "job")}}
    return OmegaConf.create({"hydra": hydra})


def test_a_job_that_fails_is_noted_and_the_sweep_goes_on(tmp_path):
    (tmp_path / "job").mkdir()
    for name, status in (("transfer", JobStatus.COMPLETED), ("folds", JobStatus.FAILED)):
        ended = JobReturn(status=JobStatus.FAILED, _return_value=ValueError("no\nfilms"))
        sweep.Leaderboard().on_job_end(of_sweep(tmp_path, name), ended)
        assert ended.status == status
    assert json.loads((tmp_path / "job" / FAILED).read_text()) == {"error": "no films"}
    sweep.Leaderboard().on_job_end(of_sweep(tmp_path), JobReturn(status=JobStatus.COMPLETED))
    assert not (tmp_path / "job" / FAILED).exists()


def test_a_sweep_of_one_data_set_is_refused_before_it_trains(tmp_path, capsys):
    config = of_sweep(tmp_path)
    record = {"sweeper": {"params": None}, "overrides": {"task": ["seed=0,1", "data.fold=0,1"], "hydra": []}}
    config.hydra = OmegaConf.merge(config.hydra, record)
    with pytest.raises(SystemExit):
        sweep.Leaderboard().on_multirun_start(config)
    assert "data=mias,phantom" in capsys.readouterr().err


@pytest.mark.slow
def test_a_transfer_sweep_by_the_command_line_trains_once_and_names_the_job_that_failed(phantom, tmp_path):
    own = [*SMALL, SHARES, f"data.root={phantom.root}", "model=compact", "model.image_size=32", "heads=[]"]
    own += ["data.laterality=left,right", "data.view=MLO,CC", f"hydra.sweep.dir={tmp_path}", "data.batch_size=4"]
    words = list({line.partition("=")[0]: line for line in own}.values())
    line = [sys.executable, str(ROOT / "train.py"), "-m", "sweep=transfer", *words]
    for command in (line, [sys.executable, str(ROOT / "train.py"), f"resume={tmp_path}"]):
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        assert ended.returncode == 2 and "2 jobs or tests failed" in ended.stderr
        text = (tmp_path / "transfer.md").read_text()
        assert text.count("no image has this view") == 2 and "laterality=left" in text and "not tested" not in text
    assert ended.stdout.count("finished before, not run again") == 2
    assert ended.stdout.count("tested before, not repeated") == 2
