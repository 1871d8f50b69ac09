"""The samples of a run: each is one row of a table and one square of grey levels."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mammo.datasets.label_words import words_of
from mammo.datasets.labels import Labels
from mammo.errors import InputError
from mammo.preprocessing.appearance import NUMBERS
from mammo.preprocessing.crops import Crop
from mammo.preprocessing.cutting import Cutter, Facts, UnreadableFilms
from mammo.preprocessing.stored import in_files, joined
from mammo.wording import count_notes, number_of

FILM_COLUMNS = ["image_id", "height", "width", "max_level", "spacing_mm", "notes", *NUMBERS]
AT_ONCE = 65_536  # images whose samples are made together, so that a million of them take no more memory while made
UNREADABLE_COLUMNS = ["image_id", "path", "reason"]


@dataclass(frozen=True)
class Crops:
    """Holds the samples of a run.

    Attributes:
        table: One row per sample: `name, image_id, finding_id, patch`, the columns of its finding, `label`, the centre
            `x_px, y_px` and the side `size_px` of its square on the film, and `SHORTCUTS`.
        pixels: The square of each sample, (stored, stored) uint8 or uint16, in the order of the table; read from the
            cache when it is asked for, if it is kept there.
        shown: Side in pixels of the central part that an unaugmented sample shows.
        notes: What was left out, and what is said of the films, one line each.
        films: One row per film that was cut: `FILM_COLUMNS`.
        unreadable: One row per film that could not be used: `UNREADABLE_COLUMNS`.
        inner: The squares of each sample's further windows, if it shows several around one centre; `pixels` and the
            table then have the largest.
    """

    table: pd.DataFrame
    pixels: Sequence[np.ndarray]
    shown: int
    notes: list[str]
    films: pd.DataFrame
    unreadable: pd.DataFrame
    inner: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    @property
    def windows(self) -> int:
        """The number of windows that each sample shows."""
        return 1 + len(self.inner[0]) if self.inner else 1

    def window(self, sample: int, number: int) -> np.ndarray:
        """Return the stored square of a window of a sample, the largest for number 0."""
        return self.pixels[sample] if number == 0 else self.inner[sample][number - 1]

    def centre(self, sample: int) -> np.ndarray:
        """Return the part that an unaugmented sample shows, (shown, shown)."""
        start = (len(self.pixels[sample]) - self.shown) // 2
        return self.pixels[sample][start : start + self.shown, start : start + self.shown]

    def mean_grey(self, sample: int) -> float:
        """Return the mean grey of the part that an unaugmented sample shows, in levels of 8 bits."""
        shown = self.centre(sample)
        return float(shown.mean() * (255 / np.iinfo(shown.dtype).max))


def cut_samples(
    crop: Crop, findings: pd.DataFrame, cutter: Cutter, labels: Labels, *, seed: int, max_unreadable: float = 0.0
) -> Crops:
    """Cut every sample of a task.

    Args:
        crop: The rule that says what is cut from each image.
        findings: A findings table with the column `split`.
        cutter: Cuts the squares that are asked for.
        labels: The labels of the task; a finding without one gives no sample.
        seed: Seed of the places of the backgrounds.
        max_unreadable: Largest share of the images that may be left out because their film cannot be used.

    Raises:
        InputError: No sample is left, too many films cannot be used, or the crop is in millimetres and an image has no
            spacing.
    """
    rows = findings.assign(label=labels.label(findings))
    if rows["label"].isna().all():
        raise InputError(
            f"no finding has a {labels.column} that tells {' or '.join(labels.classes)}; fill or name this column, or "
            "choose another task or data set"
        )
    notes = _said_of_labels(rows, findings[labels.column], labels)
    unreadable, known = dict[str, str](), findings  # of images that are readable, as far as is known
    made, said, film_notes = list[_Turn](), list[str](), dict[str, list[str]]()
    for some in in_turns(crop, rows):
        samples: list[dict[str, Any]] = []
        while True:
            readable = some[~some["image_id"].isin(unreadable.keys())]
            try:
                samples, more = crop.cut(readable, known, labels, cutter, seed)
                break
            except UnreadableFilms as found:
                unreadable |= found.reasons
                known = findings[~findings["image_id"].isin(unreadable.keys())]
                _check_share(unreadable, rows.dropna(subset="label")["image_id"].nunique(), max_unreadable)
        said += more
        if samples:
            samples.sort(key=lambda sample: sample["_order"])
            facts = {sample["image_id"]: cutter.facts[sample["image_id"]] for sample in samples}
            film_notes |= {image_id: one.notes for image_id, one in facts.items() if one.notes}
            made.append(_Turn.of(samples, _films(facts, some)))
        cutter.facts.clear()
    if unreadable:
        notes.append(
            f"{number_of(len(unreadable), 'unreadable image is', 'unreadable images are')} left out "
            f"(unreadable.csv): {_first(unreadable)}"
        )
    if not made:
        raise InputError(f"no sample is left: {'; '.join([*notes, *said])}; use crop=whole")
    table, films = _below([one.table for one in made]), _below([one.films for one in made])
    notes += _one_unit(table)
    return Crops(
        table.astype({"finding_id": "Int64", "patch": "Int64"}),
        joined([one.pixels for one in made]),
        cutter.shown,
        [*notes, *_united(said), *count_notes(film_notes)],
        films,
        _unreadable(unreadable, findings),
        [squares for one in made for squares in one.inner],
    )


def _said_of_labels(rows: pd.DataFrame, told: pd.Series, labels: Labels) -> list[str]:
    """Return notes of the images and findings that have no label, and so give no sample.

    Args:
        rows: The findings with the column `label`.
        told: What the column of the labels says of each of them.
        labels: The labels of the task.
    """
    notes = []
    absent = set(rows["image_id"]) - set(rows.dropna(subset="label")["image_id"])
    if labels.words:
        silent = absent - set(rows.loc[words_of(rows[labels.column]).notna(), "image_id"])
        notes += [f"left out: {number_of(len(silent), 'image')} without {labels.column}"] if silent else []
        absent -= silent
    if absent:
        notes.append(f"{number_of(len(absent), 'image takes', 'images take')} no part in the task")
    if not labels.words and (unknown := int(told.isna().sum())):
        notes.append(f"left out: {number_of(unknown, 'finding')} of unknown {labels.column}")
    return notes


def _one_unit(table: pd.DataFrame) -> list[str]:
    """Give the area of all breasts one unit, and return a note: 0 stands for an unknown one beside others in mm2."""
    unmeasured = table["spacing_mm"].isna()
    if unmeasured.all():
        return ["no image has spacing_mm: the area of a breast is in pixels"]
    if not unmeasured.any():
        return []
    table.loc[unmeasured, "breast_mm2"] = 0.0
    count = table.loc[unmeasured, "image_id"].nunique()
    return [
        f"{number_of(count, 'image has', 'images have')} no spacing_mm: the area of their "
        "breasts is unknown, and 0 stands for it"
    ]


@dataclass(frozen=True)
class _Turn:
    """The samples of one turn: their rows and squares, as in `Crops`, without the objects that each was made of."""

    table: pd.DataFrame
    films: pd.DataFrame
    pixels: Sequence[np.ndarray]
    inner: list[tuple[np.ndarray, ...]]

    @classmethod
    def of(cls, samples: list[dict[str, Any]], films: pd.DataFrame) -> "_Turn":
        """Return the turn of samples in order."""
        pixels = in_files([sample.pop("_pixels") for sample in samples])
        inner = [sample.pop("_inner", ()) for sample in samples]
        return cls(pd.DataFrame(samples).drop(columns="_order"), films, pixels, inner)


def in_turns(crop: Crop, rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the rows of `AT_ONCE` images at a time, if the crop asks for all its squares at once; else all rows."""
    images = rows["image_id"].drop_duplicates()
    if len(images) <= AT_ONCE or not getattr(crop, "asks_once", False):
        yield rows
        return
    turns = rows["image_id"].map(pd.Series(np.arange(len(images)) // AT_ONCE, index=images))
    for turn in range(turns.max() + 1):
        yield rows[turns == turn]


def _united(notes: list[str]) -> list[str]:
    """Return each note of several turns once: its number is the sum of theirs, and its names are those of all."""
    of: dict[str, list[tuple[int, str | None]]] = {}  # by the words between the number and the names
    for note in notes:
        found = re.fullmatch(r"([\d,]+) (.*?)( \((.*)\))?", note)
        of.setdefault(found[2] if found else note, []).extend(
            [(int(found[1].replace(",", "")), found[4])] if found else []
        )
    lines = []
    for words, turns in of.items():
        names = ", ".join(named for _, named in turns if named)
        lines.append(
            (f"{sum(count for count, _ in turns):,} " if turns else "") + words + (f" ({names})" if names else "")
        )
    return lines


def _below(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)


def _first(unreadable: dict[str, str], most: int = 3) -> str:
    """Return the first images with their reasons."""
    said = [f"{image_id} ({reason})" for image_id, reason in list(unreadable.items())[:most]]
    return "; ".join([*said, *["..."] * (len(unreadable) > most)])


def _check_share(unreadable: dict[str, str], images: int, most: float) -> None:
    """Refuse to leave out more than the share `most` of the images."""
    allowed = int(most * images + 1e-9)
    if len(unreadable) > allowed:
        raise InputError(
            f"{len(unreadable)} of {images} images are unreadable, but data.max_unreadable={most:g} allows {allowed}; "
            f"mend them, or raise it: {_first(unreadable)}"
        )


def _films(facts: Mapping[str, Facts], findings: pd.DataFrame) -> pd.DataFrame:
    firsts = findings.drop_duplicates("image_id")
    spacings = dict(zip(firsts["image_id"], firsts["spacing_mm"], strict=True))
    rows = [
        [image_id, one.height, one.width, one.max_level, spacings[image_id], "; ".join(one.notes), *one.appearance]
        for image_id, one in facts.items()
    ]
    return pd.DataFrame(rows, columns=FILM_COLUMNS)


def _unreadable(reasons: Mapping[str, str], findings: pd.DataFrame) -> pd.DataFrame:
    paths = findings.drop_duplicates("image_id").set_index("image_id")["path"]
    rows = [[image_id, paths[image_id], reason] for image_id, reason in reasons.items()]
    return pd.DataFrame(rows, columns=UNREADABLE_COLUMNS)
