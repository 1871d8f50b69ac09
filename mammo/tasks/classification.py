"""Classification: one class for each sample, learnt with a loss of the table."""

from typing import Any

import numpy as np
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC

from mammo.config import Config
from mammo.datasets.labels import Labels
from mammo.models.losses import build_loss, check_losses, class_weights
from mammo.models.weights import RunWeights
from mammo.tasks.base import Batch, Task


class Classification(Task):
    """Tells classes apart.

    Args:
        config: The configuration of the run.
        labels: The classes, in the order of the logits.
        counts: (classes,) numbers of training rows, from which the loss takes its class weights.
        frozen_stages: See `Task`.
        donor: See `Task`.
    """

    def __init__(
        self,
        config: Config,
        labels: Labels,
        counts: np.ndarray | None = None,
        frozen_stages: int | None = None,
        donor: RunWeights | None = None,
    ) -> None:
        classes = len(labels.classes)
        metrics = MetricCollection(
            {"accuracy": MulticlassAccuracy(classes, average="micro"), "auroc": MulticlassAUROC(classes)}
        )
        super().__init__(config, labels, metrics, frozen_stages, donor)
        self.criterion = build_loss(config.loss, classes)
        self.criterion.weights = class_weights(
            config.loss.class_weights, np.ones(classes) if counts is None else counts
        )

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean loss of a batch: over its samples, whatever their class weights sum to.

        A mixed sample counts with `share` for its class `y`, and with the rest for its class `other`.
        """
        own, other = self.criterion(outputs, batch["y"]), self.criterion(outputs, batch["other"])
        check_losses(own, outputs)
        return (batch["share"] * own + (1 - batch["share"]) * other).mean()

    def shown(self, logits: Tensor) -> Tensor:
        """Return probabilities in float64, because rounding to float32 would make ties."""
        return logits.double().softmax(dim=1)

    def rows(self, features: Tensor) -> Batch:
        """Return penultimate `features` (B, D) and `logits` (B, classes), both float32."""
        return {"features": features, "logits": self.net.head(features)}

    def learnt_by_loss(self) -> list[dict[str, Any]]:
        """Return one optimiser group for each parameter of the loss."""
        rate = self.optim.lr_head * self.criterion.rate
        return [{"params": [learnt], "lr": rate, "weight_decay": 0.0} for learnt in self.criterion.parameters()]
