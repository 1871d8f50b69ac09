"""The first sheet of a workbook as rows of text, with a line for everything that a spreadsheet shows in another way."""

import datetime
import io
import json
import re
import warnings
import zipfile
from typing import Any

import numpy as np
import pandas as pd

from mammo.errors import InputError
from mammo.tables.numbers import NAMED, named_rows

DIGITS = 15  # of a number that a spreadsheet keeps, so from 1e15 on it may have lost some
EXACT = 2**53  # whole numbers up to here are exact as floating-point numbers


def workbook(data: bytes, said: str, notes: list[str], percents: bool) -> tuple[list[list[str]], str]:
    """Return the rows of the first sheet, and the note that names the sheets which are not read.

    Args:
        data: The file.
        said: The beginning of each error.
        notes: Gets a line for sheets that are not read, for merged cells, and for what is hidden.
        percents: Give a number whose format is per cent as 97.77%, and not as 0.9777.

    Raises:
        InputError: It is no workbook, or cells hold formulas without a value.
    """
    from openpyxl import load_workbook  # noqa: PLC0415 - slow to import, and few tables are workbooks

    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        _check_names(archive.namelist(), said)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats of cells, which do not count here
            book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            sheets = book.worksheets
            if percents:
                rows = [[_as_shown(cell) for cell in row] for row in sheets[0].iter_rows()]
            else:
                rows = [[_of_cell(cell) for cell in row] for row in sheets[0].iter_rows(values_only=True)]
            marked = archive.read(sheets[0]._worksheet_path)  # openpyxl passes over what is hidden or merged
    except InputError:
        raise
    except Exception as error:  # a damaged workbook makes zipfile, the XML parser and openpyxl raise many kinds
        why = " ".join(str(error).split())[:80]
        raise InputError(f"{said}, found a damaged workbook ({why}); save it again as XLSX or CSV") from None
    others = ""
    if len(sheets) > 1:
        titles = ", ".join(one.title for one in sheets[1:4])
        others = f"the workbook has {len(sheets)} sheets; {sheets[0].title} is read, {titles} is not"
        notes.append(others)
    if sheets[0].sheet_state != "visible":
        notes.append(f"**the sheet {sheets[0].title}, which is read, is hidden in the spreadsheet**")
    _refuse_formulas(marked, said)
    header = next((number for number, row in enumerate(rows) if any(map(str.strip, row))), len(rows))
    _fill_merged(rows, marked, header, notes)
    _say_hidden(rows, marked, header, notes)
    return rows, others


def _check_names(names: list[str], said: str) -> None:
    """Refuse an archive whose files are not those of a workbook."""
    if "mimetype" in names:
        raise InputError(f"{said}, found an OpenDocument file; save it as XLSX or CSV")
    if "xl/workbook.xml" not in names and "[Content_Types].xml" in names:
        raise InputError(f"{said}, found another file of an office program; save the table as XLSX or CSV")
    if "xl/workbook.xml" not in names:
        raise InputError(f"{said}, found a ZIP archive; unpack it and name the table in it")


def _tags(marked: bytes, name: str) -> list[bytes]:
    """Return the attributes of each element of a name in the XML of a sheet."""
    if name.encode() not in marked:
        return []
    return re.findall(rb"<(?:\w+:)?" + name.encode() + rb"\b([^>]*)>", marked)


def _attribute(tag: bytes, name: str) -> str:
    found = re.search(rb"\b" + name.encode() + rb"\s*=\s*[\"']([^\"']*)", tag)
    return found[1].decode() if found else ""


# A cell with a formula and no value. One whose value is an empty text (t="str") has been computed.
_FORMULA = re.compile(
    rb"<(?:\w+:)?c\b(?P<cell>[^>]*)>\s*<(?:\w+:)?f\b(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*"
    rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)


def _refuse_formulas(marked: bytes, said: str) -> None:
    """Refuse cells whose formula was never computed, as programs other than a spreadsheet write them."""
    cells = [one["cell"] for one in _FORMULA.finditer(marked)] if b"f>" in marked else []
    found = [_attribute(one, "r") for one in cells if _attribute(one, "t") != "str"]
    if found:
        more = f" and {len(found) - NAMED} more" * (len(found) > NAMED)
        raise InputError(
            f"{said}; {', '.join(found[:NAMED])}{more}: a formula without a value; open the file in a spreadsheet "
            "program and save it, which computes it"
        )


