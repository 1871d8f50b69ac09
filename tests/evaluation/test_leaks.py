"""Leaks: derived from what was done, one of each kind, and united over folds."""

import pytest

from mammo.config import Config
from mammo.errors import InputError
from mammo.evaluation.leaks import Leak, check_labels, leaks, united
from mammo.evaluation.predictions import choices
from tests.evaluation.tables import CONFIG, predictions

CLASSES = ["normal", "abnormal"]
TABLE = predictions(30)


def found(*, patients=(), images=(), across=None, crop=None, learnt=(), select_on="val", chosen_on=None):
    """By kind, the leaks of a run with these doings; its thresholds are chosen on another split than it says."""
    config = Config.of(CONFIG | {"select_on": select_on})
    audit = {"patients_in_two_splits": list(patients), "images_in_two_splits": list(images)}
    audit |= {f"{what}_in_two_splits": pairs for what, pairs in (across or {}).items()}
    operating = choices(TABLE, CLASSES, config.threshold, chosen_on or select_on)
    return {leak.kind: leak for leak in leaks(config, audit, crop, TABLE, CLASSES, operating, learnt)}


def test_an_honest_run_has_none():
    assert found() == {}


@pytest.mark.parametrize(
    ("doing", "kind", "n"),
    [
        ({"patients": ["a", "b"]}, "patients_in_two_splits", 2),
        ({"images": ["a"]}, "copies_in_two_splits", 1),
        ({"across": {"pixels": [["a", "b"], ["a", "c"]], "exams": []}}, "pixels_in_two_splits", 2),
        ({"across": {"exams": [["a", "b"]]}}, "exams_in_two_splits", 1),
        ({"crop": "scaled by the radius"}, "crop", 20),
        ({"select_on": "test"}, "selected_on_test", 20),
        ({"learnt": ["a", "b", "c"]}, "tested_on_learnt", 3),
        ({"chosen_on": "test"}, "chosen_elsewhere", 3),  # the majority's are the same anywhere
    ],
)
def test_each_doing_is_a_leak_of_its_kind_with_how_many_it_concerns(doing, kind, n):
    (leak,) = found(**doing).values()
    assert (leak.kind, leak.n) == (kind, n) and str(n) not in leak.text


def test_folds_are_united_by_kind_whatever_their_numbers_and_words():
    one = [Leak("patients_in_two_splits", 3, "3 patients of fold 1"), Leak("crop", 10, "scaled")]
    other = [Leak("patients_in_two_splits", 12, "12 patients of fold 2")]
    assert united([one, other, []]) == [other[0], one[1]]


def test_predictions_are_labelled_as_their_samples_copies_included():
    samples = TABLE.query("head == 'svm'")[["image_id", "finding_id", "patch", "label"]]
    check_labels(TABLE.assign(copy=1), samples.sample(frac=1, random_state=0))
    wrong = TABLE.assign(label=TABLE["label"].mask(TABLE.index == 7, "normal"))
    with pytest.raises(InputError, match=r"1 labels .*mdb008 is abnormal.* normal"):
        check_labels(wrong, samples)
    with pytest.raises(InputError, match="mdb001 is nan"):
        check_labels(TABLE, samples[samples["image_id"] != "mdb001"])
