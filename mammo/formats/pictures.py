"""Films as pictures: PGM, PNG, TIFF, JPEG and BMP. The content decides the format, not the name.

OpenCV decodes all but PGM. Before it does, the frame of the file is checked: OpenCV fills what is missing with grey.
"""

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mammo.errors import UnreadableFilm
from mammo.formats.pixels import Pixels, check_bytes, check_content, check_size
from mammo.formats.silence import heard
from mammo.formats.tiff import read_directory
from mammo.wording import number_of

_PGM = re.compile(rb"P5" + rb"(?:\s|#[^\n]*\n)+(\d{1,9})" * 3 + rb"\s")
FIRST = "the first of several"  # begins the note of a file of several pages or pictures
_EARLY = "it ends early; fetch the file again"
_DAMAGED = "it is damaged; fetch the file again"
_GREY = 8  # the largest difference of the colours of a grey pixel, in levels of 8 bits: a lossy codec makes some
OTHERS = {  # what a file may be instead of a film, by its first bytes
    b"<": "a web page or XML", b"PK": "a zip", b"\x1f\x8b": "a gzip file", b"%PDF": "a PDF", b"GIF8": "a GIF",
    b"RIFF": "a WebP or a film of pictures", b"\0\0\0\x0cjP": "a JPEG 2000 file", b"P2": "a PGM in text form",
    b"\0\5\x16\7": "a file of macOS beside a film",
}  # fmt: skip

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it would write of damaged files to the terminal


@dataclass(frozen=True)
class Frame:
    """A picture's own header: its format, size in pixels, bits of a level, and notes."""

    format: str
    height: int
    width: int
    bits: int
    notes: tuple[str, ...] = ()
    inverted: bool = False  # the lowest level is white, and OpenCV leaves it so


def read(data: bytes, mask: bool = False) -> Pixels:
    """Read a picture.

    Args:
        data: The bytes of the file.
        mask: True for a mask: it may be of one level, and of any colour.

    Raises:
        UnreadableFilm: It is no picture, is damaged, is in colour, or is empty.
    """
    check_bytes(len(data))
    frame = frame_of(data)
    if frame.format == "PGM":
        return _read_pgm(data, mask)
    found = _by_opencv(data, frame)
    if found is None:
        raise UnreadableFilm(f"its {frame.format} cannot be decoded: it is damaged, or of a rare kind; fetch it again")
    if found.dtype not in (np.uint8, np.uint16):
        raise UnreadableFilm(f"its levels are of type {found.dtype}; expected 8 or 16 bits")
    if found.shape[:2] != (frame.height, frame.width):
        raise UnreadableFilm(_DAMAGED)
    levels, notes = _one_colour(found, mask)
    if frame.inverted:
        levels = np.iinfo(levels.dtype).max - levels
    if not mask:
        check_content(levels)
    return Pixels(np.ascontiguousarray(levels), 255 if levels.dtype == np.uint8 else None, (*frame.notes, *notes))


def _by_opencv(data: bytes, frame: Frame) -> np.ndarray | None:
    """Decode a picture; return None if it cannot be decoded completely."""
    try:
        with heard() as complaints:
            found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    except cv2.error:
        return None
    return None if frame.format == "JPEG" and complaints.damage else found


def frame_of(data: bytes) -> Frame:
    """Return a picture's own header, and check that the file is complete, without decoding it.

    Raises:
        UnreadableFilm: It is no picture, its size is none of a film, or it ends early.
    """
    for magic, name, reader in _FORMATS:
        if data.startswith(magic):
            try:
                frame = reader(data)
            except (struct.error, IndexError):
                raise UnreadableFilm(f"it is a {name}, but {_EARLY}") from None
            check_size(frame.height, frame.width)
            return frame
    start = data.lstrip()[:8] if data[:1].isspace() else data[:8]
    what = next((name for magic, name in OTHERS.items() if start.startswith(magic)), "another file")
    what = what if data else "an empty file"
    raise UnreadableFilm(f"it is {what}; expected a film in DICOM, PGM, PNG, TIFF, JPEG or BMP of 8 or 16 bits")


