"""Which devices a job runs on, at which precision, and how its processes are started."""

import ctypes
import functools
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from mammo import InputError

PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
Job = Callable[[dict[str, Any], Path], dict[str, float]]


@dataclass(frozen=True)
class Plan:
    """The devices of one process of a job.

    Attributes:
        accelerator: `cpu` or `cuda`.
        devices: How many in all.
        precision: As Lightning names it.
        rank: Which of the processes this one is.
        why: What is said of the precision where it was left to the machine.
    """

    accelerator: str
    devices: int
    precision: str
    rank: int
    why: str = ""

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
        if batch_size % self.devices:
            raise InputError(
                f"data.batch_size={batch_size} cannot be shared by {self.devices} devices; make it a multiple of that"
            )

    def trainer_settings(self) -> dict[str, Any]:
        """Arguments of Lightning's Trainer."""
        strategy = "ddp" if self.devices > 1 else "auto"
        return {
            "accelerator": self.accelerator,
            "devices": self.devices,
            "precision": self.precision,
            "strategy": strategy,
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


def plan(accelerator: str, devices: int | str, precision: str) -> Plan:
    """Resolves `auto` and checks that the devices are there.

    Raises:
        InputError: An unknown accelerator, or more devices than there are.
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
    if precision not in PRECISIONS:
        raise InputError(f"trainer.precision={precision} is unknown; expected one of {', '.join(PRECISIONS)}")
    why = ""
    if precision == "auto":
        native = has_bfloat16(accelerator)
        precision = "bf16-mixed" if native else "32-true"
        why = f" (auto: bfloat16 is {'native' if native else 'not native'} here)"
    return Plan(accelerator, count, precision, int(os.environ.get("RANK", "0")), why)


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


def launch(job: Job, cfg: dict[str, Any], folder: Path) -> dict[str, float]:
    """Runs a job on its devices: here, or in one new process each, which end together.

    Hydra and Lightning would each start the other's processes again; so ranks get the composed configuration and
    nothing of the command line, and this process keeps no process group for a sweep's next job to trip over.
    """
    count = plan(cfg["trainer"]["accelerator"], cfg["trainer"]["devices"], cfg["trainer"]["precision"]).devices
    if count == 1 or "LOCAL_RANK" in os.environ:  # the second: started by torchrun, which made the processes
        return job(cfg, folder)
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=folder.name,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.5,
    )
    line = folder / "error.txt"
    try:
        return elastic_launch(config, _rank)(job, cfg, folder, max((os.cpu_count() or 1) // count, 1))[0]
    except ChildFailedError as error:
        if not line.is_file():
            raise
        raise InputError(line.read_text()) from error
    finally:
        line.unlink(missing_ok=True)


def _rank(job: Job, cfg: dict[str, Any], folder: Path, threads: int) -> dict[str, float]:
    """One process of a job. Bad input leaves its line and ends this process, and so the others, which may wait."""
    torch.set_num_threads(threads)
    main = os.environ["RANK"] == "0"
    logging.basicConfig(level=logging.INFO if main else logging.ERROR, format="%(message)s")
    try:
        return job(cfg, folder)
    except (InputError, FileNotFoundError) as error:
        (folder / "error.txt").write_text(str(error))
        sys.exit(1)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
