"""A portable folder answers as its run does to the last digit, and names no path, patient or image."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

import mammo
from mammo.cli.main import app
from mammo.errors import InputError
from mammo.inference import self_test
from mammo.run_folder import RunFolder
from tests.inference.test_predict import DETECTOR, FLIPS, LESION, trained  # noqa: F401 - a fixture

WORDS = ("heads=[svm,knn]", "augment=none")
NAMED = r"mdb\d|phantom-\d|/home|/root|/tmp|phantom/"


@pytest.fixture(scope="module")
def run(trained):  # noqa: F811
    return trained(WORDS)


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """The portable folder of the run."""
    target = tmp_path_factory.mktemp("portable") / "model"
    mammo.export(run, target, format="portable")
    return target


def written(source, films, path, *words):
    """The bytes of the table that `mammo predict` writes; and of the marks, if there are any."""
    result = CliRunner().invoke(app, ["predict", str(source), *films, "--out", str(path / "out.csv"), *words])
    assert result.exit_code in (0, 1), result.output
    return {one.name: one.read_bytes() for one in sorted(path.iterdir())}


def same(run, folder, phantom, tmp_path, *words):
    films = [str(one) for one in phantom.findings()["path"].unique()[:4]]
    for name in ("run", "portable"):
        (tmp_path / name).mkdir()
    ours, theirs = (
        written(one, films, tmp_path / name, "--force", *words)
        for one, name in ((run.path, "run"), (folder, "portable"))
    )
    assert ours == theirs and ours


@pytest.mark.parametrize("head", ["softmax", *(pytest.param(one, marks=pytest.mark.slow) for one in ("svm", "knn"))])
def test_a_table_of_answers_is_the_same_to_the_last_byte(run, folder, phantom, tmp_path, head):
    same(run, folder, phantom, tmp_path, "--head", head)


def test_it_explains_a_film_as_its_run_does(run, folder, phantom):
    film = str(phantom.findings()["path"].iloc[0])
    (ours,), (theirs,) = (mammo.explain(one, film, head="svm") for one in (run, folder))
    assert np.array_equal(ours.values, theirs.values) and ours.prediction.score == theirs.prediction.score


@pytest.mark.slow
@pytest.mark.parametrize("words", [DETECTOR, FLIPS, LESION], ids=["detector", "flips", "windows"])
def test_so_are_those_of_a_detector_and_of_lesion_windows(trained, phantom, tmp_path, words):  # noqa: F811
    run = trained(words)
    mammo.export(run, tmp_path / "model", format="portable")
    same(run, tmp_path / "model", phantom, tmp_path)


def test_it_has_no_pickle_and_names_no_path_patient_or_image(run, folder):
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    facts = {"finished.json", "metrics.json", "model.json", "provenance.json", "selection.json"}
    cards = {"model_card.md", "model_card.html"}
    assert files == facts | cards | {
        "weights.safetensors",
        "likeness.safetensors",
        "heads/svm.skops",
        "heads/knn.skops",
    }
    text = " ".join((folder / name).read_text() for name in facts)
    assert not re.search(NAMED, text) and str(run.path.parent) not in text
    known = run.samples[["image_id", "patient"]].astype(str).stack().unique()
    assert not [name for name in known if f'"{name}"' in text]


def test_its_card_says_what_a_user_must_know(run, folder):
    card = json.loads((folder / "model.json").read_text())
    assert RunFolder(folder).digest == run.digest and f"`{run.digest}`" in (folder / "model_card.md").read_text()
    assert card["classes"] == ["normal", "abnormal"] and list(card["operating"]) == ["softmax", "svm", "knn"]
    assert card["operating"]["svm"]["threshold"] == run.numbers["operating"]["svm"]["threshold"]
    assert card["protocol"] == run.numbers["protocol"] and card["data_digest"] == run.provenance["dataset_digest"]
    assert len(card["weights_digest"]["trained"]) == 64 and "Not for diagnostic use" in card["intended_use"]
    assert {"leaks", "licences", "preprocessing"} <= set(card)


def test_one_head_can_go_alone(run, tmp_path):
    mammo.export(run, tmp_path / "model", "svm", format="portable")
    made = RunFolder(tmp_path / "model")
    assert list(made.selection["heads"]) == ["svm"] and not (made.path / "heads/knn.skops").exists()
    text = (made.path / "model_card.md").read_text()
    assert "Answer `svm`" in text and "Answer `knn`" not in text and f"`{made.digest}`" in text
    assert set(made.numbers["operating"]) == set(made.numbers["test"]) == {"softmax", "svm"}


def test_a_recalibration_goes_along(run, phantom, tmp_path):
    told = {"run": "r", "question": {}, "notes": ["mdb001"], "n": {"films": {"samples": 9, "patients": 5}}}
    told |= {
        "operating": {"svm": {"threshold": 0.25, "rule": "youden", "temperature": 1.5}},
        "films": {"svm": {}},
        "prevalence": {},
    }
    before = tmp_path / "before"
    mammo.export(run, before, format="portable")
    (before / "recalibration.json").write_text(json.dumps(told))
    mammo.export(before, tmp_path / "after", format="portable")
    made = RunFolder(tmp_path / "after")
    assert made.recalibration["operating"]["svm"]["threshold"] == 0.25 and "notes" not in made.recalibration
    table = mammo.predict(made, phantom.findings()["path"].iloc[0], "svm", force=True)
    assert set(table["threshold"]) == {0.25} and "Recalibrated on 9 samples" in table["notes"].iloc[0]
    assert json.loads((made.path / "model.json").read_text())["operating"]["svm"]["threshold"] == 0.25


@pytest.mark.slow
def test_it_is_written_only_if_it_repeats_the_self_test(run, self_tested, tmp_path):
    whole = RunFolder(shutil.copytree(run.path, tmp_path / "run"))
    self_test.write(whole)
    found = mammo.export(whole, tmp_path / "model", format="portable")
    assert found.first is None and (tmp_path / "model/self_test/expected.json").is_file()
    numbers = whole.numbers
    numbers["operating"]["svm"]["threshold"] += 1
    (whole.path / "metrics.json").write_text(json.dumps(numbers))
    with pytest.raises(InputError, match="svm: threshold: DIFFERS"):
        mammo.export(whole, tmp_path / "other", format="portable")
    assert not (tmp_path / "other").exists()


def test_weights_are_those_of_the_checkpoint(run, folder):
    from mammo.processes import checkpoint_io

    ours, theirs = checkpoint_io.read(run.checkpoint)["state_dict"], load_file(folder / "weights.safetensors")
    assert ours.keys() == theirs.keys() and all((ours[name].numpy() == theirs[name]).all() for name in ours)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["test", "{model}", "data=phantom", "--out", "{new}"], "is a portable or shared model"),
        (["recalibrate", "{model}", "{table}", "--out", "{new}"], "is a portable or shared model"),
        (["export", "{model}", "{new}", "--format", "zip"], "expected onnx or portable"),
        (["export", "{model}", "{model}", "--format", "portable"], "exists and is not overwritten"),
        (
            ["export", "{model}", "{new}", "--format", "portable", "--head", "lda"],
            "no head lda; it has softmax, svm,",
        ),
    ],
)
def test_what_it_cannot_do_is_said(folder, tmp_path, words, said):
    pd.DataFrame({"path": []}).to_csv(tmp_path / "table.csv", index=False)
    places = {"model": folder, "new": tmp_path / "new", "table": tmp_path / "table.csv"}
    result = CliRunner().invoke(app, [word.format(**places) for word in words])
    assert result.exit_code == 2 and said in result.output and not (tmp_path / "new").exists(), result.output
