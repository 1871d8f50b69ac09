"""From films to samples: which squares are cut from each film, grey uint8, one row of a table each.

All points are in pixels of the film; `side_px` is the side that is shown.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.datasets.labels import SHOWN, Labels, findings_in, shown_in, worst_findings
from mammo.errors import InputError
from mammo.preprocessing.cutting import Ask, Cutter, Square

RECENTRE_MM = 8.0  # how far a window may move to the brightest blob
# What is seen of a sample without looking at a lesion: numbers of `squares.NUMBERS`.
SHORTCUTS = ["breast_mm2", "across", "down", "side_px", "mean_grey", "black", "contrast"]
KEPT = ["image_id", "finding_id", "patient", "split", "density", "finding", "severity", "radius_px", "spacing_mm"]


@dataclass(frozen=True)
class Crops:
    """The samples of a run.

    Attributes:
        table: One row per sample: `sample_id`, the columns of its finding, `label`, the centre `x_px, y_px` and
            the side `side_px` of its square on the film, and `SHORTCUTS`.
        pixels: Of each sample (stored, stored) uint8, in the order of the table; where they come from the cache,
            they are memory-mapped.
        shown: Side in pixels of the central part that an unaugmented sample shows.
        notes: What was left out, a line each.
    """

    table: pd.DataFrame
    pixels: list[np.ndarray]
    shown: int
    notes: list[str]

    def centre(self, sample: int) -> np.ndarray:
        """What an unaugmented sample shows, (shown, shown) uint8."""
        start = (len(self.pixels[sample]) - self.shown) // 2
        return self.pixels[sample][start : start + self.shown, start : start + self.shown]


def cut_crops(
    table: pd.DataFrame,
    read: Callable[[str], np.ndarray],
    task: Labels,
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
    digests: dict[str, str] | None = None,
    cache: Path | None = None,
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
        digests: The digest of each film's pixels, by `image_id`; needed by a cache.
        cache: Folder where squares are kept, so that each is cut once; None keeps none.

    Raises:
        InputError: An unknown name or setting, or no sample is left.
    """
    if name not in ("whole", "lesion", "scaled_lesion", "grid"):
        raise InputError(f"crop.name={name} is unknown; expected one of whole, lesion, scaled_lesion, grid")
    if without_circle not in ("exclude", "breast"):
        raise InputError(f"crop.without_circle={without_circle}: expected exclude or breast")
    if name != "whole" and not (window_mm and window_mm > 0):
        raise InputError(f"crop.window_mm={window_mm}: expected a side in millimetres, larger than 0")
    if name == "grid" and not (stride_mm and 0 < stride_mm <= (window_mm or 0.0)):
        raise InputError(f"crop.stride_mm={stride_mm}: expected millimetres, larger than 0 and up to crop.window_mm")
    rows = table.assign(label=table[task.column].map(task.of))
    if name == "grid":  # a patch may show any finding of its film: all have to take part in the task
        rows = rows[rows["label"].notna().groupby(rows["image_id"]).transform("all")]
    rows = (worst_findings(rows) if name in ("whole", "grid") else rows).dropna(subset="label")
    if rows.empty:
        raise InputError(f"no sample: no finding of this data set has a {task.column} that the task knows")
    notes = []
    if absent := set(table["image_id"]) - set(rows["image_id"]):
        notes.append(f"{len(absent)} films take no part in the task")
    cutter = Cutter(read, shown=image_size, margin=margin, digests=digests, home=cache)
    if name == "whole":
        wholes = cutter(rows, [Ask("whole")] * len(rows))
        samples = [_sample(row, square, str(row["image_id"])) for row, (square,) in _zip(rows, wholes)]
    elif name == "grid":
        samples, said = _patches(rows, cutter, table, task, window_mm or 0.0, stride_mm or 0.0)
        notes += said
    else:
        side = _Side(window_mm or 0.0, factor if name == "scaled_lesion" else None)
        samples, off = _windows(rows, cutter, side, seed, recentre and name == "lesion", without_circle)
        if off:
            notes.append(f"{len(off)} findings have no circle on the breast ({', '.join(off)}): {without_circle}")
    samples.sort(key=itemgetter("_order"))
    pixels = [sample.pop("_pixels") for sample in samples]
    described = pd.DataFrame(samples).drop(columns="_order").reset_index(drop=True).astype({"finding_id": "Int64"})
    return Crops(described, pixels, image_size, notes)


