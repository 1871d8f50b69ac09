"""The arithmetic of a published claim: the counts of films that can give its numbers.

A number with a decimal point that is at most 1 is a fraction (0.9777, 1.0). Any other number is per cent (97.77, 98,
1), and so is one that ends in %. A number stands for all values that round or truncate to its digits. All arithmetic
is on integers, so there is no tolerance. Sensitivity, precision and F1 are those of the positive class; 0 / 0 counts
as 0, as common software prints it.
"""

import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from statistics import NormalDist

import numpy as np

from mammo.errors import InputError

METRICS = ("accuracy", "sensitivity", "specificity", "precision", "f1")
COUNTS = ("n", "n_pos", "n_neg", "n_train", "n_test", "films_per_patient")
PARTS = ("train", "test")
# The lowest and highest value, in halves of the last digit from the number; then 1 if the highest itself is excluded.
# Ties may have been rounded up, down or to even, so rounding includes both ends.
RULES = {"rounded": (-1, 1, 0), "truncated": (0, 2, 1), "either": (-1, 2, 1)}
MOST_DECIMALS = 8  # keeps products within 64 bits
MOST_FILMS = 1_000_000
MOST_FILMS_UNKNOWN = 3_000  # if the number of positives is unknown: time and memory grow with the square
LISTED = 6
# Patients of mini-MIAS with one, no and two abnormal films of two; it has 207 normal and 115 abnormal films.
MIAS_ONE, MIAS_NONE, MIAS_BOTH = 101, 53, 7
MIAS_FILMS = (207, 115)


