"""Metrics from labels and predictions, with intervals by bootstrap over women. Fractions throughout.

Equations (1) to (5) of Behery et al. 2023 for accuracy, sensitivity, specificity, precision and F1. Every metric
is computed for many weightings of the samples at once: the first is the plain one, the others are resamples.
"""

import numpy as np

from mammo.datasets.labels import task_of
from mammo.evaluation.bootstrap import RESAMPLES, Value, bootstrap_weights, interval
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import Answers

FLOOR = 1e-12
AT_THRESHOLD = [
    f"{name}_at_{threshold}"
    for threshold in ("threshold", "specificity_90")
    for name in ("accuracy", "sensitivity", "specificity")
]


def confusion_metrics(tp: float, tn: float, fp: float, fn: float) -> dict[str, float]:
    """Accuracy, sensitivity, specificity, precision, F1, balanced accuracy and MCC of four counts; undefined is NaN."""
    arrays = _from_counts(*(np.asarray([count], float) for count in (tp, tn, fp, fn)))
    return {name: float(values[0]) for name, values in arrays.items()}


def _from_counts(tp: np.ndarray, tn: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> dict[str, np.ndarray]:
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
        return {
            "accuracy": (tp + tn) / (tp + tn + fp + fn),
            "sensitivity": sensitivity,
            "specificity": specificity,
            "precision": tp / (tp + fp),
            "f1": 2 * tp / (2 * tp + fp + fn),
            "balanced_accuracy": (sensitivity + specificity) / 2,
            "mcc": (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)),
        }


def weighted_auroc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(W,) area under the ROC curve for each of (W, N) weightings; ties count half; NaN where a class is absent."""
    _, level = np.unique(score, return_inverse=True)
    up = sum_by_level(weights * positive, level)  # (W, levels)
    down = sum_by_level(weights * ~positive, level)
    below = np.cumsum(down, axis=1) - down
    with np.errstate(divide="ignore", invalid="ignore"):
        return (up * (below + down / 2)).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1))


def weighted_average_precision(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(W,) average precision (the step-wise area, as scikit-learn defines it) for each of (W, N) weightings."""
    _, level = np.unique(-score, return_inverse=True)
    up, both = sum_by_level(weights * positive, level), sum_by_level(weights, level)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.cumsum(up, axis=1) / np.maximum(np.cumsum(both, axis=1), FLOOR)
        return (precision * up).sum(axis=1) / up.sum(axis=1)


def sum_by_level(values: np.ndarray, level: np.ndarray) -> np.ndarray:
    """(W, levels) sums of (W, N) values over samples of one level; levels are 0, 1, ... without a gap."""
    order = np.argsort(level, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(level[order]) > 0])
    return np.add.reduceat(values[:, order], starts, axis=1)


def evaluate(answers: Answers, operating: Operating, resamples: int = RESAMPLES) -> dict[str, Value]:
    """All metrics of one head on one part, with their intervals by woman.

    Args:
        answers: Of the head.
        operating: What its validation answers chose.
        resamples: How many, for the intervals.

    Returns:
        With two classes, the positive one's metrics by plain name and both as `<metric>/<class>`; with several,
        `accuracy`, macro means by plain name, and one against the rest as `<metric>/<class>`; `quadratic_kappa`
        where they are the classes of a task in which they are ordered.
    """
    arrays = weighted_metrics(answers, bootstrap_weights(answers.patients, resamples), operating)
    values = {name: interval(array, *support(answers, name)) for name, array in arrays.items()}
    if answers.score is not None:
        for name in AT_THRESHOLD:
            values.setdefault(name, Value(None, reason="no validation scores to choose a threshold on"))
    for name, table in (
        ("ece", answers.probabilities),
        ("ece_calibrated", operating.calibrated(answers.probabilities)),
    ):
        if name == "ece" or operating.temperature is not None:
            values[name] = Value(expected_calibration_error(answers.right, table.max(axis=1)))
    return values


def support(answers: Answers, metric: str) -> tuple[int, float, float]:
    """How many women a metric rests on, and its range."""
    plain, _, of = metric.partition("/")
    women = [len(np.unique(answers.patients[answers.labels == i])) for i in range(len(answers.classes))]
    count = min(women)
    if plain.startswith(("accuracy", "brier")):
        count = len(np.unique(answers.patients))
    elif plain.startswith(("sensitivity", "specificity")) and len(women) == 2:
        positive = answers.classes.index(of) if of else 1
        count = women[positive if plain.startswith("sensitivity") else 1 - positive]
    several = len(women) > 2
    return (
        count,
        -1.0 if plain in ("mcc", "quadratic_kappa") else 0.0,
        2.0 if plain.startswith("brier") and several else 1.0,
    )


