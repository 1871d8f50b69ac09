"""A run begins with the weights of another one: all but the head is taken, and its patients are not forgotten."""

import hashlib
import logging
import shutil

import pandas as pd
import pytest
import torch

import mammo
from mammo.errors import InputError
from mammo.processes import checkpoint_io
from mammo.processes.resume import FINISHED
from mammo.run_folder import LEARNT, RunFolder
from mammo.runs import checks, learnt
from mammo.runs.donor import donor_of, known_in, weights_of
from mammo.runs.train import train
from tests.conftest import SHARES, prepared_of, resolved

SMALL = ["model=compact", "heads=[knn]", "trainer.max_epochs=1", "augment=none"]


@pytest.fixture(scope="module")
def run(job):
    """One epoch of a small network; returns the run folder, as a command would leave it."""

    def start(*overrides):
        folder, _ = job(*SMALL, *overrides)
        (folder / FINISHED).write_text("{}")
        return RunFolder(folder)

    return start


@pytest.fixture(scope="module")
def donor(run):
    return run()


@pytest.fixture(scope="module")
def second(run, donor):
    """A run that begins with the donor's weights, whose patients are dealt anew."""
    return run(f"model.weights={donor.path}", "seed=3")


def patients(run, *parts):
    """The patients of these parts, counted by hand."""
    table = pd.read_csv(run.path / "split.csv", dtype=str)
    return set(table.loc[table["split"].isin(parts), "patient"])


def state(run):
    return checkpoint_io.read(run.path / "checkpoints/best.ckpt")["state_dict"]


def backbone(run):
    parts = ("net.frozen.", "net.body.")
    return {key.removeprefix(part): one for key, one in state(run).items() for part in parts if key.startswith(part)}


def leaks(run):
    return {leak.kind: leak.n for leak in run.find_leaks(*run.predictions())}


@pytest.mark.slow
def test_all_but_the_head_is_taken_and_the_head_is_new(run, donor, caplog):
    with caplog.at_level(logging.INFO):
        begun = run(f"model.weights={donor.path}", "optim.lr_head=0")
    taken, given = backbone(begun), backbone(donor)
    assert taken.keys() == given.keys() and all(torch.equal(taken[key], given[key]) for key in given)
    assert len(given) > 20 and not torch.equal(*(state(one)["net.head.1.layer.weight"] for one in (begun, donor)))
    assert begun.provenance["frozen_stages"] == 7 and donor.provenance["frozen_stages"] == 0
    content = (donor.path / "checkpoints/best.ckpt").read_bytes()
    assert begun.provenance["weights_digest"] == hashlib.sha256(content).hexdigest()
    said = f"the weights come from the run {donor.path.name}, but for the head, which is new"
    assert said in caplog.text and said in begun.report
    (how,) = [head["how"] for head in begun.selection["heads"].values()]
    assert "validation" in how  # the donor's features have seen the labels of the training part


@pytest.mark.slow
def test_last_block_and_all_train_as_with_a_file(run, donor):
    of = {
        trainable: run(f"model.weights={donor.path}", f"model.trainable={trainable}")
        for trainable in ("last_block", "all")
    }
    assert {name: one.provenance["frozen_stages"] for name, one in of.items()} == {"last_block": 5, "all": 0}
    moved = {
        key.split(".")[0]
        for key, one in backbone(of["last_block"]).items()
        if not torch.equal(one, backbone(donor)[key])
    }
    assert moved == {"block5"}


@pytest.mark.slow
def test_the_same_split_is_no_leak_and_the_patients_are_noted(run, donor):
    same = run(f"model.weights={donor.path}")
    assert leaks(same) == {} and "Leaks: none found" in same.report
    noted = pd.read_csv(same.path / "learnt.csv", dtype=str)
    assert list(noted) == LEARNT and set(noted["patient"]) == patients(donor, "train", "val")
    assert set(noted["dataset"]) == {"phantom"} and set(noted["run"]) == {donor.path.name}


def test_tested_patients_of_the_donor_are_a_leak_that_is_counted_and_not_named(run, donor, caplog):
    with caplog.at_level(logging.INFO):
        other = run(f"model.weights={donor.path}", "seed=5")
    known = patients(other, "test") & patients(donor, "train", "val")
    assert 0 < len(known) < len(patients(other, "test"))
    assert leaks(other) == {"tested_on_learnt": len(known)}
    first = other.report.split("\n## ")[0]
    assert f"(n = {len(known)})" in first and "learnt" in first
    assert not [one for one in patients(donor, "train", "val", "test") if one in caplog.text + other.report]


