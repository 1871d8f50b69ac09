"""Numbers: the paper's forty cells, scikit-learn's definitions, and intervals by patient."""

import time

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from mammo.evaluation.areas import weighted_auroc
from mammo.evaluation.bootstrap import bootstrap_weights
from mammo.evaluation.grouped import Grouped
from mammo.evaluation.metrics import METRICS, SEVERAL, Case, evaluate, weighted_metrics
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import Patients, Predictions
from mammo.reports.paper import paper_rows
from tests.evaluation.tables import weighted_average_precision

# Behery et al. 2023, Tables 3 and 4: TP TN FP FN ACC RECALL SPE PPV F, from the counts of Figures 6 and 8.
TABLES = {
    "vgg": (
        [[151, 2], [3, 69]],
        "cancer 69 151 2 3 97.77 95.83 98.69 97.18 96.5",
        "normal 151 69 3 2 97.77 98.69 95.83 98.05 98.37",
    ),
    "inception": (
        [[146, 7], [9, 63]],
        "cancer 63 146 7 9 92.88 87.5 95.42 90 88.73",
        "normal 146 63 9 7 92.88 95.42 87.5 94.19 94.8",
    ),
}


@pytest.mark.parametrize("table", sorted(TABLES))
def test_the_papers_four_counts_give_all_cells_of_its_tables(table):
    counts, *rows = TABLES[table]
    assert paper_rows(np.array(counts), ["normal", "cancer"]) == [row.split() for row in rows]


def answered(labels, probabilities, score, patients, classes):
    return Predictions(
        tuple(classes),
        labels,
        probabilities,
        score,
        Patients.of(patients),
        pd.DataFrame({"image_id": range(len(labels))}),
    )


def made(n=300, classes=("normal", "abnormal"), seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(classes), n)
    logits = rng.normal(size=(n, len(classes))).round(1) + 1.2 * np.eye(len(classes))[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    score = logits[:, 1] - logits[:, 0] if len(classes) == 2 else None
    return answered(labels, probabilities, score, np.array([f"p{i // 2}" for i in range(n)]), classes)


def test_two_classes_agree_with_scikit_learn():
    a = made()
    found = evaluate(a, resamples=50)
    labels, called = a.labels, a.called
    expected = {
        "accuracy": sk.accuracy_score(labels, called),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, called),
        "sensitivity": sk.recall_score(labels, called),
        "specificity": sk.recall_score(labels, called, pos_label=0),
        "precision": sk.precision_score(labels, called),
        "f1": sk.f1_score(labels, called),
        "mcc": sk.matthews_corrcoef(labels, called),
        "auroc": sk.roc_auc_score(labels, a.score),
        "average_precision": sk.average_precision_score(labels, a.score),
        "brier": sk.brier_score_loss(labels, a.probabilities[:, 1]),
        "f1/normal": sk.f1_score(labels, called, pos_label=0),
        "auroc/normal": sk.roc_auc_score(1 - labels, -a.score),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("classes", [("F", "G", "D"), tuple("abcdefg")])
def test_several_classes_agree_with_scikit_learn_in_macro_means_and_one_against_the_rest(classes):
    a = made(classes=classes)
    found = evaluate(a, resamples=20)
    labels, called = a.labels, a.called
    expected = {
        "accuracy": sk.accuracy_score(labels, called),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, called),
        "f1": sk.f1_score(labels, called, average="macro"),
        "sensitivity": sk.recall_score(labels, called, average="macro"),
        "precision": sk.precision_score(labels, called, average="macro"),
        "mcc": sk.matthews_corrcoef(labels, called),
        "auroc": sk.roc_auc_score(labels, a.probabilities, multi_class="ovr"),
        "average_precision": sk.average_precision_score(labels, a.probabilities),
        "brier": sk.brier_score_loss(labels, a.probabilities),
    }
    for i, name in enumerate(classes):
        truth, said = labels == i, called == i
        expected |= {
            f"accuracy/{name}": sk.accuracy_score(truth, said),
            f"sensitivity/{name}": sk.recall_score(truth, said),
            f"specificity/{name}": sk.recall_score(truth, said, pos_label=False),
            f"precision/{name}": sk.precision_score(truth, said),
            f"f1/{name}": sk.f1_score(truth, said),
            f"auroc/{name}": sk.roc_auc_score(truth, a.probabilities[:, i]),
            f"average_precision/{name}": sk.average_precision_score(truth, a.probabilities[:, i]),
        }
    assert {name: found[name].value for name in expected} == pytest.approx(expected)


# Two radiologists on 85 xeromammograms, normal, benign, suspected or cancer: Boyd et al. 1982 (J Natl Cancer Inst
# 68:357), whose quadratic kappa the manual of Stata's `kappa` prints.
RADIOLOGISTS = [[21, 12, 0, 0], [4, 17, 1, 0], [3, 9, 15, 2], [0, 0, 0, 1]]


def test_quadratic_kappa_is_that_of_a_published_example():
    counts = np.array(RADIOLOGISTS)
    first, second = np.indices(counts.shape).reshape(2, -1)
    case = Case(first, second, second, np.eye(4)[second], counts.reshape(1, -1))
    assert SEVERAL["quadratic_kappa"].of(case).round(4) == [0.6714]


