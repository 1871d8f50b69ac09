"""The external test: a run as it is, on films that it has not seen; its leaks, grounds and errors."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mammo
from mammo.cli.main import app
from mammo.datasets.film import write_pgm
from mammo.datasets.findings import SAMPLE
from mammo.datasets.phantom import Phantom
from mammo.datasets.union import Union
from mammo.evaluation.predictions import read_predictions
from mammo.run_folder import RunFolder
from mammo.runs import external_data
from mammo.runs import learnt as learning

FAST = ["data.workers=0", "data.batch_size=8", "model.image_size=32", "trainer.max_epochs=1"]
FAST += ["trainer.precision=32-true", "split.shares=[0.5,0.25,0.25]", "augment=none"]


@pytest.fixture(scope="module")
def run(phantom, tmp_path_factory):
    """A run on whole breasts of the phantom."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return mammo.train(phantom, model="compact", heads=["logistic"], out=out, settings=FAST)


@pytest.fixture(scope="module")
def windows(phantom, tmp_path_factory):
    """A run on windows of lesions of the phantom."""
    out = tmp_path_factory.mktemp("runs") / "windows"
    return mammo.train(phantom, crop="lesion", model="compact", heads=[], out=out, settings=FAST)


@pytest.fixture(scope="module")
def others(phantom, tmp_path_factory):
    """Twelve patients with noise on their films, and so other pixels, as a table of a laboratory."""
    folder, rng = tmp_path_factory.mktemp("lab"), np.random.default_rng(0)
    table = phantom.findings().drop(columns=["dataset", "finding_id"])
    table = table[table["patient"].isin(sorted(set(table["patient"]))[:12])]
    for path in table["path"].unique():
        film = phantom.read(Path(path).stem).pixels
        noise = rng.integers(0, 20, film.shape, np.uint8)
        write_pgm(folder / Path(path).name, np.where(film > 30, np.minimum(film, 235) + noise, film).astype(np.uint8))
    table = table.assign(path=table["path"].map(lambda path: Path(path).name), severity_source="birads")
    table = table.assign(image_id="lab-" + table["image_id"], patient=table["patient"].str.replace("phantom", "P"))
    table.to_csv(folder / "lab.csv", index=False)
    return folder / "lab.csv"


@pytest.fixture(scope="module")
def tested(run, others, tmp_path_factory):
    """The test of the run on these patients."""
    table = mammo.datasets.Table(str(others))
    return mammo.test(run, table, out=tmp_path_factory.mktemp("tests") / "lab")


def predictions(folder, part="test"):
    table, _ = read_predictions(folder / "predictions.csv")
    table = table[table["split"] == part].sort_values(["head", *SAMPLE]).reset_index(drop=True)
    return table


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run", pytest.param("windows", marks=pytest.mark.slow)])
def test_the_runs_own_test_part_is_predicted_as_the_run_did(name, phantom, request, tmp_path):
    """Network, heads, crop, threshold and both baselines, with backgrounds at the same places."""
    own = request.getfixturevalue(name)
    again = mammo.test(own, phantom, own.path / "split.csv", out=tmp_path / "again")
    ours, theirs = predictions(own.path), predictions(again.path)
    pd.testing.assert_frame_equal(ours.drop(columns="fold"), theirs.drop(columns="fold"), atol=1e-5, rtol=0)
    columns = ["x_px", "y_px", "size_px", "mean_grey"]
    both = own.samples.merge(again.samples, on=SAMPLE[:3], suffixes=("", "_again"), validate="one_to_one")
    assert len(both) == len(again.samples) > 0
    np.testing.assert_allclose(both[columns], both[[f"{one}_again" for one in columns]])
    assert again.metrics("test")["softmax"] == own.metrics("test")["softmax"]
    assert again.leaks == []


@pytest.mark.slow
def test_the_folder_has_what_a_run_has(tested, run):
    names = {str(one.relative_to(tested.path)) for one in tested.path.rglob("*") if one.is_file()}
    assert names >= {"predictions.csv", "samples.csv", "films.csv", "metrics.json", "report.md", "provenance.json"}
    assert names >= {f"figures/{one}.png" for one in ("roc_softmax", "confusion_logistic", "reliability")}
    assert set(tested.samples["split"]) == {"test"} and tested.samples["image_id"].nunique() == 24
    assert tested.metrics("test", "patient")["logistic"]["auroc"].value is not None
    assert "softmax" in str(mammo.evaluate(tested.path / "predictions.csv"))
    frozen = tested.numbers
    assert frozen["operating"] == run.numbers["operating"]
    assert frozen["by_patient"]["operating"] == run.numbers["by_patient"]["operating"]