@pytest.mark.slow
def test_patients_are_remembered_over_donors_of_donors(run, donor, second):
    third = run(f"model.weights={second.path}", "seed=3")  # the second's own split: what leaks, it had from the first
    noted = pd.read_csv(third.path / "learnt.csv", dtype=str)
    assert set(noted["run"]) == {donor.path.name, second.path.name}
    of_first = patients(third, "test") & patients(donor, "train", "val")
    assert of_first and leaks(third) == {"tested_on_learnt": len(of_first)}


@pytest.mark.slow
def test_other_weights_remember_nobody_and_a_folder_that_is_used_again_forgets(run, donor, tmp_path):
    assert not (donor.path / "learnt.csv").exists() and donor.learnt_before.empty
    line = ["data=phantom", f"data.root={donor.config.data.root}", "data.patients=16", SHARES, *SMALL]
    line += ["model.image_size=32", "data.batch_size=8", "data.workers=0"]
    train(resolved(*line, f"model.weights={donor.path}"), tmp_path)
    assert (tmp_path / "learnt.csv").is_file()
    train(resolved(*line), tmp_path)
    assert not (tmp_path / "learnt.csv").exists()
    assert "tested_on_learnt" not in RunFolder(tmp_path).provenance


def test_a_patient_of_another_data_set_is_another_patient(donor):
    prepared = prepared_of(donor.config)
    name = prepared.rows().query("split == 'test'")["patient"].iloc[0]
    rows = pd.DataFrame({"patient": [name] * 3, "dataset": ["phantom", "lab", pd.NA], "run": "a"}, dtype="string")
    found = [known_in("test", prepared, rows.iloc[[at]]) for at in range(3)]
    assert [patients for patients, _ in found] == [[name], [], [name]]
    assert [len(notes) for _, notes in found] == [0, 1, 0] and found[1][1][0].startswith("1 tested patient")
    assert known_in("test", prepared, rows) == ([name], [])
    again = rows.iloc[[0]].assign(dataset="phantom-1")  # as a union of two phantoms calls it
    assert known_in("test", prepared, again) == ([name], [])
    other = again.assign(patient=name.replace("phantom", "phantom_s1"))
    assert known_in("test", prepared, other) == ([], [])


@pytest.mark.slow
def test_a_run_evaluates_when_its_donor_has_moved_and_still_says_what_leaks(run, donor, tmp_path):
    kept = shutil.copytree(donor.path, tmp_path / "donor")
    begun = run(f"model.weights={kept}", "seed=5")
    shutil.rmtree(kept)
    config = resolved("fit=false", f"ckpt_path={begun.path}")
    checks.check(config)
    train(config, tmp_path / "again")
    again = RunFolder(tmp_path / "again")
    assert (again.path / "predictions.csv").read_bytes() == (begun.path / "predictions.csv").read_bytes()
    assert leaks(again) == leaks(begun) != {}
    assert again.learnt.equals(begun.learnt) and again.checkpoint == begun.checkpoint


@pytest.mark.slow
def test_an_external_test_of_an_evaluation_knows_whom_the_donor_has_learnt(run, donor, second, phantom, tmp_path):
    """The evaluation has no learnt.csv of its own; that of the run that it evaluates counts."""
    train(resolved("fit=false", f"ckpt_path={second.path}"), tmp_path / "evaluation")
    (tmp_path / "evaluation" / FINISHED).write_text("{}")
    assert not (tmp_path / "evaluation/learnt.csv").exists()
    test = mammo.test(RunFolder(tmp_path / "evaluation"), phantom, out=tmp_path / "test")
    by_both = patients(donor, "train", "val") | patients(second, "train", "val")
    assert len(by_both) > len(patients(second, "train", "val"))
    samples = second.samples.assign(mean_grey=0.5)  # other pixels
    assert learnt.tested_on_learnt(RunFolder(tmp_path / "evaluation"), samples) == (sorted(by_both), [])
    assert set(test.provenance["tested_on_learnt"]) == by_both


@pytest.mark.slow
def test_an_evaluation_of_dealt_images_counts_images_that_were_learnt(run, donor, tmp_path):
    """Only the other breast of a patient was learnt: that is another leak, unless it was in another data set."""
    one = run("split=image", "seed=2")
    train(resolved("fit=false", f"ckpt_path={one.path}", "seed=2"), tmp_path / "same")
    assert "tested_on_learnt" not in leaks(RunFolder(tmp_path / "same"))
    train(resolved("fit=false", f"ckpt_path={one.path}", "seed=3"), tmp_path / "other")
    split = [run.split.set_index("image_id")["split"] for run in (one, RunFolder(tmp_path / "other"))]
    both = [name for name in split[1].index[split[1] == "test"] if split[0][name] != "test"]
    assert leaks(RunFolder(tmp_path / "other"))["tested_on_learnt"] == len(both) > 0
    samples = pd.read_csv(one.path / "samples.csv", dtype=str)
    samples.assign(dataset="mias").to_csv(one.path / "samples.csv", index=False)  # an edition with other image names
    tested = split[0].index[split[0] == "test"]
    people = one.split[one.split["split"] != "test"]["patient"]
    expected = one.split[one.split["image_id"].isin(tested) & one.split["patient"].isin(people)]
    train(resolved("fit=false", f"ckpt_path={one.path}", "seed=2"), tmp_path / "edition")
    assert leaks(RunFolder(tmp_path / "edition"))["tested_on_learnt"] == len(expected) > 0


