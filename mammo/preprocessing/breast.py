"""Find, clean, mirror and scale the breast on a film, and cut squares from it. Grey levels fill their dtype's range."""

import functools
import itertools
import math
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from mammo.datasets.film import Film
from mammo.errors import UnreadableFilm
from mammo.preprocessing.region import find_region


@dataclass(frozen=True)
class Breast:
    """The breast of a film alone: chest wall at column 0, nipple to the right, everything else black.

    Attributes:
        pixels: (height, width) uint8 or uint16, grey levels scaled to this film.
        mask: (height, width) bool, true on the breast.
        box: Top, bottom and right edge of the breast in pixels; its left edge is 0.
        mirrored: True if the film showed the chest wall on its right and was mirrored.
        disagrees: True if the film showed its chest wall on the other side than its laterality says.
        chest_px: Column of the chest wall in the film after mirroring.
        upside_down: True if the film's rows ran towards the head, and it was turned the right way up.
        film_shape: Height and width of the film in pixels.
        notes: What is unusual about the breast, one line each.
    """

    pixels: np.ndarray
    mask: np.ndarray
    box: tuple[int, int, int]
    mirrored: bool
    disagrees: bool
    chest_px: int
    upside_down: bool
    film_shape: tuple[int, int]
    notes: tuple[str, ...]

    def from_film(self, x_px: float, y_px: float) -> tuple[float, float]:
        """Return a point of the film, as it is stored, in coordinates of `pixels`."""
        x_px, y_px = self._turned(x_px, y_px)
        return x_px - self.chest_px, y_px

    def to_film(self, x_px: float, y_px: float) -> tuple[float, float]:
        """Return a point of `pixels` in coordinates of the film as it is stored."""
        return self._turned(x_px + self.chest_px, y_px)

    def map_to_film(self, values: np.ndarray) -> np.ndarray:
        """Return values of each pixel of `pixels` in the place of the film that `to_film` gives it; elsewhere 0.

        Args:
            values: (height, width) like `pixels`.

        Returns:
            (film height, film width).
        """
        whole = np.zeros(self.film_shape, values.dtype)
        whole[:, self.chest_px :] = values
        return np.ascontiguousarray(whole[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1])

    def _turned(self, x_px: float, y_px: float) -> tuple[float, float]:
        height, width = self.film_shape
        return width - 1 - x_px if self.mirrored else x_px, height - 1 - y_px if self.upside_down else y_px

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
            if np.count_nonzero(self.mask[y0 : y0 + side_px, x0 : x0 + side_px]) * 4 >= side_px**2
        ]


BLOCK_ROWS = 128  # rows of a film that are scaled at a time: 1 MB of indices
AREA_CM2 = (20.0, 600.0)  # of a breast on a film; on MIAS 60 to 390


