"""Fields of the configuration: a default, the values that fit, and the words for them in errors and in the help."""

import json
from collections.abc import Callable
from dataclasses import field, fields, is_dataclass
from typing import Any

from mammo.errors import InputError


def number(default: float | None, low: float, high: float = float("inf"), *, below: float = float("inf")) -> Any:
    """Return a field that holds a number from `low` to `high`, and less than `below`."""
    words = f"a number from {low:g} to {high:g}" if high < float("inf") else f"a number, {low:g} or larger"
    words = f"a number from {low:g} to below {below:g}" if below < float("inf") else words
    return checked(default, lambda v: low <= v <= high and v < below, words)


def whole(default: int | None, low: int, high: float = float("inf"), *, null: bool = False) -> Any:
    """Return a field that takes a whole number from `low` to `high`; and null if told, or if the default is null."""
    null = null or default is None
    limits = f", {low} or larger" if high == float("inf") else f" from {low} to {high}"
    words = f"{'null, or ' * null}a whole number{limits}"
    return checked(default, lambda v: (null and v is None) or (isinstance(v, int) and low <= v <= high), words)


def one_of(default: Any, *known: Any) -> Any:
    """Return a field that holds one of a few words."""
    words = [str(one).lower() if isinstance(one, bool) else str(one) for one in known]
    made = checked(default, lambda v: v in known, f"{', '.join(words[:-1])} or {words[-1]}")
    return field(default=default, metadata={**made.metadata, "known": known})


def checked(default: Any, fits: Callable[[Any], bool], expected: str) -> Any:
    """Return a field that holds a value which `fits` accepts."""
    return field(default=default, metadata={"fits": fits, "expected": expected})


def check_ranges(section: Any, prefix: str = "") -> None:
    """Refuse the first value of a dataclass, or of one inside it, that is out of its range."""
    for one in fields(section):
        value, key = getattr(section, one.name), f"{prefix}{one.name}"
        if is_dataclass(value):
            check_ranges(value, f"{key}.")
        elif value is None and one.default is None:
            continue
        elif isinstance(value, list) and one.type is not Any and any(isinstance(inner, list | dict) for inner in value):
            raise InputError(f"{key}={value}: expected a list of words or numbers")  # OmegaConf lets these pass
        elif "fits" in one.metadata and (_is_switch(value, one.metadata) or not one.metadata["fits"](value)):
            raise InputError(f"{key}={value}: expected {one.metadata['expected']}")


def _is_switch(value: Any, metadata: Any) -> bool:
    """Tell if a value is true or false where a number or a word is expected; Python takes true for 1."""
    return isinstance(value, bool) and not any(value is one for one in metadata.get("known", ()))


def mapping_of(key: str, value: object) -> dict[str, Any]:
    """Return a value that must be a mapping; nothing is an empty one."""
    if value is not None and not isinstance(value, dict):
        raise InputError(f"{key}={value}: expected names with values, say {key}={{name: value}}")
    return value or {}


def json_of(key: str, text: str) -> Any:
    """Return what a setting holds that is written in JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{key}={text}: expected JSON ({error})") from None
