"""Tables and numbers in Markdown."""

import re

from mammo.evaluation.bootstrap import Value


def markdown(header: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table; bars inside a cell are shown as they are."""
    rows = [[cell.replace("|", "\\|") for cell in cells] for cells in (header, ["---"] * len(header), *rows)]
    return [f"| {' | '.join(cells)} |" for cells in rows]


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
