"""Crops: the squares that are cut from each image, grey, one row of a table each. All points are in pixels of the film.

A crop says which samples an image gives, and three facts that reports, leaks and the guard read. A crop of your own is
a class with the same members, named by `crop._target_`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mammo.config import CropConfig
from mammo.datasets.geometry import with_circles
from mammo.datasets.labels import Labels, findings_in, shown_in, worst_findings
from mammo.errors import InputError
from mammo.preprocessing.cutting import Ask, Cutter, Square
from mammo.targets import build

RECENTRE_MM = 8.0  # how far a window may move to the brightest blob, and how far off the breast a lesion may lie
# Seen of a sample without looking at a lesion: numbers of `cutting.NUMBERS`.
SHORTCUTS = ["breast_mm2", "across", "down", "size_px", "mean_grey", "black", "contrast"]
KEPT = ["patient", "split", "density", "finding", "severity", "radius_px", "spacing_mm"]
CENTRED = "Windows are centred on the annotated lesion: this is classification, not detection"

Look = tuple[list[Ask], str | None]  # squares of a film of which nothing is known, and what is said of them
Made = tuple[list[dict[str, Any]], list[str]]  # rows of the table with their pixels, and notes


class Crop(Protocol):
    """A rule that says which samples an image gives.

    Attributes:
        leak: Why the crops tell the class by themselves; None where nothing is known to.
        caption: What a reader of the numbers must know of the crops; None where nothing.
        several_per_image: True if numbers by image are the ones to read.
    """

    leak: str | None
    caption: str | None
    several_per_image: bool

    def cut(self, rows: pd.DataFrame, findings: pd.DataFrame, labels: Labels, cutter: Cutter, seed: int) -> Made:
        """Return the samples of an image's findings, and notes of what is left out.

        Args:
            rows: The findings with their `label`, missing where one takes no part in the task, and their `split`.
            findings: All findings.
            labels: The task's.
            cutter: Gives the squares that are asked for.
            seed: Of whatever is drawn.
        """


class Whole:
    """The whole breast, aspect kept: one sample per image, labelled by its worst finding."""

    leak, caption, several_per_image = None, None, False

    def look(self, row: pd.Series, at: tuple[float, float] | None = None) -> Look:
        """Return the square of a new film: its breast."""
        return [Ask("whole")], None

    def cut(self, rows: pd.DataFrame, findings: pd.DataFrame, labels: Labels, cutter: Cutter, seed: int) -> Made:
        """Return one sample per image."""
        rows = worst_findings(rows).dropna(subset="label")
        squares = cutter(rows, [Ask("whole")] * len(rows))
        return [_sample(row, square, row["image_id"]) for row, (square,) in _zip(rows, squares)], []


class Lesion:
    """A window of fixed size per lesion, and one per normal image where lesions lie in the breast.

    Args:
        window_mm: Side of the window.
        recentre: True moves each window to the brightest blob within 8 mm of its point.
        without_circle: `exclude` leaves out lesions without a place; `breast` centres their window on the breast.
    """

    leak: str | None = None
    caption: str | None = CENTRED
    several_per_image = False

    def __init__(self, window_mm: float = 22.4, recentre: bool = True, without_circle: str = "exclude") -> None:
        self.window_mm, self.recentre, self.without_circle = window_mm, recentre, without_circle

    def size_px(self, row: pd.Series) -> int:
        """Return the side of a finding's window."""
        return round(self.window_mm / row["spacing_mm"])

    def cut(self, rows: pd.DataFrame, findings: pd.DataFrame, labels: Labels, cutter: Cutter, seed: int) -> Made:
        """Return lesions first: the backgrounds lie where those of the training and validation parts lie."""
        rows = with_circles(rows.dropna(subset="label"))
        _require_spacing(rows)
        normal = (rows["severity"] == "normal").fillna(False).astype(bool)
        lesions, normals = rows[~normal], rows[normal]
        named = lesions["image_id"] + _mark(findings) + lesions["finding_id"].astype("string")
        drawn = lesions.dropna(subset="x_px")
        points = [self._ask(row, "point", (row["x_px"], row["y_px"])) for _, row in drawn.iterrows()]
        shown = {row.name: square for row, found in _zip(drawn, cutter(drawn, points)) for square in found}
        off = lesions[~lesions.index.isin(shown)]
        places = [
            (square.numbers["asked_across"], square.numbers["asked_down"])
            for index, square in shown.items()
            if lesions.at[index, "split"] != "test"
        ]
        if self.without_circle == "breast":
            middles = cutter(off, [self._ask(row, "middle") for _, row in off.iterrows()])
            shown |= {row.name: square for row, (square,) in _zip(off, middles)}
        samples = [_sample(row, shown[row.name], named[row.name]) for _, row in lesions.iterrows() if row.name in shown]
        if len(normals) and not places:
            raise InputError("no background can be placed: no lesion of the training and validation parts has a place")
        asks = []
        for _, row in normals.iterrows():
            rng = np.random.default_rng([seed, 0xBAC6, *str(row["image_id"]).encode()])
            asks.append(self._ask(row, "place", places[rng.integers(len(places))]))
        backgrounds = cutter(normals, asks)
        samples += [_sample(row, square, row["image_id"]) for row, (square,) in _zip(normals, backgrounds)]
        note = f"{len(off)} findings have no place on the breast ({', '.join(named[off.index])}): {self.without_circle}"
        return samples, [note] if len(off) else []

    def look(self, row: pd.Series, at: tuple[float, float] | None = None) -> Look:
        """Return the window around a point of a new film, or windows all over its breast."""
        _require_spacing(row.to_frame().T)
        if at is not None:
            return [self._ask(row, "point", at)], None
        grid = self._ask(row, "grid")
        said = "No point was given: windows all over the breast were looked at, and the most alarming one counts."
        return [replace(grid, stride_px=max(grid.size_px // 2, 1))], said

    def _ask(self, row: pd.Series, kind: str, at: tuple[float, float] | None = None) -> Ask:
        reach = RECENTRE_MM / row["spacing_mm"]
        within = reach if kind == "point" else 0.0
        return Ask(kind, self.size_px(row), at, within_px=within, reach_px=reach if self.recentre else 0.0)


class ScaledLesion(Lesion):
    """A window scaled by the lesion: it leaks the class by its scale.

    Args:
        factor: Side of the window over the lesion's diameter.
        window_mm: Side of the window of a normal image.
        recentre: See `Lesion`.
        without_circle: See `Lesion`.
    """

    leak = "windows are scaled by the annotated radius: nobody knows it of a new film, and it differs between classes"

    def __init__(
        self, factor: float = 1.25, window_mm: float = 22.4, recentre: bool = True, without_circle: str = "exclude"
    ) -> None:
        super().__init__(window_mm, recentre, without_circle)
        self.factor = factor

    def look(self, row: pd.Series, at: tuple[float, float] | None = None) -> Look:
        """Refuse a new film: nobody knows how large its lesion is."""
        raise InputError("crop=scaled_lesion needs the radius of the lesion, which nobody knows of a new film")

    def size_px(self, row: pd.Series) -> int:
        """Return the side of a finding's window, at least 16 pixels."""
        if pd.isna(row["radius_px"]):
            return super().size_px(row)
        return max(round(2 * self.factor * row["radius_px"]), 16)


class Grid:
    """The whole breast of each image, and windows of fixed size in a grid over it (after Oyelade and Ezugwu 2021).

    A window is labelled by the worst finding whose centre lies in it, or by the image where the task is of images. One
    without a finding is like a normal image: a task that has no class for those leaves it out. Where a finding lies in
    no window, any could show it, and none can be labelled. Such an image is left out: with its whole breast alone it
    would stand out among those that have windows, and it is never a normal one.

    Args:
        window_mm: Side of a window.
        stride_mm: From window to window; None: side by side.
    """

    leak, caption, several_per_image = None, None, True

    def __init__(self, window_mm: float = 22.4, stride_mm: float | None = None) -> None:
        self.window_mm, self.stride_mm = window_mm, window_mm if stride_mm is None else stride_mm
        if self.stride_mm > window_mm:
            raise InputError(f"crop.stride_mm={stride_mm}: expected millimetres up to crop.window_mm={window_mm}")

    def look(self, row: pd.Series, at: tuple[float, float] | None = None) -> Look:
        """Return the breast of a new film and the windows over it."""
        _require_spacing(row.to_frame().T)
        size, stride = (round(mm / row["spacing_mm"]) for mm in (self.window_mm, self.stride_mm))
        return [Ask("whole"), Ask("grid", size, stride_px=stride)], None

    def cut(self, rows: pd.DataFrame, findings: pd.DataFrame, labels: Labels, cutter: Cutter, seed: int) -> Made:
        """Return the whole breast and the windows of each image all of whose findings take part in the task."""
        rows = worst_findings(rows[rows["label"].notna().groupby(rows["image_id"]).transform("all")])
        _require_spacing(rows)
        samples: list[dict[str, Any]] = []
        off, unlabelled, mark = [], 0, _mark(findings)
        grids = [
            Ask("grid", round(self.window_mm / mm), stride_px=round(self.stride_mm / mm)) for mm in rows["spacing_mm"]
        ]
        cut = cutter(pd.concat([rows, rows]), [Ask("whole")] * len(rows) + grids)  # at once: each film is read once
        placed = with_circles(findings)
        for (_, row), (whole,), grid in zip(rows.iterrows(), cut[: len(rows)], cut[len(rows) :], strict=True):
            patches = [_sample(row, square, f"{row['image_id']}{mark}p{n}", n) for n, square in enumerate(grid, 1)]
            squares = pd.DataFrame(patches, columns=["image_id", "x_px", "y_px", "size_px"])
            own = placed[placed["image_id"] == row["image_id"]]
            lesions = own.loc[own["finding_id"] > 0, "finding_id"]
            if labels.of_lesions and not lesions.isin(findings_in(squares, own)["finding_id"]).all():
                off.append(str(row["image_id"]))
                continue
            samples.append(_sample(row, whole, row["image_id"]))
            for patch, shown in zip(patches, shown_in(squares, own, labels.column).to_dict("records"), strict=True):
                label = labels.of.get(str((row.to_dict() | shown)[labels.column]))
                if label is None:
                    unlabelled += 1
                else:
                    samples.append(patch | {key: shown[key] for key in shown if key in patch} | {"label": label})
        notes = [f"{len(off)} images have a finding in no window ({', '.join(off)}): left out"] if off else []
        if unlabelled:
            notes.append(f"{unlabelled} windows without a finding have no class: the annotation tells which have one")
        return samples, notes


CROPS: dict[str, Any] = {"whole": Whole, "lesion": Lesion, "scaled_lesion": ScaledLesion, "grid": Grid}


def build_crop(config: CropConfig) -> Crop:
    """Return the crop of these settings, made with those that its class takes.

    Raises:
        InputError: An unknown name, or a setting that the crop does not take.
    """
    crop: Crop = build("crop", config, CROPS, ("bits",))
    return crop


def _require_spacing(rows: pd.DataFrame) -> None:
    """Refuse images that do not say how large a pixel is."""
    if rows["spacing_mm"].isna().any():
        image = rows.loc[rows["spacing_mm"].isna(), "image_id"].iloc[0]
        raise InputError(
            f"this crop is cut in millimetres, and image {image} has no spacing_mm; "
            "set data.spacing_mm to the side of a pixel, or take crop=whole"
        )


def _mark(findings: pd.DataFrame) -> str:
    """Return what stands between an image and the number of its finding in a sample's name, so that names differ."""
    return "#" if findings["image_id"].str.contains(".", regex=False).any() else "."


def _zip(rows: pd.DataFrame, squares: list[list[Square]]) -> Iterator[tuple[pd.Series, list[Square]]]:
    return ((row, of_row) for (_, row), of_row in zip(rows.iterrows(), squares, strict=True))


def _sample(row: pd.Series, square: Square, name: str, patch: int = 0) -> dict[str, Any]:
    """Return a row of the table, with its pixels and its order among the findings."""
    numbers = {key: value for key, value in square.numbers.items() if key in ("x_px", "y_px", *SHORTCUTS)}
    numbers["size_px"] = round(numbers["size_px"])
    identity = {"name": str(name), "image_id": row["image_id"], "finding_id": row["finding_id"], "patch": patch}
    kept = {key: row[key] for key in [*KEPT, "label"]}
    return identity | kept | numbers | {"_pixels": square.pixels, "_order": row.name}
