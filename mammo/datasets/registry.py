"""The data sets by name: one row each, and more where a user adds them."""

from typing import Any

from mammo.config import DataConfig
from mammo.datasets.base import Dataset
from mammo.datasets.mias import MIAS
from mammo.datasets.phantom import Phantom
from mammo.errors import InputError
from mammo.targets import build

DATASETS: dict[str, Any] = {"mias": MIAS, "phantom": Phantom}  # a class, or another callable that returns a Dataset
GENERAL = ("spacing_mm", "batch_size", "workers", "cache", "fold", "folds")  # keys of how any data set is loaded
CONTRACT = ("name", "licence", "citation", "prepare", "findings", "read", "digest")


def open_dataset(config: DataConfig) -> Dataset:
    """Return the data set of these settings, made with those that its constructor takes.

    Raises:
        InputError: An unknown name, a class that is none or cannot be imported, or a setting that it does not take.
    """
    dataset = build("data", config, DATASETS, GENERAL)
    if lacking := [name for name in CONTRACT if not hasattr(dataset, name)]:
        raise InputError(
            f"data: {type(dataset).__name__} is no data set, it has no {', '.join(lacking)}; "
            "expected what mammo.datasets.base.Dataset lists"
        )
    return dataset
