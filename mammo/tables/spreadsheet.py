"""Read a table from a file as people save it: CSV of any separator and encoding, XLSX or Parquet, as text."""

import csv
import gzip
import io
import itertools
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from mammo.cells import as_written
from mammo.errors import InputError
from mammo.tables.columns import AT_ONCE, Part, joined, part_of
from mammo.tables.plain_csv import as_pandas, plain_csv
from mammo.tables.workbook import as_text, workbook

SEPARATORS = ",;\t|"
# What the first bytes of a file that is no table say it is, and what to do with it
KINDS = {
    b"\x89PNG": "a PNG picture", b"\xff\xd8\xff": "a JPEG picture", b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture", b"GIF8": "a GIF picture", b"P5\n": "a PGM picture", b"%PDF": "a PDF document",
    b"7z\xbc\xaf": "a 7z archive", b"Rar!": "a RAR archive", b"{\\rtf": "an RTF document", b"\x7fELF": "a program",
}  # fmt: skip
TITLE_WITHIN = 40  # rows below a title in which a header is looked for


@dataclass
class Spreadsheet:
    """The rows of a table as text.

    Attributes:
        rows: One column per named column, values stripped of blanks, missing where a cell is empty. `NA` and `None`
            stay as text. The index is the number of the row in a spreadsheet, whose header is row 1.
        notes: What had to be decided in reading, one line each.
        others: The note that names the sheets of the workbook that are not read; empty if there are none.
    """

    rows: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    others: str = ""


def read_spreadsheet(
    path: Path | str, what: str = "a table", first_row: int = 2, *, percents: bool = False
) -> Spreadsheet:
    """Read a table from CSV (comma, semicolon, tab or bar; also .gz or .xz), XLSX (its first sheet) or Parquet.

    Args:
        path: The file; its content decides what it is, not its name.
        what: The words for the table in errors.
        first_row: The number of the first row below the header, in errors and in the index.
        percents: Give a number of XLSX whose format is per cent as 97.77%, and not as 0.9777.

    Raises:
        InputError: The file cannot be read, is no table, or has rows that do not fit its header.
    """
    path = Path(path)
    data = _bytes_of(path, what)
    said = f"{path}: expected {what} as CSV, XLSX or Parquet"
    notes, others = list[str](), ""
    if data.startswith(b"PAR1"):
        lines: Iterable[list[str]] = _parquet(data, said)
    elif data.startswith(b"PK\3\4"):
        lines, others = workbook(data, said, notes, percents)
    elif kind := _kind_of(data):
        raise InputError(f"{said}, found {kind}")
    elif (plain := plain_csv(data, SEPARATORS)) is not None:
        marked = b"'" in data
        del data  # it may be large
        rows = as_pandas(plain)
        rows.index = pd.RangeIndex(first_row, first_row + len(rows))
        return _without_blank_rows(as_written(rows) if marked else rows, notes)
    else:
        lines = _csv(_text_of(data, said, notes), said, first_row)
    del data
    try:
        found = _table(lines, path, said, first_row, notes)
        return replace(found, rows=as_written(found.rows), others=others)
    except InputError as error:
        raise InputError(f"{error}; {others}" if others else str(error)) from None


def _bytes_of(path: Path, what: str) -> bytes:
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected {what}")
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected {what} (CSV, XLSX or Parquet)")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); expected {what}") from None
    try:
        packed = {".gz": gzip.decompress, ".xz": lzma.decompress}.get(path.suffix.lower())
        return packed(data) if packed else gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        raise InputError(f"{path} is not compressed as its name says, or is incomplete; write it again") from None


