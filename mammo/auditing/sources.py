"""The films of a table or folder with their patients and splits, and the rows of a split."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mammo.datasets.base import Chosen, Dataset, load_findings
from mammo.datasets.findings import REQUIRED, STRING, read_findings
from mammo.datasets.folder import walk
from mammo.datasets.mias_info import FILM, parse_info
from mammo.datasets.table import Table
from mammo.errors import InputError
from mammo.formats.header import begins_as_film, read_headers
from mammo.paths import home
from mammo.tables.patients import alike
from mammo.tables.spellings import SPLITS
from mammo.tables.spreadsheet import read_spreadsheet

PICTURES = {".pgm", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
DICOM = {".dcm", ".dicom"}
FILMS = ["name", "image_id", "path", "patient", "split"]
FEW = 5  # names and reasons that a note lists


@dataclass
class Films:
    """The films of a folder, a table or a data set.

    Attributes:
        table: One row per film: `name, image_id, path, patient, split`, the last two missing if unknown.
        notes: What a user must know of them, one line each.
        leaks: The leaks that the folders alone tell, one line each.
        unreadable: The folders that could not be looked into, one line each.
        source: The file or folder that the films come from.
        sources: That of each film, if they come from several.
    """

    table: pd.DataFrame
    notes: list[str]
    source: Path
    leaks: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    sources: list[Path] = field(default_factory=list)

    def source_of_each(self) -> list[Path]:
        """Return the file or folder that each film comes from."""
        return self.sources or [self.source] * len(self.table)


def find_films(source: Path) -> Films:
    """Return the films of a table or of a folder.

    In a folder, all films below it count, whatever their names: the content decides. A sub-folder named train,
    training, val, dev or test (see `SPLITS`) is a split, and mini-MIAS's Info.txt gives the patients of its films.

    Raises:
        InputError: The table or folder does not exist, or has no film.
    """
    if source.is_dir():
        return _of_folder(source)
    if not source.is_file():
        raise InputError(f"{source}: expected a table of films, a folder of films or a data set, found nothing")
    if not set(REQUIRED) <= set(read_spreadsheet(source, "a findings table or a table of films").rows):
        return films_of(Table(str(source)))
    table = read_findings(source).drop_duplicates("image_id")
    films = table[["image_id", "path", "patient"]].assign(name=table["image_id"], split=table["official_split"])
    if films.empty:
        raise InputError(f"{source}: expected a row for each film, found no film; name another table")
    films["path"] = [str(source.parent / path) for path in films["path"]]
    return Films(films[FILMS].astype(STRING).reset_index(drop=True), [], source)


def films_of(dataset: Dataset, chosen: Chosen | None = None) -> Films:
    """Return the films of a data set whose findings name their files.

    Args:
        dataset: The data set.
        chosen: The images to look at and the notes of their choice; None takes all.

    Raises:
        InputError: The findings name no files.
    """
    dataset.prepare()
    table = (load_findings(dataset) if chosen is None else chosen.findings).drop_duplicates("image_id")
    if table["path"].isna().any():
        raise InputError(f"data set {dataset.name}: its findings have no path for each image; name the folder of films")
    members = getattr(dataset, "members", {})  # of a union
    owners = [members.get(name, dataset) for name in table["dataset"]]
    films = table[["image_id", "path", "patient"]].assign(name=table["image_id"], split=table["official_split"])
    films["path"] = [_placed(path, owner) for path, owner in zip(films["path"], owners, strict=True)]
    notes = list(getattr(dataset, "notes", ())) if chosen is None else list(chosen.notes)
    each = [_source_of(one) for one in owners] if members else []
    return Films(films[FILMS].astype(STRING).reset_index(drop=True), notes, _source_of(dataset), sources=each)


def _placed(path: str, dataset: Dataset) -> str:
    """Return the path of a film, from the data set's folder if it lies there."""
    inner = Path(getattr(dataset, "root", None) or ".") / path
    return str(inner if inner.is_file() else path)


