"""The findings table: one row per finding, or per image without a finding. No pixel is read for it.

Lengths are in pixels from the top left corner, spacing is in millimetres. Columns that describe an image (not the
finding) are constant within it. `image_id` and `patient` are unique across data sets, and nothing parses them.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from mammo.errors import InputError
from mammo.tables.spellings import NOTHING
from mammo.tables.spreadsheet import read_spreadsheet

PARTS = ("train", "val", "test")
KEY = ["dataset", "image_id", "finding_id"]
SAMPLE = ["image_id", "finding_id", "patch", "copy"]  # the key of a sample in every table; 0: no finding, patch or copy
STRING, INTEGER, REAL = "string", "Int64", "Float64"  # pandas types that allow missing values
COLUMNS = {
    "dataset": STRING,
    "image_id": STRING,
    "finding_id": INTEGER,  # 1, 2, ... within the image; 0 if it has no finding
    "path": STRING,
    "patient": STRING,
    "exam": STRING,
    "laterality": STRING,
    "view": STRING,  # MLO, CC, ML, XCCL, ...
    "density": STRING,
    "finding": STRING,
    "severity": STRING,  # missing means unknown, not normal
    "severity_source": STRING,
    "x_px": REAL,  # centre of a circle, or a point
    "y_px": REAL,
    "radius_px": REAL,
    "x0_px": REAL,  # edges of a box
    "y0_px": REAL,
    "x1_px": REAL,
    "y1_px": REAL,
    "mask_path": STRING,
    "spacing_mm": REAL,  # side of a pixel; missing if unknown
    "official_split": STRING,
}
IMAGE_COLUMNS = ["path", "patient", "exam", "laterality", "view", "density", "spacing_mm", "official_split"]
ALLOWED = {
    "laterality": {"left", "right"},
    "severity": {"normal", "benign", "malignant"},
    "severity_source": {"pathology", "follow_up", "reading", "birads", "patient_label", "unstated"},
    "official_split": set(PARTS),
}
IDENTITY = ["dataset", "image_id", "path", "patient", "exam"]  # names; NA may be one
SPACING = (0.01, 1.0)  # millimetres; beyond, a spacing has another unit
REQUIRED = ["dataset", "image_id", "finding_id", "path", "patient"]
TOGETHER = [["x_px", "y_px"], ["x0_px", "y0_px", "x1_px", "y1_px"]]


def findings_table(rows: list[dict[str, object]] | pd.DataFrame) -> pd.DataFrame:
    """Validate `rows` and return them as a table; absent columns become missing values, further columns are kept.

    Raises:
        InputError: A value is unknown or missing, a point or box is incomplete, a key occurs twice, or the rows of an
            image disagree. The message names the image.
    """
    if not isinstance(rows, list | pd.DataFrame):
        raise InputError(f"findings table: found {type(rows).__name__}; expected a DataFrame, a row for each finding")
    given = (pd.DataFrame(rows, dtype=object) if isinstance(rows, list) else rows).reset_index(drop=True)
    absent = pd.Series(pd.NA, given.index, object)
    cells = {name: _typed(given.get(name, absent), name, kind) for name, kind in COLUMNS.items()}
    table = pd.DataFrame({**cells, **{name: given[name] for name in given if name not in COLUMNS}})
    for column in REQUIRED:
        _refuse(table, table[column].isna(), f"has no {column}; every row needs one")
    for column, values in ALLOWED.items():
        wrong = ~table[column].isin(values) & table[column].notna()
        _refuse(table, wrong, f"has {column} '{{{column}}}'; expected one of {sorted(values)}")
    for columns in TOGETHER:
        _refuse(table, table[columns].isna().sum(axis=1).between(1, len(columns) - 1), f"lacks one of {columns}")
    flat = (table["x1_px"] <= table["x0_px"]) | (table["y1_px"] <= table["y0_px"])
    _refuse(table, flat, "has a box whose x1_px or y1_px is not above its x0_px or y0_px")
    places = table[[column for columns in TOGETHER for column in columns] + ["radius_px"]].to_numpy(float, na_value=0)
    _refuse(table, pd.Series(~np.isfinite(places).all(axis=1)), "has a place that is not finite; leave it empty")
    _refuse(table, table["radius_px"] <= 0, "has radius_px {radius_px}; expected above 0, or none for a point")
    _refuse(table, table["finding_id"] < 0, "has finding_id {finding_id}; expected 1, 2, ..., or 0 without a finding")
    odd = ~table["spacing_mm"].between(*SPACING) & table["spacing_mm"].notna()
    _refuse(table, odd, f"has spacing_mm {{spacing_mm}}; expected millimetres, {SPACING[0]} to {SPACING[1]}")
    _refuse(table, table.duplicated(KEY), "has two rows with finding_id {finding_id}; expected one")
    several = table[table.duplicated("image_id", keep=False)]
    if several.empty:
        return table
    distinct = several.groupby("image_id", sort=False)[["dataset", *IMAGE_COLUMNS]].nunique(dropna=False)
    images, columns = (distinct > 1).to_numpy().nonzero()
    if len(images):
        image_id, column = distinct.index[images[0]], distinct.columns[columns[0]]
        raise InputError(f"findings table: rows of image {image_id} disagree on its {column}; expected one value")
    return table


def _typed(column: pd.Series, name: str, kind: str) -> pd.Series:
    """Return a column with its type; refuse one whose values have another."""
    try:
        typed = column.astype(kind)
        fractions = kind == INTEGER and pd.api.types.is_float_dtype(column)
        if fractions and not (typed == column).fillna(True).all():  # pandas cuts those of a Float64
            raise ValueError("such as 0.5")
        return typed
    except (TypeError, ValueError) as error:
        expected = "whole numbers" if kind == INTEGER else "numbers" if kind == REAL else "words"
        raise InputError(f"findings table: the column {name} has other values than {expected} ({error})") from None


def _refuse(table: pd.DataFrame, wrong: pd.Series, why: str) -> None:
    """Raise an error that names the image of the first wrong row, if there is one."""
    found = wrong.to_numpy(bool, na_value=False)
    if found.any():
        row = table[found].iloc[0]
        raise InputError(f"findings table: {row['image_id']} {why.format_map(row)}")


def read_findings(path: Path) -> pd.DataFrame:
    """Read and validate the findings table of a file (CSV, XLSX or Parquet) that has the names of `COLUMNS`.

    Raises:
        InputError: The file cannot be read, or is not a findings table.
    """
    words = read_spreadsheet(path, "a findings table").rows
    for name in [one for one in words if one not in IDENTITY]:
        codes, known = pd.factorize(words[name])  # each word is looked at once; the code of a missing one is -1
        different = pd.Series(known, dtype=words[name].dtype)
        nothing = np.array([word.casefold() in NOTHING or word == "None" for word in different], bool)
        different = different.mask(nothing)
        if COLUMNS.get(name) != STRING:
            different = _numbers(different)
        words[name] = pd.Series(different.array.take(codes, allow_fill=True), words.index)
    try:
        return findings_table(words)
    except (TypeError, ValueError) as error:  # InputError is a ValueError
        raise InputError(f"{path}: expected a findings table; {str(error).strip()}") from None


def _numbers(words: pd.Series) -> pd.Series:
    """Return words as numbers; as they are, if one of them is no number."""
    if words.isna().all():
        return words.astype(REAL)
    for some in (words[:100], words):  # the first ones tell of most columns that they are no numbers
        numbers = pd.to_numeric(some, errors="coerce")
        if not (numbers.isna() == some.isna()).all():
            return words
    return numbers
