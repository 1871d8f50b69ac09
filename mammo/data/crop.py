"""From films to samples: which squares are cut from each film, grey uint8, one row of a table each.

A sample's square is stored wider than it is shown, by `margin`, so that a rotated training crop has no black
corners. All points are in pixels of the film; `side_px` is the side that is shown.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from mammo import InputError
from mammo.data.images import Breast, brightest_blob, contrast, cut, find_breast, resize
from mammo.data.tasks import SHOWN, Task, findings_in, shown_in, worst_findings

RECENTRE_MM = 8.0  # how far a window may move to the brightest blob
# What is seen of a sample without looking at a lesion: the breast's area in mm2, the crop's place as shares of the
# breast's width in that row and of its height, its side, mean grey and share of black, and `images.contrast`.
SHORTCUTS = ["breast_mm2", "across", "down", "side_px", "mean_grey", "black", "contrast"]
KEPT = ["image_id", "finding_id", "patient", "split", "density", "finding", "severity", "radius_px", "spacing_mm"]


@dataclass(frozen=True)
class Crops:
    """The samples of a run.

    Attributes:
        table: One row per sample: `sample_id`, the columns of its finding, `label`, the centre `x_px, y_px` and
            the side `side_px` of its square on the film, and `SHORTCUTS`.
        pixels: (samples, stored, stored) uint8, in the order of the table.
        shown: Side in pixels of the central part that an unaugmented sample shows.
        notes: What was left out, a line each.
    """

    table: pd.DataFrame
    pixels: np.ndarray
    shown: int
    notes: list[str]

    def centre(self, sample: int) -> np.ndarray:
        """What an unaugmented sample shows, (shown, shown) uint8."""
        start = (self.pixels.shape[1] - self.shown) // 2
        return self.pixels[sample, start : start + self.shown, start : start + self.shown]


@dataclass(frozen=True)
class Film:
    """A film as the crops need it: its breast and the width of the whole film in pixels."""

    breast: Breast
    width_px: int


def cut_crops(
    table: pd.DataFrame,
    read: Callable[[str], np.ndarray],
    task: Task,
    *,
    name: str,
    image_size: int,
    margin: float,
    seed: int,
    window_mm: float | None = None,
    recentre: bool = False,
    without_circle: str = "exclude",
    factor: float | None = None,
    stride_mm: float | None = None,
) -> Crops:
    """Cuts every sample of a task.

    Args:
        table: A findings table with the column `split`.
        read: From `image_id` to the film's pixels, (height, width) uint8.
        task: A finding whose label takes no part in it gives no sample.
        name: `whole` (the breast, aspect kept, one sample per film, its worst finding), `lesion` (a fixed window
            per circle, and one per normal film at a place drawn from where the lesions of the training and
            validation parts lie), `radius` (a window scaled by the circle: it leaks the class by its scale),
            `patches` (the breast, as `whole`, and fixed windows in a grid over it; see `_patches`).
        image_size: Side in pixels of what is shown.
        margin: Stored side over shown side, at least 1.
        seed: Of the places of the backgrounds.
        window_mm: Side of the fixed window.
        recentre: Whether each fixed window moves to the brightest blob within 8 mm of its point.
        without_circle: `exclude`, or `breast` (the window is centred on the breast).
        factor: Side of a scaled window over the circle's diameter.
        stride_mm: From patch to patch.

    Raises:
        InputError: An unknown name or setting, or no sample is left.
    """
    if name not in ("whole", "lesion", "radius", "patches"):
        raise InputError(f"crop.name={name} is unknown; expected one of whole, lesion, radius, patches")
    if without_circle not in ("exclude", "breast"):
        raise InputError(f"crop.without_circle={without_circle}: expected exclude or breast")
    if name != "whole" and not (window_mm and window_mm > 0):
        raise InputError(f"crop.window_mm={window_mm}: expected a side in millimetres, larger than 0")
    if name == "patches" and not (stride_mm and 0 < stride_mm <= (window_mm or 0.0)):
        raise InputError(f"crop.stride_mm={stride_mm}: expected millimetres, larger than 0 and up to crop.window_mm")
    rows = table.assign(label=table[task.column].map(task.of))
    if name == "patches":  # a patch may show any finding of its film: all have to take part in the task
        rows = rows[rows["label"].notna().groupby(rows["image_id"]).transform("all")]
    rows = (worst_findings(rows) if name in ("whole", "patches") else rows).dropna(subset="label")
    if rows.empty:
        raise InputError(f"no sample: no finding of this data set has a {task.column} that the task knows")
    notes = []
    if absent := set(table["image_id"]) - set(rows["image_id"]):
        notes.append(f"{len(absent)} films take no part in the task")
    stored = math.ceil(image_size * margin)
    if name == "whole":
        samples = [_whole(row, film, margin, stored) for row, film in _films(rows, read)]
    elif name == "patches":
        samples, said = _patches(rows, read, table, task, window_mm or 0.0, stride_mm or 0.0, margin, stored)
        notes += said
    else:
        side = _Side(window_mm or 0.0, factor if name == "radius" else None)
        samples, off = _windows(rows, read, side, margin, stored, seed, recentre and name == "lesion", without_circle)
        if off:
            notes.append(f"{len(off)} findings have no circle on the breast ({', '.join(off)}): {without_circle}")
    samples.sort(key=itemgetter("_order"))
    pixels = np.stack([sample.pop("_pixels") for sample in samples])
    described = pd.DataFrame(samples).drop(columns="_order").reset_index(drop=True).astype({"finding_id": "Int64"})
    crops = Crops(described, pixels, image_size, notes)
    shown = [crops.centre(sample) for sample in range(len(pixels))]
    described["mean_grey"] = [square.mean() for square in shown]
    described["black"] = [(square == 0).mean() for square in shown]
    described["contrast"] = [contrast(square) for square in shown]
    return crops


@dataclass(frozen=True)
class _Side:
    """The side of a window: a fixed one in millimetres, or a multiple of the circle's diameter."""

    window_mm: float
    factor: float | None

    def px(self, row: pd.Series) -> int:
        if self.factor is None or pd.isna(row["radius_px"]):
            return round(self.window_mm / row["spacing_mm"])
        return max(round(2 * self.factor * row["radius_px"]), 16)


