"""Words for counts and lists in the lines of an audit."""

from collections.abc import Iterable

from mammo import wording

FEW = 5  # names and reasons that a note lists


def seen(line: str) -> str:
    """Return a line in which what cannot be printed is written out, such as a line break in the name of a file."""
    return line if line.isprintable() else "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)


def some(names: Iterable[str], between: str = ", ") -> str:
    """Return the first names of a list, with dots if there are more."""
    return wording.some(names, FEW, between)
