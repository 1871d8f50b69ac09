"""Checkpoints of a training: the best epoch, and the full state from which an interrupted run continues exactly."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from mammo.processes.peers import STOPPED, stop, stops

log = logging.getLogger(__name__)


@contextmanager
def own_signals(trainer: L.Trainer) -> Iterator[None]:
    """Keep signals from Lightning, and let those who listened before do so again at the end.

    Lightning listens from before the first batch, loses the epoch and ends with status 0, or goes on. Without it, a
    signal is obeyed at once until `Cut` listens.
    """
    connector: Any = trainer._signal_connector
    connector.register_signal_handlers = lambda: None
    before = {number: signal.getsignal(number) for number in stops()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Kept(ModelCheckpoint):
    """Keeps a checkpoint under one name; each new one replaces the one before.

    Args:
        folder: The folder of the file.
        name: The name of the file, without `.ckpt`.
        monitor: The metric whose best (largest) epoch is kept; None keeps the last epoch.
        full: True keeps the whole state of the training; False keeps the weights alone.
    """

    def __init__(self, folder: Path, name: str, *, monitor: str | None, full: bool) -> None:
        super().__init__(
            folder,
            name,
            monitor=monitor,
            mode="min" if full else "max",  # without a monitor, only the mode tells Lightning two of them apart
            save_weights_only=not full,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state with the paths of this folder; else Lightning forgets the best score of a moved folder."""
        kept = str(Path(str(self.dirpath), f"{self.filename}.ckpt"))
        paths = {key: kept for key in ("best_model_path", "kth_best_model_path") if state_dict[key]}
        scores = {"best_k_models": dict(zip([kept], state_dict["best_k_models"].values(), strict=False))}
        super().load_state_dict(state_dict | paths | scores | {"dirpath": self.dirpath})


class Patience(EarlyStopping):
    """Stops after `patience` epochs without improvement; a continued run that had reached them stops at once."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check before training, because Lightning would train one more epoch first."""
        trainer.should_stop = self.wait_count >= max(self.patience, 1)


class Cut(Callback):
    """Lets an interrupted run continue exactly: completes `last.ckpt`, and writes it when the run is told to stop.

    Lightning leaves out the random states of each process and, within an epoch, its metrics; they are added here.
    A signal is obeyed after the batch that all processes are working on; at the end of an epoch, after validation.

    Args:
        last: The checkpoint from which to continue; None if only the final weights are kept.
    """

    def __init__(self, last: Path | None) -> None:
        self.last = last
        self.asked = 0  # number of the signal that asked to stop; 0 is none
        handler = signal.getsignal(signal.SIGUSR2)
        self.requeue = handler if "SUBMITIT_EXECUTOR" in os.environ and callable(handler) else None
        self.amid = False  # True while a checkpoint is written within an epoch
        self.state: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Collect the state of every process; the first process writes it."""
        task: Any = pl_module
        own = {"random": torch.get_rng_state(), "metrics": task.metric_states() if self.amid else {}}
        if trainer.strategy.root_device.type == "cuda":
            own["random_cuda"] = torch.cuda.get_rng_state()
        checkpoint["processes"] = [own]
        if trainer.world_size > 1:
            checkpoint["processes"] = [None] * trainer.world_size
            torch.distributed.all_gather_object(checkpoint["processes"], own)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep this process's state until training starts, so that random draws before that do not change it."""
        if "processes" in checkpoint:
            self.state = checkpoint["processes"][trainer.global_rank]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Restore the state that was kept, and listen for signals."""
        task: Any = pl_module
        if self.state is not None:
            task.restore_metrics(self.state["metrics"])
            torch.set_rng_state(self.state["random"])
            if "random_cuda" in self.state:
                torch.cuda.set_rng_state(self.state["random_cuda"])
        self._listen(self._ask)

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Obey a signal at once: all that follows training is done again in full anyway."""
        self._at_once()

    def _at_once(self) -> None:
        self._listen(stop)
        if self.requeue:
            signal.signal(signal.SIGUSR2, self.requeue)

    def _listen(self, handler: Any) -> None:
        for number in stops():
            signal.signal(number, handler)
        if self.requeue:  # submitit stops a job by SIGUSR2, and ignores SIGTERM
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _ask(self, number: int, _: object) -> None:
        self.asked = number

    def _stop(self, trainer: L.Trainer) -> bool:
        return trainer.strategy.reduce_boolean_decision(bool(self.asked), all=False)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop within an epoch, but only after an optimiser step, when no gradients are pending."""
        step = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if step and not trainer.is_last_batch and self._stop(trainer):
            if self.last is not None:
                self.amid = True
                trainer.save_checkpoint(self.last)
            self._end(trainer)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop between two epochs; the last one is already saved."""
        if self._stop(trainer):
            self._end(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop after the last epoch, and obey a signal at once from here on."""
        self._at_once()  # before the question, so that no signal falls between
        if self._stop(trainer):
            self._end(trainer)

    def _end(self, trainer: L.Trainer) -> None:
        if trainer.is_global_zero:
            kept = "will start again" + ", which takes little time" * (self.last is None)
            if self.last and self.last.is_file():
                kept = "is saved in last.ckpt"
            name = signal.Signals(self.asked).name if self.asked else "a signal"
            said = "stopped by %s: the training %s; continue with resume=%s, or its sweep's folder"
            log.warning(said, name, kept, trainer.default_root_dir)
        if self.requeue:
            self.requeue(self.asked, None)
        raise SystemExit(STOPPED)
