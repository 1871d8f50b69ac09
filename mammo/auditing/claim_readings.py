"""The readings of a claim other than as counts of the positive class: means over classes, and other definitions.

Every test is lenient at the edges of rounding where floats cannot tell them, so that a number which no reading gives is
impossible indeed.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from mammo.auditing.claim_numbers import Number
from mammo.auditing.claim_words import Claim

OF_CLASSES = {
    "negative": "numbers of the other class, taken as the positive one",
    "macro": "means over both classes (macro)",
    "weighted": "means over both classes, weighted by their films",
    "micro": "means over all films of both classes (micro), which are the accuracy",
}
_POSITIVE = "positive"
GROUPS: tuple[tuple[str, ...], ...] = (("sensitivity", "specificity"), ("precision", "npv"), ("f1",))
MOST_AT_ONCE = 1_000_000  # matrices that are tried at once
MOST_TRIED = 40_000_000  # matrices that are tried in all, in some seconds
BALANCED = "balanced accuracy, the mean of sensitivity and specificity"
OF_PRINTED = "F1 computed from the printed precision and sensitivity"
OF_NOTHING = "0 / 0 counted as 1, as where no film is called positive"
_EDGE = 1e-14  # above what floats of some operations are off

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

    A mixture of readings is tried only if no single one fits. Nothing is tried where there are too many matrices.

    Args:
        claim: The claim.
        most: The number of matrices that a reading lists at most.
    """
    given: list[tuple[str, ...]] = [group for group in GROUPS if set(group) & set(claim.numbers)]
    if not given or too_many(claim):
        return [], []
    fits: dict[tuple[str, ...], list[Matrix]] = {}
    counts: dict[tuple[str, ...], int] = {}
    alike = [(one,) * len(given) for one in OF_CLASSES]
    mixed = [one for one in itertools.product((_POSITIVE, *OF_CLASSES), repeat=len(given)) if len(set(one)) > 1]
    for tp, tn, positives in _cells(claim):
        masks = _masks(claim, tp, tn, positives)
        ways = (_POSITIVE, *OF_CLASSES)
        some = [{way: kept for way in ways if (kept := _all(masks, group, way)).any()} for group in given]
        for way in (way for way in (*alike, *mixed) if all(map(dict.__contains__, some, way))):
            kept = np.logical_and.reduce([of[one] for of, one in zip(some, way, strict=True)])
            at = np.flatnonzero(kept)
            if len(at):
                counts[way] = counts.get(way, 0) + len(at)
                fits.setdefault(way, []).extend(_listed(claim.n, positives, tp[at[:most]], tn[at[:most]]))
    single = [Reading(OF_CLASSES[way[0]], tuple(fits[way][:most]), counts[way]) for way in alike if way in fits]
    tried = [*OF_CLASSES.values(), "mixtures of these"] if len(given) > 1 else list(OF_CLASSES.values())
    if single:
        return single, tried
    found = [way for way in mixed if way in fits]
    found.sort(key=lambda way: -way.count(_POSITIVE))
    return [Reading(_mixture(claim, given, way), tuple(fits[way][:most]), counts[way]) for way in found[:1]], tried


def _listed(n: int, positives: int | np.ndarray, tp: np.ndarray, tn: np.ndarray) -> list[Matrix]:
    return list(zip(*(one.tolist() for one in (tp, tn, n - positives - tn, positives - tp)), strict=True))


