"""Fitted heads as layers of torch, so that a network and its head are one graph (`mammo export`).

Each layer computes what scikit-learn does, in float32. To add a head of your own, add its estimator to `STEPS`.
"""

from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from torch import Tensor, nn

from mammo.errors import InputError
from mammo.models.heads import FittedHead, steps_of

TINY = 1e-37  # so that classes without any probability get the same
LEAST = 1e-7  # the probability at which `FittedHead.score` cuts log-odds


class Standardise(nn.Module):
    """Takes the mean from each feature, and divides by the standard deviation."""

    def __init__(self, scaler: StandardScaler) -> None:
        super().__init__()
        self.mean = nn.Buffer(_tensor(scaler.mean_))
        self.scale = nn.Buffer(_tensor(scaler.scale_))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, D) from (N, D)."""
        return (x - self.mean) / self.scale


class Components(nn.Module):
    """Projects on principal components."""

    def __init__(self, pca: PCA) -> None:
        super().__init__()
        self.mean = nn.Buffer(_tensor(pca.mean_))
        self.axes = nn.Buffer(_tensor(pca.components_.T))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, components) from (N, D)."""
        return (x - self.mean) @ self.axes


class Kernel(nn.Module):
    """A support vector machine with the kernel exp(-gamma |x - y|^2); several classes vote in pairs."""

    signs: Tensor | None

    def __init__(self, svm: SVC) -> None:
        super().__init__()
        if svm.kernel != "rbf" or svm.decision_function_shape != "ovr":
            raise InputError(f"kernel={svm.kernel}: only an SVM with kernel=rbf can be exported")
        self.gamma, classes = float(svm._gamma), len(svm.classes_)
        self.smooth = classes == 2
        pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
        weights, signs = svm.dual_coef_.T, None
        if classes > 2:  # row j - 1 of an i's vectors, and row i of a j's, belong to the pair i, j
            owner = np.repeat(np.arange(classes), svm.n_support_)
            weights = np.stack(
                [svm.dual_coef_[j - 1] * (owner == i) + svm.dual_coef_[i] * (owner == j) for i, j in pairs], axis=1
            )
            signs = _tensor([[(one == i) - (one == j) for one in range(classes)] for i, j in pairs])
        self.register_buffer("signs", signs)
        self.support = nn.Buffer(_tensor(svm.support_vectors_.T))
        self.norms = nn.Buffer(_tensor((svm.support_vectors_**2).sum(axis=1)))
        self.weights = nn.Buffer(_tensor(weights))
        self.offsets = nn.Buffer(_tensor(svm.intercept_))

    def forward(self, x: Tensor) -> Tensor:
        """Return decision values (N, 1) of two classes, or (N, classes)."""
        squares = (x * x).sum(1, keepdim=True) - 2 * (x @ self.support) + self.norms
        found = torch.exp(-self.gamma * squares.clamp_min(0)) @ self.weights + self.offsets
        if self.signs is None:
            return found
        first = (found >= 0).float()  # as scikit-learn's `_ovr_decision_function`: votes, and how sure they are
        votes, sure = first @ self.signs.clamp_min(0) + (1 - first) @ (-self.signs).clamp_min(0), found @ self.signs
        return votes + sure / (3 * (sure.abs() + 1))


