"""The patients of films by the names of files and by headers, and patients that are written in two ways."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import pandas as pd

from mammo.auditing.sides import COUNT, part_of
from mammo.auditing.words import FEW, some
from mammo.datasets.findings import STRING
from mammo.errors import InputError
from mammo.formats.header import Header
from mammo.tables.paths import pattern_of
from mammo.tables.patients import alike, somebody
from mammo.tables.spellings import SIDES, VIEW, side_and_view
from mammo.wording import number_of

PLACEHOLDER = 20  # films from which on a PatientID that half of all films state is taken for a placeholder


def by_names(films: pd.DataFrame, pattern: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the films with the patients that their names tell, and notes.

    Args:
        films: A table with `name`, and `patient`.
        pattern: A regular expression that is searched in each name; the patient is its group `patient`, else its first
            group, else all of what matches. A film whose name does not match keeps its patient.

    Raises:
        InputError: The expression is wrong, or matches no name.
    """
    expression = pattern_of(pattern, "--patient")
    group = "patient" if "patient" in expression.groupindex else min(expression.groups, 1)
    found = [expression.search(name) for name in films["name"]]
    patients = pd.Series([(one and one[group]) or pd.NA for one in found], index=films.index, dtype=STRING)
    patients = patients.str.strip().str.normalize("NFC").replace("", pd.NA)
    if patients.isna().all():
        raise InputError(
            f"--patient: '{pattern}' matches none of the {number_of(len(films), 'name')}, {films['name'].iloc[0]} for "
            "example; write, for example, '([^/_]+)_[^/]*$' for names such as P12_L_CC.png"
        )
    notes = [f"the patients are those of the names by '{pattern}', {patients.dropna().iloc[0]} for example"]
    if patients.nunique() == len(patients) > 1:
        notes.append("each film is a patient of its own by this expression")
    if left := patients.isna().sum():
        first = films.loc[patients.isna(), "name"].iloc[0]
        these = number_of(left, "name of a film tells", "names of films tell")
        notes.append(f"{these} no patient by this expression, {first} for example")
    return films.assign(patient=patients.fillna(films["patient"])), notes


def by_headers(films: pd.DataFrame, headers: Sequence[Header]) -> tuple[pd.DataFrame, list[str]]:
    """Return the films with the PatientIDs of their headers where no patient is known, and notes."""
    told = pd.Series([one.patient for one in headers], index=films.index, dtype=STRING)
    told, notes = somebody(told, "PatientID")
    counted = told.value_counts()
    if len(counted) and counted.iloc[0] > max(PLACEHOLDER, len(films) / 2):
        notes.append(
            f"the PatientID of {number_of(counted.iloc[0], 'film')} is one and the same, and is taken for a placeholder"
        )
        told = told.mask(told == counted.index[0])
    elif len(counted) == 1 and counted.iloc[0] == len(films) > 1:
        notes.append(f"the PatientID of all {len(films)} films is one and the same: it may stand for nobody")
    if (new := told.notna() & films["patient"].isna()).any():
        notes.append(f"the patients of {number_of(new.sum(), 'film')} are the PatientIDs of their headers")
    return films.assign(patient=films["patient"].fillna(told)), notes


def alike_across(rows: pd.DataFrame) -> tuple[list[str], int]:
    """Return a note for each group of patients whose names are almost the same, with the splits of each.

    Args:
        rows: A table with `patient` and `split`.

    Returns:
        The notes, and the number of groups whose patients are in several splits.
    """
    known = rows.dropna(subset="patient")
    splits = known.groupby("patient")["split"].agg(lambda of: "+".join(sorted(set(of.dropna()))))
    groups = [*alike(splits.index), *_of_folders(splits.index)]
    across = [group for group in groups if len({splits[one] for one in group}) > 1]
    groups = [*across, *(group for group in groups if group not in across)]
    lines = []
    for group in groups[:FEW]:
        named = [f"{_quoted(one)} ({splits[one]})" if splits[one] else _quoted(one) for one in group]
        lines.append(f"{some(named, ' and ')}: one patient? They are taken as different")
    if len(groups) > FEW:
        lines.append(f"{len(groups) - FEW} more groups of patients have almost the same names")
    return lines, len(across)


def sides_across(rows: pd.DataFrame) -> list[str]:
    """Return the doubt that images of two splits are of one patient: their names differ in side and view alone.

    Args:
        rows: A table with `image_id`, `patient` and `split`; images whose patients are known are passed over.
    """
    unknown = rows[rows["patient"].isna()].dropna(subset="split").drop_duplicates(["image_id", "split"])
    unknown = unknown.assign(bare=[_without_side(name) for name in unknown["image_id"]])
    across = unknown[unknown.groupby("bare")["split"].transform("nunique") > 1]
    if across.empty:
        return []
    first = next(iter(across.groupby("bare")))[1]
    named = some([f"{name} ({part})" for name, part in zip(first["image_id"], first["split"], strict=True)], " and ")
    return [f"if images whose names differ in side and view alone, {named}, are of two patients (see --patient)"]


def _without_side(name: str) -> str | None:
    """Return what stands before side and view in the name of an image, else beside them, else above; None without."""
    path = PurePosixPath(name.replace("\\", "/"))
    words = re.split(r"[\W_]+", path.stem.casefold())
    sided = [word in SIDES or word.upper() in VIEW or side_and_view(word) is not None for word in words]
    if not any(sided):
        return None
    before, beside = words[: sided.index(True)], [word for word, side in zip(words, sided, strict=True) if not side]
    told = next((" ".join(these) for these in (before, beside) if any(map(str.isdigit, "".join(these)))), None)
    return told or next((folder.name for folder in path.parents if folder.name and part_of(folder.name) is None), None)


def _of_folders(patients: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the groups of patients whose names differ in the folder of a part alone, such as train/P1 and test/P1."""
    groups: dict[str, list[str]] = {}
    for name in (one for one in patients if "/" in one):
        inner = [
            folder for folder in name.split("/") if part_of(folder) is None and not COUNT.fullmatch(folder.casefold())
        ]
        groups.setdefault("/".join(inner), []).append(name)
    return [tuple(sorted(group)) for inner, group in sorted(groups.items()) if inner and len(group) > 1]


def _quoted(name: str) -> str:
    """Return a name; with quotation marks if it holds what cannot be seen."""
    seen = name.isprintable() and "  " not in name and name == unicodedata.normalize("NFKC", name)
    return name if seen else ascii(name)
