"""The data sets by name, one row each; users add their own."""

from typing import Any

from mammo.config import DataConfig
from mammo.datasets.base import Dataset
from mammo.errors import InputError
from mammo.targets import build

# A class or another callable that returns a Dataset, or the import path of one, which is loaded when it is used
DATASETS: dict[str, Any] = {
    "mias": "mammo.datasets.mias.MIAS",
    "phantom": "mammo.datasets.phantom.Phantom",
    "table": "mammo.datasets.table.Table",
    "cbis_ddsm": "mammo.archives.cbis_ddsm.CBISDDSM",
    "cmmd": "mammo.archives.cmmd.CMMD",
    "inbreast": "mammo.archives.inbreast.INbreast",
    "mias_full": "mammo.archives.mias_full.FullMIAS",
    "rsna": "mammo.archives.rsna.RSNA",
    "vindr": "mammo.archives.vindr.VinDr",
    "union": "mammo.datasets.union.Union",
}
# Names of data sets, as their findings table has them, whose patients have names that no other data set has
BUILT_IN = frozenset(DATASETS) - {"table", "union"} | {"phantom_cr", "phantom_dr"}
GENERAL = (  # keys for loading, which no data set takes
    *("spacing_mm", "view", "laterality", "severity_source", "batch_size", "workers", "max_unreadable", "audit"),
    *("cache", "fold", "folds", "shuffle_block"),
)
METHODS = ("prepare", "findings", "read", "digest")
CONTRACT = ("name", "licence", "citation", *METHODS)


def open_dataset(config: DataConfig) -> Dataset:
    """Return the data set that these settings describe.

    Raises:
        InputError: The name is unknown, or the class cannot be imported, is not a data set or does not take a setting.
    """
    dataset = build("data", config, DATASETS, GENERAL, METHODS)
    if lacking := [name for name in CONTRACT if not hasattr(dataset, name)]:
        raise InputError(
            f"data: {type(dataset).__name__} is not a data set, because it has no {', '.join(lacking)}; "
            "add what mammo.datasets.base.Dataset lists"
        )
    return dataset
