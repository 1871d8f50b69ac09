"""The marks of a detector against the lesions: which mark hits which lesion. Places are in the film's own pixels.

A mark hits a lesion if it lies within `max(radius_px, hit_mm / spacing_mm)` of its centre, or inside its box, edges
included. A mark that lies in two lesions hits both. The hottest mark on a lesion finds it; its other marks are neither
hits nor false. A mark on no lesion is false, on normal and on abnormal images alike. An abnormal image without any
placed lesion cannot be judged, so it is left out with its marks.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mammo.datasets.findings import SPACING
from mammo.datasets.geometry import FARTHEST
from mammo.errors import InputError
from mammo.evaluation.mark_tables import (
    BOX,
    IMAGE,
    MARK,
    PLACE,
    check_columns,
    check_different,
    check_places,
    with_numbers,
    with_truths,
)
from mammo.wording import number_of

HIT_MM = 4.8  # 24 pixels of mini-MIAS; lesions of a smaller radius are hit as if they had this one
ROUNDED = 1e-6  # places that differ by less, or by a smaller share, are those of one table that was written twice
ROUNDING_PX = 1e-6  # 4.8 / 0.2 is a little less than 24 in floating point


@dataclass(frozen=True)
class Detection:
    """The judged marks of one head on N images with L placed lesions; F marks are false."""

    images: pd.DataFrame  # (N) `IMAGE`, without those that cannot be judged
    lesions: pd.DataFrame  # (L) rows of lesions.csv; a box without a radius has half its mean side as `radius_px`
    lesion_image: np.ndarray  # (L,) the row of each lesion's image
    lesion_score: np.ndarray  # (L,) score of the hottest mark that hits it; -inf if none does
    false_image: np.ndarray  # (F,) the row of each false mark's image, the highest score first
    false_score: np.ndarray  # (F,) scores, falling
    top_score: np.ndarray  # (N,) score of the hottest mark of each image; -inf without a mark
    top_hit: np.ndarray  # (N,) the share of an image's hottest marks that hit: 0 or 1, if only one has that score
    unplaced: tuple[str, ...]  # abnormal images that are left out, because no lesion of theirs has a place

    @property
    def positive(self) -> np.ndarray:
        """(N,) bool, true for images with a lesion."""
        return self.images["positive"].to_numpy(bool)

    @property
    def patients(self) -> np.ndarray:
        """(N,) the patient of each image."""
        return self.images["patient"].to_numpy(str)

    @property
    def lesion_patients(self) -> np.ndarray:
        """(L,) the patient of each lesion."""
        return self.patients[self.lesion_image]


def judge(candidates: pd.DataFrame, lesions: pd.DataFrame, images: pd.DataFrame, hit_mm: float = HIT_MM) -> Detection:
    """Return which marks of one head hit which lesions.

    Args:
        candidates: One row per mark, with `MARK`; a higher score is more suspicious.
        lesions: One row per lesion that has a place, with `PLACE`; radius, box and spacing may be missing.
        images: One row per image, with `IMAGE`; `positive` is true for abnormal images.
        hit_mm: The smallest radius of a hit in millimetres.

    Raises:
        InputError: A column is missing, an image or lesion occurs twice, a mark or lesion is of no such image, a lesion
            lies on a normal image, has no size at all or an impossible one, a mark cannot lie on a film, `positive` is
            no truth, or a score is not finite.
    """
    for name, table, columns in (
        ("candidates", candidates, MARK),
        ("lesions", lesions, PLACE),
        ("images", images, IMAGE),
    ):
        check_columns(table, columns, name)
    candidates = with_numbers(candidates, MARK[1:], "candidates", missing=True)
    check_places(candidates, "candidates")
    lesions = with_numbers(lesions.reset_index(drop=True), PLACE[2:], "lesions", missing=True)
    images = with_truths(images, "images")
    check_different(lesions, PLACE[:2], "lesions", "lesion")
    rows = _rows_of(images, candidates, lesions)
    positive, placed = images["positive"].to_numpy(bool), np.isin(np.arange(len(images)), rows[1])
    normal = ~positive[rows[1]]
    if normal.any():
        named = lesions["image_id"].to_numpy()[normal][0]
        raise InputError(f"lesions: {named} has a lesion, but its label is the negative class; mend one of the two")
    kept = ~positive | placed
    number = np.cumsum(kept) - 1  # from rows of the given images to those that are judged
    seen = kept[rows[0]]
    marks, mark_image, lesion_image = candidates[seen], number[rows[0][seen]], number[rows[1]]
    score = _numbers(marks, "score")
    finite = np.isfinite([score, _numbers(marks, "x_px"), _numbers(marks, "y_px")]).all(axis=0)
    if not finite.all():
        named = marks["image_id"].to_numpy()[~finite][0]
        raise InputError(f"candidates: a mark on {named} has no finite place or score; give each mark three numbers")
    mark, lesion = _hits(marks, mark_image, lesions, lesion_image, hit_mm)
    hits = np.zeros(len(marks), bool)
    hits[mark] = True
    lesion_score = np.full(len(lesions), -np.inf)
    np.maximum.at(lesion_score, lesion, score[mark])
    top_score = np.full(int(kept.sum()), -np.inf)
    np.maximum.at(top_score, mark_image, score)
    top = score == top_score[mark_image]
    tops, top_hits = (np.bincount(mark_image[which], minlength=len(top_score)) for which in (top, top & hits))
    false = np.flatnonzero(~hits)
    false = false[np.argsort(-score[false], kind="stable")]
    return Detection(
        images.loc[kept, IMAGE].reset_index(drop=True),
        lesions.assign(radius_px=_radius(lesions)),
        lesion_image,
        lesion_score,
        mark_image[false],
        score[false],
        top_score,
        top_hits / np.maximum(tops, 1),
        tuple(images.loc[~kept, "image_id"].astype(str)),
    )


def check_paired(one: Detection, two: Detection) -> None:
    """Refuse two detections that were not judged on the same images and lesions."""
    for what, columns in (("images", IMAGE), ("lesions", PLACE[:2])):
        ours, theirs = (
            set(getattr(side, what)[columns].astype(str).itertuples(index=False, name=None)) for side in (one, two)
        )
        if odd := sorted(ours ^ theirs):
            raise InputError(
                f"the detectors cannot be paired: {len(odd)} {what} are in one of them only, the first of {odd[0][0]}; "
                "compare runs of one data set, split and seed"
            )
    ours, theirs = (side.lesions.astype(dict.fromkeys(PLACE[:2], str)).sort_values(PLACE[:2]) for side in (one, two))
    given, other = (np.stack([_numbers(side, column) for column in PLACE[2:]]) for side in (ours, theirs))
    moved = ~np.isclose(given, other, rtol=ROUNDED, atol=ROUNDED, equal_nan=True).all(axis=0)
    if moved.any():
        lie = number_of(int(moved.sum()), "lesion has", "lesions have")
        raise InputError(
            f"the detectors cannot be paired: {lie} another place, size or spacing in one of them, the first of "
            f"{ours['image_id'].to_numpy()[moved][0]}; judge both by the same lesions"
        )


def agree(one: Detection, two: Detection) -> bool:
    """Tell if two detections on the same images and lesions, in the same order, find and rate all alike."""
    arrays = ("lesion_image", "lesion_score", "false_image", "false_score", "top_score", "top_hit")
    return one.images.equals(two.images) and all(np.array_equal(getattr(one, of), getattr(two, of)) for of in arrays)


def _rows_of(images: pd.DataFrame, *tables: pd.DataFrame) -> list[np.ndarray]:
    """Return the row of `images` for each row of the other tables: candidates, then lesions."""
    index = pd.Index(images["image_id"].astype(str))
    if index.has_duplicates:
        raise InputError(f"images: {index[index.duplicated()][0]} occurs twice; give each image one row")
    found = [index.get_indexer(table["image_id"].astype(str)) for table in tables]
    for name, table, rows in zip(("candidates", "lesions"), tables, found, strict=True):
        if (rows < 0).any():
            named = table["image_id"].to_numpy()[rows < 0][0]
            raise InputError(
                f"{name}: {named} is none of the {number_of(len(index), 'image')}; give the tables of one run and split"
            )
    return found


def _hits(
    marks: pd.DataFrame, mark_image: np.ndarray, lesions: pd.DataFrame, lesion_image: np.ndarray, hit_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of a mark and a lesion that it hits, as (pairs,) numbers of their rows."""
    on = pd.DataFrame({"image": mark_image, "mark": np.arange(len(marks))})
    pairs = on.merge(pd.DataFrame({"image": lesion_image, "lesion": np.arange(len(lesions))}), on="image")
    mark, lesion = pairs["mark"].to_numpy(int), pairs["lesion"].to_numpy(int)
    x, y = (_numbers(marks, column)[mark] for column in ("x_px", "y_px"))
    x0, y0, x1, y1 = (_numbers(lesions, column)[lesion] for column in BOX)
    centre_x, centre_y = (_numbers(lesions, column)[lesion] for column in ("x_px", "y_px"))
    away_x = x - np.where(np.isnan(centre_x), (x0 + x1) / 2, centre_x)
    away_y = y - np.where(np.isnan(centre_y), (y0 + y1) / 2, centre_y)
    near = np.hypot(away_x, away_y) <= _reach(lesions, hit_mm)[lesion] + ROUNDING_PX
    inside = (x0 <= x) & (x <= x1) & (y0 <= y) & (y <= y1)  # false without a box
    return mark[near | inside], lesion[near | inside]


