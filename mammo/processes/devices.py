"""Which devices a job runs on, at which precision, and how its processes are started."""

import contextlib
import ctypes
import functools
import logging
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from mammo.errors import InputError, message_for_user
from mammo.processes import peers

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
Job = Callable[[dict[str, Any], Path], dict[str, float]]


@dataclass(frozen=True)
class Plan:
    """The devices of one process of a job.

    Attributes:
        accelerator: `cpu` or `cuda`.
        devices: How many on each machine.
        machines: How many machines.
        precision: As Lightning names it.
        rank: Which of the processes this one is.
        why: What is said of the precision where it was left to the machine.
    """

    accelerator: str
    devices: int
    machines: int
    precision: str
    rank: int
    why: str = ""

    @property
    def world(self) -> int:
        """How many devices in all, each with a process of its own."""
        return self.devices * self.machines

    @property
    def main(self) -> bool:
        """Whether this process writes the run folder."""
        return self.rank == 0

    @property
    def progress(self) -> bool:
        """Whether somebody is there to watch a progress bar."""
        return self.main and os.isatty(1)

    def prepare(self) -> None:
        """Sets this process up for speed; no number depends on it.

        Memory that is about to be written is not filled before, as deterministic algorithms would have it to show who
        reads it unwritten.
        """
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        if self.accelerator == "cpu":
            _keep_freed_memory()

    def check_batch(self, batch_size: int) -> None:
        """A global batch that the devices cannot share evenly is an error."""
        if batch_size % self.world:
            raise InputError(
                f"data.batch_size={batch_size} cannot be shared by {self.world} devices; make it a multiple of that"
            )

    @property
    def _strategy(self) -> str:
        """The sum of three numbers depends on their order, and DDP arranges gradients anew after its first step.

        So a run that goes on would add them in another order. On CPUs they are left as they are; it says of that, once,
        that it would be faster otherwise. GPUs promise no equal bytes.
        """
        if self.accelerator == "cpu" and self.world > 2:
            return "ddp_find_unused_parameters_true"
        return "ddp" if self.world > 1 else "auto"

    def trainer_settings(self) -> dict[str, Any]:
        """Arguments of Lightning's Trainer."""
        from lightning.pytorch.plugins.environments import (
            LightningEnvironment,
            SLURMEnvironment,
            TorchElasticEnvironment,
        )

        from mammo.training.checkpoints import WholeFiles

        engines = {"srun": lambda: SLURMEnvironment(auto_requeue=False), "torchrun": TorchElasticEnvironment}
        together = peers.peers()
        return {
            "accelerator": self.accelerator,
            "devices": self.devices,
            "num_nodes": self.machines,
            "precision": self.precision,
            "strategy": self._strategy,
            "plugins": [engines[together.engine]() if together else LightningEnvironment(), WholeFiles()],
            "enable_progress_bar": self.progress,
            "use_distributed_sampler": False,  # it repeats films to fill up; the datamodule's samplers do not
            "num_sanity_val_steps": 0,
            "enable_model_summary": False,
            "log_every_n_steps": 1,
        }


