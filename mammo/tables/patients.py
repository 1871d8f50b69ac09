"""The patients that a table names: spellings that may be one, and what the headers of films tell of them."""

import re
import unicodedata
from collections.abc import Iterable

import pandas as pd

from mammo.tables.numbers import named_rows
from mammo.tables.spellings import SIDES

# Words in the place of a patient, folded; NA is a name.
NOBODY = {
    *("unknown", "unbekannt", "missing", "none", "-", "--", "?", "."),
    *("anonymous", "anonymized", "anonymised", "anonym", "anon"),
}
_PREFIX = re.compile(r"^(patient|patients|pat|pt|p|subject|subj|sub|case|id|pid|patid)[\W_]*(?=\d)")
_SIDE = re.compile(rf"(?<=\d)-({'|'.join(sorted(SIDES, key=len, reverse=True))})(-?(cc|mlo))?$")
_LOOKS = str.maketrans("авекмнорстухαβεικμνορτυχ", "abekmhopctyxabeikmnoptux")  # Cyrillic and Greek letters, folded
NEARLY_ALL = 0.9  # the share of patients from which on their PatientIDs in headers are others by intention


def mixed(patients: pd.Series, told: pd.Series) -> tuple[list[str], list[str]]:
    """Compare the patients of a table with the PatientIDs of headers, and name rows only, no patient.

    Args:
        patients: The patient of each row; the index is the number of the row.
        told: The PatientID in the header of each row's film, missing where there is none.

    Returns:
        A line for each patient or PatientID that stands for several of the other; and the notes. There are notes alone
        if nearly all patients or PatientIDs do: then the headers are anonymised, or hold the names of images.
    """
    table = pd.DataFrame({"patient": patients, "told": told.astype("string")}).dropna()
    lines, notes = list[str](), list[str]()
    ways = (("told", "patient", "one PatientID in the headers, several patients in the table"),
            ("patient", "told", "one patient in the table, several PatientIDs in the headers"))  # fmt: skip
    for by, of, what in ways:
        several = table.duplicated(by, keep=False)
        wrong = several & (table.groupby(by)[of].transform("nunique") > 1)
        odd = [group for _, group in table[wrong].groupby(by, sort=False)]
        if not odd:
            continue
        if len(odd) >= NEARLY_ALL * table.loc[several, by].nunique():
            notes.append(
                f"PatientIDs in the headers are not used, as they do not fit the patients of the table: {what}"
            )
            return [], notes
        found = [f"{named_rows(list(group.index))}: {what}" for group in odd]
        notes.append(f"{what}, {len(odd)} times; {found[0].partition(':')[0]} for example; the table counts")
        lines += found
    return lines, notes


def alike(patients: Iterable[str]) -> list[tuple[str, ...]]:
    """Return groups of patients whose names are almost the same.

    They differ only by case, blanks or marks, forms of one letter in Unicode or letters that look alike, zeros in
    front, a `.0` of a spreadsheet, a word such as `patient` before a number, or a side or one letter at the end.
    """
    groups: dict[str, list[str]] = {}
    for one in patients:
        groups.setdefault(_bare(one), []).append(one)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _bare(patient: str) -> str:
    """Return a name without what people write in two ways."""
    seen = "".join(one for one in patient if unicodedata.category(one) != "Cf")  # such as a mark of byte order
    name = unicodedata.normalize("NFKC", seen.strip()).casefold().translate(_LOOKS)
    name = re.sub(r"^(\d+)[.,]0+$", r"\1", name)
    name = re.sub(r"[^\w.]+|_+", "-", name).strip("-") or name
    name = _SIDE.sub("", _PREFIX.sub("", name))
    name = re.sub(r"(?<=[^\W\d])-(?=\d)|(?<=\d)-(?=[^\W\d])", "", name)  # P-1 is P1, but 1-12 is not 11-2
    name = re.sub(r"(?<!\d)0+(?=\d)", "", name)
    return re.sub(r"(?<=\d)[^\W\d_]$", "", name)