@pytest.mark.slow
def test_a_test_is_compared_with_another_one_at_the_choices_of_its_run(tested, run, tmp_path):
    shutil.copytree(tested.path, tmp_path / "copy")
    facts = json.loads((tmp_path / "copy/provenance.json").read_text())
    facts["external_test"]["run"] = str(run.path)
    (tmp_path / "copy/provenance.json").write_text(json.dumps(facts))
    assert "+0.000 (+0.000 to +0.000)" in mammo.compare(tested, tmp_path / "copy")
    table, classes = tested.predictions()
    assert tested.choices(table, classes) == run.choices(*run.predictions())


def test_the_first_lines_name_both_sides_the_grounds_and_the_leaks(tested, run):
    first = tested.report.partition("\n## ")[0]
    assert "trained on phantom, tested on lab" in first and "**The films of phantom are synthetic" in first
    learnt = run.samples[run.samples["split"] != "test"]
    assert f"Trained on phantom: n = {len(learnt)} samples of {learnt['patient'].nunique()} patients" in first
    assert "n = 24 samples of 12 patients" in first and "BI-RADS, a reader's guess (24)" in first
    assert (
        "**The labels have other grounds: learnt from grounds that the data set does not state; judged by BI-R" in first
    )
    assert "Leaks: none found" in first
    section = tested.report.partition("## What prevalence does")[2].partition("\n## ")[0]
    for said in ("- Ranking: AUROC", "- Threshold:", "- Prevalence:", "- Probabilities:", "at the run's prevalence"):
        assert said in section


def test_a_report_is_written_again_from_its_tables(tested):
    before = {name: (tested.path / name).read_bytes() for name in ("report.md", "metrics.json")}
    (tested.path / "report.md").unlink()
    assert CliRunner().invoke(app, ["report", str(tested.path)]).exit_code == 0
    assert {name: (tested.path / name).read_bytes() for name in before} == before


def test_a_unit_for_which_the_run_chose_nothing_has_no_threshold(tested, tmp_path):
    facts = json.loads((tested.path / "provenance.json").read_text())
    folder = tested.path.parent / "without"
    shutil.copytree(tested.path, folder)
    del facts["external_test"]["operating"]["patient"]
    (folder / "provenance.json").write_text(json.dumps(facts))
    CliRunner().invoke(app, ["report", str(folder)])
    found = RunFolder(folder)
    assert found.metrics("test", "patient")["softmax"]["sensitivity_at_threshold"].value is None
    assert "The run chose no threshold by patient" in found.report


@pytest.mark.slow
def test_patients_that_the_run_has_learnt_are_a_leak_of_the_first_lines(run, phantom, tmp_path):
    found = mammo.test(run, phantom, out=tmp_path / "leaky")
    learnt = run.split.loc[run.split["split"] != "test", "patient"].nunique()
    assert [(leak.kind, leak.n) for leak in found.leaks] == [("tested_on_learnt", learnt)]
    assert f"(n = {learnt})" in found.report.partition("\n## ")[0]
    assert "have the pixels of images learnt" in found.report


def test_a_learnt_patient_is_known_by_name_and_data_set_or_by_pixels(run):
    samples, learnt = run.samples, partial(learning.tested_on_learnt, run)
    own, ours = (samples[samples["split"].eq("test") == tested].head(4) for tested in (True, False))
    patients = sorted(set(ours["patient"]))
    assert learnt(own) == ([], [])
    grey = ours.assign(mean_grey=0.5)
    assert learnt(grey)[0] == patients  # other films of the same people
    assert learnt(grey.assign(dataset="phantom_dr"))[0] == patients  # names are unique in built-in data sets
    assert learnt(grey.assign(patient=grey["patient"].str.replace("phantom", "phantom_s5"))) == ([], [])
    renamed = ours.assign(patient="x", image_id="y", dataset="copy")
    assert learnt(renamed)[0] == ["x"]
    elsewhere, notes = learnt(grey.assign(dataset="lab"))
    assert elsewhere == [] and f"{len(patients)} tested patients have names that the run has learnt" in notes[0]
    assert not [one for one in patients if one in notes[0]]
    spelt = grey.assign(patient=grey["patient"].str.replace("-0", "_"))
    found, (note,) = learning.almost_learnt(run, spelt, learnt(spelt)[0])
    assert found == {"almost_learnt": sorted(set(spelt["patient"]))} and note.startswith(f"**{len(patients)} tested")
    assert learning.almost_learnt(run, grey, patients) == learning.almost_learnt(run, own, []) == ({}, [])