@dataclass(frozen=True)
class Number:
    """A published fraction, `digits` / `scale`: 97.77 % is 9777 / 10,000."""

    digits: int
    scale: int
    text: str  # as printed in the report: 98 becomes 98 %

    def numerators(self, denominator: int, rule: str) -> tuple[int, int]:
        """Return the lowest and highest count that is this fraction of `denominator`; if low > high there is none."""
        if denominator == 0:
            return 0, 0 if self.digits == 0 else -1
        low, high, left_out = self._halves(rule)
        return -(-low * denominator // (2 * self.scale)), (high * denominator - left_out) // (2 * self.scale)

    def denominators(self, numerators: np.ndarray, rule: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and highest total of which each of the `numerators` (R,) is this fraction."""
        low, high, left_out = self._halves(rule)
        scaled = numerators * (2 * self.scale)
        least = np.maximum(-(-(scaled + left_out) // high), 0 if self.digits == 0 else 1)
        if self.digits == 0:
            least = np.where(numerators == 0, 0, least)
        return least, scaled // low if low else np.full_like(scaled, 2 * MOST_FILMS)

    def _halves(self, rule: str) -> tuple[int, int, int]:
        low, high, left_out = RULES[rule]
        return max(2 * self.digits + low, 0), 2 * self.digits + high, left_out


@dataclass(frozen=True)
class Claim:
    """A published result on `n` test films; the number of positives and the training split may be unknown."""

    n: int
    n_pos: int | None
    numbers: dict[str, Number]
    n_train: int | None
    train: tuple[int, int] | None
    films_per_patient: int


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


def read_claim(words: list[str]) -> Claim:
    """Read a claim from words `key=value`; a key is one of METRICS, COUNTS or PARTS (value: normal,abnormal films)."""
    values: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in METRICS + COUNTS + PARTS or key in values:
            raise InputError(
                f"expected key=value, each of {', '.join(METRICS + COUNTS + PARTS)} at most once, "
                f"found '{word}'; write, for example, n=225 accuracy=97.77"
            )
        values[key] = value
    counts = {key: _count(key, values[key]) for key in COUNTS if key in values}
    parts = {part: _pair(part, values[part]) for part in PARTS if part in values}
    normal, abnormal = parts.get("test", (None, None))
    n_neg, n_pos = _agreed("n_neg", counts.get("n_neg"), normal), _agreed("n_pos", counts.get("n_pos"), abnormal)
    both = None if n_pos is None or n_neg is None else n_pos + n_neg
    n = _agreed("n", counts.get("n"), counts.get("n_test"), both)
    if not n or n > MOST_FILMS:
        raise InputError(
            f"n is {'missing' if n is None else n}; give the number of test films, 1 to {MOST_FILMS}, such as n=225"
        )
    if n_pos is None and n_neg is not None:
        n_pos = n - n_neg
    if n_pos is not None and not 0 <= n_pos <= n:
        raise InputError(f"n={n} is smaller than the number of positive or negative films; correct the counts")
    numbers = {key: _number(key, values[key]) for key in METRICS if key in values}
    if not numbers:
        raise InputError(f"no metric is given; expected one of {', '.join(METRICS)}, such as accuracy=97.77")
    if n_pos is None and n > MOST_FILMS_UNKNOWN and set(numbers) != {"accuracy"}:
        raise InputError(
            f"n={n} is above {MOST_FILMS_UNKNOWN}, and the number of positive films is unknown; give n_pos="
        )
    train = parts.get("train")
    n_train = _agreed("n_train", counts.get("n_train"), sum(train) if train else None)
    if (films := counts.get("films_per_patient", 2)) < 1:
        raise InputError("films_per_patient is 0; use 1 or more")
    return Claim(n, n_pos, numbers, n_train, train, films)


def _count(key: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise InputError(f"{key}={text} is not a count of films; use a whole number, such as {key}=225")
    return int(text)


def _pair(key: str, text: str) -> tuple[int, int]:
    normal, comma, abnormal = text.partition(",")
    if not comma:
        raise InputError(f"{key}={text} is not two counts; use normal and abnormal films, such as {key}=54,43")
    return _count(key, normal), _count(key, abnormal)


def _agreed(key: str, *given: int | None) -> int | None:
    different = sorted({value for value in given if value is not None})
    if len(different) > 1:
        raise InputError(
            f"{key} has the values {' and '.join(map(str, different))}; correct one (n, n_test, test= and "
            f"n_pos + n_neg all count the test films)"
        )
    return different[0] if different else None


def _number(key: str, text: str) -> Number:
    found = re.fullmatch(r"([0-9]{0,3})\.?([0-9]*)%?", text)
    if not found or not any(found.groups()) or len(found[2]) > MOST_DECIMALS:
        raise InputError(
            f"{key}={text} is neither per cent nor a fraction of at most {MOST_DECIMALS} decimals; "
            f"write {key}=97.77 or {key}=0.9777"
        )
    fraction = "." in text and "%" not in text and float(text) <= 1
    digits, scale = int(found[1] + found[2]), 10 ** (len(found[2]) + (0 if fraction else 2))
    return Number(digits, scale, text if fraction else f"{text.removesuffix('%')} %")


def matrices(claim: Claim, rule: str, only: Iterable[str] = METRICS) -> Matrices:
    """Return all confusion matrices that give the claim's numbers (or those named in `only`) by a rule of RULES."""
    numbers = {name: claim.numbers[name] for name in only if name in claim.numbers}
    possible = range(claim.n + 1) if claim.n_pos is None else [claim.n_pos]
    return Matrices(claim.n, np.concatenate([_rows(claim.n, positives, numbers, rule) for positives in possible]))


def _rows(n: int, positives: int, numbers: dict[str, Number], rule: str) -> np.ndarray:
    """Return `Matrices.rows`; with positives and true positives fixed, a metric is monotonic in the false positives."""
    negatives = n - positives
    first, last = numbers["sensitivity"].numerators(positives, rule) if "sensitivity" in numbers else (0, positives)
    tp = np.arange(first, min(last, positives) + 1)
    bounds = [(0 * tp, 0 * tp + negatives)]
    if "accuracy" in numbers:
        low, high = numbers["accuracy"].numerators(n, rule)
        bounds += [(tp + negatives - high, tp + negatives - low)]
    if "specificity" in numbers:
        low, high = numbers["specificity"].numerators(negatives, rule)
        bounds += [(0 * tp + negatives - high, 0 * tp + negatives - low)]
    for name, times, beside in (("precision", 1, 0), ("f1", 2, positives)):  # tp / (tp + fp), 2 tp / (tp + fp + P)
        if name in numbers:
            least, most = numbers[name].denominators(times * tp, rule)
            bounds += [(least - tp - beside, most - tp - beside)]
    fewest, most = reduce(np.maximum, [low for low, _ in bounds]), reduce(np.minimum, [high for _, high in bounds])
    return np.stack([0 * tp + positives, tp, fewest, most], axis=1)[fewest <= most]


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
