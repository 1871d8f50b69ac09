"""Images, breasts, exams and patients from their samples: by the stated rule, each once, of one class."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammo.datasets.labels import find_task, known_tasks
from mammo.errors import InputError
from mammo.evaluation.aggregate import (
    any_positive,
    by_unit,
    check_rule,
    combined_means,
    none_positive,
    rows_for_units,
    telling_units,
    unit_notes,
    with_places,
)
from mammo.reports.external import evaluate


def table(task, samples, copies=False):
    """Two heads' predictions of `samples`: patient, image, label and probabilities of each; score is their log odds."""
    classes = find_task(task).classes
    rows = []
    for head, shift in (("softmax", 0.0), ("svm", 0.05)):
        for number, (patient, image, split, label, *probabilities) in enumerate(samples):
            shown = np.array(probabilities) + shift * np.r_[-1, 1, [0] * (len(classes) - 2)]
            names = {"image_id": image, "finding_id": 0, "patch": number, "copy": 0, "patient": patient, "split": split}
            score = np.log(shown[1] / shown[0]) if len(classes) == 2 else np.nan
            of = dict(zip([f"p_{name}" for name in classes], shown, strict=True))
            rows.append(names | {"fold": None, "seed": "0", "head": head, "label": label, "score": score} | of)
            if copies and split == "train":
                of = dict.fromkeys(of, 0.5)
                rows.append(rows[-1] | {"copy": 1, "score": 0.0} | of)
    return pd.DataFrame(rows)


SAMPLES = [
    ("p1", "a", "train", "normal", 0.8, 0.2), ("p1", "a", "train", "abnormal", 0.4, 0.6),
    ("p1", "b", "train", "normal", 0.9, 0.1), ("p2", "c", "test", "normal", 0.7, 0.3),
    ("p2", "c", "test", "normal", 0.3, 0.7), ("p2", "d", "test", "normal", 0.6, 0.4),
]  # fmt: skip


@pytest.mark.parametrize("copies", [False, True])
def test_the_mean_is_that_of_the_samples_and_copies_are_none(copies):
    found, left_out = by_unit(table("abnormality", SAMPLES, copies), find_task("abnormality"), "image", "mean")
    softmax = found.query("head == 'softmax'").set_index("image_id")
    assert list(softmax.index) == ["a", "b", "c", "d"] and left_out == 0
    assert softmax["p_abnormal"].to_dict() == pytest.approx({"a": 0.4, "b": 0.1, "c": 0.5, "d": 0.4})
    assert softmax.loc["a", "score"] == pytest.approx((np.log(0.2 / 0.8) + np.log(0.6 / 0.4)) / 2)
    assert softmax["label"].to_dict() == {"a": "abnormal", "b": "normal", "c": "normal", "d": "normal"}
    assert len(found) == 8 and not found.duplicated(["image_id", "finding_id", "patch", "copy", "head"]).any()


@pytest.mark.parametrize("unit", ["image", "patient"])
def test_the_rows_for_units_give_the_units_of_val_and_test_that_all_rows_give(unit):
    mixed = [*SAMPLES, ("p3", "e", "train", "normal", 0.7, 0.3), ("p3", "e", "train", "abnormal", 0.7, 0.3)]
    rows = table("abnormality", mixed).replace({"head": {"svm": "majority"}})
    task = find_task("abnormality")
    whole, left_out = by_unit(rows, task, unit, "mean")
    few = rows_for_units(rows)
    assert 0 < len(few) < 2 * len(mixed) and not len(rows.columns)
    found, left_out_of_few = by_unit(few, task, unit, "mean")
    tested = [one[one["split"] != "train"].reset_index(drop=True) for one in (found, whole)]
    pd.testing.assert_frame_equal(*tested)
    assert left_out == left_out_of_few


def test_the_maximum_is_the_row_of_the_highest_score():
    found, _ = by_unit(table("abnormality", SAMPLES), find_task("abnormality"), "patient", "max")
    softmax = found.query("head == 'softmax'").set_index("image_id")
    assert softmax["p_abnormal"].to_dict() == {"p1": 0.6, "p2": 0.7}
    assert softmax["patient"].tolist() == ["p1", "p2"] and softmax["split"].tolist() == ["train", "test"]


