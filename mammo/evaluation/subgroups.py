"""Heads on subgroups of the test samples (data set, finding, severity, lesion size), and compared with shortcuts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mammo.datasets.findings import SAMPLE
from mammo.evaluation.bootstrap import Value, difference, interval, resampled
from mammo.evaluation.grouped import Weights
from mammo.evaluation.metrics import support, weighted_metrics
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import BASELINES, Predictions
from mammo.tables.alike import places_among

DESCRIBED = ("finding", "severity", "density")  # columns whose words are subgroups


def subgroups(samples: pd.DataFrame, columns: Sequence[str] = DESCRIBED) -> list[tuple[str, np.ndarray]]:
    """Return names and masks of the subgroups of samples.

    Args:
        samples: Rows of `samples.csv`; lesion sizes are cut in thirds.
        columns: The columns whose words are subgroups; rows without a word are in none.
    """
    found = []
    for column in ("dataset", "severity_source"):
        given = samples.get(column, pd.Series(pd.NA, samples.index)).astype("string").fillna("unstated")
        if given.nunique() > 1:
            found += [(f"{column} {value}", (given == value).to_numpy()) for value in sorted(given.unique())]
    for column in (one for one in columns if one in samples):  # runs of before lack some
        for value in sorted({*samples[column].dropna().unique()} - {"NORM"}):  # NORM is severity normal
            found.append((f"{column} {value}", (samples[column] == value).to_numpy()))
    radius = (samples["radius_px"] * samples["spacing_mm"]).to_numpy(float)
    if np.isfinite(radius).sum() >= 3:
        lower, upper = np.nanquantile(radius, [1 / 3, 2 / 3])
        found += [
            (f"lesion radius up to {lower:.1f} mm", radius <= lower),
            (f"lesion radius {lower:.1f} to {upper:.1f} mm", (radius > lower) & (radius <= upper)),
            (f"lesion radius above {upper:.1f} mm", radius > upper),
        ]
    return [(name, mask) for name, mask in found if mask.any()]


def by_subgroup(facts: pd.DataFrame, heads: dict[str, Predictions]) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of a table: n, patients, AUROC and accuracy of each head in each subgroup.

    Args:
        facts: The facts of the tested samples, see `facts_of`.
        heads: The predictions of each head for these samples.
    """
    tested = heads["majority"]
    unnamed = {head: replace(one, samples=one.samples[[]]) for head, one in heads.items()}  # quicker to cut
    areas = [head for head in heads if len(tested.classes) == 2 and head != "majority"]
    header = ["subgroup", "n", "patients"]
    for head in heads:
        header += [f"{head} AUROC"] * (head in areas) + [f"{head} accuracy"]
    rows = []
    for name, mask in subgroups(facts):
        cells = [name, str(mask.sum()), str(tested.who.count(mask))]
        for head, one in unnamed.items():
            area = [str(auroc(one, mask, alone=name.startswith("dataset ")))] if head in areas else []
            cells += [*area, str(accuracy(one, mask))]
        rows.append(cells)
    return header, rows


def facts_of(samples: pd.DataFrame, tested: Predictions) -> pd.DataFrame:
    """Return the rows of `samples.csv` of the tested samples, in their order; a copy has its original's row."""
    near = places_among(samples["image_id"], tested.samples["image_id"].drop_duplicates()) >= 0
    of_tested = samples[near]  # to merge with all, which may be many, takes longer
    return tested.samples[SAMPLE[:3]].merge(of_tested, how="left", on=SAMPLE[:3], validate="many_to_one")


def one_liner(facts: pd.DataFrame, tested: Predictions) -> Value:
    """Return the AUROC of centre-minus-surround brightness, which learns nothing, for the positive class."""
    score = facts["contrast"].to_numpy(float)
    return auroc(replace(tested, score=score), np.ones(len(tested), bool))


def accuracy(predictions: Predictions, mask: np.ndarray) -> Value:
    """Return the accuracy for the samples of a subgroup."""
    inside = predictions[mask]
    return _value(inside, "accuracy")


def auroc(predictions: Predictions, mask: np.ndarray, *, alone: bool = False) -> Value:
    """Return the AUROC for a subgroup. A subgroup of one class is compared with all samples of the other class.

    Args:
        predictions: The predictions of all samples.
        mask: (samples,) bool, true in the subgroup.
        alone: True compares a subgroup with no sample of another one.
    """
    positive = predictions.labels == 1
    seen = positive[mask] if alone else positive
    if len(predictions.classes) != 2 or seen.all() or not seen.any():
        return Value(None, reason="undefined: it needs two classes")
    if positive[mask].all() or not positive[mask].any():
        mask = mask | (positive != positive[mask][0])
    inside = predictions[mask]
    return _value(inside, "auroc")


def at_threshold(predictions: Predictions, mask: np.ndarray, operating: Operating) -> dict[str, Value]:
    """Return sensitivity and specificity for the samples of a subgroup, at the threshold of all samples."""
    inside, named = predictions[mask], ("sensitivity", "specificity")
    if operating.threshold is None or predictions.score is None:
        return dict.fromkeys(named, Value(None, reason="there is no threshold"))
    return {name: _value(inside, f"{name}_at_threshold", operating) for name in named}


def _value(inside: Predictions, metric: str, operating: Operating | None = None) -> Value:
    arrays = resampled(inside.who.ranked, lambda weights: weighted_metrics(inside, weights, operating, only=[metric]))
    return interval(arrays[metric], *support(inside, metric))


def beyond_shortcuts(heads: dict[str, Predictions]) -> dict[str, Value]:
    """Return the AUROC of each head that sees the crops minus that of the shortcuts, paired by patient."""

    def areas_of(weights: Weights) -> dict[str, np.ndarray]:
        return {name: weighted_metrics(one, weights, only=["auroc"])["auroc"] for name, one in heads.items()}

    areas = resampled(heads["shortcuts"].who.ranked, areas_of)
    rests_on = support(heads["shortcuts"], "auroc")
    return {name: difference(areas[name], areas["shortcuts"], *rests_on) for name in heads if name not in BASELINES}
