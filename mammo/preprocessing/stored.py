"""Squares that lie in the files of the cache: a few bytes of memory each, and read when they are asked for."""

import os
from collections.abc import Sequence
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from mammo.errors import InputError

OPEN = 128  # files of a process


class StoredSquares(Sequence[np.ndarray]):
    """Squares of one shape and type in files. A square that is read is a copy in memory.

    Args:
        files: The files.
        file: (squares,) the number of the file of each square.
        start: (squares,) where its bytes begin.
        shape: Height and width of a square.
        dtype: The type of its grey levels.
    """

    def __init__(
        self, files: list[Path], file: np.ndarray, start: np.ndarray, shape: tuple[int, ...], dtype: np.dtype
    ) -> None:
        self.files, self.file, self.start, self.shape, self.dtype = files, file, start, shape, dtype
        self._bytes = int(np.prod(shape)) * dtype.itemsize

    def __len__(self) -> int:
        return len(self.file)

    def __getitem__(self, square: int) -> np.ndarray:  # type: ignore[override]
        path, start = self.files[self.file[square]], int(self.start[square])
        file = _opened(path)  # held, as another thread may take it out of those that are open
        read = bytearray(os.pread(file.fileno(), self._bytes, start))
        if len(read) < self._bytes:
            raise InputError(f"{path} is shorter than it was when the run began; remove it and run again")
        return np.frombuffer(read, self.dtype).reshape(self.shape)

    def read_ahead(self, squares: np.ndarray) -> None:
        """Ask the system to read the parts of files between the first and the last of some squares, in order."""
        if not hasattr(os, "posix_fadvise"):
            return
        for number in np.unique(self.file[squares]):
            starts = self.start[squares][self.file[squares] == number]
            first, length = int(starts.min()), int(starts.max() - starts.min()) + self._bytes
            file = _opened(self.files[number])
            os.posix_fadvise(file.fileno(), first, length, os.POSIX_FADV_WILLNEED)


@lru_cache(OPEN)
def _opened(path: Path) -> FileIO:
    """Open a file of the cache; processes that are forked later may read from it at the same time.

    Raises:
        InputError: It is not there any more.
    """
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise InputError(f"{path} was removed from the cache during the run; run again") from None


def in_files(squares: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Return the same squares without holding them, if all are parts of mapped files and alike; else as they are."""
    places = [place for square in squares if (place := _place(square))]
    kinds = {(square.shape, square.dtype) for square in squares}
    if len(places) < len(squares) or len(kinds) != 1:
        return squares
    paths, starts = zip(*places, strict=True)
    number = {path: at for at, path in enumerate(dict.fromkeys(paths))}
    file = np.array([number[path] for path in paths], np.int32)
    return StoredSquares([Path(path) for path in number], file, np.array(starts, np.int64), *kinds.pop())


def taken(squares: Sequence[np.ndarray], numbers: np.ndarray) -> Sequence[np.ndarray]:
    """Return the squares of some numbers; those in files are not read."""
    if not isinstance(squares, StoredSquares):
        return [squares[number] for number in numbers.tolist()]
    return StoredSquares(squares.files, squares.file[numbers], squares.start[numbers], squares.shape, squares.dtype)


def joined(several: Sequence[Sequence[np.ndarray]]) -> Sequence[np.ndarray]:
    """Return several sequences of squares as one; see `in_files`."""
    stored = [one for one in several if isinstance(one, StoredSquares)]
    if len(stored) < len(several) or len({(one.shape, one.dtype) for one in stored}) != 1:
        return [square for one in several for square in one]
    before = np.cumsum([0, *(len(one.files) for one in stored)])
    return StoredSquares(
        [file for one in stored for file in one.files],
        np.concatenate([one.file + first for one, first in zip(stored, before, strict=False)]),
        np.concatenate([one.start for one in stored]),
        stored[0].shape,
        stored[0].dtype,
    )


def _place(square: np.ndarray) -> tuple[str, int] | None:
    """Return the file of which a square is a part, mapped from its first byte, and where it begins in it."""
    held: Any = square
    while isinstance(held, np.ndarray) and not isinstance(held, np.memmap):
        held = held.base
    if not isinstance(held, np.memmap) or not square.flags.c_contiguous:
        return None
    return str(held.filename), square.__array_interface__["data"][0] - held.__array_interface__["data"][0]
