"""Overlap and distance of found and true regions, by image, with intervals by patient. Lengths are in millimetres.

Only images with a true region have an overlap. An image without one has nothing to overlap with, so 0/0 is never
counted as 1: such images are counted apart, by how many of them get a false region, and how large it is. Otherwise
a program that finds nothing would look good wherever most films are normal (nnU-Net's issue 1065 tells of it).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mammo.errors import InputError
from mammo.evaluation.bootstrap import RESAMPLES, Value, difference, interval, resampled, student

MEASURES = ["dice", "iou", "assd_mm", "hd95_mm", "area_mm2", "true_area_mm2", "area_px"]
# The columns of segments.csv. `source` says where the true region comes from; it is empty if there is none.
SEGMENTS = ["image_id", "patient", "split", "head", "source", *MEASURES]
SEGMENTER = "segmenter"  # the head that is the network; the others are baselines


@dataclass(frozen=True)
class Segmentation:
    """The numbers of one part of a table of segments.

    Attributes:
        values: With their intervals. Over images with a true region: `dice`, `iou`, and `missed`, the share of them
            whose true region is not touched; over those where something was found besides: `assd_mm` and `hd95_mm`.
            Over images without a true region: `false_region`, the share of them where something was found; and
            `false_area_mm2`, its mean area where something was found.
        counts: Numbers of `images` and `patients`; of images `with_region`, those of them that are `empty` because
            nothing was found on them, and those `without_region`.
    """

    values: dict[str, Value]
    counts: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """Return plain data, as `metrics.json` holds it."""
        return {"n": self.counts} | {name: value.as_json() for name, value in self.values.items()}


def measure(found: np.ndarray, true: np.ndarray, spacing_mm: float | None) -> dict[str, float]:
    """Compare a found region with the true one.

    The surface of a region is its pixels with a neighbour, of four, outside it or beyond the picture. `assd_mm` is the
    mean distance from each surface pixel of either region to the nearest one of the other. `hd95_mm` is the larger one
    of the two 95th percentiles of these distances (Maier-Hein et al. 2024, Nature Methods 21:195-212).

    Args:
        found: (height, width) bool.
        true: (height, width) bool.
        spacing_mm: The side of a pixel; None if it is unknown.

    Returns:
        `MEASURES`. Overlaps are NaN if the true region is empty, and 0 if only the found one is. Distances are NaN if
        either is empty. Lengths and areas are NaN without a spacing.

    Raises:
        InputError: The regions differ in size, or are not bool: levels of 255 would give a Dice of their own.
    """
    if found.dtype != bool or true.dtype != bool:
        raise InputError(f"regions of {found.dtype} and {true.dtype}: expected bool; compare levels with a threshold")
    if found.shape != true.shape:
        raise InputError(f"regions of {found.shape} and {true.shape} pixels: expected one size; scale one to the other")
    side = np.nan if spacing_mm is None else spacing_mm
    areas = [float(np.count_nonzero(region)) for region in (found, true)]
    both = float(np.count_nonzero(found & true))
    dice, iou = (2 * both / sum(areas), both / (sum(areas) - both)) if areas[1] else (np.nan, np.nan)
    distances = surface_distances(found, true) if all(areas) else (np.array([np.nan]),) * 2
    assd = float(np.concatenate(distances).mean() * side)
    hd95 = float(max(np.percentile(one, 95) for one in distances) * side)
    return dict(zip(MEASURES, (dice, iou, assd, hd95, *(area * side**2 for area in areas), areas[0]), strict=True))


def surface_distances(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distances in pixels from each surface pixel of either region to the nearest of the other.

    Args:
        first: (height, width) bool, not empty.
        second: The same.
    """
    from scipy.ndimage import binary_erosion, distance_transform_edt  # noqa: PLC0415 - every report would wait for it

    rows, columns = ((first | second).any(axis=axis).nonzero()[0] for axis in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)  # the nearest pixels all lie in it
    surfaces = [region & ~binary_erosion(region) for region in (first[part], second[part])]
    to_second, to_first = (distance_transform_edt(~surface) for surface in (surfaces[1], surfaces[0]))
    return to_second[surfaces[0]], to_first[surfaces[1]]


def evaluate_segments(table: pd.DataFrame, resamples: int = RESAMPLES) -> Segmentation:
    """Return the numbers of a table of segments, with intervals by patient.

    Args:
        table: One row per image, of one part: `patient` and `MEASURES`. An image is without a true region if its `dice`
            is missing.
        resamples: The number of resamples of the intervals.
    """
    within, without = table[table["dice"].notna()], table[table["dice"].isna()]
    false = without[without["area_px"] > 0]
    values = {
        "dice": _share(within, within["dice"], resamples),
        "iou": _share(within, within["iou"], resamples),
        "missed": _share(within, within["dice"] == 0, resamples),
        "assd_mm": _length(within, "assd_mm", resamples),
        "hd95_mm": _length(within, "hd95_mm", resamples),
        "false_region": _share(without, without["area_px"] > 0, resamples),
        "false_area_mm2": _length(false, "area_mm2", resamples),
    }
    counts = {
        "images": len(table),
        "patients": table["patient"].nunique(),
        "with_region": len(within),
        "empty": int((within["area_px"] == 0).sum()),
        "without_region": len(without),
    }
    return Segmentation(values, counts)


def compare_dice(first: pd.DataFrame, second: pd.DataFrame) -> Value:
    """Return the mean Dice of the first table minus that of the second, on the same images, with patients drawn alike.

    Args:
        first: One row per image, `image_id`, `patient` and `dice`; images without a true region do not count.
        second: The same images.

    Raises:
        InputError: The tables have other images.
    """
    both = [one.dropna(subset="dice").set_index("image_id") for one in (first, second)]
    if set(both[0].index) != set(both[1].index):
        raise InputError("the images with a true region differ; compare runs of one data set, split and seed")
    if both[0].empty:
        return Value(None, reason="undefined: there is no such image")
    ours, theirs = (_means(both[0], one["dice"].reindex(both[0].index), RESAMPLES) for one in both)
    same = both[0]["dice"].equals(both[1]["dice"].reindex(both[0].index))
    return difference(ours, theirs, both[0]["patient"].nunique(), same=same)


def _means(rows: pd.DataFrame, of: pd.Series, resamples: int) -> np.ndarray:
    """Return the (1 + resamples,) means of a column over the images, the plain one first; patients are drawn."""
    numbers = of.to_numpy(float)

    def compute(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"mean": (weights @ numbers) / weights.sum(axis=1)}

    return resampled(rows["patient"].to_numpy(str), compute, resamples, each=True)["mean"]


def _share(rows: pd.DataFrame, of: pd.Series, resamples: int) -> Value:
    """Return the mean of numbers from 0 to 1."""
    if rows.empty:
        return Value(None, reason="undefined: there is no such image")
    return interval(_means(rows, of, resamples), rows["patient"].nunique())


def _length(rows: pd.DataFrame, name: str, resamples: int) -> Value:
    """Return the mean of lengths or areas, over the images that have one, with Student's interval of its error."""
    rows = rows.dropna(subset=name)
    if rows.empty:
        return Value(None, reason="undefined: no such image has a region in it, or pixels of a known size")
    found = student(_means(rows, rows[name], resamples), rows["patient"].nunique())
    return found if found.low is None else replace(found, low=max(found.low, 0.0))
