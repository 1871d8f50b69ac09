"""The exams of patients that a table names: spellings that may be one, such as a date in two forms."""

import re

import pandas as pd

_YEAR_FIRST = re.compile(r"(\d{4})([-./]?)(\d\d?)\2(\d\d?)(?:[t ][\d:.]*)?")
_YEAR_LAST = re.compile(r"(\d\d?)([-./])(\d\d?)\2(\d{4})(?:[t ][\d:.]*)?")


def exams_alike(patients: pd.Series, exams: pd.Series) -> list[list[int]]:
    """Return the rows of two exams that may be one, for each patient who has such: the first row of each spelling.

    They are one date in two forms, or differ by case, blanks or zeros in front only.

    Args:
        patients: The patient of each row; the index is the number of the row.
        exams: The exam of each row, missing where there is none.
    """
    table = pd.DataFrame({"patient": patients, "exam": exams}).dropna().drop_duplicates()
    table = table[table.duplicated("patient", keep=False)]
    forms = {exam: _forms(exam) for exam in table["exam"].unique()}
    first: dict[tuple[str, str], dict[str, int]] = {}
    for row, patient, exam in table.itertuples():
        for key, form in forms[exam]:
            first.setdefault((patient, key), {}).setdefault(form, row)
    found = {patient: list(rows.values())[:2] for (patient, _), rows in reversed(first.items()) if len(rows) > 1}
    return list(reversed(found.values()))


def _forms(exam: str) -> list[tuple[str, str]]:
    """Return what an exam may be, each with the form in which it is written: a date of two readings is two."""
    word = " ".join(exam.casefold().split())
    shape = re.sub(r"\d", "0", word)
    if (found := _YEAR_FIRST.fullmatch(word)) and (found[2] or re.fullmatch(r"\d{8}", word)):
        days = [(found[1], found[3], found[4])]
    elif found := _YEAR_LAST.fullmatch(word):
        days = [(found[4], found[3], found[1])] + [(found[4], found[1], found[3])] * (found[2] != ".")
    else:
        return [(re.sub(r"(?<!\d)0+(?=\d)", "", word.replace(" ", "")), exam)]
    return [("-".join(part.zfill(2) for part in day), shape) for day in dict.fromkeys(days) if 1 <= int(day[1]) <= 12]
