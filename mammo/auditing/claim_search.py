"""The search for a reading of a claim whose numbers are no counts of the positive class."""

import itertools
from dataclasses import dataclass, field, replace

from mammo.auditing.claim import matrices
from mammo.auditing.claim_folds import above, folds_of_classes, in_words, of_folds, of_patients, too_wide
from mammo.auditing.claim_readings import (
    BALANCED,
    OF_NOTHING,
    Reading,
    defined_otherwise,
    of_classes,
    of_nothing,
)
from mammo.auditing.claim_words import Claim

COUNTED = "counts of the positive class, rounded or truncated"
UNEQUAL = "folds or runs of unequal size, or with unequal shares of a class"


@dataclass
class Search:
    """The outcome of a search.

    Attributes:
        readings: The readings that fit.
        tried: The readings that were tried, in words.
        untried: Those that were not, in words.
        undecided: Why it is not decided that no reading fits, and what to give; empty if it is.
    """

    readings: list[Reading] = field(default_factory=list)
    tried: list[str] = field(default_factory=lambda: [COUNTED])
    untried: list[str] = field(default_factory=lambda: [UNEQUAL])
    undecided: str = ""


def search(claim: Claim, most: int) -> Search:
    """Search for readings of a claim; other definitions of its numbers are tried only if none fits as they stand.

    Args:
        claim: The claim.
        most: The number of matrices that a reading lists at most.
    """
    found = Search()
    found.readings, ways = of_classes(claim, most)
    found.readings += _of_folds(claim)
    found.tried += ways
    for words, one in defined_otherwise(claim).items():
        found.tried.append(words)
        if not found.readings:
            found.readings = _defined(one, words, most)
    if others := set(claim.numbers) - {"accuracy"}:
        found.tried.append(OF_NOTHING)
        found.untried.append("means over three classes or more")
        found.readings = found.readings or of_nothing(claim, most)
    if unsearched := bool(others - {"balanced_accuracy"} and not ways):
        found.untried.insert(0, "means over classes, as there are too many matrices")
    if "accuracy" in claim.numbers and not any(BALANCED in words for words in found.tried):
        found.untried.append(f"accuracy as {BALANCED} (give both)")
    if claim.folds:
        means = _means(claim)
        found.tried += [means] + [f"{means}, of means over classes"] * (len(claim.numbers) > 1)
        found.tried += [_means_of_patients(claim)] * _by_patients(claim)
    if claim.folds and claim.repeats == 1:
        found.untried.append(f"folds that are dealt anew several times (give folds={claim.folds}x10 if ten times)")
    elif not claim.folds:
        found.untried.append("means over folds or runs" + " (give folds=, their number)" * (not claim.note))
    found.undecided = "" if found.readings or above(claim) else _undecided(claim, unsearched)
    return found


def _means(claim: Claim) -> str:
    return f"means over {in_words(claim)} of nearly equal size, with equal shares of each class"


def _means_of_patients(claim: Claim) -> str:
    return f"means over {in_words(claim)} of whole patients with {claim.films_per_patient} films each"


def _of_folds(claim: Claim) -> list[Reading]:
    """Return the reading as means over folds if it fits."""
    if not claim.folds:
        return []
    if not of_folds(claim):
        return [Reading(_means(claim))]
    if len(claim.numbers) > 1 and not folds_of_classes(claim):
        return [Reading(f"{_means(claim)}, of means over classes")]
    if _by_patients(claim) and not of_patients(claim):
        return [Reading(_means_of_patients(claim))]
    return []


def _by_patients(claim: Claim) -> bool:
    """Tell if the accuracy may be a mean over folds of whole patients.

    Beside both sensitivity and specificity it is not tried: with unequal shares of a class it might be nearly any.
    """
    films, numbers = claim.films_per_patient, set(claim.numbers)
    if "accuracy" not in numbers or {"sensitivity", "specificity"} <= numbers:
        return False
    return films > 1 and claim.n % films == 0 and (claim.folds or 0) <= claim.n // films


def _defined(claim: Claim, words: str, most: int) -> list[Reading]:
    """Return the readings of a claim with other definitions of its numbers, which `words` name."""
    if (counted := matrices(claim, "either")).count():
        some = tuple(itertools.islice(counted.each(), most))
        return [Reading(f"numbers of the positive class, with {words}", some, counted.count())]
    if "balanced_accuracy" in claim.numbers and not {"sensitivity", "specificity"} <= set(claim.numbers):
        return []  # as a mean over classes or folds it would be nearly any number
    others = of_classes(claim, most)[0] + [Reading(_means(claim))] * bool(claim.folds and not of_folds(claim))
    return [replace(one, words=f"{one.words}, with {words}") for one in others]


def _undecided(claim: Claim, unsearched: bool) -> str:
    """Return why it is not decided that a claim is impossible, and what to give; empty if it is."""
    if claim.spreads and not claim.folds and not too_wide(claim, 2):
        names = " and ".join(claim.spreads)
        return f"{names} stands with a spread (a mean over folds or runs); give folds=, the number of folds"
    if claim.folds and claim.spreads and claim.repeats == 1 and _of_folds(replace(claim, repeats=None)):
        return f"they may be means of folds that are dealt anew several times; give folds={claim.folds}x10 if ten times"
    if claim.folds and not claim.stratified and not of_folds(claim, stratified=False):
        dealt = f"{claim.repeats}x{claim.folds}" if claim.repeats != 1 else str(claim.folds)
        said = f"give folds={dealt}-fold-stratified if the shares are equal"
        return f"they may be means over folds with unequal shares of a class; {said}"
    if unsearched:
        give = "n_pos=" if claim.n_pos is None else "accuracy=" if "accuracy" not in claim.numbers else "the counts"
        return f"means over classes are not tried, as there are too many matrices; give {give}"
    return ""
