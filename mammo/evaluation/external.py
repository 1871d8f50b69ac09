"""Read a table of predictions from any source strictly, with a note for everything that had to be interpreted.

It needs a patient, a label, and a score or the probability of each class (`p_<class>`). Nothing is guessed: if rows
cannot be used, an error names them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mammo.datasets.findings import PARTS, SAMPLE
from mammo.errors import InputError
from mammo.evaluation.aggregate import PLACES
from mammo.evaluation.class_names import class_names, key, same_names
from mammo.evaluation.external_notes import said_of
from mammo.evaluation.external_patients import patients_of
from mammo.evaluation.predictions import COLUMNS
from mammo.evaluation.raw_table import RawTable, first_of
from mammo.tables.alike import by_word, differs, row_numbers
from mammo.tables.spellings import SIDES, SPLITS
from mammo.wording import number_of

UNUSED = dict.fromkeys(
    ("model", "reader", "classifier", "algorithm", "method"), "name it as head if it tells classifiers"
)
UNUSED |= dict.fromkeys(("set", "subset", "partition", "phase", "part"), "name it as split if it tells train from test")
SUM_WITHIN = 0.02  # allowed distance from a sum of 1, because printed probabilities are rounded
RANKED = 100_000  # rows that are enough to tell if score and probability rank alike
CONTINUOUS = 0.9  # share of distinct scores above which two equal rows are a mistake, not a coincidence


@dataclass
class External:
    """Predictions from any source, in the form of the predictions table.

    Attributes:
        table: The predictions table, see `evaluation.predictions`; without probabilities its `p_<class>` are NaN.
        classes: Class names; of two, the second is positive.
        notes: How the source was interpreted, one line each.
        name: The name of the source.
    """

    table: pd.DataFrame
    classes: list[str]
    notes: list[str] = field(default_factory=list)
    name: str = "predictions"
    identified: bool = True  # False if no column names the images; rows then differ by their order only
    path: Path = Path("predictions")  # of the file


def read_external(
    source: "Path | str | pd.DataFrame",
    *,
    by: str | None = "patient",
    positive: object = None,
    columns: Mapping[str, str] | None = None,
) -> External:
    """Read a table of predictions.

    Args:
        source: A CSV file (comma, semicolon or tab; also .gz or .xz) or a DataFrame, one row per sample.
        by: The column of the patient. For the intervals, a patient's rows are drawn together. None: each row is a
            patient of its own.
        positive: Which of two classes is positive. None: 1 of 0 and 1, true, or the second class of a known pair
            (`abnormal`, `malignant`, ...). For other classes it must be given.
        columns: Maps the names used here (`label`, `score`, `p_<class>`, `image_id`, ...) to the table's own.

    Raises:
        InputError: A column is missing, or rows cannot be used; the error names them.
    """
    named = dict(columns or {}) | ({} if by in (None, "patient") else {"patient": str(by)})
    return _Reader(RawTable(source, named, [*COLUMNS, *PLACES, "score"]), by).read(positive)


class _Reader:
    """A reader that turns the columns of a table into those of the predictions table, one after the other."""

    def __init__(self, raw: RawTable, by: str | None) -> None:
        self.raw, self.name, self.notes, self.by = raw, raw.name, raw.notes, by
        self.images: np.ndarray | None = None  # (N,) a number for each row's image, if a column names it

    def read(self, positive: object) -> External:
        """Return the predictions."""
        self.raw.keep_images()
        patient = patients_of(self.raw, self.by)
        probable = self._probable()
        label = self._labels()
        ours = len(probable) == 2 and all(column in self.raw for column in [*COLUMNS, "score"])
        classes = class_names(self.name, label, [one[2:] for one in probable], positive, ours=ours)
        label = by_word(label, lambda words: words.map(same_names(words, classes, self.name)))
        table = self._identities(patient).assign(label=label)
        self._answers(table, probable, classes)
        identified = "image_id" in self.raw
        unused = self.raw.forget({*table.columns, *probable, self.by})
        self._no_duplicates(table)
        self._heads_agree(table)
        self.notes += [f"columns that are not used: {', '.join(unused)}"] * bool(unused)
        self.notes += [
            f"**{one} is not used, so that all its rows count: {UNUSED[one.lower()]}**"
            for one in unused
            if one.lower() in UNUSED
        ]
        if len(classes) == 2:
            self.notes.insert(0, f"positive class: {classes[1]}; negative class: {classes[0]}")
        self.notes += said_of(table, classes, self.images, by_patient=self.by is not None)
        notes = list(dict.fromkeys(self.notes))  # a column may be read twice
        return External(table, classes, notes, Path(self.name).name, identified, Path(self.name))

    def _probable(self) -> list[str]:
        """Return the columns of probabilities; refuse a table without labels, or without scores and probabilities."""
        probable = [str(one) for one in self.raw.raw.columns if str(one).startswith("p_") and len(str(one)) > 2]
        if "score" in self.raw and "label" in self.raw:  # p_id beside a score is no probability
            classes_there = {key(one) for one in self.raw.words("label").dropna().unique()}
            probable = probable if {key(one[2:]) for one in probable} & classes_there else []
        if "label" in self.raw and (probable or "score" in self.raw):
            return probable
        lacking = "label" if "label" not in self.raw else "score, nor p_<class>"
        raise InputError(
            f"{self.name}: no column {lacking}; {self.raw.found()}; expected patient, label, and score or "
            "p_<class>, or name them by columns, say label=<its name>"
        )

    def _labels(self) -> pd.Series:
        """Return the labels as words; 1.0 becomes 1, and TRUE becomes true."""
        label = self.raw.words("label")
        mark = first_of(self.raw.raw["label"], label.isna())
        said = "" if mark in ("", "empty") else f": '{mark}' counts as missing; write a word, say negative"
        self.raw.refuse(label.isna(), f"label is missing{said or '; label the row'}, or leave it out")
        return by_word(label, self._classes)

    def _classes(self, label: pd.Series) -> pd.Series:
        """Return the class of each of several different labels."""
        numbers = pd.to_numeric(label, errors="coerce")
        if numbers.notna().all() and (numbers == numbers.round()).all() and (numbers.abs() < 1e9).all():
            return numbers.astype(int).astype("string")
        folded = label.str.lower()
        if set(folded) <= {"true", "false"}:
            return folded
        first = dict(zip(folded[::-1], label[::-1], strict=True))  # the first spelling of each
        if len(first) < len(label):
            self.notes.append("labels that differ only in capitals are taken as one")
        return folded.map(first)

    def _identities(self, patient: pd.Series) -> pd.DataFrame:
        """Return the identity of each row, from its own columns if they exist."""
        table = pd.DataFrame({"image_id": np.arange(1, len(self.raw) + 1)}).astype("string")
        if "image_id" in self.raw:
            table["image_id"] = self.raw.words("image_id")
            self.raw.refuse(table["image_id"].isna(), "image_id is missing; expected rows of images alone")
            self.images = row_numbers(table, ["image_id"])
            self.raw.refuse(differs(patient, self.images), "the image belongs to two patients; expected one")
        for one in SAMPLE[1:]:
            numbers = self.raw.numbers(one) if one in self.raw else np.zeros(len(table))
            self.raw.refuse(numbers != numbers.round(), f"{one} is no whole number")
            table[one] = pd.array(numbers.astype(int), dtype="Int64")
        table["patient"] = patient
        self._places(table)
        table["split"] = "test"
        if "split" in self.raw:
            given = self.raw.words("split")
            table["split"] = by_word(given, lambda words: words.str.lower().map(SPLITS))
            self.raw.refuse(
                table["split"].isna(),
                f"split is {first_of(given, table['split'].isna())}; expected one of {', '.join(PARTS)}",
            )
            if not (table["split"] == "test").any():
                raise InputError(
                    f"{self.name}: no row has split=test; give rows of a test part, or leave the column split out"
                )
        for one, default in (("fold", ""), ("seed", "0"), ("head", "score")):
            table[one] = self.raw.words(one).fillna(default) if one in self.raw else default
        if "fold" in self.raw:
            none = (table["fold"] == "") & (table["fold"] != "").any()
            self.raw.refuse(none, "fold is empty; give each row its fold")
        for one in ("fold", "seed"):
            words = table[one].drop_duplicates().astype("string")
            odd = table[one].isin(words[~words.str.fullmatch(r"(\d+(\.0)?)?").fillna(True)])
            self.raw.refuse(odd, f"{one} is {first_of(table[one], odd)}; expected a whole number")
        if "image_id" not in self.raw:  # the rows of each head are the same samples in the same order
            order = table.groupby(row_numbers(table, ["split", "head", "fold", "seed"])).cumcount()
            table["image_id"] = (order + 1).astype("string")
        return table.astype(dict.fromkeys(("split", "fold", "seed", "head"), "string"))

    def _places(self, table: pd.DataFrame) -> None:
        """Add the exam and laterality of each row where the table has them; breasts and exams are named by them."""
        for one in PLACES:
            if one not in self.raw:
                continue
            given = self.raw.words(one)
            table[one] = given.str.lower().map(SIDES).astype("string") if one == "laterality" else given
            if (odd := table[one].isna() & given.notna()).any():
                self.notes.append(f"**laterality {first_of(given, odd)} is taken as unknown; write left or right**")
            if self.images is not None:
                self.raw.refuse(differs(table[one], self.images), f"the image has two values of {one}; expected one")

    def _heads_agree(self, table: pd.DataFrame) -> None:
        """Refuse heads with other samples, patients or labels than the first one's."""
        if (heads := table["head"].nunique()) < 2:
            return
        by = [*SAMPLE, "split", "fold", "seed"]
        rows = row_numbers(table, by if self.images is None else by[1:], self.images)
        for column in ("patient", "label"):
            several = differs(table[column], rows)
            self.raw.refuse(several, f"the {column} differs between heads; all heads need the same samples")
        self.raw.refuse(np.bincount(rows)[rows] != heads, f"not all of the {heads} heads have this sample")

    def _answers(self, table: pd.DataFrame, probable: list[str], classes: list[str]) -> None:
        """Add the score of the positive class and the probability of each class; NaN where they are not known."""
        numbers = self._probabilities(probable, classes)
        score = None
        if len(classes) == 2:
            score, numbers = self._ranked(self.raw.numbers("score") if "score" in self.raw else None, numbers, classes)
        table["score"] = np.nan if score is None else score
        for one in classes:
            table[f"p_{one}"] = np.nan if numbers is None else numbers[one]

    def _probabilities(self, probable: list[str], classes: list[str]) -> dict[str, np.ndarray] | None:
        """Return the probability of each class."""
        if not probable:
            return None
        numbers = {one[2:]: self.raw.numbers(one) for one in probable}
        for name, values in numbers.items():
            hint = "; these may be per cent: divide them by 100" if values.max() > 1.5 and values.min() >= 0 else ""
            self.raw.refuse((values < 0) | (values > 1), f"p_{name} is outside 0 to 1{hint}")
        if len(numbers) == 1:
            ((name, values),) = numbers.items()
            return {one: values if key(one) == key(name) else 1 - values for one in classes}
        sums = np.sum(list(numbers.values()), axis=0)
        off = abs(sums - 1) > SUM_WITHIN
        self.raw.refuse(off, f"the sum of the probabilities is {first_of(pd.Series(sums.round(4)), off)}; expected 1")
        return numbers

    def _ranked(
        self, score: np.ndarray | None, numbers: dict[str, np.ndarray] | None, classes: list[str]
    ) -> tuple[np.ndarray, dict[str, np.ndarray] | None]:
        """Return the score of the positive class, and the probabilities of both where they are known."""
        negative, positive = classes
        if score is None:
            return numbers[positive], numbers  # type: ignore[index]
        if numbers is not None:
            some = slice(None, None, max(len(score) // RANKED, 1))
            ranks = [pd.Series(one[some]).rank() for one in (score, numbers[positive])]
            if len(score) > 2 and ranks[0].std() and ranks[1].std() and ranks[0].corr(ranks[1]) < 0.5:
                self.notes.append(f"**score and p_{positive} rank the rows differently; AUROC is that of score**")
            return score, numbers
        if score.min() >= 0 and score.max() <= 1:
            self.notes.append(f"the scores lie between 0 and 1 and are taken as probabilities of {positive}")
            return score, {negative: 1 - score, positive: score}
        self.notes.append("the scores are not probabilities; AUROC uses their order, but accuracy needs a threshold")
        return score, None

    def _no_duplicates(self, table: pd.DataFrame) -> None:
        if self.images is not None:
            if self.images.max(initial=-1) + 1 < len(table):  # else each row has an image of its own
                numbers = row_numbers(table, [*SAMPLE[1:], "split", "head", "fold", "seed"], self.images)
                again = pd.Series(numbers).duplicated()
                why = "give it once, or distinguish its samples by finding_id or patch, and classifiers by head"
                self.raw.refuse(again, f"the same image is in an earlier row; {why}")
            return
        values = [one for one in table.columns if one not in SAMPLE]
        rest = [one for one in self.raw.raw if not self._counts_rows(one)]
        twice = pd.Series(row_numbers(self.raw.raw, rest, row_numbers(table, values))).duplicated()
        if not twice.any():
            return
        scores = table.loc[~twice, [one for one in values if one == "score" or one.startswith("p_")]]
        if len(scores.drop_duplicates()) > CONTINUOUS * len(scores) or 2 * twice.sum() >= len(table):
            why = "the same as an earlier row; give it once, or distinguish images by a column image_id"
            self.raw.refuse(twice, why)
        self.notes.append(
            f"{number_of(int(twice.sum()), 'row equals', 'rows equal')} earlier ones and counts: scores have few values"
        )

    def _counts_rows(self, column: str) -> bool:
        """Tell whether a column only numbers the rows."""
        numbers = pd.to_numeric(self.raw.raw[column], errors="coerce")
        return bool((numbers.diff().iloc[1:] == 1).all())
