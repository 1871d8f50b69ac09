"""The patient of each row of a table of predictions from any source, with notes on names that may mean others."""

import pandas as pd

from mammo.errors import InputError
from mammo.evaluation.raw_table import RawTable, first_of
from mammo.tables.numbers import ROUNDED
from mammo.tables.patients import named_words, nobodies


def patients_of(raw: RawTable, by: str | None) -> pd.Series:
    """Return the (N,) patients; doubts go to the notes of the table.

    Args:
        raw: A table of N rows.
        by: The user's column of the patient; None takes each row as a patient of its own.

    Raises:
        InputError: There is no such column, or a row has no patient in it.
    """
    if by is None:
        raw.notes.append("each row is taken as a patient of its own")
        return pd.Series([f"row {number}" for number in range(1, len(raw) + 1)], dtype="string")
    if "patient" not in raw:
        raise InputError(
            f"{raw.name}: no column patient; {raw.found()}; name it, say by=PatientID (--by PatientID); "
            "by=None (--by row) takes each row as a patient of its own"
        )
    patient = raw.words("patient")
    mark = first_of(raw.raw["patient"], patient.isna())
    said = f"empty: '{mark}' counts as missing" if mark not in ("", "empty") else "empty"
    raw.refuse(patient.isna(), f"patient is {said}; intervals are by patient, so each row needs one")
    spellings = patient.drop_duplicates()
    _refuse_nobody(raw, patient, spellings)
    bare = spellings.str.lower().str.replace(r"[^\w.]|\.0$", "", regex=True)  # blanks, marks and 1.0
    folded = bare.str.replace(r"(^|\D)0+(\d)", r"\1\2", regex=True)
    if (alike := folded.duplicated(keep=False)).any():
        some = ", ".join(spellings[alike].iloc[:2])
        raw.notes.append(f"**patients {some} are taken as different; write the same patient in one way**")
    if (rounded := spellings.str.fullmatch(ROUNDED, case=False).fillna(False)).any():
        raw.notes.append(f"**patient {spellings[rounded].iloc[0]} was rounded by a spreadsheet: several may be one**")
    return patient


def _refuse_nobody(raw: RawTable, patient: pd.Series, spellings: pd.Series) -> None:
    """Refuse words that stand for no patient, but zeros, which get a note.

    A table that counts its patients from 0 has zeros as a name, and need not have a patient 1.
    """
    nobody = nobodies(spellings)
    if not nobody.any():
        return
    zeros = nobody & spellings.str.contains("0")
    others = spellings[nobody & ~zeros]
    why = f"the patient is {named_words(others)}, which is nobody; give each row its patient"
    raw.refuse(patient.isin(others), why)
    said = f"patient {named_words(spellings[zeros])} is taken as one"
    raw.notes.append(f"**{said}; if it stands for nobody, give each row its patient**")
