"""The predictions table, one row per sample and head, and its rows of one head as arrays."""

import gzip
import lzma
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mammo.datasets.findings import SAMPLE
from mammo.errors import InputError
from mammo.evaluation.mark_tables import with_answers
from mammo.evaluation.operating_point import Operating, choose
from mammo.tables.alike import row_numbers, rows_of
from mammo.tables.arrow_csv import LARGE, arrow_csv
from mammo.wording import number_of

BASELINES = ("shortcuts", "majority")  # heads that see no lesion
COLUMNS = [*SAMPLE, "patient", "split", "fold", "seed", "head", "label"]
TYPES = dict.fromkeys([*COLUMNS, "exam", "laterality", "view"], str) | dict.fromkeys(SAMPLE[1:], "Int64")
WORDS: dict[str, Any] = {"keep_default_na": False, "na_values": [""]}  # for reading: NA and None are words
NO_TABLE = (ValueError, TypeError, OverflowError, EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile)  # of pandas


def _words(words: "np.ndarray | pd.Series") -> pa.LargeStringArray:
    found = pa.array(words, pa.large_string())
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


@dataclass(frozen=True)
class Patients:
    """The patients of N samples, each name kept once: millions of names are slow to compare."""

    names: pa.LargeStringArray  # sorted; some may have no sample
    number: np.ndarray  # (N,) the place of each sample's patient among the names

    @classmethod
    def of(cls, names: "np.ndarray | pd.Series") -> "Patients":
        """Return the patients of samples from their (N,) names."""
        words = names if isinstance(names, pd.Series) else names.astype(str)
        encoded = pc.fill_null(_words(words), "nan").dictionary_encode()
        order = pc.sort_indices(encoded.dictionary).to_numpy()
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order))
        return cls(encoded.dictionary.take(order), place[encoded.indices.to_numpy()])

    @classmethod
    def joined(cls, several: "Sequence[Patients]") -> "Patients":
        """Return the patients of several sets of samples, one after the other."""
        first, *others = several
        if all(one.names.equals(first.names) for one in others):
            return cls(first.names, np.concatenate([one.number for one in several]))
        return cls.of(np.concatenate([one.named for one in several]))

    @classmethod
    def apart(cls, several: "Sequence[Patients]") -> list[np.ndarray]:
        """Return the numbers of the patients of several sets of samples, the same in all of them for one name."""
        return np.split(cls.joined(several).number, np.cumsum([len(one.number) for one in several])[:-1])

    def __getitem__(self, mask: np.ndarray) -> "Patients":
        return Patients(self.names, self.number[mask])

    @property
    def named(self) -> np.ndarray:
        """(N,) the names."""
        return np.asarray(self.names.to_numpy(zero_copy_only=False).astype(str)[self.number])

    @cached_property
    def ranked(self) -> np.ndarray:
        """(N,) the place of each sample's patient among those who have a sample, in the order of the names."""
        there = np.bincount(self.number, minlength=len(self.names)) > 0
        return (np.cumsum(there) - 1)[self.number]

    def same(self, other: "Patients") -> bool:
        """Tell if other patients have the same names, sample by sample."""
        one, two = Patients.apart([self, other])
        return bool((one == two).all())

    def count(self, mask: np.ndarray | None = None) -> int:
        """Return how many patients have a sample, or one of those in the mask."""
        return int(np.count_nonzero(np.bincount(self.number if mask is None else self.number[mask])))


