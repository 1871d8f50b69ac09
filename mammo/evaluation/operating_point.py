"""The choices that are made for a head on validation and then fixed: its threshold and temperature."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax

from mammo.errors import InputError

FLOOR = 1e-12
TEMPERATURES = 0.05, 20.0  # the bounds of a temperature


@dataclass(frozen=True)
class Operating:
    """The choices for one head; None where nothing could be chosen.

    Attributes:
        rule: The rule of the threshold, see `choose`.
        threshold: Score above which a sample is called positive.
        threshold_90: Score above which at most 10 % of the negatives of validation lie.
        temperature: Number by which log probabilities are divided.
    """

    rule: str = "youden"
    threshold: float | None = None
    threshold_90: float | None = None
    temperature: float | None = None

    def calibrated(self, probabilities: np.ndarray) -> np.ndarray:
        """Return (N, classes) probabilities at the temperature; unchanged if there is none."""
        if self.temperature is None:
            return probabilities
        return softmax(np.log(np.maximum(probabilities, FLOOR)) / self.temperature, axis=1)

    @property
    def warning(self) -> str | None:
        """A sentence if the temperature ended at a bound, where it does not calibrate; else None."""
        low, high = TEMPERATURES
        if self.temperature is None or 1.01 * low < self.temperature < high / 1.01:
            return None
        makes = "nearly the same" if self.temperature > 1 else "nearly 0 or 1"
        return f"the temperature ended at its bound {self.temperature:.3g}, so all probabilities are {makes}"


def check_rule(rule: object) -> None:
    """Refuse a rule that is neither `youden` nor a required sensitivity."""
    required = isinstance(rule, int | float) and not isinstance(rule, bool) and 0 < rule <= 1
    if rule != "youden" and not required:
        raise InputError(f"threshold={rule}: expected youden, or a required sensitivity above 0 and up to 1")


def choose(labels: np.ndarray, probabilities: np.ndarray, score: np.ndarray | None, rule: str | float) -> Operating:
    """Return the choices of a head from its validation samples.

    Args:
        labels: (N,) class numbers.
        probabilities: (N, classes).
        score: (N,) score of the positive class; None for more than two classes, which have no threshold.
        rule: `youden` (the largest sum of sensitivity and specificity), or the required sensitivity in (0, 1].
    """
    if len(labels) == 0:
        return Operating(str(rule))
    positive = labels == 1
    chooses = score is not None and positive.any() and not positive.all()
    return Operating(
        str(rule),
        _threshold(positive, score, rule) if chooses and score is not None else None,
        threshold_at_specificity(positive, score, 0.9) if chooses and score is not None else None,
        None if np.isnan(probabilities).any() else temperature(labels, probabilities),
    )


def temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the temperature with the smallest log loss (Guo et al. 2017), within `TEMPERATURES`."""
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - half a second, which a wrong setting need not wait for

    logits = np.log(np.maximum(probabilities, FLOOR))

    def loss(log_temperature: float) -> float:
        chosen = log_softmax(logits / math.exp(log_temperature), axis=1)
        return -float(chosen[np.arange(len(labels)), labels].mean())

    return math.exp(minimize_scalar(loss, bounds=tuple(map(math.log, TEMPERATURES)), method="bounded").x)


def _threshold(positive: np.ndarray, score: np.ndarray, rule: str | float) -> float:
    """Return a threshold halfway between two scores, so that no sample lies on it."""
    levels = np.unique(score)
    between = np.r_[levels[0] - 1.0, (levels[1:] + levels[:-1]) / 2]
    below, of = np.searchsorted(np.sort(score[positive]), between, side="right"), int(positive.sum())
    sensitivity = (of - below) / of
    if rule != "youden":
        return float(between[np.flatnonzero(sensitivity >= float(rule))[-1]])
    specificity = np.searchsorted(np.sort(score[~positive]), between, side="right") / (len(score) - of)
    gain = sensitivity + specificity
    best = np.flatnonzero(gain > gain.max() - 1e-9)
    return float(between[best[len(best) // 2]])  # the middle one of several best


def threshold_at_specificity(positive: np.ndarray, score: np.ndarray, specificity: float) -> float:
    """Return the lowest threshold at which at least this fraction of the negatives is not above it."""
    negatives = np.sort(score[~positive])
    return float(negatives[max(math.ceil(specificity * len(negatives)) - 1, 0)])
