"""Checkpoints of a training: the best epoch, and all that a run needs to go on as if it had not been cut."""

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint

from mammo.processes.peers import STOP, STOPPED

log = logging.getLogger(__name__)


class Kept(ModelCheckpoint):
    """Keeps a checkpoint under one name, each over the one before.

    Args:
        folder: Where to.
        name: Of the file, without `.ckpt`.
        monitor: The number whose largest value is kept; None keeps the last epoch.
        full: True keeps all that training goes on with; False the weights alone.
    """

    def __init__(self, folder: Path, name: str, *, monitor: str | None, full: bool) -> None:
        super().__init__(
            folder,
            name,
            monitor=monitor,
            mode="min" if full else "max",  # without a monitor, all that Lightning tells two of them apart by
            save_weights_only=not full,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning would forget the best score of a folder that was moved since."""
        kept = str(Path(str(self.dirpath), f"{self.filename}.ckpt"))
        paths = {key: kept for key in ("best_model_path", "kth_best_model_path") if state_dict[key]}
        scores = {"best_k_models": dict(zip([kept], state_dict["best_k_models"].values(), strict=False))}
        super().load_state_dict(state_dict | paths | scores | {"dirpath": self.dirpath})


class Patience(EarlyStopping):
    """Stops after so many epochs without a better number; at once, where a run goes on that had come to that."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Lightning would train an epoch more before it looks."""
        trainer.should_stop = self.wait_count >= max(self.patience, 1)


class Cut(Callback):
    """Makes a cut run whole: adds to `last.ckpt` what Lightning leaves out, and writes it when told to stop.

    That is, of each process its random states and, amid an epoch, its metrics. A signal is obeyed after the batch
    that all processes are at; at the end of an epoch, after its validation.

    Args:
        last: The checkpoint to go on from; None where nothing is kept but the end.
    """

    def __init__(self, last: Path | None) -> None:
        self.last = last
        self.asked = 0  # by which signal
        handler = signal.getsignal(signal.SIGUSR2)
        self.requeue = handler if "SUBMITIT_EXECUTOR" in os.environ and callable(handler) else None
        self.amid = False  # whether an epoch is under way
        self.state: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Every process comes here, the first one writes."""
        task: Any = pl_module
        own = {"random": torch.get_rng_state(), "metrics": task.metric_states() if self.amid else {}}
        if trainer.strategy.root_device.type == "cuda":
            own["random_cuda"] = torch.cuda.get_rng_state()
        checkpoint["processes"] = [own]
        if trainer.world_size > 1:
            checkpoint["processes"] = [None] * trainer.world_size
            torch.distributed.all_gather_object(checkpoint["processes"], own)

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keeps this process's own until training starts: nothing is drawn after that which is not drawn again."""
        if "processes" in checkpoint:
            self.state = checkpoint["processes"][trainer.global_rank]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes up what was kept, and listens."""
        task: Any = pl_module
        if self.state is not None:
            task.restore_metrics(self.state["metrics"])
            torch.set_rng_state(self.state["random"])
            if "random_cuda" in self.state:
                torch.cuda.set_rng_state(self.state["random_cuda"])
        self._listen(self._ask)

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Obey a signal at once: what comes after training is done again in full."""
        self._listen(lambda *_: sys.exit(STOPPED))
        if self.requeue:
            signal.signal(signal.SIGUSR2, self.requeue)

    def _listen(self, handler: Any) -> None:
        for number in STOP:  # in place of Lightning's own, which would lose the epoch, or go on
            signal.signal(number, handler)
        if self.requeue:  # submitit has SIGUSR2 for it, and takes this one for a threat
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _ask(self, number: int, _: object) -> None:
        self.asked = number

    def _stop(self, trainer: L.Trainer) -> bool:
        return trainer.strategy.reduce_boolean_decision(bool(self.asked), all=False)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stops amid an epoch, where no gradients wait for more."""
        step = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if step and not trainer.is_last_batch and self._stop(trainer):
            if self.last is not None:
                self.amid = True
                trainer.save_checkpoint(self.last)
            self._end(trainer)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops between two epochs: the first one has been kept."""
        if self._stop(trainer):
            self._end(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops after the last epoch."""
        if self._stop(trainer):
            self._end(trainer)

    def _end(self, trainer: L.Trainer) -> None:
        if trainer.is_global_zero:
            kept = "is kept in last.ckpt" if self.last else "is trained again from its start, which is soon done"
            name = signal.Signals(self.asked).name if self.asked else "a signal"
            log.warning("stopped by %s: what was trained %s; go on with resume=<folder>", name, kept)
        if self.requeue:
            self.requeue(self.asked, None)
        raise SystemExit(STOPPED)
