"""The devices that a job runs on, and the precision that it computes in."""

import ctypes
import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mammo.config import PRECISIONS, TrainerConfig
from mammo.errors import InputError
from mammo.memory import return_freed
from mammo.processes import peers

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # from glibc's malloc.h


@dataclass(frozen=True)
class Plan:
    """The devices and precision of a job, and this process's place in it.

    Attributes:
        accelerator: `cpu` or `cuda`.
        devices: The number of devices on each machine.
        machines: The number of machines.
        precision: The precision as Lightning names it.
        rank: The number of this process, from 0.
        why: The reason for the precision if another one was asked for, else empty.
    """

    accelerator: str
    devices: int
    machines: int
    precision: str
    rank: int
    why: str = ""

    @property
    def world(self) -> int:
        """The number of devices on all machines, each with a process of its own."""
        return self.devices * self.machines

    @property
    def main(self) -> bool:
        """True if this process writes the run folder."""
        return self.rank == 0

    @property
    def progress(self) -> bool:
        """True if this process shows a progress bar: the main one, on a terminal."""
        return self.main and os.isatty(1)

    def prepare(self) -> None:
        """Set this process up for speed; no result depends on it.

        With deterministic algorithms torch fills new memory before use, to reveal reads of unwritten memory; that is
        switched off. On a CPU freed memory is kept.
        """
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        if self.accelerator == "cpu":
            _keep_freed_memory()

    def check_batch(self, batch_size: int) -> None:
        """Refuse a global batch that the devices cannot share evenly."""
        if batch_size % self.world:
            raise InputError(
                f"data.batch_size={batch_size} cannot be shared by {self.world} devices; use a multiple of that"
            )

    @property
    def _strategy(self) -> str:
        """The name of Lightning's strategy.

        The sum of three numbers depends on their order, and DDP rearranges gradients after its first step, so a resumed
        run would add them in another order. On CPUs the order is kept, and DDP warns once that this is slower.
        Resumed runs on GPUs need not be equal to the last bit.
        """
        if self.accelerator == "cpu" and self.world > 2:
            return "ddp_find_unused_parameters_true"
        return "ddp" if self.world > 1 else "auto"

    def trainer_settings(self) -> dict[str, Any]:
        """Return the arguments of Lightning's Trainer."""
        from lightning.pytorch.plugins.environments import (
            LightningEnvironment,
            SLURMEnvironment,
            TorchElasticEnvironment,
        )

        from mammo.processes.whole_files import WholeFiles

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
            "use_distributed_sampler": False,  # it repeats films, for equal shares; the datamodule's samplers do not
            "num_sanity_val_steps": 0,
            "enable_model_summary": False,
            "log_every_n_steps": 1,
        }


@functools.cache
def _keep_freed_memory() -> None:
    """Keep the memory that a step frees for the next step: this saves an eighth of VGG16's time on a CPU, for 0.1 GB.

    By default glibc returns blocks of 32 MB and more to the system, which zeroes them page by page when they are
    requested again. The largest blocks are still returned, because they would leave holes (VGG16: 0.3 GB more, and
    hardly faster). Before a fork all free memory is returned, or a loader's workers would keep a copy of it.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # only glibc has it
        if not libc.mallopt(M_MMAP_THRESHOLD, 96 << 20):
            libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the maximum of an older glibc
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 29)
        os.register_at_fork(before=return_freed)


def plan(accelerator: str, devices: int | str, precision: str, machines: int = 1) -> Plan:
    """Resolve `auto`, and check that the devices exist and that each has its process.

    Raises:
        InputError: The accelerator or precision is unknown, devices are missing, or the number of processes differs.
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
    if precision == "16-mixed" and accelerator == "cpu":  # what Lightning does, so that the run says it
        precision, why = "bf16-mixed", " (16-mixed needs a GPU)"
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
            raise InputError(f"{asked}: several machines need srun or torchrun, which starts a process for each device")
    elif (together.world, together.machines) != (devices * machines, machines):
        raise InputError(
            f"{asked}: {together.engine} started {together.world} processes on {together.machines} machines; "
            "make the numbers agree"
        )


def has_bfloat16(accelerator: str) -> bool:
    """Return True if the device computes in bfloat16 natively; where it is emulated it is slower than float32."""
    if accelerator != "cpu":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    info = Path("/proc/cpuinfo")
    return info.is_file() and bool({"avx512_bf16", "amx_bf16", "bf16"} & set(info.read_text().split()))


def plan_of(config: TrainerConfig) -> Plan:
    """Return the plan for a run's devices; see `plan`."""
    return plan(config.accelerator, config.devices, config.precision, config.num_nodes)
