"""The changes of a classifier's numbers on other patients that their prevalence explains, told apart from the others.

Prevalence is the share of positive samples. It does not change how samples are ranked (AUROC), nor the sensitivity and
specificity at a fixed threshold. It does change what a call is worth (the predictive values) and by how much
probabilities err. So these are computed twice: as observed, and at one prevalence for both.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mammo.errors import InputError
from mammo.evaluation.bootstrap import Value, biased_interval, independent_difference, interval, resampled
from mammo.evaluation.grouped import Weights
from mammo.evaluation.metrics import METRICS, Case, mean_gap, weighted_metrics
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import Predictions

ONE_CLASS = "undefined: the tested samples, or the run's own, lack a class"
RESTS_ON = {  # the patients that an interval rests on: all, or those of a class; by default those of the rarer class
    **dict.fromkeys(("prevalence", "mean_probability", "brier", "calibration_error"), "all"),
    "sensitivity": "positive",
    "specificity": "negative",
}
DEPENDS = ("brier",)  # numbers that differ between prevalences even if every probability is right


@dataclass(frozen=True)
class Row:
    """A number on the run's own test part and on other films, and the second minus the first; None where it has none.

    The patients of the two are others, so the difference is that of independent samples.
    """

    own: Value | None
    here: Value
    difference: Value | None = None

    def as_json(self) -> dict[str, object]:
        """Return the row as `metrics.json` holds it."""
        values = {"own": self.own, "here": self.here, "difference": self.difference}
        return {name: value.as_json() for name, value in values.items() if value is not None}


def corrected(probability: np.ndarray, before: float, after: float) -> np.ndarray:
    """Return probabilities of the positive class for another prevalence (Elkan 2001, IJCAI 2:973-978, theorem 2).

    The odds of each are multiplied by the ratio of the odds of both prevalences. This is exact if nothing else differs.

    Args:
        probability: The probabilities at the prevalence `before`.
        before: The prevalence for which they hold, above 0 and below 1.
        after: The prevalence for which they are wanted, above 0 and below 1.
    """
    if not (0 < before < 1 and 0 < after < 1):
        raise InputError(f"prevalences {before} and {after}: expected both above 0 and below 1; test both classes")
    ratio = (after / (1 - after)) / (before / (1 - before))
    return probability * ratio / (probability * ratio + (1 - probability))


def predictive_values(
    sensitivity: np.ndarray, specificity: np.ndarray, prevalence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positive and the negative predictive value at a prevalence, by Bayes' theorem; NaN where undefined."""
    ill, well = prevalence, 1 - prevalence
    with np.errstate(divide="ignore", invalid="ignore"):
        positive = sensitivity * ill / (sensitivity * ill + (1 - specificity) * well)
        negative = specificity * well / (specificity * well + (1 - sensitivity) * ill)
    return positive, negative


def shift(own: Predictions, here: Predictions, operating: Operating) -> dict[str, Row]:
    """Return the numbers of a head on its own test part and on other films, with those at one prevalence for both.

    `ppv_at_own_prevalence` and `npv_at_own_prevalence` are computed from the sensitivity and specificity on the other
    films. Names that end in `_corrected` are of the probabilities there after `corrected`, from the own prevalence to
    theirs: they tell what is left after prevalence. `calibration_error` is the mean distance between the probability of
    the positive class and its share; that of the most probable class (`ece`) may not see a shift of the prevalence.

    Args:
        own: The predictions of the run's own test part. For several classes there is `auroc` alone.
        here: The predictions of the other films.
        operating: The choices of the head, which stay fixed: its threshold and temperature. Without a threshold, the
            more probable class is called.
    """
    shares = [float(np.mean(one.labels == 1)) for one in (own, here)]
    ours, theirs = (resampled(one.who.ranked, partial(_arrays, one, operating=operating)) for one in (own, here))
    first = {name: _value(name, array, own) for name, array in ours.items()}
    rows = {name: Row(first[name], *_beside(name, _value(name, array, here), first)) for name, array in theirs.items()}
    if len(own.classes) > 2:
        return rows
    values = predictive_values(theirs["sensitivity"], theirs["specificity"], shares[0])
    for name, array in zip(("ppv", "npv"), values, strict=True):
        rows[f"{name}_at_own_prevalence"] = Row(None, *_beside(name, _value(name, array, here), first))
    if all(0 < share < 1 for share in shares):
        moved = corrected(operating.calibrated(here.probabilities)[:, 1], *shares)
        mended = replace(here, probabilities=np.stack([1 - moved, moved], axis=1))
        arrays = resampled(here.who.ranked, partial(_of_probabilities, mended))
        found = {name: _value(name, array, here) for name, array in arrays.items()}
    else:
        found = {name: Value(None, reason=ONE_CLASS) for name in ("mean_probability", "brier", "calibration_error")}
    return rows | {f"{name}_corrected": Row(None, *_beside(name, value, first)) for name, value in found.items()}


def _beside(name: str, here: Value, own: dict[str, Value]) -> tuple[Value, Value | None]:
    """Return a number on the other films, and its difference from the own one where that means something."""
    return here, None if name in DEPENDS else independent_difference(here, own[name])


def _arrays(one: Predictions, weights: Weights, operating: Operating) -> dict[str, np.ndarray]:
    """Return the (W,) values of each number for (W, N) weightings."""
    ranked = weighted_metrics(one, weights, only=["auroc"])
    if len(one.classes) > 2:
        return ranked
    threshold, positive = operating.threshold, (one.labels == 1).astype(float)
    called = one.called == 1 if threshold is None or one.score is None else one.score > threshold
    case = Case(one.labels, called.astype(int), positive, one.probabilities, weights)
    _, tn, _, fn = case.counts
    with np.errstate(divide="ignore", invalid="ignore"):
        found = {
            "prevalence": weights @ positive / weights.sum(axis=1),
            **ranked,
            "sensitivity": METRICS["sensitivity"].of(case),
            "specificity": METRICS["specificity"].of(case),
            "ppv": METRICS["precision"].of(case),
            "npv": tn / (tn + fn),
        }
    calibrated = replace(one, probabilities=operating.calibrated(one.probabilities))
    return found | _of_probabilities(calibrated, weights)


def _of_probabilities(one: Predictions, weights: Weights) -> dict[str, np.ndarray]:
    """Return the (W,) values of the numbers that probabilities of the positive class give."""
    chance, positive = one.probabilities[:, 1], (one.labels == 1).astype(float)
    return {
        "mean_probability": weights @ chance / weights.sum(axis=1),
        "brier": weighted_metrics(one, weights, only=["brier"])["brier"],
        "calibration_error": mean_gap(chance, positive, weights),
    }


def _patients(one: Predictions, name: str) -> int:
    """Return the number of patients that the interval of a number rests on."""
    rests_on = RESTS_ON.get(name)
    if rests_on == "all":
        return one.who.count()
    of_class = [one.who.count(one.labels == label) for label in range(len(one.classes))]
    return min(of_class) if rests_on is None else of_class[int(rests_on == "positive")]


def _value(name: str, array: np.ndarray, of: Predictions) -> Value:
    patients = _patients(of, name)
    return biased_interval(array, patients) if name == "calibration_error" else interval(array, patients)