class Linear(nn.Module):
    """Weighs the features: logistic regression, a linear SVM or discriminant analysis."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.weights = nn.Buffer(_tensor(model.coef_.T))
        self.offsets = nn.Buffer(_tensor(model.intercept_))

    def forward(self, x: Tensor) -> Tensor:
        """Return decision values (N, 1) of two classes, or (N, classes)."""
        return x @ self.weights + self.offsets


class Neighbours(nn.Module):
    """Votes of the nearest training samples by the angle, weighted by 1 / distance."""

    smooth = False

    def __init__(self, knn: KNeighborsClassifier) -> None:
        super().__init__()
        if knn.weights != "distance" or knn.effective_metric_ != "cosine":
            raise InputError("only nearest neighbours with weights=distance and metric=cosine can be exported")
        self.count = int(knn.n_neighbors)
        self.rows = nn.Buffer(self._unit(_tensor(knn._fit_X)).T.contiguous())
        self.votes = nn.Buffer(_tensor(np.eye(len(knn.classes_))[knn._y]))

    @staticmethod
    def _unit(x: Tensor) -> Tensor:
        length = (x * x).sum(1, keepdim=True).sqrt()
        return x / torch.where(length > 0, length, torch.ones_like(length))

    def forward(self, x: Tensor) -> Tensor:
        """Return probabilities (N, classes)."""
        apart = (1 - self._unit(x) @ self.rows).clamp_min(0)
        nearest, which = torch.topk(apart, self.count, dim=1, largest=False)
        same = (nearest == 0).any(1, keepdim=True)
        weights = torch.where(same, (nearest == 0).float(), 1 / torch.where(same, torch.ones_like(nearest), nearest))
        found = (self.votes[which] * weights[:, :, None]).sum(1)
        return found / found.sum(1, keepdim=True)


class Perceptron(nn.Module):
    """A perceptron with tanh units."""

    def __init__(self, mlp: MLPClassifier) -> None:
        super().__init__()
        if mlp.activation != "tanh":
            raise InputError(f"activation={mlp.activation}: only a perceptron with activation=tanh can be exported")
        self.layers = nn.ModuleList()
        for weights, offsets in zip(mlp.coefs_, mlp.intercepts_, strict=True):
            layer = nn.Linear(*weights.shape)
            layer.weight.data, layer.bias.data = _tensor(weights.T), _tensor(offsets)
            self.layers.append(layer)

    def forward(self, x: Tensor) -> Tensor:
        """Return probabilities (N, classes)."""
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        x = self.layers[-1](x)
        return x.softmax(1) if x.shape[1] > 1 else torch.cat([torch.sigmoid(-x), torch.sigmoid(x)], dim=1)


class Trees(nn.Module):
    """Sums boosted decision trees. All trees go down one level at a time; a leaf leads to itself."""

    smooth = False

    def __init__(self, model: GradientBoostingClassifier) -> None:
        super().__init__()
        if not isinstance(model.init_, DummyClassifier):
            raise InputError("only boosted trees that start from the frequencies of the classes can be exported")
        trees = [one.tree_ for one in model.estimators_.ravel()]
        self.depth, self.shape = max(tree.max_depth for tree in trees), model.estimators_.shape
        starts = np.cumsum([0, *(tree.node_count for tree in trees[:-1])])
        leaf = np.concatenate([tree.children_left < 0 for tree in trees])
        here = np.arange(len(leaf))

        def child_of(side: str) -> Tensor:
            nodes = np.concatenate([getattr(tree, side) + at for tree, at in zip(trees, starts, strict=True)])
            return torch.from_numpy(np.where(leaf, here, nodes))

        self.left, self.right = nn.Buffer(child_of("children_left")), nn.Buffer(child_of("children_right"))
        feature = np.concatenate([tree.feature for tree in trees])
        self.feature = nn.Buffer(torch.from_numpy(np.where(leaf, 0, feature).astype(np.int64)))
        # Features are float32: below a threshold is below the largest float32 that does not exceed it.
        threshold = np.concatenate([tree.threshold for tree in trees])
        rounded = threshold.astype(np.float32)
        down = np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
        self.threshold = nn.Buffer(torch.from_numpy(down))
        values = np.concatenate([tree.value[:, 0, 0] for tree in trees]) * model.learning_rate
        self.value = nn.Buffer(_tensor(values))
        self.first = nn.Buffer(torch.from_numpy(starts))
        one = np.zeros((1, model.n_features_in_), np.float32)
        grown = np.array([tree.predict(one)[0] for tree in model.estimators_.ravel()]).reshape(self.shape)
        self.base = nn.Buffer(_tensor(model.decision_function(one) - model.learning_rate * grown.sum(axis=0)))

    def forward(self, x: Tensor) -> Tensor:
        """Return decision values (N, 1) of two classes, or (N, classes)."""
        node = self.first.expand(x.shape[0], -1)
        for _ in range(self.depth):
            below = x.gather(1, self.feature[node]) <= self.threshold[node]
            node = torch.where(below, self.left[node], self.right[node])
        return self.value[node].unflatten(1, self.shape).sum(1) + self.base.reshape(1, -1)


# The layer of each estimator, and True if it gives probabilities and no decision values.
STEPS: dict[type, tuple[type[nn.Module], bool]] = {
    StandardScaler: (Standardise, False),
    PCA: (Components, False),
    SVC: (Kernel, False),
    LinearSVC: (Linear, False),
    LogisticRegression: (Linear, False),
    LinearDiscriminantAnalysis: (Linear, False),
    KNeighborsClassifier: (Neighbours, True),
    MLPClassifier: (Perceptron, True),
    GradientBoostingClassifier: (Trees, False),
}


class HeadLayers(nn.Module):
    """A fitted head with its calibration.

    Args:
        name: The name of the head, for errors.
        fitted: The head.

    Attributes:
        smooth: False if the answer changes in steps with the features, so that it has no gradient to speak of.

    Raises:
        InputError: The head cannot be exported.
    """

    def __init__(self, name: str, fitted: FittedHead) -> None:
        super().__init__()
        only = fitted.model.calibrated_classifiers_[0]
        steps = steps_of(fitted.model)
        try:
            for step in steps:
                if type(step) not in STEPS:
                    raise InputError(f"{type(step).__name__} is not known")
            self.steps = nn.Sequential(*(STEPS[type(step)][0](step) for step in steps))
        except InputError as error:
            known = ", ".join(dict.fromkeys(one.__name__ for one in STEPS))
            raise InputError(
                f"head {name} cannot be exported: {error}; export another head. Exported are heads of {known}"
            ) from None
        self.smooth = all(getattr(step, "smooth", True) for step in self.steps)
        self.gives_probabilities = STEPS[type(steps[-1])][1]
        self.windows, self.classes = fitted.windows, len(fitted.model.classes_)
        self.slope = nn.Buffer(_tensor([curve.a_ for curve in only.calibrators]))
        self.offset = nn.Buffer(_tensor([curve.b_ for curve in only.calibrators]))

    def forward(self, features: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the score (N,), None for more than two classes, and probabilities (N, classes).

        Args:
            features: (N, D), or (N, windows x D) of which each window gets an answer.
        """
        found = self.steps(features.unflatten(1, (self.windows, -1)).flatten(0, 1))
        score = None
        if self.classes == 2 and self.gives_probabilities:
            kept = found.clamp_min(LEAST)
            score, found = kept[:, 1].log() - kept[:, 0].log(), found[:, 1:]
        elif self.classes == 2:
            score = found[:, 0]
        each = torch.sigmoid(-(self.slope * found + self.offset)) + TINY
        probabilities = torch.cat([1 - each, each], dim=1) if self.classes == 2 else each / each.sum(1, keepdim=True)
        return (
            None if score is None else score.unflatten(0, (-1, self.windows)).mean(dim=1),
            probabilities.unflatten(0, (-1, self.windows)).mean(dim=1),
        )


class OwnAnswer(nn.Module):
    """The answer of the network's own head."""

    smooth = True

    def forward(self, logits: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return the score (N,), None for more than two classes, and probabilities (N, classes)."""
        score = logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else None
        return score, logits.softmax(dim=1)


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))
