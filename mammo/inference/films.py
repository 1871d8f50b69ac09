"""The films that are asked about: files, folders of files, and tables of films; one row for each file."""

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.config import DataConfig
from mammo.datasets.base import Dataset
from mammo.datasets.findings import COLUMNS, STRING
from mammo.datasets.folder import walk
from mammo.datasets.registry import open_dataset
from mammo.datasets.table_identities import patients_of
from mammo.datasets.table_places import spacing_of
from mammo.datasets.table_rows import Rows, one_value_per_image
from mammo.errors import InputError
from mammo.formats.header import Header, read_headers
from mammo.run_folder import RunFolder
from mammo.tables.paths import mode_of, modes_of, names_of
from mammo.tables.patients import alike, nobodies, somebody
from mammo.tables.spellings import NAMES, recognise
from mammo.tables.spreadsheet import read_spreadsheet
from mammo.wording import number_of

# Endings of tables; one that cannot be read is refused as a table, with what to save it as.
TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".xlsm", ".xls", ".ods", ".parquet", ".csv.gz", ".csv.xz")
OF_TABLES = ("columns", "values", "patient_from", "root")  # settings of data by which tables are read
SPACING = "spacing_mm"  # the one for films that do not give it
FACTS = ["patient", "exam", "laterality", "view", "spacing_mm"]  # known of a film before a pixel is read
TOLD = ["laterality", "view", "patient"]  # of a film that is confused with another one, a header tells otherwise
ASKED = ["path", "image_id", *FACTS]  # the columns of a table that are looked at


@dataclass
class Films:
    """The films that are asked about.

    Attributes:
        rows: One row per file: `path, image_id`, what is known of it (`FACTS`), and `refused`, the reason why it
            cannot be used if that is known before it is read.
        notes: What was understood of tables, and what was passed over, one line each.
    """

    rows: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def films_of(sources: Iterable[Path | str], data: DataConfig | None = None) -> Films:
    """Return the films of files, folders and tables, each file once.

    Args:
        sources: Paths. A folder is searched with all folders in it; a name that ends in one of `TABLES` is a table.
        data: How tables are read (`columns`, `values`, `patient_from`, `root`), and `spacing_mm`, the side of a
            pixel where a film does not give it. None lets names tell.

    Raises:
        InputError: A table cannot be used, or there is no file.
    """
    notes: list[str] = []
    parts = []
    acquisitions: dict[str, str] = {}
    if isinstance(sources, pd.DataFrame):  # whose items are names of columns
        raise InputError("found a table in memory; expected paths of films, such as table['path'], or that of a table")
    if "" in map(str, sources := list(sources)):  # which pathlib would take as the working folder
        raise InputError("the name of a film is empty; is a variable of the shell not set?")
    for source in map(Path, sources):
        path = source.expanduser()
        if stat.S_ISDIR(mode_of(path)):
            part = _of_folder(path, notes)
        elif path.name.lower().endswith(TABLES):
            part = _of_table(path, data or DataConfig(), notes)
        else:
            part = pd.DataFrame({"path": [str(path)]})
        if part.empty:
            raise InputError(f"{source}: no file is in this folder; name a folder of films, films, or a table of films")
        headers = read_headers(part["path"])
        acquisitions |= {one.path: one.acquisition for one in headers if one.acquisition}
        parts.append(with_headers(part, headers, notes))
    if not parts:
        raise InputError("no films; name films, a folder of films, or a table of films")
    rows = pd.concat(parts, ignore_index=True)
    again = rows["path"].map(os.path.abspath).duplicated()
    if again.any():
        notes.append(f"{number_of(int(again.sum()), 'file is', 'files are')} named twice, but looked at once")
    rows = rows[~again].reset_index(drop=True)
    if copies := int(rows["path"].map(acquisitions).dropna().duplicated().sum()):
        files = number_of(copies, "file states", "files state")
        notes.append(f"{files} the SOPInstanceUID of another file; a film in two files counts twice for its patient")
    if groups := alike(rows["patient"].dropna().unique()):
        more = f" (and {number_of(len(groups) - 1, 'other group')})" * (len(groups) > 1)
        notes.append(f"{' and '.join(groups[0])}{more}: one patient? They are answered apart")
    if data is not None and data.spacing_mm is not None:
        rows["spacing_mm"] = rows["spacing_mm"].fillna(data.spacing_mm)
    whole = rows["path"].map(os.path.abspath).astype(STRING)
    rows["image_id"] = _unique(rows["image_id"].fillna(names_of(whole)), whole, notes)
    return Films(rows, notes)


def _unique(names: pd.Series, paths: pd.Series, notes: list[str]) -> pd.Series:
    """Return the names of films; those that several films have, as two sources may, give way to their paths."""
    same = names.duplicated(keep=False)
    if not same.any():
        return names
    notes.append(
        f"{number_of(int(same.sum()), 'film has', 'films have')} an image_id of another film, such as "
        f"{names[same].iloc[0]}, and are named by their paths"
    )
    of_paths = names_of(paths[same])
    taken = set(names[~same]) & set(of_paths)
    return names.where(~same, (paths[same] if taken else of_paths).reindex(names.index))


