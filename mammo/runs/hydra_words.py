"""The words of a command line that Hydra's grammar does not take as users write them: paths, patterns and umlauts."""

import json
import re
from dataclasses import fields
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from mammo.config import GROUPS, meant
from mammo.errors import InputError

COLUMNS, VALUES = "data.columns.", "data.values."  # keys below these are the user's own
PATHS = (  # keys whose value is one path, whatever its characters mean in Hydra's grammar
    *("data.root", "data.archive", "data.table", "split.table", "model.weights", "ckpt_path"),
    *("hydra.run.dir", "hydra.sweep.dir"),
)
PARTS = "data.parts"  # a list of names and of settings, which may hold such keys


def for_hydra(words: list[str]) -> list[str]:
    """Return the words so that Hydra reads them.

    `data.columns.patient=PatientID` may name a key that no file has. All words `data.values.<column>.<word>=<ours>`
    become one setting in JSON, as a word may be any text; `data.parts` does, if Hydra cannot read it. Other values that
    Hydra cannot read are put in quotes, and so are paths that it would take for a list or a number, for example. With
    `-m` a comma in a path still separates values.
    """
    sweep = bool({"-m", "--multirun"} & set(words))
    parser, found, values = OverridesParser.create(), list[str](), dict[str, dict[str, Any]]()
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or word.startswith("-"):
            found.append(word)
        elif (given := _meanings(parser, key.lstrip("+"), value)) is not None:
            for column, meanings in given.items():
                _add(values, column, meanings)
        else:
            found.append(_readable(parser, key, value, sweep=sweep))
    return [*found, *([f"data.values={_quote(json.dumps(values, ensure_ascii=False))}"] if values else [])]


def _meanings(parser: OverridesParser, name: str, value: str) -> dict[str, dict[str, Any]] | None:
    """Return what a setting says of the words of columns, by column; None if it is another setting, or no mapping."""
    below = name.removeprefix(VALUES)
    if name.startswith(VALUES) and "." in below:
        column, _, theirs = below.partition(".")
        return {column: {theirs.strip("'\""): None if value in ("null", "") else value.strip("'\"")}}
    if not f"{name}.".startswith(VALUES) or (given := _mapping(parser, value)) is None:
        return None
    columns = given if name == "data.values" else {below: given}
    for column, meanings in columns.items():
        if not isinstance(meanings, dict):
            raise InputError(f"data.values.{column}={meanings}: expected words of the column and their meaning")
    return {str(column): {str(one): ours for one, ours in of.items()} for column, of in columns.items()}


def _readable(parser: OverridesParser, key: str, value: str, *, sweep: bool) -> str:
    """Return a word that Hydra reads as the user means it; in a sweep, a comma in a path separates values."""
    name = key.lstrip("+")
    key = f"++{name}" if name.startswith((COLUMNS, VALUES)) else key
    try:
        read = parser.parse_override(f"{key}={value}")
    except HydraException:
        if name in PATHS:
            return f"{key}={_quote(value)}"
        return f"{key}={(_parts(value) if name == PARTS else None) or _quoted(value, parser)}"
    separates = sweep and read.is_sweep_override() and not name.startswith("hydra.")
    return f"{key}={_as_path(value, read.value()) if name in PATHS and not separates else value}"


def said_twice(words: list[str]) -> list[str]:
    """Return a line on each key that words give two values, of which Hydra takes the last one and does not say so.

    `for_hydra` looks at the words of `data.values`, which may come in parts.
    """
    given, lines = dict[str, str](), list[str]()
    for word in words:
        key, separator, value = word.partition("=")
        name, value = key.lstrip("+"), value.strip("'\"")
        if separator and not word.startswith(("-", "~")) and not f"{name}.".startswith(VALUES):
            if given.setdefault(name, value) != value:
                lines.append(f"{name} is given twice, as {given[name]} and as {value}; {value} counts")
            given[name] = value
    return lines


