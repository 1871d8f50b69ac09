"""The places of films that a detector learns from and looks at, and what each of them ought to say."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from scipy.spatial import KDTree

from mammo.config import Config, DetectorConfig
from mammo.datasets.geometry import BOX, Geometry, geometry
from mammo.datasets.labels import Labels
from mammo.errors import InputError
from mammo.tables.patients import nobodies
from mammo.wording import number_of

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

    def of_flips(self, number: int) -> "Targets":
        """Return the targets of all places on so many flips of a film, those of one place side by side."""
        return Targets(*(np.repeat(one, number) for one in (self.soft, self.counts, self.lesion)))


def lesions_of(findings: pd.DataFrame, labels: Labels) -> tuple[pd.DataFrame, list[Geometry]]:
    """Return the findings of the second class that have a place: a table of `LESION_COLUMNS`, and their geometry.

    A circle has a radius in the table, any other lesion its box, that of a mask or contour around it; a centre each
    has.
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


def check_findings(findings: pd.DataFrame, labels: Labels, config: Config) -> None:
    """Refuse findings that a detector cannot look at or learn from; no film is read.

    Args:
        findings: A findings table with the column `split`.
        labels: The classes of the task.
        config: The settings of the run.

    Raises:
        InputError: There are not two classes, a film has no spacing, a film of the first class has a lesion of the
            second, or the run trains and no training film has a lesion with a place.
    """
    if len(labels.classes) != 2:
        raise InputError(f"task={config.task.name} has {len(labels.classes)} classes; a detector needs two")
    negative, positive = labels.classes
    images = labels.of_images(findings.assign(label=labels.label(findings))).dropna(subset="label")
    if (silent := images["spacing_mm"].isna()).any():
        first, of_all = (
            images.loc[silent, "image_id"].iloc[0],
            f"{int(silent.sum())} of {number_of(len(images), 'image')}",
        )
        raise InputError(
            f"{of_all} have no spacing_mm, {first} for example, but a detector looks at films of "
            f"{config.detector.spacing_mm} mm a pixel; set data.spacing_mm to the side of a pixel in mm, or give each "
            "film its own, in a column spacing_mm of a table"
        )
    lesions, _ = lesions_of(findings, labels)
    of_negative = lesions["image_id"].isin(images.loc[images["label"] == negative, "image_id"])
    if of_negative.any():
        raise InputError(
            f"image {lesions.loc[of_negative, 'image_id'].iloc[0]} is {negative} by its worst finding, but has a "
            f"finding that is {positive}; give a detector classes whose second one is the worse, say benign and "
            "malignant"
        )
    train = findings.loc[findings["split"] == "train", "image_id"]
    if config.fit and not lesions["image_id"].isin(train).any():
        where = "no training film" if len(lesions) else "no film"
        raise InputError(
            f"{where} has a finding of class {positive} with a place, but a detector learns from circles, boxes, "
            "contours, or masks that are not empty; add films that have them, or classify films without them, say "
            "task=abnormality"
        )


def unknown_of(findings: pd.DataFrame, labels: Labels) -> dict[str, list[Geometry]]:
    """Return the places of findings whose class is not known, or is none of the task's, by image."""
    silent = findings[labels.label(findings).isna() & (findings["finding_id"] > 0)]
    found: dict[str, list[Geometry]] = {}
    for _, row in silent.iterrows():
        if (place := geometry(row)) is not None:
            found.setdefault(str(row["image_id"]), []).append(place)
    return found


