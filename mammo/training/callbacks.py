"""What happens around training: checkpoints, curves, and at the end predictions, features and heads."""

import logging
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from scipy.special import softmax

from mammo.errors import InputError
from mammo.evaluation.predictions import head_table
from mammo.files import write_json, write_table
from mammo.models.heads import FittedHead, fit_head, majority, save_head, shortcuts, withheld
from mammo.run_folder import RunFolder
from mammo.training.checkpoints import Cut, Kept, Patience
from mammo.training.datamodule import MammogramDataModule

log = logging.getLogger(__name__)


def during_fit(
    folder: Path, chooses: str | None, patience: int | None, *, progress: bool, resumable: bool
) -> list[Callback]:
    """Checkpoints, early stopping and curves: the epoch that is best on the part that chooses, or the last one."""
    monitor = f"{chooses}/auroc" if chooses else None
    kept = folder / "checkpoints"
    chosen: list[Callback] = [Curves(folder), Cut(kept / "last.ckpt" if resumable else None)]
    if progress:
        chosen.append(RichProgressBar())
    if monitor and patience is not None:
        chosen.append(Patience(monitor, mode="max", patience=patience))
    chosen.append(Kept(kept, "best", monitor=monitor, full=False))
    if resumable:  # a linear layer on a frozen trunk is trained again in less time than its checkpoints take
        chosen.append(Kept(kept, "last", monitor=None, full=True))  # after `best`, whose score it holds
    return chosen


class Curves(Callback):
    """One line per epoch of all that is watched, to `curves.csv` and to the log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.epochs: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """The epochs so far."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from them."""
        self.epochs = state_dict["epochs"]

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """After validation, with the epoch's means."""
        watched = {key: float(value) for key, value in sorted(trainer.callback_metrics.items()) if "/" in key}
        self.epochs.append({"epoch": trainer.current_epoch + 1, **watched})
        if trainer.is_global_zero:
            write_table(pd.DataFrame(self.epochs), self.folder / "curves.csv")
            shown = "  ".join(f"{key} {value:.3f}" for key, value in watched.items())
            log.info("epoch %d/%d  %s", trainer.current_epoch + 1, trainer.max_epochs, shown)


class Results(Callback):
    """Writes features and predictions of every described sample; fits the heads, or applies fitted ones.

    Args:
        folder: The run folder.
        names: Heads to fit.
        fold: Of the split, for the table.
        seed: Of the run, for the table.
        fitted: Heads of an earlier run, to apply instead.
    """

    def __init__(
        self, folder: Path, *, names: list[str], fold: int | None, seed: int, fitted: dict[str, FittedHead] | None
    ) -> None:
        self.folder, self.names, self.fitted = folder, names, fitted
        self.fold, self.seed = fold, seed
        self.batches: list[dict[str, np.ndarray]] = []

    def on_predict_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any) -> None:
        """Keeps a batch."""
        self.batches.append({key: tensor.cpu().numpy() for key, tensor in outputs.items()})

    def on_predict_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gathers all devices' batches; the first process writes."""
        everyone: list[Any] = [self.batches]
        if trainer.world_size > 1:
            everyone = [None] * trainer.world_size
            torch.distributed.all_gather_object(everyone, self.batches)
        if trainer.is_global_zero:
            data = trainer.datamodule  # type: ignore[attr-defined]
            arrays = merge([batch for batches in everyone for batch in batches], len(data.described))
            self._write(arrays, data, pl_module)

    def _write(self, arrays: dict[str, np.ndarray], data: MammogramDataModule, classifier: Any) -> None:
        rows, classes = data.rows(), list(data.task.classes)
        features, logits = arrays["features"], arrays["logits"].astype(np.float64)
        if not (np.isfinite(logits).all() and np.isfinite(features).all()):
            raise InputError(
                "the network's outputs are not finite: the training diverged; lower optim.lr_trunk, lr_head"
            )
        RunFolder(self.folder).write_features(features, rows)
        labels = rows["label"].map({name: i for i, name in enumerate(classes)}).to_numpy()
        fitted = self.fitted
        if fitted is None:
            fitted, trained = {}, classifier.net.trained_features
            shown = withheld(features, rows, data.select_on)
            for name in self.names:
                start = time.perf_counter()
                head = fit_head(
                    name,
                    shown,
                    labels,
                    rows,
                    trained_trunk=trained,
                    select_on=data.select_on,
                    mixed_copies=data.augment.mixes_copies,
                )
                log.info("head   %s: %s, %s, %.1f s", name, head.chosen, head.how, time.perf_counter() - start)
                fitted[name] = head
        margin = (logits[:, 1] - logits[:, 0]).astype(np.float32) if len(classes) == 2 else None
        outputs = {"softmax": (margin, softmax(logits, axis=1))}
        outputs |= {name: (head.score(features), head.probabilities(features)) for name, head in fitted.items()}
        outputs["shortcuts"] = shortcuts(data.shortcuts(), labels, rows)
        outputs["majority"] = majority(labels, rows, len(classes))
        tables = [
            head_table(rows, name, *output, classes, fold=self.fold, seed=self.seed) for name, output in outputs.items()
        ]
        write_table(pd.concat(tables), self.folder / "predictions.csv")
        for name, head in fitted.items():
            save_head(head, self.folder / "heads" / f"{name}.skops")
        chosen = f"best {data.watched}/auroc" if data.chooses else "the last, fixed before"
        write_json(
            {
                "epoch": {"number": classifier.chosen_epoch, "how": chosen},
                "heads": {name: {"chosen": head.chosen, "how": head.how} for name, head in fitted.items()},
            },
            self.folder / "selection.json",
        )


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
