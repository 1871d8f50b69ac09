"""The films of a table or folder with their patients and splits, and the rows of a split."""

from pathlib import Path

import pandas as pd

from mammo.datasets.base import Dataset, load_findings
from mammo.datasets.findings import STRING, read_findings
from mammo.datasets.mias import FILM, parse_info
from mammo.errors import InputError
from mammo.tables.column_words import SPLITS
from mammo.tables.spreadsheet import read_spreadsheet

IMAGES = {".pgm", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
FILMS = ["name", "image_id", "path", "patient", "split"]


def find_films(source: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the films of a findings table or of a folder, and notes.

    In a folder, all images below it are films. A sub-folder named train, training, val, dev or test (see
    `SPLITS`) is a split, and mini-MIAS's Info.txt gives the patients of its films.

    Returns:
        A table of `name, image_id, path, patient, split`, the last two missing if unknown; and notes, one line each.

    Raises:
        InputError: The table or folder does not exist, or has no film.
    """
    notes: list[str] = []
    if source.is_dir():
        films, notes = _of_folder(source)
    elif source.is_file():
        table = read_findings(source).drop_duplicates("image_id")
        films = table[["image_id", "path", "patient"]].assign(name=table["image_id"], split=table["official_split"])
        if films.empty:
            raise InputError(f"{source}: expected a row for each film, found no film; name another table")
        films["path"] = [str(source.parent / path) for path in films["path"]]
    else:
        raise InputError(f"{source}: expected a findings table (CSV), a folder of films or a data set, found nothing")
    return films[FILMS].astype(STRING).reset_index(drop=True), notes


def films_of(dataset: Dataset) -> tuple[pd.DataFrame, list[str], Path]:
    """Return the films of a data set whose findings name their files, no notes, and the folder that they lie in.

    Raises:
        InputError: The findings name no files.
    """
    dataset.prepare()
    table, root = load_findings(dataset).drop_duplicates("image_id"), Path(getattr(dataset, "root", "."))
    if table["path"].isna().any():
        raise InputError(f"data set {dataset.name}: its findings have no path for each image; name the folder of films")
    films = table[["image_id", "path", "patient"]].assign(name=table["image_id"], split=table["official_split"])
    films["path"] = [str(root / path if (root / path).is_file() else path) for path in films["path"]]
    return films[FILMS].astype(STRING).reset_index(drop=True), [], root


def _of_folder(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES and path.is_file())
    if not paths:
        raise InputError(f"{folder}: expected films ({', '.join(sorted(IMAGES))}), found none; name another folder")
    inner = [path.relative_to(folder) for path in paths]
    splits = [{SPLITS[part.lower()] for part in path.parts[:-1] if part.lower() in SPLITS} for path in inner]
    for path, named in zip(inner, splits, strict=True):
        if len(named) > 1:
            raise InputError(f"{folder / path}: expected one split in its path, found {sorted(named)}; rename a folder")
    patients, notes = _mias_patients(folder / "Info.txt", inner)
    table = pd.DataFrame({
        "name": [path.as_posix() for path in inner],
        "image_id": [path.stem for path in inner],
        "path": [str(path) for path in paths],
        "patient": [patients.get(path.stem) for path in inner],
        "split": [next(iter(named), None) for named in splits],
    })  # fmt: skip
    return table, notes


def _mias_patients(info: Path, films: list[Path]) -> tuple[dict[str, str], list[str]]:
    """Return the patient of each image in Info.txt, if the file is mini-MIAS's and describes these films; and notes."""
    if not info.is_file():
        return {}, []
    try:
        rows = parse_info(info.read_text(encoding="ascii", errors="replace"), str(info))
    except InputError as error:
        return {}, [f"Info.txt is not used, because it is not that of mini-MIAS: {error}"]
    patients = {str(row["image_id"]): str(row["patient"]) for row in rows}
    named = {path.stem for path in films if FILM.fullmatch(path.name)}
    if not named or not named <= set(patients):
        other = min(named - set(patients), default=films[0].stem)
        return {}, [f"Info.txt is not used, because it does not describe these films, for example {other}"]
    return patients, []


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
    columns = ["image_id", "patient", "finding_id", "patch", "copy", "split"]
    rows = pd.DataFrame({column: named.get(column, pd.NA) for column in columns}, index=named.index).astype(STRING)
    for column in ("image_id", "split"):
        if rows[column].isna().any():
            raise InputError(f"{path}: row {rows[column].isna().idxmax()} has no {column}; every row needs one")
    known = rows["split"].str.lower().map(SPLITS).astype(STRING)
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