def _whole(row: pd.Series, film: Film, margin: float, stored: int) -> dict[str, Any]:
    top, bottom, right = film.breast.box
    side = max(bottom - top, right)
    return _sample(row, film, (side / 2, (top + bottom) / 2), side, margin, stored, str(row["image_id"]))


def _patches(
    rows: pd.DataFrame,
    read: Callable[[str], np.ndarray],
    findings: pd.DataFrame,
    task: Task,
    window_mm: float,
    stride_mm: float,
    margin: float,
    stored: int,
) -> tuple[list[dict[str, Any]], list[str]]:
    """The whole breast of each film, and the patches of a grid over it (after Oyelade and Ezugwu 2021).

    A patch is labelled by the worst finding whose circle's centre lies in it, or by the film where the task is of
    films. One without a finding is like a normal film: a task that has no class for those leaves it out. Where a
    finding lies in no patch, any could show it, and none can be labelled. Such a film is left out: with its whole
    breast alone it would stand out among those that have patches, and it is never a normal one.

    Returns the samples, and notes of what is left out.
    """
    samples: list[dict[str, Any]] = []
    off, unlabelled = [], 0
    for row, film in _films(rows, read):
        side, stride = round(window_mm / row["spacing_mm"]), round(stride_mm / row["spacing_mm"])
        patches = [
            _sample(row, film, point, side, margin, stored, f"{row['image_id']}.p{number}")
            for number, point in enumerate(film.breast.grid(side, stride), start=1)
        ]
        squares = pd.DataFrame(patches, columns=["image_id", "x_px", "y_px", "side_px"])
        own = findings[findings["image_id"] == row["image_id"]]
        lesions = own.loc[own["severity"] != "normal", "finding_id"]
        if task.of_lesions and not lesions.isin(findings_in(squares, own)["finding_id"]).all():
            off.append(str(row["image_id"]))
            continue
        samples.append(_whole(row, film, margin, stored))
        for patch, shown in zip(patches, shown_in(squares, own).to_dict("records"), strict=True):
            label = task.of.get((row.to_dict() | shown)[task.column])
            if label is None:
                unlabelled += 1
            else:
                samples.append(patch | {key: shown[key] for key in SHOWN} | {"label": label})
    if not samples:
        raise InputError("no sample: every film of the task has a finding that lies in no patch; take crop=whole")
    notes = [f"{len(off)} films have a finding in no patch ({', '.join(off)}): left out"] if off else []
    if unlabelled:
        notes.append(f"{unlabelled} patches without a finding have no class: which have one, the annotation tells")
    return samples, notes


