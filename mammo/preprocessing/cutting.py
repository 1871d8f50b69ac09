"""The cutter, which reads each film once for all of its squares, and keeps them. Several processes share the films.

A square is stored larger than it is shown, by the factor `margin`, so that a rotated crop has no black corners.
"""

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch

from mammo.datasets.film import Film, checked, pixel_digest
from mammo.errors import InputError, UnreadableFilm
from mammo.formats import READING_VERSION
from mammo.preprocessing import CUTTING_VERSION as VERSION
from mammo.preprocessing.appearance import appearance
from mammo.preprocessing.breast import Breast, find_breast, whole_film
from mammo.preprocessing.cache import Store, digest
from mammo.preprocessing.masks import PLACED, MaskAsk, mask_squares
from mammo.preprocessing.squares import NUMBERS, Ask, Made, Square, squares_of
from mammo.processes.peers import peers
from mammo.processes.progress import watched
from mammo.processes.workers import shared_out

BLOCK_BYTES, BLOCK_S = 64 << 20, 60.0  # bytes of squares, and their age, before they are written: a kill loses these
PATIENCE_S = 60.0  # for squares that other machines stored: a network file system may show them a minute late
NAMES_READ = 3  # names that several films share, whose films are read to see if they are copies
Place = tuple[str, str | None, str, float | None]  # image_id, laterality, path, spacing_mm


@dataclass(frozen=True)
class Facts:
    """The facts about a film that remain when its pixels are gone: height and width in pixels, white, and so on."""

    height: int
    width: int
    max_level: int
    notes: list[str]
    appearance: list[float]  # `appearance.NUMBERS`

    @classmethod
    def of(cls, film: Film, breast: Breast) -> "Facts":
        """Return the facts of a film and of the breast on it."""
        height, width = film.pixels.shape
        notes = [*film.notes, *breast.notes]
        return cls(height, width, int(film.max_level), notes, appearance(film, breast).tolist())


class UnreadableFilms(InputError):
    """Films that cannot be used, by `image_id`, each with its reason. All other squares are made when it is raised."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__("; ".join(reasons.values()))
        self.reasons = reasons


class Cutter:
    """Cuts the squares that are asked for, or takes them from a store, or from memory if it has cut them before.

    The processes of a job fill a store together: each cuts its share of the films, then what is left of the others.

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
        self.read, self.shown, self.margin, self.bits, self.digest_of = checked(read), shown, margin, bits, digest_of
        self.stored = math.ceil(shown * margin)
        facts = {"version": VERSION} | read_by() | {"shown": shown, "margin": margin, "bits": bits}
        self.store = None if home is None else Store(home / digest(facts), mapped=True)
        self.known: dict[str, str] = {}  # names of the films' pixels, by image_id
        self.facts: dict[str, Facts] = {}  # by image_id, of all films that gave squares
        self.unreadable: dict[str, str] = {}  # reasons by image_id
        self.held: dict[tuple[Place, Ask], Made] = {}  # without a store
        self.order: dict[str, int] = {}  # the films in the order in which they were first asked for, from 0
        together = peers()
        self.own, self.count = (together.rank, together.world) if together else (0, 1)  # this process's share

    def __call__(self, rows: pd.DataFrame, asks: Sequence[Ask]) -> list[list[Square]]:
        """Return the squares of each row of a findings table; an ask may give none, one or several.

        Raises:
            UnreadableFilms: Some films cannot be used. The squares of all others are kept for the next call.
        """
        wanted = list(zip(places_of(rows), asks, strict=True))
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
        images = [film[0] for film, _ in wanted]
        for image_id in images:
            self.order.setdefault(image_id, len(self.order))
        self._name(images)
        keys = {one: self.key(*one) for one in wanted if one[0][0] in self.known}
        names = {name for key in keys.values() for name in names_of(key)}
        found = store.load(names)
        if len(found) < len(names):
            lacking = [one for one, key in keys.items() if not found.keys() >= set(names_of(key))]
            del found  # of the files that were there
            self._complete(store, lacking, keys)
            keys = {one: key for one, key in keys.items() if one[0][0] not in self.unreadable}
            patience = PATIENCE_S if self.count > 1 else 0.0
            found = store.load_all({name for key in keys.values() for name in names_of(key)}, patience)
        loaded = {}
        for one, key in keys.items():
            pixels, numbers, facts = (found[name] for name in names_of(key))
            loaded[one] = pixels, numbers
            self.facts[one[0][0]] = Facts(**json.loads(facts.tobytes()))
        return loaded

    def _name(self, images: list[str]) -> None:
        """Name the pixels of films; see `film_names`."""
        unnamed = [one for one in dict.fromkeys(images) if one not in self.known]
        for image_id, name in film_names(self.read, self.digest_of, unnamed).items():
            if isinstance(name, UnreadableFilm):
                self.unreadable[image_id] = str(name)
            else:
                self.known[image_id] = name

    def key(self, film: Place, ask: Ask) -> str:
        """Return the name of what an ask gives of a film whose pixels have a name (`known`)."""
        image_id, laterality, _, spacing_mm = film
        facts = {"film": self.known[image_id], "laterality": laterality, "spacing": spacing_mm}
        return digest(facts | _facts_of(ask))

    def share(self, image_id: str) -> int:
        """Return the number of the share that an image belongs to; it does not depend on what the store has."""
        return self.order[image_id] % self.count

    def _complete(
        self,
        store: Store,
        lacking: list[tuple[Place, Ask]],
        keys: dict[tuple[Place, Ask], str],
        only: int | None = None,
    ) -> None:
        """Cut what a store lacks, share by share; with `only`, that share alone."""
        shares: dict[int, list[tuple[Place, Ask]]] = {}
        for one in lacking:
            shares.setdefault(self.share(one[0][0]), []).append(one)
        wanted = shares.keys() if only is None else shares.keys() & {only}
        with contextlib.closing(store.shares(self.own, self.count, wanted)) as held:
            for share in held:
                there = store.load({name for one in shares[share] for name in names_of(keys[one])}).keys()
                self._fill(store, [one for one in shares[share] if not there >= set(names_of(keys[one]))], keys)

    def _fill(self, store: Store, missing: list[tuple[Place, Ask]], keys: dict[tuple[Place, Ask], str]) -> None:
        block: dict[str, torch.Tensor] = {}
        held, begun = 0, time.monotonic()
        for film, facts, squares in self._cut(missing):
            said = np.frombuffer(json.dumps(asdict(facts)).encode(), np.uint8).copy()
            for ask, (pixels, numbers) in squares:
                arrays = map(torch.from_numpy, (pixels, numbers, said))
                block |= zip(names_of(keys[film, ask]), arrays, strict=True)
                held += pixels.nbytes
            if held > BLOCK_BYTES or time.monotonic() - begun > BLOCK_S:
                store.store(block)
                block, held, begun = {}, 0, time.monotonic()
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
            sides, squares = (self.stored, self.shown, self.margin), list[tuple[Ask, Made]]()
            for ask in of_film[place]:
                seen = whole_film(film, breast, self.bits) if ask.kind == "film" else breast
                if isinstance(ask, MaskAsk):
                    squares.append((ask, mask_squares(seen, ask, *sides)))
                else:
                    squares.append((ask, squares_of(seen, spacing_mm, ask, *sides)))
            return Facts.of(film, breast), squares

        films = list(of_film)
        made_of = watched(shared_out(cut_film, films), len(films), "Cutting films")
        for place, made in zip(films, made_of, strict=True):
            if isinstance(made, UnreadableFilm):
                self.unreadable[place[0]] = str(made)
            else:
                yield place, *made


