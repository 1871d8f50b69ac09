"""A predictions table of samples, films or women, judged: its choices, its metrics by part and head, its counts."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from mammo.datasets.findings import PARTS
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.metrics import evaluate
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import Answers, choices, of_part
from mammo.reports.markdown import markdown

SHOWN = (
    *("accuracy", "balanced_accuracy", "auroc", "average_precision", "sensitivity", "specificity", "precision", "f1"),
    *("accuracy_at_threshold", "sensitivity_at_threshold", "specificity_at_threshold"),
    *("sensitivity_at_specificity_90", "specificity_at_specificity_90", "mcc", "quadratic_kappa"),
    *("brier", "brier_calibrated", "ece", "ece_calibrated"),
)
BRIEFLY = (
    *("accuracy", "balanced_accuracy", "auroc", "average_precision", "sensitivity", "specificity"),
    *("sensitivity_at_threshold", "specificity_at_threshold", "mcc", "quadratic_kappa", "brier", "brier_calibrated"),
)

Metrics = dict[str, dict[str, Value]]  # head, metric


@dataclass(frozen=True)
class Judged:
    """A predictions table of samples, films or women: what was chosen on it, and by part its answers and metrics.

    Attributes:
        operating: By head.
        answers: By part and head.
        metrics: By part and head, of the parts that have answers.
        counts: By part: samples, of each class and altogether, and women.
    """

    operating: dict[str, Operating]
    answers: dict[str, dict[str, Answers]]
    metrics: dict[str, Metrics]
    counts: dict[str, dict[str, int]]

    def as_json(self) -> dict[str, Any]:
        """As `metrics.json` holds it."""
        plain = {
            part: {head: {name: value.as_json() for name, value in values.items()} for head, values in heads.items()}
            for part, heads in self.metrics.items()
        }
        return {"n": self.counts, "operating": {head: vars(one) for head, one in self.operating.items()}} | plain

    def flat(self, suffix: str = "") -> dict[str, float]:
        """`<part><suffix>/<head>/<metric>`: value, of those that are defined."""
        return {
            f"{part}{suffix}/{head}/{name}": value.value
            for part, heads in self.metrics.items()
            for head, values in heads.items()
            for name, value in values.items()
            if value.value is not None
        }


def judge(
    predictions: pd.DataFrame, classes: list[str], rule: str | float, select_on: str, parts: tuple[str, ...] = PARTS
) -> Judged:
    """What a predictions table says.

    Args:
        predictions: Of one seed and fold.
        classes: Its classes.
        rule: Of the threshold.
        select_on: The part that chooses it, and the temperature.
        parts: To be evaluated.
    """
    operating = choices(predictions, classes, rule, select_on)
    answers = {part: of_part(predictions, classes, part) for part in parts}
    metrics = {
        part: {head: evaluate(one, operating[head]) for head, one in heads.items()}
        for part, heads in answers.items()
        if heads
    }
    return Judged(operating, answers, metrics, {part: _counts(heads, classes) for part, heads in answers.items()})


def _counts(heads: dict[str, Answers], classes: list[str]) -> dict[str, int]:
    if not heads:
        return dict.fromkeys(["samples", *classes, "women"], 0)
    any_head = next(iter(heads.values()))
    by_class = {name: int((any_head.labels == i).sum()) for i, name in enumerate(classes)}
    return {"samples": len(any_head), **by_class, "women": len(set(any_head.patients))}


def metrics_table(metrics: Metrics, counts: dict[str, int], shown: tuple[str, ...] = SHOWN) -> list[str]:
    """The lines of a part's table, a column a head."""
    header = [f"n = {counts['samples']}, {counts['women']} women", *metrics]
    names = [name for name in shown if any(name in values for values in metrics.values())]
    return markdown(header, [[name, *(str(values.get(name, "")) for values in metrics.values())] for name in names])
