"""The data sets: what lies on disk, read into films and a findings table. The classes load when first used."""

from importlib import import_module
from typing import Any

_PLACES = {
    "MIAS": "mammo.datasets.mias",
    "Phantom": "mammo.datasets.phantom",
    "Table": "mammo.datasets.table",
    "Union": "mammo.datasets.union",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'mammo.datasets' has no attribute {name!r}; it offers {', '.join(_PLACES)}")
    return getattr(import_module(_PLACES[name]), name)
