"""scikit-learn classifiers on penultimate features: tuned, calibrated, saved without pickle."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED

import numpy as np
import pandas as pd
import skops.io
from scipy.special import logit
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
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
from mammo.files import whole

INNER_FOLDS = 5

# What skops finds in our own files and does not know; a file with any other type is refused.
TRUSTED = frozenset(
    {
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.tree._tree.Tree",  # its nodes are checked after loading
    }
)


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
        """The grid for features (rows, width)."""
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
    """In one thread: the sums of several are added in another order, and end in other last digits."""
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
        """Decision values, or logits, (N,) float32 of the positive class; None where there are several classes."""
        if len(self.model.classes_) != 2:
            return None
        inner = self.model.calibrated_classifiers_[0].estimator
        if hasattr(inner, "decision_function"):
            return inner.decision_function(features).astype(np.float32)
        return logit(inner.predict_proba(features)[:, 1].clip(1e-7, 1 - 1e-7)).astype(np.float32)

    @steadily()
    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (N, classes)."""
        return np.asarray(self.model.predict_proba(features))


def find_head(name: str) -> Head:
    """The head of that name; an unknown one lists the known."""
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
    """Tunes, fits and calibrates a head; the test part is not looked at, unless it is told to select.

    Args:
        name: A key of `HEADS`.
        features: (N, D) float32.
        labels: (N,) class numbers.
        rows: `patient` and `split` of each sample.
        trained_trunk: Whether the features have seen the training labels. Then the grid's point is chosen, and the
            probabilities calibrated, on validation; else, and where there is no validation, by folds grouped by
            woman inside the training part.
        select_on: `val`, or `test`: then the choice is made, and probabilities calibrated, on it: a leak.
        mixed_copies: Whether a copy in the training part shows other women than the one it is named for: then no
            fold withholds a woman altogether, and it is said so.

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
    seen += ", whose copies show other women too: they flatter the choice, not the test" if mixed_copies else ""
    how = f"tuned and calibrated by {len(inner)} folds grouped by woman inside the training part{seen}"
    return FittedHead(model.fit(features[train], labels[train]), search.best_params_, how)


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
    with whole(path) as temporary:
        skops.io.dump(head.model, temporary, compression=ZIP_DEFLATED)  # 420 trees: 2 MB instead of 14


def load_head(path: Path, chosen: dict[str, Any], how: str) -> FittedHead:
    """Loads what `save_head` wrote.

    Raises:
        InputError: No such file, one that holds types beyond scikit-learn's known ones, or a damaged one.
    """
    if not path.is_file():
        raise InputError(f"no head at {path}; name a run folder that has one")
    surplus = sorted(set(skops.io.get_untrusted_types(file=path)) - TRUSTED)
    if surplus:
        raise InputError(f"{path}: holds types that are not trusted: {', '.join(surplus)}; it was not loaded")
    model = skops.io.load(path, trusted=sorted(TRUSTED))
    if not isinstance(model, CalibratedClassifierCV):
        raise InputError(f"{path}: holds a {type(model).__name__}, not what a run saves as its head; it was not loaded")
    inner = model.calibrated_classifiers_[0].estimator
    if not all(_sound(tree.tree_, inner.n_features_in_) for tree in np.ravel(getattr(inner, "estimators_", []))):
        raise InputError(f"{path}: holds a decision tree that is damaged; it was not loaded")
    return FittedHead(model, chosen, how)


def _sound(tree: Any, width: int) -> bool:
    """Whether each node leads on to later ones by a feature that there is; scikit-learn follows it unchecked."""
    leaf = tree.children_left == -1
    inside = (tree.feature >= 0) & (tree.feature < width)
    for child in (tree.children_left, tree.children_right):
        inside &= (child > np.arange(tree.node_count)) & (child < tree.node_count)
    return bool((leaf | inside).all())
