"""Random fields that a phantom film is drawn from, and the curves that shape them. Lengths are in pixels."""

from functools import lru_cache

import numpy as np
from scipy import fft

Rng = np.random.Generator


@lru_cache(maxsize=32)
def gain(rows: int, columns: int, slope: float) -> np.ndarray:
    """Return amplitudes (rows, columns // 2 + 1) float32 whose power falls with frequency ** -slope."""
    square = (fft.fftfreq(rows) ** 2)[:, None] + fft.rfftfreq(columns) ** 2
    square[0, 0] = np.inf
    return (square ** (-slope / 4)).astype(np.float32)


def noise(rng: Rng, height: int, width: int, slope: float) -> np.ndarray:
    """Return a field (height, width) float32, mean 0 and deviation 1, whose power falls with frequency ** -slope."""
    rows, columns = fft.next_fast_len(height, real=True), fft.next_fast_len(width, real=True)
    amplitude = gain(rows, columns, slope)
    white = rng.standard_normal((2, *amplitude.shape), dtype=np.float32)
    field = fft.irfft2((white[0] + 1j * white[1]) * amplitude, s=(rows, columns))[:height, :width]
    return (field - field.mean()) / field.std()


def ridges(field: np.ndarray, width: float) -> np.ndarray:
    """Return a field of values from 0 to 1 that is largest along the lines where `field` crosses zero."""
    return 1 / (1 + (field / width) ** 2)


def sigmoid(field: np.ndarray) -> np.ndarray:
    """Return the logistic function of each value."""
    return 0.5 + 0.5 * np.tanh(field / 2)
