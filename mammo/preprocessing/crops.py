"""Crops: the grey squares that are cut from each image, one row of a table each. Points are in pixels of the film.

A crop says which samples an image gives, and states three facts that the reports, the leaks and the guard read. A crop
of your own is a class with the same members, named by `crop._target_`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from mammo.crop_config import CropConfig, check_windows
from mammo.datasets.geometry import with_circles
from mammo.datasets.labels import Labels, findings_in, shown_in
from mammo.errors import InputError
from mammo.preprocessing.crop_rows import Row, class_rows, name_mark, require_spacing, rows_of, sample_row, zipped
from mammo.preprocessing.squares import Ask, Square
from mammo.targets import build
from mammo.wording import number_of

if TYPE_CHECKING:
    from mammo.preprocessing.cutting import Cutter

RECENTRE_MM = 8.0  # largest move of a window to the brightest blob, and largest distance of a lesion from the breast
CENTRED = "Windows are centred on the annotated lesion: this is classification, not detection"

Look = tuple[list[Ask], str | None]  # squares of a film of which nothing is known, and what is said of them
Made = tuple[list[dict[str, Any]], list[str]]  # rows of the table with their pixels, and notes


class Crop(Protocol):
    """A rule that says which samples an image gives.

    Attributes:
        leak: Why the crop itself tells the class; None if no reason is known.
        caption: What a reader of the numbers must know about the crops; None if nothing.
        several_per_image: True if an image gives several samples, so that the numbers by image are the ones to read.

    A crop that asks for all its squares at once says so by `asks_once = True`; a shard of them is then cut in one go.
    Many images of it are cut in turns: of its notes that differ only in the number that they begin with, and in the
    names in brackets at their end, one is kept, with the sum of the numbers and all the names.
    """

    leak: str | None
    caption: str | None
    several_per_image: bool

    def cut(self, rows: pd.DataFrame, findings: pd.DataFrame, labels: Labels, cutter: "Cutter", seed: int) -> Made:
        """Return the samples of these findings, and notes of what is left out.

        Args:
            rows: The findings with their `split` and `label`; a finding that takes no part in the task has no label.
            findings: All findings of the data set.
            labels: The labels of the task.
            cutter: Cuts the squares that are asked for.
            seed: Seed of all random choices.
        """


class Whole:
    """The whole breast, its aspect ratio kept: one sample per image, labelled by its worst finding."""

    leak, caption, several_per_image = None, None, False
    asks_once = True
    kind = "whole"  # of `Ask`

    def look(self, row: pd.Series, at: tuple[float, float] | None = None) -> Look:
        """Return the square of a new film: its breast, or all of it."""
        return [Ask(self.kind)], None

    def cut(self, rows: pd.DataFrame, findings: pd.DataFrame, labels: Labels, cutter: "Cutter", seed: int) -> Made:
        """Return one sample per image."""
        rows, notes = class_rows(rows, labels)
        squares = cutter(rows, [Ask(self.kind)] * len(rows))
        return [sample_row(row, square, row["image_id"]) for row, (square,) in zipped(rows, squares)], notes


class WholeFilm(Whole):
    """The whole film as it is, with labels and borders, not mirrored: where the breast itself is to be found."""

    kind = "film"


class Lesion:
    """A window of fixed size per lesion, and one per normal image at a place where lesions lie in the breast.

    Args:
        window_mm: Side of the window in mm.
        recentre: True moves each window to the brightest blob within 8 mm of its point.
        without_circle: `exclude` leaves out lesions without a place; `breast` centres their window on the breast.
        windows_mm: Sides in mm of several windows around one centre, which a sample shows together; None: one window.
        join: `scores` or `features`, what is joined of several windows. The crop only keeps it.
    """

    leak: str | None = None
    caption: str | None = CENTRED
    several_per_image = False

    def __init__(
        self,
        window_mm: float = 22.4,
        recentre: bool = True,
        without_circle: str = "exclude",
        windows_mm: list[float] | None = None,
        join: str = "scores",
    ) -> None:
        check_windows(windows_mm, join)
        self.window_mm, self.recentre, self.without_circle = window_mm, recentre, without_circle
        self.windows_mm, self.join = windows_mm, join
        self.sides_mm = sorted(windows_mm or [window_mm], reverse=True)  # the largest window is the sample's own

    def size_px(self, row: pd.Series) -> int:
        """Return the side of a finding's window, in pixels."""
        return round(self.sides_mm[0] / row["spacing_mm"])

    def cut(self, rows: pd.DataFrame, findings: pd.DataFrame, labels: Labels, cutter: "Cutter", seed: int) -> Made:
        """Return a window of each lesion and normal image; backgrounds lie where lesions of train and val lie."""
        rows = with_circles(rows.dropna(subset="label"))
        require_spacing(rows, self.sides_mm[-1])
        normal = rows["severity"] == "normal"
        if labels.words and labels.alarming:  # of a user's words: a negative image without a finding
            normal |= rows["severity"].isna() & (rows["finding_id"] == 0) & (rows["label"] == labels.classes[0])
        normal = normal.fillna(False).astype(bool)
        lesions, normals = rows[~normal], rows[normal]
        named = lesions["image_id"] + name_mark(findings) + lesions["finding_id"].astype("string")
        drawn = lesions.dropna(subset="x_px")
        points = [self._ask(row, "point", (row["x_px"], row["y_px"])) for row in rows_of(drawn)]
        shown = {row.name: windows for row, found in self._cut(drawn, points, cutter) for windows in found}
        off = lesions[~lesions.index.isin(shown)]
        places = [
            (windows[0].numbers["asked_across"], windows[0].numbers["asked_down"])
            for index, windows in shown.items()
            if lesions.at[index, "split"] != "test"
        ]
        if self.without_circle == "breast":
            middles = self._cut(off, [self._ask(row, "middle") for row in rows_of(off)], cutter)
            shown |= {row.name: windows for row, (windows,) in middles}
        samples = [
            sample_row(row, shown[row.name][0], named[row.name], inner=shown[row.name][1:])
            for row in rows_of(lesions)
            if row.name in shown
        ]
        if len(normals) and not places:
            lost = "lies on the breast; see mammo data check" if (drawn["split"] != "test").any() else "has a place"
            raise InputError(
                f"no background can be placed, as no lesion of the training and validation parts {lost}; use crop=whole"
            )
        backgrounds = self._cut(normals, [self._background(row, places, seed) for row in rows_of(normals)], cutter)
        samples += [sample_row(row, first, row["image_id"], inner=more) for row, ((first, *more),) in backgrounds]
        said = number_of(len(off), "finding has", "findings have")
        note = f"{said} no place on the breast ({', '.join(named[off.index])})"
        return samples, [f"{note}; crop.without_circle={self.without_circle} applies"] if len(off) else []

    def _background(self, row: pd.Series, places: list[tuple[float, float]], seed: int) -> Ask:
        """Return the request for a window of a normal image, at a place where a lesion of another image lies."""
        rng = np.random.default_rng([seed, 0xBAC6, *str(row["image_id"]).encode()])
        return self._ask(row, "place", places[rng.integers(len(places))])

    def look(self, row: pd.Series, at: tuple[float, float] | None = None) -> Look:
        """Return the window around a point of a new film, or windows all over its breast."""
        require_spacing(row.to_frame().T, self.sides_mm[-1])
        if at is not None:
            return self._windows(row, self._ask(row, "point", at)), None
        grid = self._ask(row, "grid")
        said = "No point was given: the most alarming of windows all over the breast counts, so there is no threshold."
        return self._windows(row, replace(grid, stride_px=max(grid.size_px // 2, 1))), said

    def _windows(self, row: pd.Series, ask: Ask) -> list[Ask]:
        """Return the request for the largest window, and those for the others around the same centre."""
        return [ask, *(replace(ask, shown_px=round(mm / row["spacing_mm"])) for mm in self.sides_mm[1:])]

    def _cut(
        self, rows: pd.DataFrame, asks: Sequence[Ask], cutter: "Cutter"
    ) -> list[tuple[Row, list[tuple[Square, ...]]]]:
        """Return each row with the squares of its points, those of a point's windows together, the largest first."""
        wanted = [self._windows(row, ask) for row, ask in zipped(rows, asks)]
        of_windows = list(zip(*wanted, strict=True))  # one call, so that each film is read once
        found = cutter(pd.concat([rows] * max(len(of_windows), 1)), [ask for of in of_windows for ask in of])
        each = [found[start : start + len(rows)] for start in range(0, len(found), max(len(rows), 1))]
        return list(zipped(rows, [list(zip(*of_row, strict=True)) for of_row in zip(*each, strict=True)]))

    def _ask(self, row: pd.Series, kind: str, at: tuple[float, float] | None = None) -> Ask:
        reach = RECENTRE_MM / row["spacing_mm"]
        within = reach if kind == "point" else 0.0
        return Ask(kind, self.size_px(row), at, within_px=within, reach_px=reach if self.recentre else 0.0)


class ScaledLesion(Lesion):
    """A window scaled by the lesion: its scale leaks the class.

    Args:
        factor: Side of the window divided by the diameter of the lesion.
        window_mm: Side of the window of a normal image in mm.
        recentre: See `Lesion`.
        without_circle: See `Lesion`.
    """

    leak = "windows are scaled by the annotated radius, which is unknown for a new image and differs between classes"

    def __init__(
        self, factor: float = 1.25, window_mm: float = 22.4, recentre: bool = True, without_circle: str = "exclude"
    ) -> None:
        super().__init__(window_mm, recentre, without_circle)
        self.factor = factor

    def look(self, row: pd.Series, at: tuple[float, float] | None = None) -> Look:
        """Refuse a new film: nobody knows how large its lesion is."""
        raise InputError("crop=scaled_lesion needs a radius, which a new film does not give; use a run of crop=lesion")

    def size_px(self, row: pd.Series) -> int:
        """Return the side of a finding's window, at least 16 pixels."""
        if pd.isna(row["radius_px"]):
            return super().size_px(row)
        return max(round(2 * self.factor * row["radius_px"]), 16)


class Grid:
    """The whole breast of each image, and windows of fixed size in a grid over it (after Oyelade and Ezugwu 2021).

    A window is labelled by the worst finding whose centre lies in it, or like its image if the task is about images.
    A window without a finding counts as normal; a task without a normal class leaves it out. If a finding lies in no
    window, any window could show it and none can be labelled, so the image is left out. With its whole breast alone it
    would stand out among the images that have windows, and such an image is never normal.

    Args:
        window_mm: Side of a window in mm.
        stride_mm: Distance from one window to the next in mm; None places them side by side.
    """

    leak, caption, several_per_image = None, None, True
    asks_once = True

    def __init__(self, window_mm: float = 22.4, stride_mm: float | None = None) -> None:
        self.window_mm, self.stride_mm = window_mm, window_mm if stride_mm is None else stride_mm
        if self.stride_mm > window_mm:
            raise InputError(
                f"crop.stride_mm={stride_mm} is larger than crop.window_mm={window_mm}; use at most as much"
            )

    def look(self, row: pd.Series, at: tuple[float, float] | None = None) -> Look:
        """Return the breast of a new film and the windows over it."""
        require_spacing(row.to_frame().T, self.window_mm)
        size, stride = (round(mm / row["spacing_mm"]) for mm in (self.window_mm, self.stride_mm))
        return [Ask("whole"), Ask("grid", size, stride_px=stride)], None

    def cut(self, rows: pd.DataFrame, findings: pd.DataFrame, labels: Labels, cutter: "Cutter", seed: int) -> Made:
        """Return the whole breast and the windows of each image whose findings all take part in the task."""
        all_known = rows["label"].notna().groupby(rows["image_id"]).transform("all")
        rows, notes = class_rows(rows if labels.words else rows[all_known], labels)
        require_spacing(rows, self.window_mm)
        samples: list[dict[str, Any]] = []
        off, unlabelled, mark = [], 0, name_mark(findings)
        grids = [
            Ask("grid", round(self.window_mm / mm), stride_px=round(self.stride_mm / mm)) for mm in rows["spacing_mm"]
        ]
        cut = cutter(pd.concat([rows, rows]), [Ask("whole")] * len(rows) + grids)  # one call: each film is read once
        own_rows = findings[findings["image_id"].isin(rows["image_id"])]
        placed = dict(iter(with_circles(own_rows).groupby("image_id", sort=False)))
        for row, (whole,), grid in zip(rows_of(rows), cut[: len(rows)], cut[len(rows) :], strict=True):
            patches = [sample_row(row, square, f"{row['image_id']}{mark}p{n}", n) for n, square in enumerate(grid, 1)]
            squares = pd.DataFrame(patches, columns=["image_id", "x_px", "y_px", "size_px"])
            own = placed[row["image_id"]]
            lesions = own.loc[own["finding_id"] > 0, "finding_id"]
            if labels.of_lesions and not lesions.isin(findings_in(squares, own)["finding_id"]).all():
                off.append(str(row["image_id"]))
                continue
            samples.append(sample_row(row, whole, row["image_id"]))
            for patch, shown in zip(patches, shown_in(squares, own, labels.column).to_dict("records"), strict=True):
                label = row["label"] if labels.words else labels.of.get(str((row | shown)[labels.column]))
                if label is None:
                    unlabelled += 1
                else:
                    samples.append(patch | {key: shown[key] for key in shown if key in patch} | {"label": label})
        if off:
            notes.append(
                f"{number_of(len(off), 'image is', 'images are')} left out, for no window holds "
                f"their finding ({', '.join(off)})"
            )
        if unlabelled:
            said = number_of(unlabelled, "window without a finding has", "windows without a finding have")
            notes.append(f"left out: {said} no class in this task")
        return samples, notes


CROPS: dict[str, Any] = {
    "whole": Whole, "film": WholeFilm, "lesion": Lesion, "scaled_lesion": ScaledLesion, "grid": Grid,
}  # fmt: skip


def build_crop(config: CropConfig) -> Crop:
    """Return the crop that the settings describe.

    Raises:
        InputError: The name is unknown, or the crop does not take one of the settings.
    """
    crop: Crop = build("crop", config, CROPS, ("bits",), ("cut",))
    return crop
