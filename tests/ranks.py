"""Jobs that tests start on several devices: of a module, so that each process finds them."""

import errno
import os
import signal
import time

import torch

from mammo.errors import InputError

STEPS = 5


def gradients(config, folder):
    """Trains a few steps, batch norm as it is; leaves the gradients of each, and its loss, in `gradients.pt`."""
    import lightning as L
    from lightning.pytorch.callbacks import Callback
    from torch.nn.modules.batchnorm import _BatchNorm

    from mammo.processes.devices import plan_of
    from mammo.runs.log import quieten
    from mammo.tasks.build import build_task
    from mammo.training.datamodule import MammogramDataModule
    from tests.conftest import prepared_of

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

    quieten()
    L.seed_everything(config.seed, workers=True, verbose=False)
    plan, prepared = plan_of(config.trainer), prepared_of(config)
    task = build_task(config, prepared.labels, prepared.class_counts())
    limits = {"max_epochs": config.trainer.max_epochs, "max_steps": STEPS, "limit_val_batches": 0}
    own = {"logger": False, "enable_checkpointing": False, "callbacks": [Recorder()], "deterministic": "warn"}
    trainer = L.Trainer(**plan.trainer_settings() | limits | own)
    trainer.fit(task, datamodule=MammogramDataModule(prepared, config.data, config.seed))
    if plan.main:
        torch.save({"gradients": torch.stack(seen), "losses": losses}, folder / "gradients.pt")
    return {}


def noted(config, folder):
    """A whole run; each process notes in `calls` what it fits and reports."""
    from mammo.models import heads
    from mammo.reports import run as report
    from mammo.runs import train

    def noting(plain):
        def called(*args, **kwargs):
            with (folder / "calls").open("a") as calls:
                calls.write(f"{plain.__name__} by {os.environ['RANK']}\n")
            return plain(*args, **kwargs)

        return called

    heads.fit_head, report.write = noting(heads.fit_head), noting(report.write)
    return train.train(config, folder)


def dies(config, folder):
    """The second process dies as it is told; the first one waits for it."""
    torch.distributed.init_process_group("gloo")
    (folder / f"process{os.environ['RANK']}").write_text(str(os.getpid()))
    if os.environ["RANK"] == "1":
        time.sleep(1)
        if config.source["how"] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if config.source["how"] == "input":
            raise InputError("it has no such film")
        if config.source["how"] == "full":
            raise OSError(errno.ENOSPC, "No space left on device", "report.md")
        raise RuntimeError("something of its own went wrong")
    torch.distributed.barrier()
    return {}


def cuts(config, folder):
    """Prepares the samples of a run; each process notes in `films` what it reads."""
    from mammo.datasets.mias import MIAS
    from tests.conftest import prepared_of

    honest = MIAS.read

    def noting(self, image_id):
        with (folder / "films").open("a") as films:
            films.write(f"{os.environ['RANK']} {image_id}\n")
        time.sleep(0.2)
        return honest(self, image_id)

    MIAS.read = noting
    (folder / f"started{os.environ['RANK']}").touch()
    while len(list(folder.glob("started*"))) < config.trainer.devices:
        time.sleep(0.01)
    return {"samples": float(len(prepared_of(config).crops.table))}


def shared_step(rank, folder, device, world):
    """Leaves the gradient of its share of a batch, on one device, in `<rank>.pt`; of all of it in `whole.pt`."""
    from mammo.config import ModelConfig
    from mammo.models.network import build_network, linear_head

    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = torch.distributed.FileStore(str(folder / "store"), world)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=world)
    torch.manual_seed(0)
    config = ModelConfig(name="compact", weights=None, image_size=64, trainable="all", dropout=0.0)
    net = build_network(config, lambda width: linear_head(width, 2, 0.0), classes=2).to(device).eval()
    x = torch.randint(0, 256, (4, 1, 64, 64), dtype=torch.uint8).to(device)
    y = torch.tensor([0, 1, 1, 0], device=device)
    own = torch.nn.parallel.DistributedDataParallel(net)
    torch.nn.functional.cross_entropy(own(x[rank::world]), y[rank::world]).backward()
    torch.save(torch.cat([one.grad.flatten() for one in net.parameters()]).cpu(), folder / f"{rank}.pt")
    if rank == 0:
        net.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        torch.save(torch.cat([one.grad.flatten() for one in net.parameters()]).cpu(), folder / "whole.pt")
    torch.distributed.destroy_process_group()
