"""A run, or a sweep, that was cut goes on by its own command line, in its own folder."""

import contextlib
import fcntl
import hashlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mammo.config import Config
from mammo.errors import InputError
from mammo.files import remove_unfinished, write_text
from mammo.processes import peers

log = logging.getLogger(__name__)

FINISHED = "finished.json"
LAST = "ckpt_path=last"
LOCK = ".lock"
PATIENCE_S = 10.0  # for processes that are about to end, and files that another one is about to write


def digest(config: dict[str, Any]) -> str:
    """Return eight hexadecimal digits that name settings; that a run goes on does not change them."""
    named = config | {"ckpt_path": None} if config.get("ckpt_path") == "last" else config
    return hashlib.sha256(json.dumps(named, sort_keys=True, default=str).encode()).hexdigest()[:8]


def asked(record: Path) -> dict[str, Any]:
    """Return the overrides of Hydra's record as they were said: interpolations are for each job to resolve.

    Raises:
        InputError: It is not whole.
    """
    try:
        found: Any = OmegaConf.to_container(OmegaConf.load(record).hydra.overrides, resolve=False)
        return dict(found)
    except Exception as error:  # whatever half a file makes of YAML
        raise InputError(
            f"{record}: was killed while it was written; say its line again, with hydra.sweep.dir={record.parent}"
        ) from error


def resumed(arguments: list[str]) -> list[str]:
    """Return the command line to run: for `resume=<folder>` its own, for `ckpt_path=last` the same with its folder.

    Raises:
        InputError: No run or sweep there, something beside `resume=` on the line, or a sweep with `ckpt_path=last`.
    """
    named = [argument for argument in arguments if argument.startswith("resume=")]
    if named:
        others = sorted(set(arguments) - {named[0], "-m", "--multirun"})
        return _of_folder(Path(named[0].removeprefix("resume=")), others)
    if LAST not in arguments:
        return arguments
    if {"-m", "--multirun"} & set(arguments):
        raise InputError(f"{LAST} is of a run; a sweep goes on by resume=<its folder>, and nothing else")
    together = peers.peers()
    if (together and together.engine == "srun") or any(line.startswith("hydra.run.dir=") for line in arguments):
        return arguments  # the folder is known
    if together:
        raise InputError(f"torchrun with {LAST}: name the run's folder, hydra.run.dir=outputs/<date>/<time>")
    task = sorted(line for line in arguments if line != LAST and not line.startswith("hydra"))
    records = Path("outputs").glob("*/*/.hydra/hydra.yaml")
    for record in sorted(records, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        folder = record.parents[1]
        with contextlib.suppress(InputError, PermissionError):  # of records that are not whole, or another user's
            same = sorted(set(_task(folder)) - {LAST}) == task
            if same and not (folder / FINISHED).is_file() and not _taken(folder):
                return [*arguments, *_into("run", folder)]
    return arguments


def _of_folder(folder: Path, others: list[str]) -> list[str]:
    if others:
        raise InputError(f"resume={folder} goes on with what was started there: leave out {others[0]}")
    sweep, run = folder / "multirun.yaml", folder / ".hydra" / "hydra.yaml"
    if sweep.is_file():
        overrides = asked(sweep)
        task, hydra, where = ["-m", *overrides["task"]], overrides["hydra"], "sweep"
    elif run.is_file():
        task, hydra, where = _task(folder), asked(run)["hydra"], "run"
        task = task if any(line.startswith("ckpt_path=") for line in task) else [*task, LAST]
    else:
        raise InputError(f"resume={folder}: no run and no sweep in it; name its folder, outputs/<date>/<time>")
    kept = [line for line in hydra if not line.startswith(("hydra.mode=", f"hydra.{where}.dir="))]
    return [*task, *kept, *_into(where, folder)]


def _into(where: str, folder: Path) -> list[str]:
    """Return the words that lead into a folder; what Hydra wrote of a run stays, or a second kill could tear it."""
    named = f"hydra.{where}.dir={json.dumps(str(folder), ensure_ascii=False)}"
    return [named] if where == "sweep" else [named, "hydra.output_subdir=null"]


def _task(folder: Path) -> list[str]:
    """Return what was said on a run's line, which Hydra has in two records: equal, they are whole.

    Raises:
        InputError: The run was killed while Hydra wrote them.
    """
    deadline = time.monotonic() + (PATIENCE_S if peers.peers() else 0)  # the first process may be writing them again
    while True:
        with contextlib.suppress(Exception):
            found: Any = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "overrides.yaml"))
            if found == asked(folder / ".hydra" / "hydra.yaml")["task"]:
                return list(found)
        if time.monotonic() >= deadline:
            raise InputError(
                f"{folder}: was killed as it began; say its line again, with hydra.run.dir={folder} {LAST}"
            )
        time.sleep(0.2)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Yield whether nobody else had the lock, or the file system has none; it is of a file, as NFS locks no folder."""
    free = True
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            free = False
        except OSError:
            pass
        yield free


def _taken(folder: Path) -> bool:
    with _locked(folder) as free:
        return not free


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a job's folder for this process alone; the lock ends with it, however it ends.

    Raises:
        InputError: Another process runs the job.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with _locked(folder) as free:
            if free:
                yield
                return
        if time.monotonic() >= deadline:
            raise InputError(f"{folder}: another process is at it; wait for it, stop it, or name another folder")
        time.sleep(0.2)


def begin(folder: Path, config: Config, *, of_sweep: bool, main: bool) -> tuple[Config, dict[str, float] | None]:
    """Return the settings to run, which say whether the job goes on; and its metrics, where it has ended already.

    A job of a sweep goes on with what is there of its very settings; a run where it is told to. Elsewhere it starts
    anew, and what would be gone on with is removed.

    Args:
        folder: Of the job.
        config: Its own.
        of_sweep: True for a sweep's job.
        main: True for the one process, of several, that removes files.

    Raises:
        InputError: A run is to go on under other settings than it was started with.
    """
    goes_on, finished = of_sweep or config.ckpt_path == "last", folder / FINISHED
    own = config.as_dict()
    if goes_on and finished.is_file():
        record = json.loads(finished.read_text())
        if record["digest"] == digest(own):
            log.info("done   %s: finished before, not run again", folder)
            if main:
                _clean(folder)
            return config, dict(record["metrics"])
    provenance = folder / "provenance.json"
    started = None
    with contextlib.suppress(FileNotFoundError):
        started = json.loads(provenance.read_text())["config"]
    if goes_on and not of_sweep and started is None:
        log.info("note   %s: nothing to go on with, a new run starts", LAST)
    if goes_on and started is not None and digest(started) != digest(own):
        other = sorted(key for key in {*started, *own} - {"ckpt_path"} if started.get(key) != own.get(key))
        if not of_sweep:
            raise InputError(
                f"{LAST}: {folder} was started with another {', '.join(other)}; say all as it was, "
                f"or resume={folder} alone"
            )
        started = None
    if main and not (goes_on and started is not None):
        finished.unlink(missing_ok=True)
        provenance.unlink(missing_ok=True)
        _clean(folder)
    return (replace(config, ckpt_path="last") if goes_on and config.fit else config), None


def finish(folder: Path, config: Config, metrics: dict[str, float]) -> None:
    """Note that a job has ended, and remove what only a running job needs."""
    record = {"digest": digest(config.as_dict()), "metrics": metrics}
    write_text(json.dumps(record, indent=1) + "\n", folder / FINISHED)
    _clean(folder)


def _clean(folder: Path) -> None:
    (folder / "checkpoints" / "last.ckpt").unlink(missing_ok=True)
    remove_unfinished(folder)
