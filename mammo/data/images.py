"""Films as arrays: PGM in and out, the breast found, cleaned, mirrored and scaled. Grey levels are uint8."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mammo import InputError

_PGM_HEADER = re.compile(rb"P5\s+(\d+)\s+(\d+)\s+(\d+)\s")


def read_pgm(path: Path) -> np.ndarray:
    """An 8-bit binary PGM as (height, width) uint8.

    Raises:
        InputError: Unreadable, not such a file, or of the wrong length; names the path.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); fetch the data set again") from error
    header = _PGM_HEADER.match(data)
    if header is None:
        raise InputError(f"{path}: not a binary PGM; fetch the data set again")
    width, height, largest = map(int, header.groups())
    if largest > 255 or len(data) - header.end() != width * height:
        raise InputError(
            f"{path}: expected {width} x {height} pixels of 8 bit, found {len(data) - header.end()} bytes; "
            "the film is truncated or altered, fetch the data set again"
        )
    return np.frombuffer(data, np.uint8, offset=header.end()).reshape(height, width)


def write_pgm(path: Path, pixels: np.ndarray) -> None:
    """Writes (height, width) uint8 as a binary PGM, with the header that MIAS has."""
    height, width = pixels.shape
    path.write_bytes(f"P5\n{width} {height}\n255\n".encode() + pixels.astype(np.uint8).tobytes())


def pixel_digest(pixels: np.ndarray) -> str:
    """SHA-256 of a film's pixels, row by row from the top; its header does not count."""
    return hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()
