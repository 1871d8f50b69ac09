"""Places of findings in a user's table: circles, boxes, contours and masks, checked against the size of their film."""

from collections.abc import Mapping

import cv2
import numpy as np
import pandas as pd

from mammo.datasets.contours import FORMS, crosses_itself, points_of
from mammo.datasets.film import read_mask
from mammo.datasets.findings import SPACING
from mammo.datasets.geometry import BOX, CIRCLE, box_of
from mammo.datasets.table_rows import FEW, Rows
from mammo.errors import UnreadableFilm
from mammo.formats.header import Header, read_headers
from mammo.tables.numbers import refuse_thousands, to_numbers
from mammo.wording import number_of, some

SAME_SHAPE = 0.01  # a mask may be smaller than its film if the ratio of its sides differs by less than this share

FEWEST = 3  # places, of which all cannot lie in one corner by chance
ROUNDED_SPACING, FAR_SPACING = 0.01, 0.05  # shares by which a spacing may differ: as rounded, and without a fault


def numbers(rows: Rows) -> pd.DataFrame:
    """Return circle, box and spacing as numbers, missing where there are none; contours give both beside their line."""
    table = pd.DataFrame(index=rows.raw.index)
    there = [ours for ours in (*CIRCLE, *BOX) if ours in rows.columns]
    refuse_thousands({rows.columns[ours]: rows.words(ours) for ours in there}, rows.refuse)
    for ours in (*CIRCLE, *BOX):
        if ours not in rows.columns:
            table[ours] = pd.array([pd.NA] * len(table), dtype="Float64")
            continue
        values = to_numbers(rows.words(ours), rows.columns.get(ours, ours), rows.refuse, rows.notes)
        table[ours] = pd.array(values, dtype="Float64")
    rows.refuse(table["radius_px"] <= 0, "radius is not above 0; leave it empty for a point")
    table = table.assign(spacing_mm=spacing_of(rows)).pipe(_with_contours, rows)
    for columns, what in ((CIRCLE[:2], "points"), (BOX, "boxes")):
        placed = table[columns].notna().any(axis=1)
        if (table.loc[placed, columns].fillna(0) <= 1).all(axis=None):
            rows.refuse(placed, f"all {what} lie within one pixel, so they seem to be fractions of the film; "
                        "give pixels: x times its width, y times its height")  # fmt: skip
    return table


def spacing_of(rows: Rows) -> pd.Series:
    """Return the side of a pixel of each row in mm, missing where the table has none."""
    if "spacing_mm" not in rows.columns:
        return pd.Series(pd.NA, index=rows.raw.index, dtype="Float64")
    words = rows.words("spacing_mm").str.replace(r"^[\[(\s]+|\s*(mm)?[\])\s]*$", "", regex=True)
    pairs = words.str.extract(r"^(\d+[.,]?\d*)\s*(?:[\\x*;/]|,\s)\s*(\d+[.,]?\d*)$")
    both = pairs[1].notna()
    rows.refuse(both & (pairs[0] != pairs[1]), "pixels are not square; resample the film, or leave its spacing empty")
    column = rows.columns.get("spacing_mm", "spacing")
    values = to_numbers(words.mask(both, pairs[0]), column, rows.refuse, rows.notes)
    low, high = SPACING
    rows.refuse(
        (values < low) | (values > high), f"{column} is not from {low:g} to {high:g}; expected millimetres, say 0.07"
    )
    return pd.Series(pd.array(values, dtype="Float64"), index=words.index)


def other_spacings(table: pd.DataFrame, told: pd.Series, notes: list[str]) -> list[str]:
    """Note the images whose spacing is another than their headers tell; return a line for each that is far from it."""
    films = table.assign(told=told).drop_duplicates("path")
    ratio = (films["spacing_mm"] / films["told"]).astype(float)
    odd = films[(ratio - 1).abs() > ROUNDED_SPACING]
    if odd.empty:
        return []
    notes.append(
        f"the spacing_mm of {number_of(len(odd), 'image')} differs from that of their headers, "
        f"{odd['image_id'].iloc[0]} for example; the table counts"
    )
    return [
        f"{image_id}: the spacing of the table is {own:.4g} mm, and that of the header {header:.4g} mm"
        for image_id, own, header in odd[["image_id", "spacing_mm", "told"]].itertuples(index=False)
        if abs(own / header - 1) > FAR_SPACING
    ]


