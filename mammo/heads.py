"""scikit-learn classifiers on penultimate features: tuned, calibrated, saved without pickle."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from scipy.special import logit
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mammo import InputError

INNER_FOLDS = 5

# What skops finds in our own files and does not know; a file with any other type is refused.
TRUSTED = frozenset(
    {
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
    }
)


@dataclass(frozen=True)
class Head:
    """A row of the table: an unfitted estimator, the grid that its tuning searches, and what of it counts in 1 / D."""

    estimator: BaseEstimator
    grid: dict[str, list[Any]]
    per_width: tuple[str, ...] = ()


HEADS = {
    "svm": Head(
        make_pipeline(StandardScaler(), SVC(kernel="rbf", class_weight="balanced", cache_size=500)),
        {"svc__C": [0.1, 1.0, 10.0, 100.0], "svc__gamma": [0.1, 0.3, 1.0, 3.0]},
        per_width=("svc__gamma",),  # D standardised features lie at squared distances of about 2 D
    ),
}


@dataclass(frozen=True)
class FittedHead:
    """A head after its fit: the calibrated classifier, what tuning chose, and how."""

    model: CalibratedClassifierCV
    chosen: dict[str, Any]
    how: str

    def score(self, features: np.ndarray) -> np.ndarray | None:
        """Decision values, or logits, (N,) float32 of the positive class; None where there are several classes."""
        if len(self.model.classes_) != 2:
            return None
        inner = self.model.calibrated_classifiers_[0].estimator
        if hasattr(inner, "decision_function"):
            return inner.decision_function(features).astype(np.float32)
        return logit(inner.predict_proba(features)[:, 1].clip(1e-7, 1 - 1e-7)).astype(np.float32)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (N, classes)."""
        return np.asarray(self.model.predict_proba(features))


def find_head(name: str) -> Head:
    """The head of that name; an unknown one lists the known."""
    if name not in HEADS:
        raise InputError(f"head '{name}' is unknown; expected some of {', '.join(HEADS)}")
    return HEADS[name]


def fit_head(
    name: str,
    features: np.ndarray,
    labels: np.ndarray,
    rows: pd.DataFrame,
    *,
    trained_trunk: bool,
    select_on: str = "val",
) -> FittedHead:
    """Tunes, fits and calibrates a head; the test part is not looked at, unless it is told to select.

    Args:
        name: A key of `HEADS`.
        features: (N, D) float32.
        labels: (N,) class numbers.
        rows: `patient` and `split` of each sample.
        trained_trunk: Whether the features have seen the training labels. Then C and gamma are chosen, and the
            probabilities calibrated, on validation; else, and where there is no validation, by folds grouped by
            woman inside the training part.
        select_on: `val`, or `test`: then C and gamma are chosen, and probabilities calibrated, on it: a leak.
    """
    head = find_head(name)
    train, val = (np.asarray(rows["split"] == part) for part in ("train", select_on))
    if not np.isfinite(features[train | val]).all():
        raise RuntimeError(f"leak: head {name} is asked to learn from rows that are withheld from it, or not finite")
    width = features.shape[1]
    grid = {key: [v / width for v in values] if key in head.per_width else values for key, values in head.grid.items()}
    scoring = "roc_auc" if len(np.unique(labels)) == 2 else "balanced_accuracy"
    if (trained_trunk or select_on == "test") and val.any():
        part = train | val
        on_val = PredefinedSplit(np.where(val[part], 0, -1))
        search = GridSearchCV(clone(head.estimator), grid, scoring=scoring, cv=on_val, refit=False)
        search.fit(features[part], labels[part])
        fitted = clone(head.estimator).set_params(**search.best_params_).fit(features[train], labels[train])
        everything = [(np.arange(val.sum()), np.arange(val.sum()))]  # nothing is refitted, so nothing is held out
        model = CalibratedClassifierCV(FrozenEstimator(fitted), method="sigmoid", cv=everything, ensemble=False)
        how = f"tuned and calibrated on {'validation' if select_on == 'val' else select_on}"
        return FittedHead(model.fit(features[val], labels[val]), search.best_params_, how)
    inner = inner_folds(labels[train], rows.loc[train, "patient"].to_numpy())
    search = GridSearchCV(clone(head.estimator), grid, scoring=scoring, cv=inner, refit=False)
    search.fit(features[train], labels[train])
    best = clone(head.estimator).set_params(**search.best_params_)
    model = CalibratedClassifierCV(best, method="sigmoid", cv=inner, ensemble=False)
    model.fit(features[train], labels[train])
    seen = ", on features that have seen their labels" if trained_trunk else ""
    how = f"tuned and calibrated by {len(inner)} folds grouped by woman inside the training part{seen}"
    return FittedHead(model, search.best_params_, how)


