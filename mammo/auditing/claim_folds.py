"""The readings of a claim as means over folds, once or several times."""

import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np

from mammo.auditing.claim_numbers import Number
from mammo.auditing.claim_words import Claim

_EDGE = 1e-9  # of a film, above what floats are off


def in_words(claim: Claim) -> str:
    """Return the folds of a claim in words."""
    return f"{claim.folds} folds" + (f" (dealt {claim.repeats} times)" if claim.repeats != 1 else "")


def above(claim: Claim) -> list[str]:
    """Return a line for each number that is above 100 %."""
    return [f"{name} {one.text} is above 100 %" for name, one in claim.numbers.items() if one.span()[0] > 1]


def of_folds(claim: Claim, *, stratified: bool = True) -> list[str]:
    """Return what contradicts the claim as means over its folds, one line each; nothing if it may be such a mean.

    The folds are of nearly equal size; stratified ones are so within each class, too. Precision, NPV, F1 and AUC may
    then be any number up to 100 %, and so may all numbers if nobody knows how often the folds are dealt anew; accuracy
    still lies between sensitivity and specificity, and balanced accuracy in their middle. Of folds that are not
    stratified, sensitivity and specificity may be any number, and accuracy need not lie between them.
    """
    folds = claim.folds or 0
    totals: dict[str, int | None] = {"accuracy": claim.n}
    if stratified and claim.n_pos is not None:
        totals |= {"sensitivity": claim.n_pos, "specificity": claim.n - claim.n_pos}
    wrong = above(claim) + [
        f"{name} {number.text} is no mean over {in_words(claim)} of {total} films"
        for name, number in claim.numbers.items()
        if (total := totals.get(name)) is not None
        and claim.repeats
        and not _is_mean(number, total, folds, claim.repeats)
    ]
    wrong += too_wide(claim, folds)
    if wrong or not {"sensitivity", "specificity"} <= set(claim.numbers):
        return wrong
    spans = {name: number.ends() for name, number in claim.numbers.items()}
    (s0, s1, below_s), (t0, t1, below_t) = spans["sensitivity"], spans["specificity"]
    if stratified and claim.n_pos is not None and "accuracy" in spans:
        least, most = claim.n_pos // folds, -(-claim.n_pos // folds)
        # the share of positives of a fold
        low, high = Fraction(least, -(-claim.n // folds)), min(Fraction(most, claim.n // folds), Fraction(1))
        a0, a1, below = spans["accuracy"]
        top_below = (below_s and high > 0) or (below_t and low < 1)
        if _apart(a1, low * s0 + (1 - high) * t0, below) or _apart(high * s1 + (1 - low) * t1, a0, top_below):
            wrong.append("accuracy is not between sensitivity and specificity as the sizes of the classes demand")
    smaller = folds if claim.n_pos is None else min(claim.n_pos, claim.n - claim.n_pos)
    if "balanced_accuracy" in spans and smaller >= folds:
        b0, b1, below = spans["balanced_accuracy"]
        if _apart(2 * b1, s0 + t0, below) or _apart(s1 + t1, 2 * b0, below_s or below_t):
            wrong.append("balanced_accuracy is not the mean of sensitivity and specificity")
    return wrong


def of_patients(claim: Claim) -> list[str]:
    """Return what contradicts the claim as means over folds of whole patients, one line each; nothing if it may be one.

    Each patient has the same number of films, and lies in one fold. Classes are then not dealt evenly, so all numbers
    but the accuracy may be any.
    """
    number, films = claim.numbers.get("accuracy"), claim.films_per_patient
    wrong = above(claim) + too_wide(claim, claim.folds or 2)
    if number and claim.repeats and not _is_mean(number, claim.n, claim.folds or 2, claim.repeats, films):
        wrong.append(f"accuracy {number.text} is no mean over {in_words(claim)} of {claim.n // films} patients")
    return wrong


def _apart(highest: Fraction, lowest: Fraction, excluded: bool) -> bool:
    """Tell if numbers up to `highest`, which itself may be excluded, are all below `lowest`."""
    return highest < lowest or (excluded and highest == lowest)


def folds_of_classes(claim: Claim) -> list[str]:
    """Return what contradicts the claim as means over folds of means over classes; nothing if it may be such a mean.

    The mean sensitivity of both classes is their mean specificity; weighted by the films it is the accuracy.
    """
    numbers = claim.numbers
    alone = {name: one for name, one in numbers.items() if name == "accuracy"}
    wrong = of_folds(replace(claim, numbers=alone, spreads={}))
    macro, weighted = ("sensitivity", "specificity", "balanced_accuracy"), ("sensitivity", "accuracy")
    if not any(_may_be_equal(numbers, names) for names in (macro, weighted)):
        wrong.append(
            "sensitivity is neither the specificity, as a mean over both classes, nor the accuracy, if weighted"
        )
    return wrong + above(claim) + too_wide(claim, claim.folds or 2)


def _may_be_equal(numbers: Mapping[str, Number], names: tuple[str, ...]) -> bool:
    ends = [numbers[name].ends() for name in names if name in numbers]
    lowest = max((low for low, _, _ in ends), default=Fraction(0))
    return not any(_apart(high, lowest, excluded) for _, high, excluded in ends)


def _is_mean(number: Number, total: int, folds: int, repeats: int, step: int = 1) -> bool:
    """Tell if a number is the mean of one fraction per fold, for folds that share `total` as evenly as they can.

    `step` films, those of one patient, lie in one fold.
    """
    size, larger = divmod(total // step, folds)
    size *= step
    more = size + step  # films of a larger fold
    if size == 0:  # some fold has none, and its fraction is nobody's guess
        return True
    low, high = (end * folds * repeats for end in number.span())
    # sums of counts are told from the excluded end of a number whose scale is not too fine
    below = number.ends()[2] and 2 * number.scale * more * 2 * _EDGE < 1
    most = (folds - larger) * repeats * size  # films in the smaller folds
    first = max(math.floor((low - most / size) * more), 0)
    last = min(math.ceil(high * more), larger * repeats * more)
    # The films that are right in the larger folds; what the others must add repeats itself after `more` of them.
    right = np.arange(first, min(last, first + 2 * (more + 1) + math.ceil((high - low) * more)) + 1)
    rest = right / more
    fewest = np.ceil((low - rest) * size - _EDGE)
    most_right = np.ceil((high - rest) * size - _EDGE) - 1 if below else np.floor((high - rest) * size + _EDGE)
    return bool((np.maximum(fewest, 0) <= np.minimum(most_right, most)).any())


def too_wide(claim: Claim, folds: int) -> list[str]:
    """Return a line for each standard deviation that is larger than fractions with this mean can have."""
    lines, folds = [], min(folds, claim.repeats) if claim.repeats and claim.repeats > 1 else folds
    known = dict(claim.numbers) | ({"auc": claim.auc} if claim.auc else {})
    for name, spread in claim.spreads.items():
        low, high = known[name].span()
        middle = min(max(0.5, low), high)
        if spread > (middle * (1 - middle) * folds / (folds - 1)) ** 0.5 + 1e-6 + 0.5 / known[name].scale:
            lines.append(f"{name} {known[name].text} cannot have a standard deviation of {100 * spread:g} %")
    return lines
