"""The audit before training: images that are one under two names, in two data sets or in two parts of an own split."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from mammo.auditing.compared import kept_for
from mammo.auditing.duplicates import find_pairs
from mammo.auditing.hashes import records_of
from mammo.auditing.sources import Films
from mammo.auditing.words import FEW
from mammo.formats.header import read_headers
from mammo.wording import number_of

Rows = tuple[int, int]  # the rows of two films
PATIENTS = (
    3  # who may share the StudyInstanceUID of an exam by the names of several data sets; more share a placeholder
)


@dataclass
class Across:
    """The result of the audit before training.

    Attributes:
        pixels: The pairs of images in two parts of the split that have the same pixels or the same acquisition.
        exams: The pairs of images in two parts of the split that are of one exam, and of two patients by their names.
        notes: All that was compared and found, one line each. It names images, and no patient.
    """

    pixels: list[tuple[str, str]] = field(default_factory=list)
    exams: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def audit_across(films: Films, datasets: pd.Series, within: pd.Series) -> Across:
    """Compare the images of several data sets, and those of the parts of a split, by their headers and pixels.

    Two images have the same acquisition if their headers state one SOPInstanceUID, and are of one exam if these state
    one StudyInstanceUID. An SOPInstanceUID that several images of a data set state is not used, nor is a
    StudyInstanceUID of more than `PATIENTS` patients.

    Args:
        films: The films, with the part of the split of each; an image in several parts has them joined by a plus.
        datasets: The data set of each film, in the order of the films.
        within: (films,) bool, whether a film is compared with those of its own data set in other parts of the split.
    """
    table = films.table.assign(dataset=datasets.to_numpy())
    table["group"] = table["dataset"] + (" " + table["split"]).where(within.to_numpy(bool), "")
    headers = read_headers(list(table["path"]))
    for of in ("acquisition", "exam"):
        table[of] = pd.Series([getattr(one, of) for one in headers], dtype="string")
    odd = _placeholders(table)
    same: dict[Rows, list[str]] = {pair: ["one SOPInstanceUID"] for pair in _stating_one(table, "acquisition")}
    pairs, reasons = _of_same_pixels(table, films)
    for pair, proof in pairs.items():
        same.setdefault(pair, []).append(proof)
    met = [pair for pair in _stating_one(table, "exam") if table["patient"][pair[0]] != table["patient"][pair[1]]]
    found = Across(_in_two_parts(table, same), _in_two_parts(table, met))
    none = "; none has the same pixels or the same acquisition" * (not same and len(reasons) < len(table))
    found.notes += [_compared(table, table.drop(index=list(reasons))) + none, *odd]
    if same:
        listed = [f"{_named(table, pair)}: {', '.join(why)}" for pair, why in same.items()]
        found.notes.append(
            f"**{len(same)} pairs of images are the same by their pixels or headers, {len(found.pixels)} of them in "
            f"two parts of the split: {_some(listed)}**"
        )
    if met:
        found.notes.append(
            f"**{len(met)} pairs of images are of one exam by their headers, but of two patients by their names, "
            f"{len(found.exams)} of them in two parts of the split: {_some([_named(table, pair) for pair in met])}**"
        )
    if reasons:
        first = table["name"][min(reasons)]
        found.notes.append(
            f"the audit could not see the pixels of {number_of(len(reasons), 'image')}, {first} for example; "
            "the same picture may be in two parts"
        )
    return found


def _placeholders(table: pd.DataFrame) -> list[str]:
    """Remove the UIDs that cannot be what they should be, for example one that a program writes into all headers.

    Returns:
        A note for each kind of UID.
    """
    notes = []
    for column, of, most, name, what in (
        ("acquisition", ["acquisition", "dataset"], 1, "SOPInstanceUID", "several images of one data set"),
        ("exam", ["exam"], PATIENTS, "StudyInstanceUID", f"more than {PATIENTS} patients"),
    ):
        counted = table.groupby(of)["name" if column == "acquisition" else "patient"].nunique()
        odd = table[column].isin(counted[counted > most].index.get_level_values(column))
        if odd.any():
            first = table.loc[odd, "name"].iloc[0]
            notes.append(f"the {name} of {odd.sum()} images is that of {what}, and is not used; {first} for example")
            table.loc[odd, column] = pd.NA
    return notes


def _stating_one(table: pd.DataFrame, column: str) -> Iterator[Rows]:
    """Yield the pairs of films of two groups that state the same."""
    known = table[[column, "group"]].dropna()
    known = known[known.groupby(column)["group"].transform("nunique") > 1]
    for _, same in known.groupby(column, sort=False):
        for one, other in combinations(same.index, 2):
            if same["group"][one] != same["group"][other]:
                yield int(one), int(other)


def _of_same_pixels(table: pd.DataFrame, films: Films) -> tuple[dict[Rows, str], dict[int, str]]:
    """Return the pairs of films of two groups that have the same pixels, each with its proof, and what was not read."""
    described, reasons = records_of([Path(path) for path in table["path"]], films.source_of_each())
    rows = np.delete(np.arange(len(table)), list(reasons))
    found = dict[Rows, str]()
    if len(described):
        pairs = find_pairs(described, pd.factorize(table["group"])[0][rows], kept_for(films.source_of_each()))
        for first, second, symmetry, alike in pairs.same():
            found[int(rows[first]), int(rows[second])] = f"correlation {alike:.3f}, {symmetry}"
    return found, reasons


def _in_two_parts(table: pd.DataFrame, pairs: Iterable[Rows]) -> list[tuple[str, str]]:
    """Return the names of the pairs that lie, or of which copies lie, in two parts of the split."""
    parts = [set(words.split("+")) for words in table["split"]]
    return [(table["name"][one], table["name"][other]) for one, other in pairs if len(parts[one] | parts[other]) > 1]


def _compared(table: pd.DataFrame, seen: pd.DataFrame) -> str:
    """Return what was compared, in words; `seen` are the films whose pixels could be."""
    several = list(table["dataset"].unique())
    what = " and ".join(several) if len(several) > 1 else f"the parts of the split of {several[0]}"
    sizes = seen["group"].value_counts().to_numpy()
    pairs = (len(seen) ** 2 - int((sizes**2).sum())) // 2
    return f"audit across {what}: {number_of(len(seen), 'image')}, {number_of(pairs, 'pair')}"


def _named(table: pd.DataFrame, pair: Rows) -> str:
    """Return the names of two images, with the data set and the part of the split of each."""
    first, second = (f"{table['name'][row]} ({table['dataset'][row]}, {table['split'][row]})" for row in pair)
    return f"{first} and {second}"


def _some(lines: list[str]) -> str:
    return "; ".join(lines[:FEW]) + f"; and {len(lines) - FEW} more" * (len(lines) > FEW)
