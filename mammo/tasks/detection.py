"""Detection: a value for each place of a film, learnt from lesions with a place; the hottest tell of the film."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAccuracy, BinaryAUROC

from mammo.config import Config
from mammo.datasets.labels import Labels
from mammo.tasks.base import Batch, Task

EPOCHS = 4  # into which the steps of a stage of training are divided, so that curves have points


class Detection(Task):
    """Gives each place of a film a value, and the film the mean of its hottest ones.

    Args:
        config: The configuration of the run.
        labels: The classes; findings of the second one are looked for.
        frozen_stages: Not None for a network that a checkpoint will fill; no weights file is read then.
    """

    def __init__(self, config: Config, labels: Labels, frozen_stages: int | None = None) -> None:
        metrics = MetricCollection({"accuracy": BinaryAccuracy(), "auroc": BinaryAUROC()})
        super().__init__(config, labels, metrics, frozen_stages)
        self.config = config

    def stages(self, config: Config) -> list[int]:
        """Return the last epoch of the head's training and, if a block is trained, that of both."""
        return [EPOCHS] if self.net.block is None else [EPOCHS, 2 * EPOCHS]

    @property
    def trains_block(self) -> bool:
        """True in the second stage of training, in which a block of a map is trained."""
        return self.net.block is not None and self.current_epoch >= EPOCHS

    def setup(self, stage: str) -> None:
        """Let a block learn in its own stage alone, because devices wait for the gradients of all that learns."""
        if self.net.block is not None:
            self.net.block.requires_grad_(self.trains_block)

    def resumable(self, config: Config) -> bool:
        """Return False: the maps are kept on disk, the head trains in seconds, and a block in minutes."""
        return False

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the binary cross-entropy of logits (restarts, batch, members), summed over restarts.

        Each restart trains parameters of its own, so the sum gives each the gradient of its own mean.
        """
        soft = batch["y"][..., None].expand_as(outputs)
        return F.binary_cross_entropy_with_logits(outputs, soft) * len(outputs)

    def rows(self, features: Tensor) -> Batch:
        """Return the heat, score and features of places (n, flips, width) of a film, each with a first side of 1."""
        heat, score, units = self.net.film(features)
        return {
            "features": units[None],
            "logits": torch.stack([torch.zeros_like(score), score])[None],
            "heat": heat[None],
        }

    def shown(self, logits: Tensor) -> Tensor:
        """Return probabilities."""
        return logits.double().sigmoid()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of the places of a step, of all restarts."""
        drawn = [self.config.seed, self.global_step]
        seed = int(np.random.default_rng(drawn).integers(2**62))  # the same on all devices, whatever else they drew
        self.net.head.draws = torch.Generator(self.device).manual_seed(seed)
        x = batch["x"]
        if self.trains_block:
            x = self.net.block(x, batch["patches"], self.net.axes)[None]
        logits = self.net.head(x)
        loss = self.loss(logits, batch)
        self._watch("train", logits.mean(-1).flatten(), (batch["y"] > 0).long().flatten(), loss / len(logits))
        return loss

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Look for the hardest places, at a third and at two thirds of the training of the head."""
        if self.trains_block:
            return
        places: Any = self.trainer.train_dataloader.dataset  # type: ignore[union-attr]
        detector = self.config.detector
        if (detector.hard or detector.weak) and self.global_step in (places.steps // 3, 2 * places.steps // 3):
            places.find_hardest(self._heat)

    @torch.inference_mode()
    def _heat(self, x: Tensor) -> Tensor:
        """Return the logits (restarts, n) of places (n, width) without dropout."""
        self.net.eval()
        found = torch.cat(
            [self.net.head(part.float()[None].to(self.device)).mean(-1).cpu() for part in x.split(8192)], 1
        )
        self.net.train()
        return found

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Watch the score of a film."""
        _, score, _ = self.net.film(batch["x"])
        y = batch["y"].view(1)
        loss = F.binary_cross_entropy_with_logits(score.view(1), y.float())
        self._watch(self.trainer.datamodule.watched, score.view(1), y, loss)  # type: ignore[attr-defined]

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """Return `row` (1,), and the outputs for the places of a film; `heat` is as long as the most places of one."""
        found = self.rows(batch["x"])
        most = self.trainer.datamodule.most_places  # type: ignore[attr-defined]
        found["heat"] = F.pad(found["heat"], (0, most - found["heat"].shape[1]), value=float("nan"))
        return {"row": batch["row"].view(1), **found}

    def configure_optimizers(self) -> Any:
        """Return AdamW and its schedule: one cycle over all steps of a stage."""
        detector, steps = self.config.detector, int(self.trainer.estimated_stepping_batches)
        learns, lr = list(self.net.head.parameters()), detector.lr
        if self.trains_block:  # it goes on after the epochs of the stage before
            learns, lr, steps = learns + list(self.net.block.parameters()), detector.block_lr, steps // 2
        optimizer = torch.optim.AdamW(learns, lr, weight_decay=detector.weight_decay, fused=True)
        schedule = OneCycleLR(optimizer, lr, max(steps, 2))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
