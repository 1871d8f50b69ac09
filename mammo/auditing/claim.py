"""The arithmetic of a published claim: the counts of films that can give its numbers.

All arithmetic is on integers, so there is no tolerance. Sensitivity, precision, NPV and F1 are those of the positive
class; 0 / 0 counts as 0, as common software prints it.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from statistics import NormalDist

import numpy as np

from mammo.auditing.claim_names import METRICS
from mammo.auditing.claim_numbers import Number
from mammo.auditing.claim_words import Claim

LISTED = 6
# Patients of mini-MIAS with one, no and two abnormal films of two; it has 207 normal and 115 abnormal films.
MIAS_ONE, MIAS_NONE, MIAS_BOTH = 101, 53, 7
MIAS_FILMS = (207, 115)


@dataclass(frozen=True)
class Matrices:
    """Confusion matrices of `n` films; `rows` (R, 4): positives, true positives, fewest and most false positives."""

    n: int
    rows: np.ndarray

    def count(self) -> int:
        """Return the number of matrices."""
        return int((self.rows[:, 3] - self.rows[:, 2] + 1).sum())

    def cells(self) -> dict[str, tuple[int, int]]:
        """Return the range of each of the four counts, the positives, the larger class and the correct predictions."""
        positives, tp, least, most = self.rows.T
        larger = np.maximum(positives, self.n - positives)
        ends = {
            "tp": (tp, tp),
            "tn": (self.n - positives - most, self.n - positives - least),
            "fp": (least, most),
            "fn": (positives - tp, positives - tp),
            "positives": (positives, positives),
            "larger": (larger, larger),
        }
        ends["right"] = (tp + ends["tn"][0], tp + ends["tn"][1])
        return {name: (int(low.min()), int(high.max())) for name, (low, high) in ends.items()}

    def each(self) -> Iterable[tuple[int, int, int, int]]:
        """Yield the matrices as (tp, tn, fp, fn)."""
        for positives, tp, least, most in self.rows.tolist():
            for fp in range(least, most + 1):
                yield tp, self.n - positives - fp, fp, positives - tp


def matrices(claim: Claim, rule: str, only: Iterable[str] = METRICS) -> Matrices:
    """Return all confusion matrices that give the claim's numbers (or those named in `only`) by a rule of RULES."""
    numbers = {name: claim.numbers[name] for name in only if name in claim.numbers}
    possible = range(claim.n + 1) if claim.n_pos is None else [claim.n_pos]
    return Matrices(claim.n, np.concatenate([_rows(claim, positives, numbers, rule) for positives in possible]))


def _rows(claim: Claim, positives: int, numbers: dict[str, Number], rule: str) -> np.ndarray:
    """Return `Matrices.rows`; with positives and true positives fixed, a metric is monotonic in the false positives."""
    n, cells, negatives = claim.n, claim.cells, claim.n - positives
    first, last = numbers["sensitivity"].numerators(positives, rule) if "sensitivity" in numbers else (0, positives)
    tp = np.arange(first, min(last, positives) + 1)
    tp = tp[(tp == cells.get("tp", tp)) & (positives - tp == cells.get("fn", positives - tp))]
    bounds = [(0 * tp, 0 * tp + negatives)]
    bounds += [(0 * tp + fp, 0 * tp + fp) for fp in _false_positives(cells, negatives)]
    if "accuracy" in numbers:
        low, high = numbers["accuracy"].numerators(n, rule)
        bounds += [(tp + negatives - high, tp + negatives - low)]
    if "specificity" in numbers:
        low, high = numbers["specificity"].numerators(negatives, rule)
        bounds += [(0 * tp + negatives - high, 0 * tp + negatives - low)]
    if "npv" in numbers:  # tn / (tn + fn)
        fewest, most = numbers["npv"].complements(positives - tp, negatives, rule)
        bounds += [(negatives - most, negatives - fewest)]
    if "balanced_accuracy" in numbers:  # of two classes (tp N + tn P) / 2 P N; as in scikit-learn, of one its own share
        both = bool(positives and negatives)
        one, other, whole = (negatives, positives, 2 * positives * negatives) if both else (1, 1, n)
        low, high = numbers["balanced_accuracy"].numerators(whole, rule)
        bounds += [(negatives - (high - one * tp) // other, negatives + (one * tp - low) // other)]
    for name, times, beside in (("precision", 1, 0), ("f1", 2, positives)):  # tp / (tp + fp), 2 tp / (tp + fp + P)
        if name in numbers:
            least, most = numbers[name].denominators(times * tp, rule)
            bounds += [(least - tp - beside, most - tp - beside)]
    fewest, most = reduce(np.maximum, [low for low, _ in bounds]), reduce(np.minimum, [high for _, high in bounds])
    return np.stack([0 * tp + positives, tp, fewest, most], axis=1)[fewest <= most]


def _false_positives(cells: Mapping[str, int], negatives: int) -> list[int]:
    """Return the false positives by each of the given counts that tell them."""
    told = {"fp": cells.get("fp"), "tn": negatives - cells["tn"] if "tn" in cells else None}
    return [one for one in told.values() if one is not None]


def conflict(claim: Claim) -> list[str]:
    """Return the smallest set of the claim's numbers that no matrix gives together; it is empty if all agree."""
    for size in range(1, len(claim.numbers) + 1):
        for names in itertools.combinations(claim.numbers, size):
            if not len(matrices(claim, "either", names).rows):
                return list(names)
    return []


def wilson(right: float, n: float) -> tuple[float, float]:
    """Return the 95 % interval of the fraction `right / n` (Wilson 1927); the counts need not be whole."""
    z2, share = NormalDist().inv_cdf(0.975) ** 2, right / n
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def whole_patients(normal: int, abnormal: int) -> tuple[int, int, int] | None:
    """Return numbers of mini-MIAS patients with one, no and two abnormal films that sum to these films, or None."""
    for both in range(MIAS_BOTH + 1):
        one = abnormal - 2 * both
        none, odd = divmod(normal - one, 2)
        if 0 <= one <= MIAS_ONE and 0 <= none <= MIAS_NONE and not odd:
            return one, none, both
    return None
