"""A new threshold and new probabilities for a head from other films, what they reach, and how many films would do.

The network and the head stay as they are. The threshold follows a required sensitivity, or the rule of the run. The
probabilities follow two numbers on the log-odds, a temperature and an offset (Cox 1958, Biometrika 45:562-565).
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import expit, logit, softmax

from mammo.errors import InputError
from mammo.evaluation.areas import sums_of_classes, weighted_auroc
from mammo.evaluation.bootstrap import Value, interval, resampled
from mammo.evaluation.operating_point import FLOOR, TEMPERATURES, Operating, temperature
from mammo.evaluation.predictions import Predictions
from mammo.evaluation.prevalence import predictive_values
from mammo.evaluation.sample_size import samples_needed
from mammo.wording import number_of

FEWEST = 10  # patients of each class: from fewer, a threshold rests on one or two of them
SLOPES = tuple(1 / bound for bound in reversed(TEMPERATURES))  # the bounds of 1 / temperature
STEPS, CLOSE = 60, 1e-10  # of Newton's method, in standard deviations of the log-odds
OWN = "a mean over resamples, without an interval"


@dataclass(frozen=True)
class Recalibrated(Operating):
    """The choices for one head on other films.

    Attributes:
        offset: Number that is added to the log-odds of the positive class of two, after the temperature.
    """

    offset: float = 0.0

    def calibrated(self, probabilities: np.ndarray) -> np.ndarray:
        """Return (N, classes) probabilities at the temperature and the offset."""
        if self.temperature is None:
            return probabilities
        logs = np.log(np.maximum(probabilities, FLOOR)) / self.temperature
        logs[:, 1] += self.offset  # 0 for more than two classes
        return softmax(logs, axis=1)


@dataclass(frozen=True)
class Recalibration:
    """The recalibration of one head for one unit.

    Attributes:
        operating: The new choices.
        old: The choices of the run.
        values: By name `threshold`, `temperature`, `offset`; `auroc` on these films; at the threshold
            `sensitivity_at_threshold`, `specificity_at_threshold` on these films, `sensitivity_expected` and
            `specificity_expected` on patients that do not choose it; `ppv` and `npv` at the prevalence.
        before: `sensitivity_at_threshold` and `specificity_at_threshold` of the run's own threshold on these films.
        more: The number of further positive and negative samples with which the interval of the sensitivity and of the
            specificity would have the half width that was asked for.
        prevalence: The share of positive samples for which the probabilities, `ppv` and `npv` hold.
        counts: The number of samples, of each class and of patients.
    """

    operating: Recalibrated
    old: Operating
    values: dict[str, Value]
    before: dict[str, Value]
    more: dict[str, int]
    prevalence: float | None
    counts: dict[str, int]


def check_question(
    one: Predictions, sensitivity: float | None, prevalence: float | None = None, half_width: float = 0.05
) -> None:
    """Refuse films that cannot answer: without a class, or with too few patients of one.

    A required sensitivity s needs 1 / (1 - s) patients, so that one of them may be missed.

    Raises:
        InputError: They cannot, or a number is out of its range.
    """
    for name, number in (("sensitivity", sensitivity), ("prevalence", prevalence), ("half width", half_width)):
        if number is not None and not 0 < number < 1:
            raise InputError(f"{name} {number}: expected a share above 0 and below 1; no films show the ends")
    two = len(one.classes) == 2
    if not two and (sensitivity is not None or prevalence is not None):
        raise InputError(
            f"a sensitivity or prevalence is for two classes, and the task has {len(one.classes)}; leave them out"
        )
    if two and one.score is None:
        raise InputError("the films have no scores; a threshold needs them")
    patients = [len(np.unique(one.patients[one.labels == label])) for label in range(len(one.classes))]
    needed = dict.fromkeys(one.classes, FEWEST)
    if sensitivity is not None:
        needed[one.classes[1]] = max(FEWEST, patients_needed(sensitivity))
    for name, found in zip(one.classes, patients, strict=True):
        if found == 0:
            raise InputError(f"no film is {name}, so there is nothing to choose between; add films of this class")
        if found < needed[name]:
            why = f" for a sensitivity of {sensitivity}" if needed[name] > FEWEST else ""
            raise InputError(
                f"{number_of(found, 'patient is', 'patients are')} {name}, and at least "
                f"{needed[name]} are needed{why}; add films"
            )


def patients_needed(sensitivity: float) -> int:
    """Return the number of positive patients of whom one may be missed at a sensitivity."""
    return math.ceil(round(1 / (1 - sensitivity), 6))


def recalibrate(
    one: Predictions,
    before: Operating,
    *,
    sensitivity: float | None = None,
    prevalence: float | None = None,
    half_width: float = 0.05,
) -> Recalibration:
    """Return new choices for a head from predictions of labelled films, with intervals by patient.

    Args:
        one: The predictions, with probabilities before any temperature.
        before: The choices of the run.
        sensitivity: The sensitivity that the threshold has to reach; None takes the run's rule.
        prevalence: The share of positive patients where the head will be used; None takes that of these films.
        half_width: Half the width of the intervals for which `more` counts samples.

    Raises:
        InputError: The films cannot answer, see `check_question`.
    """
    required = sensitivity if sensitivity is not None or before.rule == "youden" else float(before.rule)
    check_question(one, required if len(one.classes) == 2 else sensitivity, prevalence, half_width)
    positive = one.labels == 1
    counts = {"samples": len(one), **{name: int((one.labels == i).sum()) for i, name in enumerate(one.classes)}}
    counts["patients"] = len(np.unique(one.patients))
    if len(one.classes) > 2 or one.score is None:
        found = temperature(one.labels, one.probabilities)
        values = {"temperature": Value(found, reason="for more than two classes there is no interval")}
        return Recalibration(Recalibrated("none", temperature=found), before, values, {}, {}, None, counts)
    rule: str | float = "youden" if required is None else required
    here = float(positive.mean())
    there = here if prevalence is None else prevalence_of_samples(prevalence, positive, one.patients)
    arrays = resampled(one.patients, partial(_arrays, one, before=before, rule=rule), each=True)
    moved = 0.0 if prevalence is None else logit(there) - logit(arrays["share"].clip(FLOOR, 1 - FLOOR))
    chosen = {name: _percentiles(arrays[name]) for name in ("threshold", "temperature")}
    chosen["offset"] = _percentiles(arrays["offset"] + moved)
    reached, old = _reached(arrays, there, *(len(np.unique(one.patients[kind])) for kind in (positive, ~positive)))
    more = {
        name: max(samples_needed(arrays[number], int(kind.sum()), half_width) - int(kind.sum()), 0)
        for name, number, kind in (("positive", "sensitivity", positive), ("negative", "specificity", ~positive))
    }
    operating = Recalibrated(
        str(rule),
        chosen["threshold"].value,
        None,
        chosen["temperature"].value,
        float(chosen["offset"].value or 0.0),
    )
    old = old if before.threshold is not None else {}
    return Recalibration(operating, before, chosen | reached, old, more, there, counts)


def _reached(
    arrays: dict[str, np.ndarray], prevalence: float, positives: int, negatives: int
) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return what the new threshold reaches, and what the old one does, on so many positive and negative patients."""
    ppv, npv = predictive_values(arrays["sensitivity"], arrays["specificity"], prevalence)
    reached = {
        "auroc": interval(arrays["auroc"], min(positives, negatives)),
        "sensitivity_at_threshold": interval(arrays["sensitivity"], positives),
        "specificity_at_threshold": interval(arrays["specificity"], negatives),
        "sensitivity_expected": Value(float(np.nanmean(arrays["sensitivity_of_others"][1:])), reason=OWN),
        "specificity_expected": Value(float(np.nanmean(arrays["specificity_of_others"][1:])), reason=OWN),
        "ppv": interval(ppv, min(positives, negatives)),
        "npv": interval(npv, min(positives, negatives)),
    }
    old = {
        "sensitivity_at_threshold": interval(arrays["sensitivity_before"], positives),
        "specificity_at_threshold": interval(arrays["specificity_before"], negatives),
    }
    return reached, old