def _reach(lesions: pd.DataFrame, hit_mm: float) -> np.ndarray:
    """Return the (L,) distances in pixels up to which a mark hits; -inf where only the box counts."""
    radius, spacing = _numbers(lesions, "radius_px"), _numbers(lesions, "spacing_mm")
    x0, y0, x1, y1 = (_numbers(lesions, column) for column in BOX)
    reach = np.fmax(radius, hit_mm / np.where(spacing > 0, spacing, np.nan))
    boxless = np.isnan([x0, y0, x1, y1]).any(axis=0)
    centreless = np.isnan([_numbers(lesions, column) for column in ("x_px", "y_px")]).any(axis=0)
    faults = {
        "has neither a centre nor a box; leave out lesions without a place": centreless & boxless,
        "has a box whose x1_px or y1_px is below its x0_px or y0_px; swap them": (x1 < x0) | (y1 < y0),
        "has a radius_px below 0, or a spacing_mm that is not above 0; mend it": (radius < 0) | (spacing <= 0),
        "has neither radius_px nor a box nor spacing_mm, so no mark can be judged; give its film a spacing_mm": (
            np.isnan(reach) & boxless
        ),
        f"has a spacing_mm that is not from {SPACING[0]:g} to {SPACING[1]:g}; expected millimetres": (
            (spacing < SPACING[0]) | (spacing > SPACING[1])
        ),
        f"has a place or size above {FARTHEST:,} pixels; no film is as large": (
            np.abs([_numbers(lesions, column) for column in PLACE[2:-1]]) > FARTHEST
        ).any(axis=0),
    }
    for fault, found in faults.items():
        if found.any():
            raise InputError(f"lesions: a lesion of {lesions['image_id'].to_numpy()[found][0]} {fault}")
    return np.where(np.isnan(reach), -np.inf, reach)


def _radius(lesions: pd.DataFrame) -> np.ndarray:
    """Return the (L,) radii in pixels; half the mean side of a box where there is none."""
    x0, y0, x1, y1 = (_numbers(lesions, column) for column in BOX)
    radius = _numbers(lesions, "radius_px")
    return np.where(np.isnan(radius), (x1 - x0 + y1 - y0) / 4, radius)


def _numbers(table: pd.DataFrame, column: str) -> np.ndarray:
    return table[column].to_numpy(float, na_value=np.nan)
