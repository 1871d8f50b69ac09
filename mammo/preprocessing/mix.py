"""Ways to mix two squares into one. Each returns the weight of the first square at each pixel, in [0, 1].

Each takes the side in pixels, the share of the first square in [0, 1] and a random generator. It returns an array that
broadcasts to (side, side). If labels are mixed too, the mean of the array is the weight of the first label.
"""

import math

import numpy as np


def crossover(side: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Take the first square above or left of a line in the middle 60 %, and the second beyond it.

    This is one-point crossover in the manner of Raj et al. 2022 (doi 10.1016/j.cmpb.2022.106716). The result may lose
    the lesions of both squares, and still keeps their class.
    """
    before = (np.arange(side) < round((0.2 + 0.6 * share) * side)).astype(float)
    return before[:, None] if rng.random() < 0.5 else before[None, :]


def mixup(side: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Weigh the first square by the same share at every pixel: Zhang et al. 2018 (arXiv 1710.09412)."""
    return np.full((1, 1), share)


def cutmix(side: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """Take a box of area 1 - share, cut off at the border, from the second: Yun et al. 2019 (arXiv 1905.04899)."""
    half = round(side * math.sqrt(1 - share) / 2)
    y, x = rng.integers(side, size=2)
    weights = np.ones((side, side))
    weights[max(y - half, 0) : y + half, max(x - half, 0) : x + half] = 0
    return weights


def blend(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Blend two squares, uint8 or uint16; a pixel with weight 0 or 1 comes unchanged from one of them."""
    return np.rint(weights * first + (1 - weights) * second).astype(first.dtype)
