"""Several archives are trained on together by one command, and what leaks between them is said before all numbers."""

import sys
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mammo
from mammo.api import Run
from mammo.archives.vindr import VinDr
from mammo.auditing import hashes
from mammo.auditing.hashes import read_grey
from mammo.cli import audit as audit_cli
from mammo.cli.train import checked
from mammo.config import Config
from mammo.datasets.phantom import Phantom
from mammo.datasets.union import Union
from mammo.errors import InputError
from mammo.processes.devices import plan_of
from mammo.runs import audit as audits
from mammo.runs import job
from mammo.runs import train as training
from mammo.runs.compose import config_of
from tests.archives import fake_vindr
from tests.conftest import SHARES, prepared_of, resolved

pytestmark = pytest.mark.slow

CHEAP = ["model=compact", "model.image_size=32", "trainer.max_epochs=1", "heads=[]", "data.workers=0",
         "data.batch_size=4", "crop=whole"]  # fmt: skip


@pytest.fixture(scope="module")
def copies(phantom, tmp_path_factory):
    """A table of mirrored copies of phantom films, small ones, whose patients have other names; it brings a split."""
    folder, found = tmp_path_factory.mktemp("lab"), phantom.findings().drop_duplicates("image_id")
    rows = []
    for number, film in enumerate(found.head(24).itertuples()):
        small = cv2.resize(phantom.read(film.image_id).pixels, (512, 512), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"c{number}.png"), np.ascontiguousarray(small[:, ::-1]))
        split = ("train", "test")[number // 2 % 2]
        rows.append([f"c{number}.png", f"Q{number // 2}", film.severity, split])
    rows.append(["c0.png", "Q99", "normal", "test"])  # a copy of a copy, so that its own split leaks
    (folder / "again.png").write_bytes((folder / "c0.png").read_bytes())
    rows[-1][0] = "again.png"
    pd.DataFrame(rows, columns=["path", "patient", "severity", "split"]).to_csv(folder / "copies.csv", index=False)
    return folder / "copies.csv"


def trained(words, folder, monkeypatch):
    words = checked([*words, *CHEAP])
    monkeypatch.setattr(sys, "argv", ["mammo/__main__.py", *words])
    job.run(config_of(words, {}), folder, {}, of_sweep=True)
    return Run(folder)


def test_copies_in_another_archive_are_a_leak_of_the_run_and_stand_in_its_first_lines(
    phantom, copies, tmp_path, monkeypatch, caplog
):
    caplog.set_level("INFO")
    parts = f"data.parts=[{{name: phantom, patients: 16, root: {phantom.root}}},{{name: table, table: {copies}}}]"
    run = trained(["data=union", parts, SHARES], tmp_path / "run", monkeypatch)
    crossing = run.split_audit["pixels_in_two_splits"]
    (leak,) = run.leaks
    assert (leak.kind, leak.n) == ("pixels_in_two_splits", len(crossing)) and 0 < leak.n <= 25
    again = run.find_leaks(*run.predictions())
    assert again == [leak]
    split = run.split.set_index("image_id")["split"]
    assert all(split[one] != split[other] for one, other in crossing)
    lines = run.report.splitlines()
    assert lines[0] == "# abnormality by compact on phantom and copies"
    assert lines[2].startswith("**The films of phantom are synthetic")
    assert "split=patient" in lines[4] and f"in two splits (n = {leak.n})" in lines[5]
    assert lines[7].startswith("- Test samples of each data set: phantom ") and "; copies " in lines[7]
    assert lines[8].startswith("- Labels of the test samples rest on") and "of phantom, " in lines[8]
    assert "\n| dataset copies | " in run.report and "\n| dataset phantom | " in run.report
    assert any("25 pairs of images are the same by their pixels" in note for note in run.provenance["notes"])
    own = run.split["image_id"].str.match("c[0-9]|again")
    sizes = run.split[own].groupby("split")["image_id"].nunique()
    pairs = 32 * 25 + (25**2 - (sizes**2).sum()) // 2  # those of the own films in two parts, too
    assert f"audit across phantom and copies: 57 images, {pairs} pairs" in caplog.text and "Q1" not in caplog.text
    assert run.provenance["dataset"]["licence"].startswith("phantom: ")
    assert "dataset_copies" in pd.get_dummies(prepared_of(run.config).shortcuts())


@pytest.mark.slow
def test_the_split_of_own_films_is_audited_as_brought_and_as_dealt_and_that_of_the_phantom_is_not(
    phantom, copies, tmp_path, monkeypatch
):
    line = ["data=table", f"data.table={copies}"]
    run = trained([*line, "split=official"], tmp_path / "own", monkeypatch)
    assert [(leak.kind, leak.n) for leak in run.leaks] == [("pixels_in_two_splits", 1)]
    assert run.split_audit["pixels_in_two_splits"] == [["c0", "again"]]
    assert "audit across the parts of the split of copies" in run.report and "dataset copies" not in run.report
    dealt = trained([*line, SHARES, "seed=2"], tmp_path / "dealt", monkeypatch)
    parts = dealt.split.set_index("image_id")["split"]
    assert dealt.split_audit["pixels_in_two_splits"] == [["c0", "again"]] and parts["c0"] != parts["again"]
    assert [leak.kind for leak in dealt.leaks] == ["pixels_in_two_splits"]
    config = resolved("data=phantom", "data.patients=16", f"data.root={phantom.root}", SHARES, *CHEAP)
    prepared = prepared_of(config)
    audits.audit(prepared, config)
    assert "pixels_in_two_splits" not in prepared.audit and not prepared.said


@pytest.mark.slow
def test_opened_data_sets_are_trained_on_from_python(phantom, tmp_path):
    other = Phantom(root=str(tmp_path / "other"), patients=8, film_seed=3)
    films = Union([Phantom(root=str(phantom.root), patients=16), other])
    given = mammo.split(films, shares=[0.5, 0.25, 0.25])
    run = mammo.train(films, given, model="compact", crop="whole", heads=[], out=tmp_path / "run",
                      settings=[word for word in CHEAP if "." in word])  # fmt: skip
    assert run.leaks == [] and run.report.startswith("# abnormality by compact on phantom-1 and phantom-2")
    assert run.asked.data.parts[1] == {
        "name": "phantom",
        "root": str(tmp_path / "other"),
        "patients": 8,
        "film_seed": 3,
    }
    audit = mammo.audit(films, given)
    assert audit.leaks == [] and audit.compared.startswith("48 images of 24 patients")


def test_a_wrong_part_is_refused_before_anything_is_read():
    with pytest.raises(InputError, match=r"data\.parts, phantom: data\.seed is no setting"):
        checked(["data=union", "data.parts=[mias,{name: phantom, seed: 3}]", *CHEAP])


@pytest.mark.slow
def test_an_audit_of_the_films_beforehand_saves_the_hashing_of_the_first_run(tmp_path, monkeypatch):
    """A file in the working directory that is named like the table of the archive changes nothing."""
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    fake_vindr.write(tmp_path / "films")
    settings = f"data.root={tmp_path / 'films'}"
    CliRunner().invoke(audit_cli.app, ["films", "vindr", settings, "--sheet", str(tmp_path / "leaks.png")])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / VinDr.table).touch()
    monkeypatch.chdir(tmp_path / "other")
    read = []
    monkeypatch.setattr(hashes, "read_grey", lambda path: read.append(path) or read_grey(path))
    config = resolved("data=vindr", settings, "split=official", *CHEAP)
    prepared = prepared_of(config)
    audits.audit(prepared, config)
    assert prepared.said[-1].startswith("audit across the parts of the split of vindr") and not read


@pytest.mark.slow
def test_the_audit_can_be_left_out_and_the_report_says_so(copies, tmp_path, monkeypatch):
    line = ["data=table", f"data.table={copies}", "data.audit=false"]
    run = trained([*line, "split=official"], tmp_path / "own", monkeypatch)
    assert run.leaks == [] and "data.audit=false: films were not compared" in run.report


def test_all_processes_of_a_job_enter_the_audit(phantom, tmp_path, monkeypatch):
    """A process that went on alone would wait for the first one in its process group, at most 30 minutes."""

    def entered(*_):
        raise InterruptedError

    plan = plan_of(Config().trainer)
    monkeypatch.setattr(training, "plan_of", lambda _: replace(plan, devices=2, rank=1))
    monkeypatch.setattr(training, "audit", entered)
    monkeypatch.setattr(training, "build_task", None)  # it would go on to the process group
    line = ["data=phantom", "data.patients=16", f"data.root={phantom.root}"]
    with pytest.raises(InterruptedError):
        training.train(resolved(*line, SHARES, *CHEAP), tmp_path)
