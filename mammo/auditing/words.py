"""Words for counts and lists in the lines of an audit."""

from collections.abc import Iterable

FEW = 5  # names and reasons that a note lists


def count(number: int, thing: str) -> str:
    """Return a count with the word for the things, in the plural unless there is one."""
    several = thing if number == 1 else f"{thing}{'es' if thing.endswith('x') else 's'}"
    return f"{number:,} {several}"


def some(names: Iterable[str], between: str = ", ") -> str:
    """Return the first names of a list, with dots if there are more."""
    listed = list(names)
    return between.join(listed[:FEW]) + f"{between.rstrip()} ..." * (len(listed) > FEW)