def reach_of(place: Geometry, x_px: np.ndarray, y_px: np.ndarray, least_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how far points lie from the middle of a lesion, 1 at its edge, and how many pixels outside of it.

    A lesion with a mask or contour is as large as that, one with a box alone as its box, and each reaches `least_px`
    from its centre at least.

    Args:
        place: The place of the lesion.
        x_px, y_px: (n,) points of the film.
        least_px: The least reach.
    """
    across, down = np.abs(x_px - place.x_px), np.abs(y_px - place.y_px)
    reach = max(place.radius_px or 0.0, least_px)
    far = np.hypot(across, down)
    if (region := place.region()) is not None:
        deep, outside = _in_region(*region, x_px, y_px)
        by_region, near = np.where(outside > 0, 1 + outside / reach, 1 - deep), far / least_px
        return np.minimum(by_region, near), np.minimum(outside, np.maximum(far - least_px, 0))
    if not place.round and place.radius_px is not None:
        left, top, right, bottom = place.box
        half = max((right - left) / 2, least_px), max((bottom - top) / 2, least_px)
        outside = np.hypot(np.maximum(across - half[0], 0), np.maximum(down - half[1], 0))
        return np.maximum(across / half[0], down / half[1]), outside
    return far / reach, np.maximum(far - reach, 0)


def _in_region(
    region: np.ndarray, left: int, top: int, x_px: np.ndarray, y_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how deep points (n,) lie in a region, 1 at its deepest pixel, and how many pixels outside of it.

    Args:
        region: (height, width) bool, cut to the box around it.
        left, top: The film's column and row of its first pixel.
        x_px, y_px: (n,) points of the film.
    """
    depth = cv2.distanceTransform(np.pad(np.uint8(region), 1), cv2.DIST_L2, 5)  # 1 on the pixels of its edge
    at = np.rint([y_px - top + 1, x_px - left + 1]).astype(int)
    over = (at >= 0).all(axis=0) & (at[0] < depth.shape[0]) & (at[1] < depth.shape[1])
    deep = np.zeros(len(x_px))
    deep[over] = depth[at[0][over], at[1][over]]
    outside, _ = KDTree(np.argwhere((depth > 0) & (depth < 2))).query(at.T)
    return deep / depth.max(), np.where(deep > 0, 0, outside)


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
            far, outside = reach_of(geometries[row], x, y, config.least_mm / side)
            here = np.where(far <= 1, np.clip(1.5 - far, 0.5, 1), 0)
            ring |= (far > 1) & (outside <= config.ring_mm / side)
            number = np.where(here > value, row, number)
            value = np.maximum(value, here)
        for place in (unknown or {}).get(image, ()):
            ring |= reach_of(place, x, y, config.least_mm / side)[1] <= config.ring_mm / side
        soft.append(value)
        counts.append((value > 0) | ~(ring | (image in unplaced)))
        lesion.append(number)
    return Targets(*(np.concatenate(one) if one else np.zeros(0) for one in (soft, counts, lesion)))


def partners_of(images: pd.DataFrame) -> list[list[int]]:
    """Return the rows of the other breast's films for each row: of the same patient, exam and view.

    Args:
        images: `patient, exam, view, laterality` of each film. One without laterality, or whose patient is unknown,
            has no partner.
    """
    stranger = images["patient"].isna() | nobodies(images["patient"])
    rows: dict[tuple[str, ...], dict[str, list[int]]] = {}
    keys = images[["patient", "exam", "view"]].astype("string").fillna("").itertuples(index=False)
    sides = images["laterality"].astype("string").fillna("").tolist()
    named = [(*key, str(row) if odd else "") for row, (key, odd) in enumerate(zip(keys, stranger, strict=True))]
    for row, (key, side) in enumerate(zip(named, sides, strict=True)):
        rows.setdefault(key, {}).setdefault(side, []).append(row)
    other = {"left": "right", "right": "left"}
    return [rows[key].get(other.get(side, "none"), []) for key, side in zip(named, sides, strict=True)]


def pairs_in_test(images: pd.DataFrame) -> tuple[int, int]:
    """Return how many films of the test part have a film of the other breast, and how many films that part has.

    Args:
        images: The films of a run, with their `split` and what `partners_of` needs.
    """
    tested = (images["split"] == "test").to_numpy()
    paired = np.array([len(rows) > 0 for rows in partners_of(images.reset_index(drop=True))], bool)
    return int((paired & tested).sum()), int(tested.sum())
