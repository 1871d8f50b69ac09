"""Import the user's own modules, which add rows to the tables of backbones, heads, losses and crops."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from mammo.config import Config
from mammo.errors import InputError
from mammo.run_folder import RunFolder
from mammo.trust import consent


def load_plugins_of(run: RunFolder) -> None:
    """Import the modules that a run names, if all code that its settings name may be run; see `RunFolder.check_code`.

    Raises:
        InputError: The settings name code, and the user has not allowed it; or see `load_plugins`.
    """
    run.check_code()
    load_plugins(run.config.plugins)


def load_own(config: Config) -> None:
    """Import the modules that the user's own settings name; what these name is run without asking in this process."""
    consent(config.as_dict())
    load_plugins(config.plugins)


def load_plugins(names: Any) -> None:
    """Import modules, or files that end in `.py`, from the working directory; each once in a process.

    Raises:
        InputError: A module does not exist, or its import fails; the line tells the error.
    """
    several = [names] if isinstance(names, str) else [] if names is None else names
    if not isinstance(several, list | tuple) or not all(isinstance(name, str) for name in several):
        raise InputError(f"plugins={names}: expected a module or a file, or several as plugins=[a,b.py]")
    for name in several:
        if str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        module = Path(name).stem if name.endswith(".py") else name
        if name.endswith(".py") and not Path(name).is_file():
            raise InputError(f"plugins={name}: no such file in {Path.cwd()}; name a file or a module that is there")
        try:
            if name.endswith(".py") and module not in sys.modules:
                spec = importlib.util.spec_from_file_location(module, name)
                loaded = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
                sys.modules[module] = loaded  # before it runs, so that its classes can be pickled
                spec.loader.exec_module(loaded)  # type: ignore[union-attr]
            importlib.import_module(module)
        except (Exception, SystemExit) as error:
            sys.modules.pop(module, None)
            raise InputError(f"plugins={name}: {type(error).__name__}: {error}") from error
