"""A first table of a folder of films, to be completed by hand: paths, patients and what the headers tell."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mammo.cells import FORMULA, for_people
from mammo.datasets.folder import walk
from mammo.errors import InputError
from mammo.files import check_new_table, write_table
from mammo.formats.header import read_headers
from mammo.tables.paths import patient_in, pattern_of
from mammo.tables.patients import somebody
from mammo.wording import number_of

FEW = 5  # films that a note names
COLUMNS = ["path", "patient", "laterality", "view", "exam", "spacing_mm", "label"]


@dataclass
class FirstTable:
    """A table of films and what was passed over.

    Attributes:
        rows: One row per film, the columns of `COLUMNS`; empty where nothing is known.
        passed_over: The reason of each file that is no film, by path.
        hidden: The number of files and folders whose name begins with a dot.
        notes: The rest that a user must know, one line each.
    """

    rows: pd.DataFrame
    passed_over: dict[str, str] = field(default_factory=dict)
    hidden: int = 0
    notes: list[str] = field(default_factory=list)


def first_table(folder: Path, patient_from: str | None = None) -> FirstTable:
    """Return a table of the films below a folder. Names of patients are never read, only their PatientID.

    Args:
        folder: The folder; links are followed, each real folder once.
        patient_from: A regular expression whose group `patient`, or first group, finds the patient in the path; None
            takes the PatientID of DICOM headers.

    Raises:
        InputError: The folder does not exist or has no film, or the expression is none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the folder of your films")
    pattern = None if patient_from is None else pattern_of(patient_from, "--patient-from", grouped=True)
    made = FirstTable(pd.DataFrame(columns=COLUMNS))
    inside = walk(folder)
    paths, made.hidden = inside.files, inside.hidden
    headers = read_headers(paths)
    made.passed_over = inside.closed | {one.path: one.refused for one in headers if one.refused}
    films = [one for one in headers if not one.refused]
    if not films:
        why = f"; {next(iter(made.passed_over.values()))}, for example" if made.passed_over else ""
        raise InputError(f"{folder}: none of its {number_of(len(paths), 'file')} is a film{why}")
    rows = []
    for film in films:
        inner = Path(film.path).relative_to(folder).as_posix()
        patient = patient_in(inner, pattern) if pattern else film.patient
        rows.append([inner, patient, film.laterality, film.view, film.exam, film.spacing_mm, None])
    made.rows = pd.DataFrame(rows, columns=COLUMNS)
    patients, said = somebody(made.rows["patient"].astype("string"))
    made.rows["patient"] = patients.astype(object).where(patients.notna(), None)
    made.notes += said
    _leave_out_formulas(made)
    if without := int(made.rows["patient"].isna().sum()):
        where = (
            "their path has no match" if pattern else "their header has no PatientID; --patient-from finds it in paths"
        )
        made.notes.append(f"{without} of {len(films)} films have no patient: {where}; fill the column in")
    return made


def _leave_out_formulas(made: FirstTable) -> None:
    """Empty the cells that a spreadsheet would take for a formula, and say so."""
    for column in ("patient", "view", "exam"):
        odd = made.rows[column].astype("string").str.match(FORMULA).fillna(False).astype(bool)
        if odd.any():
            made.rows[column] = made.rows[column].mask(odd, None)
            films = ", ".join(made.rows.loc[odd, "path"].head(FEW)) + ", ..." * (int(odd.sum()) > FEW)
            made.notes.append(
                f"the {column} of {number_of(int(odd.sum()), 'film')} is left empty, as it begins "
                "with =, +, - or @, which a "
                f"spreadsheet runs: {films}"
            )


def write_first_table(made: FirstTable, folder: Path, out: Path) -> None:
    """Write the rows as CSV, with paths that count from the folder of the CSV.

    Raises:
        InputError: The file exists, or its folder cannot be made.
    """
    check_new_table(out, "--out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{out.parent} is a file; name another folder with --out") from None
    start = out.absolute().parent
    paths = [Path(os.path.relpath((folder / inner).absolute(), start)).as_posix() for inner in made.rows["path"]]
    write_table(for_people(made.rows.assign(path=paths)), out, new=True)
