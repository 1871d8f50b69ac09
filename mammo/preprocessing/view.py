"""The view of a breast that a detector has: at a stated size of a pixel, padded to whole cells, with its places.

A cell is a square of `CELL_PX` pixels of the view; every `STEP`-th cell in both directions is looked at, if half of it
or more is breast; of a breast that fills no half, those that it fills most. Places are given in pixels of the film as
it is stored.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from mammo.errors import InputError
from mammo.preprocessing.breast import Breast

CELL_PX = 16  # side of a cell, in pixels of the view
STEP = 2  # cells from one place that is looked at to the next
LARGEST_MM = 600  # of a film; the largest ones of mammography have 300 mm
BLOB_MM, SURROUND_MM = 3.0, 13.0  # Gaussians of the two scores of brightness
# Facts of a place: its point on the film, its row and column among the places, its point in the breast (fractions of
# the breast's width in that row and of its height), and two scores of brightness that learn nothing.
FACTS = ["x_px", "y_px", "row", "column", "across", "down", "blob", "blob_minus_surround"]


@dataclass(frozen=True)
class View:
    """A breast as a detector sees it, chest wall on the left.

    Attributes:
        pixels: (height, width) uint8; both are whole numbers of places. Below and right of the breast it is black.
        places: (n, FACTS) float32, a row for each place that is looked at, in rows from top to bottom.
    """

    pixels: np.ndarray
    places: np.ndarray


def check_size(name: str, height: int, width: int, spacing_mm: float) -> None:
    """Refuse a film whose pixels cannot have the size that is said of them.

    Raises:
        InputError: With that size, the film would be larger than any.
    """
    if (side := max(height, width) * spacing_mm) > LARGEST_MM:
        raise InputError(
            f"{name} has {width} x {height} pixels of {spacing_mm} mm, so it would be {side:.0f} mm large; expected up "
            f"to {LARGEST_MM} mm: is its spacing_mm, or data.spacing_mm, that of its pixels?"
        )


def view_of(breast: Breast, spacing_mm: float, view_mm: float) -> View:
    """Return the view of a breast.

    Args:
        breast: The breast on its film, of 8 bits.
        spacing_mm: Side of a pixel of the film.
        view_mm: Side of a pixel of the view.
    """
    top, bottom, right = breast.box
    shown, mask = breast.pixels[top:bottom, :right], breast.mask[top:bottom, :right].astype(np.uint8)
    factor = spacing_mm / view_mm
    if not math.isclose(factor, 1.0, rel_tol=1e-3):
        size = max(round(right * factor), 1), max(round((bottom - top) * factor), 1)
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        shown, mask = cv2.resize(shown, size, interpolation=method), cv2.resize(mask, size)
    height, width = mask.shape
    beyond = 0, -height % (CELL_PX * STEP), 0, -width % (CELL_PX * STEP)
    pixels, mask = (cv2.copyMakeBorder(one, *beyond, cv2.BORDER_CONSTANT, value=0) for one in (shown, mask))
    cells = mask.reshape(len(mask) // CELL_PX, CELL_PX, -1, CELL_PX).mean(axis=(1, 3))[::STEP, ::STEP]
    rows, columns = np.nonzero(cells >= min(0.5, cells.max()))
    x, y = ((STEP * at + 0.5) * CELL_PX - 0.5 for at in (columns, rows))
    scaled = width / right, height / (bottom - top)
    on_breast = (x + 0.5) / scaled[0] - 0.5, (y + 0.5) / scaled[1] - 0.5 + top
    points = [breast.to_film(*at) for at in zip(*on_breast, strict=True)]
    inside = [breast.place(*at) for at in zip(*on_breast, strict=True)]
    blob, surround = (
        _smooth(pixels, mask, mm / view_mm)[y.astype(int), x.astype(int)] for mm in (BLOB_MM, SURROUND_MM)
    )
    facts = [*np.reshape(points, (-1, 2)).T, rows, columns, *np.reshape(inside, (-1, 2)).T, blob, blob - surround]
    return View(np.ascontiguousarray(pixels), np.stack(facts, axis=1).astype(np.float32))


def _smooth(pixels: np.ndarray, mask: np.ndarray, sigma_px: float) -> np.ndarray:
    """Return the mean grey level of the breast around each pixel, with the weights of a Gaussian."""
    levels, weights = (cv2.GaussianBlur(np.float32(one), (0, 0), sigma_px) for one in (pixels * (mask > 0), mask))
    return levels / np.maximum(weights, 1e-3)
