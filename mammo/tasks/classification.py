"""The LightningModule: a network, its loss, its optimiser, and what is watched while it trains."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC

from mammo.models.losses import build_loss, class_weights
from mammo.models.network import build_network
from mammo.training import checkpoints


class Classifier(L.LightningModule):
    """Trains a network of `models.build_network` on rows `{"x", "y", "other", "share", "row"}`.

    Args:
        model: Arguments of `build_network`, without `classes`.
        classes: Class names, in the order of the logits.
        loss: Arguments of `build_loss`, without `classes`, and the rule of `class_weights`.
        lr_trunk: Learning rate of what came from a weights file.
        lr_head: Learning rate of what did not.
        weight_decay: Of AdamW, on weights of two and more dimensions.
        warmup_epochs: Epochs of linear warm-up, before a cosine down to zero.
    """

    def __init__(
        self,
        *,
        model: dict[str, Any],
        classes: list[str],
        loss: dict[str, Any],
        lr_trunk: float = 1e-5,
        lr_head: float = 1e-3,
        weight_decay: float = 0.01,
        warmup_epochs: float = 1.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = build_network(**model, classes=len(classes))
        self.criterion = build_loss(
            classes=len(classes), **{key: value for key, value in loss.items() if key != "class_weights"}
        )
        self.weigh(np.ones(len(classes)))
        metrics = MetricCollection(
            {"accuracy": MulticlassAccuracy(len(classes), average="micro"), "auroc": MulticlassAUROC(len(classes))}
        )
        parts = ("train", "val", "test")
        self.watched = nn.ModuleDict({f"{part}_": metrics.clone(prefix=f"{part}/") for part in parts})
        self.losses = nn.ModuleDict({f"{part}_": MeanMetric(nan_strategy="disable") for part in parts})

        self.chosen_epoch: int | None = None  # of the checkpoint that was loaded, from 1

    def weigh(self, counts: np.ndarray) -> None:
        """Weighs the classes in the loss by the training part's (classes,) counts."""
        self.criterion.weights = class_weights(self.hparams["loss"]["class_weights"], counts)

    def restore(self, checkpoint: Path) -> None:
        """Takes the weights of a checkpoint, without pickle."""
        self.load_state_dict(checkpoints.read(checkpoint)["state_dict"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Notes which epoch the weights are from."""
        self.chosen_epoch = checkpoint["epoch"] + 1

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) float32 of what the network's trunk returns."""
        return self.net(x)

    def loss(self, logits: Tensor, y: Tensor, other: Tensor | None = None, share: Tensor | None = None) -> Tensor:
        """The mean over a batch, so that it does not depend on the classes in it; of a mixed sample by its shares."""
        losses = self.criterion(logits, y)
        if other is not None and share is not None:
            losses = share * losses + (1 - share) * self.criterion(logits, other)
        return losses.mean()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch, over all logits that learn from it."""
        loss = torch.zeros((), device=self.device)
        for weight, logits in self.net.weighted_logits(batch["x"]):
            loss = loss + weight * self.loss(logits, batch["y"], batch["other"], batch["share"])
        self._watch("train", logits, batch["y"], loss)
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Watches the part that the datamodule says: validation, or test where there is none."""
        logits = self(batch["x"])
        self._watch(self.trainer.datamodule.watched, logits, batch["y"], self.loss(logits, batch["y"]))  # type: ignore[attr-defined]

    def _watch(self, part: str, logits: Tensor, y: Tensor, loss: Tensor) -> None:
        metrics, losses = self.watched[f"{part}_"], self.losses[f"{part}_"]
        metrics.update(logits.detach().double().softmax(dim=1), y)  # type: ignore[operator]
        losses.update(loss.detach(), len(y))  # type: ignore[operator]
        shown = {"on_step": False, "on_epoch": True, "batch_size": len(y)}
        self.log(f"{part}/loss", losses, prog_bar=True, **shown)  # type: ignore[arg-type]
        self.log_dict(metrics, prog_bar=part != "train", **shown)  # type: ignore[arg-type]

    def metric_states(self) -> dict[str, dict[str, Any]]:
        """What the training metrics have gathered in this process since the epoch began."""
        return {name: metric.metric_state for name, metric in self._training_metrics().items()}

    def restore_metrics(self, states: dict[str, dict[str, Any]]) -> None:
        """Goes on from what `metric_states` gave; from nothing where it is empty."""
        metrics = self._training_metrics()
        for name, state in states.items():
            for key, value in state.items():
                setattr(metrics[name], key, move_data_to_device(value, metrics[name].device))

    def _training_metrics(self) -> dict[str, Metric]:
        watched: Any = self.watched["train_"]
        return {**dict(watched.items(keep_base=True)), "loss": self.losses["train_"]}

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """`row` (B,), penultimate `features` (B, D) and `logits` (B, classes), both float32."""
        features = self.net.features(batch["x"])
        return {"row": batch["row"], "features": features, "logits": self.net.head(features)}

    def configure_optimizers(self) -> Any:
        """AdamW with rates for what was loaded, what is new, and the loss's own; warm-up, then a cosine, by step."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self.net.named_parameters():
            if parameter.requires_grad:
                groups.setdefault((name in self.net.loaded, parameter.ndim > 1), []).append(parameter)
        options = self.hparams
        optimizer = torch.optim.AdamW(
            [
                {
                    "params": parameters,
                    "lr": options["lr_trunk"] if loaded else options["lr_head"],
                    "weight_decay": options["weight_decay"] if decays else 0.0,
                }
                for (loaded, decays), parameters in groups.items()
            ]
            + [
                {"params": [learnt], "lr": options["lr_head"] * self.criterion.rate, "weight_decay": 0.0}
                for learnt in self.criterion.parameters()
            ],
            fused=True,
        )
        steps = int(self.trainer.estimated_stepping_batches)
        warmup = min(max(round(steps * options["warmup_epochs"] / max(self.trainer.max_epochs or 1, 1)), 1), steps)
        schedule = SequentialLR(
            optimizer,
            [LinearLR(optimizer, 0.01, total_iters=warmup), CosineAnnealingLR(optimizer, max(steps - warmup, 1))],
            milestones=[warmup],
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