def _kind_of(data: bytes) -> str | None:
    """Return in words what a file is that is no table; None if it may be text."""
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        if "EncryptedPackage".encode("utf-16-le") in data:
            return "a workbook with a password; save it without one"
        return "a file of old Excel (.xls) or Word; save it as XLSX or CSV"
    if data[128:132] == b"DICM":
        return "a DICOM film; name the table of the films"
    for start, kind in KINDS.items():
        if data.startswith(start):
            return f"{kind}; name the table itself"
    begin = data[:300].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if begin.startswith((b"<!doctype", b"<html", b"<?xml", b"<table")):
        return "a web page or XML; open it in a spreadsheet program and save it as XLSX or CSV"
    return None


def _text_of(data: bytes, said: str, notes: list[str]) -> str:
    """Return the text of a file in UTF-8, UTF-16 or cp1252, with line ends as in Linux; cp1252 is noted."""
    start = data[:2000]
    if not start.startswith((b"\xff\xfe", b"\xfe\xff")) and start.count(0) > len(start) // 4:  # UTF-16 without a mark
        tries = ["utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"]
    else:
        tries = ["utf-16"] if start.startswith((b"\xff\xfe", b"\xfe\xff")) else ["utf-8-sig", "cp1252"]
    for encoding in tries:
        try:
            text, others = _by_line(data) if encoding == "cp1252" else (data.decode(encoding), [])
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError:
            continue
        if not re.search(r"[\x00-\x08\x0e-\x1f]", text):
            if others:
                where = f"line {others[0]}" + f" and {len(others) - 1} more" * (len(others) > 1)
                notes.append(
                    f"**{where} of the file is not in UTF-8, and read as Western European (cp1252); if letters beyond "
                    "ASCII look wrong, save the table as CSV UTF-8**"
                )
            return text
    raise InputError(f"{said}, found a file that is not text in UTF-8; save the table again as CSV UTF-8 or XLSX")


def _by_line(data: bytes) -> tuple[str, list[int]]:
    """Return text whose lines are in UTF-8 or cp1252, as when two tables are joined, and the numbers of the latter."""
    lines, others = list[str](), list[int]()
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            lines.append(line.decode("utf-8-sig"))
        except UnicodeDecodeError:
            lines.append(line.decode("cp1252"))
            others.append(number)
    return "\n".join(lines), others


def _csv(text: str, said: str, first_row: int) -> Iterator[list[str]]:
    """Yield the rows of a text, the blank ones too; a row that does not fit the header ends it with an error."""
    named = re.match(r'"?sep=([,;\t|])"?[ \t]*(\n|$)', text, re.IGNORECASE)  # for Excel, which does not show the line
    text = text[named.end() :] if named else text
    separator = named[1] if named else _separator(text)
    reader = csv.reader(_lines(text), delimiter=separator, skipinitialspace=True, strict=True)
    unfit, width, least = "", 0, 0
    try:
        for number, line in enumerate(reader, start=first_row - 1):
            if not width and any(map(str.strip, line)):
                width, least = len(line), max(place for place, name in enumerate(line, start=1) if name.strip())
            elif width > 1 and not unfit and (len(line) < least or any(line[width:])) and any(map(str.strip, line)):
                unfit = f"row {number} has {len(line)} fields, and the header has {width}"
            yield line
    except csv.Error as error:
        why = "a quotation mark is not closed" if "unexpected end" in str(error) else str(error)
        raise InputError(f"{said}; it cannot be read near its line {reader.line_num}: {why}") from None
    if unfit:
        raise InputError(
            f"{said}; {unfit}; a comma in a number or name needs quotes or another separator, and row names need a "
            "header of their own"
        )


