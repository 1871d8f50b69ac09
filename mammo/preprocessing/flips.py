"""Flips of a square at prediction: a network's features are averaged over them (`model.flips`)."""

import numpy as np

FLIPS = {"none": 1, "horizontal": 2, "eight": 8}  # the number of squares that are shown for one, the original included


def flipped(square: np.ndarray, number: int) -> np.ndarray:
    """Return a flip of a square (side, side), contiguous in memory.

    Args:
        square: The square.
        number: 0 to 7: odd numbers are mirrored left to right, and every second number turns by a quarter more.
    """
    mirrored = square[:, ::-1] if number % 2 else square
    return np.ascontiguousarray(np.rot90(mirrored, number // 2))