@dataclass(frozen=True)
class Predictions:
    """The predictions of one head for N samples."""

    classes: tuple[str, ...]  # the second of two is positive
    labels: np.ndarray  # (N,) class numbers
    probabilities: np.ndarray  # (N, classes); the predicted class is the most probable one
    score: np.ndarray | None  # (N,) logit or decision value of the positive class; None for more than two classes
    who: Patients  # the patient of each sample
    samples: pd.DataFrame  # (N, 4) the columns `SAMPLE`

    @classmethod
    def of(cls, table: pd.DataFrame, classes: list[str], who: Patients | None = None) -> "Predictions":
        """Return the predictions that rows of a table hold, all of one head; `who` are their patients, if known."""
        score = table["score"].to_numpy(float)
        return cls(
            tuple(classes),
            pc.index_in(_words(table["label"]), pa.array(classes, pa.large_string())).to_numpy(False).astype(int),
            table[[f"p_{name}" for name in classes]].to_numpy(float),
            None if np.isnan(score).any() else score,
            who or Patients.of(table["patient"]),
            table[SAMPLE],
        )

    @classmethod
    def ranked(cls, table: pd.DataFrame) -> "Predictions":
        """Return scores that have no probabilities, from rows with `positive` (bool), `score` and `patient`."""
        return cls(
            ("negative", "positive"),
            table["positive"].to_numpy(int),
            np.full((len(table), 2), np.nan),
            table["score"].to_numpy(float),
            Patients.of(table["patient"]),
            table.reindex(columns=SAMPLE),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, mask: np.ndarray) -> "Predictions":
        score = None if self.score is None else self.score[mask]
        columns = (self.labels[mask], self.probabilities[mask], score, self.who[mask], self.samples.iloc[mask])
        return Predictions(self.classes, *columns)

    @property
    def patients(self) -> np.ndarray:
        """(N,) the name of each sample's patient."""
        return self.who.named

    @cached_property
    def levels(self) -> np.ndarray:
        """(N,) the places of the samples' scores among the different scores, the lowest first; empty without scores."""
        return np.unique([] if self.score is None else self.score, return_inverse=True)[1]

    @cached_property
    def patients_of(self) -> list[int]:
        """The number of patients who have a sample of each class."""
        return [self.who.count(self.labels == i) for i in range(len(self.classes))]

    @property
    def decides(self) -> bool:
        """True if there are probabilities; without them the scores rank, and call nothing without a threshold."""
        return not np.isnan(self.probabilities).any()

    @cached_property
    def called(self) -> np.ndarray:
        """(N,) the most probable class of each sample."""
        return self.probabilities.argmax(axis=1)

    @property
    def right(self) -> np.ndarray:
        """(N,) bool, true where the most probable class is the label."""
        return self.called == self.labels

    @property
    def confusion(self) -> np.ndarray:
        """(classes, classes) numbers of samples by label (row) and most probable class (column)."""
        counts = np.zeros((len(self.classes), len(self.classes)), int)
        np.add.at(counts, (self.labels, self.called), 1)
        return counts

    @cached_property
    def n(self) -> str:
        """The number of samples and patients, in words."""
        return (
            f"{row_numbers(self.samples, list(self.samples)).max(initial=-1) + 1} of "
            f"{number_of(self.who.count(), 'patient')}"
        )

    def calibrated(self, operating: Operating) -> "Predictions":
        """Return a copy with calibrated probabilities, and a score from them that is comparable between folds."""
        probabilities = operating.calibrated(self.probabilities)
        return replace(self, probabilities=probabilities, score=probabilities[:, 1] if len(self.classes) == 2 else None)


def concatenated(several: list[Predictions]) -> Predictions:
    """Return several predictions as one, for example those of the folds of a sweep."""
    if len(several) == 1:
        return several[0]
    scores = [one.score for one in several if one.score is not None]
    return Predictions(
        several[0].classes,
        np.concatenate([one.labels for one in several]),
        np.concatenate([one.probabilities for one in several]),
        np.concatenate(scores) if len(scores) == len(several) else None,
        Patients.joined([one.who for one in several]),
        pd.concat([one.samples for one in several]),
    )


def by_head(table: pd.DataFrame, classes: list[str], split: str) -> dict[str, Predictions]:
    """Return the predictions of each head for the samples of a split (`train`, `val` or `test`)."""
    samples = originals(table)
    needed = samples[[*SAMPLE, "patient", "label", "score", *(f"p_{name}" for name in classes)]]
    inside, heads = (samples["split"] == split).to_numpy(bool), samples["head"]
    found, names, who = dict[str, Predictions](), None, None
    for head in heads.array[inside].unique():
        mask = inside & (heads == head).to_numpy(bool)
        rows = needed if mask.all() else rows_of(needed, mask)
        if not rows["patient"].equals(names):  # mostly those of the head before
            names, who = rows["patient"], Patients.of(rows["patient"])
        found[str(head)] = Predictions.of(rows, classes, who)
    return found


