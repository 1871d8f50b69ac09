"""The rows of a split, and the films that they name."""

from pathlib import Path

import pandas as pd

from mammo.auditing.sides import part_of
from mammo.datasets.findings import STRING
from mammo.errors import InputError
from mammo.tables.spellings import SPLITS
from mammo.tables.spreadsheet import read_spreadsheet


def read_split(path: Path) -> pd.DataFrame:
    """Return the rows of a split as text: `image_id, patient, finding_id, patch, copy, split`, missing if unknown.

    Names are never parsed: the finding, patch and copy of a row come from its columns alone.

    Args:
        path: A table (CSV, XLSX or Parquet) with `image_id` (or `sample_id` in its place) and `split` (or
            `official_split`), or a run folder with a split.csv.

    Raises:
        InputError: The file does not exist, a column or value is missing, or a split is unknown.
    """
    path = path / "split.csv" if path.is_dir() else path
    return split_rows(read_spreadsheet(path, "a split").rows, str(path))


def split_rows(table: pd.DataFrame, path: str) -> pd.DataFrame:
    """Return the rows of a split as `read_split` does, from a table that is called `path` in errors.

    Raises:
        InputError: A column or value is missing, or a split is unknown.
    """
    named = table.rename(columns={"official_split": "split"} if "split" not in table else {})
    named = named.rename(columns={"sample_id": "image_id"} if "image_id" not in table else {})
    if not {"split", "image_id"} <= set(named):
        raise InputError(
            f"{path}: expected the columns split and image_id, found {', '.join(table)}; a run's split.csv has them"
        )
    if "fold" in named and named["fold"].nunique() > 1:
        raise InputError(
            f"{path}: expected one fold, found {named['fold'].nunique()}; audit the rows of each fold separately"
        )
    if not len(named):
        raise InputError(f"{path}: expected a row for each image, found a header alone; name the table of the split")
    columns = ["image_id", "patient", "finding_id", "patch", "copy", "split"]
    rows = pd.DataFrame({column: named.get(column, pd.NA) for column in columns}, index=named.index).astype(STRING)
    rows = rows.apply(lambda words: words.str.strip().replace("", pd.NA))
    for column in ("image_id", "split"):
        if rows[column].isna().any():
            raise InputError(f"{path}: row {rows[column].isna().idxmax()} has no {column}; every row needs one")
    known = rows["split"].map(lambda word: SPLITS.get(word.casefold()) or part_of(word), na_action="ignore")
    known = known.astype(STRING)
    if known.isna().any():
        wrong = rows.loc[known.isna(), "split"].iloc[0]
        raise InputError(f"{path}: split '{wrong}' is unknown; expected one of {', '.join(SPLITS)}")
    return rows.assign(split=known)


def place(films: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the films with the splits of `rows`, and with the patients of `rows` where the films' own are unknown.

    The image_id of a row is a film's name, its name without the extension, or the stem of its file; it becomes the
    image_id of the film. A film in two splits gets both, joined by a plus.

    Raises:
        InputError: The rows name none of the films.
    """
    splits = rows.groupby("image_id")["split"].agg(lambda named: "+".join(sorted(set(named))))
    patients = rows.dropna(subset="patient").drop_duplicates("image_id").set_index("image_id")["patient"]
    known = set(rows["image_id"])
    bare = films["name"].str.replace(r"\.\w+$", "", regex=True)
    key = films["image_id"].where(~bare.isin(known), bare).where(~films["name"].isin(known), films["name"])
    if not key.isin(known).any():
        raise InputError(
            f"the split names none of the {len(films)} films: expected image_ids such as {key[0]}, "
            f"found {rows['image_id'][0]}; give the split of these films"
        )
    patient = films["patient"].fillna(key.map(patients).astype(STRING))
    return films.assign(image_id=key, split=key.map(splits).astype(STRING), patient=patient)