def test_of_several_classes_the_maximum_is_the_sample_least_probably_of_the_first():
    samples = [("p1", "a", "test", "benign", 0.3, 0.1, 0.6), ("p1", "a", "test", "normal", 0.2, 0.7, 0.1)]
    found, _ = by_unit(table("severity", samples), find_task("severity"), "image", "max")
    assert found.query("head == 'softmax'")[["label", "p_benign"]].to_numpy().tolist() == [["benign", 0.7]]


def labelled(task, *labels):
    """The class of an image whose samples are of these classes."""
    even = [1 / len(find_task(task).classes)] * len(find_task(task).classes)
    found, left_out = by_unit(
        table(task, [("p", "a", "test", label, *even) for label in labels]), find_task(task), "image", "mean"
    )
    return found["label"].unique().tolist(), left_out


@pytest.mark.parametrize(
    ("task", "labels", "expected"),
    [
        ("severity", ("normal", "malignant", "benign"), "malignant"),
        ("malignancy", ("malignant", "benign"), "malignant"),
        ("distortion", ("normal", "distortion"), "distortion"),
        ("abnormality", ("normal", "normal"), "normal"),
        ("finding", ("SPIC", "NORM", "SPIC"), "SPIC"),
        ("finding", ("NORM", "NORM"), "NORM"),
        ("finding", ("SPIC", "NORM", "CIRC"), None),
        ("density", ("G", "G"), "G"),
        ("density", ("F", "D"), None),
    ],
)
def test_a_unit_is_of_its_worst_class_or_left_out_where_none_is_worse(task, labels, expected):
    assert labelled(task, *labels) == (([expected], 0) if expected else ([], 1))


def test_a_patient_in_two_splits_has_a_row_in_each():
    samples = [("p1", "a", "train", "normal", 0.9, 0.1), ("p1", "b", "test", "abnormal", 0.2, 0.8)]
    found, _ = by_unit(table("abnormality", samples), find_task("abnormality"), "patient", "mean")
    assert found.query("head == 'svm'")[["split", "label"]].to_numpy().tolist() == [
        ["train", "normal"], ["test", "abnormal"],
    ]  # fmt: skip


def test_the_maximum_is_refused_where_no_class_is_the_most_alarming():
    for name, task in known_tasks().items():
        if task.of_lesions:
            check_rule("max", task)
        else:
            with pytest.raises(InputError, match="aggregate=max"):
                by_unit(table(name, []), task, "image", "max")


@pytest.mark.parametrize(
    ("unit", "rule", "message"),
    [("image", "median", "aggregate=median"), ("side", "mean", "unit=side")],
)
def test_an_unknown_unit_or_rule_lists_the_known(unit, rule, message):
    with pytest.raises(InputError, match=message):
        by_unit(table("abnormality", SAMPLES), find_task("abnormality"), unit, rule)


def test_a_table_of_predictions_alone_gives_the_numbers_of_patients(tmp_path):
    from tests.evaluation.tables import predictions

    rows = predictions(60)
    rows["label"] = np.where(rows["patient"].str[-1].isin(["1", "4", "7"]), rows["label"], "normal")
    rows.to_csv(tmp_path / "table.csv", index=False)
    tested = rows.query("head == 'svm' and split == 'test'").groupby("patient")
    area = roc_auc_score(tested["label"].agg(lambda of: "abnormal" in set(of)), tested["score"].max())
    found = evaluate(tmp_path / "table.csv", unit="patient", rule="max")
    assert "| n = 20, 20 patients; positive: abnormal" in found.text and "0 left out" in found.text
    assert found["svm"]["auroc"].value == pytest.approx(area)


def test_the_majority_class_of_patients_is_that_of_the_training_parts_patients_and_not_of_their_images():
    """Two of three images are normal, and two of three patients have an abnormal one."""
    images = [("a", "normal"), ("a", "abnormal"), ("b", "normal"), ("b", "abnormal"), ("c", "normal"), ("c", "normal")]
    samples = [
        (f"{part}{patient}", f"{part}{number}", part, label, 2 / 3, 1 / 3)
        for part in ("train", "test")
        for number, (patient, label) in enumerate(images)
    ]
    both = table("abnormality", samples).replace({"head": {"svm": "majority"}})
    patients, _ = by_unit(both, find_task("abnormality"), "patient", "mean")
    frequent = patients[patients["head"] == "majority"]
    assert np.allclose(frequent["p_abnormal"], 2 / 3) and np.allclose(frequent["p_normal"], 1 / 3)
    assert np.allclose(patients.loc[patients["head"] == "softmax", "p_abnormal"], 1 / 3)


