"""Baselines that are reported beside every head: the majority class, and a classifier of shortcut features."""

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def majority(labels: np.ndarray, rows: pd.DataFrame, classes: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the score and probabilities of a head that knows only how frequent the training classes are."""
    originals = np.asarray(rows["split"] == "train")
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((originals.sum(), 1)), labels[originals])
    probabilities = dummy.predict_proba(np.zeros((len(labels), 1)))
    return (np.zeros(len(labels), np.float32) if classes == 2 else None), probabilities


def shortcuts(seen: pd.DataFrame, labels: np.ndarray, rows: pd.DataFrame) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the score and probabilities of a logistic regression on shortcut features, which see no lesion.

    Args:
        seen: (N, columns) shortcut features, numbers or words.
        labels: (N,) class numbers.
        rows: A table with the `split` of each sample; the regression is fitted to the training part.
    """
    train = np.asarray(rows["split"] == "train")
    numbers = pd.get_dummies(seen, dtype=float).to_numpy(float)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(numbers[train], labels[train])
    two = len(model.classes_) == 2
    score = model.decision_function(numbers).astype(np.float32) if two else None
    return score, model.predict_proba(numbers)
