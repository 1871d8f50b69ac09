"""A film: the pixels of one mammogram as read from disk, and facts about them. Lengths are in millimetres."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path

import cv2
import numpy as np

from mammo.errors import FAILING, NO_SPACE, InputError, UnreadableFilm
from mammo.formats import dicom, pictures
from mammo.formats.levels import VOI
from mammo.formats.pixels import Pixels, opened, whole_of
from mammo.formats.tags import is_dicom

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
        upside_down: True if the file says that its rows run towards the head. The pixels are as they are stored.
    """

    pixels: np.ndarray
    max_level: int
    spacing_mm: float | None = None
    laterality: str | None = None
    view: str | None = None
    notes: tuple[str, ...] = ()
    upside_down: bool = False

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


def check_film(film: object) -> None:
    """Refuse what is no film, such as one that was made in Python with levels of another depth.

    Raises:
        InputError: It is no `Film`, or its pixels, `max_level` or spacing cannot be those of one.
    """
    film = _with_levels(film)
    pixels = film.pixels
    if not (isinstance(film.max_level, Real) and pixels.max() <= film.max_level <= np.iinfo(pixels.dtype).max):
        raise InputError(
            f"the film has max_level {film.max_level}, and its largest level is {pixels.max()} of {pixels.dtype}; give "
            "the level of white, or None to Film.of, which finds it"
        )
    if film.spacing_mm is not None and not (isinstance(film.spacing_mm, Real) and film.spacing_mm > 0):
        raise InputError(f"the film has spacing_mm {film.spacing_mm}; expected the side of a pixel, or None if unknown")


def _with_levels(film: object) -> Film:
    """Return a film whose pixels are grey levels with a white; refuse anything else."""
    if not isinstance(film, Film):
        raise InputError(
            f"found a {type(film).__name__}; expected a film, as read_film or a predictor's read returns it"
        )
    pixels = film.pixels
    if (
        getattr(pixels, "ndim", 0) != 2
        or pixels.dtype.newbyteorder("=") not in (np.uint8, np.uint16)
        or not pixels.size
    ):
        raise InputError(
            "the pixels of the film are no array of (height, width) uint8 or uint16; convert them, see Film"
        )
    if not (isinstance(film.max_level, Real) and film.max_level > 0):
        raise InputError(f"the film has max_level {film.max_level}; give the level of white, above 0")
    return film


def checked(read: Callable[[str], Film]) -> Callable[[str], Film]:
    """Return the same way to read the film of an image, which refuses what is no film and names the image."""

    def read_checked(image_id: str) -> Film:
        try:
            film = read(image_id)
        except OSError as error:
            if error.errno in (*NO_SPACE, *FAILING):  # it is not the film
                raise
            raise UnreadableFilm(f"image {image_id}: it cannot be read ({error})") from error
        try:
            return _with_levels(film)
        except InputError as error:
            raise InputError(f"image {image_id}: {error}") from None

    return read_checked


def read_film(source: Path | str | bytes, voi: str = "first") -> Film:
    """Read a film from a DICOM, PGM, PNG, TIFF, JPEG or BMP file; the content decides, not the name.

    Args:
        source: The file, or its content.
        voi: The VOI table or window of a DICOM file to apply: `first` or `none` (`data.voi`).

    Raises:
        UnreadableFilm: The file cannot be used as a film; the message names the reason, and the path if there is one.
    """
    if voi not in VOI:
        raise InputError(f"data.voi={voi} is unknown; expected one of {', '.join(VOI)}")
    pixels, facts = _read(source, voi, mask=False)
    if facts is None:
        film = Film.of(pixels.levels, pixels.white)
        return replace(film, notes=(*pixels.notes, *film.notes))
    notes = (*pixels.notes, *facts.notes)
    return Film(
        pixels.levels, pixels.white or 255, facts.spacing_mm, facts.laterality, facts.view, notes, facts.upside_down
    )


def read_mask(path: Path | str) -> np.ndarray:
    """Read a mask, (height, width) bool, true where a level is above 0. A mask may be of one level.

    Raises:
        UnreadableFilm: The file cannot be read as a picture or a DICOM file.
    """
    return read_levels(path) > 0


def read_levels(path: Path | str) -> np.ndarray:
    """Read the levels of a file as they are stored, (height, width) uint8 or uint16; they may be all alike.

    Raises:
        UnreadableFilm: The file cannot be read as a picture or a DICOM file.
    """
    return _read(path, "none", mask=True)[0].levels


def _read(source: Path | str | bytes, voi: str, mask: bool) -> tuple[Pixels, dicom.Facts | None]:
    try:
        with opened(source) as file:
            return (
                dicom.read(file, voi=voi, mask=mask) if is_dicom(file) else (pictures.read(whole_of(file), mask), None)
            )
    except UnreadableFilm as error:
        if isinstance(source, bytes):
            raise
        raise type(error)(f"{source}: {error}") from None


def write_picture(path: Path, pixels: np.ndarray, kind: str = "") -> None:
    """Write a picture, (height, width), in the format of the path's suffix, or of `kind`, for example `.png`.

    Raises:
        OSError: It cannot be written; OpenCV's own writer would only return False.
    """
    path.write_bytes(cv2.imencode(kind or path.suffix, pixels)[1].tobytes())


def write_pgm(path: Path, pixels: np.ndarray) -> None:
    """Write pixels (height, width) uint8 as a binary PGM with the same header as in MIAS."""
    height, width = pixels.shape
    path.write_bytes(f"P5\n{width} {height}\n255\n".encode() + pixels.astype(np.uint8).tobytes())


def pixel_digest(pixels: np.ndarray) -> str:
    """Return the SHA-256 of a film's pixels, row by row from the top, without the file's header."""
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()


def file_digest(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes, for `Dataset.digest` of a data set that reads its files by `read_film`.

    Raises:
        UnreadableFilm: The file cannot be read, or is a folder, a pipe or a device.
    """
    try:
        with opened(Path(path)) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except UnreadableFilm as error:
        raise UnreadableFilm(f"{path}: {error}") from None
