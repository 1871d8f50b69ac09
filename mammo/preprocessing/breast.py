"""Find, clean, mirror and scale the breast on a film, and cut squares from it. Grey levels fill their dtype's range."""

import functools
import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mammo.datasets.film import Film
from mammo.errors import UnreadableFilm


@dataclass(frozen=True)
class Breast:
    """The breast of a film alone: chest wall at column 0, nipple to the right, everything else black.

    Attributes:
        pixels: (height, width) uint8 or uint16, grey levels scaled to this film.
        mask: (height, width) bool, true on the breast.
        box: Top, bottom and right edge of the breast in pixels; its left edge is 0.
        mirrored: True if the film showed the chest wall on its right and was mirrored.
        chest_px: Column of the chest wall in the film after mirroring.
        notes: What a reader should know about the breast that was found, one line each.
    """

    pixels: np.ndarray
    mask: np.ndarray
    box: tuple[int, int, int]
    mirrored: bool
    chest_px: int
    notes: tuple[str, ...] = ()

    def from_film(self, x_px: float, y_px: float, film_width: int) -> tuple[float, float]:
        """Return a point of the film in coordinates of `pixels`."""
        return (film_width - 1 - x_px if self.mirrored else x_px) - self.chest_px, y_px

    def to_film(self, x_px: float, y_px: float, film_width: int) -> tuple[float, float]:
        """Return a point of `pixels` in coordinates of the film."""
        return (film_width - 1 - x_px - self.chest_px if self.mirrored else x_px + self.chest_px), y_px

    def reaches(self, x_px: float, y_px: float, reach_px: float) -> bool:
        """Tell whether the breast lies within `reach_px` of a point."""
        top, left = (max(math.floor(at - reach_px), 0) for at in (y_px, x_px))
        bottom, right = (max(math.ceil(at + reach_px) + 1, 0) for at in (y_px, x_px))
        rows, columns = np.nonzero(self.mask[top:bottom, left:right])
        return bool((np.hypot(columns + (left - x_px), rows + (top - y_px)) <= reach_px).any())

    def place(self, x_px: float, y_px: float) -> tuple[float, float]:
        """Return a point's place: its fractions of the breast's width in that row, at most 1, and of its height."""
        top, bottom, _ = self.box
        return min(x_px / self.row_width(y_px), 1.0), (y_px - top) / (bottom - top)

    def row_width(self, y_px: float) -> int:
        """Return the breast's width in one row, from the chest wall to its rightmost pixel; at least 1 pixel."""
        row = self.mask[min(max(round(y_px), self.box[0]), self.box[1] - 1)]
        return int(np.flatnonzero(row).max(initial=0)) + 1

    def grid(self, side_px: int, stride_px: int) -> list[tuple[float, float]]:
        """Return the centres of squares over the breast, in rows from top to bottom that begin at the chest wall.

        Rows may lie closer together than `stride_px`, so that no square lies beyond the film, where there is only a
        reflection. A square is kept if at least a quarter of it is breast: on mini-MIAS, 118 of 119 circles then have
        their centre in a square.
        """
        top, bottom, right = self.box
        down, across = (math.ceil(max(length - side_px, 0) / stride_px) + 1 for length in (bottom - top, right))
        rows = np.linspace(top, max(bottom - side_px, top), down).round().astype(int)
        corners = itertools.product(rows, range(0, across * stride_px, stride_px))
        return [
            (x0 + (side_px - 1) / 2, y0 + (side_px - 1) / 2)
            for y0, x0 in corners
            if self.mask[y0 : y0 + side_px, x0 : x0 + side_px].sum() * 4 >= side_px**2
        ]


_COARSE = 256  # side in pixels of the small film on which the breast is found: 0.8 mm per pixel on MIAS
_ABOVE_BASE = 12  # grey levels from the film's base to the breast's edge: follows the skin on all 322 MIAS films


