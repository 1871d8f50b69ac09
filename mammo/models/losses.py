"""The losses: one table. Each takes logits (B, classes) and class numbers (B,), and gives (B,), one loss per sample.

To add one: a row here and a file in `conf/loss/`.
"""

from inspect import signature

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mammo.config import LossConfig
from mammo.errors import InputError

TRUSTED_AT_FIRST = 0.9  # the diagonal that a learnt confusion matrix starts from


class CrossEntropy(nn.Module):
    """Cross-entropy, weighted by class.

    Attributes:
        rate: Learning rate of what the loss itself learns, over that of the network's head.
    """

    rate = 1.0

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.ones(classes), persistent=False)

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return (B,) losses."""
        return F.cross_entropy(logits, y, weight=self.weights, reduction="none")  # type: ignore[arg-type]


class Focal(CrossEntropy):
    """Lin et al. 2017, equation (5): each sample's cross-entropy times (1 - p)^gamma of its class's probability p."""

    def __init__(self, classes: int, *, gamma: float) -> None:
        super().__init__(classes)
        self.gamma = gamma

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return (B,) losses."""
        log_p = -F.cross_entropy(logits, y, reduction="none")
        missing = (-torch.expm1(log_p)).clamp(min=1e-7)  # 1 - p; a root of nothing has no gradient
        return -self.weights[y] * missing**self.gamma * log_p  # type: ignore[index]


class Confusion(CrossEntropy):
    """Cross-entropy of the labels that a learnt confusion matrix makes of the network's classes.

    Tanno et al. 2019, equation (4), with one annotator: rows of the matrix A are true classes, columns labels;
    the loss is -log (p A)_y + trace * tr(A). The trace pulls the matrix off the identity, so that what the labels
    have wrong is explained by A and not by the network. The network's own classes are what it predicts.
    """

    rate = 30.0  # a few hundred steps of 1e-3 would hardly move a logit

    def __init__(self, classes: int, *, trace: float) -> None:
        super().__init__(classes)
        self.trace = trace
        rest = (1 - TRUSTED_AT_FIRST) / (classes - 1)
        self.matrix_logits = nn.Parameter(torch.full((classes, classes), rest).fill_diagonal_(TRUSTED_AT_FIRST).log())

    @property
    def matrix(self) -> Tensor:
        """Return (classes, classes), the probability of each label (column) for each class (row)."""
        return self.matrix_logits.softmax(dim=1)

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return (B,) losses."""
        log_p = torch.logsumexp(logits.log_softmax(dim=1)[:, :, None] + self.matrix_logits.log_softmax(dim=1), dim=1)
        return F.nll_loss(log_p, y, weight=self.weights, reduction="none") + self.trace * self.matrix.trace()  # type: ignore[arg-type]


LOSSES: dict[str, type[CrossEntropy]] = {"cross_entropy": CrossEntropy, "focal": Focal, "confusion": Confusion}


def build_loss(config: LossConfig, classes: int) -> CrossEntropy:
    """Build the loss of a name, from the settings that its constructor names.

    Args:
        config: Its name and settings.
        classes: How many classes there are.

    Raises:
        InputError: An unknown name.
    """
    if config.name not in LOSSES:
        raise InputError(f"loss.name={config.name} is unknown; expected one of {', '.join(LOSSES)}")
    loss = LOSSES[config.name]
    own = [name for name in signature(loss).parameters if hasattr(config, name)]
    return loss(classes, **{name: getattr(config, name) for name in own})


def class_weights(rule: str, counts: np.ndarray) -> Tensor:
    """Return (classes,) weights of the loss.

    Args:
        rule: `balanced`: in inverse proportion to the training part's counts, 1 in the mean of its rows; or `none`.
        counts: (classes,) rows of the training part.
    """
    weights = counts.sum() / len(counts) / counts if rule == "balanced" else np.ones(len(counts))
    return torch.tensor(weights, dtype=torch.float32)