def prevalence_of_samples(prevalence: float, positive: np.ndarray, patients: np.ndarray) -> float:
    """Return the share of positive samples where a share of the patients is positive.

    A patient with a positive sample is positive, and may have negative ones too. So the samples of positive patients
    are weighted as the prevalence asks for, and those of the others too (Saerens, Latinne and Decaestecker 2002, Neural
    Computation 14:21-41, with patients instead of samples).

    Args:
        prevalence: The share of positive patients.
        positive: (N,) bool, true for a positive sample.
        patients: (N,) the patient of each sample.
    """
    names, of = np.unique(patients, return_inverse=True)
    found, samples = np.bincount(of, positive), np.bincount(of)
    ill = found > 0
    if len(names) == len(patients):
        return prevalence
    positives = prevalence * found[ill].mean()
    return float(positives / (prevalence * samples[ill].mean() + (1 - prevalence) * samples[~ill].mean()))


def thresholds(positive: np.ndarray, score: np.ndarray, weights: np.ndarray, rule: str | float) -> np.ndarray:
    """Return (W,) thresholds for (W, N) weightings, by the rules of `operating_point.choose`; NaN without a class."""
    levels, level = np.unique(score, return_inverse=True)
    between = np.r_[levels[0] - 1.0, (levels[1:] + levels[:-1]) / 2]
    ups, downs = sums_of_classes(positive, level, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity = np.cumsum(ups[:, ::-1], axis=1)[:, ::-1] / ups.sum(axis=1, keepdims=True)
        specificity = (np.cumsum(downs, axis=1) - downs) / downs.sum(axis=1, keepdims=True)
    if rule != "youden":
        good = sensitivity >= float(rule) - 1e-12
        which = good.sum(axis=1) - 1  # it falls with the threshold
    else:
        gain = sensitivity + specificity
        best = gain > np.nanmax(np.where(np.isfinite(gain), gain, -1), axis=1, keepdims=True) - 1e-9
        middle = best.sum(axis=1, keepdims=True) // 2 + 1
        which = (best & (np.cumsum(best, axis=1) == middle)).argmax(axis=1)
    defined = np.isfinite(sensitivity[:, 0]) & np.isfinite(specificity[:, 0])
    return np.where(defined, between[which], np.nan)


def logistic_curves(log_odds: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (W,) slopes and offsets of the curves expit(slope x log_odds + offset), for (W, N) weightings.

    They have the largest likelihood with the targets of Platt (1999), (n + 1) / (n + 2) instead of 1 and 1 / (n + 2)
    instead of 0, so that classes that do not overlap give finite numbers. Slopes stay within `SLOPES`.
    """
    middle, spread = log_odds.mean(), max(float(log_odds.std()), 1e-9)
    x = (log_odds - middle) / spread
    ups, downs = weights @ positive.astype(float), weights @ (~positive).astype(float)
    targets = np.where(positive, ((ups + 1) / (ups + 2))[:, None], (1 / (downs + 2))[:, None])
    slope, offset = np.zeros(len(weights)), np.log((ups + 1) / (downs + 1))
    for _ in range(STEPS):
        step = _newton(x, targets, weights, slope, offset)
        slope, offset = slope + step[0], offset + step[1]
        if np.abs(step).max() < CLOSE:
            break
    low, high = (bound * spread for bound in SLOPES)
    bound = np.clip(slope, low, high)
    held = bound != slope
    for _ in range(STEPS if held.any() else 0):  # the offset alone, where the slope is at its bound
        offset[held] += _newton(x, targets[held], weights[held], bound[held], offset[held], slope_too=False)[1]
    slope = bound / spread
    return slope, offset - slope * middle


def _newton(
    x: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    slope: np.ndarray,
    offset: np.ndarray,
    *,
    slope_too: bool = True,
) -> np.ndarray:
    """Return a step (2, W) of slope and offset towards the largest likelihood, at most 1 in each."""
    chance = expit(slope[:, None] * x + offset[:, None])
    error, curve = weights * (targets - chance), weights * chance * (1 - chance) + 1e-12
    second, first = error.sum(axis=1), error @ x
    b, m, s = curve.sum(axis=1), curve @ x, curve @ x**2
    if not slope_too:
        return np.clip([np.zeros_like(b), second / b], -1, 1)
    determinant = s * b - m**2 + 1e-12
    return np.clip([(b * first - m * second) / determinant, (s * second - m * first) / determinant], -1, 1)


def _arrays(one: Predictions, weights: np.ndarray, before: Operating, rule: str | float) -> dict[str, np.ndarray]:
    """Return the (W,) values of each number for (W, N) weightings, the plain one first in the first block."""
    positive, score = one.labels == 1, np.asarray(one.score)
    probabilities = np.maximum(one.probabilities, FLOOR)
    slope, offset = logistic_curves(np.log(probabilities[:, 1] / probabilities[:, 0]), positive, weights)
    cut = thresholds(positive, score, weights, rule)
    plain = thresholds(positive, score, np.ones((1, len(score))), rule)[0]
    others = (weights == 0) * 1.0
    found = {"threshold": cut, "temperature": 1 / slope, "offset": offset}
    found["share"] = weights @ positive / weights.sum(axis=1)
    found["auroc"] = weighted_auroc(positive, score, weights)
    above = {"": score > plain, "_before": score > (np.inf if before.threshold is None else before.threshold)}
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, called in above.items():
            found[f"sensitivity{name}"] = weights @ (called & positive) / (weights @ positive)
            found[f"specificity{name}"] = weights @ (~called & ~positive) / (weights @ ~positive)
        called = score > cut[:, None]
        found["sensitivity_of_others"] = (others * (called & positive)).sum(axis=1) / (others @ positive)
        found["specificity_of_others"] = (others * (~called & ~positive)).sum(axis=1) / (others @ ~positive)
    return found


def _percentiles(array: np.ndarray) -> Value:
    """Return a number that has no range, with the middle 95 % of its resampled values."""
    value = float(array[0])
    low, high = np.nanpercentile(array[1:], [2.5, 97.5])
    return Value(value, float(min(low, value)), float(max(high, value)))