def of_nothing(claim: Claim, most: int) -> list[Reading]:
    """Return the reading in which 0 / 0 counts as 1, of the positive class or as means over classes, if it fits.

    Only predictions of one class alone are tried if both classes have films; the others have no 0 / 0.
    """
    if claim.n_pos in (0, claim.n):
        some = np.arange(claim.n + 1)
        tp, tn, positives = (some, 0 * some, some * 0 + claim.n) if claim.n_pos else (0 * some, some, 0 * some)
    else:
        positives = np.repeat(np.arange(1, claim.n) if claim.n_pos is None else claim.n_pos, 2)
        called = np.arange(len(positives)) % 2
        tp, tn = called * positives, (1 - called) * (claim.n - positives)
    masks = _masks(claim, tp, tn, positives, empty=1.0)
    kept = np.logical_or.reduce([_all(masks, masks, way) for way in (_POSITIVE, "negative", "macro", "weighted")])
    kept &= claim.has(tp=tp, tn=tn, fp=claim.n - positives - tn, fn=positives - tp)
    if not kept.any():
        return []
    at = np.flatnonzero(kept)[:most]
    fit = _listed(claim.n, positives[at], tp[at], tn[at])
    return [Reading(f"numbers with {OF_NOTHING}", tuple(fit), int(kept.sum()))]


def defined_otherwise(claim: Claim) -> dict[str, Claim]:
    """Return the claim with other definitions of its numbers, by their names.

    Accuracy alone would be some balanced accuracy of nearly any films, so this is tried only if other numbers hold it.
    """
    numbers, others = claim.numbers, set(claim.numbers) - {"accuracy", "balanced_accuracy"}
    held = {"sensitivity", "specificity"} <= others or (claim.n_pos is not None and len(others) > 1)
    found = {}
    without_f1 = {name: one for name, one in numbers.items() if name != "f1"}
    if _of_printed(claim):
        found[OF_PRINTED] = without_f1
    if held and "accuracy" in numbers and "balanced_accuracy" not in numbers:
        names = {"accuracy": "balanced_accuracy"}
        found[f"accuracy as {BALANCED}"] = {names.get(name, name): one for name, one in numbers.items()}
        if OF_PRINTED in found:
            both = {names.get(name, name): one for name, one in without_f1.items()}
            found[f"{OF_PRINTED} and accuracy as {BALANCED}"] = both
    spreads = claim.spreads.items()
    return {
        words: replace(claim, numbers=one, spreads={name: spread for name, spread in spreads if name in one})
        for words, one in found.items()
    }


def _of_printed(claim: Claim) -> bool:
    """Tell if F1 is that of the printed digits of precision and sensitivity."""
    if not {"precision", "sensitivity", "f1"} <= set(claim.numbers):
        return False
    precision, recall = (
        Fraction(claim.numbers[name].digits, claim.numbers[name].scale) for name in ("precision", "sensitivity")
    )
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else Fraction(0)
    return claim.numbers["f1"].stands_for(f1)


def too_many(claim: Claim) -> bool:
    """Tell if there are too many matrices to try them one by one; the accuracy leaves few of them."""
    positives = np.arange(claim.n + 1.0) if claim.n_pos is None else np.array([float(claim.n_pos)])
    others = claim.n - positives + 1
    if "accuracy" in claim.numbers:
        low, high = claim.numbers["accuracy"].numerators(claim.n, "either")
        others = np.minimum(others, high - low + 1)
    return float(((positives + 1) * others).sum()) > MOST_TRIED


