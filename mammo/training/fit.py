"""Lightning's Trainer at work: fit a task to the training part, then gather its outputs for all rows."""

from pathlib import Path

import lightning as L
import numpy as np
from lightning.pytorch.loggers import Logger

from mammo.config import Config
from mammo.errors import InputError
from mammo.processes.devices import Plan
from mammo.tasks.base import Task
from mammo.training.callbacks import Features, Outputs, during_fit
from mammo.training.checkpoints import own_signals
from mammo.training.datamodule import MammogramDataModule
from mammo.training.detection_data import DetectionDataModule
from mammo.training.prepare import Prepared
from mammo.training.region_data import SegmentationDataModule


def fit_and_predict(
    task: Task,
    prepared: Prepared,
    config: Config,
    folder: Path,
    plan: Plan,
    *,
    logger: Logger | bool = False,
    weights: Path | None = None,
    last: Path | None = None,
) -> Outputs | None:
    """Train a task on its devices, and compute its outputs for every described row.

    Args:
        task: The task to train.
        prepared: The samples.
        config: The configuration of the run.
        folder: The run folder, where checkpoints and curves are written.
        plan: The devices.
        logger: The logger that receives the curves.
        weights: A checkpoint to evaluate; None trains, and evaluates the chosen epoch.
        last: A checkpoint from which training continues; None starts from the first epoch.

    Returns:
        The outputs in the first process; None in all others.

    Raises:
        InputError: The training diverged.
    """
    features, data, stages = Features(), data_of(prepared, config), task.stages(config)
    callbacks = during_fit(
        folder,
        f"{prepared.watched}/{config.chosen_by}" if prepared.chooses else None,
        config.early_stopping.patience,
        progress=plan.progress,
        resumable=task.resumable(config),  # else training again is faster
    )
    trainer = L.Trainer(
        max_epochs=stages[0],
        deterministic=config.trainer.deterministic,
        **config.trainer.more | plan.trainer_settings(),
        default_root_dir=folder,
        logger=logger,
        callbacks=[data.guard, *callbacks, features],
    )
    if weights is not None:
        task.restore(weights)  # before the frozen part computes its outputs
    with own_signals(trainer):
        if weights is None:
            trainer.fit(task, datamodule=data, ckpt_path=last)
            for end in stages[1:]:  # a later stage goes on with the epochs, and has an optimiser of its own
                trainer.fit_loop.max_epochs = end
                trainer.fit(task, datamodule=data)
        best = weights or folder / "checkpoints" / "best.ckpt"
        trainer.predict(task, datamodule=data, ckpt_path=best, return_predictions=False)
    found = features.outputs
    if found is not None and not (np.isfinite(found.logits).all() and np.isfinite(found.features).all()):
        raise InputError(
            "the network's outputs are not finite: the training diverged; lower optim.lr_backbone or optim.lr_head"
        )
    return found


def data_of(prepared: Prepared, config: Config) -> MammogramDataModule | DetectionDataModule | SegmentationDataModule:
    """Return the batches of a run, by the kind of its task."""
    if config.task.kind == "detection":
        return DetectionDataModule(prepared, config)
    if config.task.kind == "segmentation":
        return SegmentationDataModule(prepared, config)
    return MammogramDataModule(prepared, config.data, config.seed)
