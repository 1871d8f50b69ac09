"""The options of the command line's groups, `model=`, `loss=`, `experiment=`: the files in `conf/<group>/`."""

import importlib.util
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from mammo.errors import InputError
from mammo.processes import peers, resume

PLUGINS = {  # options that need an extra, and a module that the extra installs
    "sweep=tune": "hydra_plugins.hydra_optuna_sweeper",
    "hydra/launcher=joblib": "hydra_plugins.hydra_joblib_launcher",
    "hydra/launcher=submitit_local": "hydra_plugins.hydra_submitit_launcher",
    "hydra/launcher=submitit_slurm": "hydra_plugins.hydra_submitit_launcher",
}


def check_choices(arguments: list[str], conf: Path) -> None:
    """Refuse an unknown flag, and an unknown option of a group, with one line; Hydra would print many.

    Args:
        arguments: The command line.
        conf: The folder of groups.

    Raises:
        InputError: A flag or an option is unknown.
    """
    flags: Any = get_args_parser()
    flags.error = _refuse
    known, others = flags.parse_known_args(arguments)
    folders = [conf, *([Path(known.config_dir)] if known.config_dir else [])]
    if odd := [word for word in others if word.startswith("-")]:
        _refuse(f"no such option: {odd[0]}")
    parser = OverridesParser.create()
    for argument in arguments:
        if argument in PLUGINS and not all(map(importlib.util.find_spec, ("hydra_plugins", PLUGINS[argument]))):
            raise InputError(f"{argument} needs more packages: pip install -e '.[sweep]'")
        group, separator, _ = argument.partition("=")
        group = group.lstrip("+")
        if not separator or not group or not (conf / group).is_dir():
            continue
        options = sorted(path.stem for folder in folders for path in (folder / group).glob("*.yaml"))
        for option in _asked(parser, argument):
            if option not in options:
                wrong = "is no option, leave it out for the default" if option == "null" else "is unknown"
                raise InputError(f"{group}={option} {wrong}; expected one of {', '.join(options)}")


def _asked(parser: OverridesParser, argument: str) -> Iterable[str]:
    """Return the options that a word names; none for a pattern, which names existing files only."""
    try:
        override = parser.parse_override(argument)
    except HydraException:
        return []  # Hydra itself reports the error
    if isinstance(override.value(), Glob):
        return []
    return override.sweep_string_iterator() if override.is_sweep_override() else [_plain(override.value())]


def check_line(arguments: list[str], conf: Path) -> None:
    """Compose a command line and check it before Hydra makes a folder. Each value of a sweep is checked once.

    Args:
        arguments: The command line.
        conf: The folder of groups.

    Raises:
        InputError: A setting is wrong; errors of Hydra itself are passed on.
    """
    from mammo.runs import checks, settings, unread

    together = peers.peers()
    known, _ = get_args_parser().parse_known_args(arguments)
    if known.cfg or known.help or known.hydra_help or known.info or known.shell_completion:
        return
    jobs, name = [], None
    for line in lines_of(known.overrides, sweep=known.multirun):
        own, hydra_cfg = _composed(line, conf, known.config_dir)
        if (name := hydra_cfg["runtime"]["choices"].get("sweep")) and not known.multirun:
            raise InputError(f"sweep={name} starts several jobs; add -m, python train.py -m sweep={name}")
        words = [one for one in line if not one.startswith("hydra")]
        config = settings.resolve(own, words)
        jobs.append((config, words))
        named = hydra_cfg["sweep" if known.multirun else "run"]["dir"]
        checks.check(config, Path("outputs" if "${" in named else named))
        first = together is None or together.rank == 0  # the other ranks share its folder
        if "${" not in named and not known.multirun and first:
            resume.wait_until_free(Path(named))  # before Hydra writes there
    parsed = OverridesParser.create().parse_overrides(known.overrides)
    if not any(isinstance(one.value(), Glob) for one in parsed):  # whose files may be of any variant
        unread.check_read(jobs, name)


def _composed(line: list[str], conf: Path, own: str | None) -> tuple[DictConfig, dict[str, Any]]:
    """Return what Hydra composes of a line: the settings of the program, and those of Hydra itself.

    Args:
        line: The words of a single run.
        conf: The folder of groups.
        own: The user's folder of more groups; None if there is none.
    """
    where = [f"hydra.searchpath=[file://{Path(own).absolute()}]"] if own else []
    with initialize_config_dir(str(conf), version_base="1.3"):
        composed = compose("config", [*line, *where], return_hydra_config=True)
    hydra_cfg: Any = OmegaConf.to_container(composed.hydra, resolve=False)
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"]), hydra_cfg


def lines_of(overrides: list[str], *, sweep: bool) -> list[list[str]]:
    """Return the lines of single runs to check. For a sweep, each value occurs in one, but at most 20 of a key."""
    if not sweep:
        return [overrides]
    parsed = OverridesParser.create().parse_overrides(overrides)
    plain = [str(one.input_line) for one in parsed if not one.is_sweep_override()]
    swept = {
        one.key_or_group: [f"{one.key_or_group}={value}" for value in islice(one.sweep_string_iterator(), 20)]
        for one in parsed
        if one.is_sweep_override() and not isinstance(one.value(), Glob)
    }
    first = {key: values[0] for key, values in swept.items()}
    others = [first | {key: value} for key, values in swept.items() for value in values[1:]]
    return [[*plain, *line.values()] for line in [first, *others]]


def _refuse(message: str) -> None:
    raise InputError(f"{message}; see python train.py --help")


def _plain(value: object) -> str:
    return value.text if isinstance(value, QuotedString) else "null" if value is None else str(value)
