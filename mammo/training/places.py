"""The places of films that a detector learns from and looks at, and what each of them ought to say."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from mammo.config import DetectorConfig
from mammo.datasets.geometry import BOX, Geometry, box_of, geometry
from mammo.datasets.labels import Labels

NO_LESION = -1
LESION_COLUMNS = [
    *("dataset", "image_id", "finding_id", "patient", "laterality", "view", "density", "finding", "severity"),
    *("x_px", "y_px", "radius_px", "x0_px", "y0_px", "x1_px", "y1_px", "spacing_mm"),
]  # fmt: skip


@dataclass(frozen=True)
class Targets:
    """The values that N places ought to have.

    Attributes:
        soft: (N,) 1 in the middle of a lesion, 0.5 at its edge, 0 outside.
        counts: (N,) bool, false in the ring around a lesion, in and around a finding of unknown class, and outside
            the other lesions of a film that has one without a place.
        lesion: (N,) the number of the lesion that a place lies in, as a row of `lesions_of`; `NO_LESION` outside.
    """

    soft: np.ndarray
    counts: np.ndarray
    lesion: np.ndarray


def lesions_of(findings: pd.DataFrame, labels: Labels) -> tuple[pd.DataFrame, list[Geometry]]:
    """Return the findings of the second class that have a place: a table of `LESION_COLUMNS`, and their geometry.

    A circle has a radius in the table, any other lesion its box, that of a mask around it; a centre each has.
    """
    found = [(row, place) for _, row in _positive(findings, labels).iterrows() if (place := geometry(row)) is not None]
    rows = []
    for row, place in found:
        size = {"radius_px": place.radius_px} if place.round else dict(zip(BOX, place.box, strict=True))
        rows.append(row.to_dict() | {"x_px": place.x_px, "y_px": place.y_px, "radius_px": None} | size)
    table = pd.DataFrame(rows, columns=LESION_COLUMNS).astype({"finding_id": "Int64"})
    return table, [place for _, place in found]


def unplaced_of(findings: pd.DataFrame, labels: Labels, lesions: pd.DataFrame) -> set[str]:
    """Return the images that have a finding of the second class without a place, which is not among the `lesions`."""
    keys = ["image_id", "finding_id"]
    placed = set(lesions[keys].itertuples(index=False, name=None))
    return {image for image, number in _positive(findings, labels)[keys].values if (image, number) not in placed}


def _positive(findings: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    return findings[(labels.label(findings) == labels.classes[1]).fillna(False).astype(bool)]


def unknown_of(findings: pd.DataFrame, labels: Labels) -> dict[str, list[Geometry]]:
    """Return the places of findings whose class is not known, or is none of the task's, by image."""
    silent = findings[labels.label(findings).isna() & (findings["finding_id"] > 0)]
    found: dict[str, list[Geometry]] = {}
    for _, row in silent.iterrows():
        if (place := geometry(row)) is not None:
            found.setdefault(str(row["image_id"]), []).append(place)
    return found


