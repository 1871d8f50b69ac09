"""Read a table from any source: columns by name, values as words or numbers, and errors that name rows."""

import csv
import gzip
import io
import lzma
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mammo.datasets.words import as_word
from mammo.errors import InputError

# The words for a missing value in spreadsheets, in lower case.
ABSENT = frozenset(
    ["", "na", "nan", "none", "null", "n/a", "<na>", "#n/a", "#ref!", "#value!", "-", ".", "?", "missing", "unknown"]
)
NAMED = 3  # the number of rows that an error names


def _read(path: Path) -> pd.DataFrame:
    """Return a CSV file as words, whatever its encoding and separator."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a table of predictions (CSV)")
    data = path.read_bytes()
    try:
        data = {".gz": gzip.decompress, ".xz": lzma.decompress}.get(path.suffix, bytes)(data)
    except (OSError, EOFError, lzma.LZMAError):
        raise InputError(f"{path} is not compressed as its name says, or is incomplete; write it again") from None
    for start, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig"), (b"", "cp1252")):
        if data.startswith(start):
            try:
                text = data.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    else:
        raise InputError(f"{path} is not text; expected a table of predictions (CSV)")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    first = text.partition("\n")[0]
    if "\0" in first or not first.strip():
        raise InputError(f"{path}: expected a table of predictions as CSV, found none in its first line")
    try:
        lines = list(csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count), skipinitialspace=True))
    except csv.Error as error:
        raise InputError(f"{path}: expected a table of predictions as CSV: {error}") from None
    header, *rows = lines
    rows = [row for row in rows if row]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise InputError(
                f"{path}: row {number} has {len(row)} fields, and the header has {len(header)}; a comma in a number or "
                "name needs quotes or another separator, and row names need a header of their own"
            )
        if any("\n" in cell for cell in row):
            raise InputError(f"{path}: row {number} has a line break inside a cell; is there a stray quotation mark?")
    return pd.DataFrame(rows, columns=header, dtype=str)


class RawTable:
    """The rows of a table, with a note for everything that was changed in reading.

    Args:
        source: A CSV file (comma, semicolon or tab; also .gz or .xz), or a DataFrame.
        columns: Maps the names used here to the table's own.
        known: The names that may be written in capitals or small letters.
    """

    def __init__(
        self, source: "Path | str | pd.DataFrame", columns: Mapping[str, str], known: Iterable[str] = ()
    ) -> None:
        name, raw = (str(source), _read(Path(source))) if isinstance(source, str | Path) else ("the table", source)
        if not isinstance(raw, pd.DataFrame):
            raise InputError(f"found a {type(raw).__name__}; expected the path of a CSV file or a DataFrame")
        if raw.empty:
            raise InputError(f"{name} has no rows; expected one per sample")
        self.name, self.notes = name, list[str]()
        raw = raw.reset_index(drop=True)
        raw = raw.set_axis([str(one).strip() for one in raw.columns], axis=1)
        if twice := sorted(raw.columns[raw.columns.duplicated()]):
            raise InputError(f"{name}: column {twice[0]} is there twice; leave one out")
        self.raw = raw.loc[:, [not re.fullmatch(r"(Unnamed: \d+)?", str(one)) for one in raw.columns]]
        for here, theirs in columns.items():
            if theirs not in self.raw:
                raise InputError(f"{name}: no column {theirs}, which columns names for {here}; {self.found()}")
        if taken := sorted({theirs for theirs in columns.values() if list(columns.values()).count(theirs) > 1}):
            raise InputError(f"{name}: columns names {taken[0]} twice; name each column once")
        renamed = {theirs: here for here, theirs in columns.items()}
        clash = [here for here, theirs in columns.items() if here in self.raw and theirs != here]
        self.raw = self.raw.drop(columns=clash).rename(columns=renamed)
        self._spelling(set(known))

    def __len__(self) -> int:
        return len(self.raw)

    def __contains__(self, column: str) -> bool:
        return column in self.raw

    def found(self) -> str:
        """Return the words that list the columns."""
        return f"the columns are {', '.join(map(str, self.raw.columns))}"

    def _spelling(self, known: set[str]) -> None:
        """Rename columns such as `Patient` to `patient`, with a note."""
        for one in list(self.raw.columns):
            lower = str(one).lower()
            wanted = lower if lower in known else f"p_{one[2:]}" if lower.startswith("p_") else None
            if wanted and wanted != one and wanted not in self.raw:
                self.raw = self.raw.rename(columns={one: wanted})
                self.notes.append(f"column {one} is taken as {wanted}")

    def refuse(self, wrong: Iterable[bool], why: str) -> None:
        """Raise an error that names the wrong rows, if there are any."""
        rows = np.flatnonzero(np.asarray(list(wrong), bool)) + 1
        if len(rows):
            named = ", ".join(map(str, rows[:NAMED])) + (f" and {len(rows) - NAMED} more" * (len(rows) > NAMED))
            raise InputError(f"{self.name}: row{'s' * (len(rows) > 1)} {named}: {why}")

    def words(self, column: str) -> pd.Series:
        """Return a column as words without blanks around them; empty cells are missing values."""
        given = self.raw[column]
        words = given.map(as_word).astype("string")
        stripped = words.str.strip()
        if (stripped != words).fillna(False).any():
            self.notes.append(f"blanks around the values of {column} are removed")
        return stripped.mask(given.isna() | stripped.str.lower().isin(ABSENT))

    def numbers(self, column: str) -> np.ndarray:
        """Return a column as finite numbers; decimal commas are accepted."""
        words = self.words(column)
        self.refuse(words.isna(), f"{column} is missing; give each row a number, or leave the row out")
        commas = words.str.fullmatch(r"[-+]?\d+,\d+(e[-+]?\d+)?", case=False).fillna(False)
        if commas.any():
            points = words.str.contains(".", regex=False).fillna(False)
            self.refuse(commas if points.any() else [], f"{column} has a comma, and other rows have points; write one")
            thousands = words[commas].str.fullmatch(r"\d{1,3},\d{3}").all() and not commas.all()
            self.refuse(commas if thousands else [], f"{column} may be a thousand or a decimal; write 1234 or 1.234")
            words = words.where(~commas, words.str.replace(",", ".", n=1))
            self.notes.append(f"decimal commas in {column} are read as points")
        numbers = pd.to_numeric(words, errors="coerce").to_numpy(float, na_value=np.nan)
        self.refuse(np.isnan(numbers), f"{column} is {first_of(words, np.isnan(numbers))}; expected a number")
        self.refuse(~np.isfinite(numbers), f"{column} is infinite; expected a finite number")
        return numbers


def first_of(values: pd.Series, wrong: Iterable[bool]) -> str:
    """Return the first value that is wrong, for an error."""
    found = values[np.asarray(list(wrong), bool)]
    return str(found.iloc[0]) if len(found) else ""
