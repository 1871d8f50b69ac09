"""The data sets by name: one row each."""

from inspect import signature
from typing import Any

from mammo.datasets.mias import MIAS
from mammo.datasets.phantom import Phantom
from mammo.errors import InputError

DATASETS: dict[str, type[MIAS]] = {data.name: data for data in (MIAS, Phantom)}


def open_dataset(name: str, **settings: Any) -> MIAS:
    """The data set of that name; an unknown name or setting lists what there is.

    Args:
        name: A key of `DATASETS`.
        **settings: Arguments of its class.
    """
    if name not in DATASETS:
        raise InputError(f"data set '{name}' is unknown; expected one of {', '.join(DATASETS)}")
    known = list(signature(DATASETS[name]).parameters)
    if unknown := sorted(set(settings) - set(known)):
        raise InputError(f"data set '{name}' has no setting {', '.join(unknown)}; expected some of {', '.join(known)}")
    return DATASETS[name](**settings)
