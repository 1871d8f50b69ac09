"""The films and patients that the rows of a user's table name: paths, names of images, patients."""

import re
import stat
from pathlib import Path

import pandas as pd

from mammo.datasets.findings import STRING
from mammo.datasets.table_rows import FEW, Rows
from mammo.errors import InputError
from mammo.tables.exams import exams_alike
from mammo.tables.numbers import named_rows
from mammo.tables.paths import modes_of, names_of, near_file, patient_in
from mammo.tables.patients import named_words, nobodies
from mammo.wording import number_of, some


def identities(
    rows: Rows, folder: Path, patient_from: str | None, *, strangers: bool = False
) -> tuple[pd.DataFrame, list[str]]:
    """Return path, patient, exam and image_id of each row, and the paths that do not exist.

    Args:
        rows: The rows.
        folder: The folder from which paths count.
        patient_from: A regular expression that finds the patient in the path; None: a column tells.
        strangers: True keeps words that stand for no patient, such as `unknown`; else they are refused.

    Raises:
        InputError: A row has no path or patient, or none of the films exists.
    """
    words = rows.words("path")
    rows.refuse(words.isna(), "there is no path")
    of = modes_of(words, folder)
    paths = words.map({word: path for word, (path, _) in of.items()}).astype(STRING)
    modes = dict(of.values())
    folders = [path for path, mode in modes.items() if stat.S_ISDIR(mode)]
    rows.refuse(paths.isin(folders), f"{folders[0] if folders else ''} is a folder; expected the path of a film")
    missing = [path for path, mode in modes.items() if not mode]
    near = near_file(missing[0], folder) if missing else None
    told = f"; {near} is there: capitals, endings and folders count" if near else ""
    if len(missing) == len(modes):
        raise InputError(
            f"{rows.name}: none of its {number_of(len(missing), 'film')} is there, the first would be {missing[0]}; "
            f"paths count from the folder of the table, or from data.root{told}"
        )
    if missing:
        first = paths.eq(missing[0]).idxmax()
        rows.notes.append(
            f"{len(missing)} of {len(modes)} films do not exist: {some(missing, FEW)}; the first is row {first}{told}"
        )
    if patient_from is None:
        patient = rows.identity("patient")
        rows.refuse(patient.isna(), "there is no patient; give each row its patient, or leave it out")
    else:
        patient = patients_of(words, patient_from)
        rows.refuse(patient.isna(), f"data.patient_from={patient_from} finds no patient in the path")
        rows.notes.append(
            f"{number_of(patient.nunique(), 'patient is', 'patients are')} taken from the paths, by {patient_from}"
        )
    if not strangers and (nobody := nobodies(patient)).any():
        words = named_words(patient[nobody])
        rows.refuse(nobody, f"the patient is {words}, which is nobody; give each row its patient, or leave it out")
    image_id = rows.identity("image_id")
    rows.refuse(image_id.isna() & image_id.notna().any(), "there is no image_id")
    image_id = image_id if image_id.notna().all() else names_of(paths)
    table = pd.DataFrame({"path": paths, "patient": patient, "exam": rows.identity("exam"), "image_id": image_id})
    if twice := exams_alike(table["patient"], table["exam"]):
        rows.notes.append(
            f"**exams of {number_of(len(twice), 'patient')} are spelt in several ways, {named_rows(twice[0])} for "
            "example: one exam? They are taken as different**"
        )
    return table, missing


def patients_of(words: pd.Series, patient_from: str) -> pd.Series:
    """Return the patient that a regular expression finds in each path, missing where it finds none."""
    pattern = re.compile(patient_from)
    return pd.Series([patient_in(word.replace("\\", "/"), pattern) for word in words], words.index, STRING)
