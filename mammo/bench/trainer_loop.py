"""The same network as in a run: this project's loaders, module and precision, in Lightning's Trainer."""

import atexit
import functools
import itertools
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
from mammo.config import Config
from mammo.datasets.registry import open_dataset
from mammo.errors import InputError
from mammo.preprocessing.cache import Store
from mammo.processes import devices
from mammo.runs.log import quieten
from mammo.runs.write import tensorboard
from mammo.tasks.build import build_task
from mammo.training import frozen
from mammo.training.datamodule import MammogramDataModule
from mammo.training.frozen import BLOCK, compute
from mammo.training.prepare import choose, prepare, split_of

LOADED = 20  # batches per measured step of loading, because loading is much faster than training


class Ticks(Callback):
    """Record the end of each batch. A GPU runs behind, so it is waited for before and after the counted batches."""

    def __init__(self, device: str) -> None:
        self.device, self.first = device, uncounted(device)
        self.times: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, *batch: Any) -> None:
        """Record the end of a batch."""
        batches = trainer.num_training_batches if trainer.training else trainer.num_predict_batches[0]
        if self.device == "cuda" and len(self.times) in (self.first - 1, int(batches) - 1):
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())

    on_predict_batch_end = on_train_batch_end  # type: ignore[assignment]

    def seconds(self) -> list[float]:
        """Return the seconds of each counted batch, or on a GPU only their mean."""
        counted = self.times[self.first - 1 :]
        if self.device == "cuda":
            return [(counted[-1] - counted[0]) / (len(counted) - 1)]
        return [end - start for start, end in pairwise(counted)]


def build(settings: dict[str, Any]) -> dict[str, Action]:
    """Return the actions: training, prediction, feature extraction and loading.

    Args:
        settings: `config`, the configuration of a run.
    """
    config = Config.of(settings["config"])
    quieten()
    L.seed_everything(config.seed, workers=True, verbose=False)
    folder = Path(tempfile.mkdtemp(prefix="mammo-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    plan = devices.plan_of(config.trainer)
    plan.prepare()
    dataset = open_dataset(config.data)
    dataset.prepare()
    config, chosen = choose(dataset, config)
    prepared = prepare(dataset, chosen.findings, split_of(chosen.findings, config), config)
    data, batch = MammogramDataModule(prepared, config.data, config.seed), config.data.batch_size
    task = build_task(config, prepared.labels, prepared.class_counts())

    def trainer(count: int, ticks: Ticks, there: int) -> L.Trainer:
        needed = uncounted(plan.accelerator) + count
        limits = {"limit_train_batches": needed, "limit_predict_batches": needed, "limit_val_batches": 0}
        if needed > there:
            raise InputError(f"the samples make {there} batches, too few for {needed} batches; use fewer --steps")
        return L.Trainer(
            max_epochs=1,
            deterministic=config.trainer.deterministic,
            **config.trainer.more | plan.trainer_settings() | limits | {"enable_progress_bar": False},
            enable_checkpointing=False,
            default_root_dir=folder,
            logger=tensorboard(folder),
            callbacks=[ticks],
        )

    def run(count: int, *, training: bool) -> list[float]:
        block = frozen.rows_of_block(prepared.described.planes)  # rows that are predicted at a time
        rows, there = (batch, len(prepared.train)) if training else (block, len(prepared.described))
        used = trainer(count, ticks := Ticks(plan.accelerator), there // rows)
        if training:
            used.fit(task, datamodule=data)
        else:
            used.predict(task, datamodule=data, return_predictions=False)
        return [seconds * batch / rows for seconds in ticks.seconds()]

    def features(count: int) -> list[float]:
        """Time all stages as a frozen part whose outputs are written to a cache."""
        stages = len(task.net.frozen) + len(task.net.body)
        used = trainer(1, Ticks(plan.accelerator), len(prepared.train) // batch)
        device = torch.device(plan.accelerator)
        part = build_task(config, prepared.labels, frozen_stages=stages).net.frozen.to(device)
        rows, context = prepared.described.rows[:BLOCK], used.precision_plugin.forward_context
        wanted = {str(row): (prepared.described, sample, 0, 0) for row, (sample, _) in enumerate(rows)}

        def block() -> None:
            compute(part, wanted, Store(folder), device, context, progress=False)

        wait = torch.cuda.synchronize if plan.accelerator == "cuda" else None
        return [seconds * batch / BLOCK for seconds in timed(block, count, wait)]

    loader = torch.utils.data.DataLoader(prepared.train, batch_size=batch, sampler=epochs_of(data))
    actions: dict[str, Action] = {"features": features, "load": functools.partial(_load, iter(loader))}
    return actions | {name: functools.partial(run, training=name == "train") for name in ("train", "predict")}


def _load(batches: Iterator[Any], count: int) -> list[float]:
    """Time the loading of batches, including augmentation, on one core in this process."""
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


def epochs_of(data: MammogramDataModule) -> Any:
    """Yield the items of the training sampler, epoch after epoch, without end."""
    sampler: Any = data.train_dataloader().sampler
    for epoch in itertools.count():
        sampler.set_epoch(epoch)
        yield from sampler


if __name__ == "__main__":
    serve(build)
