"""How a head does on parts of the test films: by finding, severity, density and lesion size; and beside shortcuts."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from mammo.evaluation.bootstrap import Value, bootstrap_weights, difference, interval
from mammo.evaluation.metrics import class_score, support, weighted_auroc, weighted_metrics
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import Answers


def strata(samples: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
    """Names and masks of the strata of samples (rows of `samples.csv`); lesion size in thirds of these."""
    found = []
    for column in ("finding", "severity", "density"):
        for value in sorted(set(samples[column].dropna()) - {"NORM"}):  # which is severity normal
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


def by_stratum(samples: pd.DataFrame, heads: dict[str, Answers]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table: n, women, AUROC and accuracy of each head in each stratum of its samples."""
    tested = heads["majority"]
    facts = facts_of(samples, tested)
    areas = [head for head in heads if len(tested.classes) == 2 and head != "majority"]
    header = ["stratum", "n", "women"]
    for head in heads:
        header += [f"{head} AUROC"] * (head in areas) + [f"{head} accuracy"]
    rows = []
    for name, mask in strata(facts):
        cells = [name, str(mask.sum()), str(len(set(tested.patients[mask])))]
        for head, answers in heads.items():
            cells += [str(auroc(answers, mask))] * (head in areas) + [str(accuracy(answers, mask))]
        rows.append(cells)
    return header, rows


def facts_of(samples: pd.DataFrame, tested: Answers) -> pd.DataFrame:
    """The rows of `samples.csv` of the samples that were tested, in their order; a copy has those of its original."""
    return samples.set_index("sample_id").loc[[re.sub(r"\.c\d+$", "", sample) for sample in tested.samples]]


def one_liner(samples: pd.DataFrame, tested: Answers) -> Value:
    """AUROC of centre-minus-surround brightness alone, which has learnt nothing, for the positive of two classes."""
    score = facts_of(samples, tested)["contrast"].to_numpy(float)
    return auroc(replace(tested, score=score), np.ones(len(tested), bool))


def accuracy(answers: Answers, mask: np.ndarray) -> Value:
    """Of the samples of a stratum."""
    inside = answers[mask]
    weights = bootstrap_weights(inside.patients)
    with np.errstate(invalid="ignore"):
        shares = (weights * inside.right).sum(axis=1) / weights.sum(axis=1)
    return interval(shares, len(np.unique(inside.patients)))


def auroc(answers: Answers, mask: np.ndarray) -> Value:
    """Of a stratum's samples; where all are of one class, of them against every sample of the other one."""
    positive = answers.labels == 1
    if len(answers.classes) != 2 or positive.all() or not positive.any():
        return Value(None, reason="undefined: it needs two classes")
    if positive[mask].all() or not positive[mask].any():
        mask = mask | (positive != positive[mask][0])
    inside = answers[mask]
    array = weighted_auroc(inside.labels == 1, class_score(inside, 1), bootstrap_weights(inside.patients))
    return interval(array, *support(inside, "auroc"))


def beyond_shortcuts(heads: dict[str, Answers]) -> dict[str, Value]:
    """By head that sees the crops: its AUROC less that of the shortcuts, paired by woman."""
    weights = bootstrap_weights(heads["shortcuts"].patients)
    areas = {name: weighted_metrics(answers, weights, Operating())["auroc"] for name, answers in heads.items()}
    women = support(heads["shortcuts"], "auroc")[0]
    return {
        name: difference(area - areas["shortcuts"], women)
        for name, area in areas.items()
        if name not in ("shortcuts", "majority")
    }