def _windows(
    rows: pd.DataFrame,
    read: Callable[[str], np.ndarray],
    side: _Side,
    margin: float,
    stored: int,
    seed: int,
    recentre: bool,
    without_circle: str,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Lesions first: the backgrounds lie where those of the training and validation parts lie in the breast.

    Returns the samples, and the names of the findings that have no circle on the breast.
    """
    samples, off = [], []
    places: list[tuple[float, float]] = []  # shares of the breast's width in that row, and of its height

    def add(row: pd.Series, film: Film, point: tuple[float, float], name: str) -> None:
        if recentre:
            point = brightest_blob(film.breast, *point, RECENTRE_MM / row["spacing_mm"], row["spacing_mm"])
        samples.append(_sample(row, film, point, side.px(row), margin, stored, name))

    normal = rows["severity"] == "normal"
    for row, film in _films(rows[~normal], read):
        breast, name = film.breast, f"{row['image_id']}.{row['finding_id']}"
        top, bottom, right = breast.box
        point = ((right - 1) / 2, (top + bottom - 1) / 2)
        drawn = None if pd.isna(row["radius_px"]) else breast.from_film(row["x_px"], row["y_px"], film.width_px)
        if drawn is not None and breast.reaches(*drawn, RECENTRE_MM / row["spacing_mm"]):
            point = drawn
            if row["split"] != "test":
                places.append(breast.place(*point))
        else:
            off.append(name)
            if without_circle == "exclude":
                continue
        add(row, film, point, name)
    if normal.any() and not places:
        raise InputError("no background can be placed: no lesion of the training and validation parts has a circle")
    for row, film in _films(rows[normal], read):
        rng = np.random.default_rng([seed, 0xBAC6, *str(row["image_id"]).encode()])
        across, down = places[rng.integers(len(places))]
        top, bottom, _ = film.breast.box
        y = top + down * (bottom - top)
        add(row, film, (across * film.breast.row_width(y), y), str(row["image_id"]))
    return samples, off


def _sample(
    row: pd.Series, film: Film, point: tuple[float, float], side: int, margin: float, stored: int, name: str
) -> dict[str, Any]:
    """A row of the table, with its pixels and its order among the findings."""
    square = cut(film.breast.pixels, *point, math.ceil(side * margin))
    x_px, y_px = film.breast.to_film(*point, film.width_px)
    across, down = film.breast.place(*point)
    return {
        "sample_id": name,
        **{key: row[key] for key in [*KEPT, "label"]},
        **{"x_px": x_px, "y_px": y_px, "side_px": side, "across": across, "down": down},
        "breast_mm2": film.breast.mask.sum() * row["spacing_mm"] ** 2,
        **{"_pixels": resize(square, stored), "_order": row.name},
    }


def _films(rows: pd.DataFrame, read: Callable[[str], np.ndarray]) -> Iterator[tuple[pd.Series, Film]]:
    """Each row with its film; films are read ahead by threads, and once each."""

    def load(film: tuple[str, str | None, str]) -> Film:
        image_id, side, path = film
        pixels = read(image_id)
        return Film(find_breast(pixels, side, path), pixels.shape[1])

    groups = [group for _, group in rows.groupby("image_id", sort=False)]
    keys = [
        (str(g["image_id"].iloc[0]), None if pd.isna(g["side"].iloc[0]) else str(g["side"].iloc[0]), g["path"].iloc[0])
        for g in groups
    ]
    with ThreadPoolExecutor(4) as pool:
        for start in range(0, len(groups), 32):  # at most 32 decoded films are held at once
            films = pool.map(load, keys[start : start + 32])
            for group, film in zip(groups[start : start + 32], films, strict=True):
                for _, row in group.iterrows():
                    yield row, film
