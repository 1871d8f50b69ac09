"""From films to samples: which squares are cut from each film, grey uint8, one row of a table each.

A sample's square is stored wider than it is shown, by `margin`, so that a rotated training crop has no black
corners. All points are in pixels of the film; `side_px` is the side that is shown.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mammo import InputError
from mammo.data.images import Breast, brightest_blob, contrast, cut, find_breast, resize
from mammo.data.tasks import Task, worst_findings

RECENTRE_MM = 8.0  # how far a window may move to the brightest blob
KEPT = ["image_id", "finding_id", "patient", "split", "density", "finding", "severity", "radius_px"]


@dataclass(frozen=True)
class Crops:
    """The samples of a run.

    Attributes:
        table: One row per sample: `sample_id`, the columns of its finding, `label`, the centre `x_px, y_px` and
            the side `side_px` of its square on the film, and `contrast` (see `images.contrast`).
        pixels: (samples, stored, stored) uint8, in the order of the table.
        shown: Side in pixels of the central part that an unaugmented sample shows.
        notes: What was left out, a line each.
    """

    table: pd.DataFrame
    pixels: np.ndarray
    shown: int
    notes: list[str]


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
) -> Crops:
    """Cuts every sample of a task.

    Args:
        table: A findings table with the column `split`.
        read: From `image_id` to the film's pixels, (height, width) uint8.
        task: A finding whose label takes no part in it gives no sample.
        name: `whole` (the breast, aspect kept, one sample per film, its worst finding), `lesion` (a fixed window
            per circle, and one per normal film at a place drawn from where the lesions of the training and
            validation parts lie), `radius` (a window scaled by the circle: it leaks the class by its scale).
        image_size: Side in pixels of what is shown.
        margin: Stored side over shown side, at least 1.
        seed: Of the places of the backgrounds.
        window_mm: Side of the fixed window.
        recentre: Whether each fixed window moves to the brightest blob within 8 mm of its point.
        without_circle: `exclude`, or `breast` (the window is centred on the breast).
        factor: Side of a scaled window over the circle's diameter.

    Raises:
        InputError: An unknown name or setting, or no sample is left.
    """
    if name not in ("whole", "lesion", "radius"):
        raise InputError(f"crop.name={name} is unknown; expected one of whole, lesion, radius")
    if without_circle not in ("exclude", "breast"):
        raise InputError(f"crop.without_circle={without_circle}: expected exclude or breast")
    rows = table.assign(label=table[task.column].map(task.of))
    rows = (worst_findings(rows) if name == "whole" else rows).dropna(subset="label")
    notes = []
    if len(absent := set(table["image_id"]) - set(rows["image_id"])):
        notes.append(f"{len(absent)} films take no part in the task")
    no_circle = (rows["severity"] != "normal") & rows["radius_px"].isna() & (name != "whole")
    if no_circle.any():
        names = ", ".join(rows.loc[no_circle, "image_id"])
        notes.append(f"{no_circle.sum()} findings have no circle ({names}): {without_circle}")
        if without_circle == "exclude":
            rows = rows[~no_circle]
    if rows.empty:
        raise InputError(f"no sample: no finding of this data set has a {task.column} that the task knows")

    shown_mm = {"whole": None, "lesion": window_mm, "radius": window_mm}[name]
    stored = math.ceil(image_size * margin)
    cutter = _Cutter(shown_mm, recentre and name == "lesion", factor if name == "radius" else None, margin, stored)
    samples = list(_with_places(rows, read, cutter, seed, whole=name == "whole"))
    order = np.argsort([sample["_order"] for sample in samples], kind="stable")
    pixels = np.stack([samples[i].pop("_pixels") for i in order])
    described = pd.DataFrame([samples[i] for i in order]).drop(columns="_order")
    described["contrast"] = [contrast(_centre(square, image_size)) for square in pixels]
    return Crops(described.reset_index(drop=True), pixels, image_size, notes)


@dataclass(frozen=True)
class _Cutter:
    window_mm: float | None
    recentre: bool
    factor: float | None
    margin: float
    stored: int

    def sample(self, row: pd.Series, film: Film, place: tuple[float, float] | None) -> dict[str, object]:
        """The sample of a finding, at `place` in the breast if given, else where its circle or the breast is."""
        breast, spacing = film.breast, float(row["spacing_mm"])
        top, bottom, right = breast.box
        if self.window_mm is None:
            side = max(bottom - top, right)
            x, y = side / 2, (top + bottom) / 2
        else:
            side = round(self.window_mm / spacing)
            x, y = place or ((right - 1) / 2, (top + bottom - 1) / 2)
            if pd.notna(row["radius_px"]):
                x, y = breast.from_film(row["x_px"], row["y_px"], film.width_px)
                if self.factor is not None:
                    side = max(round(2 * self.factor * row["radius_px"]), 16)
            if self.recentre:
                x, y = brightest_blob(breast, x, y, RECENTRE_MM / spacing, spacing)
        stored = cut(breast.pixels, x, y, math.ceil(side * self.margin))
        x_px, y_px = breast.to_film(x, y, film.width_px)
        sample_id = row["image_id"] if row["finding_id"] == 0 or self.window_mm is None else _finding_name(row)
        centre = {"x_px": x_px, "y_px": y_px, "side_px": side}
        return (
            {"sample_id": sample_id}
            | {key: row[key] for key in [*KEPT, "label"]}
            | centre
            | {
                "_pixels": resize(stored, self.stored),
                "_order": row.name,
            }
        )


def _finding_name(row: pd.Series) -> str:
    return f"{row['image_id']}.{row['finding_id']}"


def _with_places(
    rows: pd.DataFrame, read: Callable[[str], np.ndarray], cutter: _Cutter, seed: int, *, whole: bool
) -> Iterator[dict[str, object]]:
    """Lesions first: the backgrounds lie where those of the training and validation parts lie in the breast."""
    normal = rows["severity"] == "normal"
    places: list[tuple[float, float]] = []
    for row, film in _films(rows if whole else rows[~normal], read):
        yield cutter.sample(row, film, None)
        if not whole and row["split"] != "test" and pd.notna(row["radius_px"]):
            x, y = film.breast.from_film(row["x_px"], row["y_px"], film.width_px)
            top, bottom, _ = film.breast.box
            places.append((min(x / film.breast.row_width(y), 1.0), (y - top) / (bottom - top)))
    if whole or not normal.any():
        return
    if not places:
        raise InputError("no background can be placed: no lesion of the training and validation parts has a circle")
    for row, film in _films(rows[normal], read):
        yield cutter.sample(row, film, _place(film.breast, places, seed, str(row["image_id"])))


def _place(breast: Breast, places: list[tuple[float, float]], seed: int, image_id: str) -> tuple[float, float]:
    """One of the lesions' places, given as shares of the breast's width in that row and of its height."""
    rng = np.random.default_rng([seed, 0xBAC6, *image_id.encode()])
    across, down = places[rng.integers(len(places))]
    top, bottom, _ = breast.box
    y = top + down * (bottom - top)
    return across * breast.row_width(y), y


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


def _centre(square: np.ndarray, shown: int) -> np.ndarray:
    start = (square.shape[0] - shown) // 2
    return square[start : start + shown, start : start + shown]
