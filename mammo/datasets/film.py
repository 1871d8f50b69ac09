"""A film: the pixels of one mammogram as read from disk, and facts about them. Lengths are in millimetres."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mammo.errors import InputError

_PGM_HEADER = re.compile(rb"P5" + rb"(?:\s|#[^\n]*\n)+(\d+)" * 3 + rb"\s")
DEPTHS = (8, 10, 12, 14, 16)  # bits per grey level that scanners produce


@dataclass(frozen=True)
class Film:
    """The pixels of one mammogram.

    Attributes:
        pixels: (height, width) uint8 or uint16, bright tissue on a dark ground.
        max_level: The grey level of white, 255 for 8 bits.
        spacing_mm: Side of a pixel; None if unknown.
        laterality: `left`, `right` or None.
        view: MLO, CC or another, or None.
        notes: Changes to the pixels and guesses about them, one line each.
    """

    pixels: np.ndarray
    max_level: int
    spacing_mm: float | None = None
    laterality: str | None = None
    view: str | None = None
    notes: tuple[str, ...] = ()

    def grey(self) -> np.ndarray:
        """Return the grey levels, (height, width) float32 in [0, 1]."""
        return self.pixels.astype(np.float32) / np.float32(self.max_level)

    def levels8(self) -> np.ndarray:
        """Return the grey levels in 8 bits, (height, width) uint8; an 8-bit film is returned unchanged."""
        if self.pixels.dtype == np.uint8 and self.max_level == 255:
            return self.pixels
        return np.rint(np.minimum(self.grey(), 1) * 255).astype(np.uint8)

    @classmethod
    def of(cls, pixels: np.ndarray, max_level: int | None = None, **facts: object) -> "Film":
        """Return the film of these pixels.

        Args:
            pixels: (height, width) uint8 or uint16.
            max_level: The grey level of white. If it is None: 255 for uint8; for uint16 the smallest of 2^8-1, 2^10-1,
                ..., 2^16-1 that is not below the largest level, with a note about it.
            **facts: The other attributes of the film.
        """
        if max_level is None and pixels.dtype != np.uint8:
            largest = int(pixels.max(initial=0))
            max_level = next(2**bits - 1 for bits in DEPTHS if largest < 2**bits)
            facts["notes"] = (f"white is taken as level {max_level}, because the largest level is {largest}",)
        return cls(pixels, max_level or 255, **facts)  # type: ignore[arg-type]


def read_film(path: Path | str) -> Film:
    """Read a film from a PGM, PNG, TIFF, JPEG or BMP file; the content decides, not the name.

    Raises:
        InputError: The file cannot be read, is damaged, or has another format.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); expected a film") from error
    if data[128:132] == b"DICM":
        raise InputError(f"{path} is DICOM, which is not supported yet; convert it to a PNG or TIFF of 16 bits")
    if header := _PGM_HEADER.match(data):
        width, height, white = map(int, header.groups())
        form = np.dtype(np.uint8 if white < 256 else ">u2")
        if not 0 < white < 65536 or len(data) - header.end() != width * height * form.itemsize:
            raise InputError(
                f"{path}: expected {width} x {height} pixels of {8 * form.itemsize} bits, found "
                f"{len(data) - header.end()} bytes; the film is truncated or altered; fetch it again"
            )
        pixels = np.frombuffer(data, form, offset=header.end()).reshape(height, width)
        return Film(pixels.astype(form.newbyteorder("="), copy=False), white)
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        found = None
    if found is None or found.dtype not in (np.uint8, np.uint16):
        what = "nothing that can be read" if found is None else f"levels of type {found.dtype}"
        raise InputError(f"{path}: expected a PGM, PNG, TIFF, JPEG or BMP of 8 or 16 bits, found {what}; mend it")
    return Film.of(found)


def write_pgm(path: Path, pixels: np.ndarray) -> None:
    """Write pixels (height, width) uint8 as a binary PGM with the same header as in MIAS."""
    height, width = pixels.shape
    path.write_bytes(f"P5\n{width} {height}\n255\n".encode() + pixels.astype(np.uint8).tobytes())


def pixel_digest(pixels: np.ndarray) -> str:
    """Return the SHA-256 of a film's pixels, row by row from the top, without the file's header."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()


def file_digest(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes, for `Dataset.digest` of a data set that reads its files by `read_film`."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
