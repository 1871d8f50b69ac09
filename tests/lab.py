"""A lab's films whose table has words of its own: two exams of some patients, four views, umlauts, blanks, gaps."""

import pandas as pd

from tests.clinic import Clinic

ILL = ["krank", "Krank ", "krank", "KRANK"]
WELL = ["gesund", "unklar, März/April", "gesund", "gesund"]


class Lab(Clinic):
    """Films of the clinic with a column `Befund`; severity is unknown, and some words are missing."""

    name = "lab"

    def findings(self) -> pd.DataFrame:
        table = super().findings()
        number = table["patient"].str[1:].astype(int)
        ill = (number % 2 == 1) & (table["laterality"] == "left")
        words = [(ILL if one else WELL)[at % 4] for at, one in enumerate(ill)]
        table["Befund"] = pd.Series(words, dtype=object).mask(number == 0, " ")
        table["exam"] = [f"E{1 + (at % 4 > 1)}" if patient % 4 == 1 else None for at, patient in enumerate(number)]
        table.loc[number == 2, "laterality"] = None
        return table.assign(severity=None, finding=None)