def test_quadratic_kappa_is_of_ordered_classes_and_agrees_with_scikit_learn_on_every_resample():
    a = made(60, ("normal", "benign", "malignant"))
    weights = bootstrap_weights(a.patients, 30)
    case = Case(a.labels, a.called, a.labels, a.probabilities, weights)
    for row, kappa in zip(weights, SEVERAL["quadratic_kappa"].of(case), strict=True):
        again = np.repeat(np.arange(60), row.astype(int))
        assert kappa == pytest.approx(sk.cohen_kappa_score(a.labels[again], a.called[again], weights="quadratic"))
    found = evaluate(a, resamples=20)["quadratic_kappa"]
    assert found.value == pytest.approx(sk.cohen_kappa_score(a.labels, a.called, weights="quadratic"))
    for classes in (tuple("abc"), ("NORM", "CALC", "CIRC", "SPIC", "MISC", "ARCH", "ASYM"), ("normal", "abnormal")):
        assert "quadratic_kappa" not in evaluate(made(60, classes), resamples=2)


def test_a_kappa_below_zero_has_its_interval_below_zero_too():
    a = made(200, ("F", "G", "D"))
    opposed = answered(a.labels, a.probabilities[:, ::-1], None, a.patients, a.classes)
    found = evaluate(opposed, resamples=200)["quadratic_kappa"]
    assert -1 < found.low < found.value < found.high < 0


def test_resampled_areas_are_those_of_the_repeated_samples():
    a = made(60)
    labels, score = a.labels, a.score
    weights = bootstrap_weights(a.patients, 30)
    for row, auroc, precision in zip(
        weights,
        weighted_auroc(labels == 1, score, weights),
        weighted_average_precision(labels == 1, np.unique(score, return_inverse=True)[1], weights),
        strict=True,
    ):
        again = np.repeat(np.arange(60), row.astype(int))
        assert auroc == pytest.approx(sk.roc_auc_score(labels[again], score[again]))
        assert precision == pytest.approx(sk.average_precision_score(labels[again], score[again]))


@pytest.mark.parametrize("grouped", [False, True])
def test_two_classes_share_their_sums_and_each_has_the_areas_of_its_own_scores(grouped):
    a = made(900)
    member = np.unique(a.patients, return_inverse=True)[1]
    weights = Grouped.drawn_from(member, member.max() + 1, 20) if grouped else bootstrap_weights(a.patients, 20)
    found = weighted_metrics(a, weights)
    for name, positive, score in ((a.classes[1], a.labels == 1, a.score), (a.classes[0], a.labels == 0, -a.score)):
        level = np.unique(score, return_inverse=True)[1]
        assert (found[f"auroc/{name}"] == weighted_auroc(positive, score, weights)).all()
        assert (found[f"average_precision/{name}"] == weighted_average_precision(positive, level, weights)).all()


def test_what_is_undefined_is_null_with_a_reason_and_never_nan():
    a = answered(np.array([0, 0, 0]), np.eye(2)[[0, 0, 0]], np.zeros(3), np.array(list("xyz")), ["a", "b"])
    found = evaluate(a, resamples=20)
    for name in ("sensitivity", "precision", "auroc", "sensitivity_at_threshold"):
        assert found[name].value is None and found[name].as_json()["reason"]
    assert found["accuracy"].value == 1.0 and "reason" not in found["accuracy"].as_json()


def test_the_threshold_and_the_temperature_stand_beside_the_plain_metrics():
    a = made()
    found = evaluate(a, Operating(threshold=1.0, threshold_90=2.0, temperature=0.5), resamples=20)
    assert found["sensitivity_at_threshold"].value == pytest.approx((a.score[a.labels == 1] > 1.0).mean())
    assert found["specificity_at_specificity_90"].value == pytest.approx((a.score[a.labels == 0] <= 2.0).mean())
    sharper = a.probabilities**2 / (a.probabilities**2).sum(axis=1, keepdims=True)
    assert found["brier_calibrated"].value == pytest.approx(sk.brier_score_loss(a.labels, sharper[:, 1]))


@pytest.mark.parametrize("classes", [("normal", "abnormal"), ("F", "G", "D")])
def test_every_value_has_an_interval_or_says_why_not(classes):
    chosen = Operating(threshold=0.0, threshold_90=1.0, temperature=1.0)
    for images, operating in ((2, chosen), (60, None), (60, chosen)):
        for name, value in evaluate(made(images, classes), operating, resamples=50).items():
            if value.low is None or value.high is None or value.value is None:
                assert value.reason, name
            else:
                assert value.low <= value.value <= value.high, name


def test_all_metrics_of_the_archive_with_intervals_take_less_than_five_seconds():
    start = time.perf_counter()
    evaluate(made(322), Operating(threshold=0.0, threshold_90=1.0, temperature=1.0))
    assert time.perf_counter() - start < 5


def calibration_error(right, confidence):
    """Guo et al. 2017, as 0.1.0 computed it."""
    which = np.minimum((confidence * 10).astype(int), 9)
    bins = [which == b for b in np.unique(which)]
    return sum(abs(right[of].mean() - confidence[of].mean()) * of.mean() for of in bins)


@pytest.mark.parametrize("classes", [("normal", "abnormal"), ("F", "G", "D")])
def test_the_calibration_error_of_a_resample_is_that_of_the_repeated_samples(classes):
    a = made(120, classes)
    weights, confidence = bootstrap_weights(a.patients, 10), a.probabilities.max(axis=1)
    found = METRICS["ece"].of(Case(a.labels, a.called, a.labels, a.probabilities, weights))
    assert found[0] == pytest.approx(calibration_error(a.right, confidence), abs=1e-12)
    for row, error in zip(weights, found, strict=True):
        again = np.repeat(np.arange(120), row.astype(int))
        assert error == pytest.approx(calibration_error(a.right[again], confidence[again]))
    calibrated = evaluate(a, Operating(temperature=2.0), resamples=200)["ece_calibrated"]
    assert calibrated.low < calibrated.value < calibrated.high
