"""Cut squares from films and measure numbers on them. Each square is asked for by plain numbers, cut once, and kept.

A square is stored larger than it is shown, by the factor `margin`, so that a rotated crop has no black corners.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from rich.progress import track

from mammo.datasets.film import Film, pixel_digest
from mammo.preprocessing.breast import Breast, brightest_blob, contrast, cut, find_breast, resize
from mammo.preprocessing.cache import Store, digest

VERSION = 2  # raise it if this file or `breast` changes a pixel or a number, so that no old square is used
BLOCK_BYTES = 64 << 20  # bytes of squares held in memory before they are written
AHEAD = 32  # decoded films held in memory at once
# Numbers measured on a square: its centre in pixels of the film, and its side; its place in the breast, in fractions of
# the breast's width in that row and of its height, and its place before it moved to a blob; the breast's area in mm2
# (in pixels if the spacing is unknown); mean grey (8 bits), black fraction and `contrast` of the part that is shown.
NUMBERS = [
    "x_px", "y_px", "size_px", "across", "down", "asked_across", "asked_down",
    "breast_mm2", "mean_grey", "black", "contrast",
]  # fmt: skip
Place = tuple[str, str | None, str, float | None]  # image_id, laterality, path, spacing_mm


@dataclass(frozen=True)
class Ask:
    """A request for squares of a film, in plain numbers, so that their digest can name the squares.

    Attributes:
        kind: `whole` (the whole breast, aspect ratio kept), `point` (one square around a point of the film, or none if
            the breast is farther away than `within_px`), `middle` (one at the middle of the breast), `place` (one at
            a place in the breast) or `grid` (several over the breast).
        size_px: Side of the square in pixels of the film; `whole` takes the breast's own size instead.
        at: The point in pixels, or the place in fractions.
        within_px: Largest distance of a point from the breast.
        reach_px: Largest move of the square to the brightest blob; with 0 it stays.
        stride_px: Distance between neighbouring squares of the grid.
    """

    kind: str
    size_px: int = 0
    at: tuple[float, float] | None = None
    within_px: float = 0.0
    reach_px: float = 0.0
    stride_px: int = 0


@dataclass(frozen=True)
class Square:
    """One square, (stored, stored) uint8 or uint16, and its `NUMBERS` by name."""

    pixels: np.ndarray
    numbers: dict[str, float]


class Cutter:
    """Cuts the squares that are asked for, or takes them from a store.

    Args:
        read: Returns the film of an `image_id`.
        shown: Side in pixels of the part that an unaugmented sample shows.
        margin: Stored side divided by shown side, at least 1.
        bits: Bits of a stored grey level, 8 or 16.
        digest_of: Returns the name of a film's pixels from its `image_id`; None takes a digest of the pixels.
        home: The folder of all stores; None keeps nothing.
    """

    def __init__(
        self,
        read: Callable[[str], Film],
        *,
        shown: int,
        margin: float,
        bits: int = 8,
        digest_of: Callable[[str], str | None] | None = None,
        home: Path | None = None,
    ) -> None:
        self.read, self.shown, self.margin, self.bits, self.digest_of = read, shown, margin, bits, digest_of
        self.stored = math.ceil(shown * margin)
        facts = {"version": VERSION, "opencv": cv2.__version__, "shown": shown, "margin": margin, "bits": bits}
        self.store = None if home is None else Store(home / digest(facts))
        self.known: dict[str, str] = {}  # names of the films' pixels, by image_id

    def __call__(self, rows: pd.DataFrame, asks: Sequence[Ask]) -> list[list[Square]]:
        """Return the squares of each row of a findings table; an ask may give none, one or several."""
        columns = rows[["image_id", "laterality", "path", "spacing_mm"]].astype(object)
        films: list[Place] = [
            (str(image), *(None if pd.isna(one) else one for one in facts))  # type: ignore[misc]
            for image, *facts in columns.itertuples(index=False)
        ]
        wanted = list(zip(films, asks, strict=True))
        if self.store is None:
            made = {number: arrays for number, arrays in self._cut(list(enumerate(wanted)))}
            return [_squares(*made[number]) for number in range(len(wanted))]
        with ThreadPoolExecutor(4) as pool:
            unnamed = list({film[0] for film in films} - set(self.known))
            self.known |= zip(unnamed, pool.map(self._name, unnamed), strict=True)
        keys = [self._key(*one) for one in wanted]
        names = {name for key in keys for name in (key, f"{key}.numbers")}
        found = self.store.load(names)
        if len(found) < len(names):
            with self.store.building():
                found = self.store.load(names)
                self._fill(
                    [(key, one) for key, one in dict(zip(keys, wanted, strict=True)).items() if key not in found]
                )
            found = self.store.load_all(names)
        return [_squares(found[key].numpy(), found[f"{key}.numbers"].numpy()) for key in keys]

    def _name(self, image_id: str) -> str:
        """Return the name of a film's pixels: the one that the data set gives, or else a digest of the pixels."""
        if (given := self.digest_of(image_id) if self.digest_of else None) is not None:
            return given
        film = self.read(image_id)
        return f"{pixel_digest(film.pixels)} {film.pixels.dtype} {film.pixels.shape} {film.max_level} {film.laterality}"

    def _key(self, film: Place, ask: Ask) -> str:
        image_id, laterality, _, spacing_mm = film
        facts = {"film": self.known[image_id], "laterality": laterality, "spacing": spacing_mm}
        return digest(facts | asdict(ask))

    def _fill(self, missing: list[tuple[str, Any]]) -> None:
        block: dict[str, torch.Tensor] = {}
        held = 0
        for key, (pixels, numbers) in self._cut(missing):
            block |= {key: torch.from_numpy(pixels), f"{key}.numbers": torch.from_numpy(numbers)}
            held += pixels.nbytes
            if held > BLOCK_BYTES:
                self.store.store(block)  # type: ignore[union-attr]
                block, held = {}, 0
        if block:
            self.store.store(block)  # type: ignore[union-attr]

    def _cut(self, wanted: list[tuple[Any, Any]]) -> Iterator[tuple[Any, tuple[np.ndarray, np.ndarray]]]:
        """Yield each name with its squares (n, stored, stored) and numbers (n, NUMBERS); each film is read once."""
        of_film: dict[Any, list[tuple[Any, Ask]]] = {}
        for name, (film, ask) in wanted:
            of_film.setdefault(film, []).append((name, ask))

        def cut_film(place: Place) -> list[tuple[Any, tuple[np.ndarray, np.ndarray]]]:
            image_id, laterality, path, spacing_mm = place
            film = self.read(image_id)
            breast = find_breast(film, laterality, path or image_id, self.bits)
            width = film.pixels.shape[1]
            return [(name, self._squares_of(breast, width, spacing_mm, ask)) for name, ask in of_film[place]]

        films = list(of_film)
        with ThreadPoolExecutor(4) as pool:
            for start in track(range(0, len(films), AHEAD), "Cutting films", disable=len(films) < 1000):
                for made in pool.map(cut_film, films[start : start + AHEAD]):
                    yield from made

    def _squares_of(
        self, breast: Breast, width_px: int, spacing_mm: float | None, ask: Ask
    ) -> tuple[np.ndarray, np.ndarray]:
        squares, numbers = [], []
        area = breast.mask.sum() * (spacing_mm or 1.0) ** 2
        inset = (self.stored - self.shown) // 2
        levels = 255 / np.iinfo(breast.pixels.dtype).max  # levels of 8 bits per level of the breast
        for point, size in _points(breast, width_px, ask):
            asked = breast.place(*point)
            moves = bool(ask.reach_px) and spacing_mm is not None
            centre = brightest_blob(breast, *point, ask.reach_px, spacing_mm or 1.0) if moves else point
            square = resize(cut(breast.pixels, *centre, math.ceil(size * self.margin)), self.stored)
            shown = square[inset : inset + self.shown, inset : inset + self.shown]
            seen = (shown.mean() * levels, (shown == 0).mean(), contrast(shown) * levels)
            squares.append(square)
            numbers.append([*breast.to_film(*centre, width_px), size, *breast.place(*centre), *asked, area, *seen])
        return (
            np.array(squares, breast.pixels.dtype).reshape(-1, self.stored, self.stored),
            np.array(numbers, np.float64).reshape(-1, len(NUMBERS)),
        )


def _points(breast: Breast, width_px: int, ask: Ask) -> Iterator[tuple[tuple[float, float], int]]:
    """Yield the centre of each square, in coordinates of the breast, and its side in pixels."""
    top, bottom, right = breast.box
    if ask.kind == "whole":
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
        point = breast.from_film(*ask.at, width_px)
        if breast.reaches(*point, ask.within_px):
            yield point, ask.size_px


def _squares(pixels: np.ndarray, numbers: np.ndarray) -> list[Square]:
    measured = (dict(zip(NUMBERS, row, strict=True)) for row in numbers.tolist())
    return [Square(square, row) for square, row in zip(pixels, measured, strict=True)]
