"""Ways to make one square of two. Each returns which share of each pixel is the first's, in [0, 1].

Each takes the side in pixels, a share in [0, 1] of the first and a generator, and returns an array that broadcasts to
(side, side); its mean is the first's share of the label, where labels are shared.
"""

import math

import numpy as np


def crossover(side: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Take the first above a line and the second below, or left and right of it; the line lies in the middle 60 %.

    One-point crossover, in the manner of Raj et al. 2022 (doi 10.1016/j.cmpb.2022.106716). A child may lose the
    lesions of both parents and keeps their class.
    """
    before = (np.arange(side) < round((0.2 + 0.6 * share) * side)).astype(float)
    return before[:, None] if rng.random() < 0.5 else before[None, :]


def mixup(side: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Take the same share of the first everywhere: Zhang et al. 2018 (arXiv 1710.09412)."""
    return np.full((1, 1), share)


def cutmix(side: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Take a square box of the second, of area 1 - share, cut off at the border: Yun et al. 2019 (arXiv 1905.04899)."""
    half = round(side * math.sqrt(1 - share) / 2)
    y, x = rng.integers(side, size=2)
    weights = np.ones((side, side))
    weights[max(y - half, 0) : y + half, max(x - half, 0) : x + half] = 0
    return weights


def blend(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return two squares, uint8 or uint16, as one; where the weights are 0 or 1 its pixels are those of one of them."""
    return np.rint(weights * first + (1 - weights) * second).astype(first.dtype)
