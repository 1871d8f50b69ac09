"""The launch of a job: it starts the processes, and reports the first error of any of them."""

import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch

from mammo.cells import LogLine
from mammo.config import Config
from mammo.errors import InputError, message_for_user
from mammo.processes import peers
from mammo.processes.devices import plan_of
from mammo.processes.garbage import collect_seldom

TOLD = "told"  # a file that says that the first process has told why it ended
Job = Callable[[Config, Path], dict[str, float]]


def launch(job: Job, config: Config, folder: Path) -> dict[str, float]:
    """Run a job on its devices: in this process, or in one new process per device, which end together.

    Hydra and Lightning would each start the other's processes again. So the new processes get the composed
    configuration instead of the command line, and this process keeps no process group, on which a sweep's next job
    would fail.
    """
    together, count = peers.peers(), plan_of(config.trainer).devices
    if together is not None and together.rank:
        logging.getLogger().setLevel(logging.ERROR)  # only the first process logs
    if together is not None or count == 1:
        return job(config, folder)
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in logging.root.manager.loggerDict:
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # the error is reported below, once
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "600")  # seconds to write a checkpoint when told to stop
    how = LaunchConfig(
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
        arguments = (job, config, folder, said, os.getpid(), max(len(os.sched_getaffinity(0)) // count, 1))
        with peers.interrupts_kept_from_children():
            return elastic_launch(how, _rank)(*arguments)[0]
    except SignalException as error:
        if error.sigval not in (signal.SIGINT, signal.SIGTERM):
            raise SystemExit(128 + error.sigval) from None
        _end_stopped(said)
    except ChildFailedError as error:
        _, first = error.get_first_failure()
        if first.exitcode in (peers.STOPPED, -signal.SIGINT):
            _end_stopped(said)
        if first.exitcode < 0 or not said.is_file():
            name = signal.Signals(-first.exitcode).name if first.exitcode < 0 else f"exit status {first.exitcode}"
            raise RuntimeError(f"process {first.local_rank} of {count} was ended by {name}") from None
        kind, _, text = said.read_text().partition(":")
        raise (InputError(text) if kind == "input" else RuntimeError(f"process {kind} of {count}: {text}")) from None
    finally:
        signal.signal(signal.SIGUSR1, stop)
        shutil.rmtree(said.parent, ignore_errors=True)


def _end_stopped(said: Path) -> NoReturn:
    """End this process, in one line unless the first of its processes has said it."""
    if not said.with_name(TOLD).exists():
        peers.say_stopped()
    raise SystemExit(peers.STOPPED) from None


def _rank(job: Job, config: Config, folder: Path, said: Path, parent: int, threads: int) -> dict[str, float]:
    """Run one process of a job. An error ends all of them, as others may be waiting; the first error is reported."""
    collect_seldom()
    peers.end_with(parent)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends this process, until training listens to it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    torch.set_num_threads(threads)
    main = os.environ["RANK"] == "0"
    logging.setLogRecordFactory(LogLine)
    logging.basicConfig(level=logging.INFO if main else logging.ERROR, format="%(message)s")
    try:
        return job(config, folder)
    except SystemExit:
        if main:
            said.with_name(TOLD).touch()
        raise
    except Exception as error:  # recorded before the others lose their connection and fail, too
        known = message_for_user(error)
        with contextlib.suppress(FileExistsError), said.open("x") as file:
            file.write(f"input:{known}" if known else f"{os.environ['RANK']}:{traceback.format_exc()}")
        sys.exit(1)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