def _cells(claim: Claim) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield the true positives, true negatives and number of positives of all matrices that have the accuracy."""
    for positives in range(claim.n + 1) if claim.n_pos is None else [claim.n_pos]:
        negatives = claim.n - positives
        low, high = 0, claim.n
        if "accuracy" in claim.numbers:
            low, high = claim.numbers["accuracy"].numerators(claim.n, "either")
        width = min(high - low, negatives) + 1
        for some in np.array_split(np.arange(positives + 1)[:, None], (positives + 1) * width // MOST_AT_ONCE + 1):
            tn = np.arange(width) + (np.maximum(low - some, 0) if width <= negatives else 0)
            tp, tn = np.broadcast_arrays(some, tn)
            inside = (tn <= negatives) & (tp + tn >= low) & (tp + tn <= high)
            inside &= claim.has(tp=tp, tn=tn, fp=negatives - tn, fn=positives - tp)
            if inside.any():
                yield tp[inside], tn[inside], positives


def _masks(
    claim: Claim, tp: np.ndarray, tn: np.ndarray, positives: int | np.ndarray, empty: float = 0.0
) -> dict[str, dict[str, np.ndarray]]:
    """Return which matrices give each number of the claim, by the way in which it is taken over the classes."""
    negatives = claim.n - positives
    fp, fn = negatives - tn, positives - tp
    recall = _share(tp, positives, empty), _share(tn, negatives, empty)
    precision = _share(tp, tp + fp, empty), _share(tn, tn + fn, empty)
    f1 = _share(2 * tp, 2 * tp + fp + fn, empty), _share(2 * tn, 2 * tn + fp + fn, empty)
    right = (tp + tn) / claim.n
    both = (_share(tp, positives) + _share(tn, negatives)) / (1 + (positives * negatives > 0))  # of classes with films
    pairs = {
        "sensitivity": recall, "specificity": recall[::-1], "precision": precision, "npv": precision[::-1], "f1": f1,
    }  # fmt: skip
    values = {name: _ways(pair, positives, negatives) | {"micro": right} for name, pair in pairs.items()}
    values |= {"accuracy": dict.fromkeys(values["f1"], right), "balanced_accuracy": dict.fromkeys(values["f1"], both)}
    masks = {
        name: {way: _gives(number, value, 2 * claim.n**3) for way, value in values[name].items()}
        for name, number in claim.numbers.items()
    }
    if "f1" in claim.numbers:  # some take F1 of the means instead of the mean of F1
        means = zip(
            _ways(precision, positives, negatives).items(), _ways(recall, positives, negatives).values(), strict=True
        )
        for (way, of_precision), of_recall in means:
            value = _share(2 * of_precision * of_recall, of_precision + of_recall)
            masks["f1"][way] |= _gives(claim.numbers["f1"], value, 2 * claim.n**4)
    return masks


def _gives(number: Number, value: np.ndarray, parts: int) -> np.ndarray:
    """Return which values round or truncate to a number.

    Args:
        number: The number.
        value: Fractions, each of them right to `_EDGE`.
        parts: No fraction has a larger denominator. One that is not the excluded upper end is further from it than
            `_EDGE` if the denominators of both are small; otherwise the end counts as reached.
    """
    low, high, left_out = number.ends()
    told_apart = high == 1 or 2 * number.scale * parts * 2 * _EDGE < 1  # one error of n films is 1 / 4 n at least
    edge = -_EDGE if left_out and told_apart else _EDGE
    return (value >= float(low) - _EDGE) & (value <= float(high) + edge)


def _all(masks: dict[str, dict[str, np.ndarray]], names: Iterable[str], way: str) -> np.ndarray:
    """Return which matrices give all numbers of these names, and balanced accuracy, in one way."""
    chosen = [masks[name][way] for name in masks if name in names or name == "balanced_accuracy"]
    return np.logical_and.reduce(chosen)


def _ways(
    pair: tuple[np.ndarray, np.ndarray], positives: int | np.ndarray, negatives: int | np.ndarray
) -> dict[str, np.ndarray]:
    one, other = pair
    weighted = (positives * one + negatives * other) / (positives + negatives)
    return {_POSITIVE: one, "negative": other, "macro": (one + other) / 2, "weighted": weighted}


def _share(count: np.ndarray, whole: np.ndarray | int, empty: float = 0.0) -> np.ndarray:
    whole = np.asarray(whole, float)
    return np.divide(count, whole, out=np.full(np.broadcast(count, whole).shape, empty), where=whole > 0)


def _mixture(claim: Claim, given: list[tuple[str, ...]], way: tuple[str, ...]) -> str:
    words = {_POSITIVE: "of the positive class", "negative": "of the other class"}
    parts = [
        f"{' and '.join(name for name in group if name in claim.numbers)} {words.get(one, one)}"
        for group, one in zip(given, way, strict=True)
    ]
    return f"a mixture: {', '.join(parts)}"
