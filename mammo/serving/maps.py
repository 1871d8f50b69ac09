"""A film and its map as a page takes them: grey levels as bytes, and the map in a small grid."""

import base64
from typing import Any

import cv2
import numpy as np

from mammo.datasets.film import Film
from mammo.explaining.explanation import SAID, Explanation

SIDE = 512  # the largest side of a map that is sent; its cells are much larger than this makes them


def levels_of(film: Film) -> tuple[bytes, dict[str, str]]:
    """Return the grey levels of a film row by row from the top, two bytes each above 8 bits, and headers about them."""
    height, width = film.pixels.shape
    pixels = np.ascontiguousarray(film.pixels, "<u2" if film.pixels.dtype == np.uint16 else np.uint8)
    spacing = {} if film.spacing_mm is None else {"film-spacing": f"{film.spacing_mm:g}"}
    return pixels.tobytes(), {
        "film-height": str(height),
        "film-width": str(width),
        "film-bytes": str(pixels.itemsize),
        "film-white": str(film.max_level),
    } | spacing


def map_of(one: Explanation) -> dict[str, Any]:
    """Return a map as plain values: `shares` of its largest value in 8 bits, row by row, in base64."""
    height, width = one.values.shape
    inside = np.where(one.breast, one.values.clip(0), 0).astype(np.float32)
    largest = float(inside.max(initial=0))
    scale = min(1.0, SIDE / max(height, width))
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    small = inside if size == (width, height) else cv2.resize(inside, size, interpolation=cv2.INTER_AREA)
    shares = np.zeros(small.shape, np.uint8) if one.empty else np.rint(small / largest * 255).clip(0, 255)
    return {
        "head": one.head,
        "of": one.of,
        "method": one.method,
        "said": SAID[one.method],
        "empty": one.empty,
        "largest": largest,
        "hottest": one.hottest,
        "cell_px": one.cell_px,
        "height": height,
        "width": width,
        "rows": size[1],
        "columns": size[0],
        "shares": base64.b64encode(shares.astype(np.uint8).tobytes()).decode(),
        "notes": list(one.notes),
    }