def _source_of(dataset: Dataset) -> Path:
    """Return the table or the folder by which what is known of a data set's films is kept."""
    if isinstance(dataset, Table):  # an archive's `table` is the name of a file below its root
        return Path(dataset.table).expanduser()
    return Path(getattr(dataset, "root", None) or home() / dataset.name)


def _of_folder(folder: Path) -> Films:
    found = walk(folder)
    paths, others = _films_among(found.files)
    if not paths:
        raise InputError(
            f"{folder}: expected films ({', '.join(sorted(PICTURES | DICOM))}), found none; name another folder"
        )
    inner = [path.relative_to(folder) for path in paths]
    splits = [_named(folder, path.parent.relative_to(folder)) for path in paths]
    patients, notes = _mias_patients(folder / "Info.txt", inner)
    table = pd.DataFrame({
        "name": [path.as_posix() for path in inner],
        "image_id": [path.stem for path in inner],
        "path": [str(path) for path in paths],
        "patient": [patients.get(path.stem) for path in inner],
        "split": splits,
    }, columns=FILMS, dtype=STRING)  # fmt: skip
    films = Films(table, notes, folder, unreadable=[f"{path}: {why}" for path, why in found.closed.items()])
    if found.hidden:
        notes.append(f"{found.hidden} hidden files and folders, whose names begin with a dot, are passed over")
    if found.masks:
        notes.append(f"{found.masks} folders called masks are passed over, as they hold no films")
    if others:
        notes.append(f"{len(others)} files are no films and are passed over: {_some(map(str, others))}")
    for path, first in found.again.items():
        one, other = (_named(folder, each.relative_to(folder)) for each in (path, first))
        said = f"{path.relative_to(folder)} is the same folder as {first.relative_to(folder)}"
        if one != other:
            films.leaks.append(f"one folder is in two splits: {said} ({one or 'no split'}, {other or 'no split'})")
        else:
            notes.append(f"{said}, and is looked at once")
    empty = sorted(
        one.name for one in folder.iterdir()
        if one.is_dir() and SPLITS.get(one.name.lower(), splits[0]) not in splits
    )  # fmt: skip
    notes += [f"the folder {one} has no film" for one in empty]
    return films


def _named(folder: Path, inner: Path) -> str | None:
    """Return the split that the names of folders tell, or None."""
    named = {SPLITS[part.lower()] for part in inner.parts if part.lower() in SPLITS}
    if len(named) > 1:
        raise InputError(f"{folder / inner}: expected one split in its path, found {sorted(named)}; rename a folder")
    return next(iter(named), None)


def _films_among(files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the files that are films or should be, and those that are something else."""
    films, others, unnamed = list[Path](), list[Path](), list[Path]()
    for path in files:
        ending = path.suffix.lower()
        if ending in PICTURES:
            films.append(path)
        else:
            (unnamed if ending in DICOM or begins_as_film(path) else others).append(path)
    for path, header in zip(unnamed, read_headers(unnamed), strict=True):
        # A DICOM file without rows, such as a report or an index, has no picture.
        (others if header.format == "DICOM" and not header.height else films).append(path)
    return sorted(films), sorted(others)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:FEW]) + ", ..." * (len(listed) > FEW)


def alike_across(rows: pd.DataFrame) -> list[str]:
    """Return a note for each group of patients whose names are almost the same, with the splits of each.

    Args:
        rows: A table with `patient` and `split`.
    """
    known = rows.dropna(subset="patient")
    splits = known.groupby("patient")["split"].agg(lambda of: "+".join(sorted(set(of.dropna()))))
    groups = alike(splits.index)
    groups.sort(key=lambda group: len({splits[one] for one in group}) == 1)  # those of several splits first
    lines = []
    for group in groups[:FEW]:
        named = " and ".join(f"{one} ({splits[one]})" if splits[one] else one for one in group)
        lines.append(f"{named}: one patient? They are taken as different")
    if len(groups) > FEW:
        lines.append(f"{len(groups) - FEW} more groups of patients have almost the same names")
    return lines


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
    rows = rows.apply(lambda words: words.str.strip().replace("", pd.NA))
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
