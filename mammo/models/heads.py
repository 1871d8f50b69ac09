"""scikit-learn classifiers on penultimate features: tuned, calibrated, saved without pickle."""

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit, StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_limits

from mammo.errors import InputError

log = logging.getLogger(__name__)

INNER_FOLDS = 5


@dataclass(frozen=True)
class Head:
    """A row of the table: an unfitted estimator and the grid that its tuning searches.

    Args:
        estimator: From scikit-learn, seeded, with `decision_function` or `predict_proba`.
        grid: Values of its parameters.
        per_width: Parameters whose values are given times D.
        counts: Parameters that may not exceed the features' rank: neighbours, components.
        spare: Rows that it needs beyond one of each class.
    """

    estimator: BaseEstimator
    grid: dict[str, list[Any]]
    per_width: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    spare: int = 0

    def searched(self, rows: int, width: int) -> dict[str, list[Any]]:
        """Return the grid for features (rows, width)."""
        found = {key: [v / width for v in values] if key in self.per_width else values
                 for key, values in self.grid.items()}  # fmt: skip
        return found | {key: sorted({min(v, rows - 1, width) for v in found[key]}) for key in self.counts}


# Of standardised features, squared norms are about D and squared distances about 2 D: so C and gamma are given times D.
HEADS = {
    "svm": Head(
        make_pipeline(StandardScaler(), SVC(kernel="rbf", class_weight="balanced", cache_size=500)),
        {"svc__C": [0.1, 1.0, 10.0, 100.0], "svc__gamma": [0.1, 0.3, 1.0, 3.0]},
        per_width=("svc__gamma",),
    ),
    "svm_linear": Head(
        make_pipeline(StandardScaler(), LinearSVC(class_weight="balanced", max_iter=10_000, random_state=0)),
        {"linearsvc__C": [0.01, 0.1, 1.0, 10.0]},
        per_width=("linearsvc__C",),
    ),
    "logistic": Head(
        make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)),
        {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]},
        per_width=("logisticregression__C",),
    ),
    "lda": Head(  # one fit takes 23 s at D = 4096; of 64 components, 0.1 s
        make_pipeline(StandardScaler(), PCA(random_state=0), LinearDiscriminantAnalysis(solver="lsqr")),
        {"pca__n_components": [64], "lineardiscriminantanalysis__shrinkage": ["auto", 0.1, 0.5, 0.9]},
        counts=("pca__n_components",),
        spare=1,
    ),
    "knn": Head(  # the cosine does not let bright films lie far from all others; weights leave no ties
        make_pipeline(StandardScaler(), KNeighborsClassifier(weights="distance", metric="cosine", algorithm="brute")),
        {"kneighborsclassifier__n_neighbors": [5, 15, 45]},
        counts=("kneighborsclassifier__n_neighbors",),
    ),
    "mlp": Head(  # 64 components: a tenth of the time of all; tanh: with kinks, L-BFGS does not converge
        make_pipeline(
            StandardScaler(),
            PCA(random_state=0),
            MLPClassifier((32,), activation="tanh", solver="lbfgs", tol=1e-3, max_iter=5000, random_state=0),
        ),
        {"pca__n_components": [64], "mlpclassifier__alpha": [3.0, 10.0, 30.0, 100.0]},
        counts=("pca__n_components",),
    ),
    "boosting": Head(  # a few features per split: a fortieth of the time of histograms of all, and no worse
        GradientBoostingClassifier(n_estimators=60, max_features="sqrt", subsample=0.5, random_state=0),
        {"max_depth": [1, 3]},
    ),
}


@contextmanager
def steadily() -> Iterator[None]:
    """Compute in one thread: the sums of several are added in another order, and end in other last digits."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Only one sample available")  # of a class with one film in a fold, by LDA
        yield


@dataclass(frozen=True)
class FittedHead:
    """A head after its fit: the calibrated classifier, what tuning chose, and how."""

    model: CalibratedClassifierCV
    chosen: dict[str, Any]
    how: str

    @steadily()
    def score(self, features: np.ndarray) -> np.ndarray | None:
        """Return decision values or logits (N,) float32 of the positive class; None where there are several classes."""
        if len(self.model.classes_) != 2:
            return None
        inner = self.model.calibrated_classifiers_[0].estimator
        if hasattr(inner, "decision_function"):
            return inner.decision_function(features).astype(np.float32)
        return logit(inner.predict_proba(features)[:, 1].clip(1e-7, 1 - 1e-7)).astype(np.float32)

    @steadily()
    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities (N, classes)."""
        return np.asarray(self.model.predict_proba(features))


def find_head(name: str) -> Head:
    """Return the head of that name; an unknown one lists the known."""
    if name not in HEADS:
        raise InputError(f"head '{name}' is unknown; expected all, or some of {', '.join(HEADS)}")
    return HEADS[name]


