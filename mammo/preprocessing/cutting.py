"""Cut squares from films and measure numbers on them. Each square is asked for by plain numbers, cut once, and kept.

A square is stored larger than it is shown, by the factor `margin`, so that a rotated crop has no black corners.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.progress import track

from mammo.datasets.film import Film, pixel_digest
from mammo.errors import InputError, UnreadableFilm
from mammo.formats import READING_VERSION
from mammo.preprocessing.breast import Breast, brightest_blob, contrast, cut, find_breast, resize
from mammo.preprocessing.cache import Store, digest
from mammo.processes.workers import shared_out

# Raise it if this file, `breast` or `region` changes a pixel or a number, so that no old square is used. A change in
# `mammo.formats` or `mammo.datasets.film` raises READING_VERSION, which names the store too.
VERSION = 3
BLOCK_BYTES = 64 << 20  # bytes of squares held in memory before they are written
SHOWN = 100  # films from which on a bar shows how far cutting has come
# Numbers measured on a square: its centre in pixels of the film, and its side; its place in the breast, in fractions of
# the breast's width in that row and of its height, and its place before it moved to a blob; the breast's area in mm2
# (in pixels if the spacing is unknown); mean grey (8 bits), black fraction and `contrast` of the part that is shown.
NUMBERS = [
    "x_px", "y_px", "size_px", "across", "down", "asked_across", "asked_down",
    "breast_mm2", "mean_grey", "black", "contrast",
]  # fmt: skip
Place = tuple[str, str | None, str, float | None]  # image_id, laterality, path, spacing_mm
Made = tuple[np.ndarray, np.ndarray]  # squares (n, stored, stored) uint8 or uint16, and their numbers (n, NUMBERS)


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


@dataclass(frozen=True)
class Facts:
    """The facts about a film that remain when its pixels are gone: height and width in pixels, white, notes."""

    height: int
    width: int
    max_level: int
    notes: list[str]

    @classmethod
    def of(cls, film: Film, breast: Breast) -> "Facts":
        """Return the facts of a film and of the breast on it."""
        height, width = film.pixels.shape
        return cls(height, width, int(film.max_level), [*film.notes, *breast.notes])


class UnreadableFilms(InputError):
    """Films that cannot be used, by `image_id`, each with its reason. All other squares are made when it is raised."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__("; ".join(reasons.values()))
        self.reasons = reasons


