"""The comparison of films, kept on disk, so that films which are added are compared alone."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from mammo.auditing.hashes import VERSION
from mammo.files import whole
from mammo.formats import READING_VERSION
from mammo.paths import home

_VERSION = "v2"  # of what is kept; raise it whenever other pairs are proposed or they are decided otherwise


@dataclass
class Compared:
    """Films that were all compared with each other, and the pairs that their hashes proposed.

    Attributes:
        key: (films,) their names, from `hashes.key_of`.
        textured: (films,) bool, false for a film that is compared with none.
        first: (pairs,) the place of the first film in `key`.
        second: (pairs,) that of the second film, a larger number.
        symmetry: (pairs,) the position in `hashes.SYMMETRIES`, and 8 more for a negative.
        correlation: (pairs,) as in `duplicates.Pairs`.
        decided: (pairs,) bool, false if the correlation is not known yet.
    """

    key: np.ndarray
    textured: np.ndarray
    first: np.ndarray
    second: np.ndarray
    symmetry: np.ndarray
    correlation: np.ndarray
    decided: np.ndarray

    @classmethod
    def none(cls) -> "Compared":
        """Return no films and no pairs."""
        numbers, flags = np.empty(0, np.int32), np.empty(0, bool)
        return cls(np.empty(0, "S64"), flags, numbers, numbers, np.empty(0, np.uint8), np.empty(0), flags)

    @classmethod
    def read(cls, kept: Path | None) -> "Compared":
        """Return what is kept in a file; nothing if there is none, or if it cannot be read."""
        if kept is not None:
            with suppress(OSError, EOFError, ValueError, KeyError), np.load(kept, allow_pickle=False) as arrays:
                return cls(**{one.name: arrays[one.name] for one in fields(cls)})
        return cls.none()

    def write(self, kept: Path | None) -> None:
        """Keep it in a file; if that fails, the next audit compares again."""
        if kept is not None:
            with suppress(OSError), whole(kept) as temporary, temporary.open("wb") as file:
                np.savez(file, **vars(self))

    def rows(self, key: np.ndarray) -> np.ndarray:
        """Return the row of each film in `key`, -1 if it is not there: (films,).

        If a key is there twice, or if the films are not in the same order, no film is there: the order decides which
        film of a pair is the first.
        """
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        nowhere = np.full(len(self.key), -1)
        if not len(key) or (ordered[1:] == ordered[:-1]).any():
            return nowhere
        place = np.minimum(np.searchsorted(ordered, self.key), len(key) - 1)
        rows = np.where(ordered[place] == self.key, order[place], -1)
        return rows if (np.diff(rows[rows >= 0]) > 0).all() else nowhere


def kept_for(sources: Iterable[Path]) -> Path:
    """Return the path in `MAMMO_HOME` of the comparison of the films of folders or tables."""
    named = " ".join(sorted({str(source.resolve()) for source in sources}))
    digest = hashlib.sha256(f"{_VERSION} {VERSION} {READING_VERSION} {named}".encode()).hexdigest()[:20]
    return home() / "hashes" / f"pairs-{digest}.npz"
