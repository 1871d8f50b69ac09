"""The evaluation of a predictions table of samples, images or patients: its choices, metrics and counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mammo.datasets.findings import PARTS
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.metrics import evaluate
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import Predictions, by_head, choices
from mammo.tables.memory import give_back

Metrics = dict[str, dict[str, Value]]  # by head and name


@dataclass(frozen=True)
class Evaluation:
    """The choices made on a predictions table, and its metrics by split."""

    operating: dict[str, Operating]  # by head
    tested: dict[str, Predictions]  # by head, of the split test; those of others, which may be many, are not kept
    metrics: dict[str, Metrics]  # by split and head, for splits that have samples
    counts: dict[str, dict[str, int]]  # by split: samples in total and of each class, and patients

    def as_json(self) -> dict[str, Any]:
        """Return the content of `metrics.json`."""
        plain = {
            split: {head: {name: value.as_json() for name, value in values.items()} for head, values in heads.items()}
            for split, heads in self.metrics.items()
        }
        return {"n": self.counts, "operating": {head: vars(one) for head, one in self.operating.items()}} | plain


def flat(metrics: Mapping[str, Metrics], suffix: str = "") -> dict[str, float]:
    """Return each defined value of the metrics by split under the key `<split><suffix>/<head>/<metric>`."""
    return {
        f"{split}{suffix}/{head}/{name}": value.value
        for split, heads in metrics.items()
        for head, values in heads.items()
        for name, value in values.items()
        if value.value is not None
    }


def evaluate_table(
    table: pd.DataFrame,
    classes: list[str],
    rule: str | float,
    select_on: str,
    splits: tuple[str, ...] = PARTS,
    operating: dict[str, Operating] | None = None,
) -> Evaluation:
    """Return the evaluation of a predictions table.

    Args:
        table: The predictions of one seed and fold.
        classes: The names of the classes.
        rule: The rule of the threshold, see `operating_point.choose`.
        select_on: The split that chooses the threshold and the temperature.
        splits: The splits to evaluate.
        operating: The threshold and temperature of each head; None: what `select_on` chooses.
    """
    operating = operating or choices(table, classes, rule, select_on)
    metrics, counts = dict[str, Metrics](), dict[str, dict[str, int]]()
    heads, tested = dict[str, Predictions](), dict[str, Predictions]()
    for split in splits:
        heads = {}  # those of the split before are forgotten first
        heads = by_head(table, classes, split)
        counts[split] = _counts(heads, classes)
        if heads:
            metrics[split] = {head: evaluate(one, operating[head]) for head, one in heads.items()}
        if split == "test":
            tested = heads
        give_back()  # what was computed from a large table
    return Evaluation(operating, tested, metrics, counts)


def _counts(heads: dict[str, Predictions], classes: list[str]) -> dict[str, int]:
    if not heads:
        return dict.fromkeys(["samples", *classes, "patients"], 0)
    any_head = next(iter(heads.values()))
    by_class = {name: int((any_head.labels == i).sum()) for i, name in enumerate(classes)}
    return {"samples": len(any_head), **by_class, "patients": any_head.who.count()}
