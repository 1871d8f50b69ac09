"""Images and patients from their samples: by the stated rule, each once, of one class."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammo.datasets.labels import find_task, known_tasks
from mammo.errors import InputError
from mammo.evaluation.aggregate import by_unit, check_rule
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
    [("image", "median", "aggregate=median"), ("breast", "mean", "unit=breast")],
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
