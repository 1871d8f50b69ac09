"""Curves of one head on one part: ROC and precision-recall with bands by patient, and reliability."""

from dataclasses import dataclass

import numpy as np

from mammo.evaluation.areas import sums_of_classes
from mammo.evaluation.bootstrap import resampled
from mammo.evaluation.grouped import Weights

GRID = np.linspace(0, 1, 101)
PER_BIN = 16  # samples in a bin, as long as there are 3 to 10 bins


@dataclass(frozen=True)
class Band:
    """A curve over `x` with its pointwise 95 % band; (points,) each."""

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray


def roc(positive: np.ndarray, score: np.ndarray, patients: np.ndarray, resamples: int = 500) -> Band:
    """Return the ROC curve: sensitivity over 1 - specificity."""

    def rows(weights: Weights) -> dict[str, np.ndarray]:
        up, down = _above(positive, score, weights)
        rates = zip(up / up[:, -1:], down / down[:, -1:], strict=True)
        return {"y": np.array([np.interp(GRID, fpr, tpr) for tpr, fpr in rates]).reshape(-1, len(GRID))}

    return _band(resampled(patients, rows, resamples)["y"])


def precision_recall(positive: np.ndarray, score: np.ndarray, patients: np.ndarray, resamples: int = 500) -> Band:
    """Return precision over sensitivity: for each sensitivity, the precision of the first threshold to reach it.

    At sensitivity 0 it is that of the first threshold that finds a positive sample.
    """

    def rows(weights: Weights) -> dict[str, np.ndarray]:
        up, down = _above(positive, score, weights)
        precision = up[:, 1:] / np.maximum(up[:, 1:] + down[:, 1:], 1e-12)
        recall = up[:, 1:] / up[:, -1:]
        reached = [np.minimum(np.searchsorted(row, np.maximum(GRID - 1e-9, 1e-9)), len(row) - 1) for row in recall]
        found = [row[at] for row, at in zip(precision, reached, strict=True)]
        return {"y": np.array(found).reshape(-1, len(GRID))}

    return _band(resampled(patients, rows, resamples)["y"])


def _above(positive: np.ndarray, score: np.ndarray, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Return the (resamples, 1 + levels) weights of positives and of negatives above each threshold, highest first.

    Resamples without positives or without negatives are left out.
    """
    _, level = np.unique(-score, return_inverse=True)
    sums = [np.cumsum(one, axis=1) for one in sums_of_classes(positive, level, weights)]
    both = (sums[0][:, -1] > 0) & (sums[1][:, -1] > 0)
    up, down = (np.pad(one[both], ((0, 0), (1, 0))) for one in sums)
    return up, down


def _band(rows: np.ndarray) -> Band:
    """Return the first row as the curve, with a band from the other rows, which are its resamples."""
    low, high = np.percentile(rows[1:] if len(rows) > 1 else rows, [2.5, 97.5], axis=0)
    return Band(GRID, rows[0], low, high)


def reliability(predicted: np.ndarray, true: np.ndarray, patients: np.ndarray, resamples: int = 500) -> Band:
    """Return the fraction of `true` samples over their mean `predicted` probability, in bins of equal numbers."""
    order = np.argsort(predicted, kind="stable")
    bins = [
        part
        for part in np.array_split(order, min(max(len(order) // PER_BIN, 3), 10, len(np.unique(predicted))))
        if len(part)
    ]

    def shares(weights: Weights) -> dict[str, np.ndarray]:
        mass = np.stack([weights.take(part, axis=1).sum(axis=1) for part in bins], axis=1)
        hit = np.stack([(weights.take(part, axis=1) * true[part]).sum(axis=1) for part in bins], axis=1)
        return {"share": np.divide(hit, mass, out=np.full_like(hit, np.nan), where=mass > 0)}

    share = resampled(patients, shares, resamples)["share"]
    low, high = np.nanpercentile(share[1:], [2.5, 97.5], axis=0)
    return Band(np.array([predicted[part].mean() for part in bins]), share[0], low, high)
