"""Segmentation: the regions of lesions, or of the breast; the hottest pixels tell of the film."""

from typing import Any

from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import BinaryAccuracy, BinaryAUROC

from mammo.config import Config
from mammo.datasets.findings import PARTS
from mammo.datasets.labels import Labels
from mammo.models.decoder import dice_of, overlap_loss
from mammo.models.weights import RunWeights
from mammo.tasks.answers import outputs_of, score_of
from mammo.tasks.base import Batch, Task


class Segmentation(Task):
    """Gives each pixel of a picture a logit, and the film the mean of its hottest ones.

    It trains on batches `{"x", "y", "region", "row"}` of windows, and is applied to whole pictures. `region` is
    (B, side, side), the share of each pixel that lies in the true region. `val/dice` is the mean Dice of the pictures
    that have one. It takes probabilities as they are, so it tells epochs apart before any pixel is above a level.
    """

    def __init__(
        self, config: Config, labels: Labels, frozen_stages: int | None = None, donor: RunWeights | None = None
    ) -> None:
        metrics = MetricCollection({"accuracy": BinaryAccuracy(), "auroc": BinaryAUROC()})
        super().__init__(config, labels, metrics, frozen_stages, donor)
        self.settings = config.segmentation
        self.dices = nn.ModuleDict({f"{part}_": MeanMetric(nan_strategy="disable") for part in PARTS})

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return cross-entropy and overlap of logits (B, side, side); see `overlap_loss`."""
        return overlap_loss(outputs, batch["region"])

    def score(self, logits: Tensor) -> Tensor:
        """Return (B,) the mean of the hottest of logits (B, side, side)."""
        return score_of(logits, self.settings.hottest)

    def rows(self, features: Tensor) -> Batch:
        """Return logits of the film, of two classes, and the probability of each pixel from 0 to 255, for pixels."""
        logits, features = self.net(features)
        return {"features": features, **outputs_of(logits, self.settings.hottest)}

    def shown(self, logits: Tensor) -> Tensor:
        """Return the probabilities of films from their scores."""
        return logits.double().sigmoid()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        return self._step("train", batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Watch the part that the datamodule names."""
        self._step(self.trainer.datamodule.watched, batch)  # type: ignore[attr-defined]

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """Return `row` (B,), and the outputs for the pixels."""
        return {"row": batch["row"], **self.rows(batch["x"])}

    def _step(self, part: str, batch: Batch) -> Tensor:
        logits, _ = self.net(batch["x"])
        loss = self.loss(logits, batch)
        self._watch(part, self.score(logits), batch["y"], loss)
        has = batch["region"].any(dim=(1, 2))
        dice: Any = self.dices[f"{part}_"]
        if bool(has.any()):
            dice.update(dice_of(logits.detach()[has].sigmoid(), batch["region"][has]))
        self.log(f"{part}/dice", dice, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(has))
        return loss

    def _training_metrics(self) -> dict[str, Metric]:
        dice: Any = self.dices["train_"]
        return super()._training_metrics() | {"dice": dice}
