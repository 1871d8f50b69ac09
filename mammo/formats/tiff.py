"""The first directory of a TIFF: what it says of its picture before anything is decoded. EXIF has the same form."""

import struct
from dataclasses import dataclass

from mammo.errors import UnreadableFilm

_SIZES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # types of whole numbers, and their formats
_MOST_TAGS = 4096
# Width, height, bits, compression, photometric, places and lengths of strips and tiles, orientation, sample format
_USED = {256, 257, 258, 259, 262, 273, 274, 279, 324, 325, 339}


@dataclass(frozen=True)
class Directory:
    """The whole numbers of a directory by their tags; `more` is true if another directory follows."""

    tags: dict[int, tuple[int, ...]]
    more: bool

    def one(self, tag: int, default: int = 0) -> int:
        """Return the first number of a tag."""
        return next(iter(self.tags.get(tag, ())), default)


def read_directory(data: bytes) -> Directory:
    """Read the first directory of a TIFF or BigTIFF, of either byte order.

    Raises:
        UnreadableFilm: The directory is damaged.
        struct.error: It ends early.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = _numbers(f"{order}H", data, 2)[0] == 43
    start = _numbers(f"{order}Q", data, 8)[0] if big else _numbers(f"{order}I", data, 4)[0]
    number, offset = ("Q", "Q") if big else ("H", "I")
    size = 20 if big else 12
    count = _numbers(f"{order}{number}", data, start)[0]
    if not 0 < count <= _MOST_TAGS:
        raise UnreadableFilm("its directory is damaged; fetch the file again")
    at, tags = start + struct.calcsize(number), {}
    for place in range(at, at + size * count, size):
        tag, kind, values = _numbers(f"{order}HH{offset}", data, place)
        if kind not in _SIZES or tag not in _USED or tag in tags:
            continue
        form = f"{order}{min(values, len(data))}{_SIZES[kind]}"
        where = place + 4 + struct.calcsize(offset)
        if struct.calcsize(form) > struct.calcsize(offset):
            where = _numbers(f"{order}{offset}", data, where)[0]
        tags[tag] = _numbers(form, data, where)
    return Directory(tags, _numbers(f"{order}{offset}", data, at + size * count)[0] > 0)


def _numbers(form: str, data: bytes, at: int) -> tuple[int, ...]:
    """Return the numbers at a place, which a file may state beyond its end, or beyond what a place can be."""
    if at > len(data):
        raise struct.error("it ends early")
    return struct.unpack_from(form, data, at)
