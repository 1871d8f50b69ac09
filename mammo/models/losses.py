"""The table of losses. Each takes logits (B, classes) and class numbers (B,), and returns (B,), one loss per sample.

To add one, write a row here and a file in `conf/loss/`.
"""

from inspect import signature

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mammo.config import LossConfig
from mammo.errors import InputError

TRUSTED_AT_FIRST = 0.9  # the diagonal of a learnt confusion matrix before training


class CrossEntropy(nn.Module):
    """Cross-entropy, weighted by class.

    Attributes:
        rate: Learning rate of the loss's own parameters, as a multiple of that of the network's head.
    """

    rate = 1.0

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("weights", torch.ones(classes), persistent=False)

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return (B,) losses."""
        return F.cross_entropy(logits, y, weight=self.weights, reduction="none")  # type: ignore[arg-type]


class Focal(CrossEntropy):
    """Focal loss (Lin et al. 2017, equation (5)): cross-entropy times (1 - p)^gamma, p the true class's probability."""

    def __init__(self, classes: int, *, gamma: float) -> None:
        super().__init__(classes)
        self.gamma = gamma

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return (B,) losses."""
        log_p = -F.cross_entropy(logits, y, reduction="none")
        missing = (-torch.expm1(log_p)).clamp(min=1e-7)  # 1 - p; at 0 a root has no gradient
        return -self.weights[y] * missing**self.gamma * log_p  # type: ignore[index]


class Confusion(CrossEntropy):
    """Cross-entropy of the labels, which a learnt confusion matrix predicts from the network's classes.

    This is Tanno et al. 2019, equation (4), with one annotator. Rows of the matrix A are true classes, columns are
    labels, and the loss is -log (p A)_y + trace * tr(A). The trace pulls the matrix away from the identity, so that A
    and not the network explains the errors of the labels. The predictions are the network's own classes.
    """

    rate = 30.0  # a few hundred steps of 1e-3 would hardly move a logit

    def __init__(self, classes: int, *, trace: float) -> None:
        super().__init__(classes)
        self.trace = trace
        rest = (1 - TRUSTED_AT_FIRST) / (classes - 1)
        self.matrix_logits = nn.Parameter(torch.full((classes, classes), rest).fill_diagonal_(TRUSTED_AT_FIRST).log())

    @property
    def matrix(self) -> Tensor:
        """Return the (classes, classes) probabilities of each label (column) for each true class (row)."""
        return self.matrix_logits.softmax(dim=1)

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return (B,) losses."""
        log_p = torch.logsumexp(logits.log_softmax(dim=1)[:, :, None] + self.matrix_logits.log_softmax(dim=1), dim=1)
        return F.nll_loss(log_p, y, weight=self.weights, reduction="none") + self.trace * self.matrix.trace()  # type: ignore[arg-type]


LOSSES: dict[str, type[CrossEntropy]] = {"cross_entropy": CrossEntropy, "focal": Focal, "confusion": Confusion}


def build_loss(config: LossConfig, classes: int) -> CrossEntropy:
    """Build a loss from the settings that its constructor takes.

    Args:
        config: The name and settings of the loss.
        classes: Number of classes.

    Raises:
        InputError: The name is unknown.
    """
    if config.name not in LOSSES:
        raise InputError(f"loss.name={config.name} is unknown; expected one of {', '.join(LOSSES)}")
    loss = LOSSES[config.name]
    taken = signature(loss)
    own = {name: getattr(config, name) for name in taken.parameters if hasattr(config, name)}
    try:
        taken.bind(classes, **own)
    except TypeError as error:
        raise InputError(
            f"loss.name={config.name}: {error}; expected a constructor that takes the number of classes, and keys of "
            "loss. by their names"
        ) from error
    return loss(classes, **own)


def check_losses(losses: object, logits: Tensor) -> None:
    """Refuse what is no loss for each sample: a mean of them, say, would silently count mixed samples as others.

    Args:
        losses: The answer of a loss.
        logits: (B, classes) the logits that it was given.

    Raises:
        InputError: It is no tensor of shape (B,), or no network can learn from it.
    """
    shape = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
    if shape != (len(logits),):
        raise InputError(
            f"the loss gives {shape} for {len(logits)} samples; expected a tensor of shape ({len(logits)},), one "
            "number for each: leave out its mean or sum"
        )
    if logits.requires_grad and not losses.requires_grad:  # type: ignore[attr-defined]
        raise InputError("the loss has no gradient, so nothing can be learnt from it; leave out detach and no_grad")


def class_weights(rule: str, counts: np.ndarray) -> Tensor:
    """Return (classes,) weights of the loss.

    Args:
        rule: `balanced` (inversely proportional to `counts`, with mean 1 over the training rows) or `none` (all 1).
        counts: (classes,) numbers of training rows.
    """
    weights = counts.sum() / len(counts) / counts if rule == "balanced" else np.ones(len(counts))
    return torch.tensor(weights, dtype=torch.float32)
