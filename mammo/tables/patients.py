"""The patients that a table names: spellings that may be one, and what the headers of films tell of them."""

import re
import unicodedata
from collections.abc import Iterable

import pandas as pd

from mammo.tables.numbers import named_rows
from mammo.tables.spellings import SIDES
from mammo.tables.visits import without_visits

# What stands in the place of a patient, once case, accents and marks are folded and words such as `patient` left out.
_NONE = (
    r"(?:0+|x{2,}|anon|(?:anon|pseudon)[iy]m[^\W\d_]*|de-?identif[^\W\d_]*|n-?a|nan|null|nil|no|none|unk|undefined|missing"
    r"|removed|redacted|deleted|withheld|hidden|blank|empty|(?:not-?|un)(?:known|available|applicable|provided|recorded"
    r"|stated|given|specified|assigned)|unbekannt[^\W\d_]*|keine?|entfernt|desconocid[oa]|inconnue?|desconhecid[oa]"
    r"|sconosciut[oa]|onbekend|okand|ukendt|ukjent|eliminad[oa]|supprimee?|无|未知|不详|匿名|неизвестн[^\W\d_]*)"
)
_NOBODY = re.compile(rf"{_NONE}(?:-{_NONE})*")
_NUMBERED, _FIRST = re.compile("[1-9]"), re.compile("0*1")
_OF_NOBODY = re.compile(r"(^|-)(patient(in|e|id)?|patients|paciente|paziente|subject|person|name|id)(?=-|$)")
_PREFIX = re.compile(
    r"^(?:(?:patients?|pat|pt|p|subject|subj|sub|case|id|pid|patid|patient(?:in|e|en)|paciente|paziente|fall|caso?|cas|mrn"
    r"|record|client|person|participant|proband(?:in)?|sujet|sujeto|nr|no|num|number|nummer|numero|患者|病人|病例)[\W_]*){1,3}(?=\d)"
)
_WORDS = ["breast", "brust", "seite", "side", "mama", "mamma", "sein", "seno", *(one for one in SIDES if len(one) > 3)]
_AFTER_NAME = "|".join(_WORDS)  # no short ones: Wang Li and Wang Re are two
_AFTER_NUMBER = "|".join([*_WORDS, *SIDES, "cc|mlo|ml|lm|izq|izda|der|dcha|dch|esq|dir|gau|dx|sx"])
_SIDE = re.compile(rf"(?<=\d)(?:-?(?:{_AFTER_NUMBER})){{1,3}}$|(?<=\w)(?:-(?:{_AFTER_NAME})){{1,2}}$")
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:[, '\u2019]\d{3})+")
_IN_GROUPS = re.compile(r"\d{3}-\d{2,3}-\d{4}")  # as numbers of insurances are written
_CBIS = re.compile(  # PatientIDs in headers of CBIS-DDSM name the image: Mass-Training_P_00001_LEFT_CC_1
    r"(?:mass|calc)-(?:training|test)_(p_\d+)(?:_(?:left|right))?(?:_(?:cc|mlo))?(?:_\d+)?"
)
_APOSTROPHE = re.compile(r"(?<=[^\W\d_])['\u2019](?=[^\W\d_])")  # O'Neil
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "ł": "l", "đ": "d"})
_LOOKS = str.maketrans("авекмнорстухαβεικμνορτυχ", "abekmhopctyxabeikmnoptux")  # Cyrillic and Greek letters, folded
FEW = 5  # words that a note lists
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
    given = patients.dropna().unique()
    named = {one: _word(one) for one in given if not _NUMBERED.search(one)}
    zeros = {one for one, name in named.items() if name and not name.strip("0-")}
    if zeros and any(_FIRST.fullmatch(_word(one)) for one in given):
        named = {one: name for one, name in named.items() if one not in zeros}
    return patients.isin(
        [one for one, name in named.items() if one.strip().casefold() != "na" and (not name or _NOBODY.fullmatch(name))]
    )


