"""The audit of any data: it finds patients, images, findings and pixels that are in two splits, or could be."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mammo import figures
from mammo.auditing import doubts as doubting
from mammo.auditing import people
from mammo.auditing.acquisitions import in_two_parts
from mammo.auditing.boxes import all_parts
from mammo.auditing.compared import kept_for
from mammo.auditing.crossing import crossing
from mammo.auditing.duplicates import Pairs, find_pairs, is_coarse
from mammo.auditing.hashes import Records, records_of
from mammo.auditing.nearest import ALL_PAIRS
from mammo.auditing.sources import Films
from mammo.auditing.splits import named_as, place, read_split
from mammo.auditing.words import seen, some
from mammo.datasets.findings import STRING
from mammo.errors import InputError
from mammo.tables.patients import somebody
from mammo.wording import number_of

MOST_PARTS = 2000  # films up to which parts of films are looked for unasked: it takes a second or less for each
SHOWN = 12  # pairs on the contact sheet, at most
SHEET = "mammo audit films"  # the title of the contact sheet, by which it is told from another picture
_TITLE = 34  # characters of a name above its film, at most


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
        unreadable: What could not be looked at, with the reasons, one line each.
        left_out: The number of files and films that were not looked at, or not compared, by the reason in a few words.
        among: What was looked at, in a few words.
        doubts: What would be a leak if it were so, in a few words each.
    """

    compared: str = ""
    leaks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    among: str = "the others"
    doubts: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the lines to print; a line break or a sign that cannot be seen, in a name, is written out."""
        return map(seen, self._lines())

    def _lines(self) -> Iterator[str]:
        lost = {"unreadable": len(self.unreadable)} if self.unreadable else {}
        left = ", ".join(f"{number:,} {what}" for what, number in (lost | self.left_out).items())
        yield f"compared: {self.compared}" + f"; left out: {left}" * bool(left)
        yield from (f"note: {note}" for note in self.notes)
        yield from (f"leak: {leak}" for leak in self.leaks)
        yield from (f"not looked at: {one}" for one in self.unreadable)
        without = f"; left out: {left}" * bool(left)
        if self.leaks:
            yield f"leaks: {len(self.leaks)}{without}"
        else:
            doubts = "".join(f"; {doubt}" for doubt in self.doubts)
            yield "no leak found" + f" among {self.among}{without}{doubts}" * bool(without or doubts)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def draw(self, path: Path) -> str:
        """Draw a contact sheet of the worst pairs into the file `path`, and return a line about it."""
        worst = self.pairs[:SHOWN]
        titles = [
            (f"{_short(pair.names[0])}\n{pair.where[0]}", f"{_short(pair.names[1])}\n{pair.where[1]}") for pair in worst
        ]
        captions = [f"{place}. {pair.proof}" for place, pair in enumerate(worst, start=1)]
        figures.save(figures.pairs([pair.thumbs for pair in worst], titles, captions), path, Title=SHEET)
        return f"{path} shows the worst {len(worst)} of {number_of(len(self.pairs), 'pair')}"


def audit_split(split: Path, patient: str | None = None) -> Audit:
    """Audit a split by the names in its rows alone.

    Args:
        split: A path for `splits.read_split`.
        patient: A regular expression that finds the patient in an image_id, see `people.by_names`; or None.

    Raises:
        InputError: The split cannot be read, has no rows, or `patient` fits none.
    """
    (rows, unread), notes = read_split(split), list[str]()
    rows["patient"], nobody = somebody(rows["patient"])
    if patient is not None:
        told, notes = people.by_names(rows.assign(name=rows["image_id"]), patient)
        rows["patient"] = told["patient"]
    alike, doubts = doubting.of_names(rows)
    notes += [*nobody, *alike]
    found = Audit(f"{_count(rows)}; no pixels, because no films were given", list(crossing(rows)), notes)
    found.among = f"the names of {number_of(rows['image_id'].nunique(), 'image')}"
    found.doubts = [*unread, *doubts, *doubting.images_alike(rows), *people.sides_across(rows)]
    found.doubts += doubting.one_part(rows["split"]) + doubting.unknown(rows["patient"], "the names of images were")
    return found


def audit_of(
    of: Films, rows: pd.DataFrame | None = None, patient: str | None = None, *, parts: bool | None = None
) -> Audit:
    """Audit films by their pixels, and by the names of the splits that they are in.

    Args:
        of: The films, from `sources.find_films`. What is computed of their pixels is kept by the name of their source.
        rows: The rows of a split from `splits.read_split`; None uses the splits of the films.
        patient: A regular expression that finds the patient in the name of a film, see `people.by_names`; or None.
        parts: True looks for parts of films in other films too; None does so for at most `MOST_PARTS` films.

    Raises:
        InputError: None of the films can be read, or `patient` fits no name.
    """
    told: list[str] = []
    if patient is not None:
        table, told = people.by_names(of.table, patient)
        of = replace(of, table=table)
    of = of.with_headers()
    films, notes, own = of.table, [*of.notes, *told], rows is None
    left_out = dict(of.left_out)
    leaks, absent = list(of.leaks), list[str]()
    if rows is None:
        beside = films[films["split"].isna()]
        if len(beside) < len(films) and len(beside):
            first, be = beside["name"].iloc[0], "is" if len(beside) == 1 else "are"
            notes.append(
                f"{number_of(len(beside), 'film')} {be} in no split, {first} for example; a copy of a film of a split "
                "among them, or a patient of a split, counts as a leak; "
                + ("name their folders by --sides FOLDER=train" if of.source.is_dir() else "fill their column split")
            )
            left_out["of no split"] = len(beside)
            leaks += doubting.beside_split(films)
        rows = films.assign(image_id=films["name"]).dropna(subset="split")
        rows = rows.reindex(columns=[*rows.columns, "finding_id", "patch", "copy"])
    else:
        rows["patient"], nobody = somebody(rows["patient"])
        rows = named_as(films, rows)
        told_by_films, films = films["patient"], place(films, rows)
        notes += nobody + doubting.of_one_name(films, rows)
        if gone := set(rows["image_id"]) - set(films["image_id"]):
            these = number_of(len(gone), "image of the split is", "images of the split are")
            absent = [f"{these} not among the films, the first is {min(gone)}"]
        if beside := films["split"].isna().sum():
            notes.append(f"{number_of(beside, 'film is', 'films are')} not in the split")
            left_out["of no split"] = int(beside)
        rows["patient"], by_others = _patients(films.assign(patient=told_by_films), rows, by_films=patient is not None)
        leaks += by_others
    in_parts = films.assign(split=films["split"].fillna("no split")) if len(rows) else films
    named = in_parts.assign(image_id=in_parts["name"]) if own else rows
    alike, doubts = doubting.of_names(named)
    notes += [one for one in alike if not any(one == note for note in notes)]
    described, reasons = records_of([Path(film) for film in films["path"]], of.source_of_each())
    if not len(described):
        raise InputError(
            f"none of the {number_of(len(films), 'film')} can be read; the first: {next(iter(reasons.values()))}"
        )
    notes += [described.unkept] * bool(described.unkept)
    by_headers, odd = in_two_parts(films, of.headers, own=own)
    found = Audit(
        notes=[*notes, *odd], leaks=[*dict.fromkeys([*crossing(rows), *leaks, *by_headers])], left_out=left_out
    )
    found.unreadable = [*of.unreadable, *(of.empty if own else []), *absent, *reasons.values()]
    films = films.drop(index=list(reasons)).reset_index(drop=True)
    found.doubts = [*of.doubts, *doubts, *doubting.no_parts(films, of.source.is_dir())]
    found.doubts += doubting.one_part(films["split"]) + people.sides_across(named)
    found.doubts += doubting.unknown(films["patient"], "their pixels were")
    shown = parts if parts is not None else len(films) <= MOST_PARTS
    by_pixels(films, described, found, own=own, parts=shown, kept=kept_for(of.source_of_each()))
    if not shown:
        found.doubts.append("crops and copies turned by other angles than 90 degrees were not looked for (--parts)")
    return found


def by_pixels(
    films: pd.DataFrame,
    described: Records,
    found: Audit,
    *,
    own: bool = False,
    parts: bool = False,
    kept: Path | None = None,
) -> Pairs:
    """Add the films with the same pixels, and what was compared, to `found`; return the pairs with near hashes.

    Args:
        films: The table from `sources.find_films`.
        described: The records of the films, from `hashes.records`.
        found: The audit to add to.
        own: True if the folders or the table of the films tell their splits. Then a copy of a film of a split among
            those of none is a leak: nobody knows what the others are for.
        parts: True looks for films that show a part of another one, too.
        kept: The file of what was compared before, see `duplicates.find_pairs`.
    """
    pairs = find_pairs(described, kept=kept)
    textured = pairs.textured
    splits_known = films["split"].notna().any()
    names, splits, patients = (
        films[column].to_numpy(dtype=object, na_value=None) for column in ("name", "split", "patient")
    )
    alike = [(one, other, f"correlation {value:.3f}, {symmetry}") for one, other, symmetry, value in pairs.same()]
    same, known = len(alike), {(one, other) for one, other, _ in alike}
    some_parts = all_parts([Path(film) for film in films["path"]], described, textured, known) if parts else []
    alike += [(part.first, part.second, f"one shows a part of the other, {part.proof}") for part in some_parts]
    lies_of = doubting.standing(films, own=own)
    within = unplaced = 0
    for one, other, proof in alike:
        where = [
            splits[film] or "no split" if splits_known else f"patient {patients[film] or 'unknown'}"
            for film in (one, other)
        ]
        thumbs = described["thumb"][one], described["thumb"][other]
        pair = Pair((names[one], names[other]), (where[0], where[1]), proof, thumbs)
        lies = lies_of(one, other)
        if lies == "unplaced":
            unplaced += 1
        elif lies == "within" and splits_known:
            within += 1
        elif lies == "within":
            found.notes.append(f"two films of one patient have the same pixels: {pair}")
        else:
            found.pairs.append(pair)
            leak = "the same pixels are in two splits" if splits_known else "the same pixels would leak under any split"
            if lies == "beside":
                leak = "the same pixels are in a split and among films of no split"
            found.leaks.append(f"{leak}: {pair}")
    for number, what in ((within, "within one split"), (unplaced, "with a film that is in no split")):
        if number:
            found.notes.append(f"{number_of(number, 'pair')} of films with the same pixels {what}")
    if len(films) > ALL_PAIRS:
        found.doubts.append("negatives were not looked for among so many films")
    else:
        few = [film for film in np.flatnonzero(textured) if is_coarse(described["thumb"][film])]
        found.doubts += doubting.coarse([names[film] for film in few])
    found.doubts += doubting.nearly_same(films, pairs.nearly(), lies_of)
    if blank := sorted(names[~textured]):
        found.notes.append(f"{number_of(len(blank), 'film')} blank, or without texture to compare: {some(blank)}")
        found.left_out["blank"] = len(blank)
    found.among = number_of(int(textured.sum()), "image")
    total = len(films) * (len(films) - 1) // 2
    found.compared = (
        f"{_count(films)}; {number_of(total, 'pair')}, {len(pairs.first):,} near by hash, {same:,} with the same pixels"
        + f", {len(alike) - same:,} more with a part of the same film" * parts
    )
    return pairs


def _patients(films: pd.DataFrame, rows: pd.DataFrame, *, by_films: bool) -> tuple[pd.Series, list[str]]:
    """Return the patient of each row of a split, and the leaks by the other names of patients.

    Args:
        films: The films, with the `image_id` of the split.
        rows: The rows of the split.
        by_films: True if the names that the films have count before those of the split.
    """
    patients = films.drop_duplicates("image_id").set_index("image_id")["patient"]
    of_films = rows["image_id"].map(patients).astype(STRING)
    first, second = (of_films, rows["patient"]) if by_films else (rows["patient"], of_films)
    return first.fillna(second), list(crossing(rows.assign(patient=second)))


def _count(rows: pd.DataFrame) -> str:
    images = rows["image_id" if "name" not in rows else "name"]
    unknown = images[rows["patient"].isna()].nunique()
    without = f" and {unknown:,} of unknown patients" if unknown else ""
    parts = ", ".join(f"{count:,} {part}" for part, count in images.groupby(rows["split"]).nunique().items())
    of = number_of(rows["patient"].nunique(), "patient")
    return f"{number_of(images.nunique(), 'image')} of {of}{without}; {parts or 'no splits'}"


def _short(name: str) -> str:
    return name if len(name) <= _TITLE else f"...{name[3 - _TITLE :]}"