def placed(rows):
    """Predictions of one head, an image each: patient, exam, laterality, label, probability of abnormal."""
    samples = [(patient, f"i{at}", "test", label, 1 - p, p) for at, (patient, _, _, label, p) in enumerate(rows)]
    images = pd.DataFrame(rows, columns=["patient", "exam", "laterality", "label", "p"])
    images["image_id"] = [f"i{at}" for at in range(len(rows))]
    return with_places(table("abnormality", samples).query("head == 'softmax'"), images)


FILMS = [  # patients with 1, 2, 4 and 5 images; two of one view; one without laterality; two exams of one patient
    ("p1", None, "left", "normal", 0.1),
    ("p2", None, "left", "abnormal", 0.6), ("p2", None, "left", "normal", 0.2),
    ("p4", "a", "left", "abnormal", 0.9), ("p4", "a", "right", "normal", 0.3),
    ("p4", "b", "left", "normal", 0.2), ("p4", "b", "left", "abnormal", 0.4),
    ("p5", "c", "left", "normal", 0.1), ("p5", "c", "left", "normal", 0.2), ("p5", None, "right", "normal", 0.3),
    ("p5", "c", "right", "normal", 0.4), ("p5", "c", None, "abnormal", 0.8),
]  # fmt: skip


def found_of(rows, unit, rule="max"):
    units, _ = by_unit(placed(rows), find_task("abnormality"), unit, rule)
    assert not units.duplicated("image_id").any()
    return {row.image_id: (row.label == "abnormal", round(row.p_abnormal, 6)) for row in units.itertuples()}


def test_breasts_exams_and_patients_have_any_number_of_images():
    assert found_of(FILMS, "breast") == {
        "p1 left": (False, 0.1), "p2 left": (True, 0.6), "p4 a left": (True, 0.9), "p4 a right": (False, 0.3),
        "p4 b left": (True, 0.4), "p5 c left": (False, 0.2), "p5 c right": (False, 0.4),
    }  # fmt: skip
    assert found_of(FILMS, "exam") == {
        "p1": (False, 0.1), "p2": (True, 0.6), "p4 a": (True, 0.9), "p4 b": (True, 0.4), "p5 c": (True, 0.8),
    }  # fmt: skip
    assert found_of(FILMS, "patient")["p5"] == (True, 0.8)
    assert found_of(FILMS, "breast", "mean")["p2 left"][1] == pytest.approx(0.4)
    assert telling_units(placed(FILMS)) == ["breast", "exam", "patient"]
    notes = unit_notes(placed(FILMS), "breast")
    assert "i9" in notes[0] and "i11" in notes[1] and len(notes) == 2


def test_an_image_without_an_exam_belongs_to_none_where_its_patient_has_several():
    rows = [*FILMS[3:7], ("p4", None, "left", "abnormal", 0.94)]
    assert found_of(rows, "exam") == {"p4 a": (True, 0.9), "p4 b": (True, 0.4)}
    assert found_of(rows, "patient") == {"p4": (True, 0.94)}
    (note,) = unit_notes(placed(rows), "exam")
    assert "i4" in note and note.startswith("1 image has no exam")


def test_units_that_equal_others_are_not_told():
    two_films = [("p1", None, side, "normal", 0.1) for side in ("left", "right")]
    assert telling_units(placed(two_films)) == ["patient"]
    assert telling_units(placed([("p1", "a", "left", "normal", 0.1), ("p1", "b", "left", "normal", 0.1)])) == [
        "patient"
    ]
    assert telling_units(placed([("p1", None, None, "normal", 0.1)] * 2)) == ["patient"]


def test_noisy_or_is_the_probability_of_any_and_its_score_ranks_as_it_does():
    p = np.array([0.6, 0.2, 0.05])
    rows = [("p1", None, "left", "normal", one) for one in p]
    units, _ = by_unit(placed(rows), find_task("abnormality"), "breast", "noisy_or")
    any_one = 1 - np.prod(1 - p)
    assert units[["score", "p_normal", "p_abnormal"]].to_numpy()[0] == pytest.approx(
        [np.log(any_one / (1 - any_one)), 1 - any_one, any_one]
    )
    images, _ = by_unit(placed(rows), find_task("abnormality"), "image", "noisy_or")
    assert images["p_abnormal"].to_numpy() == pytest.approx(p)


