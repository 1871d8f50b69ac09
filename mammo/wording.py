"""Words for counts, in lines that people read."""


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