def find_breast(film: Film, laterality: str | None, path: Path | str = "film", bits: int = 8) -> Breast:
    """Find the breast on a film, remove labels and borders, and scale the grey levels.

    The breast is the largest bright region after thin bridges to labels and borders are cut. It is found in 8 bits,
    whatever the film's depth. A right breast has its chest wall on the right of the film, a left breast on the left;
    if the laterality is unknown, the chest wall is on the side where the breast is taller. The 1st and 99.5th
    percentiles of the grey levels become black and white.

    Args:
        film: A film of any depth.
        laterality: left, right or None; None takes the film's own.
        path: The path that the error names.
        bits: Bits of a grey level of the result, 8 or 16.

    Raises:
        UnreadableFilm: The film shows no breast; names `path`.
    """
    levels, white = film.pixels, 2**bits - 1
    coarse = cv2.medianBlur(cv2.resize(film.levels8(), (_COARSE, _COARSE), interpolation=cv2.INTER_AREA), 5)
    counts = np.bincount(coarse[coarse > 0], minlength=256)[1:50]
    # The film's base is the grey of its background; if no base is visible, the background is black.
    base = int(counts.argmax()) + 1 if counts.sum() > 0.05 * coarse.size else 0
    bright = (coarse > base + _ABOVE_BASE).astype(np.uint8)
    bright = cv2.morphologyEx(bright, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13)))
    regions, labels, stats, _ = cv2.connectedComponentsWithStats(bright)
    if regions < 2:
        raise UnreadableFilm(f"{path}: no breast found; expected a mammogram with a dark background")
    region = (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    region = cv2.morphologyEx(region, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15)))
    mask = cv2.resize(region * 255, levels.shape[::-1], interpolation=cv2.INTER_LINEAR) > 127

    columns = np.flatnonzero(mask.any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    edge = max((right - left) // 10, 1)
    taller_right = bool(mask[:, right - edge : right].sum() > mask[:, left : left + edge].sum())
    laterality = laterality or film.laterality
    mirrored = taller_right if laterality is None else laterality == "right"
    if mirrored:
        width = levels.shape[1]
        levels, mask, left, right = levels[:, ::-1], mask[:, ::-1], width - right, width - left
    left += _dark_columns(levels, mask, left)
    levels, mask = levels[:, left:], np.ascontiguousarray(mask[:, left:])
    low, high = np.percentile(levels[mask], [1.0, 99.5])
    scaled = np.clip((levels.astype(np.float32) - low) * (white / max(high - low, 1.0)), 0, white)
    rows = np.flatnonzero(mask.any(axis=1))
    return Breast(
        pixels=(scaled * mask).astype(np.uint8 if bits == 8 else np.uint16),
        mask=mask,
        box=(int(rows[0]), int(rows[-1]) + 1, right - left),
        mirrored=mirrored,
        chest_px=left,
    )


def _dark_columns(levels: np.ndarray, mask: np.ndarray, left: int) -> int:
    """Count the columns at the chest wall that are the film's dark edge, which the coarse mask includes."""
    strip = slice(left, left + 16)
    means = (levels[:, strip] * mask[:, strip]).sum(axis=0) / np.maximum(mask[:, strip].sum(axis=0), 1)
    return int((means >= 0.8 * means[-1]).argmax())


def brightest_blob(breast: Breast, x_px: float, y_px: float, reach_px: float, spacing_mm: float) -> tuple[float, float]:
    """Return the centre of the brightest blob of the breast within `reach_px` of a point, in pixels.

    A blob is a maximum of the film smoothed by a Gaussian of 3 mm. Other scales and differences of Gaussians were tried
    on training and validation films: with this one, centre-minus-surround brightness tells the least about the class.
    """
    sigma_px = 3.0 / spacing_mm
    pad = round(reach_px + 3 * sigma_px)
    x, y = round(x_px), round(y_px)
    blob = cv2.GaussianBlur(np.float32(cut(breast.pixels, x, y, 2 * pad + 1)), (0, 0), sigma_px)
    down, across = np.mgrid[-pad : pad + 1, -pad : pad + 1]
    inside = down**2 + across**2 <= reach_px**2
    height, width = breast.mask.shape
    film_y, film_x = down + y, across + x
    on_film = (film_y >= 0) & (film_y < height) & (film_x >= 0) & (film_x < width)
    inside &= on_film & breast.mask[film_y.clip(0, height - 1), film_x.clip(0, width - 1)]
    if not inside.any():
        return x_px, y_px
    row, column = np.unravel_index(np.where(inside, blob, -np.inf).argmax(), blob.shape)
    return float(x + column - pad), float(y + row - pad)


def cut(pixels: np.ndarray, x_px: float, y_px: float, side_px: int) -> np.ndarray:
    """Return the square of `side_px` centred on a point; beyond the film it shows a reflection, never black."""
    x0, y0 = round(x_px - (side_px - 1) / 2), round(y_px - (side_px - 1) / 2)
    height, width = pixels.shape
    (rows, top, bottom), (columns, left, right) = _span(y0, side_px, height), _span(x0, side_px, width)
    padded = cv2.copyMakeBorder(pixels[rows, columns], top, bottom, left, right, cv2.BORDER_REFLECT_101)
    y, x = max(y0, 0) - rows.start, max(x0, 0) - columns.start
    return padded[y : y + side_px, x : x + side_px]


def _span(start: int, length: int, size: int) -> tuple[slice, int, int]:
    """Return the part of a film's rows or columns that a square shows or reflects, and what lies beyond either end."""
    before, after = max(-start, 0), max(start + length - size, 0)
    first = min(start, size - 1 - after) if after else start
    last = max(start + length, before + 1) if before else start + length
    return slice(min(max(first, 0), size - 1), max(min(last, size), 1)), before, after


def resize(pixels: np.ndarray, side_px: int) -> np.ndarray:
    """Return the square resized to `side_px`, by averaging areas if it shrinks and cubically if it grows."""
    method = cv2.INTER_AREA if pixels.shape[0] > side_px else cv2.INTER_CUBIC
    return cv2.resize(pixels, (side_px, side_px), interpolation=method)


def contrast(crop: np.ndarray) -> float:
    """Return the centre-minus-surround brightness of a square crop in grey levels: a score that learns nothing.

    The centre is a disc with half the side as its diameter. The surround is the ring around it, up to a diameter of
    the whole side.
    """
    centre, ring = _rings(crop.shape[0])
    return float(crop[centre].mean() - crop[ring].mean())


@functools.lru_cache(maxsize=8)
def _rings(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the centre and the surround of a square, each (side, side) bool."""
    down, across = np.mgrid[:side, :side] - (side - 1) / 2
    radius = np.hypot(down, across) / side
    return radius <= 0.25, (radius > 0.25) & (radius <= 0.5)