def somebody(patients: pd.Series, what: str = "patient") -> tuple[pd.Series, list[str]]:
    """Return patients without the words that stand for none, such as `unknown`, and a note about them."""
    nobody = nobodies(patients)
    if not nobody.any():
        return patients, []
    words = named_words(patients[nobody])
    return patients.mask(nobody), [f"a {what} such as {words} is taken for an unknown one, {nobody.sum():,} times"]


def named_words(patients: pd.Series) -> str:
    """Return the first different words of a column, as an error or a note names them."""
    words = list(map(str, patients.unique()))
    return ", ".join(words[:FEW]) + ", ..." * (len(words) > FEW)


def _word(patient: str) -> str:
    """Return the letters and digits of a name, folded and joined by dashes, without words such as `patient`."""
    name = re.sub(r"[\W_]+", "-", _plain(patient.casefold())).strip("-")
    return _OF_NOBODY.sub("", name).strip("-") or name


def _plain(name: str) -> str:
    """Return a name without accents."""
    if name.isascii():
        return name
    parts = unicodedata.normalize("NFKD", name)
    return unicodedata.normalize("NFC", "".join(one for one in parts if unicodedata.category(one) != "Mn"))


def alike(patients: Iterable[str]) -> list[tuple[str, ...]]:
    """Return groups of patients whose names are almost the same.

    They differ only by case, blanks or marks, forms of one letter in Unicode, letters that look alike, accents, zeros
    in front, a `.0` or marks of thousands of a spreadsheet, a word such as `patient` before a number, the order of the
    parts of a name, or a side, a view, one letter or a visit at the end.
    """
    first: dict[str, str] = {}  # an earlier spelling of each one, or itself

    def root(name: str) -> str:
        while first.setdefault(name, name) != name:
            first[name] = name = first[first[name]]
        return name

    bare = {one: _bare(one) for one in patients}
    for one, of in without_visits(bare).items():
        if _PREFIX.sub("", f"{of}1") != "1":  # patient_2019 is a number of a patient
            bare[one] += _bare(of)
    for name, *others in bare.values():
        for other in others:
            first[root(other)] = root(name)
    groups: dict[str, list[str]] = {}
    for one, (name, *_) in bare.items():
        groups.setdefault(root(name), []).append(one)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _bare(patient: str) -> list[str]:
    """Return the spellings of a name without what people write in two ways: one, or several if they may be meant."""
    name = patient.strip().casefold()
    if not name.isascii():
        seen = "".join(one for one in patient if unicodedata.category(one) != "Cf")  # such as a mark of byte order
        name = unicodedata.normalize("NFKC", seen.strip()).casefold()
        name = "".join(str(unicodedata.digit(one)) if one.isdecimal() else one for one in name)  # of other scripts
    if of_image := _CBIS.fullmatch(name):
        name = of_image[1]
    if _THOUSANDS.fullmatch(name):
        plain = re.sub(r"\D", "", name)
        return [plain] if "," in name else [plain, _reduced(name)]
    spelt = [name] if name.isascii() else [name, name.translate(_UMLAUTS)]
    if _IN_GROUPS.fullmatch(name.replace(" ", "-")):
        spelt.append(re.sub(r"\D", "", name))
    return list(dict.fromkeys(map(_reduced, spelt)))


def _reduced(name: str) -> str:
    """Return a folded name without accents, marks, sides and words around a number; its parts are in one order."""
    if not name.isascii():
        name = _plain(name).translate(_LOOKS)
    name = re.sub(r"^(\d+)[.,]0+$", r"\1", name)
    name = re.sub(r"[^\w.]+|_+", "-", _APOSTROPHE.sub("", name)).strip("-.") or name
    name = _SIDE.sub("", _PREFIX.sub("", name))
    name = re.sub(r"(?<=[^\W\d])-(?=\d)|(?<=\d)-(?=[^\W\d])", "", name)  # P-1 is P1, but 1-12 is not 11-2
    name = re.sub(r"(?<!\d)0+(?=\d)", "", name)
    parts = name.split("-")
    if sum(len(one) > 2 for one in parts) > 1 and not re.search(r"\d", name):
        return "-".join(sorted(parts))  # doe-jane
    return re.sub(r"(?<=\d)[^\W\d_]$", "", name)