@steadily()
def fit_head(
    name: str,
    features: np.ndarray,
    labels: np.ndarray,
    rows: pd.DataFrame,
    *,
    trained_trunk: bool,
    select_on: str = "val",
    mixed_copies: bool = False,
) -> FittedHead:
    """Tune, fit and calibrate a head. The test part is not looked at, unless it is told to select.

    Args:
        name: A key of `HEADS`.
        features: (N, D) float32.
        labels: (N,) class numbers.
        rows: `patient` and `split` of each sample.
        trained_trunk: True if the features have seen the training labels. Then the grid's point is chosen, and the
            probabilities calibrated, on validation; else, and where there is no validation, by folds grouped by
            patient inside the training part.
        select_on: `val`, or `test`: then the choice is made, and probabilities calibrated, on it: a leak.
        mixed_copies: True if a copy in the training part shows other patients than the one it is named for:
            then no fold withholds a patient altogether, and it is said so.

    Raises:
        InputError: Too few samples to learn from.
    """
    head = find_head(name)
    train, val = (np.asarray(rows["split"] == part) for part in ("train", select_on))
    if not np.isfinite(features[train | val]).all():
        raise RuntimeError(f"leak: head {name} is asked to learn from rows that are withheld from it, or not finite")
    on_val = (trained_trunk or select_on == "test") and val.any()
    inner = [] if on_val else inner_folds(labels[train], rows.loc[train, "patient"].to_numpy())
    fewest, classes = min([int(train.sum()), *(len(part) for part, _ in inner)]), len(np.unique(labels[train]))
    if fewest < classes + head.spare:
        raise InputError(f"head {name} needs more than {classes} samples of {classes} classes in a fold; leave it out")
    part = train | val if on_val else train
    search = GridSearchCV(
        clone(head.estimator),
        head.searched(fewest, features.shape[1]),
        scoring="roc_auc" if len(np.unique(labels)) == 2 else "balanced_accuracy",
        cv=PredefinedSplit(np.where(val[part], 0, -1)) if on_val else inner,
        refit=False,
    )
    search.fit(features[part], labels[part])
    best = clone(head.estimator).set_params(**search.best_params_)
    if on_val:
        fitted = FrozenEstimator(best.fit(features[train], labels[train]))
        everything = [(np.arange(val.sum()), np.arange(val.sum()))]  # nothing is refitted, so nothing is held out
        model = CalibratedClassifierCV(fitted, method="sigmoid", cv=everything, ensemble=False)
        how = f"tuned and calibrated on {'validation' if select_on == 'val' else select_on}"
        return FittedHead(model.fit(features[val], labels[val]), search.best_params_, how)
    model = CalibratedClassifierCV(best, method="sigmoid", cv=inner, ensemble=False)
    seen = ", on features that have seen their labels" if trained_trunk else ""
    seen += ", whose copies show other patients too: they flatter the choice, not the test" if mixed_copies else ""
    how = f"tuned and calibrated by {len(inner)} folds grouped by patient inside the training part{seen}"
    return FittedHead(model.fit(features[train], labels[train]), search.best_params_, how)


def fit_heads(
    names: list[str],
    features: np.ndarray,
    labels: np.ndarray,
    rows: pd.DataFrame,
    *,
    trained_trunk: bool,
    select_on: str,
    mixed_copies: bool,
) -> dict[str, FittedHead]:
    """Fit several heads on features from which the rows that no head may see are withheld; see `fit_head`."""
    shown, fitted = withheld(features, rows, select_on), {}
    for name in names:
        start = time.perf_counter()
        head = fit_head(
            name, shown, labels, rows, trained_trunk=trained_trunk, select_on=select_on, mixed_copies=mixed_copies
        )
        log.info("head   %s: %s, %s, %.1f s", name, head.chosen, head.how, time.perf_counter() - start)
        fitted[name] = head
    return fitted


def withheld(features: np.ndarray, rows: pd.DataFrame, select_on: str = "val") -> np.ndarray:
    """Return a copy with the withheld rows set to infinity, so that a fit that touches one fails."""
    allowed = np.asarray(rows["split"].isin(["train", select_on]))
    return np.where(allowed[:, None], features, np.float32(np.inf))


def inner_folds(labels: np.ndarray, patients: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return folds for tuning: a patient's samples, copies included, lie in one of them; fewer where classes lack.

    Raises:
        InputError: No two folds have every class.
    """
    classes, people = len(np.unique(labels)), len(np.unique(patients))
    for count in range(min(INNER_FOLDS, people, np.bincount(labels).max()), 1, -1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a class with few patients: seen to below
            pairs = list(StratifiedGroupKFold(count, shuffle=True, random_state=0).split(labels, labels, patients))
        if all(len(np.unique(labels[part])) == classes for pair in pairs for part in pair):
            return pairs
    raise InputError("a head is tuned by folds: the training part needs at least two patients of each class")
