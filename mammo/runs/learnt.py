"""The patients that a run has learnt, and which patients of other films are among them."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from mammo.config import DataConfig
from mammo.evaluation.predictions import WORDS
from mammo.run_folder import RunFolder

DONORS = "learnt.csv"  # the patients that the runs have learnt from which a run's weights began
PIXELS = ["size_px", "mean_grey", "black", "contrast"]  # measured on the square of a sample: equal in equal squares


def learnt_samples(run: RunFolder) -> pd.DataFrame:
    """Return the samples on which a run, and the run that it evaluates, were trained or chosen."""
    found = []
    for one in _trained(run):
        samples, everything = one.samples, one.config.select_on == "test"
        used = ("train", "val", "copies") if one.config.fit else ("val",)
        found.append(samples if everything else samples[samples["split"].isin(used)])
    return pd.concat(found, ignore_index=True)


def _trained(run: RunFolder) -> Iterator[RunFolder]:
    """Yield a run, and the run that it only evaluates, if it has not trained itself."""
    yield run
    if earlier := run.provenance.get("trained_in"):
        yield from _trained(RunFolder(Path(earlier)))


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
    names = tested["patient"].astype(str)
    here = _of(_drawn_apart(tested["dataset"], data), names)
    same = here.isin(_of(_drawn_apart(learnt["dataset"], run.config.data), learnt["patient"]))
    for one in _trained(run):
        if (one.path / DONORS).is_file():
            donors = pd.read_csv(one.path / DONORS, dtype=str, **WORDS).reindex(columns=["dataset", "patient"])
            same |= here.isin(_of(donors["dataset"], donors["patient"]))
            same |= names.isin(donors.loc[donors["dataset"].isna(), "patient"])  # may be of any data set
    elsewhere = names.isin(learnt["patient"].astype(str))
    elsewhere &= ~_of(tested["dataset"], names).isin(_of(learnt["dataset"], learnt["patient"]))
    squares = set(_squares(learnt).dropna())
    equal = _squares(tested).isin(squares)
    patients = sorted(set(tested.loc[same | equal, "patient"].astype(str)))
    notes = []
    if equal.any():
        notes.append(f"**{tested.loc[equal, 'image_id'].nunique()} tested images have the pixels of images learnt**")
    if others := set(tested.loc[elsewhere & ~same & ~equal, "patient"].astype(str)) - set(patients):
        notes.append(
            f"{len(others)} tested patients have names that the run has learnt in a data set of another name "
            f"({min(others)} for example); if they are the same people, the numbers are too good"
        )
    return patients, notes


def _drawn_apart(datasets: pd.Series, data: DataConfig) -> pd.Series:
    """Return names of data sets; the phantom of another seed gets another name, for its patients are others."""
    return datasets.replace("phantom", f"phantom-{data.film_seed}") if data.film_seed else datasets


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