def test_a_film_under_the_names_of_two_images_is_told(run):
    own = run.samples[run.samples["split"].eq("test")].drop_duplicates("image_id").head(4)
    twice = own.head(3).assign(image_id=["c1", "c2", "c3"], patient="x", contrast=[*own["contrast"].head(2), 0.0])
    assert learning.copies(twice.assign(image_id="one")).empty  # windows of one image
    assert list(learning.copies(pd.concat([own, twice]))["other"]) == list(own["image_id"].head(2))  # the third is grey
    (note,) = learning.tested_on_learnt(run, pd.concat([own, twice]))[1]
    assert note.startswith(f"**2 tested images have the pixels of another one, such as c1 those of {own.iloc[0, 0]}")


def test_patients_of_the_runs_that_lent_its_weights_count_too(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    other = run.samples.head(3).assign(patient=["a-1", "a-2", "a-3"], dataset="a", mean_grey=0.5)
    (tmp_path / "run/learnt.csv").write_text("patient,dataset,run\na-1,b,x\na-2,,x\na-3,a,x\n")
    found, notes = learning.tested_on_learnt(RunFolder(tmp_path / "run"), other)
    assert found == ["a-2", "a-3"]  # a-2 may be of any data set
    assert len(notes) == 1 and notes[0].startswith("1 tested patient has names")


@pytest.mark.parametrize(("seed", "tested", "n"), [(0, 0, 3), (0, 1, 0), (1, 0, 0), (1, 1, 3)])
def test_a_phantom_of_another_seed_shows_other_patients(run, blank, tmp_path, seed, tested, n):
    """A donor has learnt patients of a seed, and those of a seed are tested; no pixel is the same."""
    of = {
        one: Phantom(root=str(tmp_path / str(one)), patients=3, film_seed=one).findings().drop_duplicates("patient")
        for one in {seed, tested}
    }
    shutil.copytree(run.path, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    folder.samples.assign(patient="x").to_csv(folder.path / "samples.csv", index=False)  # its own are others
    folder.write_learnt(of[seed].assign(run="donor"))
    samples = run.samples.head(3).assign(mean_grey=0.5, patient=of[tested]["patient"].to_numpy())
    assert len(learning.tested_on_learnt(folder, samples)[0]) == n


@pytest.mark.slow
def test_the_shortcuts_take_the_data_set_only_if_it_tells_the_same_in_run_and_test(phantom, tmp_path):
    """A run on a union keeps it on the union's own test part; on one archive, and the other way, it is left out."""
    other = Phantom(root=str(tmp_path / "other"), patients=8, film_seed=3)
    films = Union([phantom, other])
    own = mammo.train(films, model="compact", heads=[], out=tmp_path / "union", settings=FAST)
    again = mammo.test(own, films, own.path / "split.csv", out=tmp_path / "again")
    pd.testing.assert_frame_equal(
        predictions(own.path).drop(columns="fold"), predictions(again.path).drop(columns="fold"), atol=1e-5, rtol=0
    )
    one = mammo.test(own, other, out=tmp_path / "one")
    said = "the shortcuts leave out the data set"
    assert said in one.report and said not in again.report


@pytest.mark.slow
def test_a_run_on_one_data_set_leaves_the_data_set_out_of_the_shortcuts_of_several(run, phantom, tmp_path):
    films = Union([phantom, Phantom(root=str(tmp_path / "other"), patients=4, film_seed=3)])
    assert "the shortcuts leave out the data set" in mammo.test(run, films, out=tmp_path / "test").report


@pytest.mark.slow
def test_films_that_lack_a_class_have_the_numbers_that_they_have(run, others, tmp_path):
    table = pd.read_csv(others)
    ill = table[table["severity"] != "normal"]
    ill.to_csv(others.parent / "ill.csv", index=False)
    found = mammo.test(run, mammo.datasets.Table(str(others.parent / "ill.csv")), out=tmp_path / "ill")
    values = found.metrics("test")["softmax"]
    assert values["auroc"].value is None and values["sensitivity_at_threshold"].value is not None
    assert "**no tested sample is normal, so AUROC and other numbers are undefined**" in found.report
    assert "AUROC is undefined, as a class is missing" in found.report


@pytest.mark.slow
def test_windows_on_other_films_have_backgrounds_where_their_lesions_lie(windows, others, tmp_path):
    found = mammo.test(windows, mammo.datasets.Table(str(others)), out=tmp_path / "windows")
    samples = found.samples
    lesions = samples["finding_id"] > 0
    assert lesions.any() and (~lesions).any() and set(samples["label"]) == {"normal", "abnormal"}
    assert (samples["size_px"] == round(22.4 / 0.2)).all()


def test_a_test_that_exists_is_not_repeated(tested, run, others):
    before = (tested.path / "predictions.csv").stat().st_mtime_ns
    mammo.test(run, mammo.datasets.Table(str(others)), out=tested.path)
    assert (tested.path / "predictions.csv").stat().st_mtime_ns == before


def line(*words):
    """The one line of error of a command."""
    ended = CliRunner().invoke(app, ["test", *map(str, words)])
    assert ended.exit_code == 2, ended.output
    (said,) = ended.output.strip().splitlines()
    return said


def test_the_errors_are_one_line(run, tested, others, tmp_path):
    data, path = f"data.table={others}", run.path
    (tmp_path / "empty").mkdir()
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    shutil.copy(path / "provenance.json", unfinished)
    (tmp_path / "judged").mkdir()
    (tmp_path / "judged" / "report.md").touch()
    wrong = {
        "no provenance.json; name a run's folder": [tmp_path / "empty", "data=table", data],
        f"resume={unfinished}": [unfinished, "data=table", data],
        "is an external test of the run": [tested.path, "data=table", data],
        "a test takes one run": [path, path, "data=table", data],
        "no data to test on": [path],
        "task=density": [path, "data=table", data, "task=density"],
        "data.fold=1": [path, "data=table", data, "data.fold=1"],
        "data=mais is unknown": [path, "data=mais"],
        "images of the test part are not in the data set": [path, "data=table", data, "--images", path / "split.csv"],
        "has a run; name another folder": [path, "data=table", data, "--out", path],
        "has another test": [path, "data=table", data, "--images", path / "split.csv", "--out", tested.path],
        "has report.md of something else": [path, "data=table", data, "--out", tmp_path / "judged"],
        "--images none.csv: no such file": [path, "data=table", data, "--images", "none.csv"],
    }
    for said, words in wrong.items():
        assert said in line(*words), said


@pytest.mark.slow
def test_a_column_or_a_spacing_that_the_run_needs_is_named(run, windows, others, tmp_path):
    table = pd.read_csv(others).drop(columns="spacing_mm")
    table.to_csv(others.parent / "bare.csv", index=False)
    data = ["data=table", f"data.table={others.parent / 'bare.csv'}"]
    assert "set data.spacing_mm" in line(windows.path, *data, "--out", tmp_path / "a")
    shutil.copytree(run.path, tmp_path / "run")
    facts = json.loads((tmp_path / "run/provenance.json").read_text())
    facts["config"]["task"] |= {"name": "label", "column": "Befund"}
    (tmp_path / "run/provenance.json").write_text(json.dumps(facts))
    assert "reads the column Befund" in line(tmp_path / "run", *data, "--out", tmp_path / "b")
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()


@pytest.mark.slow
def test_a_run_of_several_classes_is_tested_too(phantom, tmp_path):
    settings = [*FAST, "seed=5"]
    own = mammo.train(phantom, task="density", model="compact", heads=[], out=tmp_path / "run", settings=settings)
    found = mammo.test(own, phantom, own.path / "split.csv", out=tmp_path / "test")
    assert set(found.numbers["shift"]["softmax"]) == {"auroc"}
    assert "only ranking is compared" in found.report and "Labels: the column density" in found.report


@pytest.mark.slow
def test_the_command_line_prints_the_first_lines(run, others, tmp_path):
    words = ["test", str(run.path), "data=table", f"data.table={others}", "--out", str(tmp_path / "test")]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0 and "tested on lab" in ended.output and "report.md" in ended.output
    provenance = RunFolder(tmp_path / "test").provenance
    assert provenance["command"][:2] == ["mammo", "test"] and provenance["external_test"]["operating"]["sample"]
    assert Path(tmp_path, "test", provenance["external_test"]["run"]).resolve() == run.path.resolve()


def test_loading_is_the_runs_unless_it_is_said(run):
    assert external_data.data_of(run, ["data=phantom"]).batch_size == 8 == run.config.data.batch_size
    assert external_data.data_of(run, ["data=phantom", "data.batch_size=4"]).batch_size == 4
