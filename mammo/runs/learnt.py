"""The patients that a run has learnt, and which patients of other films are among them."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from mammo.datasets.same_patients import almost_same_patients, note_of_names, notes_of_almost, same_patients
from mammo.run_folder import RunFolder
from mammo.wording import number_of

COUNTED = "a film counts twice, and where its two names are of two patients, intervals are too narrow"
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


def tested_on_learnt(run: RunFolder, tested: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the tested patients that a run has learnt, and notes.

    A patient counts if the run, or one that its weights began with, has learnt the same one (see `same_patients`), or
    if a sample has the same pixels as one that the run has learnt. An equal name in another data set is a note.

    Args:
        run: The run that is tested.
        tested: The tested samples.
    """
    learnt = learnt_samples(run)
    same, elsewhere = same_patients(tested, _known(run, learnt))
    equal = same_pixels(tested, learnt)
    patients = sorted(set(tested.loc[same | equal, "patient"].astype(str)))
    notes = []
    if equal.any():
        count = tested.loc[equal, "image_id"].nunique()
        notes.append(f"**{number_of(count, 'tested image has', 'tested images have')} the pixels of images learnt**")
    if not (again := copies(tested)).empty:
        said = number_of(len(again), "tested image has", "tested images have")
        one, other = again.iloc[0][["image_id", "other"]]
        notes.append(f"**{said} the pixels of another one, such as {one} those of {other}: {COUNTED}**")
    others = tested.loc[elsewhere & ~tested["patient"].isin(patients), "patient"]
    return patients, notes + note_of_names(others)


def almost_learnt(run: RunFolder, tested: pd.DataFrame, learnt: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return what `almost_known` does for a tested run; `learnt` are the tested patients that it has learnt."""
    return almost_known(tested[~tested["patient"].isin(learnt)], _known(run, learnt_samples(run)))


def almost_known(images: pd.DataFrame, learnt: pd.DataFrame) -> tuple[dict[str, list[str]], list[str]]:
    """Return the patients that only have almost the name of one learnt, as `almost_learnt` if any, and notes.

    Args:
        images: A table with `dataset`, `patient` and `image_id`.
        learnt: The patients that were learnt, see `same_patients`.
    """
    within, beyond = (images[one] for one in almost_same_patients(images, learnt))
    found = sorted(set(within["patient"].astype(str)))
    return {"almost_learnt": found} if found else {}, notes_of_almost(within, beyond["patient"])


def _known(run: RunFolder, learnt: pd.DataFrame) -> pd.DataFrame:
    """Return the patients of learnt samples, and of the runs that lent a run its weights."""
    columns = ["dataset", "patient"]
    return pd.concat([one.reindex(columns=columns) for one in (learnt, run.trainer.learnt_before)])


def same_pixels(tested: pd.DataFrame, learnt: pd.DataFrame) -> pd.Series:
    """Tell which tested samples have the pixels of a sample that was learnt."""
    return _squares(tested).isin(set(_squares(learnt).dropna()))


def copies(tested: pd.DataFrame) -> pd.DataFrame:
    """Return the tested images that have the pixels of an earlier one: `image_id`, and `other`, the earlier one."""
    squares = tested[["image_id"]].assign(square=_squares(tested)).dropna().drop_duplicates()
    squares["other"] = squares.groupby("square", sort=False)["image_id"].transform("first")
    return squares.loc[squares["image_id"] != squares["other"], ["image_id", "other"]].drop_duplicates("image_id")


def _squares(samples: pd.DataFrame) -> pd.Series:
    """Return what was measured on each sample's square as a word; missing if it is of one grey."""
    words = [
        " ".join(f"{number:.6g}" for number in row) if row[-1] else None
        for row in samples[PIXELS].to_numpy(float).tolist()
    ]
    return pd.Series(words, samples.index, dtype=object)