def withheld(features: np.ndarray, rows: pd.DataFrame, select_on: str = "val") -> np.ndarray:
    """The same features for who fits a head: infinite where nobody may look, so that scikit-learn refuses a look."""
    allowed = np.asarray(rows["split"].isin(["train", select_on]))
    return np.where(allowed[:, None], features, np.float32(np.inf))


def inner_folds(labels: np.ndarray, patients: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds for tuning: a woman's samples, copies included, lie in one of them; fewer where classes would be lacking.

    Raises:
        InputError: No two folds have every class.
    """
    classes, women = len(np.unique(labels)), len(np.unique(patients))
    for count in range(min(INNER_FOLDS, women, np.bincount(labels).max()), 1, -1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a class with few women: seen to below
            pairs = list(StratifiedGroupKFold(count, shuffle=True, random_state=0).split(labels, labels, patients))
        if all(len(np.unique(labels[part])) == classes for pair in pairs for part in pair):
            return pairs
    raise InputError("a head is tuned by folds: the training part needs at least two women of each class")


def majority(labels: np.ndarray, rows: pd.DataFrame, classes: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Score and probabilities of the head that has seen nothing but how frequent the training classes are."""
    originals = np.asarray(rows["split"] == "train")
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((originals.sum(), 1)), labels[originals])
    probabilities = dummy.predict_proba(np.zeros((len(labels), 1)))
    return (np.zeros(len(labels), np.float32) if classes == 2 else None), probabilities


def shortcuts(seen: pd.DataFrame, labels: np.ndarray, rows: pd.DataFrame) -> tuple[np.ndarray | None, np.ndarray]:
    """Score and probabilities of a logistic regression on what is seen without looking at a lesion.

    Args:
        seen: (N, columns), numbers or words.
        labels: (N,) class numbers.
        rows: `split` of each sample; the training part is fitted.
    """
    train = np.asarray(rows["split"] == "train")
    numbers = pd.get_dummies(seen, dtype=float).to_numpy(float)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(numbers[train], labels[train])
    two = len(model.classes_) == 2
    score = model.decision_function(numbers).astype(np.float32) if two else None
    return score, model.predict_proba(numbers)


def save_head(head: FittedHead, path: Path) -> None:
    """Saves the classifier by skops."""
    temporary = path.with_name(path.name + ".tmp")
    skops.io.dump(head.model, temporary)
    temporary.replace(path)


def load_head(path: Path, chosen: dict[str, Any], how: str) -> FittedHead:
    """Loads what `save_head` wrote.

    Raises:
        InputError: No such file, or one that holds types beyond scikit-learn's known ones.
    """
    if not path.is_file():
        raise InputError(f"no head at {path}; name a run folder that has one")
    surplus = sorted(set(skops.io.get_untrusted_types(file=path)) - TRUSTED)
    if surplus:
        raise InputError(f"{path}: holds types that are not trusted: {', '.join(surplus)}; it was not loaded")
    return FittedHead(skops.io.load(path, trusted=sorted(TRUSTED)), chosen, how)
