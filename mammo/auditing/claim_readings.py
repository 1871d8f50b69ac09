"""The readings of a claim other than as counts of the positive class: means over classes, and over folds.

Every test is lenient at the edges of rounding, so that a number which no reading gives is impossible indeed.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mammo.auditing.claim_words import Claim, Number

OF_CLASSES = {
    "negative": "numbers of the other class, taken as the positive one",
    "macro": "means over both classes (macro)",
    "weighted": "means over both classes, weighted by their films",
    "micro": "means over all films of both classes (micro), which are the accuracy",
}
_POSITIVE = "positive"
GROUPS: tuple[tuple[str, ...], ...] = (("sensitivity", "specificity"), ("precision", "npv"), ("f1",))
MOST_CELLS = 4_000_000  # matrices that are tried at once
MOST_UNKNOWN = 300  # films up to which all numbers of positives are tried
_EDGE = 1e-12

Matrix = tuple[int, int, int, int]


@dataclass(frozen=True)
class Reading:
    """A reading of a claim that some counts fit.

    Attributes:
        words: The reading in words.
        matrices: Some of the confusion matrices (tp, tn, fp, fn) that fit; empty if they are not determined.
        count: The number of matrices that fit.
    """

    words: str
    matrices: tuple[Matrix, ...] = ()
    count: int = 0


def of_classes(claim: Claim, most: int) -> tuple[list[Reading], list[str]]:
    """Return the readings as means over classes that fit, and the readings that were tried, in words.

    A mixture of readings is tried only if no single one fits.

    Args:
        claim: The claim.
        most: The number of matrices that a reading lists at most.
    """
    if claim.n_pos is None and claim.n > MOST_UNKNOWN and set(claim.numbers) != {"accuracy"}:
        return [], []
    if not set(claim.numbers) - {"accuracy"}:
        return [], []
    fits: dict[tuple[str, ...], list[Matrix]] = {}
    counts: dict[tuple[str, ...], int] = {}
    given: list[tuple[str, ...]] = [group for group in GROUPS if set(group) & set(claim.numbers)]
    alike = [(one,) * len(given) for one in OF_CLASSES]
    mixed = [one for one in itertools.product((_POSITIVE, *OF_CLASSES), repeat=len(given)) if len(set(one)) > 1]
    for tp, tn, positives in _cells(claim):
        masks = _masks(claim, tp, tn, positives)
        for way in (*alike, *mixed):
            kept = np.ones(len(tp), bool)
            for group, one in zip(given, way, strict=True):
                for name in (name for name in group if name in claim.numbers):
                    kept &= masks[name][one]
            at = np.flatnonzero(kept)
            if len(at):
                counts[way] = counts.get(way, 0) + len(at)
                negatives = claim.n - positives
                fits.setdefault(way, []).extend(
                    (int(tp[row]), int(tn[row]), int(negatives - tn[row]), int(positives - tp[row]))
                    for row in at[:most]
                )
    single = [Reading(OF_CLASSES[way[0]], tuple(fits[way][:most]), counts[way]) for way in alike if way in fits]
    tried = [*OF_CLASSES.values(), "mixtures of these"] if len(given) > 1 else list(OF_CLASSES.values())
    if single:
        return single, tried
    found = [way for way in mixed if way in fits]
    found.sort(key=lambda way: -way.count(_POSITIVE))
    return [Reading(_mixture(claim, given, way), tuple(fits[way][:most]), counts[way]) for way in found[:1]], tried


def _cells(claim: Claim) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield the true positives, true negatives and number of positives of all matrices that have the accuracy."""
    for positives in range(claim.n + 1) if claim.n_pos is None else [claim.n_pos]:
        negatives = claim.n - positives
        tp = np.arange(positives + 1)
        if "accuracy" in claim.numbers:
            low, high = claim.numbers["accuracy"].numerators(claim.n, "either")
            parts = [(tp, right - tp) for right in range(low, high + 1)]
        elif (positives + 1) * (negatives + 1) <= MOST_CELLS:
            parts = [(np.repeat(tp, negatives + 1), np.tile(np.arange(negatives + 1), positives + 1))]
        else:
            parts = [(np.full(negatives + 1, one), np.arange(negatives + 1)) for one in tp]
        for one, other in parts:
            inside = (other >= 0) & (other <= negatives)
            if inside.any():
                yield one[inside], other[inside], positives


def _masks(claim: Claim, tp: np.ndarray, tn: np.ndarray, positives: int) -> dict[str, dict[str, np.ndarray]]:
    """Return which matrices give each number of the claim, by the way in which it is taken over the classes."""
    negatives = claim.n - positives
    fp, fn = negatives - tn, positives - tp
    recall = _share(tp, positives), _share(tn, negatives)
    precision = _share(tp, tp + fp), _share(tn, tn + fn)
    f1 = _share(2 * tp, 2 * tp + fp + fn), _share(2 * tn, 2 * tn + fp + fn)
    pairs = {
        "sensitivity": recall, "specificity": recall[::-1], "precision": precision, "npv": precision[::-1], "f1": f1,
    }  # fmt: skip
    right = (tp + tn) / claim.n
    masks: dict[str, dict[str, np.ndarray]] = {}
    for name, (one, other) in pairs.items():
        if name not in claim.numbers:
            continue
        low, high = claim.numbers[name].span()
        ways = _ways((one, other), positives, negatives) | {"micro": right}
        masks[name] = {way: (value >= low - _EDGE) & (value <= high + _EDGE) for way, value in ways.items()}
    if "f1" in claim.numbers:  # some take F1 of the means instead of the mean of F1
        low, high = claim.numbers["f1"].span()
        means = zip(
            _ways(precision, positives, negatives).items(), _ways(recall, positives, negatives).values(), strict=True
        )
        for (way, of_precision), of_recall in means:
            value = _share(2 * of_precision * of_recall, of_precision + of_recall)
            masks["f1"][way] |= (value >= low - _EDGE) & (value <= high + _EDGE)
    return masks


