"""Lines, tables and numbers in Markdown."""

import re
from collections.abc import Iterable

from mammo.cells import in_terminal
from mammo.evaluation.bootstrap import Value

# The start of a tag of HTML, or of a link to anything but a file beside the page, that no backslash makes text.
_ALIVE = re.compile(r"(?<!\\)((?:\\\\)*)(<(?=[a-zA-Z/!?])|\](?=:|\[|\((?![\w.][\w./=,+@ ()-]*\))))")
_BARS = re.compile(r"(\\*)\|")  # with the backslashes before it, each of which shall be shown, too


def harmless(line: str) -> str:
    """Return a line of Markdown in which names that others gave make no HTML, no link and no line of their own."""
    return _ALIVE.sub(r"\1\\\2", in_terminal(" ".join(line.splitlines()), "\t"))


def page(lines: Iterable[str]) -> str:
    """Return the lines of a page of Markdown as its text, each made harmless."""
    return "\n".join(harmless(line) for line in lines)


def markdown(header: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table; bars inside a cell are shown as they are."""
    rows = [[_BARS.sub(r"\1\1\\|", cell) for cell in cells] for cells in (header, ["---"] * len(header), *rows)]
    return [harmless(f"| {' | '.join(cells)} |") for cells in rows]


def plain(text: str) -> str:
    """Return a text on one line, in which no character is taken as Markdown or HTML."""
    return re.sub(r"([\\`*\[\]<>])", r"\\\1", " ".join(text.split()))


def signed(value: Value) -> str:
    """Return a difference as text, with its sign."""
    if value.value is None:
        return str(value)
    held = "no interval" if value.low is None else f"{value.low:+.3f} to {value.high:+.3f}"
    return f"{value.value:+.3f} ({held}){value.in_folds}"


class Markdown(str):
    """Text that a notebook shows as Markdown."""

    def _repr_markdown_(self) -> str:
        return str(self)
