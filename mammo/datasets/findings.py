"""The findings table: one row per finding, or per film without one, known before a pixel is read.

Lengths in pixels from the top left corner, spacing in millimetres. Columns that describe a film (all but
those of the finding) are constant within it; `patient` is unique across data sets.
"""

from pathlib import Path

import pandas as pd

from mammo.errors import InputError

PARTS = ("train", "val", "test")
KEY = ["dataset", "image_id", "finding_id"]
SAMPLE = ["image_id", "finding_id", "patch", "copy"]  # name a sample in every table; 0: no finding, patch or copy
STRING, INTEGER, REAL = "string", "Int64", "Float64"  # pandas types that hold a missing value
COLUMNS = {
    "dataset": STRING,
    "image_id": STRING,
    "finding_id": INTEGER,  # 1, 2, ... within the film; 0 where the film has no finding
    "path": STRING,
    "patient": STRING,
    "side": STRING,
    "view": STRING,
    "density": STRING,
    "finding": STRING,
    "severity": STRING,
    "x_px": REAL,
    "y_px": REAL,
    "radius_px": REAL,
    "x0_px": REAL,
    "y0_px": REAL,
    "x1_px": REAL,
    "y1_px": REAL,
    "mask_path": STRING,
    "spacing_mm": REAL,
    "official_split": STRING,
}
IMAGE_COLUMNS = ["path", "patient", "side", "view", "density", "spacing_mm", "official_split"]
ALLOWED = {
    "side": {"left", "right"},
    "view": {"MLO", "CC"},
    "severity": {"normal", "benign", "malignant"},
    "official_split": set(PARTS),
}
REQUIRED = ["dataset", "image_id", "finding_id", "path", "patient", "severity"]


def findings_table(rows: list[dict[str, object]] | pd.DataFrame) -> pd.DataFrame:
    """The validated table of `rows`; columns that a data set does not know are missing values.

    Raises:
        InputError: An unknown column or value, a missing required value, a repeated key, or a film that
            contradicts itself; the line names the film.
    """
    given = pd.DataFrame(rows, dtype=object) if isinstance(rows, list) else rows
    unknown = set(given.columns) - set(COLUMNS)
    if unknown:
        raise InputError(f"findings table: unknown columns {sorted(unknown)}; expected some of {list(COLUMNS)}")
    table = pd.DataFrame({name: given.get(name, pd.NA) for name in COLUMNS}, index=range(len(given))).astype(COLUMNS)
    for column in REQUIRED:
        if table[column].isna().any():
            film = table.loc[table[column].isna(), "image_id"].iloc[0]
            raise InputError(f"findings table: no {column} for {film}; every row needs one")
    for column, values in ALLOWED.items():
        wrong = table.loc[~table[column].isin(values) & table[column].notna(), ["image_id", column]]
        if len(wrong):
            image_id, value = wrong.iloc[0]
            raise InputError(f"findings table: {image_id} has {column} '{value}'; expected one of {sorted(values)}")
    repeated = table.duplicated(KEY)
    if repeated.any():
        raise InputError(f"findings table: two rows have the key {tuple(table.loc[repeated, KEY].iloc[0])}")
    distinct = table.groupby("image_id", sort=False)[IMAGE_COLUMNS].nunique(dropna=False)
    films, columns = (distinct > 1).to_numpy().nonzero()
    if len(films):
        raise InputError(
            f"findings table: rows of film {distinct.index[films[0]]} disagree on its {distinct.columns[columns[0]]}"
        )
    return table


def read_findings(path: Path) -> pd.DataFrame:
    """The validated findings table of a CSV file.

    Raises:
        InputError: It cannot be read, or is no findings table; names the file.
    """
    try:
        return findings_table(pd.read_csv(path, dtype=COLUMNS))
    except (OSError, TypeError, ValueError) as error:  # pandas' errors of parsing are ValueErrors, as is InputError
        raise InputError(f"{path}: expected a findings table (CSV); {str(error).strip()}") from None
