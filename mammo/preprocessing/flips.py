"""Flips of a square, or of a film that a detector sees: features are averaged over them (`model.flips`)."""

import numpy as np

# The number of squares that are shown for one, the original included. A detector sees films, and no square.
FLIPS = {"none": 1, "horizontal": 2, "eight": 8, "vertical": 1}
# Each is true for the vertical flip of a film that a detector sees.
FILM_FLIPS = {"none": [False], "vertical": [False, True]}


def flipped(square: np.ndarray, number: int) -> np.ndarray:
    """Return a flip of a square (side, side), contiguous in memory.

    Args:
        square: The square.
        number: 0 to 7: odd numbers are mirrored left to right, and every second number turns by a quarter more.
    """
    mirrored = square[:, ::-1] if number % 2 else square
    return np.ascontiguousarray(np.rot90(mirrored, number // 2))
