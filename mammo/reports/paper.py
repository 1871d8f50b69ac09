"""Counts in the form of Tables 3 and 4 of Behery et al. 2023, only for the comparison with them."""

import math

import numpy as np

from mammo.evaluation.metrics import confusion_metrics

PAPER_COLUMNS = ["Data", "TP", "TN", "FP", "FN", "ACC", "RECALL", "SPE", "PPV", "F"]


def paper_rows(counts: np.ndarray, classes: list[str]) -> list[list[str]]:
    """Return the rows of the tables from (actual, predicted) counts: each class as the positive one, in per cent."""
    rows = []
    for index in reversed(range(len(classes))):
        tp = int(counts[index, index])
        fp, fn = int(counts[:, index].sum()) - tp, int(counts[index].sum()) - tp
        tn = int(counts.sum()) - tp - fp - fn
        cells = confusion_metrics(tp, tn, fp, fn).values()
        shown = ["undefined" if np.isnan(cell) else truncated_percent(cell) for cell in cells]
        rows.append([classes[index], *map(str, (tp, tn, fp, fn)), *shown])
    return rows


def truncated_percent(fraction: float) -> str:
    """Return a fraction as per cent, truncated to two decimals as in the paper's tables."""
    return f"{math.floor(fraction * 10_000 + 1e-9) / 100:.2f}".rstrip("0").rstrip(".")
