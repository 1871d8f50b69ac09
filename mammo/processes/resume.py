"""Resuming: an interrupted run or sweep continues with its own command line, in its own folder."""

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
from mammo.files import remove_unfinished, told_when_slow, write_text
from mammo.processes import peers
from mammo.trust import check_words

log = logging.getLogger(__name__)

FINISHED = "finished.json"
LAST = "ckpt_path=last"
LOCK = ".lock"
PATIENCE_S = 10.0  # wait for processes that are about to end, and for files about to be written


def digest(config: dict[str, Any]) -> str:
    """Return eight hexadecimal digits that identify settings; `ckpt_path=last` does not change them."""
    named = config | {"ckpt_path": None} if config.get("ckpt_path") == "last" else config
    return hashlib.sha256(json.dumps(named, sort_keys=True, default=str).encode()).hexdigest()[:8]


def changed(before: Config, now: Config) -> list[str]:
    """Return the groups and keys that differ between two settings; that a run goes on is no difference."""
    return _differing(before.as_dict(), now.as_dict())


def _differing(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    return sorted(key for key in {*first, *second} - {"ckpt_path"} if first.get(key) != second.get(key))


def asked(record: Path) -> dict[str, Any]:
    """Return the overrides in Hydra's record as given, because each job resolves its own interpolations.

    Raises:
        InputError: The record is incomplete.
    """
    try:
        found: Any = OmegaConf.to_container(OmegaConf.load(record).hydra.overrides, resolve=False)
        return dict(found)
    except Exception as error:  # half a YAML file raises many kinds
        raise InputError(
            f"{record} is incomplete; repeat the command line of the sweep with hydra.sweep.dir={record.parent}"
        ) from error


def resumed(arguments: list[str]) -> list[str]:
    """Return the command line to run: for `resume=<folder>` that of the folder, for `ckpt_path=last` with the folder.

    Raises:
        InputError: The folder has no run or sweep, `resume=` is not alone, or a sweep has `ckpt_path=last`.
    """
    named = [argument for argument in arguments if argument.startswith("resume=")]
    if named:
        others = sorted(set(arguments) - {named[0], "-m", "--multirun"})
        return _of_folder(Path(named[0].removeprefix("resume=")), others)
    if LAST not in arguments:
        return arguments
    if {"-m", "--multirun"} & set(arguments):
        raise InputError(f"{LAST} continues a run; continue a sweep with resume=<its folder>, and nothing else")
    together = peers.peers()
    if (together and together.engine == "srun") or any(line.startswith("hydra.run.dir=") for line in arguments):
        return arguments  # the folder is known
    if together:
        raise InputError(f"torchrun with {LAST}: name the run's folder, hydra.run.dir=outputs/<date>/<time>")
    task = sorted(line for line in arguments if line != LAST and not line.startswith("hydra"))
    records = Path("outputs").glob("*/*/.hydra/hydra.yaml")
    for record in sorted(records, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        folder = record.parents[1]
        with contextlib.suppress(InputError, PermissionError):  # skip incomplete and other users' records
            same = sorted(set(_task(folder)) - {LAST}) == task
            if same and not (folder / FINISHED).is_file() and not _taken(folder):
                return [*arguments, *_into("run", folder)]
    return arguments


def named_again(arguments: list[str]) -> list[str]:
    """Return the command line to run where it names the folder of a run that there is: the same one goes on.

    Args:
        arguments: The words as Hydra gets them.

    Raises:
        InputError: The run there has other settings; it would be replaced, and what was made of it since would stay.
    """
    named = next((line for line in arguments if line.startswith("hydra.run.dir=")), "${")
    folder = Path(named.partition("=")[2].strip("'\""))
    finished, stopped = folder / FINISHED, folder / "checkpoints" / "last.ckpt"
    if {"-m", "--multirun", LAST} & set(arguments) or "${" in named or not (finished.is_file() or stopped.is_file()):
        return arguments
    task = [line for line in arguments if not line.startswith("hydra")]
    with contextlib.suppress(InputError):
        if sorted(set(_task(folder)) - {LAST}) == sorted(task):
            last = [] if any(line.startswith("ckpt_path=") for line in task) else [LAST]
            return [*arguments, *last, "hydra.output_subdir=null"]
    raise InputError(
        f"hydra.run.dir={folder}: a run of other settings is there; name another folder, or remove that one"
    )


def _of_folder(folder: Path, others: list[str]) -> list[str]:
    if others:
        raise InputError(f"resume={folder} keeps the settings of the run or sweep there; leave out {others[0]}")
    sweep, run = folder / "multirun.yaml", folder / ".hydra" / "hydra.yaml"
    if sweep.is_file():
        overrides = asked(sweep)
        task, hydra, where = ["-m", *overrides["task"]], overrides["hydra"], "sweep"
    elif run.is_file():
        task, hydra, where = _task(folder), asked(run)["hydra"], "run"
        task = task if any(line.startswith("ckpt_path=") for line in task) else [*task, LAST]
    else:
        raise InputError(f"resume={folder}: no run and no sweep in it; name its folder, outputs/<date>/<time>")
    check_words(folder, [word for word in (*task, *hydra) if word != "-m"])
    kept = [line for line in hydra if not line.startswith(("hydra.mode=", f"hydra.{where}.dir="))]
    return [*task, *kept, *_into(where, folder)]


def _into(where: str, folder: Path) -> list[str]:
    """Return the overrides that set the folder. Hydra must not rewrite a run's records: a kill could damage them."""
    named = f"hydra.{where}.dir={json.dumps(str(folder), ensure_ascii=False)}"
    return [named] if where == "sweep" else [named, "hydra.output_subdir=null"]


def _task(folder: Path) -> list[str]:
    """Return the overrides of a run. Hydra writes them to two files, which are complete if they are equal.

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
                f"{folder}: the run was killed as it began; repeat its command line with hydra.run.dir={folder} {LAST}"
            )
        time.sleep(0.2)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Yield True if no other process has the lock, or locks do not exist. A file is locked, as NFS locks no folders."""
    free = True
    with (folder / LOCK).open("w") as file:
        try:
            with told_when_slow(folder / LOCK):
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
        InputError: Another process is running the job.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with _locked(folder) as free:
            if free:
                yield
                return
        if time.monotonic() >= deadline:
            raise InputError(
                f"{folder}: another process is running there; wait for it, stop it, or name another folder"
            )
        time.sleep(0.2)


def wait_until_free(folder: Path) -> None:
    """Wait for a process that is about to end in a folder.

    Raises:
        InputError: Another process is running the job.
    """
    if (folder / LOCK).is_file():
        with held(folder):
            pass


def begin(folder: Path, config: Config, *, of_sweep: bool, main: bool) -> tuple[Config, dict[str, float] | None]:
    """Return the settings to run, with `ckpt_path=last` if the job continues; and its metrics if it has finished.

    A job of a sweep continues if its folder has the same settings; a run continues if `ckpt_path=last` asks for it.
    Otherwise it starts anew, and what could be continued is removed.

    Args:
        folder: The folder of the job.
        config: The settings of the job.
        of_sweep: True for a job of a sweep.
        main: True for the one process, of several, that removes files.

    Raises:
        InputError: A run would continue with settings other than those it was started with, or the folder has a record
            that is damaged or another program's.
    """
    goes_on, finished = of_sweep or config.ckpt_path == "last", folder / FINISHED
    own, started = config.as_dict(), _started(folder)
    if goes_on and finished.is_file():
        record = json.loads(finished.read_text())
        if record["digest"] == digest(own):
            log.info("done   %s: finished before, not run again", folder)
            if main:
                _clean(folder)
            return config, dict(record["metrics"])
    continues = goes_on and _is_of(folder, own, started, of_sweep=of_sweep)
    if main and not continues:
        finished.unlink(missing_ok=True)
        (folder / "provenance.json").unlink(missing_ok=True)
        _clean(folder)
    return (replace(config, ckpt_path="last") if goes_on and config.fit else config), None


def _started(folder: Path) -> dict[str, Any] | None:
    """Return the settings of the job that was started in a folder; None if there was none."""
    path = folder / "provenance.json"
    try:
        return dict(json.loads(path.read_text())["config"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is damaged, or another program's; remove it, or name another folder") from None


def _is_of(folder: Path, own: dict[str, Any], started: dict[str, Any] | None, *, of_sweep: bool) -> bool:
    """Tell whether a job was started in a folder with the job's own settings; a run of others is refused."""
    if started is None:
        if not of_sweep:
            log.info("note   %s: nothing to continue, so a new run starts", LAST)
        return False
    same = digest(started) == digest(own)
    if not same and not of_sweep:
        raise InputError(
            f"{LAST}: {folder} was started with another {', '.join(_differing(started, own))}; use the same "
            f"settings, or resume={folder} alone"
        )
    return same


def finish(folder: Path, config: Config, metrics: dict[str, float]) -> None:
    """Record that a job has finished, and remove what only a running job needs."""
    record = {"digest": digest(config.as_dict()), "metrics": metrics}
    write_text(json.dumps(record, indent=1) + "\n", folder / FINISHED)
    _clean(folder)


def _clean(folder: Path) -> None:
    (folder / "checkpoints" / "last.ckpt").unlink(missing_ok=True)
    remove_unfinished(folder)
