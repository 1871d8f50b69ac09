"""Objects made from a group of the configuration: a row of a table by its name, or a user's class (`_target_`)."""

import importlib
import sys
from collections.abc import Collection, Mapping
from dataclasses import fields
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from mammo.errors import InputError


def find_target(path: str, key: str) -> Any:
    """Return what an import path names, say `my_lab.Films`; modules of the current folder are found.

    Args:
        path: Module and name.
        key: The setting that named it, for the error.

    Raises:
        InputError: There is no such module or name.
    """
    module, _, name = path.rpartition(".")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{key}={path}: cannot be imported ({error}); expected module.Class") from error


def build(group: str, config: Any, known: Mapping[str, Any], general: Collection[str] = ()) -> Any:
    """Return the object that a group of the configuration asks for.

    Its class gets the keys that differ from their defaults, those that it requires, and `arguments`.

    Args:
        group: Its name, for errors.
        config: Its dataclass, with `name`, `_target_` and `arguments`.
        known: The classes by name.
        general: Further keys that are no class's own.

    Raises:
        InputError: An unknown name, a class that cannot be imported, or a key that the class does not take.
    """
    if config._target_ is None and config.name not in known:
        names = ", ".join(known)
        raise InputError(f"{group}.name={config.name} is unknown; expected one of {names}, or {group}._target_")
    named = f"{group}={config.name}" if config._target_ is None else f"{group}._target_={config._target_}"
    cls = known[config.name] if config._target_ is None else find_target(config._target_, f"{group}._target_")
    takes = signature(cls).parameters
    lists = ", ".join(takes) or "nothing"
    any_key = any(one.kind is Parameter.VAR_KEYWORD for one in takes.values())
    given = {}
    for one in fields(config):
        value = getattr(config, one.name)
        required = one.name in takes and takes[one.name].default is Parameter.empty
        if one.name in {"name", "_target_", "arguments", *general} or (value == one.default and not required):
            continue
        if one.name not in takes and not any_key:
            raise InputError(f"{group}.{one.name}={value} does nothing with {named}, which takes {lists}")
        given[one.name] = value
    given |= dict(config.arguments)
    try:
        signature(cls).bind(**given)
    except TypeError as error:
        raise InputError(f"{named}: {error}; it takes {lists}") from None
    return cls(**given)
