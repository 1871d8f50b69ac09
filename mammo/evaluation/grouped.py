"""Weights of many samples under a bootstrap by patient, in which patients are drawn in random groups.

With some thousand patients a metric's resamples spread alike whether single patients are drawn or random groups of
them (the random groups of Wolter 2007, Introduction to Variance Estimation, chapter 2), and what a group adds to a sum
over samples needs to be known only once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

GROUPS = 1000
EXACT = 2**24  # whole numbers below it are the same in float32, which multiplies them in half the time
LEVELS = 500  # of scores, with about equal numbers of samples; the samples of one level count as ties


@dataclass(frozen=True)
class Grouped:
    """(W, N) weights of samples. They have the operations of an array that sums over samples need, and no others."""

    drawn: np.ndarray  # (W, groups) how often each group was drawn
    group: np.ndarray  # (N,) the group of each sample
    factor: np.ndarray | None = None  # (N,) what the weights of each sample are multiplied by

    @classmethod
    def drawn_from(cls, member: np.ndarray, patients: int, resamples: int, seed: int = 0) -> "Grouped":
        """Return weights of which the first are ones, and the others tell how often each sample's group was drawn.

        Args:
            member: (N,) the number of each sample's patient.
            patients: The number of patients; if there are `GROUPS` or fewer, each is a group of its own.
            resamples: The number of resamples.
            seed: The seed of the groups and the draws.
        """
        rng, groups = np.random.default_rng(seed), min(patients, GROUPS)
        group = rng.permutation(patients) % groups
        return cls(_drawn(groups, resamples, seed), group[member].astype(np.int32))

    def __len__(self) -> int:
        return len(self.drawn)

    def __mul__(self, factor: np.ndarray) -> "Grouped":
        return replace(self, factor=factor * 1.0 if self.factor is None else self.factor * factor)

    def __matmul__(self, values: np.ndarray) -> np.ndarray:
        if values.ndim == 2:
            return np.stack([self @ column for column in values.T], axis=1)
        factor = values if self.factor is None else self.factor * values
        return np.asarray(self.drawn @ np.bincount(self.group, factor, self.drawn.shape[1]))

    def sum(self, axis: int) -> np.ndarray:
        """Return the (W,) sums over samples, the only axis."""
        return np.asarray(self.drawn @ np.bincount(self.group, self.factor, self.drawn.shape[1]))

    def take(self, places: np.ndarray, axis: int) -> "Grouped":
        """Return the weights of some samples."""
        return replace(self, group=self.group[places], factor=None if self.factor is None else self.factor[places])

    def by_level(self, level: np.ndarray) -> np.ndarray:
        """Return the (W, `LEVELS` or fewer) sums over the samples of each level, or of neighbouring levels together."""
        return self.parts_by_level(level, [np.ones(len(level), bool)])[0]

    def parts_by_level(self, level: np.ndarray, parts: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the sums of `by_level` for each of several (N,) bool parts of the samples, with the same levels."""
        counts = np.bincount(level)
        if len(counts) > LEVELS:
            coarse = ((np.cumsum(counts) - counts / 2) * (LEVELS / len(level))).astype(np.int32)
            level = np.cumsum(np.diff(coarse, prepend=coarse[0]) > 0)[level]  # without a gap
        levels, groups = int(level.max()) + 1, self.drawn.shape[1]
        exact = self.factor is None and len(level) * self.drawn.max() < EXACT
        drawn, cell, sums = self.drawn.astype(np.float32 if exact else float), self.group * np.int64(levels) + level, []
        for part in parts:
            of_cells = np.bincount(cell[part], None if self.factor is None else self.factor[part], groups * levels)
            sums.append((drawn @ of_cells.reshape(groups, levels).astype(drawn.dtype)).astype(float))
        return sums


@lru_cache(maxsize=2)  # all large tables ask for the same draws
def _drawn(groups: int, resamples: int, seed: int) -> np.ndarray:
    """(1 + resamples, groups) how often each group is drawn; once each in the first row."""
    drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=resamples)
    return np.vstack([np.ones(groups), drawn])


Weights = np.ndarray | Grouped
