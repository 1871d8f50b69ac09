"""Save and load heads without pickle: by skops, with one short list of trusted scikit-learn types."""

from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED

import numpy as np
from sklearn.calibration import CalibratedClassifierCV

from mammo.errors import InputError, content_of
from mammo.files import whole
from mammo.models.heads import FittedHead

# The types in our own files that skops does not know; a file with any other type is refused.
TRUSTED = frozenset(
    {
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.tree._tree.Tree",  # its nodes are checked after loading
    }
)


def save_head(head: FittedHead, path: Path) -> None:
    """Save the classifier of a head with skops."""
    import skops.io  # noqa: PLC0415 - it lists all of scikit-learn's types, which a run need not wait for

    with whole(path) as temporary:
        skops.io.dump(head.model, temporary, compression=ZIP_DEFLATED)  # 420 trees take 2 MB, not 14


def load_head(path: Path, chosen: dict[str, Any], how: str, windows: int = 1) -> FittedHead:
    """Load a head that `save_head` wrote.

    Raises:
        InputError: The file does not exist, holds types that are not trusted, or is damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: the head is not there; name a run folder that has it")
    with content_of(path):
        model = _loaded(path)
        if not isinstance(model, CalibratedClassifierCV):
            raise InputError(f"{path}: holds a {type(model).__name__}, expected a calibrated head; it was not loaded")
        inner = model.calibrated_classifiers_[0].estimator
        if not all(_sound(tree.tree_, inner.n_features_in_) for tree in np.ravel(getattr(inner, "estimators_", []))):
            raise InputError(f"{path}: holds a damaged decision tree; it was not loaded")
    return FittedHead(model, chosen, how, windows)


def _loaded(path: Path) -> Any:
    """Return what a file holds, if all its types are trusted."""
    import skops.io  # noqa: PLC0415 - see above

    surplus = sorted(set(skops.io.get_untrusted_types(file=path)) - TRUSTED)
    if surplus:
        raise InputError(f"{path}: holds types that are not trusted: {', '.join(surplus)}; it was not loaded")
    return skops.io.load(path, trusted=sorted(TRUSTED))


def _sound(tree: Any, width: int) -> bool:
    """Tell whether each node leads to later nodes by a feature that exists; scikit-learn does not check this."""
    leaf = tree.children_left == -1
    inside = (tree.feature >= 0) & (tree.feature < width)
    for child in (tree.children_left, tree.children_right):
        inside &= (child > np.arange(tree.node_count)) & (child < tree.node_count)
    return bool((leaf | inside).all())
