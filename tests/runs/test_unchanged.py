"""A run goes on, and a sweep is added to, with the findings and the split that were there at its beginning alone."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest

from mammo.datasets.film import read_film
from mammo.datasets.phantom import Phantom
from mammo.datasets.registry import open_dataset
from mammo.errors import InputError
from mammo.files import write_table
from mammo.preprocessing.cutting import VERSION, read_by
from mammo.processes import resume
from mammo.runs import job, unchanged
from mammo.runs.train import train
from mammo.training.prepare import split_of
from tests.conftest import SHARES, SMALL, resolved
from tests.processes.test_resume import stop_at


@pytest.fixture
def config(phantom):
    words = [*SMALL, f"data.root={phantom.root}", SHARES, "model=compact", "model.image_size=32", "heads=[]"]
    return resolved(*words, "ckpt_path=last")


@pytest.fixture
def findings(config):
    return open_dataset(config.data).findings()


def begun(folder, config, findings, split=None):
    """The records of a job that has begun."""
    folder.mkdir(parents=True)
    write_table(split_of(findings, config) if split is None else split, folder / "split.csv")
    known = {"config": config.as_dict() | {"ckpt_path": None}, unchanged.KEY: unchanged.findings_digest(findings)}
    (folder / "provenance.json").write_text(json.dumps(known))
    return folder


def other_labels(findings):
    return findings.assign(severity=findings["severity"].replace({"normal": "benign", "benign": "normal"}))


CHANGES = {
    "2 images are gone": lambda findings: findings[findings["patient"] != findings["patient"].iloc[0]],
    "labels, places": other_labels,
    "1 image is of another patient": lambda findings: findings.assign(
        patient=findings["patient"].where(findings["image_id"] != findings["image_id"].iloc[0], "another")
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_does_not_go_on_with_other_findings(config, findings, tmp_path, change):
    folder, now = begun(tmp_path / "run", config, findings), CHANGES[change](findings)
    unchanged.check_unchanged(folder, config, findings, split_of(findings, config))
    with pytest.raises(InputError, match=f"run was begun with other data: .*{change}.*; restore the table"):
        unchanged.check_unchanged(folder, config, now, split_of(now, config))
    unchanged.check_unchanged(folder, replace(config, ckpt_path=None), now, split_of(now, config))  # begun anew


def test_a_run_does_not_go_on_with_another_split(config, findings, tmp_path):
    split = split_of(findings, config)
    folder = begun(tmp_path / "run", config, findings)
    turned = split.assign(split=split["split"].replace({"train": "test", "test": "train"}))
    with pytest.raises(InputError, match="images are in another part of the split"):
        unchanged.check_unchanged(folder, config, findings, turned)


def test_rows_in_another_order_and_films_at_another_path_are_the_same_findings(findings):
    moved = findings.iloc[::-1].assign(path="elsewhere/" + findings["path"], mask_path=pd.NA)
    assert unchanged.findings_digest(moved) == unchanged.findings_digest(findings)


def test_a_trained_run_does_not_go_on_after_its_labels_were_changed(config, unreported, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 1)
        with pytest.raises(SystemExit):
            train(config, tmp_path)
    honest = Phantom.findings
    monkeypatch.setattr(Phantom, "findings", lambda self: other_labels(honest(self)))
    with pytest.raises(InputError, match="begun with other data"):
        train(config, tmp_path)


@pytest.fixture
def films():
    numbers = [[f"m{n}", 64, 0.2, "", 0.5 + n / 9, np.nan] for n in range(8)]
    return pd.DataFrame(numbers, columns=["image_id", "height", "spacing_mm", "notes", "mean", "edges"])


@pytest.mark.parametrize(("column", "other"), [("mean", 0.7), ("height", 65), ("edges", 0.5)])
def test_a_run_does_not_go_on_with_other_pixels_under_the_same_name(films, tmp_path, column, other):
    known = {"preprocessing": {"cutting": VERSION} | read_by()}
    (tmp_path / "provenance.json").write_text(json.dumps(known))
    unchanged.check_same_films(tmp_path, films)  # an older run, which wrote no films
    write_table(films.drop(columns="edges") if column != "edges" else films, tmp_path / "films.csv")
    rounded = films.assign(mean=films["mean"] + 1e-5, spacing_mm=0.3, notes="read elsewhere").iloc[::-1]
    unchanged.check_same_films(tmp_path, rounded[rounded["image_id"] != "m1"])
    now = films.assign(**{column: films[column].astype(float).mask(films["image_id"] == "m3", other)})
    with pytest.raises(InputError, match=r"other films: the pixels of 1 image differ \(m3\); restore the files"):
        unchanged.check_same_films(tmp_path, now)
    (tmp_path / "provenance.json").write_text(json.dumps({"preprocessing": {"cutting": VERSION - 1}}))
    unchanged.check_same_films(tmp_path, now)  # another version describes films otherwise


def test_a_trained_run_does_not_go_on_after_a_film_was_replaced(config, findings, unreported, tmp_path, monkeypatch):
    rows = findings.drop_duplicates("image_id")[["image_id", "patient", "severity", "laterality", "view"]]
    for image_id, path in zip(rows["image_id"], findings.drop_duplicates("image_id")["path"], strict=True):
        small = cv2.resize(read_film(path).pixels, (128, 128), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(tmp_path / f"{image_id}.png"), small)
    write_table(rows.assign(path=rows["image_id"] + ".png"), tmp_path / "films.csv")
    words = ["data=table", f"data.table={tmp_path / 'films.csv'}", "data.audit=false", "crop=whole", "ckpt_path=last"]
    words += ["model=compact", "model.image_size=32", "heads=[]", "trainer.max_epochs=2", "data.workers=0", SHARES]
    config, run = resolved(*words, "data.batch_size=4"), tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_at(patch, 1)
        with pytest.raises(SystemExit):
            train(config, run)
    before, (first, second) = (run / "films.csv").read_bytes(), sorted(tmp_path.glob("*.png"))[:2]
    kept = first.read_bytes()
    shutil.copy(second, first)
    with pytest.raises(InputError, match=f"other films: the pixels of 1 image differ .{first.stem}"):
        train(config, run)
    assert (run / "films.csv").read_bytes() == before
    first.write_bytes(kept)
    train(config, run)


def test_a_job_of_a_sweep_does_not_begin_with_other_findings_than_the_jobs_beside_it(config, findings, tmp_path):
    (tmp_path / "multirun.yaml").touch()
    begun(tmp_path / "fold0", replace(config, data=replace(config.data, fold=0)), findings)
    own, now = replace(config, data=replace(config.data, fold=1)), other_labels(findings)
    unchanged.check_unchanged(tmp_path / "fold1", own, findings, split_of(findings, own))
    with pytest.raises(InputError, match="fold0 was begun with other data"):
        unchanged.check_unchanged(tmp_path / "fold1", own, now, split_of(now, own))
    another = replace(own, data=replace(own.data, view="MLO"))  # which may have other findings
    unchanged.check_unchanged(tmp_path / "fold1", another, now, split_of(now, another))


def test_a_finished_job_is_not_skipped_after_its_findings_were_changed(config, findings, tmp_path, monkeypatch):
    folder = begun(tmp_path / "run", config, findings)
    resume.finish(folder, config, {"test/softmax/auroc": 0.5})
    unchanged._findings.cache_clear()
    assert job.run(config, folder, {}, of_sweep=True)[1] == {"test/softmax/auroc": 0.5}
    unchanged._findings.cache_clear()
    monkeypatch.setattr(Phantom, "findings", lambda _: other_labels(findings))
    with pytest.raises(InputError, match="begun with other data"):
        job.run(config, folder, {}, of_sweep=True)
    unchanged._findings.cache_clear()
    monkeypatch.setattr(Phantom, "findings", lambda _: 1 / 0)  # films that are not here any more
    assert job.run(config, folder, {}, of_sweep=True)[1] == {"test/softmax/auroc": 0.5}
    unchanged._findings.cache_clear()