def _of_folder(folder: Path, notes: list[str]) -> pd.DataFrame:
    """Return the files of a folder; one that cannot be a film by its ending is refused."""
    inside = walk(folder)
    if inside.hidden:
        hidden = number_of(inside.hidden, "hidden file or folder is", "hidden files and folders are")
        notes.append(f"{folder}: {hidden} passed over")
    if inside.masks:
        notes.append(
            f"{folder}: {number_of(inside.masks, 'folder called masks is', 'folders called masks are')} passed over"
        )
    refused = {str(path): f"its name ends in {path.suffix}, which is no film" for path in inside.others}
    refused |= inside.closed
    paths = sorted([*map(str, inside.files), *refused])
    return pd.DataFrame({"path": paths, "refused": [refused.get(path) for path in paths]})


def _of_table(path: Path, data: DataConfig, notes: list[str]) -> pd.DataFrame:
    """Return the films of a table, which has a path for each, and perhaps more of `ASKED`.

    Raises:
        InputError: The table cannot be read or understood.
    """
    sheet, said = read_spreadsheet(path, "a table of films"), list[str]()
    if sheet.rows.empty:
        raise InputError(f"{path} has a header, but no rows; expected one for each film")
    ignored = {name: None for name in NAMES if name not in ASKED}
    found = recognise(str(path), list(sheet.rows), ignored | dict(data.columns or {}))
    rows = Rows(str(path), sheet.rows, found, data.values or {}, said)
    rows.say_unused()
    if "view" not in (data.columns or {}):
        rows.doubt_view()
    if "path" not in rows.columns:
        if first := next((name for name in sheet.rows if (path.parent / name).is_file()), None):
            raise InputError(f"{path} begins with a film, {first}, and not with a header; write path above it")
        has, others = ", ".join(map(str, sheet.rows)), f"; {sheet.others}" if sheet.others else ""
        raise InputError(
            f"{path}: no column is the path of the film; name it, data.columns.path=<one of {has}>{others}"
        )
    words = rows.words("path")
    rows.refuse(words.isna(), "there is no path")
    folder = path.parent if data.root is None else Path(data.root).expanduser()
    paths = words.map({word: found for word, (found, _) in modes_of(words, folder).items()}).astype(STRING)
    named = rows.identity("image_id")
    side, view = rows.sides_and_views()
    table = pd.DataFrame(
        {
            "path": paths,
            "image_id": named if named.notna().all() else names_of(paths),
            "patient": patients_of(words, data.patient_from) if data.patient_from else rows.identity("patient"),
            "exam": rows.identity("exam"),
            "laterality": side,
            "view": view,
            "density": pd.Series(pd.NA, words.index, STRING),
            "spacing_mm": spacing_of(rows),
            "official_split": pd.Series(pd.NA, words.index, STRING),
        }
    )
    table = one_value_per_image(rows, table).drop_duplicates("path")
    notes += [f"{path}: {line}" for line in (*sheet.notes, *said)]
    return table[ASKED].reset_index(drop=True)


def with_headers(rows: pd.DataFrame, told_by: Sequence[Header], notes: list[str]) -> pd.DataFrame:
    """Return rows of films, `ASKED` and `refused`, with what their headers tell where nothing is known.

    Names of patients and exams are not mixed: if one row has a name, no header gives any. A word for no patient, such
    as `unknown`, is no name. Gets noted: such words, and what a header tells otherwise than the row.
    """
    rows = rows.reindex(columns=[*ASKED, "refused"])
    rows = rows.astype({name: COLUMNS[name] for name in ASKED} | {"refused": STRING})
    rows["patient"], said = somebody(rows["patient"])
    notes += [*said, *_contradictions(rows, told_by)]
    headers = pd.Series(list(told_by), rows.index, object)
    for column in FACTS:
        told = headers.map(lambda header, of=column: getattr(header, of)).astype(COLUMNS[column])
        if column in ("patient", "exam") and rows[column].notna().any():
            continue
        if column == "patient":
            told, said = somebody(told, "PatientID")
            notes += said
        rows[column] = rows[column].fillna(told)
    return rows.assign(refused=rows["refused"].fillna(headers.map(lambda header: header.refused).astype(STRING)))


def contradicted(row: Mapping[str, Any], header: Header) -> list[str]:
    """Return which of laterality, view and patient a header tells otherwise than a row, whose unknown facts are None.

    Patients are compared as `alike` does, for a laboratory may leave out zeros; a word for no patient tells nothing.
    """
    told = {name: getattr(header, name) for name in TOLD}
    found = [name for name in TOLD if row[name] and told[name] and row[name] != told[name]]
    if "patient" in found:
        two = row["patient"], told["patient"]
        if nobodies(pd.Series(two)).any() or alike(two):
            found.remove("patient")
    return found


def _contradictions(rows: pd.DataFrame, headers: Sequence[Header]) -> list[str]:
    """Return a note for each fact that the headers of some films tell otherwise than their rows."""
    found: dict[str, list[str]] = {}
    given = rows[TOLD].astype(object).where(rows[TOLD].notna(), None).to_dict("records")
    for path, row, header in zip(rows["path"], given, headers, strict=True):
        for name in contradicted(row, header):
            found.setdefault(name, []).append(Path(path).name)
    return [
        f"the {name} of {number_of(len(films), 'film')} differs from that of the header, {films[0]} for example; "
        "what the table or sender tells counts"
        for name, films in found.items()
    ]


def own_films(run: RunFolder) -> Dataset:
    """Return the data set whose images a run has seen, and names in its tables.

    Raises:
        InputError: The folder has no names of images, so that no film can be told to be the run's; or its settings
            name code that the user has not allowed.
    """
    if run.portable or run.shared:
        raise InputError(
            f"{run.path} is a portable or shared model, which does not name its images; name the run itself"
        )
    run.check_code()
    return open_dataset(run.config.data)
