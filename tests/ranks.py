"""Jobs that tests start on several devices: of a module, so that each process finds them."""

import errno
import os
import signal
import time

import torch

from mammo.errors import InputError

STEPS = 5


def gradients(cfg, folder):
    """Trains a few steps, batch norm as it is; leaves the gradients of each, and its loss, in `gradients.pt`."""
    import lightning as L
    from lightning.pytorch.callbacks import Callback
    from torch.nn.modules.batchnorm import _BatchNorm

    from mammo.processes import devices
    from mammo.runs import write as run
    from mammo.tasks.classification import Classifier
    from mammo.training.datamodule import MammogramDataModule

    seen, losses = [], []

    class Recorder(Callback):
        def on_train_batch_start(self, trainer, pl_module, *_):
            for module in pl_module.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()

        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            seen.append(torch.cat([p.grad.flatten() for p in pl_module.parameters() if p.grad is not None]))

        def on_train_batch_end(self, trainer, pl_module, outputs, *_):
            losses.append(trainer.strategy.reduce(outputs["loss"], reduce_op="mean"))

    run.quieten()
    L.seed_everything(cfg["seed"], workers=True, verbose=False)
    plan, data = devices.plan_of(cfg), MammogramDataModule.of(cfg)
    classifier = Classifier(model=cfg["model"], classes=list(data.task.classes), loss=cfg["loss"], **cfg["optim"])
    data.load()
    classifier.weigh(data.class_counts())
    settings = cfg["trainer"] | plan.trainer_settings() | {"max_steps": STEPS, "limit_val_batches": 0}
    trainer = L.Trainer(**settings, logger=False, enable_checkpointing=False, callbacks=[Recorder()])
    trainer.fit(classifier, datamodule=data)
    if plan.main:
        torch.save({"gradients": torch.stack(seen), "losses": losses}, folder / "gradients.pt")
    return {}


def noted(cfg, folder):
    """A whole run; each process notes in `calls` what it fits and reports."""
    from mammo.reports import run as report
    from mammo.runs import train as training
    from mammo.training import callbacks

    def noting(plain):
        def called(*args, **kwargs):
            with (folder / "calls").open("a") as calls:
                calls.write(f"{plain.__name__} by {os.environ['RANK']}\n")
            return plain(*args, **kwargs)

        return called

    callbacks.fit_head, report.write = noting(callbacks.fit_head), noting(report.write)
    return training.train(cfg, folder)


def dies(cfg, folder):
    """The second process dies as it is told; the first one waits for it."""
    torch.distributed.init_process_group("gloo")
    (folder / f"process{os.environ['RANK']}").write_text(str(os.getpid()))
    if os.environ["RANK"] == "1":
        time.sleep(1)
        if cfg["how"] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if cfg["how"] == "input":
            raise InputError("it has no such film")
        if cfg["how"] == "full":
            raise OSError(errno.ENOSPC, "No space left on device", "report.md")
        raise RuntimeError("something of its own went wrong")
    torch.distributed.barrier()
    return {}
