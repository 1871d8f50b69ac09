"""Pictures of a detector on test films: its best hits, its misses and its worst false marks, each with its heat."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import distance_transform_edt

from mammo import figures
from mammo.config import Config
from mammo.datasets.geometry import Geometry, geometry
from mammo.evaluation.marks import HIT_MM, ROUNDING_PX
from mammo.preprocessing.breast import find_breast
from mammo.preprocessing.view import CELL_PX, FACTS, STEP, view_of
from mammo.training.marks import HeatMaps, marks_of
from mammo.training.prepare import Prepared

EACH = 4  # films of each kind
SHOWN = 3  # marks of a film
LESION, MARK = "#56b4e9", "#e69f00"  # Okabe and Ito 2008
KINDS = ("best hits", "misses", "worst false marks")


@dataclass(frozen=True)
class Seen:
    """A film of the gallery: its number among the described films, its lesions, and x and y of its marks in pixels."""

    film: int
    places: list[Geometry]
    marks: list[tuple[float, float]]
    hits: list[bool]


def gallery(prepared: Prepared, config: Config, heat: HeatMaps, part: str = "test") -> Figure | None:
    """Draw films of a part with their lesions and marks, and the heat of each beside it; None if it has no film.

    A hit is a first mark that hits a lesion, the hottest first; a miss is a film with lesions none of whose shown marks
    hits one; a false mark is the first mark of a film without lesions, the hottest first.
    """
    kinds = _kinds(prepared, heat, _seen(prepared, config, heat, part))
    if not kinds:
        return None
    drawn, axes = figures.figure(2.1 * 2 * EACH, 3.4 * len(kinds), rows=len(kinds), columns=2 * EACH)
    for axis in axes.ravel():
        axis.axis("off")
    for row, (name, films) in enumerate(kinds.items()):
        for column, one in enumerate(films):
            draw(axes[row, 2 * column], axes[row, 2 * column + 1], prepared, config, heat, one)
        axes[row, 0].text(-0.02, 0.5, name, transform=axes[row, 0].transAxes, rotation=90, va="center", ha="right")
    said = "Films as stored; lesions are outlined in blue, marks are numbered by suspicion; heat beside each film"
    drawn.suptitle(said, fontsize=10)
    return drawn


def _kinds(prepared: Prepared, heat: HeatMaps, seen: list[Seen]) -> dict[str, list[Seen]]:
    """Return the films to draw of each kind that has some, the hottest first."""
    first = {one.film: heat.heats["detector"][one.film].max() for one in seen if one.marks}
    ordered = sorted((one for one in seen if one.marks), key=lambda one: -first[one.film])
    kinds = {
        KINDS[0]: [one for one in ordered if one.places and one.hits[0]][:EACH],
        KINDS[1]: [one for one in ordered if one.places and not any(one.hits)][:EACH],
        KINDS[2]: [one for one in ordered if not one.places and not prepared.targets()[one.film]][:EACH],
    }
    return {name: films for name, films in kinds.items() if films}


def _seen(prepared: Prepared, config: Config, heat: HeatMaps, part: str) -> list[Seen]:
    rows, table = prepared.rows(), prepared.crops.table.set_index("image_id")
    keys = heat.lesions[["image_id", "finding_id"]].merge(prepared.findings, on=["image_id", "finding_id"])
    places = {
        str(image): [place for _, row in of.iterrows() if (place := geometry(row)) is not None]
        for image, of in keys.groupby("image_id")
    }
    found = []
    for film in np.flatnonzero(rows["split"] == part):
        image = str(rows["image_id"].iloc[film])
        side, lesions = float(table.at[image, "spacing_mm"]), places.get(image, [])
        _, marks = marks_of(heat.heats["detector"][film], heat.places[film], config.detector.apart_mm / side, SHOWN)
        hits = [_hits(mark, lesions, HIT_MM / side) for mark in marks]
        found.append(Seen(int(film), lesions, list(map(tuple, marks)), hits))
    return found


def _hits(point: np.ndarray, lesions: list[Geometry], reach_px: float) -> bool:
    """Tell whether a mark hits a lesion, by the rule of `evaluation.marks`."""
    x, y = point
    for one in lesions:
        left, top, right, bottom = one.box
        reach = max(one.radius_px or 0.0 if one.round else 0.0, reach_px) + ROUNDING_PX
        in_box = not one.round and left <= x <= right and top <= y <= bottom
        if in_box or np.hypot(x - one.x_px, y - one.y_px) <= reach:
            return True
    return False


def draw(left: Axes, right: Axes, prepared: Prepared, config: Config, heat: HeatMaps, one: Seen) -> None:
    """Draw a film with its lesions and marks on one pair of axes, and its heat on the other."""
    image = str(prepared.rows()["image_id"].iloc[one.film])
    row = prepared.crops.table.set_index("image_id").loc[image]
    spacing = float(row["spacing_mm"])
    breast = find_breast(prepared.dataset.read(image), None if pd.isna(row["laterality"]) else row["laterality"], image)
    view = view_of(breast, spacing, config.detector.spacing_mm)
    factor, top = spacing / config.detector.spacing_mm, breast.box[0]
    places, values = heat.places[one.film], heat.heats["detector"][one.film]
    at = places[:, [FACTS.index("column"), FACTS.index("row")]].astype(int)
    step = CELL_PX * STEP
    grid = np.full([length // step for length in view.pixels.shape], np.nan)
    grid[at[:, 1], at[:, 0]] = values
    extent = np.array([0, grid.shape[1], grid.shape[0], 0]) * step - (step - CELL_PX) / 2
    for axis in (left, right):
        axis.imshow(view.pixels, cmap="gray", vmin=0, vmax=255)
        for place in one.places:
            for line in place.lines():
                on_view = np.array([breast.from_film(x, y) for x, y in line])
                axis.plot(on_view[:, 0] * factor, (on_view[:, 1] - top) * factor, color=LESION, linewidth=1.5)
        ends, rows = (0, view.pixels.shape[1]), (view.pixels.shape[0], 0)
        axis.set(xlim=ends[:: -1 if breast.mirrored else 1], ylim=rows[:: -1 if breast.upside_down else 1])  # as stored
    low, high = np.nanquantile(np.concatenate(heat.heats["detector"]), [0.5, 0.999])
    # A cell at the skin that is not looked at takes the heat of the nearest one, and beyond the skin all is black
    shown = grid[tuple(distance_transform_edt(np.isnan(grid), return_distances=False, return_indices=True))]
    right.imshow(shown, cmap="inferno", vmin=low, vmax=high, alpha=0.6, extent=tuple(extent), interpolation="bilinear")
    right.imshow(np.ma.masked_where(view.pixels > 0, view.pixels), cmap="gray", vmin=0, vmax=255)
    for number, mark in enumerate(one.marks, 1):
        across, down = breast.from_film(*mark)
        x, y = across * factor, (down - top) * factor
        left.plot(x, y, "+", color="black", markersize=11, markeredgewidth=3.5)  # a dark ground on bright tissue
        left.plot(x, y, "+", color=MARK, markersize=10, markeredgewidth=1.5)
        ground = {"facecolor": "black", "alpha": 0.75, "edgecolor": "none", "boxstyle": "round,pad=0.15"}
        left.annotate(str(number), (x, y), (8, 6), textcoords="offset points", color=MARK, fontsize=9, bbox=ground)
    score = values.max() if len(values) else float("nan")
    left.set_title(f"{figures.plain(image)}  first mark {score:.2f}", fontsize=8, loc="left")