def is_picture(head: bytes) -> bool:
    """Tell whether a file of these first bytes is a picture of a format that is read."""
    return any(head.startswith(magic) for magic, _, _ in _FORMATS)


def _pgm(data: bytes) -> Frame:
    header = _PGM.match(data)
    if header is None:
        raise UnreadableFilm(f"it begins as a PGM, but {_DAMAGED}")
    width, height, white = map(int, header.groups())
    size = 1 if white < 256 else 2
    if not 0 < white < 65536:
        raise UnreadableFilm(f"it is a PGM that says that white is {white}; expected 1 to 65535")
    if len(data) - header.end() != width * height * size:
        raise UnreadableFilm(
            f"expected {width} x {height} pixels of {8 * size} bits, found {len(data) - header.end()} bytes; the film "
            "is truncated or altered; fetch it again"
        )
    return Frame("PGM", height, width, white.bit_length())


def _read_pgm(data: bytes, mask: bool) -> Pixels:
    header = _PGM.match(data)
    assert header is not None  # frame_of has seen it
    width, height, white = map(int, header.groups())
    form = np.dtype(np.uint8 if white < 256 else ">u2")
    levels = np.frombuffer(data, form, offset=header.end()).reshape(height, width)
    levels = levels.astype(form.newbyteorder("="), copy=False)
    if not mask:
        check_content(levels)
        if levels.max() > white:
            raise UnreadableFilm(f"it has level {levels.max()}, and says that white is {white}; {_DAMAGED}")
    return Pixels(levels, white)


def _png(data: bytes) -> Frame:
    at, seen, found, orientation = 8, [], b"", None
    while found != b"IEND":
        length, found = struct.unpack_from(">I4s", data, at)
        if len(data) < at + 12 + length:
            raise UnreadableFilm(f"it is a PNG, but {_EARLY}")
        part = memoryview(data)[at + 4 : at + 8 + length]
        if zlib.crc32(part) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            raise UnreadableFilm(f"it is a PNG, but {_DAMAGED}")
        seen.append(found)
        if found == b"eXIf" and orientation is None and part[4:8] in (b"II*\0", b"MM\0*"):  # the first counts
            orientation = _orientation(bytes(part[4:])) or 0
        at += 12 + length
    if seen[0] != b"IHDR":
        raise UnreadableFilm(f"it is a PNG, but {_DAMAGED}")
    width, height, depth = struct.unpack_from(">IIB", data, 16)
    check_size(height, width)
    notes = (FIRST + " pictures is read",) if b"acTL" in seen else ()
    return _turned(Frame("PNG", height, width, max(depth, 8), notes), orientation)


def _jpeg(data: bytes) -> Frame:
    at, size, orientation = 2, (0, 0, 0), None
    while True:
        marker, kind, length = struct.unpack_from(">BBH", data, at)
        if marker != 0xFF or (kind != 0xFF and length < 2):
            raise UnreadableFilm(f"it is a JPEG, but {_DAMAGED}")
        if kind == 0xFF:  # filling
            at += 1
            continue
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            size = struct.unpack_from(">BHH", data, at + 4)
        if kind == 0xE1 and orientation is None and data[at + 4 : at + 10] == b"Exif\0\0":  # the first counts
            orientation = _orientation(data[at + 10 : at + 2 + length])
        at += 2 + length
        if kind == 0xDA:
            break
    if data.find(b"\xff\xd9", at) < 0:
        raise UnreadableFilm(f"it is a JPEG, but {_EARLY}")
    return _turned(Frame("JPEG", size[1], size[2], size[0]), orientation)


