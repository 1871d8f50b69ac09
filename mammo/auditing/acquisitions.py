"""The films that are one acquisition, or of one exam or patient, by the headers of their files."""

import math
from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from mammo.auditing.people import PLACEHOLDER
from mammo.formats.header import Header
from mammo.tables.patients import somebody
from mammo.wording import number_of

MOST = 4  # films that may state one UID, or fit one date, time and dose; more share a placeholder


def in_two_parts(films: pd.DataFrame, headers: Sequence[Header], *, own: bool) -> tuple[list[str], list[str]]:
    """Return the leaks that the headers of films tell, and notes, one line each.

    Two films are one acquisition if they state one SOPInstanceUID, or one date and time to the second. Then two doses,
    lateralities or views that differ separate them; one that a single film of the two states does not. They are of one
    exam by the StudyInstanceUID, and of one patient by the PatientID: these are told if the names of the patients do
    not tell them.

    Args:
        films: A table with `name`, `patient` and `split`.
        headers: The header of each film.
        own: True if a film of no part counts too, see `audit.by_pixels`.
    """
    facts = pd.DataFrame(
        {
            "uid": [one.acquisition for one in headers],
            "taken": [one.taken for one in headers],
            "exam": [one.exam for one in headers],
            "id": [one.patient for one in headers],
        },
        index=films.index,
        dtype="string",
    )
    facts["id"], _ = somebody(facts["id"])
    of = dict(zip(films.index, headers, strict=True))
    leaks, notes, told = list[str](), list[str](), set[tuple[int, int]]()
    kinds = {
        "uid": ("one acquisition (SOPInstanceUID)", MOST, False),
        "taken": ("one acquisition (date, time and dose)", MOST, False),
        "exam": ("one exam (StudyInstanceUID)", PLACEHOLDER, True),
        "id": ("one patient (PatientID)", PLACEHOLDER, True),
    }
    for column, (what, most, of_patient) in kinds.items():
        sizes = facts[column].map(facts[column].value_counts())
        if column == "taken":  # more films than these at one second are of a placeholder
            known = facts[column][sizes.between(2, PLACEHOLDER)]
            groups = known.index.groupby(known).values()
            fitting = {one: sum(_fit(of[one], of[other]) for other in group) for group in groups for one in group}
            sizes = sizes.where(sizes > PLACEHOLDER, pd.Series(fitting, films.index, float))
        if odd := int((sizes > most).sum()):
            these = number_of(odd, "film states", "films state")
            notes.append(f"{what}: {these} one that more than {most} films have, and it is not used")
        several = films[sizes.between(2, most)]
        if of_patient:  # most groups are those of one known patient, and no leak
            patients = several["patient"].groupby(facts[column])
            known, all_of = (patients.transform(count) for count in ("count", "size"))
            several = several[(patients.transform("nunique") > 1) | (known < all_of)]
        for _, group in several.groupby(facts[column], sort=False):
            for pair in combinations(group.index, 2):
                if column == "taken" and not _fit(of[pair[0]], of[pair[1]]):
                    continue
                where = _where(films, pair, own=own, of_patient=of_patient)
                if where and pair not in told:
                    told.add(pair)
                    leaks.append(f"{what} {where}")
    return leaks, notes


def _fit(one: Header, other: Header) -> bool:
    """Tell whether two films of one second may be one acquisition by their dose, laterality and view."""
    doses = [header.dose for header in (one, other) if header.dose is not None]
    if len(doses) == 2 and not math.isclose(*doses, rel_tol=1e-4):
        return False
    return all(
        None in pair or pair[0] == pair[1] for pair in ((one.laterality, other.laterality), (one.view, other.view))
    )


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