def test_noisy_or_is_exact_for_the_smallest_and_largest_probabilities():
    tiny, sure = np.full(3, 1e-15), np.full(3, 1e-30)
    score, none, some = any_positive(none_positive(np.ones(3), tiny).sum(keepdims=True))[0]
    assert (some, none, score) == pytest.approx((3e-15, 1, np.log(3e-15)))
    score, none, some = any_positive(none_positive(sure, np.ones(3)).sum(keepdims=True))[0]
    assert (some, score) == pytest.approx((1, 90 * np.log(10))) and none == pytest.approx(1e-90)
    ends = any_positive(none_positive(np.array([0.0, 1.0]), np.array([1.0, 0.0])))
    assert np.isfinite(ends).all() and ends[:, 2].tolist() == [1, 0]


@pytest.mark.parametrize(("task", "rule"), [("density", "noisy_or"), ("severity", "noisy_or"), ("density", "max")])
def test_a_rule_that_needs_an_alarming_class_is_refused_without_one(task, rule):
    with pytest.raises(InputError, match=f"aggregate={rule}"):
        check_rule(rule, find_task(task))


def test_the_majority_says_the_same_of_every_breast_however_many_images_it_has():
    rows = [
        ("p1", None, "left", "normal", 0.4),
        ("p2", None, "left", "normal", 0.4),
        ("p2", None, "left", "normal", 0.4),
    ]
    units, _ = by_unit(placed(rows).assign(head="majority"), find_task("abnormality"), "breast", "noisy_or")
    assert units["p_abnormal"].tolist() == pytest.approx([0.4, 0.4]) and units["score"].nunique() == 1


def test_a_table_of_anybody_is_evaluated_by_breast(tmp_path):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"PatientID": [f"p{at // 4}" for at in range(80)], "Laterality": ["L", "L", "R", ""] * 20})
    rows["label"] = ((np.arange(80) // 4) % 2).astype(int) * (rows["Laterality"] == "L")
    rows["score"] = (0.3 * rows["label"] + 0.6 * rng.random(80)).round(6)
    rows.to_csv(tmp_path / "table.csv", index=False)
    found = evaluate(tmp_path / "table.csv", by="PatientID", unit="breast", rule="max")
    known = rows[rows["Laterality"] != ""].groupby(["PatientID", "Laterality"])[["label", "score"]].max()
    assert found["auroc"].value == pytest.approx(roc_auc_score(known["label"], known["score"]))
    assert "n = 40, 20 patients" in found.text and "20 images have no known laterality" in found.text
    with pytest.raises(InputError, match=r"unit=exam .*column exam"):
        evaluate(tmp_path / "table.csv", by="PatientID", unit="exam")


@pytest.mark.parametrize("unit", ["image", "breast", "exam", "patient"])
@pytest.mark.parametrize("rule", ["mean", "noisy_or"])
@pytest.mark.parametrize("logit", [False, True])
def test_units_whose_numbers_are_equal_are_ties(unit, rule, logit):
    """In floating point the sum depends on the order, and the mean of 0.1 and 0.7 is not that of 0.3 and 0.5."""
    parts = ([0.1, 0.7], [0.3, 0.5]) if rule == "mean" else ([0.1, 0.2, 0.35], [0.35, 0.1, 0.2])
    parts = [np.array(one) - 0.4 * (logit and rule == "mean") for one in parts]  # about 0, where the mean is 0
    for first, second in (parts, parts[::-1]):
        score = np.r_[first, second, 0.4] if rule == "mean" and not logit else np.r_[first, second]
        names = np.repeat(["a", "b", "c"], [len(first), len(second), 1])[: len(score)]
        found = evaluate(
            pd.DataFrame(
                {"image_id": names, "patch": range(len(names)), "patient": names, "exam": "1", "laterality": "left"}
            ).assign(label=np.where(names == "a", "malignant", "benign"), score=score),
            unit=unit,
            rule=rule,
        )
        assert found["auroc"].value == 0.5


def test_a_unit_of_one_row_keeps_its_number_and_small_ones_are_not_lost():
    numbers, of = (
        pd.DataFrame({"p": [1 - 1e-13, 1e-300, 3e-300, np.nan, 0.5, 1 / 3, 1 / 3, 1 / 3]}),
        pd.Series([0, 1, 1, 2, 2, 3, 3, 3]),
    )
    found = combined_means(numbers, of)["p"]
    assert found[0] == 1 - 1e-13 and found[1] == pytest.approx(2e-300, rel=1e-12) and found[4] == 0.5
    assert (found[5:] == 1 / 3).all()
