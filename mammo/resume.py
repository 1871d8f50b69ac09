"""How a run, or a sweep, that was cut goes on: by its own command line, in its own folder."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mammo import InputError
from mammo.files import write_text

log = logging.getLogger(__name__)

FINISHED = "finished.json"
LAST = "ckpt_path=last"


def digest(config: dict[str, Any]) -> str:
    """Eight hexadecimal digits that name a configuration; that it goes on with something does not change it."""
    named = config | {"ckpt_path": None} if config.get("ckpt_path") == "last" else config
    return hashlib.sha256(json.dumps(named, sort_keys=True, default=str).encode()).hexdigest()[:8]


def asked(record: Path) -> dict[str, Any]:
    """The overrides of Hydra's record as they were said: interpolations are for each job to resolve."""
    found: Any = OmegaConf.to_container(OmegaConf.load(record).hydra.overrides, resolve=False)
    return dict(found)


def resumed(arguments: list[str]) -> list[str]:
    """The command line to run: of `resume=<folder>` that of the run or sweep; of `ckpt_path=last` with its folder.

    Raises:
        InputError: No run or sweep there, or something beside `resume=` on the line.
    """
    named = [argument for argument in arguments if argument.startswith("resume=")]
    if named:
        others = sorted(set(arguments) - {named[0], "-m", "--multirun"})
        return _of_folder(Path(named[0].removeprefix("resume=")), others)
    if LAST in arguments and not any(line.startswith(("hydra.run.dir=", "-m", "--multirun")) for line in arguments):
        task = sorted(line for line in arguments if line != LAST)
        for record in sorted(Path("outputs").glob("*/*/.hydra/hydra.yaml"), reverse=True):
            folder = record.parents[1]
            if not (folder / FINISHED).is_file() and sorted(set(_task(folder)) - {LAST}) == task:
                return [*arguments, f"hydra.run.dir={json.dumps(str(folder))}"]
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
    return [*task, *kept, f"hydra.{where}.dir={json.dumps(str(folder))}"]


def _task(folder: Path) -> list[str]:
    """What was said on a run's line.

    Raises:
        InputError: The run was killed while Hydra wrote it down.
    """
    try:
        found: Any = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "overrides.yaml"))
        if found == asked(folder / ".hydra" / "hydra.yaml")["task"]:
            return list(found)
    except Exception:  # whatever half a file makes of YAML
        log.debug("%s: no whole record", folder)
    raise InputError(f"{folder}: was killed before it began; start it again as it was, with hydra.run.dir={folder}")


def _started_as(folder: Path) -> dict[str, Any] | None:
    """The configuration under which a run began to train; None where none did."""
    provenance = folder / "provenance.json"
    return dict(json.loads(provenance.read_text())["config"]) if provenance.is_file() else None


def check_same(folder: Path, config: dict[str, Any]) -> None:
    """A run goes on as it was started.

    Raises:
        InputError: It was started under another configuration.
    """
    started = _started_as(folder)
    if started is None:
        log.info("note   ckpt_path=last: nothing to go on with, a new run starts")
    elif digest(started) != digest(config):
        other = sorted(key for key in {*started, *config} - {"ckpt_path"} if started.get(key) != config.get(key))
        raise InputError(
            f"ckpt_path=last: {folder} was started with another {', '.join(other)}; say all as it was, "
            f"or resume={folder} alone"
        )


def ready(folder: Path, config: dict[str, Any], *, goes_on: bool, main: bool) -> dict[str, float] | None:
    """The metrics of a job that has ended under this very configuration; None where it is still to be run.

    Args:
        folder: Of the job.
        config: Its own.
        goes_on: Whether what is there is gone on with; else, and where it is another configuration's, the job starts
            anew.
        main: Whether this process, of several, removes what is in the way.
    """
    if goes_on:
        if (folder / FINISHED).is_file():
            record = json.loads((folder / FINISHED).read_text())
            if record["digest"] == digest(config):
                log.info("done   %s: finished before, not run again", folder)
                return dict(record["metrics"])
        started = _started_as(folder)
        if started is not None and digest(started) == digest(config):
            return None
    if main:
        for left in (folder / FINISHED, folder / "checkpoints" / "last.ckpt"):
            left.unlink(missing_ok=True)
    return None


def finish(folder: Path, config: dict[str, Any], metrics: dict[str, float]) -> None:
    """Notes that a job has ended, and removes what only a running job needs."""
    write_text(json.dumps({"digest": digest(config), "metrics": metrics}, indent=1) + "\n", folder / FINISHED)
    (folder / "checkpoints" / "last.ckpt").unlink(missing_ok=True)
    for left in folder.rglob("*.tmp"):  # by a run that was killed
        left.unlink(missing_ok=True)
