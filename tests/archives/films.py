"""Small drawn films for the fakes of archives: a breast on the dark, and a lesion if there is one."""

from pathlib import Path

import cv2
import numpy as np

from mammo.drawing.films import draw
from mammo.drawing.lesions import Finding

HEIGHT, WIDTH = 320, 240


def film(number: int, laterality: str, kind: str = "", *, height: int = HEIGHT, width: int = WIDTH, bits: int = 12):
    """Return a drawn breast, (height, width) uint8 or uint16, and the circle of its lesion: x, y, radius in pixels.

    Args:
        number: The film; the same number is the same film.
        laterality: `left` or `right`: a right breast hangs from the right edge of the film.
        kind: The finding, `CIRC`, `CALC`, ...; empty for none, and then the circle is None.
        height, width: The size of the film.
        bits: The bits of a level; 8 gives uint8.
    """
    side = 1 if laterality == "right" else 2
    findings = [Finding(kind, "M", "")] if kind else []
    pixels, placed = draw(7, number, side, "FGD"[number % 3], findings)
    columns = np.flatnonzero((pixels > 20).any(axis=0))
    pixels = pixels[:, columns[0] : columns[-1] + 1]
    across, down = width / pixels.shape[1], height / pixels.shape[0]
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    deep = small if bits == 8 else (small.astype(np.uint16) * (2**bits // 256))
    if not placed:
        return deep, None
    one = placed[0]
    return deep, ((one.x - columns[0]) * across, one.y * down, one.radius * max(across, down))


def mask(circle, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return a mask, (height, width) uint8 of 0 and 255, of a circle."""
    x, y, radius = circle
    drawn = np.zeros((height, width), np.uint8)
    cv2.circle(drawn, (round(x), round(y)), max(round(radius), 2), 255, -1)
    return drawn


def write_text(path: Path, text: str) -> None:
    """Write a file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, newline="")