@pytest.mark.slow
def test_an_evaluation_stands_for_the_run_that_it_evaluated(donor, tmp_path):
    train(resolved("fit=false", f"ckpt_path={donor.path}", "seed=7"), tmp_path)
    config = resolved("model=compact", "model.image_size=32", f"model.weights={tmp_path}")
    checks.check(config)
    assert donor_of(config) == donor and weights_of(donor_of(config)).path == donor.path


@pytest.mark.slow
def test_what_a_run_learnt_is_what_gave_samples(run):
    """A patient whose films take no part in the task has taught nothing."""
    one = run("task=malignancy", "data.batch_size=2", "seed=1")
    used = set(one.samples.query("split != 'test'")["patient"])
    assert set(one.learnt["patient"]) == used < patients(one, "train", "val")


@pytest.mark.slow
def test_features_of_another_donor_are_not_taken_from_the_cache(run, donor, second, monkeypatch, tmp_path):
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    shown, stage = [], torch.nn.Sequential.forward

    def counted(self, x):
        shown.extend([1] * (x.dtype == torch.uint8))
        return stage(self, x)

    monkeypatch.setattr(torch.nn.Sequential, "forward", counted)
    retrained = run("seed=9")  # weights of its own

    def passes(of):
        shown.clear()
        run(f"model.weights={of.path}")
        return len(shown)

    assert passes(donor) > 0 and passes(donor) == 0
    assert passes(retrained) > 0
    assert passes(second) == 0  # its backbone was frozen, so it is the donor's


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=resnet18"], r"trained compact; use model=compact"),
        (["model=vit_b_16"], r"trained compact"),
    ],
)
def test_another_backbone_is_told_before_a_film_is_read(donor, words, message):
    with pytest.raises(InputError, match=message) as told:
        checks.check(resolved("data=phantom", *words, f"model.weights={donor.path}"))
    assert "\n" not in str(told.value) and str(told.value).startswith(f"model.weights={donor.path}")


def test_another_side_is_told_where_shapes_depend_on_it_and_taken_where_they_do_not(donor, tmp_path):
    import json

    kept = shutil.copytree(donor.path, tmp_path / "vit")
    told = json.loads((kept / "provenance.json").read_text())
    told["config"]["model"] |= {"name": "vit_b_16", "image_size": 96}
    (kept / "provenance.json").write_text(json.dumps(told))
    checks.check(resolved("data=phantom", "model=vit_b_16", "model.image_size=96", f"model.weights={kept}"))
    with pytest.raises(InputError, match=r"model\.image_size=96"):
        checks.check(resolved("data=phantom", "model=vit_b_16", "model.image_size=64", f"model.weights={kept}"))
    checks.check(resolved("data=phantom", "model=compact", "model.image_size=64", f"model.weights={donor.path}"))


@pytest.mark.parametrize("lacking", [FINISHED, "provenance.json", "checkpoints/best.ckpt"])
def test_a_run_that_has_not_finished_is_told_before_a_film_is_read(donor, tmp_path, lacking):
    kept = shutil.copytree(donor.path, tmp_path / "cut")
    (kept / lacking).unlink()
    with pytest.raises(InputError, match=r"model\.weights=.*finished") as told:
        checks.check(resolved("data=phantom", "model=compact", f"model.weights={kept}"))
    assert "\n" not in str(told.value)


@pytest.mark.slow
def test_python_takes_a_run_as_weights(phantom, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    how = {"model": "compact", "heads": ["knn"], "settings": [SHARES, "trainer.max_epochs=1", "model.image_size=32",
           "data.batch_size=8", "data.workers=0", "augment=none"]}  # fmt: skip
    first = mammo.train(phantom, weights=None, out="first", **how)
    second = mammo.train(phantom, weights=first, out="second", **how)
    assert second.config.model.weights == "first" and set(second.learnt_before["run"]) == {"first"}
    assert second.leaks == []
    again = mammo.train(phantom, weights="first", out="second", **how)  # it has finished, so nothing is done
    assert again.provenance == second.provenance
