"""Words for counts and lists in the lines of an audit."""

from collections.abc import Iterable

FEW = 5  # names and reasons that a note lists


def some(names: Iterable[str], between: str = ", ") -> str:
    """Return the first names of a list, with dots if there are more."""
    listed = list(names)
    return between.join(listed[:FEW]) + f"{between.rstrip()} ..." * (len(listed) > FEW)
