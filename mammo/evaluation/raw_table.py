"""Read a table from any source: columns by name, values as words or numbers, and errors that name rows."""

import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mammo.datasets.label_words import as_word
from mammo.errors import InputError
from mammo.tables.numbers import named_rows, to_numbers
from mammo.tables.spreadsheet import read_spreadsheet
from mammo.wording import number_of

# The words for a missing value in spreadsheets, in lower case.
ABSENT = frozenset(
    ["", "na", "nan", "none", "null", "n/a", "<na>", "#n/a", "#ref!", "#value!", "-", ".", "?", "missing", "unknown"]
)


WRITTEN = {"unit", "status", "head", "score", "image_id", "patient"}  # columns of `mammo predict --out`


class RawTable:
    """The rows of a table, with a note for everything that was changed in reading.

    Args:
        source: A CSV (comma, semicolon, tab or bar; also .gz or .xz), XLSX or Parquet file, or a DataFrame.
        columns: Maps the names used here to the table's own.
        known: The names that may be written in capitals or small letters.
    """

    def __init__(
        self, source: "Path | str | pd.DataFrame", columns: Mapping[str, str], known: Iterable[str] = ()
    ) -> None:
        name, raw, self.notes = "the table", source, list[str]()
        if isinstance(source, str | Path):
            name, sheet = str(source), read_spreadsheet(source, "a table of predictions", first_row=1)
            raw, self.notes = sheet.rows, sheet.notes
            _refuse_line_breaks(raw, name)
        self._bare = isinstance(source, str | Path)  # a spreadsheet's values have no blanks around them
        if not isinstance(raw, pd.DataFrame):
            raise InputError(f"found a {type(raw).__name__}; expected the path of a CSV file or a DataFrame")
        if raw.empty:
            raise InputError(f"{name} has no rows; expected one per sample")
        self.name, self._numbers = name, raw.index if self._bare else pd.RangeIndex(1, len(raw) + 1)
        raw = raw.reset_index(drop=True)
        raw = raw.set_axis([str(one).strip() for one in raw.columns], axis=1)
        if twice := sorted(raw.columns[raw.columns.duplicated()]):
            raise InputError(f"{name}: column {twice[0]} is there twice; leave one out")
        self.raw = raw.loc[:, [not re.fullmatch(r"(Unnamed: \d+)?", str(one)) for one in raw.columns]]
        self._rename(columns)
        self._spelling(set(known))

    def __len__(self) -> int:
        return len(self.raw)

    def __contains__(self, column: str) -> bool:
        return column in self.raw

    def found(self) -> str:
        """Return the words that list the columns."""
        return f"the columns are {', '.join(map(str, self.raw.columns))}"

    def _rename(self, columns: Mapping[str, str]) -> None:
        """Give columns the names used here, in place of others that have these names."""
        for here, theirs in columns.items():
            if theirs not in self.raw:
                raise InputError(f"{self.name}: no column {theirs}, which columns names for {here}; {self.found()}")
        if taken := sorted({theirs for theirs in columns.values() if list(columns.values()).count(theirs) > 1}):
            raise InputError(f"{self.name}: columns names {taken[0]} twice; name each column once")
        renamed = {theirs: here for here, theirs in columns.items()}
        clash = [here for here in columns if here in self.raw and here not in renamed]
        self.raw = self.raw.drop(columns=clash).rename(columns=renamed)

    def _spelling(self, known: set[str]) -> None:
        """Rename columns such as `Patient` to `patient` and `probability_normal` to `p_normal`, with a note."""
        for one in list(self.raw.columns):
            lower = str(one).lower()
            start = next(filter(lower.startswith, ("p_", "probability_")), None)  # the second by `mammo predict`
            wanted = lower if lower in known else f"p_{one[len(start) :]}" if start else None
            if wanted and wanted != one and wanted not in self.raw:
                self.raw = self.raw.rename(columns={one: wanted})
                self.notes.append(f"column {one} is taken as {wanted}")

    def keep_images(self) -> None:
        """Keep the predicted rows of images of a table that `mammo predict` wrote, with a note; leave other tables."""
        if not set(self.raw) >= WRITTEN:
            return
        keep = (self.words("unit").eq("image") & self.words("status").eq("predicted")).fillna(False).to_numpy(bool)
        if keep.all():
            return
        if not keep.any():
            raise InputError(f"{self.name}: no row has unit=image and status=predicted; expected rows of images")
        left = number_of(int((~keep).sum()), "row")
        self.notes.append(f"left out: {left} of breasts, exams and patients, or of films that were not predicted")
        self.raw, self._numbers = self.raw[keep].reset_index(drop=True), self._numbers[keep]

    def forget(self, used: Container[object]) -> list[str]:
        """Forget the columns that were used, as they may be large; return the names of the others."""
        self.raw = self.raw[[one for one in self.raw if one not in used]]
        return list(self.raw)

    def refuse(self, wrong: ArrayLike, why: str) -> None:
        """Raise an error that names the wrong rows, if there are any."""
        rows = [self._numbers[place] for place in np.flatnonzero(np.asarray(wrong, bool))]
        if rows:
            raise InputError(f"{self.name}: {named_rows(rows)}: {why}")

    def words(self, column: str) -> pd.Series:
        """Return a column as words without blanks around them; empty cells are missing values."""
        given = self.raw[column]
        words = given if given.dtype == "string" else given.map(as_word).astype("string")
        if not self._bare:
            stripped = words.str.strip()
            if (stripped != words).fillna(False).any():
                self.notes.append(f"blanks around the values of {column} are removed")
            words = stripped
        absent = words.notna() & (given.isna() | words.str.lower().isin(ABSENT))
        return words.mask(absent) if absent.any() else words  # not copied, as it may be large

    def numbers(self, column: str) -> np.ndarray:
        """Return a column as finite numbers; decimal commas are accepted."""
        words = self.words(column)
        self.refuse(words.isna(), f"{column} is missing; give each row a number, or leave the row out")
        return to_numbers(words, column, self.refuse, self.notes)


def _refuse_line_breaks(rows: pd.DataFrame, name: str) -> None:
    """Refuse the rows of a file in which a cell has several lines."""
    broken = np.zeros(len(rows), bool)
    for _, column in rows.items():
        broken |= column.str.contains("\n", regex=False).fillna(False).to_numpy(bool)
    if broken.any():
        raise InputError(
            f"{name}: row {rows.index[broken][0]} has a line break inside a cell; is there a stray quotation mark?"
        )


def first_of(values: pd.Series, wrong: ArrayLike) -> str:
    """Return the first value that is wrong, for an error; `empty` if there is none in its cell."""
    found = values[np.asarray(wrong, bool)]
    if not len(found):
        return ""
    return "empty" if pd.isna(found.iloc[0]) else str(found.iloc[0])