def find_breast(film: Film, laterality: str | None, path: Path | str = "film", bits: int = 8) -> Breast:
    """Find the breast on a film, remove labels, frames and borders, and scale the grey levels.

    The picture decides on which side the chest wall is: where the breast is taller. Only if both sides are nearly
    equal does the laterality decide: a right breast has its chest wall on the right of the film. Where the two
    disagree, the breast's notes say so. The 1st and 99.5th percentiles of the grey levels become black and white.

    Args:
        film: A film of any depth and scale.
        laterality: left, right or None; None takes the film's own.
        path: The path that the error names.
        bits: Bits of a grey level of the result, 8 or 16.

    Raises:
        UnreadableFilm: The film shows no breast; names `path`.
    """
    levels = cv2.flip(film.pixels, 0) if film.upside_down else film.pixels
    region, notes = _region(levels, film.max_level, path)
    taller, clear = taller_side(region)
    laterality = laterality or film.laterality
    if not clear:
        taller = laterality or taller
        notes.append(f"both sides of the film look like a chest wall; {taller} is taken")
    disagrees = laterality not in (None, taller)
    if disagrees:
        notes.append(
            f"the film is labelled {laterality}, but shows its chest wall on the {taller}; the picture decides"
        )
    mirrored = taller == "right"
    if mirrored:  # and the breast is found once more, so that a film and its mirror image give the same to the bit
        levels = cv2.flip(levels, 1)
        region, _ = _region(levels, film.max_level, path)
    height, width = levels.shape
    mask = cv2.resize(region * 255, (width, height), interpolation=cv2.INTER_LINEAR) > 127
    columns = np.flatnonzero(mask.any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    left += _dark_columns(levels, mask, left)
    levels, mask = levels[:, left:], np.ascontiguousarray(mask[:, left:])
    rows = np.flatnonzero(mask.any(axis=1))
    box = int(rows[0]), int(rows[-1]) + 1, right - left
    if film.spacing_mm is not None:
        area = np.count_nonzero(mask) * film.spacing_mm**2 / 100
        if not AREA_CM2[0] <= area <= AREA_CM2[1]:
            notes.append(f"the breast measures {area:.0f} cm2")
    return Breast(
        pixels=_scaled(levels, mask, box, bits),
        mask=mask,
        box=box,
        mirrored=mirrored,
        disagrees=disagrees,
        chest_px=left,
        upside_down=film.upside_down,
        film_shape=(height, width),
        notes=tuple(notes),
    )


def whole_film(film: Film, breast: Breast, bits: int = 8) -> Breast:
    """Return the film itself in place of its breast: nothing is removed or mirrored, and its white is white.

    Args:
        film: The film.
        breast: The breast that was found on it; its mask remains.
        bits: Bits of a grey level of the result, 8 or 16.
    """
    levels = film.levels8() if bits == 8 else np.rint(np.minimum(film.grey(), 1) * 65535).astype(np.uint16)
    turned = slice(None, None, -1 if film.upside_down else 1)
    box, mask = (0, *levels.shape), np.ascontiguousarray(breast.map_to_film(breast.mask)[turned])
    return replace(breast, pixels=levels[turned], mask=mask, box=box, mirrored=False, chest_px=0)


def _region(levels: np.ndarray, max_level: int, path: Path | str) -> tuple[np.ndarray, list[str]]:
    if (found := find_region(levels, max_level)) is None:
        raise UnreadableFilm(f"{path}: no breast found; expected a mammogram with a dark background")
    return found


def taller_side(region: np.ndarray) -> tuple[str, bool]:
    """Return the side on which a breast is taller, left or right, and True if it is clearly so.

    The lower side has at most 0.54 of the taller one's pixels on mini-MIAS and the phantom, and 0.83 or more on the two
    films of MIAS whose breast leaves the film on both sides.
    """
    columns = np.flatnonzero(region.any(axis=0))
    edge = max(len(columns) // 10, 1)
    left, right = (int(np.count_nonzero(region[:, part])) for part in (columns[:edge], columns[-edge:]))
    return "right" if right > left else "left", min(left, right) < 0.7 * max(left, right)


def _dark_columns(levels: np.ndarray, mask: np.ndarray, left: int) -> int:
    """Count the columns at the chest wall that are the film's dark edge, which the coarse mask includes."""
    strip = slice(left, left + max(max(mask.shape) // 64, 1))  # 3 mm, which are 16 pixels of MIAS
    means = (levels[:, strip] * mask[:, strip]).sum(axis=0) / np.maximum(mask[:, strip].sum(axis=0), 1)
    return int((means >= 0.8 * means[-1]).argmax())


def _scaled(levels: np.ndarray, mask: np.ndarray, box: tuple[int, int, int], bits: int) -> np.ndarray:
    """Return the grey levels of the breast scaled to `bits`, and black elsewhere, by a table of all levels."""
    top, bottom, right = box
    white, dtype = 2**bits - 1, np.uint8 if bits == 8 else np.uint16
    inside, shown = levels[top:bottom, :right], mask[top:bottom, :right]
    size = int(inside.max()) + 1
    counts = cv2.calcHist([inside], [0], shown.view(np.uint8), [size], [0, size]).ravel().astype(np.int64)
    low, high = percentile(counts, 1.0), percentile(counts, 99.5)
    table = np.clip((np.arange(size, dtype=np.float32) - low) * (white / max(high - low, 1.0)), 0, white).astype(dtype)
    pixels = np.zeros(levels.shape, dtype)
    for start in range(0, bottom - top, BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        pixels[top:bottom, :right][block] = np.take(table, inside[block], mode="clip") * shown[block]
    return pixels


def percentile(counts: np.ndarray, percent: float) -> np.float64:
    """Return a percentile of levels from how often each occurs, to the bit as `np.percentile` does."""
    below = np.cumsum(counts)
    place = np.float64(percent / 100) * (below[-1] - 1)
    first = np.floor(place)
    at, after = np.searchsorted(below, [first, min(first + 1, below[-1] - 1)], side="right")
    share = place - first
    return np.float64(after - (after - at) * (1 - share) if share >= 0.5 else at + (after - at) * share)


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