@dataclass(frozen=True)
class _Side:
    """The side of a window: a fixed one in millimetres, or a multiple of the circle's diameter."""

    window_mm: float
    factor: float | None

    def px(self, row: pd.Series) -> int:
        if self.factor is None or pd.isna(row["radius_px"]):
            return round(self.window_mm / row["spacing_mm"])
        return max(round(2 * self.factor * row["radius_px"]), 16)


def _zip(rows: pd.DataFrame, squares: list[list[Square]]) -> Iterator[tuple[pd.Series, list[Square]]]:
    return ((row, of_row) for (_, row), of_row in zip(rows.iterrows(), squares, strict=True))


def _patches(
    rows: pd.DataFrame, cutter: Cutter, findings: pd.DataFrame, task: Labels, window_mm: float, stride_mm: float
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
    spacing = rows["spacing_mm"]
    grids = [Ask("grid", round(window_mm / mm), stride_px=round(stride_mm / mm)) for mm in spacing]
    cut = cutter(pd.concat([rows, rows]), [Ask("whole")] * len(rows) + grids)  # at once: each film is read once
    for (_, row), (whole,), grid in zip(rows.iterrows(), cut[: len(rows)], cut[len(rows) :], strict=True):
        patches = [_sample(row, square, f"{row['image_id']}.p{number}") for number, square in enumerate(grid, start=1)]
        squares = pd.DataFrame(patches, columns=["image_id", "x_px", "y_px", "side_px"])
        own = findings[findings["image_id"] == row["image_id"]]
        lesions = own.loc[own["severity"] != "normal", "finding_id"]
        if task.of_lesions and not lesions.isin(findings_in(squares, own)["finding_id"]).all():
            off.append(str(row["image_id"]))
            continue
        samples.append(_sample(row, whole, str(row["image_id"])))
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
    rows: pd.DataFrame, cutter: Cutter, side: _Side, seed: int, recentre: bool, without_circle: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Lesions first: the backgrounds lie where those of the training and validation parts lie in the breast.

    Returns the samples, and the names of the findings that have no circle on the breast.
    """

    def ask(row: pd.Series, kind: str, at: tuple[float, float] | None = None) -> Ask:
        reach = RECENTRE_MM / row["spacing_mm"]
        return Ask(
            kind, side.px(row), at, within_px=reach if kind == "point" else 0.0, reach_px=reach if recentre else 0.0
        )

    normal = rows["severity"] == "normal"
    lesions, normals = rows[~normal], rows[normal]
    named = lesions["image_id"] + "." + lesions["finding_id"].astype("string")
    drawn = lesions[lesions["radius_px"].notna()]
    circles = cutter(drawn, [ask(row, "point", (row["x_px"], row["y_px"])) for _, row in drawn.iterrows()])
    on_breast = {row.name: square for row, found in _zip(drawn, circles) for square in found}
    off = lesions[~lesions.index.isin(on_breast)]
    if without_circle == "breast":
        middles = cutter(off, [ask(row, "middle") for _, row in off.iterrows()])
        shown = on_breast | {row.name: square for row, (square,) in _zip(off, middles)}
    else:
        shown = on_breast
    samples = [_sample(row, shown[row.name], named[row.name]) for _, row in lesions.iterrows() if row.name in shown]
    places = [
        (on_breast[index].numbers["asked_across"], on_breast[index].numbers["asked_down"])
        for index in lesions.index[lesions["split"] != "test"]
        if index in on_breast
    ]
    if normal.any() and not places:
        raise InputError("no background can be placed: no lesion of the training and validation parts has a circle")
    asks = []
    for _, row in normals.iterrows():
        rng = np.random.default_rng([seed, 0xBAC6, *str(row["image_id"]).encode()])
        asks.append(ask(row, "place", places[rng.integers(len(places))]))
    backgrounds = cutter(normals, asks)
    samples += [_sample(row, square, str(row["image_id"])) for row, (square,) in _zip(normals, backgrounds)]
    return samples, named[off.index].tolist()


def _sample(row: pd.Series, square: Square, name: str) -> dict[str, Any]:
    """A row of the table, with its pixels and its order among the findings."""
    numbers = {key: value for key, value in square.numbers.items() if key in ("x_px", "y_px", *SHORTCUTS)}
    numbers["side_px"] = round(numbers["side_px"])
    kept = {key: row[key] for key in [*KEPT, "label"]}
    return {"sample_id": name, **kept, **numbers, "_pixels": square.pixels, "_order": row.name}