def _fill_merged(rows: list[list[str]], marked: bytes, header: int, notes: list[str]) -> None:
    """Give all rows of merged cells of one column their value; say how many, and how many span several columns."""
    filled, wide = list[int](), list[int]()
    for tag in _tags(marked, "mergeCell"):
        found = re.fullmatch(r"([A-Z]+)(\d+):([A-Z]+)(\d+)", _attribute(tag, "ref"))
        if not found or int(found[2]) - 1 <= header:  # a title, or a name of columns
            continue
        column, first, last = _number(found[1]), int(found[2]) - 1, min(int(found[4]), len(rows))
        value = rows[first][column] if first < len(rows) and column < len(rows[first]) else ""
        if not value.strip():
            continue
        if found[1] != found[3]:
            wide.append(first + 1)
            continue
        filled.append(first + 1)
        for row in rows[first + 1 : last]:
            row.extend([""] * (column + 1 - len(row)))
            row[column] = value
    if filled:
        notes.append(f"merged cells ({named_rows(sorted({*filled}))}) give their value to all of their rows")
    if wide:
        notes.append(
            f"**merged cells ({named_rows(sorted({*wide}))}) span columns; their value counts in the first cell**"
        )


def _say_hidden(rows: list[list[str]], marked: bytes, header: int, notes: list[str]) -> None:
    """Say how many rows and columns are hidden and yet read."""
    numbers, columns, last = list[int](), list[str](), 0
    for tag in _tags(marked, "row") if b"hidden" in marked else []:
        last = int(_attribute(tag, "r") or last + 1)
        if _attribute(tag, "hidden") in ("1", "true") and header < last - 1 < len(rows) and any(rows[last - 1]):
            numbers.append(last)
    for tag in _tags(marked, "col"):
        if _attribute(tag, "hidden") in ("1", "true"):
            first, end = int(_attribute(tag, "min")) - 1, int(_attribute(tag, "max"))
            columns += [one for one in (rows[header] if header < len(rows) else [])[first:end] if one.strip()]
    if numbers:
        what = "row is" if len(numbers) == 1 else "rows are"
        notes.append(f"**{len(numbers)} {what} hidden in the spreadsheet, and read: {named_rows(numbers)}**")
    if columns:
        notes.append(f"columns that are hidden in the spreadsheet are read: {', '.join(columns[:NAMED])}")


def _number(letters: str) -> int:
    """Return the number of a column, from 0, for its letters in a spreadsheet."""
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def _of_cell(value: Any) -> str:
    """Return the value of a cell as text; a whole number that has lost digits is shown as `1.10101199003071E+17`."""
    if isinstance(value, int | float) and 1e15 <= abs(float(value)) < float("inf"):
        lost = isinstance(value, float) or value % 10 ** (len(str(abs(value))) - DIGITS) == 0
        return f"{value:.{DIGITS - 1}E}" if lost else str(value)
    return as_text(value)


def _as_shown(cell: Any) -> str:
    """Return a cell of a workbook as text, as per cent if its format is so."""
    value = cell.value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _of_cell(value)
    if "%" not in re.sub(r'"[^"]*"|\\.', "", cell.number_format):  # in quotes it is a sign that does not scale
        return _of_cell(value)
    return f"{100 * value:.8f}".rstrip("0").rstrip(".") + "%"


def as_text(value: Any) -> str:
    """Return a cell as text: whole numbers without a decimal point, dates as 2021-01-31, lists as JSON."""
    if isinstance(value, np.ndarray | list | tuple):
        return json.dumps(np.asarray(value).tolist() if isinstance(value, np.ndarray) else list(value), default=str)
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float | np.floating) and np.isfinite(value) and value == int(value):
        value = int(value) if abs(float(value)) <= EXACT else f"{value:.{DIGITS - 1}E}"
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        value = value.date()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
