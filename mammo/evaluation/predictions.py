"""The predictions table, one row per sample and head, and its rows of one head as arrays."""

import gzip
import lzma
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.datasets.findings import SAMPLE
from mammo.errors import InputError
from mammo.evaluation.operating_point import Operating, choose

BASELINES = ("shortcuts", "majority")  # heads that see no lesion
COLUMNS = [*SAMPLE, "patient", "split", "fold", "seed", "head", "label"]
TYPES = dict.fromkeys([*COLUMNS, "exam", "laterality", "view"], str) | dict.fromkeys(SAMPLE[1:], "Int64")
WORDS: dict[str, Any] = {"keep_default_na": False, "na_values": [""]}  # for reading: NA and None are words
NO_TABLE = (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError, EOFError, lzma.LZMAError, gzip.BadGzipFile)


@dataclass(frozen=True)
class Predictions:
    """The predictions of one head for N samples."""

    classes: tuple[str, ...]  # the second of two is positive
    labels: np.ndarray  # (N,) class numbers
    probabilities: np.ndarray  # (N, classes); the predicted class is the most probable one
    score: np.ndarray | None  # (N,) logit or decision value of the positive class; None for more than two classes
    patients: np.ndarray  # (N,) the patient of each sample
    samples: pd.DataFrame  # (N, 4) the columns `SAMPLE`

    @classmethod
    def of(cls, table: pd.DataFrame, classes: list[str]) -> "Predictions":
        """Return the predictions that rows of a table hold, all of one head."""
        score = table["score"].to_numpy(float)
        return cls(
            tuple(classes),
            table["label"].map({name: i for i, name in enumerate(classes)}).to_numpy(),
            table[[f"p_{name}" for name in classes]].to_numpy(float),
            None if np.isnan(score).any() else score,
            table["patient"].to_numpy(str),
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
            table["patient"].to_numpy(str),
            table.reindex(columns=SAMPLE),
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, mask: np.ndarray) -> "Predictions":
        score = None if self.score is None else self.score[mask]
        columns = (self.labels[mask], self.probabilities[mask], score, self.patients[mask], self.samples.iloc[mask])
        return Predictions(self.classes, *columns)

    @property
    def decides(self) -> bool:
        """True if there are probabilities; without them the scores rank, and call nothing without a threshold."""
        return not np.isnan(self.probabilities).any()

    @property
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

    @property
    def n(self) -> str:
        """The number of samples and patients, in words."""
        return f"{len(self.samples.drop_duplicates())} of {len(np.unique(self.patients))} patients"

    def calibrated(self, operating: Operating) -> "Predictions":
        """Return a copy with calibrated probabilities, and a score from them that is comparable between folds."""
        probabilities = operating.calibrated(self.probabilities)
        return replace(self, probabilities=probabilities, score=probabilities[:, 1] if len(self.classes) == 2 else None)


def concatenated(several: list[Predictions]) -> Predictions:
    """Return several predictions as one, for example those of the folds of a sweep."""
    scores = [one.score for one in several if one.score is not None]
    return Predictions(
        several[0].classes,
        np.concatenate([one.labels for one in several]),
        np.concatenate([one.probabilities for one in several]),
        np.concatenate(scores) if len(scores) == len(several) else None,
        np.concatenate([one.patients for one in several]),
        pd.concat([one.samples for one in several]),
    )


def by_head(table: pd.DataFrame, classes: list[str], split: str) -> dict[str, Predictions]:
    """Return the predictions of each head for the samples of a split (`train`, `val` or `test`)."""
    samples = originals(table)
    inside = samples[samples["split"] == split]
    return {str(head): Predictions.of(rows, classes) for head, rows in inside.groupby("head", sort=False)}


def originals(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the copies of an expanded training part, which are not samples of their own."""
    copy = table["copy"] > 0
    if (copy & (table["split"] != "train")).any():
        return table  # copies were dealt to the splits like samples
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
        table = pd.read_csv(path, dtype=TYPES, **WORDS)
    except NO_TABLE as error:
        raise InputError(f"{path}: expected a table of predictions as CSV; reading gave {str(error).strip()}") from None
    classes = [column.removeprefix("p_") for column in table.columns if column.startswith("p_")]
    missing = [column for column in [*COLUMNS, "score"] if column not in table.columns]
    if missing or len(classes) < 2:
        expected = ", ".join([*COLUMNS, "score", "p_<class>..."])
        raise InputError(f"{path}: expected columns {expected}; missing {missing}")
    if unknown := sorted(set(table["label"]) - set(classes)):
        raise InputError(f"{path}: label '{unknown[0]}' has no column p_{unknown[0]}")
    if tested and not (table["split"] == "test").any():
        raise InputError(f"{path}: no row has split=test; expected a table of predictions with a test part")
    return table, classes