def _add(values: dict[str, dict[str, Any]], column: str, meanings: dict[str, Any]) -> None:
    """Add meanings of words of a column; a word has one meaning."""
    known = values.setdefault(column, {})
    for word, ours in meanings.items():
        if (before := known.get(word, ours)) != ours:
            said = " and as ".join("null" if one is None else str(one) for one in (before, ours))
            raise InputError(f"{VALUES}{column}.{word} is given twice, as {said}; leave one out")
    known |= meanings


def written(key: str, value: str) -> str:
    """Return the word `key=value` as a user writes it, in quotes if it is taken for something else without them."""
    for way in (value, _quote(value), f'"{value}"'):
        word = f"{key}={way}"
        try:
            read = OverridesParser.create().parse_override(for_hydra([word])[0])
        except HydraException:
            continue
        if read.value() == value:
            return word
    return f"{key}={_quote(value)}"


def plain_of(value: Any) -> Any:
    """Return a value of Hydra's parser as plain data."""
    if isinstance(value, list):
        return [plain_of(one) for one in value]
    if isinstance(value, dict):
        return {str(plain_of(key)): plain_of(one) for key, one in value.items()}
    return value if isinstance(value, int | float | bool | None) else getattr(value, "text", str(value))


def _as_path(value: str, read: object) -> str:
    """Return the value of a key that holds a path, in quotes if Hydra reads another text in it, or no text."""
    if value in ("", "null") or value[0] in "'\"" or "${" in value or "\\" in value or read == value:
        return value
    return _quote(value)


def _mapping(parser: OverridesParser, value: str) -> dict[str, Any] | None:
    """Return a value that is a mapping, as Hydra or JSON writes it; None for another."""
    for text in (value, _quoted(value, parser)):
        try:
            found = parser.parse_override(f"x={text}").value()
            found = json.loads(found) if isinstance(found, str) else found
        except (HydraException, ValueError):
            continue
        return found if isinstance(found, dict) else None
    return None


def _parts(value: str) -> str | None:
    """Return a list that YAML can read in JSON and in quotes; None for what is no list."""
    spaced = re.sub(r"([{,]\s*\w+):(?=\S)", r"\1: ", value)  # Hydra needs no blank after a colon, and YAML does
    try:
        found = yaml.safe_load(spaced)
    except yaml.YAMLError:
        return None
    return _quote(json.dumps(found, ensure_ascii=False)) if isinstance(found, list) else None


def _quoted(value: str, parser: OverridesParser) -> str:
    """Return a value in quotes; of a list or mapping, the bare words in it that Hydra cannot read."""

    def safe(match: re.Match[str]) -> str:
        word = match[0].strip()
        try:
            parser.parse_override(f"x={word}")
        except HydraException:
            return _quote(word)
        return match[0]

    if not value.startswith(("[", "{")):
        return _quote(value)
    bare = r"[^\[\]{},:]+" if value.startswith("{") else r"[^\[\]{},]+"
    return re.sub(rf"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|{bare}""", safe, value)


def _quote(text: str) -> str:
    """Return a text in quotes; backslashes before a quote, and at the end, are doubled, as Hydra halves them there."""
    return "'" + re.sub(r"(\\*)('|\Z)", lambda found: 2 * found[1] + (found[2] and r"\'"), text) + "'"


def in_file(error: BaseException) -> str | None:
    """Return the line for an unknown key, or a value of another type, in a file of settings; None for other errors."""
    found = re.match(r"In '(.+)': .*\n(.*)\n\s*full_key: (\w+)\.(\w+)", str(error))
    if found is None or found[3] not in GROUPS:
        return None
    key, names = f"{found[3]}.{found[4]}", [one.name for one in fields(GROUPS[found[3]])]
    return f"{found[1]}.yaml: {found[2] if found[4] in names else f'{key} is no setting; {meant(key, names)}'}"
