"""Leaks: derived from what was done, one of each kind, and united over folds."""

import pandas as pd
import pytest

from mammo.config import Config
from mammo.errors import InputError
from mammo.evaluation.leaks import Leak, check_tables, leaks, united
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


SAMPLES = TABLE.query("head == 'svm'")[["image_id", "finding_id", "patch", "label", "split", "patient"]]
SPLIT = SAMPLES[["image_id", "patient", "split"]]


def other(table, column, value, image="mdb008"):
    return table.assign(**{column: table[column].mask(table["image_id"] == image, value)})


def test_predictions_are_those_of_their_samples_copies_included():
    check_tables(TABLE.assign(copy=1), SAMPLES.sample(frac=1, random_state=0), SPLIT)
    check_tables(other(TABLE, "split", "test"), SAMPLES.assign(split="copies"), other(SPLIT, "split", "test"))
    check_tables(TABLE, SAMPLES.drop(columns=["split", "patient"]), SPLIT)  # older runs
    check_tables(TABLE, SAMPLES, pd.concat([SPLIT, SPLIT.iloc[:1].assign(image_id="gave no sample")]))


@pytest.mark.parametrize(
    ("table", "samples", "split", "said"),
    [
        (other(TABLE, "label", "normal"), SAMPLES, SPLIT, "1 row has another label .*mdb008 is abnormal.* normal"),
        (TABLE, SAMPLES[SAMPLES["image_id"] != "mdb001"], SPLIT, "mdb001 is no sample there"),
        (
            other(TABLE, "split", "test"),
            SAMPLES,
            SPLIT,
            "1 row has another part .*mdb008 is train there",
        ),
        (other(TABLE, "patient", "p000"), SAMPLES, SPLIT, "1 row has another patient .*mdb008 is of another patient"),
        (TABLE[TABLE["image_id"] != "mdb008"], SAMPLES, SPLIT, "1 of 60 samples have no row of softmax, one of mdb008"),
        (TABLE.iloc[:-3], SAMPLES, SPLIT, "3 of 60 samples have no row of majority, one of mdb058"),
        (
            TABLE,
            SAMPLES,
            other(SPLIT, "split", "test"),
            r"split\.csv: 1 row has another part .* but test here",
        ),
        (TABLE, SAMPLES, SPLIT.iloc[:-1], r"split\.csv: mdb060 of samples\.csv is not in it"),
    ],
)
def test_tables_of_a_run_that_disagree_or_are_cut_are_refused(table, samples, split, said):
    with pytest.raises(InputError, match=said):
        check_tables(table, samples, split)
