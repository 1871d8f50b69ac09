"""Numbers: the paper's forty cells, scikit-learn's definitions, and intervals by woman."""

import numpy as np
import pytest
from sklearn import metrics as sk

from mammo.evaluation.metrics import (
    bootstrap_weights,
    evaluate,
    expected_calibration_error,
    threshold_at_specificity,
    weighted_auroc,
    weighted_average_precision,
)
from mammo.evaluation.report import paper_rows

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


def made(n=300, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)).round(1) + 1.2 * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    score = logits[:, 1] - logits[:, 0] if classes == 2 else None
    return labels, probabilities, score, np.array([f"p{i // 2}" for i in range(n)])


def test_two_classes_agree_with_scikit_learn():
    labels, probabilities, score, patients = made()
    found = evaluate(labels, probabilities, score, patients, ["normal", "abnormal"], resamples=50)
    called = probabilities.argmax(axis=1)
    expected = {
        "accuracy": sk.accuracy_score(labels, called),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, called),
        "sensitivity": sk.recall_score(labels, called),
        "specificity": sk.recall_score(labels, called, pos_label=0),
        "precision": sk.precision_score(labels, called),
        "f1": sk.f1_score(labels, called),
        "mcc": sk.matthews_corrcoef(labels, called),
        "auroc": sk.roc_auc_score(labels, score),
        "average_precision": sk.average_precision_score(labels, score),
        "brier": sk.brier_score_loss(labels, probabilities[:, 1]),
        "f1/normal": sk.f1_score(labels, called, pos_label=0),
        "auroc/normal": sk.roc_auc_score(1 - labels, -score),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected)


def test_several_classes_agree_with_scikit_learn():
    labels, probabilities, _, patients = made(classes=4)
    found = evaluate(labels, probabilities, None, patients, list("abcd"), resamples=20)
    called = probabilities.argmax(axis=1)
    expected = {
        "accuracy": sk.accuracy_score(labels, called),
        "f1": sk.f1_score(labels, called, average="macro"),
        "sensitivity": sk.recall_score(labels, called, average="macro"),
        "mcc": sk.matthews_corrcoef(labels, called),
        "auroc": sk.roc_auc_score(labels, probabilities, multi_class="ovr"),
        "auroc/c": sk.roc_auc_score(labels == 2, probabilities[:, 2]),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected)


def test_resampled_areas_are_those_of_the_repeated_samples():
    labels, _, score, patients = made(60)
    weights = bootstrap_weights(patients, 30)
    for row, auroc, precision in zip(
        weights,
        weighted_auroc(labels == 1, score, weights),
        weighted_average_precision(labels == 1, score, weights),
        strict=True,
    ):
        again = np.repeat(np.arange(60), row.astype(int))
        assert auroc == pytest.approx(sk.roc_auc_score(labels[again], score[again]))
        assert precision == pytest.approx(sk.average_precision_score(labels[again], score[again]))


def test_women_are_resampled_as_a_whole():
    weights = bootstrap_weights(np.array(["a", "b", "a", "c", "b", "a"]), 200)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, 1] == weights[:, 4]).all()
    assert (weights[1:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Accuracy of 0.7 with both films of a woman alike: counting films instead of women would cover far less."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        right = np.repeat(rng.random(80) < 0.7, 2)
        labels = np.tile([0, 1], 80)
        called = np.where(right, labels, 1 - labels)
        women = np.repeat(np.arange(80), 2)
        found = evaluate(labels, np.eye(2)[called], None, women, ["a", "b"], resamples=300)["accuracy"]
        inside += found.low <= 0.7 <= found.high
    assert 0.90 <= inside / 200 <= 0.99


def test_what_is_undefined_is_null_with_a_reason_and_never_nan():
    found = evaluate(np.array([0, 0, 0]), np.eye(2)[[0, 0, 0]], np.zeros(3), np.arange(3), ["a", "b"], resamples=20)
    for name in ("sensitivity", "precision", "auroc"):
        assert found[name].value is None and "undefined" in found[name].as_json()["reason"]
    assert found["accuracy"].value == 1.0 and "reason" not in found["accuracy"].as_json()


def test_the_threshold_leaves_the_wanted_share_of_negatives_below():
    score, positive = np.arange(100.0), np.arange(100) >= 90
    threshold = threshold_at_specificity(positive, score, 0.9)
    assert (score[~positive] <= threshold).mean() == 0.9


def test_calibration_error_is_the_gap_of_confidence_and_accuracy():
    confidence = np.array([0.95] * 10 + [0.55] * 10)
    right = np.array([1] * 5 + [0] * 5 + [1] * 5 + [0] * 5)
    assert expected_calibration_error(right, confidence) == pytest.approx((0.45 + 0.05) / 2)
