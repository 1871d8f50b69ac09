"""A lab's films with words of its own and four views a patient: tasks, filters and units, from settings to report."""

import pandas as pd
import pytest

from mammo.datasets.labels import Labels
from mammo.errors import InputError
from mammo.evaluation.aggregate import by_unit, with_places
from mammo.inference.build import build_predictor
from mammo.processes.resume import begin, changed
from mammo.run_folder import RunFolder
from mammo.runs.train import train
from mammo.training.guard import check_labels
from tests.conftest import prepared_of, resolved

OWN = [
    *("data._target_=tests.lab.Lab", "+data.arguments.patients=16", "data.batch_size=4", "data.workers=0"),
    *("model=compact", "model.weights=null", "model.image_size=32", "heads=[knn]", "trainer.max_epochs=1"),
    "split.shares=[0.4,0.3,0.3]",
]
FEWER = [line.replace("patients=16", "patients=12") for line in OWN]
WORDS = ["task=label", "task.column=Befund", "task.positive=[krank]"]


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return tmp_path_factory.mktemp("lab") / "films"


@pytest.fixture(scope="module")
def run(films, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = resolved(*OWN, *WORDS, "aggregate=noisy_or", f"+data.arguments.root={films}")
    train(config, folder)
    return RunFolder(folder), config


@pytest.mark.slow
def test_the_words_are_the_classes_of_the_whole_run(run):
    folder, _ = run
    table, classes = folder.predictions()
    assert classes == folder.provenance["classes"] == ["not krank", "krank"]
    assert folder.config.task.classes == {"not krank": ["gesund", "unklar, März/April"], "krank": ["krank"]}
    assert set(table["label"]) == set(classes) and folder.leaks == []
    notes = " ".join(folder.provenance["notes"])
    assert "left out: 4 images without Befund" in notes and "Krank" in notes and "unklar, März/April" in notes
    assert "Positive means krank" in folder.report


@pytest.mark.slow
def test_numbers_are_by_breast_exam_and_patient_where_these_differ(run):
    folder, _ = run
    table, samples = folder.predictions()[0], folder.samples
    tested = table[(table["split"] == "test") & (table["head"] == "knn")].merge(samples[["image_id", "laterality"]])
    breasts = folder.numbers["by_breast"]
    assert breasts["rule"] == "noisy_or" and "by_image" not in folder.numbers
    sides = tested.dropna(subset="laterality").groupby("patient")["laterality"].nunique().sum()
    assert breasts["n"]["test"]["samples"] >= sides
    assert folder.numbers["by_exam"]["n"]["test"]["samples"] > folder.numbers["by_patient"]["n"]["test"]["samples"]
    assert set(folder.metrics("test", "breast")) == {"softmax", "knn", "shortcuts", "majority"}
    assert "## Test by breast" in folder.report
    units, _ = by_unit(with_places(table, samples), Labels.from_config(folder.config.task), "breast", "noisy_or")
    assert units.loc[units["label"] == "krank", "image_id"].str.endswith("left").all()


@pytest.mark.slow
def test_a_run_of_words_goes_on_is_evaluated_again_and_classifies(run, unreported, films, tmp_path):
    folder, config = run
    assert begin(folder.path, config, of_sweep=True, main=True)[1] is None
    assert changed(folder.asked, config) == []
    again = resolved("fit=false", f"ckpt_path={folder.path}", *WORDS)
    train(again, tmp_path)
    found = pd.read_csv(tmp_path / "predictions.csv", dtype=str)
    assert found.equals(pd.read_csv(folder.path / "predictions.csv", dtype=str))
    assert RunFolder(tmp_path).config.task == folder.config.task
    from tests.lab import Lab

    lab = Lab(root=str(films), patients=16)
    answer = build_predictor(folder, "knn")(lab.read(lab.findings()["image_id"].iloc[0]))
    assert set(answer.probabilities) == {"not krank", "krank"}


@pytest.mark.slow
def test_every_word_is_a_class_and_windows_have_that_of_their_image(films):
    small = ["crop=grid", "crop.window_mm=8", "data.spacing_mm=0.1"]
    config = resolved(*FEWER, *small, "task=label", "task.column=Befund",
                      f"+data.arguments.root={films}")  # fmt: skip
    prepared = prepared_of(config)
    check_labels(prepared, prepared.described)
    assert prepared.labels.classes == ("gesund", "krank", "unklar, März/April")
    table = prepared.crops.table
    assert table["patch"].max() > 3 and (table.groupby("image_id")["label"].nunique() == 1).all()


@pytest.mark.slow
def test_lesions_have_their_own_words_and_negative_images_give_backgrounds(films):
    small = ["crop=lesion", "crop.window_mm=8", "data.spacing_mm=0.1"]
    table = prepared_of(resolved(*FEWER, *small, *WORDS, f"+data.arguments.root={films}")).crops.table
    assert set(table.loc[table["finding_id"] == 0, "label"]) == {"not krank"}
    assert set(table.loc[table["finding_id"] == 1, "label"]) == {"krank"}


def test_a_filter_leaves_images_out_and_says_so(films):
    own = [*OWN, *WORDS, f"+data.arguments.root={films}"]
    prepared = prepared_of(resolved(*own, "data.view=mlo", "data.laterality=left"))
    assert set(prepared.crops.table["view"]) == {"MLO"} and set(prepared.crops.table["laterality"]) == {"left"}
    notes = " ".join(prepared.notes)
    assert "data.view=mlo" in notes and "of 2 of them is unknown" in notes
    with pytest.raises(InputError, match=r"data\.view=XCCL: .*CC, MLO"):
        prepared_of(resolved(*own, "data.view=[CC,XCCL]"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.laterality=links"], r"data\.laterality=links: expected left or right"),
        (["task.positive=[krank]"], r"task\.positive=.*task=abnormality"),
        (["task=label", "task.column=Befund", "aggregate=max"], r"task\.positive"),
        (["task=density", "aggregate=noisy_or"], "aggregate=noisy_or"),
        (["task=severity", "aggregate=noisy_or"], "two classes"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_a_film_is_read(words, message):
    with pytest.raises(InputError, match=message):
        resolved(*OWN, *words)
