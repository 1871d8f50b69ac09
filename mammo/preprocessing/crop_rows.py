"""Rows of the table of samples, made from rows of the findings table and the squares that were cut for them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from mammo.datasets.labels import Labels
from mammo.errors import InputError
from mammo.preprocessing.squares import Square
from mammo.wording import number_of

LEAST_PX = 8  # the side of a window
# Numbers of `squares.NUMBERS` that describe a sample without looking at a lesion.
SHORTCUTS = ["breast_mm2", "across", "down", "size_px", "mean_grey", "black", "contrast"]
KEPT = [
    *("dataset", "patient", "exam", "laterality", "view", "split", "density", "finding", "severity", "severity_source"),
    *("radius_px", "spacing_mm"),
]


def require_spacing(rows: pd.DataFrame, window_mm: float) -> None:
    """Refuse images whose pixels have no known size, or one that leaves a window without pixels."""
    if rows["spacing_mm"].isna().any():
        image = rows.loc[rows["spacing_mm"].isna(), "image_id"].iloc[0]
        raise InputError(
            f"image {image} has no spacing_mm, but this crop is cut in millimetres; "
            "set data.spacing_mm to the side of a pixel in mm, or use crop=whole"
        )
    if len(coarse := rows[rows["spacing_mm"] * LEAST_PX > window_mm]):
        raise InputError(
            f"crop.window_mm={window_mm} is less than {LEAST_PX} pixels of image {coarse['image_id'].iloc[0]}, whose "
            f"spacing_mm is {coarse['spacing_mm'].iloc[0]}; use a larger window"
        )


def class_rows(rows: pd.DataFrame, labels: Labels) -> tuple[pd.DataFrame, list[str]]:
    """Return the row of each image that gives it its class, and a note of images whose words give none."""
    images = labels.of_images(rows)
    lost = images.loc[images["label"].isna(), "image_id"]
    lost = lost[lost.isin(rows.dropna(subset="label")["image_id"])] if labels.words else lost[:0]
    said = (
        f"{number_of(len(lost), 'image is', 'images are')} left out, for their findings differ "
        f"in {labels.column}, or lack it"
    )
    return images.dropna(subset="label"), [f"{said} ({', '.join(lost)})"] if len(lost) else []


def name_mark(findings: pd.DataFrame) -> str:
    """Return the mark between the image and the number of a finding in a sample's name; it keeps names distinct."""
    return "#" if findings["image_id"].str.contains(".", regex=False).any() else "."


class Row(dict[str, Any]):
    """The values of a table's row by column, and its index as `name`. Making a Series takes ten times as long."""

    def __init__(self, values: Iterable[tuple[str, Any]], name: Any) -> None:
        super().__init__(values)
        self.name = name


def rows_of(table: pd.DataFrame) -> Iterator[Row]:
    """Return the rows of a table, one by one."""
    columns = list(table)
    each = zip(*(table[column] for column in columns), strict=True)
    return (Row(zip(columns, values, strict=True), name) for name, values in zip(table.index, each, strict=True))


def zipped(rows: pd.DataFrame, values: Sequence[Any]) -> Iterator[tuple[Row, Any]]:
    """Return each row with its value."""
    return zip(rows_of(rows), values, strict=True)


def sample_row(row: Row, square: Square, name: str, patch: int = 0, inner: Sequence[Square] = ()) -> dict[str, Any]:
    """Return a sample's row of the table, with its pixels, its further windows and its order among the findings."""
    numbers = {key: value for key, value in square.numbers.items() if key in ("x_px", "y_px", *SHORTCUTS)}
    numbers["size_px"] = round(numbers["size_px"])
    identity = {"name": str(name), "image_id": row["image_id"], "finding_id": row["finding_id"], "patch": patch}
    kept = {key: row[key] for key in [*KEPT, "label"]}
    return (
        identity
        | kept
        | numbers
        | {
            "_pixels": square.pixels,
            "_inner": tuple(one.pixels for one in inner),  # one object for all samples without
            "_order": row.name,
        }
    )