def _with_contours(table: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    """Return the table with `contour_px`, x and y of point after point, and the box and enclosing circle of each."""
    words = rows.words("contour").dropna()
    if not len(words):
        return table
    table["contour_px"] = pd.Series(pd.NA, index=table.index, dtype="string")
    for number, word in words.items():
        column = rows.columns["contour"]
        here = rows.raw.index == number
        try:
            points = points_of(word).astype(np.float32)
        except ValueError as error:
            rows.refuse(here, f"{column} {error}; {FORMS}")
            raise
        rows.refuse(
            here & crosses_itself(points),
            f"{column} crosses itself, so its inside is not known; give its points in the order of the line, once",
        )
        rows.refuse(here & (cv2.contourArea(points) == 0), "the contour has no area; give points around the finding")
        placed = table.loc[number, [*CIRCLE, *BOX]].notna().any()
        rows.refuse(here & placed, f"{column} and a circle or box: give one of them")
        (x, y), radius = cv2.minEnclosingCircle(points)
        table.loc[number, [*CIRCLE, *BOX]] = [x, y, radius, *points.min(axis=0), *points.max(axis=0)]
        table.loc[number, "contour_px"] = _line(points)
    rows.notes.append(f"{len(words)} contours give boxes and enclosing circles; a detector learns their own shape")
    return table


def _line(points: np.ndarray) -> str:
    """Return points (n, 2) as `contour_px` has them."""
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in points)


def turned(rows: Rows, table: pd.DataFrame, heights: pd.Series) -> pd.DataFrame:
    """Return the table with y from the top of the film, where it was counted from its bottom.

    A point is a pixel, the last row of which is `height - 1`, and so are the points of a contour, which its box has; a
    box of its own has edges, the lowest of which is `height`. Places on films of unknown height are left out.
    """
    ends = heights - table["contour_px"].notna().astype(int) if "contour_px" in table else heights
    points = heights - 1 - table["y_px"]
    table = table.assign(y_px=points, y0_px=ends - table["y1_px"], y1_px=ends - table["y0_px"])
    if "contour_px" in table:
        for number in table.index[table["contour_px"].notna() & heights.notna()]:
            line = np.array([one.split(",") for one in table.at[number, "contour_px"].split()], float)
            table.at[number, "contour_px"] = _line(line * (1, -1) + (0, heights[number] - 1))
    lost = heights.isna() & table[["x_px", "x0_px"]].notna().any(axis=1)
    if lost.any():
        table.loc[lost, table.columns.intersection([*CIRCLE, *BOX, "contour_px"])] = pd.NA
        rows.notes.append(
            f"{number_of(int(lost.sum()), 'place is', 'places are')} left out, row {lost.idxmax()} "
            "for example: data.origin=bottom needs the "
            "height of the film"
        )
    return table


def refuse_per_cent(rows: Rows, table: pd.DataFrame, heights: pd.Series, widths: pd.Series) -> None:
    """Refuse places that all lie within 100 pixels of a corner of much larger films: they seem to be per cent."""
    smaller = pd.concat([heights, widths], axis=1).min(axis=1)
    for columns, what in ((CIRCLE[:2], "points"), (BOX, "boxes")):
        placed = table[columns].notna().all(axis=1)
        within = table.loc[placed, columns].le(100).all(axis=None) and smaller[placed].fillna(0).ge(5 * 100).all()
        if placed.sum() >= FEWEST and within:
            rows.refuse(placed, f"all {what} lie within 100 pixels of a corner, so they seem to be per cent of the "
                        "film; give pixels: x / 100 times its width, y / 100 times its height")  # fmt: skip


