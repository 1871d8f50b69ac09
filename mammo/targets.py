"""Objects built from a group of the configuration: a class known by its name, or a user's class (`_target_`)."""

import importlib
import sys
from collections.abc import Collection, Mapping
from dataclasses import fields
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from mammo.errors import InputError


def find_target(path: str, key: str) -> Any:
    """Import an object by its path, such as `my_lab.Films`; modules in the current folder are found.

    Args:
        path: The module and the name, joined by a dot.
        key: The setting that holds the path, for the error.

    Raises:
        InputError: The module or the name does not exist.
    """
    module, _, name = path.rpartition(".")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{key}={path}: cannot be imported ({error}); expected module.Class") from error


def build(
    group: str, config: Any, known: Mapping[str, Any], general: Collection[str] = (), methods: Collection[str] = ()
) -> Any:
    """Build the object that a group of the configuration describes.

    Its class gets the keys that differ from their defaults, those that it requires, and `arguments`.

    Args:
        group: The name of the group, for errors.
        config: The dataclass of the group, with `name`, `_target_` and `arguments`.
        known: The built-in classes by name, or their import paths.
        general: Further keys of the group, which no class takes.
        methods: The methods that a user's class must have; nothing else is called.

    Raises:
        InputError: The name is unknown, the class cannot be imported, or it does not take a key.
    """
    if config._target_ is None and config.name not in known:
        names = ", ".join(known)
        raise InputError(f"{group}.name={config.name} is unknown; expected one of {names}, or {group}._target_")
    named = f"{group}={config.name}" if config._target_ is None else f"{group}._target_={config._target_}"
    cls: Any = known[config.name] if config._target_ is None else config._target_
    if isinstance(cls, str):
        cls = find_target(cls, f"{group}._target_")
    if config._target_ is not None:
        _check_class(cls, named, methods)
    takes = signature(cls).parameters
    lists = ", ".join(takes) or "nothing"
    any_key = any(one.kind is Parameter.VAR_KEYWORD for one in takes.values())
    required = {name for name, one in takes.items() if one.default is Parameter.empty}
    given = {}
    for one in fields(config):
        value = getattr(config, one.name)
        if one.name in {"name", "_target_", "arguments", *general}:
            continue
        if value == one.default and one.name not in required:
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


def _check_class(found: Any, named: str, methods: Collection[str]) -> None:
    """Refuse what is no class, or lacks a method: to call a function that settings name would be to run it."""
    if not isinstance(found, type):
        raise InputError(f"{named}: expected a class, found {type(found).__name__}; name a class of your own")
    if lacking := [name for name in methods if not callable(getattr(found, name, None))]:
        raise InputError(f"{named}: {found.__name__} has no method {', '.join(lacking)}; add it, or name another class")


def settings_of(made: Any, known: Mapping[str, Any], group: str) -> dict[str, Any]:
    """Return the settings that make an object again, in another process or in a later evaluation.

    Args:
        made: The object. Its class keeps each argument of its constructor as an attribute of that name.
        known: The built-in classes by name, or their import paths.
        group: The group of the settings, for errors.

    Raises:
        InputError: The object lacks such an attribute.
    """
    cls = type(made)
    names = [name for name, row in known.items() if row in (cls, f"{cls.__module__}.{cls.__qualname__}")]
    settings: dict[str, Any] = {"name": names[0]} if names else {"_target_": f"{cls.__module__}.{cls.__qualname__}"}
    for name, parameter in signature(cls).parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if not hasattr(made, name):
            raise InputError(
                f"{group}: {cls.__name__} has no attribute {name}, so it cannot be made again; "
                f"write self.{name} = {name} in its constructor"
            )
        value = getattr(made, name)
        value = str(value) if isinstance(value, Path) else value
        if value != parameter.default:
            settings[name] = value
    return settings
