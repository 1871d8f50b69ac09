"""Squares of films: where each lies, its pixels, and the numbers that are measured on it.

Each square is asked for by plain numbers. `cutting` reads the films, and keeps what is made here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mammo.preprocessing.breast import Breast, brightest_blob, contrast, cut, resize

# Numbers measured on a square: its centre in pixels of the film, and its side; its place in the breast, in fractions of
# the breast's width in that row and of its height, and its place before it moved to a blob; the breast's area in mm2
# (in pixels if the spacing is unknown); mean grey (8 bits), black fraction and `contrast` of the part that is shown.
NUMBERS = [
    "x_px", "y_px", "size_px", "across", "down", "asked_across", "asked_down",
    "breast_mm2", "mean_grey", "black", "contrast",
]  # fmt: skip
Made = tuple[np.ndarray, np.ndarray]  # squares (n, stored, stored) uint8 or uint16, and their numbers (n, NUMBERS)


@dataclass(frozen=True)
class Ask:
    """A request for squares of a film, in plain numbers, so that their digest can name the squares.

    Attributes:
        kind: `whole` (the whole breast, aspect ratio kept), `film` (the whole film as it is, see `whole_film`), `point`
            (one square around a point of the film, or none if the breast is farther away than `within_px`), `middle`
            (one at the middle of the breast), `place` (one at a place in the breast) or `grid` (several over the
            breast).
        size_px: Side of the square in pixels of the film; `whole` and `film` take their own size instead.
        at: The point in pixels, or the place in fractions.
        within_px: Largest distance of a point from the breast.
        reach_px: Largest move of the square to the brightest blob; with 0 it stays.
        stride_px: Distance between neighbouring squares of the grid.
        shown_px: Side of the square that is cut around each centre that the other numbers give; None: `size_px`.
    """

    kind: str
    size_px: int = 0
    at: tuple[float, float] | None = None
    within_px: float = 0.0
    reach_px: float = 0.0
    stride_px: int = 0
    shown_px: int | None = None


@dataclass(frozen=True)
class Square:
    """One square, (stored, stored) uint8 or uint16, and its `NUMBERS` by name."""

    pixels: np.ndarray
    numbers: dict[str, float]


def squares_of(breast: Breast, spacing_mm: float | None, ask: Ask, stored: int, shown: int, margin: float) -> Made:
    """Return the squares of a film, and their numbers.

    Args:
        breast: The breast on the film.
        spacing_mm: Side of a pixel; None if it is unknown.
        ask: What is asked for.
        stored: Side of a square, in pixels.
        shown: Side of the part that an unaugmented sample shows, in pixels.
        margin: Stored side divided by shown side, before it was rounded.
    """
    squares, numbers = [], []
    area = np.count_nonzero(breast.mask) * (spacing_mm or 1.0) ** 2
    inset = (stored - shown) // 2
    levels = 255 / np.iinfo(breast.pixels.dtype).max  # levels of 8 bits per level of the breast
    for point, own in points_of(breast, ask):
        asked, size = breast.place(*point), ask.shown_px or own
        moves = bool(ask.reach_px) and spacing_mm is not None
        centre = brightest_blob(breast, *point, ask.reach_px, spacing_mm or 1.0) if moves else point
        square = resize(cut(breast.pixels, *centre, math.ceil(size * margin)), stored)
        part = square[inset : inset + shown, inset : inset + shown]
        seen = (part.mean() * levels, (part == 0).mean(), contrast(part) * levels)
        squares.append(square)
        numbers.append([*breast.to_film(*centre), size, *breast.place(*centre), *asked, area, *seen])
    return (
        np.array(squares, breast.pixels.dtype).reshape(-1, stored, stored),
        np.array(numbers, np.float64).reshape(-1, len(NUMBERS)),
    )


def shown_at(x_px: float, y_px: float, size_px: float, stored: int, shown: int, margin: float) -> tuple[float, ...]:
    """Return left and top edge and side of the part of a square that a sample shows, in coordinates of the breast.

    Args:
        x_px: The square's centre, as `points_of` yields it or a blob has moved it.
        y_px: The same.
        size_px: Its side.
        stored: See `squares_of`.
        shown: See `squares_of`.
        margin: See `squares_of`.
    """
    side = math.ceil(size_px * margin)
    scale, inset = side / stored, (stored - shown) // 2
    left, top = (round(at - (side - 1) / 2) + inset * scale for at in (x_px, y_px))
    return left, top, shown * scale


def points_of(breast: Breast, ask: Ask) -> Iterator[tuple[tuple[float, float], int]]:
    """Yield the centre of each square, in coordinates of the breast, and its side in pixels."""
    top, bottom, right = breast.box
    if ask.kind in ("whole", "film"):
        size = max(bottom - top, right)
        yield (size / 2, (top + bottom) / 2), size
    elif ask.kind == "middle":
        yield ((right - 1) / 2, (top + bottom - 1) / 2), ask.size_px
    elif ask.kind == "grid":
        for point in breast.grid(ask.size_px, ask.stride_px):
            yield point, ask.size_px
    elif ask.at is not None and ask.kind == "place":
        across, down = ask.at
        y = top + down * (bottom - top)
        yield (across * breast.row_width(y), y), ask.size_px
    elif ask.at is not None:
        point = breast.from_film(*ask.at)
        if breast.reaches(*point, ask.within_px):
            yield point, ask.size_px
