"""The patients that a run has learnt, and which patients of other films are among them."""

from pathlib import Path

import pandas as pd

from mammo.config import DataConfig
from mammo.evaluation.predictions import WORDS
from mammo.run_folder import RunFolder

DONORS = "learnt.csv"  # the patients that the runs have learnt from which a run's weights began
PIXELS = ["size_px", "mean_grey", "black", "contrast"]  # measured on the square of a sample: equal in equal squares


def learnt_samples(run: RunFolder) -> pd.DataFrame:
    """Return the samples on which a run, and the run that it evaluates, were trained or chosen."""
    samples, earlier = run.samples, run.provenance.get("trained_in")
    if run.config.select_on == "test":
        return samples
    if earlier is None:
        return samples[samples["split"] != "test"]
    return pd.concat([samples[samples["split"] == "val"], learnt_samples(RunFolder(Path(earlier)))])


def tested_on_learnt(run: RunFolder, tested: pd.DataFrame, data: DataConfig) -> tuple[list[str], list[str]]:
    """Return the tested patients that a run has learnt, and notes.

    A patient counts if the run has learnt one of the same name in a data set of the same name, or one of whom a sample
    has the same pixels. A name alone proves nothing, as two laboratories may each have a patient P001; so names that
    agree in data sets of other names are a note. Patients of the phantom of another seed are others.

    Args:
        run: The run that is tested.
        tested: The tested samples.
        data: The settings of the tested data set.
    """
    learnt = learnt_samples(run)
    of_tested = [_of(tested["dataset"], tested["patient"]), tested["patient"].astype(str)]
    same = of_tested[0].isin(_of(learnt["dataset"], learnt["patient"]))
    named = of_tested[1].isin(learnt["patient"].astype(str))
    if data.film_seed != run.config.data.film_seed:
        same, named = same & False, named & False
    if (run.path / DONORS).is_file():
        donors = pd.read_csv(run.path / DONORS, dtype=str, **WORDS)
        known = "dataset" in donors
        names = _of(donors["dataset"], donors["patient"]) if known else donors["patient"]
        same |= of_tested[0 if known else 1].isin(names)
    squares = set(_squares(learnt).dropna())
    equal = _squares(tested).isin(squares)
    patients = sorted(set(tested.loc[same | equal, "patient"].astype(str)))
    notes = []
    if equal.any():
        notes.append(f"**{tested.loc[equal, 'image_id'].nunique()} tested images have the pixels of images learnt**")
    if others := set(tested.loc[named & ~same & ~equal, "patient"].astype(str)) - set(patients):
        notes.append(
            f"{len(others)} tested patients have names that the run has learnt in a data set of another name "
            f"({min(others)} for example); if they are the same people, the numbers are too good"
        )
    return patients, notes


def _of(dataset: pd.Series, patient: pd.Series) -> pd.Series:
    """Return the patients with the names of their data sets."""
    return dataset.astype(str) + "\n" + patient.astype(str)


def _squares(samples: pd.DataFrame) -> pd.Series:
    """Return what was measured on each sample's square as a word; missing if it is of one grey."""
    words = [
        " ".join(f"{number:.6g}" for number in row) if row[-1] else None
        for row in samples[PIXELS].to_numpy(float).tolist()
    ]
    return pd.Series(words, samples.index, dtype=object)
