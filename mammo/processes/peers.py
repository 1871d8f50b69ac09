"""The processes of one job: who has started them together, and that none outlives the one that started it."""

import ctypes
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mammo.errors import InputError

STOP = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # what Slurm and submitit send before a job's time is up
STOPPED = 128 + signal.SIGTERM  # exit status of a run that was told to stop
BAD_INPUT = 2  # exit status; what ended otherwise may be tried again
LEAVE_S = 5.0  # for the processes of a job to come to the same end
PR_SET_PDEATHSIG = 1  # of Linux's prctl.h
START = "fork" if sys.platform == "linux" else None  # a loader's worker; None: as the system has it


@dataclass(frozen=True)
class Peers:
    """This process among those that were started with it.

    Attributes:
        engine: `srun` or `torchrun`.
        rank: Of this process, from 0.
        world: How many there are.
        machines: On how many.
    """

    engine: str
    rank: int
    world: int
    machines: int


def peers() -> Peers | None:
    """Return what the environment tells of this process's peers; None where it was started alone."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:  # asked first: srun may have started one torchrun on each machine
        return Peers("torchrun", int(env["RANK"]), int(env["WORLD_SIZE"]), int(env["GROUP_WORLD_SIZE"]))
    if int(env.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        tasks, machines = env["SLURM_STEP_NUM_TASKS"], env["SLURM_STEP_NUM_NODES"]
        return Peers("srun", int(env["SLURM_PROCID"]), int(tasks), int(machines))
    return None


def join() -> None:
    """Do what one engine sees to and the other does not, before torch is loaded.

    Under srun a process takes the cores that Slurm gave it, under torchrun it ends when that is killed.
    """
    together = peers()
    if together is not None and together.engine == "srun":
        os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("SLURM_CPUS_PER_TASK", "1"))
    elif together is not None:
        end_with(os.getppid())


def check_named(arguments: list[str]) -> None:
    """Processes on several machines that torchrun started have no name in common.

    Raises:
        InputError: Nor has the command line a folder for them.
    """
    together, named = peers(), any(line.startswith(("hydra.run.dir=", "resume=")) for line in arguments)
    if together is not None and together.engine == "torchrun" and together.machines > 1 and not named:
        raise InputError("torchrun on several machines: name one folder for all, hydra.run.dir=outputs/<name>")


def run_name() -> str:
    """Date and time; of processes that were started together, one name that all of them come to.

    Under srun these are the numbers of job and step, so that a job that was requeued finds its folder again.
    """
    together = peers()
    if together is not None and together.engine == "srun":
        return f"slurm/{os.environ['SLURM_JOB_ID']}.{os.environ['SLURM_STEP_ID']}"
    start = time.time() if together is None else started(os.getppid())
    return time.strftime("%Y-%m-%d/%H-%M-%S", time.localtime(start))


def started(process: int) -> float:
    """Return when a process was started, in seconds since the epoch."""
    ticks = float(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
    booted = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    return float(booted.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


def end_with(parent: int) -> None:
    """Ends this process when its parent is killed, which can then end nobody; on Linux."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed before this was asked for
            os._exit(1)


def help_out(parent: int, *_: object) -> None:
    """Prepare a loader's worker: it ends with its parent, and a signal to stop, sent to all, is not for it."""
    end_with(parent)
    for number in STOP:
        signal.signal(number, signal.SIG_IGN)


def leave(status: int) -> NoReturn:
    """Ends this process, and gives its peers time to come to the same, or the first would have them terminated."""
    if peers() is None:
        sys.exit(status)
    logging.shutdown()
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(status))
    time.sleep(LEAVE_S)
    os._exit(status)  # at once: amid Python's own end that signal would count
