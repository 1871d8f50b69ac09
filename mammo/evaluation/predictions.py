"""The answers of one head on one part of a predictions table, as arrays; and what its validation answers choose."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mammo.errors import InputError
from mammo.evaluation.operating_point import Operating, choose
from mammo.tables import read_predictions

BASELINES = ("shortcuts", "majority")  # heads that see no lesion


@dataclass(frozen=True)
class Answers:
    """What a head says of N samples.

    Attributes:
        classes: Names; of two, the second is positive.
        labels: (N,) class numbers.
        probabilities: (N, classes); the predicted class is the most probable one.
        score: (N,) score of the positive class, which has more distinct values than its probability; None where
            there are several classes.
        patients: (N,) the woman of each sample.
        samples: (N,) sample ids.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    score: np.ndarray | None
    patients: np.ndarray
    samples: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, mask: np.ndarray) -> "Answers":
        score = None if self.score is None else self.score[mask]
        columns = (self.labels[mask], self.probabilities[mask], score, self.patients[mask], self.samples[mask])
        return Answers(self.classes, *columns)

    @property
    def called(self) -> np.ndarray:
        """(N,) the most probable class of each sample."""
        return self.probabilities.argmax(axis=1)

    @property
    def right(self) -> np.ndarray:
        """(N,) bool, whether that is its label."""
        return self.called == self.labels

    def calibrated(self, operating: Operating) -> "Answers":
        """The same with calibrated probabilities, from which the score is taken too: comparable between folds."""
        probabilities = operating.calibrated(self.probabilities)
        return replace(self, probabilities=probabilities, score=probabilities[:, 1] if len(self.classes) == 2 else None)


def answers(table: pd.DataFrame, classes: list[str]) -> Answers:
    """Those of the rows of a predictions table, of one head each."""
    score = table["score"].to_numpy(float)
    return Answers(
        tuple(classes),
        table["label"].map({name: i for i, name in enumerate(classes)}).to_numpy(),
        table[[f"p_{name}" for name in classes]].to_numpy(float),
        None if np.isnan(score).any() else score,
        table["patient"].to_numpy(str),
        table["sample_id"].to_numpy(str),
    )


def of_part(predictions: pd.DataFrame, classes: list[str], part: str) -> dict[str, Answers]:
    """By head, of the samples of a part."""
    samples = originals(predictions)
    inside = samples[samples["split"] == part]
    return {str(head): answers(table, classes) for head, table in inside.groupby("head", sort=False)}


def originals(predictions: pd.DataFrame) -> pd.DataFrame:
    """Without the copies of an expanded training part, which are no samples of their own."""
    copy = predictions["sample_id"].str.contains(r"\.c\d+$")
    if (copy & (predictions["split"] != "train")).any():
        return predictions  # they were dealt as if they were samples
    return predictions[~copy]


def choices(
    predictions: pd.DataFrame, classes: list[str], rule: str | float = "youden", part: str = "val"
) -> dict[str, Operating]:
    """What each head's answers on validation choose; nothing where there is no validation part."""
    chosen_on = of_part(predictions, classes, part)
    heads = [str(head) for head in predictions["head"].unique()]
    return {
        head: choose(a.labels, a.probabilities, a.score, rule) if (a := chosen_on.get(head)) else Operating(str(rule))
        for head in heads
    }


def concatenated(several: list[Answers]) -> Answers:
    """All of them in one, say the folds of a sweep."""
    scores = [one.score for one in several if one.score is not None]
    return Answers(
        several[0].classes,
        np.concatenate([one.labels for one in several]),
        np.concatenate([one.probabilities for one in several]),
        np.concatenate(scores) if len(scores) == len(several) else None,
        np.concatenate([one.patients for one in several]),
        np.concatenate([one.samples for one in several]),
    )


def read_tested(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """A predictions table that has a test part, and its classes."""
    predictions, classes = read_predictions(path)
    if not (predictions["split"] == "test").any():
        raise InputError(f"{path}: no row has split=test; expected a table of predictions with a test part")
    return predictions, classes