def reach_of(
    place: Geometry, x_px: np.ndarray, y_px: np.ndarray, least_px: float, ring_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far points lie from the middle of a lesion, 1 at its edge, and how many pixels outside of it.

    A lesion with a mask is as large as its mask, one with a box alone as its box, and each reaches `least_px` from its
    centre at least. Distances from a mask are measured up to `ring_px`, and are infinite far beyond.

    Args:
        place: The place of the lesion.
        x_px, y_px: (n,) points of the film.
        least_px: The least reach.
        ring_px: The width of the ring around the lesion.
    """
    across, down = np.abs(x_px - place.x_px), np.abs(y_px - place.y_px)
    reach = max(place.radius_px or 0.0, least_px)
    far = np.hypot(across, down)
    if (mask := place.mask()) is not None:
        inner, outside = _depths(mask, x_px, y_px, ring_px)
        by_mask = np.where(outside > 0, 1 + outside / reach, 1 - inner)
        near = far / least_px
        return np.minimum(by_mask, near), np.minimum(outside, np.maximum(far - least_px, 0))
    if not place.round and place.radius_px is not None:
        left, top, right, bottom = place.box
        half = max((right - left) / 2, least_px), max((bottom - top) / 2, least_px)
        outside = np.hypot(np.maximum(across - half[0], 0), np.maximum(down - half[1], 0))
        return np.maximum(across / half[0], down / half[1]), outside
    return far / reach, np.maximum(far - reach, 0)


def _depths(mask: np.ndarray, x_px: np.ndarray, y_px: np.ndarray, ring_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how deep points (n,) lie in a mask, as a share of its deepest point, and how many pixels outside of it.

    A film may be far larger than the mask, so distances are measured in the box around it and a margin alone. Outside
    of these a point is farther away than `ring_px`; its distance is infinite.
    """
    left, top, right, bottom = map(int, box_of(mask)) if mask.any() else (0, 0, 0, 0)
    margin = math.ceil(1.1 * ring_px) + 2  # the distances below may be too small by a few per cent
    top, left = max(top - margin, 0), max(left - margin, 0)
    part = mask[top : bottom + margin, left : right + margin]
    inner, outer = (cv2.distanceTransform(np.uint8(one), cv2.DIST_L2, 5) for one in (part, ~part))
    rows = y_px.round().astype(int).clip(0, len(mask) - 1) - top
    columns = x_px.round().astype(int).clip(0, mask.shape[1] - 1) - left
    here = (rows >= 0) & (rows < len(part)) & (columns >= 0) & (columns < part.shape[1])
    depth, outside = np.zeros(len(rows), np.float32), np.full(len(rows), np.inf, np.float32)
    depth[here] = inner[rows[here], columns[here]] / max(inner.max(), 1.0)
    outside[here] = outer[rows[here], columns[here]]
    return depth, outside


def targets_of(
    images: Sequence[str],
    places: Sequence[np.ndarray],
    unplaced: Collection[str],
    lesions: pd.DataFrame,
    geometries: Sequence[Geometry],
    spacing_mm: Sequence[float],
    config: DetectorConfig,
    unknown: Mapping[str, Sequence[Geometry]] | None = None,
) -> Targets:
    """Return what the places of films ought to say, film after film.

    Args:
        images: The image of each film.
        places: The points of each film, (n, 2) x and y in its pixels.
        unplaced: The images that have a lesion without a place, which may lie anywhere on them.
        lesions: The lesions of all films, a row each.
        geometries: The place of each lesion.
        spacing_mm: The side of a pixel of each film.
        config: The least reach of a lesion, and the width of the ring around it.
        unknown: By image, findings of unknown class; the places in and around them do not count.
    """
    of_image = {str(image): list(rows) for image, rows in lesions.groupby("image_id").indices.items()}
    soft, counts, lesion = [], [], []
    for image, points, side in zip(images, places, spacing_mm, strict=True):
        x, y = points.T
        value, ring, number = np.zeros(len(x)), np.zeros(len(x), bool), np.full(len(x), NO_LESION)
        for row in of_image.get(image, []):
            far, outside = reach_of(geometries[row], x, y, config.least_mm / side, config.ring_mm / side)
            here = np.where(far <= 1, np.clip(1.5 - far, 0.5, 1), 0)
            ring |= (far > 1) & (outside <= config.ring_mm / side)
            number = np.where(here > value, row, number)
            value = np.maximum(value, here)
        for place in (unknown or {}).get(image, ()):
            ring |= reach_of(place, x, y, config.least_mm / side, config.ring_mm / side)[1] <= config.ring_mm / side
        soft.append(value)
        counts.append((value > 0) | ~(ring | (image in unplaced)))
        lesion.append(number)
    return Targets(*(np.concatenate(one) if one else np.zeros(0) for one in (soft, counts, lesion)))


def partners_of(images: pd.DataFrame) -> list[list[int]]:
    """Return the rows of the other breast's films for each row: of the same patient, exam and view.

    Args:
        images: `patient, exam, view, laterality` of each film. One without laterality has no partner.
    """
    rows: dict[tuple[str, ...], dict[str, list[int]]] = {}
    keys = images[["patient", "exam", "view"]].astype("string").fillna("").itertuples(index=False)
    sides = images["laterality"].astype("string").fillna("").tolist()
    named = [tuple(key) for key in keys]
    for row, (key, side) in enumerate(zip(named, sides, strict=True)):
        rows.setdefault(key, {}).setdefault(side, []).append(row)
    other = {"left": "right", "right": "left"}
    return [rows[key].get(other.get(side, "none"), []) for key, side in zip(named, sides, strict=True)]
