"""The LightningModule: a network, its loss, its optimiser, and what is watched while it trains."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC

from mammo import InputError
from mammo.models import build_network


class Classifier(L.LightningModule):
    """Trains a network of `models.build_network` on rows `{"x", "y", "other", "share", "row"}`.

    Args:
        model: Arguments of `build_network`, without `classes`.
        classes: Class names, in the order of the logits.
        class_weights: Of the loss: `balanced` (see `weigh`) or `none`.
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
        class_weights: str = "balanced",
        lr_trunk: float = 1e-5,
        lr_head: float = 1e-3,
        weight_decay: float = 0.01,
        warmup_epochs: float = 1.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = build_network(**model, classes=len(classes))
        if class_weights not in ("balanced", "none"):
            raise InputError(f"optim.class_weights={class_weights} is unknown; expected balanced or none")
        self.register_buffer("class_weights", torch.ones(len(classes)), persistent=False)
        metrics = MetricCollection(
            {"accuracy": MulticlassAccuracy(len(classes), average="micro"), "auroc": MulticlassAUROC(len(classes))}
        )
        self.watched = nn.ModuleDict(
            {f"{part}_": metrics.clone(prefix=f"{part}/") for part in ("train", "val", "test")}
        )

        self.chosen_epoch: int | None = None  # of the checkpoint that was loaded, from 1

    def weigh(self, counts: np.ndarray) -> None:
        """Balances the loss: weights in inverse proportion to the training part's counts, 1 in the mean of its rows."""
        if self.hparams["class_weights"] == "balanced":
            self.class_weights = torch.tensor(counts.sum() / len(counts) / counts, dtype=torch.float32)

    def restore(self, checkpoint: Path) -> None:
        """Takes the weights of a checkpoint, without pickle."""
        self.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Notes which epoch the weights are from."""
        self.chosen_epoch = checkpoint["epoch"] + 1

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) float32 of what the network's trunk returns."""
        return self.net(x)

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Class-weighted cross-entropy over the batch size, so that it does not depend on the classes in a batch."""
        return nn.functional.cross_entropy(logits, y, weight=self.class_weights, reduction="sum") / len(y)

    def soft_loss(self, logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """The same, each row learning `y` by its `share` and `other` by the rest."""
        first, second = (
            nn.functional.cross_entropy(logits, batch[label], weight=self.class_weights, reduction="none")
            for label in ("y", "other")
        )
        return (batch["share"] * first + (1 - batch["share"]) * second).mean()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch, over all logits that learn from it."""
        loss = torch.zeros((), device=self.device)
        soft = bool((batch["share"] < 1).any())
        for weight, logits in self.net.weighted_logits(batch["x"]):
            loss = loss + weight * (self.soft_loss(logits, batch) if soft else self.loss(logits, batch["y"]))
        self._watch("train", logits, batch["y"], loss)
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Watches the part that the datamodule says: validation, or test where there is none."""
        logits = self(batch["x"])
        self._watch(self.trainer.datamodule.watched, logits, batch["y"], self.loss(logits, batch["y"]))  # type: ignore[attr-defined]

    def _watch(self, part: str, logits: Tensor, y: Tensor, loss: Tensor) -> None:
        metrics = self.watched[f"{part}_"]
        metrics.update(logits.detach().double().softmax(dim=1), y)  # type: ignore[operator]
        shown = {"on_step": False, "on_epoch": True, "batch_size": len(y)}
        self.log(f"{part}/loss", loss.detach(), sync_dist=True, prog_bar=True, **shown)  # type: ignore[arg-type]
        self.log_dict(metrics, prog_bar=part != "train", **shown)  # type: ignore[arg-type]

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """`row` (B,), penultimate `features` (B, D) and `logits` (B, classes), both float32."""
        features = self.net.features(batch["x"])
        return {"row": batch["row"], "features": features, "logits": self.net.head(features)}

    def configure_optimizers(self) -> Any:
        """AdamW with a rate for what was loaded and one for what is new; warm-up, then a cosine, by step."""
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