def _separator(text: str) -> str:
    """Return the separator of the header, or if that is a title of one cell, of the fullest line below it."""
    bare = re.sub(r'"[^"]*"', "", text[:100_000]).lstrip("\n").split("\n")
    if any(map(bare[0].count, SEPARATORS)):
        return max(SEPARATORS, key=bare[0].count)
    below = max(bare[1:TITLE_WITHIN], key=lambda line: max(map(line.count, SEPARATORS)), default="")
    return max(SEPARATORS, key=below.count)


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text with their ends, which `io.StringIO` would first make four times as large."""
    start = 0
    while end := text.find("\n", start) + 1:
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _parquet(data: bytes, said: str) -> list[list[str]]:
    try:
        table = pd.read_parquet(io.BytesIO(data))
    except Exception as error:  # pyarrow has its own kinds, which pandas passes on
        why = " ".join(str(error).split())[:80]
        raise InputError(f"{said}, found a damaged Parquet file ({why}); write it again") from None
    table = table.reset_index() if any(table.index.names) else table
    columns = [[as_text(one) for one in table[name].tolist()] for name in table]
    return [[str(name) for name in table], *map(list, zip(*columns, strict=True))]


def _table(lines: Iterable[list[str]], path: Path, said: str, first_row: int, notes: list[str]) -> Spreadsheet:
    """Return the rows below the header with their numbers; blank rows and columns are left out."""
    rows = iter(lines)
    header, start = next(((line, number) for number, line in enumerate(rows) if _filled(line)), ([], -1))
    if start < 0:
        raise InputError(f"{said}, found an empty file; name another one")
    first = list(itertools.islice(rows, TITLE_WITHIN - 1))
    rows = itertools.chain(first, rows)
    parts = list[Part]()
    while some := list(itertools.islice(rows, AT_ONCE)):
        parts.append(part_of(some))
    if _filled(header) == 1 and (below := next((at for at, line in enumerate(first) if _filled(line) > 1), -1)) >= 0:
        shown = " ".join(next(filter(None, map(str.strip, header))).split())
        raise InputError(
            f"{path}: row {start + 1} holds '{shown[:40]}' alone, which seems to be a title; the header must be the "
            f"first row, and it seems to be row {start + 2 + below}; delete the rows above it"
        )
    width = max([len(header), *(len(columns) for _, columns in parts)])
    table = joined(parts, width)
    table.index = pd.RangeIndex(first_row + start, first_row + start + len(table))
    names = [" ".join(name.split()) for name in [*header, *[""] * (width - len(header))]]
    table = _named(table, names, path, notes)
    if not len(table.columns):
        raise InputError(f"{said}, found none in its first line; name another file")
    return _without_blank_rows(table, notes)


def _filled(line: list[str]) -> int:
    """Return the number of cells that are not blank."""
    return sum(bool(cell.strip()) for cell in line)


def _named(table: pd.DataFrame, names: list[str], path: Path, notes: list[str]) -> pd.DataFrame:
    """Return the columns that have a name; a note tells of others that are not empty, and no name may come twice."""
    if twice := [name for number, name in enumerate(names) if name and name in names[:number]]:
        raise InputError(f"{path}: column {twice[0]} is there twice; rename one, or leave it out")
    unnamed = [number for number, name in enumerate(names) if not name and table[number].notna().any()]
    if unnamed:
        notes.append(f"column {', '.join(map(_letter, unnamed))} has no name and is not used")
    named = [number for number, name in enumerate(names) if name]
    return table[named].set_axis([names[number] for number in named], axis=1)


def _without_blank_rows(table: pd.DataFrame, notes: list[str]) -> Spreadsheet:
    """Return a table without its blank rows; a note tells of those that are not at its end."""
    blank = table.isna().all(axis=1)
    if not blank.any():
        return Spreadsheet(table, notes)
    if (inside := int(blank.to_numpy()[: len(blank) - int(blank[::-1].cumprod().sum())].sum())) > 0:
        notes.append("1 blank row is passed over" if inside == 1 else f"{inside} blank rows are passed over")
    return Spreadsheet(table[~blank], notes)


def _letter(number: int) -> str:
    """Return the letters of a column as a spreadsheet shows them: A, ..., Z, AA, ..."""
    return ("" if number < 26 else _letter(number // 26 - 1)) + chr(ord("A") + number % 26)
