"""The words of a command line that Hydra's grammar does not take as users write them: paths, patterns and umlauts."""

import json
import re

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

COLUMNS, VALUES = "data.columns.", "data.values."  # keys below these are the user's own


def for_hydra(words: list[str]) -> list[str]:
    """Return the words so that Hydra reads them.

    `data.columns.patient=PatientID` may name a key that no file has. All words `data.values.<column>.<word>=<ours>`
    become one setting in JSON, as a word may be any text. Other values that Hydra cannot read are put in quotes.
    """
    parser, found, values = OverridesParser.create(), list[str](), dict[str, dict[str, str | None]]()
    for word in words:
        key, separator, value = word.partition("=")
        name = key.lstrip("+")
        if not separator or word.startswith("-"):
            found.append(word)
            continue
        if name.startswith(VALUES) and "." in name.removeprefix(VALUES):
            column, _, theirs = name.removeprefix(VALUES).partition(".")
            values.setdefault(column, {})[theirs.strip("'\"")] = None if value in ("null", "") else value.strip("'\"")
            continue
        key = f"++{name}" if name.startswith((COLUMNS, VALUES)) else key
        try:
            parser.parse_override(f"{key}={value}")
        except HydraException:
            value = _quoted(value)
        found.append(f"{key}={value}")
    return [*found, *([f"data.values={_quote(json.dumps(values, ensure_ascii=False))}"] if values else [])]


def _quoted(value: str) -> str:
    """Return a value in quotes; of a list or mapping, the words in it that are not ASCII."""
    if not value.startswith(("[", "{")):
        return _quote(value)
    return re.sub(
        r"""[^\[\]{},:'"]*[^\x00-\x7F\[\]{},:'"][^\[\]{},:'"]*""", lambda word: _quote(word[0].strip()), value
    )


def _quote(text: str) -> str:
    return "'" + text.replace("'", r"\'") + "'"
