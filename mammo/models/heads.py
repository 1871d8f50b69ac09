"""scikit-learn classifiers on penultimate features: tuned, calibrated, saved without pickle."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_limits

from mammo.errors import InputError

log = logging.getLogger(__name__)

INNER_FOLDS = 5
BLOCK = 1024  # rows that are answered at a time, so that their copy in double precision stays small


@dataclass(frozen=True)
class Head:
    """A row of the table: an unfitted estimator and the grid that its tuning searches.

    Args:
        estimator: A seeded estimator of scikit-learn with `decision_function` or `predict_proba`.
        grid: The values to try, by parameter.
        per_width: Parameters whose values in `grid` are divided by D, the number of features.
        counts: Parameters that may not exceed the rank of the features: numbers of neighbours or components.
        spare: Number of samples that the head needs beyond one of each class.
    """

    estimator: BaseEstimator
    grid: dict[str, list[Any]]
    per_width: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    spare: int = 0

    def searched(self, rows: int, width: int) -> dict[str, list[Any]]:
        """Return the grid that is searched for features of shape (rows, width)."""
        found = {key: [v / width for v in values] if key in self.per_width else values
                 for key, values in self.grid.items()}  # fmt: skip
        return found | {key: sorted({min(v, rows - 1, width) for v in found[key]}) for key in self.counts}


# Squared norms of standardised features are about D and squared distances about 2 D, so C and gamma go with 1 / D.
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
    "lda": Head(  # one fit takes 23 s at D = 4096, and 0.1 s with 64 components
        make_pipeline(StandardScaler(), PCA(random_state=0), LinearDiscriminantAnalysis(solver="lsqr")),
        {"pca__n_components": [64], "lineardiscriminantanalysis__shrinkage": ["auto", 0.1, 0.5, 0.9]},
        counts=("pca__n_components",),
        spare=1,
    ),
    "knn": Head(  # cosine: else bright crops lie far from all others; weights by distance: no ties
        make_pipeline(StandardScaler(), KNeighborsClassifier(weights="distance", metric="cosine", algorithm="brute")),
        {"kneighborsclassifier__n_neighbors": [5, 15, 45]},
        counts=("kneighborsclassifier__n_neighbors",),
    ),
    "mlp": Head(  # 64 components take a tenth of the time; L-BFGS converges with tanh, but not with ReLU
        make_pipeline(
            StandardScaler(),
            PCA(random_state=0),
            MLPClassifier((32,), activation="tanh", solver="lbfgs", tol=1e-3, max_iter=5000, random_state=0),
        ),
        {"pca__n_components": [64], "mlpclassifier__alpha": [3.0, 10.0, 30.0, 100.0]},
        counts=("pca__n_components",),
    ),
    "boosting": Head(  # few features per split: no worse than histograms of all features, in 1/40 of the time
        GradientBoostingClassifier(n_estimators=60, max_features="sqrt", subsample=0.5, random_state=0),
        {"max_depth": [1, 3]},
    ),
}


@contextmanager
def steadily() -> Iterator[None]:
    """Compute in one thread: several threads add sums in another order, which changes the last digits."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Only one sample available")  # LDA, if a fold has one image of a class
        yield