@lru_cache(1024)  # many films are asked for the same
def _facts_of(ask: Ask) -> dict[str, Any]:
    asked = asdict(ask)
    if ask.shown_px is None:
        del asked["shown_px"]  # the squares of one window keep their names
    return asked


def places_of(rows: pd.DataFrame) -> list[Place]:
    """Return what a cutter needs of each row of a findings table."""
    columns = rows[["image_id", "laterality", "path", "spacing_mm"]].astype(object)
    return [
        (str(image), *(None if pd.isna(one) else one for one in facts))  # type: ignore[misc]
        for image, *facts in columns.itertuples(index=False)
    ]


def read_by() -> dict[str, Any]:
    """Return the facts of the program that decide the pixels of a film which is read and resized."""
    return {"reading": READING_VERSION, "opencv": cv2.__version__}


def film_names(
    read: Callable[[str], Film], digest_of: Callable[[str], str | None] | None, images: Sequence[str]
) -> dict[str, str | UnreadableFilm]:
    """Return a name for the pixels of each film: that of the data set, or else one of the pixels and facts.

    Args:
        read: Returns the film of an `image_id`.
        digest_of: Returns the data set's own name of a film's pixels; it may give None, or be None.
        images: The images, each once.
    """

    def given(image_id: str) -> str | UnreadableFilm | None:
        try:
            return digest_of(image_id) if digest_of else None
        except UnreadableFilm as error:
            return error

    def computed(image_id: str) -> str:
        film = read(image_id)
        facts = {one.name: getattr(film, one.name) for one in fields(film) if one.name != "pixels"}
        return f"{pixel_digest(film.pixels)} {film.pixels.dtype} {film.pixels.shape} {facts}"

    with ThreadPoolExecutor(4) as pool:
        named = dict(zip(images, pool.map(given, images), strict=True))
    _check_names(read, named)
    nameless = [image_id for image_id, name in named.items() if name is None]
    named |= zip(nameless, shared_out(computed, nameless), strict=True)
    return {image_id: name for image_id, name in named.items() if name is not None}


def _check_names(read: Callable[[str], Film], named: Mapping[str, str | UnreadableFilm | None]) -> None:
    """Refuse a name that two films of other pixels have, as one would show the squares of the other; read a few."""
    of: dict[str, list[str]] = {}
    for image_id, name in named.items():
        if name is not None and not isinstance(name, UnreadableFilm):
            of.setdefault(name, []).append(image_id)
    for first, *_, last in [images for images in of.values() if len(images) > 1][:NAMES_READ]:
        with contextlib.suppress(UnreadableFilm):
            if not np.array_equal(read(first).pixels, read(last).pixels):
                raise InputError(
                    f"images {first} and {last} have other pixels, but the data set gives one digest of both; give "
                    "each its own, see file_digest, or None"
                )


def names_of(key: str) -> tuple[str, str, str]:
    """Return the names of a film's squares, their numbers and its facts (JSON as bytes) in the store."""
    return key, f"{key}.numbers", f"{key}.film"


def _squares(pixels: np.ndarray, numbers: np.ndarray) -> list[Square]:
    names = NUMBERS if numbers.shape[1] == len(NUMBERS) else PLACED  # of a square, or of a region in one
    measured = (dict(zip(names, row, strict=True)) for row in numbers.tolist())
    return [Square(square, row) for square, row in zip(pixels, measured, strict=True)]
