"""Three small drawn films on disk, in the kinds of files that a run may meet; for its self-test."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian

from mammo.datasets.dicom_file import write_dicom
from mammo.datasets.film import write_picture
from mammo.drawing.small import SPACING_MM, WHITE, draw_small

UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


def write_small_films(folder: Path) -> list[dict[str, Any]]:
    """Write three drawn films: 8 bits, 12 bits mirrored, and 12 bits as inverted DICOM.

    Returns:
        The facts of each: `file`, `laterality`, `spacing_mm`, and `at`, x and y of a bright spot in pixels.
    """
    films = []
    for number, (suffix, side) in enumerate((("png", "left"), ("png", "right"), ("dcm", "left")), 1):
        pixels, (x, y) = draw_small(number)
        pixels = (pixels // 16).astype(np.uint8) if number == 1 else pixels
        if side == "right":
            pixels, x = np.ascontiguousarray(pixels[:, ::-1]), pixels.shape[1] - 1 - x
        path = folder / f"film_{number}.{suffix}"
        if suffix == "png":
            write_picture(path, pixels)
        else:
            named: dict[str, Any] = {
                name: f"1.2.826.0.1.3680043.8.498.{n}" for n, name in enumerate(UIDS, 1)
            }  # pydicom's own root
            named |= {"ImageLaterality": side[0].upper(), "ImagerPixelSpacing": [SPACING_MM, SPACING_MM]}
            write_dicom(path, WHITE - pixels, ExplicitVRLittleEndian, inverted=True, **named)
        films.append({"file": path.name, "laterality": side, "spacing_mm": SPACING_MM, "at": [x, y]})
    return films
