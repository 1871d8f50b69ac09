"""Areas under the ROC and precision-recall curves, for many weightings of the samples at once."""

import numpy as np

from mammo.evaluation.grouped import Grouped, Weights

FLOOR = 1e-12


def weighted_auroc(positive: np.ndarray, score: np.ndarray, weights: Weights) -> np.ndarray:
    """Return (W,) areas under the ROC curve for (W, N) weightings; ties count half, NaN where a class is absent."""
    return auroc(*sums_of_classes(np.asarray(positive, bool), np.unique(score, return_inverse=True)[1], weights))


def auroc(up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return the areas for the (W, levels) weights of positives and negatives, the lowest level first."""
    below = np.cumsum(down, axis=1) - down
    with np.errstate(divide="ignore", invalid="ignore"):
        return (up * (below + down / 2)).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1))


def average_precision(up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return the average precisions for the (W, levels) weights of positives and negatives, the highest level first."""
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.cumsum(up, axis=1) / np.maximum(np.cumsum(up + down, axis=1), FLOOR)
        return (precision * up).sum(axis=1) / up.sum(axis=1)


def sums_of_classes(positive: np.ndarray, level: np.ndarray, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Return the (W, levels) weights of positives and of negatives on each level; `positive` is (N,) bool."""
    if isinstance(weights, Grouped):
        up, down = weights.parts_by_level(level, [positive, ~positive])
        return up, down
    return sum_by_level(weights * positive, level), sum_by_level(weights * ~positive, level)


def sum_by_level(values: Weights, level: np.ndarray) -> np.ndarray:
    """Return (W, levels) sums of (W, N) values over the samples of each level; levels are 0, 1, ... without a gap.

    `Grouped` values have fewer levels, in the same order.
    """
    if isinstance(values, Grouped):
        return values.by_level(level)
    if len(values) == 1:
        return np.bincount(level, values[0])[None]
    order = np.argsort(level, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(level[order]) > 0])
    return np.add.reduceat(values[:, order], starts, axis=1)
