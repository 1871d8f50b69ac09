"""The cutter of a run, which cuts the squares of films as the settings of the run say."""

from mammo.config import Config
from mammo.datasets.base import Dataset
from mammo.paths import home
from mammo.preprocessing.cutting import Cutter


def cutter_of(dataset: Dataset, config: Config) -> Cutter:
    """Return the cutter of a run on the films of a data set."""
    return Cutter(
        dataset.read,
        shown=config.model.image_size,
        margin=config.augment.margin,
        bits=config.crop.bits,
        digest_of=dataset.digest,
        home=home() / "crops" if config.data.cache else None,
    )
