"""Pixels as a reader of one format hands them over, and the one place that bounds the size of a film."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mammo.errors import EmptyFilm, UnreadableFilm

MOST_PIXELS = 200_000_000  # the largest mammograms have about 30 million; a decompression bomb has more
MOST_BYTES = 1 << 29  # of a picture's file, or of a DICOM file's pixels: 200 million pixels of 16 bits fit


@dataclass(frozen=True)
class Pixels:
    """The pixels of one file.

    Attributes:
        levels: (height, width) uint8 or uint16, bright tissue on a dark ground.
        white: The grey level of white; None if the file does not say it.
        notes: Changes to the pixels and guesses about them, one line each.
    """

    levels: np.ndarray
    white: int | None
    notes: tuple[str, ...] = ()


@contextmanager
def opened(source: Path | str | bytes) -> Iterator[BufferedReader | BytesIO]:
    """Open a file, or the bytes of one; what goes wrong with the file or the memory becomes an `UnreadableFilm`.

    What is no file is refused before it is opened: a pipe waits for ever, and a device never ends.
    """
    try:
        if isinstance(source, bytes):
            yield BytesIO(source)
            return
        path = Path(source)
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UnreadableFilm("it is a folder; expected a film")
        if not stat.S_ISREG(mode):
            raise UnreadableFilm("it is a pipe or a device; expected a film")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise UnreadableFilm(f"it cannot be read ({error.strerror}); expected a film") from None
    except MemoryError:
        raise UnreadableFilm("it does not fit into the memory") from None


def whole_of(file: BinaryIO) -> bytes:
    """Return the bytes of a picture's file; refuse more than a film can have."""
    start = file.tell()
    check_bytes(file.seek(0, os.SEEK_END) - start)
    file.seek(start)
    return file.read()


def check_size(height: int | None, width: int | None) -> None:
    """Refuse a size without pixels, or one that no mammogram has; called before anything is decoded."""
    if not height or not width or height < 0 or width < 0:
        raise UnreadableFilm(
            f"it states {height} x {width} pixels (rows x columns), which is no picture; fetch the file again"
        )
    if height * width > MOST_PIXELS:
        raise UnreadableFilm(
            f"it states {height} x {width} pixels; at most {MOST_PIXELS // 10**6} million are read, and no mammogram "
            "has as many"
        )


def check_bytes(size: int) -> None:
    """Refuse more bytes than a film can have."""
    if size > MOST_BYTES:
        raise UnreadableFilm(f"it has {size:,} bytes of pixels; at most {MOST_BYTES:,} are read; give single 2D films")


def check_content(levels: np.ndarray) -> None:
    """Refuse a picture of one grey level: a blank film, or one whose decoder failed silently."""
    if levels.min() == levels.max():
        raise EmptyFilm(f"it is empty: every pixel has level {int(levels.flat[0])}")


def shown(text: str) -> str:
    """Return a value of a file as an error or note may show it: on one line, and short."""
    return "'" + "".join(one if one.isprintable() else "?" for one in text.strip())[:40] + "'"
