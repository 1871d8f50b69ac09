"""The films and patients that the rows of a user's table name: paths, names of images, patients."""

import re
import stat
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mammo.datasets.findings import STRING
from mammo.datasets.table_rows import FEW, Rows
from mammo.errors import InputError
from mammo.tables.paths import mode_of, names_of, paths_of, patient_in
from mammo.tables.spreadsheet import named_rows

NEARLY_ALL = 0.9  # the share of patients from which on their PatientIDs in headers are others by intention


def identities(rows: Rows, folder: Path, patient_from: str | None) -> tuple[pd.DataFrame, list[str]]:
    """Return path, patient, exam and image_id of each row, and the paths that do not exist.

    Args:
        rows: The rows.
        folder: The folder from which paths count.
        patient_from: A regular expression that finds the patient in the path; None: a column tells.

    Raises:
        InputError: A row has no path or patient, or none of the films exists.
    """
    words = rows.words("path")
    rows.refuse(words.isna(), "there is no path")
    paths = paths_of(words, folder)
    modes = {path: mode_of(Path(path)) for path in paths.unique()}
    folders = [path for path, mode in modes.items() if stat.S_ISDIR(mode)]
    rows.refuse(paths.isin(folders), f"{folders[0] if folders else ''} is a folder; expected the path of a film")
    missing = [path for path, mode in modes.items() if not mode]
    if len(missing) == len(modes):
        raise InputError(
            f"{rows.name}: none of its {len(missing)} films is there, the first would be {missing[0]}; "
            "paths count from the folder of the table, or from data.root"
        )
    if missing:
        shown = ", ".join(missing[:FEW]) + ", ..." * (len(missing) > FEW)
        rows.notes.append(f"{len(missing)} of {len(modes)} films do not exist: {shown}")
    if patient_from is None:
        patient = rows.identity("patient")
        rows.refuse(patient.isna(), "there is no patient; give each row its patient, or leave it out")
    else:
        patient = _patients_of(words, patient_from)
        rows.refuse(patient.isna(), f"data.patient_from={patient_from} finds no patient in the path")
        rows.notes.append(f"{patient.nunique()} patients are taken from the paths, by {patient_from}")
    image_id = rows.identity("image_id")
    rows.refuse(image_id.isna() & image_id.notna().any(), "there is no image_id")
    image_id = image_id if image_id.notna().all() else names_of(paths)
    table = pd.DataFrame({"path": paths, "patient": patient, "exam": rows.identity("exam"), "image_id": image_id})
    return table, missing


def mixed(patients: pd.Series, told: pd.Series) -> tuple[list[str], list[str]]:
    """Compare the patients of a table with the PatientIDs of headers, and name rows only, no patient.

    Args:
        patients: The patient of each row; the index is the number of the row.
        told: The PatientID in the header of each row's film, missing where there is none.

    Returns:
        A line for each patient or PatientID that stands for several of the other; and the notes. There are notes alone
        if nearly all patients or PatientIDs do: then the headers are anonymised, or hold the names of images.
    """
    table = pd.DataFrame({"patient": patients, "told": told.astype(STRING)}).dropna()
    lines, notes = list[str](), list[str]()
    ways = (("told", "patient", "one PatientID in the headers, several patients in the table"),
            ("patient", "told", "one patient in the table, several PatientIDs in the headers"))  # fmt: skip
    for by, of, what in ways:
        groups = [group for _, group in table.groupby(by, sort=False) if len(group) > 1]
        odd = [group for group in groups if group[of].nunique() > 1]
        if not odd:
            continue
        if len(odd) >= NEARLY_ALL * len(groups):
            notes.append(
                f"PatientIDs in the headers are not used, as they do not fit the patients of the table: {what}"
            )
            return [], notes
        found = [f"{named_rows(list(group.index))}: {what}" for group in odd]
        notes.append(f"{what}, {len(odd)} times; {found[0].partition(':')[0]} for example; the table counts")
        lines += found
    return lines, notes


def _patients_of(words: pd.Series, patient_from: str) -> pd.Series:
    pattern = re.compile(patient_from)
    return pd.Series([patient_in(word.replace("\\", "/"), pattern) for word in words], words.index, STRING)


def alike(patients: Iterable[str]) -> list[tuple[str, ...]]:
    """Return groups of patients whose names differ only by case, zeros in front or one letter at the end."""
    groups: dict[str, list[str]] = {}
    for one in patients:
        bare = re.sub(r"(?<!\d)0+(?=\d)", "", one.casefold())
        groups.setdefault(re.sub(r"(?<=\d)[a-z]$", "", bare), []).append(one)
    return [tuple(group) for group in groups.values() if len(group) > 1]
