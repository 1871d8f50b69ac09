"""The run whose weights another one begins with (`model.weights=<run folder>`), and the patients that it has learnt."""

import hashlib
from pathlib import Path

import pandas as pd

from mammo.config import Config
from mammo.datasets.same_patients import note_of_names, same_patients
from mammo.models.weights import RunWeights
from mammo.processes import checkpoint_io
from mammo.run_folder import RunFolder
from mammo.training.prepare import Prepared


def donor_of(config: Config) -> RunFolder | None:
    """Return the run whose weights training begins with; None if nothing is trained, or no run is named."""
    named = config.model.weights
    if config.task.kind == "detection":
        return None
    if not config.fit or named in (None, "imagenet") or not (path := Path(str(named)).expanduser()).is_dir():
        return None
    return RunFolder(path).trainer


def weights_of(donor: RunFolder) -> RunWeights:
    """Return the weights of a run's chosen epoch."""
    path = donor.checkpoint
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return RunWeights(checkpoint_io.read(path)["state_dict"], digest, donor.path)


def images_of(part: str, prepared: Prepared) -> pd.DataFrame:
    """Return the images of a part (train, val or test) that gave samples: `image_id`, `patient` and `dataset`."""
    samples = [sample for sample, _ in prepared.rows_of[part]]
    table = prepared.crops.table[["image_id", "patient", "dataset"]].iloc[samples]
    return table.drop_duplicates("image_id", ignore_index=True)


def known_in(part: str, prepared: Prepared, learnt: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the patients of a part that were learnt before (see `same_patients`), and notes.

    Args:
        part: train, val or test.
        prepared: The samples of a run.
        learnt: The patients, as `RunFolder.learnt` gives them.
    """
    images = images_of(part, prepared)
    same, elsewhere = same_patients(images, learnt)
    return sorted(set(images.loc[same, "patient"])), note_of_names(images.loc[elsewhere, "patient"])
