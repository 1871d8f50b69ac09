"""The films that are one acquisition, or of one exam or patient, by the headers of their files."""

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from mammo.auditing.people import PLACEHOLDER, somebody
from mammo.formats.header import Header
from mammo.wording import number_of

MOST = 4  # films that may state one UID, or one date, time and dose; more share a placeholder


def in_two_parts(films: pd.DataFrame, headers: Sequence[Header], *, own: bool) -> tuple[list[str], list[str]]:
    """Return the leaks that the headers of films tell, and notes, one line each.

    Two films are one acquisition if they state one SOPInstanceUID, or one date, time to the second and dose with one
    laterality and view. They are of one exam by the StudyInstanceUID, and of one patient by the PatientID: these are
    told if the names of the patients do not tell them.

    Args:
        films: A table with `name`, `patient` and `split`.
        headers: The header of each film.
        own: True if a film of no part counts too, see `audit.by_pixels`.
    """
    facts = pd.DataFrame(
        {
            "uid": [one.acquisition for one in headers],
            "taken": [one.taken and f"{one.taken} {one.laterality} {one.view}" for one in headers],
            "exam": [one.exam for one in headers],
            "id": [one.patient for one in headers],
        },
        index=films.index,
        dtype="string",
    )
    facts["id"], _ = somebody(facts["id"])
    leaks, notes, told = list[str](), list[str](), set[tuple[int, int]]()
    kinds = {
        "uid": ("one acquisition (SOPInstanceUID)", MOST, False),
        "taken": ("one acquisition (date, time and dose)", MOST, False),
        "exam": ("one exam (StudyInstanceUID)", PLACEHOLDER, True),
        "id": ("one patient (PatientID)", PLACEHOLDER, True),
    }
    for column, (what, most, of_patient) in kinds.items():
        sizes = facts[column].map(facts[column].value_counts())
        if odd := int((sizes > most).sum()):
            these = number_of(odd, "film states", "films state")
            notes.append(f"{what}: {these} one that more than {most} films have, and it is not used")
        several = films[sizes.between(2, most)]
        if of_patient:  # most groups are those of one known patient, and no leak
            of = several["patient"].groupby(facts[column])
            several = several[(of.transform("nunique") > 1) | (of.transform("count") < of.transform("size"))]
        for _, group in several.groupby(facts[column], sort=False):
            for pair in combinations(group.index, 2):
                where = _where(films, pair, own=own, of_patient=of_patient)
                if where and pair not in told:
                    told.add(pair)
                    leaks.append(f"{what} {where}")
    return leaks, notes


def _where(films: pd.DataFrame, pair: tuple[int, int], *, own: bool, of_patient: bool) -> str:
    """Return where two films of one acquisition, exam or patient are, in words; empty if that is no leak."""
    names, splits, patients = (films.loc[list(pair), column] for column in ("name", "split", "patient"))
    if patients.notna().all() and patients.nunique() == 1 and (of_patient or films["split"].isna().all()):
        return ""
    if films["split"].notna().any():
        if splits.isna().sum() > (1 if own else 0) or len(set("+".join(splits.fillna("none")).split("+"))) == 1:
            return ""
        what = "is in two splits"
        words = [f"{name} ({part})" for name, part in zip(names, splits.fillna("no split"), strict=True)]
    else:
        what = "would leak under any split"
        words = [f"{name} (patient {one})" for name, one in zip(names, patients.fillna("unknown"), strict=True)]
    return f"{what}: {' and '.join(words)}"
