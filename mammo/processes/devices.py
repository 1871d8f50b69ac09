"""The devices that a job runs on, and the precision it computes in."""

import ctypes
import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mammo.config import TrainerConfig
from mammo.errors import InputError
from mammo.processes import peers

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


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
        """The number of devices in all, each with a process of its own."""
        return self.devices * self.machines

    @property
    def main(self) -> bool:
        """True if this process writes the run folder."""
        return self.rank == 0

    @property
    def progress(self) -> bool:
        """True if somebody is there to watch a progress bar."""
        return self.main and os.isatty(1)

    def prepare(self) -> None:
        """Set this process up for speed; no number depends on it.

        Memory that is about to be written is not filled before, as deterministic algorithms would have it to show who
        reads it unwritten.
        """
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        if self.accelerator == "cpu":
            _keep_freed_memory()

    def check_batch(self, batch_size: int) -> None:
        """Refuse a global batch that the devices cannot share evenly."""
        if batch_size % self.world:
            raise InputError(
                f"data.batch_size={batch_size} cannot be shared by {self.world} devices; make it a multiple of that"
            )

    @property
    def _strategy(self) -> str:
        """Lightning's strategy.

        The sum of three numbers depends on their order, and DDP arranges gradients anew after its first step.

        So a run that goes on would add them in another order. On CPUs they are left as they are; it says of that, once,
        that it would be faster otherwise. GPUs promise no equal bytes.
        """
        if self.accelerator == "cpu" and self.world > 2:
            return "ddp_find_unused_parameters_true"
        return "ddp" if self.world > 1 else "auto"

    def trainer_settings(self) -> dict[str, Any]:
        """Return arguments of Lightning's Trainer."""
        from lightning.pytorch.plugins.environments import (
            LightningEnvironment,
            SLURMEnvironment,
            TorchElasticEnvironment,
        )

        from mammo.processes.checkpoint_io import WholeFiles

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
    """Keep what a step frees for the next one: an eighth of VGG16's time on a CPU, for 0.1 GB.

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
    """Resolve `auto` and check that the devices are there, and that each has its process.

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
    """Tell whether the device computes in bfloat16 itself; where it is emulated it is slower than float32."""
    if accelerator != "cpu":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    info = Path("/proc/cpuinfo")
    return info.is_file() and bool({"avx512_bf16", "amx_bf16", "bf16"} & set(info.read_text().split()))


def plan_of(config: TrainerConfig) -> Plan:
    """Return the devices of a run; see `plan`."""
    return plan(config.accelerator, config.devices, config.precision, config.num_nodes)
