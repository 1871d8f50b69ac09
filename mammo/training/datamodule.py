"""Batches for Lightning: data loaders of the prepared samples, and nothing else."""

import os
from functools import partial
from typing import Any

import lightning as L
import torch
from torch.utils.data import DataLoader, Sampler

from mammo.config import DataConfig
from mammo.errors import check_shared_memory
from mammo.processes.peers import START
from mammo.processes.workers import help_out
from mammo.training import frozen
from mammo.training.guard import Guard
from mammo.training.prepare import Prepared
from mammo.training.samples import EpochSampler, OnceSampler, Samples

ALONE = {"rank": 0, "world": 1}


class MammogramDataModule(L.LightningDataModule):
    """Training, validation and evaluation batches of the prepared samples of a run.

    Args:
        prepared: The samples.
        config: Batch size, workers, and whether the outputs of a frozen part are cached.
        seed: Seed of the order of the samples.
    """

    def __init__(self, prepared: Prepared, config: DataConfig, seed: int) -> None:
        super().__init__()
        self.prepared, self.config, self.seed = prepared, config, seed
        self.guard = Guard(prepared)
        self.went_to: dict[str, int] = {}  # in a continued run: `epoch` and `done` of `EpochSampler`

    @property
    def watched(self) -> str:
        """The part that is watched while the network trains."""
        return self.prepared.watched

    def setup(self, stage: str | None = None) -> None:
        """Share the first process's synthetic crops, and compute the frozen part's output of each sample once."""
        prepared, trainer = self.prepared, self.trainer
        if prepared.synthetic is not None and trainer and trainer.world_size > 1:
            # All processes compute them, and some processors may round differently: the first process's are used.
            prepared.synthetic.update(trainer.strategy.broadcast(prepared.synthetic))
        asked = (prepared.train, prepared.watch, prepared.described) if stage == "fit" else (prepared.described,)
        frozen.attach(trainer, asked, keep=self.config.cache)

    def on_after_batch_transfer(self, batch: dict[str, torch.Tensor], dataloader_idx: int) -> dict[str, torch.Tensor]:
        """Compute the frozen part's outputs of a batch if they are not cached."""
        return batch if self.config.cache else frozen.applied(self.trainer, batch)

    @property
    def _process(self) -> dict[str, int]:
        """The number of this process, and how many there are."""
        return {"rank": self.trainer.global_rank, "world": self.trainer.world_size} if self.trainer else ALONE

    def _loader(
        self, samples: Samples, sampler: Sampler[tuple[int, int]], rows: int | None = None
    ) -> DataLoader[dict[str, Any]]:
        """Return batches of `rows` rows; None: this process's share of `data.batch_size`."""
        world = self._process["world"]
        on_cpu = self.trainer is None or self.trainer.strategy.root_device.type == "cpu"
        # On a CPU, one worker loads a hundred times faster than VGG16 trains. On GPUs, the devices share all cores.
        workers = 1 if on_cpu else max((os.cpu_count() or 1) // world, 1)
        workers = workers if self.config.workers is None else self.config.workers
        if samples.outputs is not None:
            workers = 0  # nothing is left to compute
        if workers:
            check_shared_memory()
        return DataLoader(
            samples,
            batch_size=rows or self.config.batch_size // world,
            sampler=sampler,
            num_workers=workers,
            collate_fn=samples.collate,
            persistent_workers=workers > 0,
            pin_memory=not on_cpu,
            worker_init_fn=partial(help_out, os.getpid()),
            multiprocessing_context=START if workers else None,
            # A generator of its own: drawing from the global one would change the network's dropout.
            generator=torch.Generator().manual_seed(self.seed),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return how far training went: whole epochs, and batches of the next epoch."""
        trainer: Any = self.trainer
        loop = trainer.fit_loop
        done = loop.epoch_loop.batch_progress.current.processed % trainer.num_training_batches
        return {"epoch": loop.epoch_progress.current.processed, "done": done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from there; Lightning asks for batches too early, and would get those of the first epoch."""
        self.went_to = state_dict

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Return the training part, shuffled; the samples of an incomplete last batch are left out of the epoch."""
        samples = self.prepared.train
        share = {"batch_size": self.config.batch_size, "seed": self.seed, **self._process, **self.went_to}
        samples.block = block = self.config.shuffle_block
        return self._loader(samples, EpochSampler(samples.per_epoch, block=block, **share))

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Return the watched part, which chooses the epoch; without validation it is test, and chooses nothing."""
        watch = self.prepared.watch
        return self._loader(watch, OnceSampler(len(watch), **self._process))

    def predict_dataloader(self) -> DataLoader[dict[str, Any]]:
        """Return all described rows, in the order of `Prepared.rows`, in blocks of one size.

        So the outputs of a row do not depend on the batch size, nor on the rows beside it.
        """
        described = self.prepared.described
        rows = frozen.rows_of_block(described.planes)
        return self._loader(described, OnceSampler(len(described), **self._process, block=rows), rows)
