"""The number of samples with which the interval of a share, such as a sensitivity, is as narrow as is wished."""

import math

import numpy as np

NORMAL = 1.959964  # quantile of the normal distribution for 95 %


def samples_needed(array: np.ndarray, samples: int, half_width: float) -> int:
    """Return the number of samples with which the score interval of a share (Wilson 1927) has a half width.

    Samples of one patient are alike: the number grows by the design effect, the bootstrap's variance by patient divided
    by that of as many independent samples (Kish 1965).

    Args:
        array: (1 + resamples,) values of the share, the plain one first.
        samples: The number of samples that it rests on.
        half_width: Half the width of the interval, above 0.
    """
    share, variance = float(array[0]), float(np.nanvar(array[1:], ddof=1))
    alike = max(variance * samples / (share * (1 - share)), 1.0) if 0 < share < 1 else 1.0
    low, high = 0, 1
    while _reach(share, high) > half_width:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _reach(share, middle) <= half_width else (middle, high)
    return math.ceil(high * alike)


def _reach(share: float, samples: int) -> float:
    """Return half the width of the score interval."""
    z2 = NORMAL**2
    return math.sqrt(z2 * (share * (1 - share) / samples + z2 / (4 * samples**2))) / (1 + z2 / samples)
