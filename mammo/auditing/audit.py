"""The audit of any data: it finds patients, images, findings and pixels that are in two splits, or could be."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mammo import figures
from mammo.auditing.duplicates import Pairs, find_pairs, has_texture
from mammo.auditing.hashes import Records, records_of
from mammo.auditing.sources import FEW, Films, alike_across, find_films, place, read_split
from mammo.datasets.findings import STRING
from mammo.errors import InputError

SHOWN = 12  # pairs on the contact sheet, at most
_TITLE = 34  # characters of a name above its film, at most
_WORDS = {2: "two", 3: "three"}


@dataclass(frozen=True)
class Pair:
    """Two films with the same pixels: their names, the split or patient of each, the proof, and thumbnails."""

    names: tuple[str, str]
    where: tuple[str, str]
    proof: str
    thumbs: tuple[np.ndarray, np.ndarray]

    def __str__(self) -> str:
        first, second = (f"{name} ({where})" for name, where in zip(self.names, self.where, strict=True))
        return f"{first} and {second}: {self.proof}"


@dataclass
class Audit:
    """The result of an audit.

    Attributes:
        compared: What was compared, in one line.
        leaks: The leaks, one line each.
        notes: Other facts worth knowing, one line each.
        pairs: The pairs of films that leak by their pixels, the worst first.
        unreadable: The films that could not be looked at, with their reasons, one line each.
    """

    compared: str = ""
    leaks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the lines to print."""
        yield f"compared: {self.compared}"
        yield from (f"note: {note}" for note in self.notes)
        yield from (f"leak: {leak}" for leak in self.leaks)
        yield from (f"not looked at: {one}" for one in self.unreadable)
        lost = f"{len(self.unreadable)} could not be looked at"
        if self.leaks:
            yield f"leaks: {len(self.leaks)}" + (f"; {lost}" if self.unreadable else "")
        else:
            yield f"no leak found among the others; {lost}" if self.unreadable else "no leak found"

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def draw(self, path: Path) -> None:
        """Draw a contact sheet of the worst pairs into the file `path`, and add a note about it."""
        worst = self.pairs[:SHOWN]
        titles = [
            (f"{_short(pair.names[0])}\n{pair.where[0]}", f"{_short(pair.names[1])}\n{pair.where[1]}") for pair in worst
        ]
        captions = [f"{place}. {pair.proof}" for place, pair in enumerate(worst, start=1)]
        figures.save(figures.pairs([pair.thumbs for pair in worst], titles, captions), path)
        self.notes.append(f"the worst {len(worst)} of {len(self.pairs)} pairs are drawn in {path}")


def audit_split(split: Path) -> Audit:
    """Audit a split by the names in its rows alone; `split` is a path for `sources.read_split`.

    Raises:
        InputError: The split cannot be read.
    """
    rows = read_split(split)
    compared = f"{_count(rows)}; no pixels, because no films were given"
    return Audit(compared, list(crossing(rows)), alike_across(rows))


def audit_films(source: Path, split: Path | None = None) -> Audit:
    """Audit films by their pixels, and by the names of the splits that they are in.

    Args:
        source: A findings table or a folder of films.
        split: A path for `sources.read_split`; None uses the splits that the table or the folders give.

    Raises:
        InputError: The source or the split cannot be used.
    """
    return audit_of(find_films(source), None if split is None else read_split(split))


def audit_of(of: Films, rows: pd.DataFrame | None) -> Audit:
    """Audit films by their pixels, and by the names of the splits that they are in.

    Args:
        of: The films, from `sources.find_films`. What is computed of their pixels is kept by the name of their source.
        rows: The rows of a split from `sources.read_split`; None uses the splits of the films.

    Raises:
        InputError: None of the films can be read.
    """
    films, notes, own = of.table, list(of.notes), rows is None
    if rows is None:
        if films["split"].notna().any() and (beside := films[films["split"].isna()]).size:
            notes.append(
                f"{len(beside)} films are in no split, {beside['name'].iloc[0]} for example; a copy of a film of a "
                "split among them counts as a leak"
            )
        within = films.loc[films["split"].notna(), "patient"].dropna()
        if both := sorted(set(within) & set(films.loc[films["split"].isna(), "patient"].dropna())):
            notes.append(f"{len(both)} patients have films in a split and in none: {', '.join(both[:FEW])}")
        rows = films.assign(image_id=films["name"]).dropna(subset="split")
        rows = rows.reindex(columns=[*rows.columns, "finding_id", "patch", "copy"])
    else:
        films = place(films, rows)
        if absent := set(rows["image_id"]) - set(films["image_id"]):
            notes.append(f"{len(absent)} images of the split are not among the films, the first is {min(absent)}")
        if beside := films["split"].isna().sum():
            notes.append(f"{beside} films are not in the split")
        patients = films.drop_duplicates("image_id").set_index("image_id")["patient"]
        rows["patient"] = rows["patient"].fillna(rows["image_id"].map(patients).astype(STRING))
    people = rows if len(rows) else films
    notes += [one for one in alike_across(people) if not any(one == note for note in notes)]
    described, reasons = records_of([Path(film) for film in films["path"]], of.source_of_each())
    if not len(described):
        raise InputError(f"none of the {len(films)} films can be read: {next(iter(reasons.values()))}, for example")
    found = Audit(notes=notes, leaks=[*of.leaks, *crossing(rows)], unreadable=[*of.unreadable, *reasons.values()])
    by_pixels(films.drop(index=list(reasons)).reset_index(drop=True), described, found, own=own)
    return found


