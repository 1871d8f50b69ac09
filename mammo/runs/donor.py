"""The run whose weights another one begins with (`model.weights=<run folder>`), and the patients that it has learnt."""

import hashlib
from pathlib import Path

import pandas as pd

from mammo.config import Config
from mammo.models.weights import RunWeights
from mammo.processes import checkpoint_io
from mammo.run_folder import RunFolder, drawn_apart
from mammo.training.prepare import Prepared


def donor_of(config: Config) -> RunFolder | None:
    """Return the run whose weights training begins with; None if nothing is trained, or no run is named."""
    named = config.model.weights
    if not config.fit or named in (None, "imagenet") or not (path := Path(str(named)).expanduser()).is_dir():
        return None
    return RunFolder(path).trainer


def weights_of(donor: RunFolder) -> RunWeights:
    """Return the weights of a run's chosen epoch."""
    path = donor.checkpoint
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return RunWeights(checkpoint_io.read(path)["state_dict"], digest, donor.path)


def known_in(part: str, prepared: Prepared, config: Config, learnt: pd.DataFrame) -> list[str]:
    """Return the patients of a part that were learnt before, by the name of the data set and of the patient.

    Args:
        part: train, val or test.
        prepared: The samples of a run.
        config: The configuration of the run.
        learnt: The patients, as `RunFolder.learnt` gives them; one without a data set may be of any.
    """
    samples = [sample for sample, _ in prepared.rows_of[part]]
    patients = prepared.crops.table[["dataset", "patient"]].iloc[samples].drop_duplicates()
    anywhere = set(learnt.loc[learnt["dataset"].isna(), "patient"])
    known = set(zip(learnt["dataset"], learnt["patient"], strict=True))
    pairs = zip(drawn_apart(patients["dataset"], config.data), patients["patient"], strict=True)
    return sorted(patient for of, patient in pairs if (of, patient) in known or patient in anywhere)
