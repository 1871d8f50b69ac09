"""Lightning callbacks: checkpoints and curves during training, and the outputs of every described row at its end."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar

from mammo.files import write_table
from mammo.training.checkpoints import Cut, Kept, Patience
from mammo.training.marks import HeatMaps

log = logging.getLogger(__name__)


def during_fit(
    folder: Path, monitor: str | None, patience: int | None, *, progress: bool, resumable: bool
) -> list[Callback]:
    """Return the callbacks for checkpoints, early stopping and curves.

    Args:
        folder: The run folder.
        monitor: The metric whose best epoch is kept, say `val/auroc`; None keeps the last epoch.
        patience: Epochs without improvement before training stops; None never stops it early.
        progress: True shows a progress bar.
        resumable: True keeps the state from which an interrupted run continues.
    """
    kept = folder / "checkpoints"
    chosen: list[Callback] = [Curves(folder), Cut(kept / "last.ckpt" if resumable else None)]
    if progress:
        chosen.append(Bar())
    if monitor and patience is not None:
        chosen.append(Patience(monitor, mode="max", patience=patience))
    chosen.append(Kept(kept, "best", monitor=monitor, full=False))
    if resumable:  # not for a linear layer on a frozen part: its checkpoints take longer than training it again
        chosen.append(Kept(kept, "last", monitor=None, full=True))  # after `best`, because it stores the best score
    return chosen


class Bar(RichProgressBar):
    """A progress bar of one line of 80 columns, which counts epochs from 1, as the log does."""

    def _get_train_description(self, current_epoch: int) -> str:
        """Return the words before the bar."""
        return f"epoch {current_epoch + 1}/{self.trainer.max_epochs}"

    def get_metrics(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
        """Return nothing: the log has a line for each epoch."""
        return {}


class Curves(Callback):
    """Writes all watched numbers of each epoch, one line per epoch, to `curves.csv` and to the log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.epochs: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the epochs so far."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue after these epochs."""
        self.epochs = state_dict["epochs"]

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Add the epoch's means, after validation."""
        watched = {key: float(value) for key, value in sorted(trainer.callback_metrics.items()) if "/" in key}
        self.epochs.append({"epoch": trainer.current_epoch + 1, **watched})
        if trainer.is_global_zero:
            write_table(pd.DataFrame(self.epochs), self.folder / "curves.csv")
            shown = "  ".join(f"{key} {value:.3f}" for key, value in watched.items())
            log.info("epoch %d/%d  %s", trainer.current_epoch + 1, trainer.max_epochs, shown)


@dataclass(frozen=True)
class Outputs:
    """Features and logits of the described rows, in their order.

    Attributes:
        features: (N, D) float32 penultimate features.
        logits: (N, classes) float32.
        epoch: The epoch of the weights, from 1; None if it is not known.
        heat: The heat of each film of a detector; None for other tasks.
        outlines: (N, side, side) uint8, the probability times 255 that a pixel lies in a region; None for other tasks.
    """

    features: np.ndarray
    logits: np.ndarray
    epoch: int | None
    heat: HeatMaps | None = None
    outlines: np.ndarray | None = None


class Features(Callback):
    """Gathers the penultimate features of every described row in the first process, for the scikit-learn heads."""

    def __init__(self) -> None:
        self.batches: list[dict[str, np.ndarray]] = []
        self.outputs: Outputs | None = None

    def on_predict_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any) -> None:
        """Keep a batch."""
        self.batches.append({key: tensor.cpu().numpy() for key, tensor in outputs.items()})

    def on_predict_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gather the batches of all devices."""
        everyone: list[Any] = [self.batches]
        if trainer.world_size > 1:
            everyone = [None] * trainer.world_size
            torch.distributed.all_gather_object(everyone, self.batches)
        if trainer.is_global_zero:
            task: Any = pl_module
            described: Any = trainer.predict_dataloaders
            arrays = merge([batch for batches in everyone for batch in batches], len(described.dataset))
            heat: Any = trainer.datamodule.heat_maps(arrays["heat"]) if "heat" in arrays else None  # type: ignore[attr-defined]
            found = arrays["features"], arrays["logits"]
            self.outputs = Outputs(*found, task.chosen_epoch, heat, arrays.get("outline"))


def merge(batches: list[dict[str, np.ndarray]], rows: int) -> dict[str, np.ndarray]:
    """Return the arrays of all batches of all devices, in the order of `row`, each row once.

    Raises:
        RuntimeError: A row is missing.
    """
    arrays = {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}
    found, first = np.unique(arrays.pop("row"), return_index=True)
    if not np.array_equal(found, np.arange(rows)):
        raise RuntimeError(f"expected predictions of {rows} rows, gathered {len(found)}")
    return {key: array[first] for key, array in arrays.items()}
