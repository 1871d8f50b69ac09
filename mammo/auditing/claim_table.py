"""The claims of a whole review, one in each row of a table, and a verdict on each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mammo.auditing.claim_names import CELLS, METRICS, known_key
from mammo.auditing.claim_numbers import AUC, MOST_DECIMALS, Value, one_scale, plain, read_value
from mammo.auditing.claim_report import judged
from mammo.auditing.claim_words import read_claim
from mammo.errors import InputError
from mammo.tables.spellings import ABSENT, fold
from mammo.tables.spreadsheet import read_spreadsheet
from mammo.wording import number_of

NOT_GIVEN = {*map(fold, ABSENT), "", "nr", "ns", "notreported", "notgiven", "notstated", "notavailable"}
POSSIBLE, IMPOSSIBLE, UNDECIDED, BAD = "possible", "impossible", "not decided", "not understood"
OPEN, EMPTY = "without the number of films", "without a number"


@dataclass(frozen=True)
class Row:
    """A row of the table: the name of the claim, the verdict in one word, and the report on it."""

    name: str
    verdict: str
    text: str


def read_claims(path: Path) -> tuple[list[Row], list[str]]:
    """Judge the claims of a table, and note the columns that are not used.

    Its columns are the words of a claim (`n`, `accuracy`, `test`, ...); the first other column names the claims. A row
    without a number of films is told how many films its numbers need at least.

    Raises:
        InputError: The table cannot be read, or has no column of numbers.
    """
    sheet = read_spreadsheet(path, "a table of claims", percents=True)
    table = sheet.rows
    keys = {column: key for column in table if (key := known_key(str(column)))}
    if not set(keys.values()) & {*METRICS, AUC}:
        raise InputError(f"{path}: expected a column of numbers such as accuracy, found {', '.join(map(str, table))}")
    for key in keys.values():
        if len(both := [str(column) for column in keys if keys[column] == key]) > 1:
            raise InputError(f"{path}: columns {' and '.join(both)} are both {key}; leave one out, or rename it")
    if table.empty:
        raise InputError(f"{path}: expected a row for each claim, found a header alone")
    words = table.astype(object)  # an empty column of text has no words to compare
    table = table.mask(words.apply(lambda column: column.map(fold, na_action="ignore").isin(NOT_GIVEN)))
    columns = [column for column, key in keys.items() if key in (*METRICS, AUC)]
    numbers = table[columns].astype(object).map(_rounded, na_action="ignore")
    by_claim, by_column = (numbers.apply(_on_one_scale, axis=axis) for axis in (1, 0))
    numbers = by_claim.mask(by_claim.isin(["0", "1"]), by_column)  # what its claim does not explain is as in its column
    table[columns] = numbers.astype(table[columns].dtypes)
    named, *others = [column for column in table if column not in keys] or [None]
    rows = []
    for number, cells in table.iterrows():
        words = {keys[column]: plain(str(cell)) for column, cell in cells.dropna().items() if column in keys}
        name = " ".join(str(cells[named]).split()) if named is not None and cells.notna()[named] else f"row {number}"
        rows.append(_judged(name, words))
    unused = [f"columns that are not used: {', '.join(map(str, others))}"] * bool(others)
    return rows, [f"note: {note}" for note in [*sheet.notes, *unused]]


def _on_one_scale(cells: pd.Series) -> pd.Series:
    """Return the numbers of a claim or a column with 0 and 1 as fractions if all others are."""
    told = cells.dropna()
    return pd.Series(one_scale([*told]), told.index, dtype=object).reindex(cells.index)


def _rounded(cell: str) -> str:
    """Return a number that a program has computed, such as 0.9777777777777777, with as many decimals as are read."""
    found = re.fullmatch(rf"([0-9]+[.,][0-9]{{{MOST_DECIMALS + 1},}})(\s*%?)", cell)
    return f"{float(found[1].replace(',', '.')):.{MOST_DECIMALS}f}{found[2]}" if found else cell


def _judged(name: str, words: dict[str, str]) -> Row:
    try:
        given = {key: text for key, text in words.items() if key in (*METRICS, AUC)}
        values = {key: read_value(key, text) for key, text in zip(given, one_scale([*given.values()]), strict=True)}
        if not values:
            return Row(name, EMPTY, "no number is given")
        counted = "accuracy" in values and values["accuracy"].counts
        if not counted and not {"n", "n_test", "test", "n_pos", "n_neg"} & set(words) and not set(CELLS) <= set(words):
            return Row(name, OPEN, _least(values))
        possible, text = judged(read_claim([f"{key}={value}" for key, value in words.items()]))
    except InputError as error:
        return Row(name, BAD, str(error))
    verdict = UNDECIDED if text.startswith("Not decided") else POSSIBLE if possible else IMPOSSIBLE
    return Row(name, verdict, text.partition("\n")[0])


def _least(values: dict[str, Value]) -> str:
    """Return in words how many films numbers need, each of which is a fraction of some films."""
    words = []
    of_films = {name: value.number for name, value in values.items() if name not in ("balanced_accuracy", AUC)}
    for name, number in of_films.items():
        least, right = next(
            (total, low)
            for total in range(1, number.scale + 1)
            for low, high in [number.numerators(total, "either")]
            if low <= min(high, total) or total == number.scale
        )
        words.append(f"{name} {number.text} needs at least {number_of(least, 'film')} ({right} of {least})")
    return "; ".join(words) or "nothing can be tested"


def lines(rows: list[Row]) -> Iterator[str]:
    """Yield the lines to print: one for each claim, and the number of each verdict."""
    yield from (f"{row.name}: {row.text if row.verdict != BAD else f'error: {row.text}'}" for row in rows)
    counted = [
        f"{number} {word}"
        for word in (POSSIBLE, IMPOSSIBLE, UNDECIDED, OPEN, EMPTY, BAD)
        if (number := sum(one.verdict == word for one in rows))
    ]
    yield f"claims: {len(rows)}; {', '.join(counted)}"