def originals(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the copies of an expanded training part, which are not samples of their own."""
    copy = table["copy"] > 0
    if not copy.any() or (copy & (table["split"] != "train")).any():
        return table  # without any, or they were dealt to the splits like samples
    return table[~copy]


def choices(
    table: pd.DataFrame, classes: list[str], rule: str | float = "youden", split: str = "val"
) -> dict[str, Operating]:
    """Return the choices of each head on a split; they are None if the split has no samples."""
    chosen_on = by_head(table, classes, split)
    heads = [str(head) for head in table["head"].unique()]
    return {
        head: choose(p.labels, p.probabilities, p.score, rule) if (p := chosen_on.get(head)) else Operating(str(rule))
        for head in heads
    }


def head_table(
    rows: pd.DataFrame,
    head: str,
    score: np.ndarray | None,
    probabilities: np.ndarray,
    classes: list[str],
    *,
    fold: int | None,
    seed: int,
) -> pd.DataFrame:
    """Return one head's rows of the predictions table.

    Args:
        rows: A table with the columns `SAMPLE`, `patient`, `split` and `label` of each sample.
        head: The name of the head.
        score: (N,) score of the positive class; None for more than two classes.
        probabilities: (N, classes).
        classes: The names of the classes.
        fold: Number of the test fold; None if there are no folds.
        seed: The seed of the run.
    """
    table = rows.assign(head=head, fold="" if fold is None else fold, seed=seed)[COLUMNS]
    table["score"] = [""] * len(rows) if score is None else [f"{value:.9g}" for value in score.astype(np.float32)]
    for index, name in enumerate(classes):
        table[f"p_{name}"] = [f"{value:.9g}" for value in probabilities[:, index].astype(np.float32)]
    return table


def read_predictions(path: Path, *, tested: bool = False) -> tuple[pd.DataFrame, list[str]]:
    """Return a predictions table and its class names; scores and probabilities are float64, an absent score NaN.

    Args:
        path: A CSV file with `COLUMNS`, `score` and a column `p_<class>` for each class; .xz and .gz are compressed.
        tested: True requires rows of the test part.

    Raises:
        InputError: There is no such file, a column is missing, or no row is of the test part.
    """
    if not path.is_file():
        raise InputError(f"no predictions at {path}; name a run folder that `train.py` has finished")
    try:
        if path.suffix == ".csv" and path.stat().st_size > LARGE:
            table = arrow_csv(path, TYPES, lambda name: name == "score" or name.startswith("p_"))
        else:
            table = pd.read_csv(path, dtype=TYPES, **WORDS)
    except NO_TABLE as error:
        raise InputError(f"{path}: expected a table of predictions as CSV; reading gave {str(error).strip()}") from None
    classes = [column.removeprefix("p_") for column in table.columns if column.startswith("p_")]
    missing = [column for column in [*COLUMNS, "score"] if column not in table.columns]
    if missing or len(classes) < 2:
        expected = ", ".join([*COLUMNS, "score", "p_<class>..."])
        saved = "; saved with other separators: take it as the run wrote it" if len(table.columns) == 1 else ""
        raise InputError(f"{path}: expected columns {expected}; missing {', '.join(missing)}{saved}")
    for column in ("image_id", "patient", "split", "head", "label"):
        if (empty := table[column].isna()).any():
            raise InputError(
                f"{path}: row {int(empty.argmax()) + 2} has no {column}; the file may be cut: copy it again"
            )
    table = with_answers(table, [f"p_{name}" for name in classes], path)
    if unknown := sorted(set(table["label"].unique()) - set(classes)):
        raise InputError(f"{path}: label '{unknown[0]}' has no column p_{unknown[0]}")
    if tested and not (table["split"] == "test").any():
        raise InputError(f"{path}: no row has split=test; expected a table of predictions with a test part")
    return table, classes