class Cutter:
    """Cuts the squares that are asked for, or takes them from a store, or from memory if it has cut them before.

    Args:
        read: Returns the film of an `image_id`.
        shown: Side in pixels of the part that an unaugmented sample shows.
        margin: Stored side divided by shown side, at least 1.
        bits: Bits of a stored grey level, 8 or 16.
        digest_of: Returns the name of a film's pixels from its `image_id`; None takes
                a digest of the pixels and all facts of the film.
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
        facts = {"version": VERSION, "reading": READING_VERSION, "opencv": cv2.__version__}
        facts |= {"shown": shown, "margin": margin, "bits": bits}
        self.store = None if home is None else Store(home / digest(facts))
        self.known: dict[str, str] = {}  # names of the films' pixels, by image_id
        self.facts: dict[str, Facts] = {}  # by image_id, of all films that gave squares
        self.unreadable: dict[str, str] = {}  # reasons by image_id
        self.held: dict[tuple[Place, Ask], Made] = {}  # without a store

    def __call__(self, rows: pd.DataFrame, asks: Sequence[Ask]) -> list[list[Square]]:
        """Return the squares of each row of a findings table; an ask may give none, one or several.

        Raises:
            UnreadableFilms: Some films cannot be used. The squares of all others are kept for the next call.
        """
        columns = rows[["image_id", "laterality", "path", "spacing_mm"]].astype(object)
        films: list[Place] = [
            (str(image), *(None if pd.isna(one) else one for one in facts))  # type: ignore[misc]
            for image, *facts in columns.itertuples(index=False)
        ]
        wanted = list(zip(films, asks, strict=True))
        made = self._hold(wanted) if self.store is None else self._load(self.store, wanted)
        if lost := {image_id: self.unreadable[image_id] for (image_id, *_), _ in wanted if image_id in self.unreadable}:
            raise UnreadableFilms(lost)
        return [_squares(*made[one]) for one in wanted]

    def _hold(self, wanted: list[tuple[Place, Ask]]) -> dict[tuple[Place, Ask], Made]:
        """Return squares from memory."""
        for film, facts, squares in self._cut([one for one in dict.fromkeys(wanted) if one not in self.held]):
            self.facts[film[0]] = facts
            self.held |= {(film, ask): made for ask, made in squares}
        return self.held

    def _load(self, store: Store, wanted: list[tuple[Place, Ask]]) -> dict[tuple[Place, Ask], Made]:
        """Return squares from the store, memory-mapped."""
        self._name([film[0] for film, _ in wanted])
        keys = {one: self._key(*one) for one in wanted if one[0][0] in self.known}
        names = {name for key in keys.values() for name in _names(key)}
        found = store.load(names)
        if len(found) < len(names):
            with store.building():
                found = store.load(names)
                self._fill(store, [one for one, key in keys.items() if not found.keys() >= set(_names(key))], keys)
            keys = {one: key for one, key in keys.items() if one[0][0] not in self.unreadable}
            found = store.load_all({name for key in keys.values() for name in _names(key)})
        loaded = {}
        for one, key in keys.items():
            pixels, numbers, facts = (found[name].numpy() for name in _names(key))
            loaded[one] = pixels, numbers
            self.facts[one[0][0]] = Facts(**json.loads(facts.tobytes()))
        return loaded

    def _name(self, images: list[str]) -> None:
        """Name the pixels of films: by the name that the data set gives, or else by the pixels and facts."""

        def given(image_id: str) -> str | UnreadableFilm | None:
            try:
                return self.digest_of(image_id) if self.digest_of else None
            except UnreadableFilm as error:
                return error

        def computed(image_id: str) -> str:
            film = self.read(image_id)
            facts = {one.name: getattr(film, one.name) for one in fields(film) if one.name != "pixels"}
            return f"{pixel_digest(film.pixels)} {film.pixels.dtype} {film.pixels.shape} {facts}"

        unnamed = [one for one in dict.fromkeys(images) if one not in self.known]
        with ThreadPoolExecutor(4) as pool:
            named = dict(zip(unnamed, pool.map(given, unnamed), strict=True))
        nameless = [image_id for image_id, name in named.items() if name is None]
        named |= zip(nameless, shared_out(computed, nameless), strict=True)
        for image_id, name in named.items():
            if isinstance(name, UnreadableFilm):
                self.unreadable[image_id] = str(name)
            else:
                self.known[image_id] = str(name)

    def _key(self, film: Place, ask: Ask) -> str:
        image_id, laterality, _, spacing_mm = film
        facts = {"film": self.known[image_id], "laterality": laterality, "spacing": spacing_mm}
        return digest(facts | asdict(ask))

    def _fill(self, store: Store, missing: list[tuple[Place, Ask]], keys: dict[tuple[Place, Ask], str]) -> None:
        block: dict[str, torch.Tensor] = {}
        held = 0
        for film, facts, squares in self._cut(missing):
            said = np.frombuffer(json.dumps(asdict(facts)).encode(), np.uint8).copy()
            for ask, (pixels, numbers) in squares:
                arrays = map(torch.from_numpy, (pixels, numbers, said))
                block |= zip(_names(keys[film, ask]), arrays, strict=True)
                held += pixels.nbytes
            if held > BLOCK_BYTES:
                store.store(block)
                block, held = {}, 0
        if block:
            store.store(block)

    def _cut(self, wanted: list[tuple[Place, Ask]]) -> Iterator[tuple[Place, Facts, list[tuple[Ask, Made]]]]:
        """Yield the facts and the squares of each film, which is read once; note the films that cannot be used."""
        of_film: dict[Place, list[Ask]] = {}
        for film, ask in wanted:
            of_film.setdefault(film, []).append(ask)

        def cut_film(place: Place) -> tuple[Facts, list[tuple[Ask, Made]]]:
            image_id, laterality, path, spacing_mm = place
            film = self.read(image_id)
            breast = find_breast(film, laterality, path or image_id, self.bits)
            squares = [(ask, self._squares_of(breast, spacing_mm, ask)) for ask in of_film[place]]
            return Facts.of(film, breast), squares

        films = list(of_film)
        answers = shared_out(cut_film, films, alone=self.store is not None)
        console = Console(stderr=True)
        hidden = len(films) < SHOWN or not console.is_terminal
        bar = track(answers, "Cutting films", len(films), disable=hidden, console=console, transient=True)
        for place, made in zip(films, bar, strict=True):
            if isinstance(made, UnreadableFilm):
                self.unreadable[place[0]] = str(made)
            else:
                yield place, *made

    def _squares_of(self, breast: Breast, spacing_mm: float | None, ask: Ask) -> Made:
        squares, numbers = [], []
        area = np.count_nonzero(breast.mask) * (spacing_mm or 1.0) ** 2
        inset = (self.stored - self.shown) // 2
        levels = 255 / np.iinfo(breast.pixels.dtype).max  # levels of 8 bits per level of the breast
        for point, size in _points(breast, ask):
            asked = breast.place(*point)
            moves = bool(ask.reach_px) and spacing_mm is not None
            centre = brightest_blob(breast, *point, ask.reach_px, spacing_mm or 1.0) if moves else point
            square = resize(cut(breast.pixels, *centre, math.ceil(size * self.margin)), self.stored)
            shown = square[inset : inset + self.shown, inset : inset + self.shown]
            seen = (shown.mean() * levels, (shown == 0).mean(), contrast(shown) * levels)
            squares.append(square)
            numbers.append([*breast.to_film(*centre), size, *breast.place(*centre), *asked, area, *seen])
        return (
            np.array(squares, breast.pixels.dtype).reshape(-1, self.stored, self.stored),
            np.array(numbers, np.float64).reshape(-1, len(NUMBERS)),
        )


def _points(breast: Breast, ask: Ask) -> Iterator[tuple[tuple[float, float], int]]:
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
        point = breast.from_film(*ask.at)
        if breast.reaches(*point, ask.within_px):
            yield point, ask.size_px


def _names(key: str) -> tuple[str, str, str]:
    """Return the names of a film's squares, their numbers and its facts (JSON as bytes) in the store."""
    return key, f"{key}.numbers", f"{key}.film"


def _squares(pixels: np.ndarray, numbers: np.ndarray) -> list[Square]:
    measured = (dict(zip(NUMBERS, row, strict=True)) for row in numbers.tolist())
    return [Square(square, row) for square, row in zip(pixels, measured, strict=True)]
