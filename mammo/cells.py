"""Text of others in what people open: it stays on its line in a terminal, and stays text in a spreadsheet.

Names of files, patients, exams and classes come from films, models and tables of others. A spreadsheet runs a cell that
begins with =, +, - or @, and one that separates at semicolons runs what follows one. An apostrophe before such a sign
keeps it from that; reading a table of mammo takes it away again, so that the cell names the same film or patient.
"""

import logging
import os
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FORMULA = r"[=+@\-\uff1d\uff0b\uff20\uff0d]"  # the last four are of full width, which some spreadsheets take too
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_BEGINS = re.compile(rf"(^|;)(?='*{FORMULA})(?!(?:{_NUMBER}|{FORMULA})(?:;|$))")  # no number, no sign alone
_MARKED = re.compile(rf"(^|;)'(?='*{FORMULA})")


def printable(text: str) -> str:
    """Return a text on one line and as valid UTF-8, whatever bytes the name of a file has."""
    valid = os.fsencode(text).decode("utf-8", "replace")
    return "".join(one if one.isprintable() else "?" for one in valid)


def in_terminal(text: str, kept: str = "\n\t") -> str:
    """Return a text that moves no cursor and gives a terminal no order; blanks of any width stay, and what is kept."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in kept or _is_plain(one) else "?" for one in text)


def _is_plain(sign: str) -> bool:
    """True of a blank of any width, and of a byte of a name that is no UTF-8, of which the stream tells."""
    return unicodedata.category(sign) in ("Zs", "Cs")


class LogLine(logging.LogRecord):
    """A line of a log that gives a terminal no order; a text that it names stays on one line.

    A command makes all loggers use it, with `logging.setLogRecordFactory`.
    """

    def getMessage(self) -> str:
        """Return the message as `in_terminal` does."""
        if not isinstance(self.args, tuple):
            return in_terminal(super().getMessage())
        args = (in_terminal(str(one), "") if isinstance(one, str | Path | Exception) else one for one in self.args)
        return in_terminal(str(self.msg) % tuple(args) if self.args else str(self.msg))

    @property
    def exc_text(self) -> str | None:
        """The traceback that stands below the message; what is set is kept as `in_terminal` returns it."""
        return self._traceback

    @exc_text.setter
    def exc_text(self, text: str | None) -> None:
        self._traceback = text and in_terminal(text)


def cell(text: str) -> str:
    """Return a text on one line that no spreadsheet runs; a number stays one."""
    return _BEGINS.sub(r"\1'", in_terminal(text, ""))


def cell_of_path(path: str) -> str:
    """Return the path of a file that no spreadsheet runs; it still names the file, unless a semicolon is in it."""
    return _BEGINS.sub(r"\1'", f"./{path}" if re.match(FORMULA, path) else path)


def for_people(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table whose words and names of columns no spreadsheet runs; numbers are not touched."""
    ways = {name: cell_of_path if name == "path" else cell for name in table.columns}
    changed = {
        name: table[name].map(lambda one, way=way: way(one) if isinstance(one, str) else one)
        for name, way in ways.items()
        if table[name].dtype.kind == "O"
    }
    return table.assign(**changed).rename(columns=cell)


def as_written(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table of words as it was before `for_people`."""
    for name, column in table.items():
        marked = column.str.contains("'", regex=False).fillna(False).astype(bool)
        if marked.any():
            restored = column.copy()
            restored[marked] = column[marked].map(_restored)
            table = table.assign(**{str(name): restored})
    return table.rename(columns=_restored)


def _restored(text: str) -> str:
    return _MARKED.sub(r"\1", text)
