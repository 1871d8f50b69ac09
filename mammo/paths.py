"""The folders of data and caches (`MAMMO_HOME`) and of the configuration (beside or inside the package)."""

import os
from pathlib import Path


def home() -> Path:
    """Return the folder of data and caches: `MAMMO_HOME`, by default `~/.cache/mammo`."""
    return Path(os.environ.get("MAMMO_HOME", "~/.cache/mammo")).expanduser()


def conf() -> Path:
    """Return the folder of the configuration's groups: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    return package / "conf" if (package / "conf").is_dir() else package.parent / "conf"
