"""Train, judge and use classifiers of mammograms. The import is light: names load when they are first used."""

from importlib import import_module
from typing import Any

__version__ = "0.2.0.dev0"

_PLACES = {
    **dict.fromkeys(("split", "train", "test", "load_run", "predict", "compare", "audit"), "mammo.api"),
    "export": "mammo.runs.export",
    "evaluate": "mammo.reports.external",
    "recalibrate": "mammo.runs.recalibrate",
    "explain": "mammo.explaining.api",
    **dict.fromkeys(("Film", "read_film"), "mammo.datasets.film"),
    "InputError": "mammo.errors",
    "BACKBONES": "mammo.models.backbones",
    "HEADS": "mammo.models.heads",
    "LOSSES": "mammo.models.losses",
    "CROPS": "mammo.preprocessing.crops",
    "DATASETS": "mammo.datasets.registry",
}
_MODULES = {"crops": "mammo.preprocessing.crops", "datasets": "mammo.datasets", "testing": "mammo.testing"}
__all__ = [*_PLACES, *_MODULES]  # noqa: PLE0604 - names


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        found = import_module(_MODULES[name])
    elif name in _PLACES:
        found = getattr(import_module(_PLACES[name]), name)
    else:
        raise AttributeError(f"module 'mammo' has no attribute {name!r}; it offers {', '.join(__all__)}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
