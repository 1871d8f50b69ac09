"""Rows of cells as columns of text, some rows at a time: a list of cells takes ten times the memory of a column."""

import itertools

import pandas as pd
from pandas.api.extensions import ExtensionArray

AT_ONCE = 100_000  # rows that are held as lists of cells

Part = tuple[int, list[ExtensionArray]]  # the number of rows, and their columns


def part_of(rows: list[list[str]]) -> Part:
    """Return some rows as columns; cells have no blanks around them, and are missing where they are empty."""
    columns = itertools.zip_longest(*rows, fillvalue="")
    return len(rows), [pd.array([cell.strip() or None for cell in column], dtype="string") for column in columns]


def joined(parts: list[Part], width: int) -> pd.DataFrame:
    """Return the table of all parts, whose columns are numbered; a part may lack the last columns."""
    empty = pd.array([], dtype="string")
    table: dict[int, pd.Series] = {}
    for number in range(width):
        found = [
            pd.Series(columns[number] if number < len(columns) else pd.array([None] * rows, dtype="string"))
            for rows, columns in parts
        ]
        table[number] = pd.concat(found, ignore_index=True) if found else pd.Series(empty)
    return pd.DataFrame(table)
