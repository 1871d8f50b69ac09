"""The same network as a user runs it: this project's loaders, module and precision, in Lightning's Trainer."""

import atexit
import functools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from mammo.bench.protocol import Action, serve, timed, uncounted
from mammo.errors import InputError
from mammo.preprocessing.cache import Store
from mammo.processes import devices
from mammo.runs import write as run
from mammo.tasks.classification import Classifier
from mammo.training.datamodule import MammogramDataModule
from mammo.training.frozen import BLOCK, compute

LOADED = 20  # batches that are loaded for each that is trained on: loading is so much faster


class Ticks(Callback):
    """When each batch ended; of a GPU, which runs behind, when the first that count began and the last had ended."""

    def __init__(self, device: str) -> None:
        self.device, self.first = device, uncounted(device)
        self.times: list[float] = []

    def _tick(self, trainer: L.Trainer, batch_idx: int, last: int) -> None:
        if self.device == "cuda" and batch_idx in (self.first - 1, last):
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *at: Any) -> None:
        """Of training."""
        self._tick(trainer, at[1], int(trainer.num_training_batches) - 1)

    def on_predict_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *at: Any) -> None:
        """Of prediction."""
        self._tick(trainer, at[1], int(trainer.num_predict_batches[0]) - 1)

    def seconds(self) -> list[float]:
        """Of each batch after the first ones; of a GPU their mean, once."""
        counted = self.times[self.first - 1 :]
        if self.device == "cuda":
            return [(counted[-1] - counted[0]) / (len(counted) - 1)]
        return [end - start for start, end in pairwise(counted)]


def build(settings: dict[str, Any]) -> dict[str, Action]:
    """Training, prediction, feature extraction and loading.

    Args:
        settings: `cfg`, a run's configuration.
    """
    cfg = settings["cfg"]
    run.quieten()
    L.seed_everything(cfg["seed"], workers=True, verbose=False)
    folder = Path(tempfile.mkdtemp(prefix="mammo-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    plan = devices.plan(cfg["trainer"]["accelerator"], cfg["trainer"]["devices"], cfg["trainer"]["precision"])
    plan.prepare()
    data = MammogramDataModule.of(cfg)
    data.load()
    classifier = Classifier(model=cfg["model"], classes=list(data.task.classes), loss=cfg["loss"], **cfg["optim"])
    classifier.weigh(data.class_counts())

    def trainer(count: int, ticks: Ticks) -> L.Trainer:
        needed = uncounted(plan.accelerator) + count
        limits = {"limit_train_batches": needed, "limit_predict_batches": needed, "limit_val_batches": 0}
        if needed > min(len(data.train), len(data.described)) // data.batch_size:
            raise InputError(f"{len(data.train)} training samples are too few for {needed} batches; use fewer --steps")
        return L.Trainer(
            **cfg["trainer"] | plan.trainer_settings() | limits | {"max_epochs": 1, "enable_progress_bar": False},
            enable_checkpointing=False,
            default_root_dir=folder,
            logger=run.tensorboard(folder),
            callbacks=[ticks],
        )

    def train(count: int) -> list[float]:
        ticks = Ticks(plan.accelerator)
        trainer(count, ticks).fit(classifier, datamodule=data)
        return ticks.seconds()

    def predict(count: int) -> list[float]:
        ticks = Ticks(plan.accelerator)
        trainer(count, ticks).predict(classifier, datamodule=data, return_predictions=False)
        return ticks.seconds()

    def features(count: int) -> list[float]:
        """All stages as a frozen trunk, whose outputs are written to a cache."""
        stages = len(classifier.net.trunk) + len(classifier.net.body)
        frozen = Classifier(
            model=cfg["model"] | {"frozen_stages": stages}, classes=["a", "b"], loss=cfg["loss"], **cfg["optim"]
        )
        used = trainer(1, Ticks(plan.accelerator))
        device = used.strategy.root_device
        trunk = frozen.net.trunk.to(device)
        wanted = {str(row): (data.described, sample, 0) for row, (sample, _) in enumerate(data.described.rows[:BLOCK])}

        def block() -> None:
            compute(trunk, wanted, Store(folder), device, used.precision_plugin.forward_context, progress=False)

        wait = torch.cuda.synchronize if plan.accelerator == "cuda" else None
        return [seconds * data.batch_size / BLOCK for seconds in timed(block, count, wait)]

    loader = torch.utils.data.DataLoader(data.train, batch_size=data.batch_size, sampler=_epochs(data))
    load = functools.partial(_load, iter(loader))
    return {"train": train, "predict": predict, "features": features, "load": load}


def _load(batches: Iterator[Any], count: int) -> list[float]:
    """On one core, in this process: batches as the model gets them, with all of their augmentation."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if cores:
        os.sched_setaffinity(0, {max(cores)})
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        each = timed(lambda: list(islice(batches, LOADED)), count)
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
    return [seconds / LOADED for seconds in each]


def _epochs(data: MammogramDataModule) -> Any:
    """Rows and epochs without end."""
    sampler: Any = data.train_dataloader().sampler
    epoch = 0
    while True:
        sampler.set_epoch(epoch)
        yield from sampler
        epoch += 1


if __name__ == "__main__":
    serve(build)
