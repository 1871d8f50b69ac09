"""The processes of one job: how they were started together, and how each ends with its parent."""

import _thread
import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import NoReturn

from mammo.errors import InputError

# A program imports this module first. Its process may be older: a shell hands its own on to the last command.
BEGAN = time.perf_counter()
STOP = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)  # sent by Slurm and submitit before a job's time is up
STOPPED = 128 + signal.SIGTERM  # exit status of a run that was told to stop
BAD_INPUT = 2  # exit status; after any other failure a new attempt may succeed
LEAVE_S = 5.0  # time for all processes of a job to end in the same way
PR_SET_PDEATHSIG = 1  # from Linux's prctl.h
START = "fork" if sys.platform == "linux" else None  # start method of a loader's workers; None: the system's default


@dataclass(frozen=True)
class Peers:
    """The processes that were started together with this one.

    Attributes:
        engine: `srun` or `torchrun`.
        rank: The number of this process, from 0.
        world: The number of processes, this one included.
        machines: The number of machines.
    """

    engine: str
    rank: int
    world: int
    machines: int


def peers() -> Peers | None:
    """Read this process's peers from the environment; None if it was started alone."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:  # checked first: srun may have started one torchrun on each machine
        return Peers("torchrun", int(env["RANK"]), int(env["WORLD_SIZE"]), int(env["GROUP_WORLD_SIZE"]))
    if int(env.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        tasks, machines = env["SLURM_STEP_NUM_TASKS"], env["SLURM_STEP_NUM_NODES"]
        return Peers("srun", int(env["SLURM_PROCID"]), int(tasks), int(machines))
    return None


def neighbours() -> int:
    """Return the number of processes of this job on this machine, this one included."""
    together = peers()
    if together is None:
        return 1
    if together.engine == "torchrun":
        return max(int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)
    return -(-together.world // together.machines)


def join() -> None:
    """Prepare this process before torch is loaded, as its engine does not do so itself.

    Under srun it uses the cores that Slurm gave it; under torchrun it ends when torchrun is killed.
    """
    together = peers()
    if together is not None and together.engine == "srun":
        os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("SLURM_CPUS_PER_TASK", "1"))
    elif together is not None:
        end_with(os.getppid())


def check_named(arguments: list[str]) -> None:
    """Check that the command line names a folder if torchrun started processes on several machines.

    Raises:
        InputError: It names none, and such processes have nothing in common from which to derive one.
    """
    together, named = peers(), any(line.startswith(("hydra.run.dir=", "resume=")) for line in arguments)
    if together is not None and together.engine == "torchrun" and together.machines > 1 and not named:
        raise InputError("torchrun on several machines: name one folder for all, hydra.run.dir=outputs/<name>")


def run_name() -> str:
    """Return the name of a run: date and time, the same for all processes that were started together.

    A process that was started alone makes the folder of that name in `outputs`, so that a run that begins in the same
    second gets another one, `<time>-2`. Under srun it is the numbers of the job and the step, so that a requeued job
    finds its folder again.
    """
    together = peers()
    if together is not None and together.engine == "srun":
        return f"slurm/{os.environ['SLURM_JOB_ID']}.{os.environ['SLURM_STEP_ID']}"
    start = time.time() if together is None else started(os.getppid())
    name = time.strftime("%Y-%m-%d/%H-%M-%S", time.localtime(start))
    return name if together is not None else _reserved(name)


def _reserved(name: str) -> str:
    """Return a name that no other run has, whose folder is made in `outputs`."""
    own, number = name, 1
    while True:
        try:
            Path("outputs", own).mkdir(parents=True)
            return own
        except FileExistsError:
            if not Path("outputs", own).is_dir():
                return own
        except OSError:  # whoever writes there will say so
            return own
        number += 1
        own = f"{name}-{number}"


def started(process: int) -> float:
    """Return the start time of a process in seconds since the epoch."""
    ticks = float(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
    booted = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    return float(booted.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


def end_with(parent: int) -> None:
    """End this process when its parent is killed, as the parent cannot end it then; on Linux only."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent was killed before this call
            os._exit(1)


def end_when_told() -> None:
    """End this process in one line at Ctrl-C, SIGTERM and its like; a run that trains saves its state first.

    Where a signal is ignored, as Ctrl-C in a job in the background of a shell, it stays ignored. Submitit's own
    signals stay as they are in its jobs.
    """
    owner = os.getpid()

    def end(*_: object) -> NoReturn:
        if os.getpid() == owner:
            say_stopped()
        os._exit(STOPPED)  # an exception could be swallowed, or printed, by whatever is at work; files are whole anyway

    for number in (signal.SIGINT, *(() if "SUBMITIT_EXECUTOR" in os.environ else STOP)):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, end)


@contextmanager
def interrupts_kept_from_children() -> Iterator[None]:
    """Let processes that are started here begin with Ctrl-C blocked; they let it in themselves.

    Python would print a traceback in each of them while they import. They inherit what this thread blocks, so
    meanwhile another thread waits for the signal, and hands it to this one's handler.
    """
    done = threading.Event()

    def wait() -> None:
        while not done.is_set():
            if signal.sigtimedwait({signal.SIGINT}, 0.2):
                _thread.interrupt_main(signal.SIGINT)

    resource_tracker.ensure_running()  # whose start would let the signal in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    try:
        yield
    finally:
        done.set()
        waiting.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stops() -> list[int]:
    """Return the signals that tell this process to stop: those of `STOP`, and Ctrl-C after `end_when_told`."""
    own = signal.getsignal(signal.SIGINT) not in (signal.default_int_handler, signal.SIG_IGN)
    return [*STOP, *([signal.SIGINT] if own else [])]


def stop(*_: object) -> NoReturn:
    """End this process as a signal asks, and tidy up."""
    say_stopped()
    raise SystemExit(STOPPED)


def say_stopped() -> None:
    """Say so on the terminal; not by the logger, which the signal may have interrupted."""
    if (together := peers()) is None or together.rank == 0:
        os.write(2, b"stopped; if the run had begun, continue with resume=<folder>\n")


def leave(status: int) -> NoReturn:
    """End this process after giving its peers time to end too; srun and torchrun terminate them when the first ends."""
    if peers() is None:
        sys.exit(status)
    logging.shutdown()
    sys.stdout.flush()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(status))
    time.sleep(LEAVE_S)
    os._exit(status)  # not sys.exit: SIGTERM during Python's own exit would change the status
