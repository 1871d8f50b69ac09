"""The audit of any data: women, films, findings and pixels on two sides of a split, or that would be on two."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mammo import figures
from mammo.audit.duplicates import Pairs, find_pairs
from mammo.audit.hashes import cache_of, records
from mammo.audit.sources import find_films, place, read_split
from mammo.datasets.findings import STRING
from mammo.datasets.registry import DATASETS, open_dataset
from mammo.errors import InputError

SHOWN = 12  # pairs of the contact sheet
_TITLE = 34  # characters of a name above its film


@dataclass(frozen=True)
class Pair:
    """Two films of the same pixels: their names, what is said of each, the proof, and their thumbnails."""

    names: tuple[str, str]
    where: tuple[str, str]
    proof: str
    thumbs: tuple[np.ndarray, np.ndarray]

    def __str__(self) -> str:
        first, second = (f"{name} ({where})" for name, where in zip(self.names, self.where, strict=True))
        return f"{first} and {second}: {self.proof}"


@dataclass
class Audit:
    """What an audit found.

    Attributes:
        compared: What was compared with what, one line.
        leaks: One line each.
        notes: What is no leak but worth knowing, one line each.
        pairs: The leaks by pixels, worst first.
    """

    compared: str = ""
    leaks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """What is printed."""
        yield f"compared: {self.compared}"
        yield from (f"note: {note}" for note in self.notes)
        yield from (f"leak: {leak}" for leak in self.leaks)
        yield f"leaks: {len(self.leaks)}" if self.leaks else "no leak found"

    def draw(self, path: Path) -> None:
        """Writes the contact sheet of the worst pairs."""
        worst = self.pairs[:SHOWN]
        titles = [
            (f"{_short(pair.names[0])}\n{pair.where[0]}", f"{_short(pair.names[1])}\n{pair.where[1]}") for pair in worst
        ]
        captions = [f"{place}. {pair.proof}" for place, pair in enumerate(worst, start=1)]
        figures.save(figures.pairs([pair.thumbs for pair in worst], titles, captions), path)
        self.notes.append(f"the worst {len(worst)} of {len(self.pairs)} pairs are drawn in {path}")


def locate(source: str | None) -> Path:
    """The table or folder that is meant; the name of a data set means its folder."""
    if source is None:
        raise InputError("audit: expected a findings table, a folder of films, a data set or --split, found none")
    if source in DATASETS and not Path(source).exists():
        dataset = open_dataset(source)
        dataset.index()
        return dataset.root
    return Path(source)


def audit(source: str | None, split: Path | None = None) -> Audit:
    """Audits films, or a split, or films by the sides that a split gives them.

    Args:
        source: A findings table, a folder of films or the name of a data set; None audits the split's rows alone.
        split: As `inventory.read_split` takes it; None leaves the sides that table or folder give.

    Raises:
        InputError: Neither is given, or one cannot be used.
    """
    found = Audit()
    rows = None if split is None else read_split(split)
    if source is None and rows is not None:
        found.compared = f"{_count(rows)}; no pixels, as no films were named"
        found.leaks += crossing(rows)
        return found
    path = locate(source)
    films = find_films(path)
    if rows is None:
        rows = films.assign(image_id=films["name"], finding=pd.NA, copy=pd.NA).dropna(subset="side")
    else:
        films = place(films, rows)
        if absent := set(rows["image_id"]) - set(films["image_id"]):
            found.notes.append(f"{len(absent)} films of the split are not there, the first is {min(absent)}")
        if beside := films["side"].isna().sum():
            found.notes.append(f"{beside} films are not in the split")
        women = films.drop_duplicates("image_id").set_index("image_id")["patient"]
        rows["patient"] = rows["patient"].fillna(rows["image_id"].map(women).astype(STRING))
    found.leaks += crossing(rows)
    by_pixels(films, records([Path(film) for film in films["path"]], cache_of(path)), found)
    return found


def crossing(rows: pd.DataFrame) -> Iterator[str]:
    """Women, findings and films that are on two sides, told by their names alone.

    Args:
        rows: Of `inventory.read_split`.
    """
    for woman, group in _on_two_sides(rows, ["patient"]):
        one_each = group.drop_duplicates("side")
        films = ", ".join(f"{film} ({side})" for film, side in zip(one_each["image_id"], one_each["side"], strict=True))
        yield f"woman {woman[0]} is on two sides: {films}"
    lesions = rows[rows["finding"].notna() & (rows["finding"] != "0")]
    told = set()
    for (film, finding), group in _on_two_sides(lesions, ["image_id", "finding"]):
        told.add(film)
        yield f"{_copies(group)}finding {finding} of film {film} on two sides: {', '.join(sorted(set(group['side'])))}"
    for (film,), group in _on_two_sides(rows, ["image_id"]):
        if film not in told:
            yield f"{_copies(group)}film {film} on two sides: {', '.join(sorted(set(group['side'])))}"


def _on_two_sides(rows: pd.DataFrame, key: list[str]) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    crossed = rows[rows.groupby(key)["side"].transform("nunique") > 1]
    return iter(crossed.groupby(key))


def _copies(group: pd.DataFrame) -> str:
    if (group["copy"].notna() & (group["copy"] != "0")).any():
        return "augmented copies of "
    return "crops of " if len(group) > group["side"].nunique() or group["finding"].notna().any() else ""


def by_pixels(films: pd.DataFrame, described: np.ndarray, found: Audit) -> Pairs:
    """Adds to `found` what the films' pixels tell.

    Args:
        films: Of `inventory.find_films`.
        described: Their records, of `mammo.audit.hashes`.
        found: Is added to.
    """
    pairs = find_pairs(described)
    any_side = films["side"].notna().any()
    names, sides, women = (
        films[column].to_numpy(dtype=object, na_value=None) for column in ("name", "side", "patient")
    )
    same = within = unplaced = 0
    for one, other, symmetry, alike in pairs.same():
        same += 1
        proof = f"correlation {alike:.3f}, {symmetry}"
        told = sides if any_side else women
        where = tuple(str(told[film]) if any_side else f"woman {told[film] or 'unknown'}" for film in (one, other))
        thumbs = described["thumb"][one], described["thumb"][other]
        pair = Pair((names[one], names[other]), (where[0], where[1]), proof, thumbs)
        if any_side and None in (sides[one], sides[other]):
            unplaced += 1
        elif any_side and len({*sides[one].split("+"), *sides[other].split("+")}) == 1:
            within += 1
        elif not any_side and women[one] == women[other] is not None:
            found.notes.append(f"the same pixels in two films of one woman: {pair}")
        else:
            found.pairs.append(pair)
            found.leaks.append(
                f"the same pixels {'on two sides' if any_side else 'would leak under any split'}: {pair}"
            )
    if within:
        found.notes.append(f"{within} pairs of the same pixels within a side")
    if unplaced:
        found.notes.append(f"{unplaced} pairs of the same pixels with a film that is on no side")
    total = len(films) * (len(films) - 1) // 2
    found.compared = (
        f"{_count(films)}; {total:,} pairs, {len(pairs.first):,} near by hash, {same:,} with the same pixels"
    )
    return pairs


def _count(rows: pd.DataFrame) -> str:
    films = rows["image_id" if "name" not in rows else "name"]
    unknown = films[rows["patient"].isna()].nunique()
    without = f" and {unknown:,} of unknown women" if unknown else ""
    sides = ", ".join(f"{count:,} {side}" for side, count in films.groupby(rows["side"]).nunique().items())
    return f"{films.nunique():,} films of {rows['patient'].nunique():,} women{without}; {sides or 'no sides'}"


def _short(name: str) -> str:
    return name if len(name) <= _TITLE else f"...{name[3 - _TITLE :]}"
