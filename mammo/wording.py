"""Words for counts, in lines that people read."""

import re
from collections.abc import Iterable, Mapping, Sequence


def number_of(count: int, one: str, more: str | None = None) -> str:
    """Return a count with the words for the things, in the plural unless there is one.

    Args:
        count: The number of things.
        one: The words for one thing, for example `film is`.
        more: The words for several, for example `films are`; None adds the ending of the plural.
    """
    if count == 1:
        return f"1 {one}"
    return f"{count:,} {more or one + ('es' if one.endswith('x') else 's')}"


def some(names: Iterable[str], most: int = 3, between: str = ", ") -> str:
    """Return the first names of a list, with dots if there are more."""
    listed = list(names)
    return between.join(listed[:most]) + f"{between.rstrip()} ..." * (len(listed) > most)


def count_notes(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """Return one line for all films that have the same note, apart from its numbers.

    Args:
        notes: The notes of each film, by `image_id`.
    """
    of: dict[str, dict[str, str]] = {}  # the films of each kind of note, with their own note
    for image_id, said in notes.items():
        for note in said:
            of.setdefault(re.sub(r"\d+(\.\d+)?", "0", note), {})[image_id] = note
    lines = []
    for films in of.values():
        first = " (numbers of the first; the others differ)" * (len(set(films.values())) > 1)
        counted = "1 image" if len(films) == 1 else f"{len(films)} images"
        lines.append(f"{counted} ({some(list(films))}): {next(iter(films.values()))}{first}")
    return lines