def check_places(rows: Rows, table: pd.DataFrame, heights: pd.Series, widths: pd.Series) -> None:
    """Refuse a place that is incomplete, turned or not on its film; films of unknown size are not checked."""
    for columns in (["x_px", "y_px"], BOX):
        lacking = table[columns].isna().sum(axis=1).between(1, len(columns) - 1)
        rows.refuse(lacking, f"one of {', '.join(columns)} is missing; give all of them or none")
    rows.refuse(table["radius_px"].notna() & table["x_px"].isna(), "there is a radius without x and y")
    smaller = pd.concat([heights, widths], axis=1).min(axis=1)
    circle = table["radius_px"].mask(table["contour_px"].notna()) if "contour_px" in table else table["radius_px"]
    rows.refuse(2 * circle > smaller, "the circle is larger than the film; give its radius in pixels of the film")
    flat = (table["x1_px"] <= table["x0_px"]) | (table["y1_px"] <= table["y0_px"])
    rows.refuse(
        flat, "the box ends before it begins: xmax is not above xmin, or ymax not above ymin; are they swapped?"
    )
    last_x, last_y = (sizes.astype("Float64").fillna(np.inf) for sizes in (widths, heights))
    hint = "pixels of the film are counted from its top left corner; data.origin=bottom counts y from below"
    outside = ~(table["x_px"].between(0, last_x, "left") & table["y_px"].between(0, last_y, "left"))
    _refuse_outside(rows, table["x_px"].notna() & outside, "the point", heights, widths, hint)
    outside = (table["x0_px"] < 0) | (table["y0_px"] < 0) | (table["x1_px"] > last_x) | (table["y1_px"] > last_y)
    _refuse_outside(rows, outside, "the box", heights, widths, hint)


def _refuse_outside(rows: Rows, wrong: pd.Series, what: str, heights: pd.Series, widths: pd.Series, hint: str) -> None:
    mask = wrong.fillna(False).to_numpy(bool)
    size = f"{widths[mask].iloc[0]} x {heights[mask].iloc[0]}" if mask.any() else ""
    rows.refuse(mask, f"{what} is not on its film of {size} pixels; {hint}")


def check_masks(rows: Rows, table: pd.DataFrame, films: Mapping[str, Header]) -> pd.DataFrame:
    """Return the table without masks of another size than their film; those of the same shape leave their box.

    A mask that does not exist, cannot be read, or is empty where it is scaled, is left out. All is noted.
    """
    given = table["mask_path"].dropna()
    masks = dict(zip(given.unique(), read_headers(list(given.unique())), strict=True))
    scaled, other, unusable = list[str](), list[str](), dict[str, str]()
    for number, path in given.items():
        film, mask = films[str(table.loc[number, "path"])], masks[path]
        if mask.refused is None and (film.refused or (film.height, film.width) == (mask.height, mask.width)):
            continue
        table.loc[number, "mask_path"] = pd.NA
        if mask.refused is not None:
            unusable[str(number)] = f"{path}: {mask.refused}"
        elif abs(film.height / mask.height / (film.width / mask.width) - 1) > SAME_SHAPE:
            other.append(str(number))
        elif table.loc[number, ["x0_px", "radius_px"]].isna().all():
            try:
                table.loc[number, BOX] = _box_on_film(path, film, mask)
                scaled.append(str(number))
            except UnreadableFilm as error:
                unusable[str(number)] = str(error)
    for rows_of, why in ((scaled, "the box is scaled"), (other, "not used")):
        if rows_of:
            one, more = "mask has another size than its film, row", "masks have another size than their films, rows"
            rows.notes.append(f"{len(rows_of)} {one if len(rows_of) == 1 else more} {some(rows_of, FEW)}: {why}")
    if unusable:
        number, why = next(iter(unusable.items()))
        what = "1 mask gives" if len(unusable) == 1 else f"{len(unusable)} masks give"
        rows.notes.append(f"{what} no place: row {number}: {why}")
    return table


def _box_on_film(path: str, film: Header, mask: Header) -> np.ndarray:
    """Return the `BOX` around a smaller mask of a film in pixels of the film.

    Raises:
        UnreadableFilm: The mask cannot be read, or is empty.
    """
    edges = np.array(box_of(read_mask(path))) * (film.width / mask.width)
    if not len(edges):
        raise UnreadableFilm(f"{path} is empty; expected levels above 0 on the finding")
    return np.minimum(edges, [film.width, film.height] * 2)