def _ways(pair: tuple[np.ndarray, np.ndarray], positives: int, negatives: int) -> dict[str, np.ndarray]:
    one, other = pair
    weighted = (positives * one + negatives * other) / (positives + negatives)
    return {_POSITIVE: one, "negative": other, "macro": (one + other) / 2, "weighted": weighted}


def _share(count: np.ndarray, whole: np.ndarray | int) -> np.ndarray:
    whole = np.asarray(whole, float)
    return np.divide(count, whole, out=np.zeros(np.broadcast(count, whole).shape), where=whole > 0)


def _mixture(claim: Claim, given: list[tuple[str, ...]], way: tuple[str, ...]) -> str:
    words = {_POSITIVE: "of the positive class", "negative": "of the other class"}
    parts = [
        f"{' and '.join(name for name in group if name in claim.numbers)} {words.get(one, one)}"
        for group, one in zip(given, way, strict=True)
    ]
    return f"a mixture: {', '.join(parts)}"


def of_folds(claim: Claim) -> list[str]:
    """Return what contradicts the claim as means over its folds, one line each; nothing if it may be such a mean.

    The folds are of nearly equal size, also within each class. Precision, NPV, F1 and AUC may then be any number.
    """
    folds = claim.folds or 0
    totals: dict[str, int | None] = {"accuracy": claim.n, "sensitivity": claim.n_pos, "specificity": None}
    if claim.n_pos is not None:
        totals["specificity"] = claim.n - claim.n_pos
    wrong = [
        f"{name} {number.text} is no mean over {folds} folds of {total} films"
        for name, number in claim.numbers.items()
        if (total := totals.get(name)) is not None and not _is_mean(number, total, folds)
    ]
    wrong += too_wide(claim, folds)
    if not wrong and claim.n_pos is not None and {"accuracy", "sensitivity", "specificity"} <= set(claim.numbers):
        least, most = claim.n_pos // folds, -(-claim.n_pos // folds)
        low, high = (
            least / -(-claim.n // folds),
            min(most / (claim.n // folds), 1.0),
        )  # the share of positives of a fold
        spans = {name: number.span() for name, number in claim.numbers.items()}
        (s0, s1), (t0, t1), (a0, a1) = (spans[name] for name in ("sensitivity", "specificity", "accuracy"))
        if a1 < low * s0 + (1 - high) * t0 - _EDGE or a0 > high * s1 + (1 - low) * t1 + _EDGE:
            wrong.append("accuracy is not between sensitivity and specificity as the sizes of the classes demand")
    return wrong


def folds_of_classes(claim: Claim) -> list[str]:
    """Return what contradicts the claim as means over folds of means over classes; nothing if it may be such a mean.

    The mean sensitivity of both classes is their mean specificity; weighted by the films it is the accuracy.
    """
    numbers = claim.numbers
    wrong = of_folds(
        replace(claim, numbers={name: one for name, one in numbers.items() if name == "accuracy"}, spreads={})
    )
    macro, weighted = ("sensitivity", "specificity"), ("sensitivity", "accuracy")
    if not any(_may_be_equal(numbers, pair) for pair in (macro, weighted)):
        wrong.append(
            "sensitivity is neither the specificity, as a mean over both classes, nor the accuracy, if weighted"
        )
    return wrong + too_wide(claim, claim.folds or 2)


def _may_be_equal(numbers: Mapping[str, Number], pair: tuple[str, str]) -> bool:
    if not set(pair) <= set(numbers):
        return True
    (low, high), (other_low, other_high) = (numbers[name].span() for name in pair)
    return low <= other_high + _EDGE and other_low <= high + _EDGE


def _is_mean(number: Number, total: int, folds: int) -> bool:
    """Tell if a number is the mean of one fraction per fold, for folds that share `total` as evenly as they can."""
    size, larger = divmod(total, folds)
    if size == 0:  # some fold has none, and its fraction is nobody's guess
        return True
    low, high = (end * folds for end in number.span())
    right = np.arange(larger * (size + 1) + 1)  # in the folds of one film more
    rest = right / (size + 1)
    least, most = np.ceil((low - rest) * size - 1e-9), np.floor((high - rest) * size + 1e-9)
    return bool((np.maximum(least, 0) <= np.minimum(most, (folds - larger) * size)).any())


def too_wide(claim: Claim, folds: int) -> list[str]:
    """Return a line for each standard deviation that is larger than fractions with this mean can have."""
    lines = []
    known = dict(claim.numbers) | ({"auc": claim.auc} if claim.auc else {})
    for name, spread in claim.spreads.items():
        low, high = known[name].span()
        middle = min(max(0.5, low), high)
        if spread > (middle * (1 - middle) * folds / (folds - 1)) ** 0.5 + 1e-6 + 0.5 / known[name].scale:
            lines.append(f"{name} {known[name].text} cannot have a standard deviation of {100 * spread:g} %")
    return lines
