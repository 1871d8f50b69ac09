"""The patients that a table names: spellings that may be one, and what the headers of films tell of them."""

import re
import unicodedata
from collections.abc import Iterable

import pandas as pd

from mammo.tables.numbers import named_rows
from mammo.tables.spellings import SIDES

# What stands in the place of a patient, once case, accents and marks are folded and words such as `patient` left out.
_NONE = (
    r"(?:0+|x{2,}|anon|(?:anon|pseudon)[iy]m[^\W\d_]*|de-?identif[^\W\d_]*|n-?a|nan|null|nil|no|none|unk|undefined|missing"
    r"|removed|redacted|deleted|withheld|hidden|blank|empty|(?:not-?|un)(?:known|available|applicable|provided|recorded"
    r"|stated|given|specified|assigned)|unbekannt[^\W\d_]*|keine?|entfernt|desconocid[oa]|inconnue?|desconhecid[oa]"
    r"|sconosciut[oa]|onbekend|okand|ukendt|ukjent|eliminad[oa]|supprimee?|无|未知|不详|匿名|неизвестн[^\W\d_]*)"
)
_NOBODY = re.compile(rf"{_NONE}(?:-{_NONE})*")
_OF_NOBODY = re.compile(r"(^|-)(patient(in|e|id)?|patients|paciente|paziente|subject|person|name|id)(?=-|$)")
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


def nobodies(patients: pd.Series) -> pd.Series:
    """Tell for each patient whether the word stands for none, such as `unknown`, `N/A`, `Anonymous^Patient` or `000`.

    `NA` is a name, and zeros are one in a table that counts its patients from 0. A word with a number is a name, too.
    """
    named = {one: _word(one) for one in patients.dropna().unique()}
    first = any(re.fullmatch("0*1", name) for name in named.values())
    found = {
        one: not name or (bool(_NOBODY.fullmatch(name)) and not (first and not name.strip("0-")))
        for one, name in named.items()
        if one.strip().casefold() != "na"
    }
    return patients.map(found).fillna(False).astype(bool)


def _word(patient: str) -> str:
    """Return the letters and digits of a name, folded and joined by dashes, without words such as `patient`."""
    name = re.sub(r"[\W_]+", "-", _plain(patient.casefold())).strip("-")
    return _OF_NOBODY.sub("", name).strip("-") or name


def _plain(name: str) -> str:
    """Return a name without accents."""
    parts = unicodedata.normalize("NFKD", name)
    return unicodedata.normalize("NFC", "".join(one for one in parts if unicodedata.category(one) != "Mn"))


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
