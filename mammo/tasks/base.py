"""The LightningModule that all tasks share: a network, a loss, an optimiser, and the metrics that are watched.

A task says what is learnt: `target` (from findings to classes, known before a pixel is read), `build_head`, `loss` and
`rows` (the outputs that are written for each sample).
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torchmetrics import MeanMetric, Metric, MetricCollection

from mammo.config import Config
from mammo.datasets.findings import PARTS
from mammo.datasets.labels import Labels
from mammo.models.network import linear_head
from mammo.models.task_networks import network_of
from mammo.models.weights import RunWeights
from mammo.processes import checkpoint_io

Batch = dict[str, Tensor]


class Task(L.LightningModule, ABC):
    """Trains a network on batches `{"x", "y", "other", "share", "row"}`; `x` is the output of the frozen part.

    Args:
        config: The configuration of the run.
        labels: The classes, in the order of the logits.
        metrics: The metrics to watch, computed from predictions (B, classes) and targets (B,).
        frozen_stages: Number of frozen stages in the checkpoint that will fill the network; None reads the weights.
        donor: The weights of the run that `model.weights` names; None if it names none.
    """

    def __init__(
        self,
        config: Config,
        labels: Labels,
        metrics: MetricCollection,
        frozen_stages: int | None,
        donor: RunWeights | None = None,
    ) -> None:
        super().__init__()
        self.optim = config.optim
        self.dropout = config.model.dropout
        self.labels, self.classes = labels, len(labels.classes)
        self.net: Any = self.build_network(config, frozen_stages, donor)
        self.watched = nn.ModuleDict({f"{part}_": metrics.clone(prefix=f"{part}/") for part in PARTS})
        self.losses = nn.ModuleDict({f"{part}_": MeanMetric(nan_strategy="disable") for part in PARTS})
        self.chosen_epoch: int | None = None  # epoch of the loaded checkpoint, from 1

    def build_network(self, config: Config, frozen_stages: int | None, donor: RunWeights | None) -> nn.Module:
        """Return the network; by default that of the kind of task, with the head of `build_head`."""
        return network_of(config, self.classes, frozen_stages, donor, self.build_head)

    def target(self, findings: pd.DataFrame) -> pd.Series:
        """Return the class name of each row of a findings table; missing if the row takes no part in the task."""
        return self.labels.label(findings)

    def build_head(self, width: int) -> nn.Module:
        """Return the layers from (B, width) features to logits (B, classes): dropout and one linear layer."""
        return linear_head(width, self.classes, self.dropout)

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch from its logits (B, classes)."""

    @abstractmethod
    def rows(self, features: Tensor) -> Batch:
        """Return the outputs that are written for features (B, D)."""

    @abstractmethod
    def shown(self, logits: Tensor) -> Tensor:
        """Return the predictions that the watched metrics compare with the targets."""

    def stages(self, config: Config) -> list[int]:
        """Return the epoch with which each stage of training ends; by default there is one."""
        return [config.trainer.max_epochs]

    def resumable(self, config: Config) -> bool:
        """Tell whether a run that is stopped goes on from where it was; otherwise training again is faster."""
        return self.net.trains_features or not config.data.cache

    def restore(self, checkpoint: Path) -> None:
        """Load the weights of a checkpoint."""
        self.load_state_dict(checkpoint_io.read(checkpoint)["state_dict"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note the epoch of the weights."""
        self.chosen_epoch = checkpoint["epoch"] + 1

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits (B, classes) float32 of pixels (B, 1, side, side)."""
        return self.net(pixels)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch, summed over all logits that learn from it."""
        loss = torch.zeros((), device=self.device)
        for weight, logits in self.net.weighted_logits(batch["x"]):
            loss = loss + weight * self.loss(logits, batch)
        self._watch("train", logits, batch["y"], loss)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Watch the part that the datamodule names: the one that chooses the epoch, or test if none does."""
        logits = self.net.head(self.net.features_of(batch["x"], len(batch["row"])))
        self._watch(self.trainer.datamodule.watched, logits, batch["y"], self.loss(logits, batch))  # type: ignore[attr-defined]

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """Return `row` (B,), and the task's outputs for the penultimate features."""
        return {"row": batch["row"], **self.rows(self.net.features_of(batch["x"], len(batch["row"])))}

    def _watch(self, part: str, logits: Tensor, y: Tensor, loss: Tensor) -> None:
        metrics, losses = self.watched[f"{part}_"], self.losses[f"{part}_"]
        metrics.update(self.shown(logits.detach()), y)  # type: ignore[operator]
        losses.update(loss.detach(), len(y))  # type: ignore[operator]
        shown = {"on_step": False, "on_epoch": True, "batch_size": len(y)}
        self.log(f"{part}/loss", losses, prog_bar=True, **shown)  # type: ignore[arg-type]
        self.log_dict(metrics, prog_bar=part != "train", **shown)  # type: ignore[arg-type]

    def metric_states(self) -> dict[str, dict[str, Any]]:
        """Return what the training metrics have gathered in this process since the epoch began."""
        return {name: metric.metric_state for name, metric in self._training_metrics().items()}

    def restore_metrics(self, states: dict[str, dict[str, Any]]) -> None:
        """Continue from the result of `metric_states`; an empty one changes nothing."""
        metrics = self._training_metrics()
        for name, state in states.items():
            for key, value in state.items():
                setattr(metrics[name], key, move_data_to_device(value, metrics[name].device))

    def _training_metrics(self) -> dict[str, Metric]:
        watched: Any = self.watched["train_"]
        return {**dict(watched.items(keep_base=True)), "loss": self.losses["train_"]}

    def learnt_by_loss(self) -> list[dict[str, Any]]:
        """Return the optimiser's groups of the loss's own parameters; by default there are none."""
        return []

    def configure_optimizers(self) -> Any:
        """Return AdamW, with one rate for loaded and one for new parameters, and its schedule by step."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self.net.named_parameters():
            if parameter.requires_grad:
                groups.setdefault((name in self.net.loaded, parameter.ndim > 1), []).append(parameter)
        optim = self.optim
        optimizer = torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "lr": optim.lr_backbone if loaded else optim.lr_head,
                    "weight_decay": optim.weight_decay if decays else 0.0,
                }
                for (loaded, decays), parameters in groups.items()
            ]
            + self.learnt_by_loss(),
            fused=True,
        )
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = min(max(round(steps * optim.warmup_epochs / max(self.trainer.max_epochs or 1, 1)), 1), steps)
        schedule = SequentialLR(
            optimizer,
            [LinearLR(optimizer, 0.01, total_iters=warmup), CosineAnnealingLR(optimizer, max(steps - warmup, 1))],
            milestones=[warmup],
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