def weighted_metrics(answers: Answers, weights: np.ndarray, operating: Operating) -> dict[str, np.ndarray]:
    """(W,) values of each metric of `evaluate` but the calibration error, for each of (W, N) weightings."""
    labels, chosen, score, classes = answers.labels, answers.called, answers.score, answers.classes
    arrays: dict[str, np.ndarray] = {}
    per_class = [
        _one_against_rest(labels == i, chosen == i, class_score(answers, i), weights) for i in range(len(classes))
    ]
    if len(classes) == 2:
        arrays |= per_class[1]
    else:
        arrays |= {name: np.mean([one[name] for one in per_class], axis=0) for name in per_class[0]}
        with np.errstate(invalid="ignore"):
            arrays["accuracy"] = (weights @ (labels == chosen)) / weights.sum(axis=1)
        arrays["balanced_accuracy"] = arrays["sensitivity"]
        arrays["mcc"] = _multiclass_mcc(labels, chosen, weights, len(classes))
        if (task := task_of(classes)) and task.ordered:
            arrays["quadratic_kappa"] = quadratic_kappa(labels, chosen, weights, len(classes))
    arrays["brier"] = _brier(labels, answers.probabilities, weights)
    if operating.temperature is not None:
        arrays["brier_calibrated"] = _brier(labels, operating.calibrated(answers.probabilities), weights)
    for suffix, threshold in (("threshold", operating.threshold), ("specificity_90", operating.threshold_90)):
        if threshold is not None and score is not None:
            at = _from_counts(*_counts(labels == 1, score > threshold, weights))
            arrays |= {f"{name}_at_{suffix}": at[name] for name in ("accuracy", "sensitivity", "specificity")}
    for name, one in zip(classes, per_class, strict=True):
        arrays |= {f"{metric}/{name}": values for metric, values in one.items()}
    return arrays


def class_score(answers: Answers, index: int) -> np.ndarray:
    """(N,) what orders the samples by one class."""
    if answers.score is None:
        return answers.probabilities[:, index]
    return answers.score if index == 1 else -answers.score


def _brier(labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean squared distance of the probabilities; of two classes, that of the positive one's alone."""
    truth = np.eye(probabilities.shape[1])[labels]
    squared = ((probabilities - truth) ** 2).sum(axis=1) / (2 if probabilities.shape[1] == 2 else 1)
    with np.errstate(invalid="ignore"):
        return (weights @ squared) / weights.sum(axis=1)


def _counts(truth: np.ndarray, called: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    pairs = ((truth & called), (~truth & ~called), (~truth & called), (truth & ~called))
    return tuple(weights @ pair.astype(float) for pair in pairs)


def _one_against_rest(
    truth: np.ndarray, called: np.ndarray, score: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    return _from_counts(*_counts(truth, called, weights)) | {
        "auroc": weighted_auroc(truth, score, weights),
        "average_precision": weighted_average_precision(truth, score, weights),
    }


def _multiclass_mcc(labels: np.ndarray, chosen: np.ndarray, weights: np.ndarray, classes: int) -> np.ndarray:
    """Gorodkin 2004: the correlation of two categorical assignments."""
    truth, called = np.eye(classes)[labels], np.eye(classes)[chosen]
    total, right = weights.sum(axis=1), weights @ (labels == chosen)
    true_counts, called_counts = weights @ truth, weights @ called
    with np.errstate(divide="ignore", invalid="ignore"):
        return (right * total - (true_counts * called_counts).sum(axis=1)) / np.sqrt(
            (total**2 - (called_counts**2).sum(axis=1)) * (total**2 - (true_counts**2).sum(axis=1))
        )


def quadratic_kappa(labels: np.ndarray, chosen: np.ndarray, weights: np.ndarray, classes: int) -> np.ndarray:
    """(W,) agreement of two assignments to ordered classes, weighted by the square of their distance (Cohen 1968)."""
    squared = np.subtract.outer(np.arange(classes), np.arange(classes)) ** 2
    true_counts, called_counts = weights @ np.eye(classes)[labels], weights @ np.eye(classes)[chosen]
    observed = (weights @ squared[labels, chosen]) * weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1 - observed / ((true_counts @ squared) * called_counts).sum(axis=1)


def expected_calibration_error(right: np.ndarray, confidence: np.ndarray, bins: int = 10) -> float:
    """Mean distance of confidence and accuracy over bins of equal width (Guo et al. 2017)."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(right[which == b].mean() - confidence[which == b].mean()) * (which == b).mean() for b in np.unique(which)
    ]
    return float(np.sum(gaps))