@dataclass(frozen=True)
class FittedHead:
    """A fitted head: the calibrated classifier, the parameters that tuning chose, and how they were chosen.

    With several `windows`, it answers for each part of the features, (N, windows x D), and the answers are averaged.
    """

    model: CalibratedClassifierCV
    chosen: dict[str, Any]
    how: str
    windows: int = 1

    @steadily()
    def score(self, features: np.ndarray) -> np.ndarray | None:
        """Return decision values or logits (N,) float32 of the positive class; None for more than two classes."""
        if len(self.model.classes_) != 2:
            return None
        inner = self.model.calibrated_classifiers_[0].estimator
        if hasattr(inner, "decision_function"):
            return self._answers(inner.decision_function, features)
        return self._answers(lambda rows: logit(inner.predict_proba(rows)[:, 1].clip(1e-7, 1 - 1e-7)), features)

    @steadily()
    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities (N, classes) float32."""
        return self._answers(self.model.predict_proba, features)

    def _answers(self, answer: Callable[[np.ndarray], np.ndarray], features: np.ndarray) -> np.ndarray:
        """Return an answer (N, ...) float32 for features (N, D), or the mean of those for the windows of each sample.

        It is computed in double precision: in single precision its last digits would depend on the rows beside it,
        as a matrix product adds in an order of its own for each number of rows, for each place in a block and on each
        processor. Nearest neighbours make much of such a digit, as a film is at no distance from itself.
        """
        rows = each_window(features, self.windows)
        blocks = (rows[start : start + BLOCK].astype(np.float64) for start in range(0, len(rows), BLOCK))
        found = np.concatenate([np.asarray(answer(block)) for block in blocks])
        return found.reshape(-1, self.windows, *found.shape[1:]).mean(axis=1).astype(np.float32)


def find_head(name: str) -> Head:
    """Return the head of that name; the error for an unknown one lists the known ones."""
    if name not in HEADS:
        raise InputError(f"head '{name}' is unknown; expected all, or some of {', '.join(HEADS)}")
    head = HEADS[name]
    if not isinstance(head, Head):
        raise InputError(f"head '{name}' is a {type(head).__name__}; expected Head(<estimator>, <grid>) in HEADS")
    if unknown := set(head.grid) - set(head.estimator.get_params()):
        raise InputError(
            f"head '{name}' has a grid of {', '.join(sorted(unknown))}; its estimator has no such parameter"
        )
    return head


@steadily()
def fit_head(
    name: str,
    features: np.ndarray,
    labels: np.ndarray,
    rows: pd.DataFrame,
    *,
    trained_backbone: bool,
    select_on: str = "val",
    mixed_copies: bool = False,
) -> FittedHead:
    """Tune, fit and calibrate a head, without looking at the test part unless `select_on` is test.

    Args:
        name: A key of `HEADS`.
        features: (N, D) float32.
        labels: (N,) class numbers.
        rows: A table with the `patient` and `split` of each sample.
        trained_backbone: True if the features were trained on the labels of the training part. The head is then tuned
            and calibrated on validation. Otherwise, or without a validation part, it is tuned and calibrated by folds
            grouped by patient inside the training part.
        select_on: `val`; or `test`, which tunes and calibrates on the test part: a leak.
        mixed_copies: True if a copy in the training part shows other patients than the one it is named for. No fold
            then withholds a patient completely, and `how` says so.

    Raises:
        InputError: There are too few samples to learn from.
    """
    head = find_head(name)
    train, val = (np.asarray(rows["split"] == part) for part in ("train", select_on))
    if not np.isfinite(features[train | val]).all():
        raise RuntimeError(f"leak: the features that head {name} would learn from are withheld from it, or not finite")
    on_val = (trained_backbone or select_on == "test") and val.any()
    inner = [] if on_val else inner_folds(labels[train], rows.loc[train, "patient"].to_numpy())
    fewest, classes = min([int(train.sum()), *(len(part) for part, _ in inner)]), len(np.unique(labels[train]))
    if fewest < classes + head.spare:
        found = f"head {name} needs {classes + head.spare} samples of {classes} classes, but a fold has {fewest}"
        raise InputError(f"{found}; use more images, or leave the head out")
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
    seen = ", on features that were trained on the same labels" if trained_backbone else ""
    seen += ", whose copies also show other patients: this flatters the choice, not the test" if mixed_copies else ""
    how = f"tuned and calibrated by {len(inner)} folds grouped by patient inside the training part{seen}"
    return FittedHead(model.fit(features[train], labels[train]), search.best_params_, how)


def steps_of(model: CalibratedClassifierCV) -> list[Any]:
    """Return the fitted estimators of a head in the order in which features go through them."""
    inner = model.calibrated_classifiers_[0].estimator
    while isinstance(inner, FrozenEstimator):
        inner = inner.estimator
    return [step for _, step in inner.steps] if isinstance(inner, Pipeline) else [inner]


def fit_heads(
    names: list[str],
    features: np.ndarray,
    labels: np.ndarray,
    rows: pd.DataFrame,
    *,
    trained_backbone: bool,
    select_on: str,
    mixed_copies: bool,
    windows: int = 1,
) -> dict[str, FittedHead]:
    """Fit several heads; the features of rows that no head may see are withheld. See `fit_head`.

    With several `windows` in the features, (N, windows x D), a head learns from each of them like from a sample.
    """
    shown, fitted = each_window(withheld(features, rows, select_on), windows), {}
    labels, rows = labels.repeat(windows), rows.loc[rows.index.repeat(windows)].reset_index(drop=True)
    for name in names:
        start = time.perf_counter()
        head = fit_head(
            name, shown, labels, rows, trained_backbone=trained_backbone, select_on=select_on, mixed_copies=mixed_copies
        )
        log.info("head   %s: %s, %s, %.1f s", name, head.chosen, head.how, time.perf_counter() - start)
        fitted[name] = replace(head, windows=windows)
    return fitted


def each_window(features: np.ndarray, windows: int) -> np.ndarray:
    """Return the features of each window, (N x windows, D), from those of samples, (N, windows x D)."""
    return features.reshape(len(features) * windows, -1)


def withheld(features: np.ndarray, rows: pd.DataFrame, select_on: str = "val") -> np.ndarray:
    """Return a copy with the withheld rows set to infinity, so that a fit that touches one fails."""
    allowed = np.asarray(rows["split"].isin(["train", select_on]))
    return np.where(allowed[:, None], features, np.float32(np.inf))


def inner_folds(labels: np.ndarray, patients: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return folds for tuning. All samples of a patient, copies included, lie in one fold, and each has every class.

    Raises:
        InputError: Not even two folds would have every class.
    """
    classes, people = len(np.unique(labels)), len(np.unique(patients))
    for count in range(min(INNER_FOLDS, people, np.bincount(labels).max()), 1, -1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a class with few patients: checked below
            pairs = list(StratifiedGroupKFold(count, shuffle=True, random_state=0).split(labels, labels, patients))
        if all(len(np.unique(labels[part])) == classes for pair in pairs for part in pair):
            return pairs
    raise InputError(
        "heads are tuned by folds, so the training part needs at least two patients of each class; use more patients"
    )
