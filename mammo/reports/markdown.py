"""Tables in Markdown, among them those in the form of Tables 3 and 4 of Behery et al. 2023."""

import math

import numpy as np

from mammo.evaluation.bootstrap import Value
from mammo.evaluation.metrics import confusion_metrics
from mammo.evaluation.predictions import Answers

PAPER_COLUMNS = ["Data", "TP", "TN", "FP", "FN", "ACC", "RECALL", "SPE", "PPV", "F"]


def markdown(header: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def signed(value: Value) -> str:
    """A difference as text."""
    return str(value) if value.value is None else f"{value.value:+.3f} ({value.low:+.3f} to {value.high:+.3f})"


def confusion_counts(answers: Answers) -> np.ndarray:
    """Counts (actual, predicted) of one head."""
    counts = np.zeros((len(answers.classes), len(answers.classes)), int)
    np.add.at(counts, (answers.labels, answers.called), 1)
    return counts


def paper_rows(counts: np.ndarray, classes: list[str]) -> list[list[str]]:
    """The rows of Tables 3 and 4: each class as the positive one, per cent truncated."""
    rows = []
    for index in reversed(range(len(classes))):
        tp = int(counts[index, index])
        fp, fn = int(counts[:, index].sum()) - tp, int(counts[index].sum()) - tp
        tn = int(counts.sum()) - tp - fp - fn
        named = confusion_metrics(tp, tn, fp, fn)
        cells = [named[key] for key in ("accuracy", "sensitivity", "specificity", "precision", "f1")]
        shown = ["undefined" if np.isnan(cell) else truncated_percent(cell) for cell in cells]
        rows.append([classes[index], *map(str, (tp, tn, fp, fn)), *shown])
    return rows


def truncated_percent(fraction: float) -> str:
    """Per cent truncated to two decimals, as the paper's tables are; for the comparison with them alone."""
    return f"{math.floor(fraction * 10_000 + 1e-9) / 100:.2f}".rstrip("0").rstrip(".")