def _turned(frame: Frame, orientation: int | None) -> Frame:
    """Return the frame of a picture as it is seen: OpenCV turns it as its orientation says, from 1 to 8."""
    if orientation is None or not 2 <= orientation <= 8:
        return frame
    height, width = (frame.width, frame.height) if orientation >= 5 else (frame.height, frame.width)
    notes = (*frame.notes, "turned or mirrored, as its orientation says")
    return replace(frame, height=height, width=width, notes=notes)


def _orientation(exif: bytes) -> int | None:
    """Return the orientation in an EXIF block, from 1 (upright) to 8; None if it has none."""
    try:
        return int(read_directory(exif).tags[274][0])
    except (struct.error, UnreadableFilm, LookupError):
        return None


def _tiff(data: bytes) -> Frame:
    directory = read_directory(data)
    height, width = directory.one(257), directory.one(256)
    check_size(height, width)
    starts = directory.tags.get(273) or directory.tags.get(324) or ()
    counts = directory.tags.get(279) or directory.tags.get(325) or ()
    plain = directory.one(259, 1) == 1
    bits = directory.tags.get(258) or (1,)
    if plain and 273 in directory.tags and not counts:
        counts = (len(data),)  # a writer of one strip may leave its length out
    if not starts or len(starts) != len(counts) or any(a + b > len(data) for a, b in zip(starts, counts, strict=True)):
        raise UnreadableFilm(f"it is a TIFF, but {_EARLY}")
    if plain and sum(counts) < height * width * sum(bits) // 8:
        raise UnreadableFilm(f"it is a TIFF, but {_EARLY}")
    if directory.one(339, 1) != 1 or max(bits) not in (1, 4, 8, 16):
        raise UnreadableFilm(f"its levels are of {max(bits)} bits, or not whole; save it with whole levels of 8 or 16")
    white_is_0 = directory.one(262, 1) == 0
    notes = [FIRST + " pages is read"] * directory.more
    notes += ["inverted: stored with white as the lowest level"] * white_is_0
    depth = max(*bits, 8)
    frame = Frame("TIFF", height, width, depth, tuple(notes), inverted=white_is_0 and depth == 16)
    return _turned(frame, directory.one(274, 1))


def _bmp(data: bytes) -> Frame:
    start, header, width, height, _, depth, packed = struct.unpack_from("<IIiiHHI", data, 10)
    if header == 12:  # of OS/2, which has sizes of 16 bits
        width, height, _, depth, packed = *struct.unpack_from("<HHHH", data, 18), 0
    if packed == 0 and len(data) < start + (width * depth + 31) // 32 * 4 * abs(height):
        raise UnreadableFilm(f"it is a BMP, but {_EARLY}")
    return Frame("BMP", abs(height), width, 8)


_FORMATS: list[tuple[bytes, str, Callable[[bytes], Frame]]] = [
    (b"P5", "PGM", _pgm), (b"\x89PNG\r\n\x1a\n", "PNG", _png), (b"\xff\xd8\xff", "JPEG", _jpeg),
    (b"II*\0", "TIFF", _tiff), (b"MM\0*", "TIFF", _tiff), (b"II+\0", "TIFF", _tiff), (b"MM\0+", "TIFF", _tiff),
    (b"BM", "BMP", _bmp),
]  # fmt: skip


def _one_colour(found: np.ndarray, mask: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the levels of a picture whose colours are equal, (height, width), and notes."""
    if found.ndim == 2:
        return found, ()
    if mask:
        return found.max(axis=2), ()
    unlike = max(_difference(found, 0, 1), _difference(found, 1, 2))
    if unlike > _GREY * np.iinfo(found.dtype).max / 255:
        raise UnreadableFilm(
            f"it is in colour: its colours differ by up to {number_of(unlike, 'level')}; expected a grey film"
        )
    return found[:, :, 1], ("stored in colour, but grey: the green levels are read",)


def _difference(found: np.ndarray, first: int, second: int) -> int:
    return int(cv2.absdiff(np.ascontiguousarray(found[:, :, first]), np.ascontiguousarray(found[:, :, second])).max())
