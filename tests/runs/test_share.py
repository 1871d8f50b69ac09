"""A shared run names nobody and gives the same numbers; the sheet of errors names the ones a run got wrong."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from mammo.cli.main import app
from mammo.errors import InputError
from mammo.processes.resume import FINISHED
from mammo.reports.card import model_card
from mammo.run_folder import RunFolder
from mammo.runs.mistakes import mistakes, write
from mammo.runs.share import HIDDEN, Names, complete, share

NAMED = re.compile(r"mdb\d|phantom-\d|/home|/root|/tmp|/opt")
WORDS = ("heads=[svm,knn]", "augment=none")


@pytest.fixture(scope="module")
def run(shared_job):
    folder, _ = shared_job(*WORDS)
    (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
    return RunFolder(folder)


@pytest.fixture(scope="module")
def shared(run, tmp_path_factory):
    return share([run], tmp_path_factory.mktemp("shared") / "given")[0]


def said(*words):
    return CliRunner().invoke(app, ["run", *map(str, words)])


def test_no_text_of_a_shared_run_names_a_patient_an_image_or_a_path(shared):
    texts = [path for path in shared.path.rglob("*") if path.suffix in (".csv", ".json", ".md")]
    assert len(texts) > 8
    assert not [path.name for path in texts if NAMED.search(path.read_text())]
    assert not any(shared.path.rglob("*.ckpt")) and not any(shared.path.rglob("features*"))
    assert not any(shared.path.rglob("events*")) and not (shared.path / "train.log").exists()


def test_its_numbers_and_its_card_are_those_of_the_run(run, shared):
    assert shared.numbers == run.numbers
    ours, theirs = (model_card(one).text.splitlines() for one in (run, shared))
    assert [one for one in ours if one not in theirs and "began from" not in one] == []


def test_one_patient_has_one_digest_in_every_table(run, shared):
    names = dict(zip(run.split["patient"], shared.split["patient"], strict=True))
    assert len(set(names.values())) == len(names) and not set(names) & set(names.values())
    assert list(shared.samples["patient"]) == [names[one] for one in run.samples["patient"]]
    assert sorted(names, key=names.get) == sorted(names)  # the bootstrap draws in this order


def test_the_same_run_shared_twice_has_other_digests(run, shared):
    assert not set(shared.split["patient"]) & set(Names([run]).of["patient"].values())


def test_a_note_that_names_an_image_or_a_file_is_left_out(run):
    names = Names([run])
    image = run.split["image_id"].iloc[0]
    assert names.tells(f"1 image ({image}): turned") and names.tells("read from films/a.png")
    assert not names.tells("2 images take no part in the task") and "left out" in HIDDEN


@pytest.mark.parametrize("words", [("explain", "--score"), ("export", "model.onnx"), ("run", "errors")], ids=" ".join)
def test_what_needs_the_runs_own_films_says_that_a_shared_run_does_not_name_them(shared, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    at = 1 + (words[0] == "run")
    result = CliRunner().invoke(app, [*words[:at], str(shared.path), *words[at:]])
    assert "does not name its images" in " ".join(f"{result.output} {result.exception}".split())


def test_what_names_nobody_is_not_shared_again_and_is_never_tested_for_known_patients(shared, tmp_path):
    with pytest.raises(InputError, match="has no names"):
        share([shared], tmp_path / "again")
    result = CliRunner().invoke(app, ["test", str(shared.path), "data=phantom", "--out", str(tmp_path / "t")])
    assert result.exit_code == 2


def test_a_shared_run_lacks_a_public_trunk_until_it_is_put_back(run, shared, tmp_path, monkeypatch):
    """The trunk of this run was drawn at random, so its frozen part is made here."""
    from mammo.runs import share as sharing

    state = {"net.frozen.a": np.zeros(2, np.float32), "net.body.b": np.ones(2, np.float32)}
    save_file(state, tmp_path / "all.safetensors")
    folder = tmp_path / "given"
    folder.mkdir()
    lacking = RunFolder(folder)
    facts = shared.provenance | {"trunk": {"name": "vgg16", "weights": "abc"}}
    (folder / "provenance.json").write_text(json.dumps(facts))
    save_file({"net.body.b": state["net.body.b"]}, folder / sharing.TRAINED)
    with pytest.raises(InputError, match="mammo run complete"):
        _ = lacking.checkpoint

    class Task:
        class net:
            weights_digest = "abc"

        def state_dict(self):
            from torch import from_numpy

            return {name: from_numpy(one) for name, one in state.items()}

    monkeypatch.setattr(sharing, "build_task", lambda *_: Task())
    complete(lacking, "imagenet")
    assert set(load_file(lacking.checkpoint)) == set(state)
    Task.net.weights_digest = "other"
    with pytest.raises(InputError, match="digest other"):
        complete(lacking, "imagenet")


def test_the_errors_are_the_samples_on_the_wrong_side_of_the_threshold(run, tmp_path):
    result = said("errors", run.path, "--head", "svm", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    found = pd.read_csv(tmp_path / "errors.csv")
    numbers = run.metrics("test")["svm"]
    count = run.numbers["n"]["test"]["samples"]
    assert len(found) == round((1 - numbers["accuracy_at_threshold"].value) * count)
    negative = found[found["kind"] == "false negative"]
    assert (negative["label"] == "abnormal").all() and (negative["score"] <= negative["threshold"]).all()
    assert found["patient"].isin(run.split["patient"]).all()
    assert (tmp_path / "errors.png").is_file() or "cannot be read" in result.output
    with pytest.raises(InputError, match="--head"):
        mistakes(run, "forest")


def test_a_part_that_there_is_not_writes_nothing_and_no_sheet_stays_beside_another_table(run, tmp_path):
    for part, expected in (("tset", "train, val or test"), ("", "train, val or test")):
        result = said("errors", run.path, "--part", part, "--out", tmp_path / "errors")
        assert result.exit_code == 2 and expected in result.output and not (tmp_path / "errors").exists()
    table = run.predictions()[0]
    empty = SimpleNamespace(
        path=run.path, predictions=lambda: (table[table["split"] == "train"], ["normal", "abnormal"])
    )
    empty.choices = lambda *_: run.choices(table, ["normal", "abnormal"])
    with pytest.raises(InputError, match=r"--part val: .* it has train"):
        mistakes(empty, "svm", "val")
    found = mistakes(run, "svm")
    (tmp_path / "errors").mkdir()
    (tmp_path / "errors" / "errors.png").write_bytes(b"of another head")
    paths, lacking = write(run, found.iloc[:0], tmp_path / "errors")
    assert (
        [one.name for one in paths] == ["errors.csv"] and lacking and not (tmp_path / "errors" / "errors.png").exists()
    )