def crossing(rows: pd.DataFrame) -> Iterator[str]:
    """Yield a line for each patient, finding and image that is in several splits; `rows` come from `read_split`."""
    for (patient,), group in _in_several(rows, ["patient"]):
        one_each = group.drop_duplicates("split")
        images = ", ".join(
            f"{name} ({part})" for name, part in zip(one_each["image_id"], one_each["split"], strict=True)
        )
        yield f"patient {patient} is {_splits(group)}: {images}"
    told = set()
    lesions = rows[rows["finding_id"].notna() & (rows["finding_id"] != "0")]
    for (image, finding), group in _in_several(lesions, ["image_id", "finding_id"]):
        told.add(image)
        yield _crossed(f"finding {finding} of image {image}", group)
    for (image,), group in _in_several(rows, ["image_id"]):
        if image not in told:
            yield _crossed(f"image {image}", group)


def _in_several(rows: pd.DataFrame, key: list[str]) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    return iter(rows[rows.groupby(key)["split"].transform("nunique") > 1].groupby(key))


def _crossed(name: str, group: pd.DataFrame) -> str:
    parts = ", ".join(sorted(set(group["split"])))
    if (group["copy"].notna() & (group["copy"] != "0")).any():
        return f"augmented copies of {name} are {_splits(group)}: {parts}"
    if len(group) > group["split"].nunique() or group[["finding_id", "patch"]].notna().any(axis=None):
        return f"crops of {name} are {_splits(group)}: {parts}"
    return f"{name} is {_splits(group)}: {parts}"


def _splits(group: pd.DataFrame) -> str:
    return f"in {_WORDS[group['split'].nunique()]} splits"


def by_pixels(films: pd.DataFrame, described: Records, found: Audit, *, own: bool = False) -> Pairs:
    """Add the films with the same pixels, and what was compared, to `found`; return the pairs with near hashes.

    Args:
        films: The table from `sources.find_films`.
        described: The records of the films, from `hashes.records`.
        found: The audit to add to.
        own: True if the folders or the table of the films tell their splits. Then a copy of a film of a split among
            those of none is a leak: nobody knows what the others are for.
    """
    pairs = find_pairs(described)
    splits_known = films["split"].notna().any()
    names, splits, patients = (
        films[column].to_numpy(dtype=object, na_value=None) for column in ("name", "split", "patient")
    )
    same = within = unplaced = 0
    blank: set[str] = set()
    for one, other, symmetry, alike in pairs.same():
        if not has_texture(described["thumb"][one]) or not has_texture(described["thumb"][other]):
            blank |= {names[one], names[other]}
            continue
        same += 1
        where = [
            splits[film] or "no split" if splits_known else f"patient {patients[film] or 'unknown'}"
            for film in (one, other)
        ]
        thumbs = described["thumb"][one], described["thumb"][other]
        pair = Pair((names[one], names[other]), (where[0], where[1]), f"correlation {alike:.3f}, {symmetry}", thumbs)
        placed = [film for film in (one, other) if splits[film] is not None]
        if splits_known and len(placed) < (1 if own else 2):
            unplaced += 1
        elif splits_known and len(placed) == 1:
            found.pairs.append(pair)
            found.leaks.append(f"the same pixels are in a split and among films of no split: {pair}")
        elif splits_known and len({*splits[one].split("+"), *splits[other].split("+")}) == 1:
            within += 1
        elif not splits_known and patients[one] == patients[other] is not None:
            found.notes.append(f"two films of one patient have the same pixels: {pair}")
        else:
            found.pairs.append(pair)
            leak = "the same pixels are in two splits" if splits_known else "the same pixels would leak under any split"
            found.leaks.append(f"{leak}: {pair}")
    for number, what in ((within, "are within one split"), (unplaced, "have a film that is in no split")):
        if number:
            found.notes.append(f"{number} pairs of films with the same pixels {what}")
    if blank:
        listed = sorted(blank)
        more = ", ..." * (len(listed) > FEW)
        found.notes.append(
            f"{len(listed)} films are empty, or without texture to compare: {', '.join(listed[:FEW])}{more}"
        )
    total = len(films) * (len(films) - 1) // 2
    found.compared = (
        f"{_count(films)}; {total:,} pairs, {len(pairs.first):,} near by hash, {same:,} with the same pixels"
    )
    return pairs


def _count(rows: pd.DataFrame) -> str:
    images = rows["image_id" if "name" not in rows else "name"]
    unknown = images[rows["patient"].isna()].nunique()
    without = f" and {unknown:,} of unknown patients" if unknown else ""
    parts = ", ".join(f"{count:,} {part}" for part, count in images.groupby(rows["split"]).nunique().items())
    return f"{images.nunique():,} images of {rows['patient'].nunique():,} patients{without}; {parts or 'no splits'}"


def _short(name: str) -> str:
    return name if len(name) <= _TITLE else f"...{name[3 - _TITLE :]}"
