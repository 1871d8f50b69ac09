"""The options of the command line's groups, `model=`, `loss=`, `experiment=`: the files in `conf/<group>/`."""

from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob

from mammo import InputError


def check_choices(arguments: list[str], conf: Path) -> None:
    """Every group's option on the command line has its file; Hydra would say so on as many lines as there are.

    Args:
        arguments: The command line.
        conf: The folder of groups.

    Raises:
        InputError: An option has none.
    """
    parser = OverridesParser.create()
    for argument in arguments:
        group, separator, value = argument.partition("=")
        if not separator or not group or not (conf / group).is_dir():
            continue
        override = parser.parse_override(argument)
        options = sorted(path.stem for path in (conf / group).glob("*.yaml"))
        if isinstance(override.value(), Glob):
            continue  # names files that are there
        asked = override.sweep_string_iterator() if override.is_sweep_override() else [value]
        for option in asked:
            if option != "null" and option not in options:
                raise InputError(f"{group}={option} is unknown; expected one of {', '.join(options)}")