@functools.cache
def _keep_freed_memory() -> None:
    """What a step frees is kept for the next one: an eighth of VGG16's time on a CPU, for 0.1 GB.

    By default glibc gives pieces of 32 MB and more back to the system, which zeroes them page by page when they are
    asked for again. The very largest are still given back: kept, they would leave holes (VGG16: 0.3 GB more, and
    hardly faster). Before a fork all that is free is, or a loader's workers would keep a copy of it.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # glibc's alone
        if not libc.mallopt(M_MMAP_THRESHOLD, 96 << 20):
            libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most that an older glibc takes
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 29)
        os.register_at_fork(before=lambda: libc.malloc_trim(0))


def plan(accelerator: str, devices: int | str, precision: str, machines: int = 1) -> Plan:
    """Resolves `auto` and checks that the devices are there, and that each has its process.

    Raises:
        InputError: An unknown accelerator, more devices than there are, or other processes than were asked for.
    """
    gpus = torch.cuda.device_count()
    if accelerator == "auto":
        accelerator = "cuda" if gpus else "cpu"
    known = {"cpu": os.cpu_count() or 1, "cuda": gpus, "gpu": gpus}
    if accelerator not in known:
        raise InputError(f"trainer.accelerator={accelerator} is unknown; expected auto, cpu or cuda")
    there = known[accelerator]
    count = (max(there, 1) if accelerator != "cpu" else 1) if devices in ("auto", -1) else devices
    if not isinstance(count, int) or not 1 <= count <= there:
        kind = "CPU cores (one process each)" if accelerator == "cpu" else "GPUs"
        raise InputError(f"trainer.devices={devices}: this machine has {there} {kind}; expected 1 to {there}")
    _check_peers(count, machines)
    if precision not in PRECISIONS:
        raise InputError(f"trainer.precision={precision} is unknown; expected one of {', '.join(PRECISIONS)}")
    why = ""
    if precision == "auto":
        native = has_bfloat16(accelerator)
        precision = "bf16-mixed" if native else "32-true"
        why = f" (auto: bfloat16 is {'native' if native else 'not native'} here)"
    together = peers.peers()
    return Plan(accelerator, count, machines, precision, together.rank if together else 0, why)


def _check_peers(devices: int, machines: int) -> None:
    together = peers.peers()
    asked = f"trainer.devices={devices} trainer.num_nodes={machines}"
    if together is None:
        if machines > 1:
            raise InputError(f"{asked}: several machines are started by srun or torchrun, a process for each device")
    elif (together.world, together.machines) != (devices * machines, machines):
        raise InputError(
            f"{asked}: {together.engine} started {together.world} processes on {together.machines} machines; "
            "make the two agree"
        )


def has_bfloat16(accelerator: str) -> bool:
    """Whether the device computes in bfloat16 itself; where it is emulated it is slower than float32."""
    if accelerator != "cpu":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    info = Path("/proc/cpuinfo")
    return info.is_file() and bool({"avx512_bf16", "amx_bf16", "bf16"} & set(info.read_text().split()))


def versions(packages: list[str]) -> dict[str, str]:
    """The installed version of each package."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def plan_of(cfg: dict[str, Any]) -> Plan:
    """That of a run's configuration."""
    return plan(*(cfg["trainer"][key] for key in ("accelerator", "devices", "precision", "num_nodes")))


def launch(job: Job, cfg: dict[str, Any], folder: Path) -> dict[str, float]:
    """Runs a job on its devices: here, or in one new process each, which end together.

    Hydra and Lightning would each start the other's processes again; so ranks get the composed configuration and
    nothing of the command line, and this process keeps no process group for a sweep's next job to trip over.
    """
    together, count = peers.peers(), plan_of(cfg).devices
    if together is not None and together.rank:
        logging.getLogger().setLevel(logging.ERROR)  # the first one speaks for all
    if together is not None or count == 1:
        return job(cfg, folder)
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in logging.root.manager.loggerDict:
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what went wrong is told below, once
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "600")  # seconds to write a checkpoint when told to stop
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=folder.name,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.1,
    )
    said = Path(tempfile.mkdtemp(), "error.txt")
    stop: Any = signal.signal(signal.SIGUSR1, lambda *_: signal.raise_signal(signal.SIGTERM))  # passed on to the ranks
    try:
        arguments = (job, cfg, folder, said, os.getpid(), max(len(os.sched_getaffinity(0)) // count, 1))
        return elastic_launch(config, _rank)(*arguments)[0]
    except SignalException as error:
        raise SystemExit(128 + error.sigval) from None
    except ChildFailedError as error:
        _, first = error.get_first_failure()
        if first.exitcode == peers.STOPPED:
            raise SystemExit(peers.STOPPED) from None
        if first.exitcode < 0 or not said.is_file():
            name = signal.Signals(-first.exitcode).name if first.exitcode < 0 else f"exit status {first.exitcode}"
            raise RuntimeError(f"process {first.local_rank} of {count} was ended by {name}") from None
        kind, _, text = said.read_text().partition(":")
        raise (InputError(text) if kind == "input" else RuntimeError(f"process {kind} of {count}: {text}")) from None
    finally:
        signal.signal(signal.SIGUSR1, stop)
        shutil.rmtree(said.parent, ignore_errors=True)


def _rank(job: Job, cfg: dict[str, Any], folder: Path, said: Path, parent: int, threads: int) -> dict[str, float]:
    """One process of a job. An error ends it, and so the others, which may wait; the first one is what is told."""
    peers.end_with(parent)
    torch.set_num_threads(threads)
    main = os.environ["RANK"] == "0"
    logging.basicConfig(level=logging.INFO if main else logging.ERROR, format="%(message)s")
    try:
        return job(cfg, folder)
    except Exception as error:  # before the others lose their connection, and fail of that
        known = message_for_user(error)
        with contextlib.suppress(FileExistsError), said.open("x") as file:
            file.write(f"input:{known}" if known else f"{os.environ['RANK']}:{traceback.format_exc()}")
        sys.exit(1)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
