"""Probabilities from the scores of a detector: a logistic curve of two numbers (Platt 1999)."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit


@dataclass(frozen=True)
class Platt:
    """The curve p = 1 / (1 + exp(-(slope x score + offset))).

    Attributes:
        slope: Above 0, so that probabilities rank as scores do.
        offset: The log odds at a score of 0.
    """

    slope: float = 1.0
    offset: float = 0.0

    @classmethod
    def fit(cls, score: np.ndarray, positive: np.ndarray) -> "Platt":
        """Return the curve that fits scores (N,) and labels (N,) bool; the plain one if that curve would fall."""
        if positive.all() or not positive.any() or np.ptp(score) == 0:
            return cls()
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - training need not wait for it

        middle, spread = float(score.mean()), float(score.std())
        found = LogisticRegression(C=1e3).fit((score[:, None] - middle) / spread, positive)
        slope, offset = float(found.coef_[0, 0]) / spread, float(found.intercept_[0])
        return cls(slope, offset - slope * middle) if slope > 0 else cls()

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """Return (N, 2) probabilities of scores (N,)."""
        positive = expit(self.slope * score.astype(np.float64) + self.offset)
        return np.stack([1 - positive, positive], axis=1)
