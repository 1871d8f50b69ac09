"""The options of the command line's groups, `model=`, `loss=`, `experiment=`: the files in `conf/<group>/`."""

import importlib.util
from pathlib import Path
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, QuotedString
from hydra.errors import HydraException

from mammo.errors import InputError

PLUGINS = {  # choices that belong to an extra, and what it brings
    "sweep=tune": "hydra_plugins.hydra_optuna_sweeper",
    "hydra/launcher=joblib": "hydra_plugins.hydra_joblib_launcher",
    "hydra/launcher=submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "hydra/launcher=submitit_slurm": "hydra_plugins.hydra_submitit_launcher",
}


def check_choices(arguments: list[str], conf: Path) -> None:
    """Refuse a flag that is none of Hydra's, and an option without its file; Hydra would take many lines to say so.

    Args:
        arguments: The command line.
        conf: The folder of groups.

    Raises:
        InputError: There is one.
    """
    flags: Any = get_args_parser()
    flags.error = _refuse
    known, others = flags.parse_known_args(arguments)
    folders = [conf, *([Path(known.config_dir)] if known.config_dir else [])]
    if odd := [word for word in others if word.startswith("-")]:
        _refuse(f"no such option: {odd[0]}")
    parser = OverridesParser.create()
    for argument in arguments:
        group, separator, _ = argument.partition("=")
        group = group.lstrip("+")
        if argument in PLUGINS and not all(map(importlib.util.find_spec, ("hydra_plugins", PLUGINS[argument]))):
            raise InputError(f"{argument} needs more packages: pip install -e '.[sweep]'")
        if not separator or not group or not (conf / group).is_dir():
            continue
        try:
            override = parser.parse_override(argument)
        except HydraException:
            continue  # Hydra itself says what is wrong with it
        options = sorted(path.stem for folder in folders for path in (folder / group).glob("*.yaml"))
        if isinstance(override.value(), Glob):
            continue  # names files that are there
        asked = override.sweep_string_iterator() if override.is_sweep_override() else [_plain(override.value())]
        for option in asked:
            if option != "null" and option not in options:
                raise InputError(f"{group}={option} is unknown; expected one of {', '.join(options)}")


def _refuse(message: str) -> None:
    raise InputError(f"{message}; see python train.py --help")


def _plain(value: object) -> str:
    return value.text if isinstance(value, QuotedString) else "null" if value is None else str(value)
