"""Metrics from labels and predictions, with intervals by bootstrap over women. Fractions throughout.

Equations (1) to (5) of Behery et al. 2023 for accuracy, sensitivity, specificity, precision and F1. Every metric
is computed for many weightings of the samples at once: the first is the plain one, the others are resamples.
"""

import math
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
FLOOR = 1e-12


@dataclass(frozen=True)
class Value:
    """A metric with its 95 % interval; None, with a reason, where it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, object]:
        """As `metrics.json` holds it."""
        plain: dict[str, object] = {"value": self.value, "low": self.low, "high": self.high}
        return plain | ({"reason": self.reason} if self.reason else {})


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


def bootstrap_weights(patients: np.ndarray, resamples: int, seed: int = 0) -> np.ndarray:
    """(1 + resamples, N) weights of the samples: ones, then how often each sample's woman was drawn."""
    women, member = np.unique(patients, return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(women), np.full(len(women), 1 / len(women)), size=resamples)
    return np.vstack([np.ones(len(patients)), drawn[:, member]]).astype(float)


def weighted_auroc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(W,) area under the ROC curve for each of (W, N) weightings; ties count half; NaN where a class is absent."""
    _, level = np.unique(score, return_inverse=True)
    up = _sum_by_level(weights * positive, level)  # (W, levels)
    down = _sum_by_level(weights * ~positive, level)
    below = np.cumsum(down, axis=1) - down
    with np.errstate(divide="ignore", invalid="ignore"):
        return (up * (below + down / 2)).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1))


def weighted_average_precision(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(W,) average precision (the step-wise area, as scikit-learn defines it) for each of (W, N) weightings."""
    _, level = np.unique(-score, return_inverse=True)
    up, both = _sum_by_level(weights * positive, level), _sum_by_level(weights, level)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.cumsum(up, axis=1) / np.maximum(np.cumsum(both, axis=1), FLOOR)
        return (precision * up).sum(axis=1) / up.sum(axis=1)


def _sum_by_level(values: np.ndarray, level: np.ndarray) -> np.ndarray:
    order = np.argsort(level, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(level[order]) > 0])
    return np.add.reduceat(values[:, order], starts, axis=1)


def threshold_at_specificity(positive: np.ndarray, score: np.ndarray, specificity: float) -> float:
    """The lowest threshold, calling positive what is above it, at which this share of negatives is negative."""
    negatives = np.sort(score[~positive])
    if len(negatives) == 0:
        return math.inf
    return float(negatives[max(math.ceil(specificity * len(negatives)) - 1, 0)])


def evaluate(
    labels: np.ndarray,
    probabilities: np.ndarray,
    score: np.ndarray | None,
    patients: np.ndarray,
    classes: list[str],
    *,
    threshold_90: float | None = None,
    resamples: int = RESAMPLES,
) -> dict[str, Value]:
    """All metrics of one head on one part.

    Args:
        labels: (N,) class numbers.
        probabilities: (N, classes); the predicted class is the most probable one.
        score: (N,) score of the positive class, which has more distinct values than its probability; or None.
        patients: (N,) the woman of each sample, who is resampled as a whole.
        classes: Names; of two, the second is positive.
        threshold_90: Score above which validation had 90 % specificity.
        resamples: How many, for the intervals.

    Returns:
        With two classes, the positive one's metrics by plain name and both as `<metric>/<class>`; with several,
        `accuracy`, macro means by plain name, and one against the rest as `<metric>/<class>`.
    """
    weights = bootstrap_weights(patients, resamples)
    chosen = probabilities.argmax(axis=1)
    arrays: dict[str, np.ndarray] = {}
    per_class = [
        _one_against_rest(labels == i, chosen == i, _class_score(probabilities, score, i), weights)
        for i in range(len(classes))
    ]
    if len(classes) == 2:
        arrays |= per_class[1]
    else:
        arrays |= {name: np.mean([one[name] for one in per_class], axis=0) for name in per_class[0]}
        arrays["accuracy"] = (weights * (labels == chosen)).sum(axis=1) / weights.sum(axis=1)
        arrays["balanced_accuracy"] = arrays["sensitivity"]
        arrays["mcc"] = _multiclass_mcc(labels, chosen, weights, len(classes))
    truth = np.eye(len(classes))[labels]
    squared = ((probabilities - truth) ** 2).sum(axis=1) / (2 if len(classes) == 2 else 1)
    arrays["brier"] = (weights * squared).sum(axis=1) / weights.sum(axis=1)
    at_90 = ("sensitivity", "specificity")
    if threshold_90 is not None and score is not None:
        at = _from_counts(*_counts(labels == 1, score > threshold_90, weights))
        arrays |= {f"{name}_at_specificity_90": at[name] for name in at_90}
    for name, one in zip(classes, per_class, strict=True):
        arrays |= {f"{metric}/{name}": values for metric, values in one.items()}
    values = {name: _interval(array, name) for name, array in arrays.items()}
    for name in at_90:
        values.setdefault(
            f"{name}_at_specificity_90", Value(None, reason="no validation scores to choose a threshold on")
        )
    values["ece"] = Value(expected_calibration_error(labels == chosen, probabilities.max(axis=1)))
    return values


def _class_score(probabilities: np.ndarray, score: np.ndarray | None, index: int) -> np.ndarray:
    if score is None:
        return probabilities[:, index]
    return score if index == 1 else -score


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


def _interval(array: np.ndarray, name: str) -> Value:
    if not np.isfinite(array[0]):
        return Value(None, reason=f"{name.partition('/')[0]} is undefined: a count in its denominator is zero")
    resampled = array[1:][np.isfinite(array[1:])]
    low, high = np.percentile(resampled, [2.5, 97.5]) if len(resampled) else (None, None)
    return Value(float(array[0]), None if low is None else float(low), None if high is None else float(high))


def expected_calibration_error(right: np.ndarray, confidence: np.ndarray, bins: int = 10) -> float:
    """Mean distance of confidence and accuracy over bins of equal width (Guo et al. 2017)."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(right[which == b].mean() - confidence[which == b].mean()) * (which == b).mean() for b in np.unique(which)
    ]
    return float(np.sum(gaps))


def truncated_percent(fraction: float) -> str:
    """Per cent truncated to two decimals, as the paper's tables are; for the comparison with them alone."""
    return f"{math.floor(fraction * 10_000 + 1e-9) / 100:.2f}".rstrip("0").rstrip(".")
