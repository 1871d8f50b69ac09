"""The rule by which patients of two tables are the same people: the names of the patient and of the data set."""

import re

import pandas as pd

from mammo.datasets.registry import BUILT_IN
from mammo.tables.patients import alike
from mammo.wording import number_of


def same_patients(patients: pd.DataFrame, learnt: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return which rows are of patients that were learnt, and which only have such a name in another data set.

    Between built-in data sets the name of a patient is enough, as it begins with that of the archive: `mias-001` is
    the same woman in both editions of MIAS. A name in a user's table, such as P001, tells a patient only within a data
    set of the same name, because two laboratories may each have one.

    Args:
        patients: A table with `dataset` and `patient`.
        learnt: The patients that were learnt, in the same columns; one without a data set may be of any.

    Returns:
        Two Boolean series with the index of `patients`; no row is in both.
    """
    names, known = patients["patient"].astype(str), learnt["patient"].astype(str)
    same = _people(patients).isin(_people(learnt)) | names.isin(known[learnt["dataset"].isna()])
    return same, names.isin(known) & ~same


def almost_same_patients(patients: pd.DataFrame, learnt: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return which rows only have almost the name of a patient that was learnt, such as 1 and 001, see `alike`.

    Args:
        patients: A table with `dataset` and `patient`.
        learnt: The patients that were learnt, see `same_patients`.

    Returns:
        Two Boolean series with the index of `patients`: by names of the same data set, and by those of another one
        only. No row is in both, or is of a patient that was learnt.
    """
    of = {one: str(at) for at, names in enumerate(alike_names(patients["patient"], learnt["patient"])) for one in names}
    here, there = (
        table.assign(patient=table["patient"].astype(str).map(of)).dropna(subset="patient")
        for table in (patients, learnt)
    )
    within, beyond = (one.reindex(patients.index, fill_value=False) for one in same_patients(here, there))
    same, elsewhere = same_patients(patients, learnt)
    return within & ~same, beyond & ~same & ~elsewhere


def alike_names(patients: pd.Series, learnt: pd.Series) -> list[tuple[str, ...]]:
    """Return the groups of names that are almost the same, with names of both series in each."""
    names, known = (set(one.dropna().astype(str)) for one in (patients, learnt))
    groups = alike(sorted(names | known))
    return [one for one in groups if not names.isdisjoint(one) and not known.isdisjoint(one)]


def notes_of_almost(within: pd.DataFrame, beyond: pd.Series) -> list[str]:
    """Return notes about tested patients who have almost the name of a patient that was learnt; none without any.

    Args:
        within: The images of those of the same data set, with `image_id` and `patient`.
        beyond: The patients of those of another data set.
    """
    notes = []
    if count := within["patient"].nunique():
        notes.append(
            f"**{number_of(count, 'tested patient has', 'tested patients have')} almost the name of a patient learnt "
            f"(case, zeros in front, marks, a visit), that of {within['image_id'].iloc[0]} for example: one patient? "
            "They are taken as different; write each patient as in the table of the run**"
        )
    if count := beyond.nunique():
        notes.append(
            f"{number_of(count, 'tested patient has', 'tested patients have')} almost the name of a patient that the "
            "run has learnt in another data set; if they are the same people, the numbers are too good"
        )
    return notes


def note_of_names(patients: pd.Series) -> list[str]:
    """Return a note with the number of tested patients whose name was learnt in another data set; empty if none."""
    if not (count := patients.nunique()):
        return []
    return [
        f"{number_of(count, 'tested patient has', 'tested patients have')} names that the run has "
        "learnt in another data set; if they are the same people, "
        "the numbers are too good"
    ]


def _people(patients: pd.DataFrame) -> pd.Series:
    """Return a word for each row that is the same for the same patient."""
    datasets = patients["dataset"].astype("string").fillna("").astype(object)
    return datasets.mask(datasets.map(_is_built_in).astype(bool), "") + "\n" + patients["patient"].astype(str)


def _is_built_in(dataset: str) -> bool:
    """Return True for the name of a built-in data set, also with the number that a union gives to two of one name."""
    return re.sub(r"-\d+$", "", dataset) in BUILT_IN
