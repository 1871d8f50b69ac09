"""The user's consent to code that settings name: `plugins`, and classes of the user's own (`_target_`).

A command that the user types may name any code. The settings of a run folder or an ONNX file may be somebody else's,
so the code that they name is refused unless the user has named it in this process, or trusts the folder.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mammo.errors import InputError

TRUST = "MAMMO_TRUST"  # the environment variable with the trusted folders, separated as in PATH
HYDRA = re.compile(  # words to Hydra that run nothing: folders, counts, and what a job asks of a cluster
    r"hydra/(launcher|sweeper)=\w+|hydra\.(mode|verbose|output_subdir|job\.(name|chdir|num|id))=[^\n]*"
    r"|hydra\.(run|sweep)\.\w+=[^\n]*|hydra\.sweeper\.(n_trials|n_jobs|direction|study_name|sampler\.seed)=[\w.-]+"
    r"|hydra\.sweeper\.storage=\W?(sqlite|postgresql|mysql)\b[^\n]*"
    r"|hydra\.launcher\.(n_jobs|timeout_min|nodes|tasks_per_node|cpus_per_task|gpus_per_node|mem_gb|partition|account"
    r"|qos|constraint|array_parallelism|signal_delay_s|max_num_timeout|name)=[\w.:-]+"
)
# A flag, or a file that is none of an option; in JSON, \u makes a letter; ${ makes a word of others
CODE = re.compile(r"-|[^=]*(\.\.|[@/])|plugins\b|.*_target_|.*\\u|(data|crop)\b.*\$\{", re.DOTALL)
_named: set[str] = set()  # code that the user's own settings name in this process


def code_in(settings: Any, key: str = "") -> list[str]:
    """Return the settings that name Python code, as `<key>=<name>`, however deep they stand."""
    if isinstance(settings, list | tuple):
        return [found for number, one in enumerate(settings) for found in code_in(one, f"{key}[{number}]")]
    if not isinstance(settings, dict):
        return []
    found = []
    for name, one in settings.items():
        inner = f"{key}.{name}" if key else str(name)
        if inner == "plugins":
            found += [f"{inner}={each}" for each in (one if isinstance(one, list | tuple) else [one] if one else [])]
        elif name == "_target_" and one is not None:
            found.append(f"{inner}={one}")
        else:
            found += code_in(one, inner)
    return found


def consent(settings: dict[str, Any]) -> None:
    """Note the code that settings name, as the user gave these settings."""
    for one in code_in(settings):
        key, _, name = one.partition("=")
        _named.update({one, f"{key}={Path(name).name}"})  # a portable folder names the file of a plugin alone


def check_code(path: Path, settings: dict[str, Any]) -> None:
    """Refuse code that the settings of a folder or file name, unless its user named it too, or trusts the folder.

    Raises:
        InputError: The settings name other code.
    """
    others = [one for one in code_in(settings) if one not in _named]
    if others and not trusted(path):
        raise refused(path, others[0])


def check_words(folder: Path, words: Sequence[str]) -> None:
    """Refuse words of a command line that a folder has kept, if they name code and the user does not trust the folder.

    Raises:
        InputError: A word names code, or tells Hydra more than folders, counts and sizes.
    """
    for word in () if trusted(folder) else words:
        plain = word.strip().lstrip("+~")
        if not HYDRA.fullmatch(plain) and (plain.startswith("hydra") or CODE.match(plain)):
            raise refused(folder, word)


def refused(path: Path, code: str) -> InputError:
    """Return the error that says which code a folder or file names, and how the user allows it."""
    return InputError(
        f"{path}: its settings name code that would be run, {code}; if you trust its author as much as a program that "
        f"you start, set the environment variable {TRUST}={path}"
    )


def trusted(path: Path) -> bool:
    """True if the user trusts a folder or file, or a folder that it is in (`MAMMO_TRUST`)."""
    where = path.expanduser().resolve()
    named = [Path(one).expanduser().resolve() for one in os.environ.get(TRUST, "").split(os.pathsep) if one]
    return any(one == where or one in where.parents for one in named)
