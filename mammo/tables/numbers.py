"""Columns of words as numbers, and the words that name rows in errors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

NAMED = 3  # the number of rows that an error names
WITH_COMMA = r"[-+]?\d+,\d+(e[-+]?\d+)?"  # a number with a decimal comma
ROUNDED = r"\d+([.,]\d+)?E\+\d+"  # a long number as a spreadsheet shows it, when it has lost its last digits
THOUSANDS = r"[1-9]\d{{0,2}}(\{}\d{{3}})+"  # a whole number above 999 with this mark, or one with three decimals


def named_rows(numbers: Sequence[object]) -> str:
    """Return the words that name rows: `rows 3, 4, 9 and 12 more`."""
    named = ", ".join(map(str, numbers[:NAMED])) + f" and {len(numbers) - NAMED} more" * (len(numbers) > NAMED)
    return f"row{'s' * (len(numbers) > 1)} {named}"


def to_numbers(words: pd.Series, column: str, refuse: Callable[[Any, str], None], notes: list[str]) -> np.ndarray:
    """Return words as finite numbers, NaN where they are missing; decimal commas are accepted, with a note.

    Args:
        words: Text, missing where there is none.
        column: The name of the column, for errors.
        refuse: Raises an error for the rows that are true, with the given reason.
        notes: Gets a line if there are decimal commas.
    """
    commas = words.str.contains(",", regex=False).fillna(False).astype(bool)
    if commas.any() and (commas := words.str.fullmatch(WITH_COMMA, case=False).fillna(False).astype(bool)).any():
        points = words.str.contains(".", regex=False).fillna(False)
        refuse(commas if points.any() else [], f"{column} has a comma, and other rows have points; write one")
        thousands = words[commas].str.fullmatch(THOUSANDS.format(",")).all() and not commas.all()
        refuse(commas if thousands else [], f"{column} may be a thousand or a decimal; write 1234 or 1.234")
        words = words.where(~commas, words.str.replace(",", ".", n=1))
        notes.append(f"decimal commas in {column} are read as points")
    numbers = as_numbers(words)
    wrong = np.isnan(numbers) & words.notna().to_numpy()
    found = words[wrong]
    refuse(wrong, f"{column} is {found.iloc[0] if len(found) else ''}; expected a number")
    refuse(~np.isfinite(numbers) & ~np.isnan(numbers), f"{column} is infinite; expected a finite number")
    return numbers


def refuse_thousands(columns: Mapping[str, pd.Series], refuse: Callable[[Any, str], None]) -> None:
    """Refuse numbers of pixels that may have a mark of thousands, as `1,520`, or `1.520` beside a whole number.

    One number in any of the columns that can have decimals only, such as `12,5`, tells that its mark is a decimal one.

    Args:
        columns: The words of each column, by its name for errors.
        refuse: Raises an error for the rows that are true, with the given reason.
    """
    for mark in ",.":
        marked = {name: words.str.contains(mark, regex=False).fillna(False) for name, words in columns.items()}
        if not all(columns[name][of].str.fullmatch(THOUSANDS.format(mark)).all() for name, of in marked.items()):
            continue
        for name, of in marked.items():
            if of.any() and (mark == "," or (~of & columns[name].notna()).any()):
                first = columns[name][of].iloc[0]
                plain, decimal = first.replace(mark, ""), first.replace(",", ".") + "0" * (mark == ".")
                refuse(of, f"{name} is {first}, a thousand or a decimal; write {plain} or {decimal}")


def as_numbers(words: pd.Series) -> np.ndarray:
    """Return words as numbers, NaN where they are missing or no number."""
    try:
        found = pc.cast(pa.array(words, pa.large_string()), pa.float64())
    except pa.ArrowInvalid:
        return pd.to_numeric(words, errors="coerce").to_numpy(float, na_value=np.nan)
    return np.asarray(found.to_numpy(zero_copy_only=False), float)
