"""The boxes in an archive's table, held against the sizes of its films. Lengths are in pixels."""

import pandas as pd

from mammo.datasets.geometry import BOX
from mammo.errors import InputError
from mammo.wording import number_of

SIZE = ["height", "width"]
MOST = 0.01  # share of the films with another size than in the table, above which it is not their table


def resized(table: pd.DataFrame, headers: pd.Series, where: str, notes: list[str]) -> pd.Series:
    """Tell of which images the film has another size than the table says.

    Args:
        table: One row per image, with `image_id`, `height` and `width` as the archive states them.
        headers: The header of each film; None for one that is not there.
        where: The archive and its table, for messages.
        notes: Gets a line if there are such films.

    Raises:
        InputError: There are too many, so the films were resized and no box fits.
    """
    sizes = pd.DataFrame({one: headers.map(lambda header, of=one: getattr(header, of, 0) or pd.NA) for one in SIZE})
    sizes = sizes.astype("Float64")
    wrong = ((sizes != table[SIZE]) & sizes.notna() & table[SIZE].notna()).any(axis=1)
    if wrong.any():
        first = wrong.idxmax()
        film, row = (" x ".join(f"{one.at[first, side]:.0f}" for side in SIZE) for one in (sizes, table))
        said = (
            f"{number_of(int(wrong.sum()), 'film')} of another size than in {where}, {table.at[first, 'image_id']} for "
            f"example: {film} pixels (height x width) instead of {row}"
        )
        if wrong.sum() > MOST * sizes["height"].notna().sum():
            raise InputError(f"{said}; its boxes do not fit a resized copy: name the folder of the original films")
        notes.append(f"{said}; their boxes are left out")
    return wrong


def on_film(table: pd.DataFrame, fits: pd.Series, notes: list[str]) -> pd.DataFrame:
    """Return the table with boxes that end where their films do, and without those that have no part on their film.

    Args:
        table: Rows with the edges of a box, missing where there is none, and the `height` and `width` of the film.
        fits: False where the box must not be used.
        notes: Gets a line for each kind of change, with its count.
    """
    given = table[BOX].apply(pd.to_numeric, errors="coerce").astype("Float64")
    some = given.notna().any(axis=1)
    edges = given.clip(lower=0)
    for edge, side in zip(BOX, ("width", "height") * 2, strict=True):
        edges[edge] = edges[edge].mask((edges[edge] > table[side]).fillna(False), table[side])
    flat = (edges["x1_px"] <= edges["x0_px"]) | (edges["y1_px"] <= edges["y0_px"]) | edges.isna().any(axis=1)
    lost = some & flat.fillna(True).astype(bool)
    cut = some & ~lost & fits & (edges != given).any(axis=1).fillna(False)
    for which, what in (
        (cut, "cut at the edge of the film"),
        (lost & fits, "off the film or without an edge, left out"),
    ):
        if which.any():
            first = table.loc[which.idxmax(), "image_id"]
            notes.append(f"{number_of(int(which.sum()), 'box')} {what}, on {first} for example")
    return table.assign(**edges.mask(lost | ~fits))
