"""A sweep of jobs: how they are named, how a cut sweep goes on, and the tables it ends with."""

import hashlib
import json
import logging
import re
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mammo import InputError

log = logging.getLogger(__name__)

LONGEST_NAME = 80  # characters, before the digest
FINISHED = "finished.json"
JOBS = "jobs.json"


def digest(config: dict[str, Any]) -> str:
    """Eight hexadecimal digits that name a configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()[:8]


def register() -> None:
    """Makes `${job_name:}` known to the configuration."""
    OmegaConf.register_new_resolver("job_name", _job_name, replace=True)


def _job_name(_root_: DictConfig) -> str:
    """What the sweep varies, as this job has it, and the digest of all its configuration."""
    hydra = HydraConfig.get()
    swept = _swept(Path(hydra.sweep.dir) / "multirun.yaml")
    words = []
    for override in hydra.overrides.task:
        key, _, value = override.partition("=")
        if swept is None or key in swept:
            last = key.lstrip("+~").split(".")[-1]
            words.append(value if key in hydra.runtime.choices and value != "null" else f"{last}-{value}")
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", "_".join(words)).strip("_.")[:LONGEST_NAME]
    config: Any = OmegaConf.to_container(
        OmegaConf.masked_copy(_root_, [str(key) for key in _root_ if key != "hydra"]), resolve=True
    )
    return f"{name or 'job'}_{digest(config)}"


def _swept(record: Path) -> set[str] | None:
    """The keys that a sweep's record gives several values; None where the sweeper has left no record."""
    if not record.is_file():
        return None
    params = OmegaConf.load(record).hydra.sweeper.get("params") or {}
    lines = [*(f"{key}={value}" for key, value in params.items()), *_asked(record)["task"]]
    parsed = OverridesParser.create().parse_overrides(lines)
    return {override.key_or_group for override in parsed if override.is_sweep_override()}


def _asked(record: Path) -> dict[str, Any]:
    """The overrides of a sweep's record as they were said: interpolations are for each job to resolve."""
    found: Any = OmegaConf.to_container(OmegaConf.load(record).hydra.overrides, resolve=False)
    return dict(found)


def check_job() -> None:
    """A sweep's jobs say each key once, and a sweep is run as one.

    Raises:
        InputError: Otherwise.
    """
    hydra = HydraConfig.get()
    name = hydra.runtime.choices.get("sweep")
    if name and hydra.mode != RunMode.MULTIRUN:
        raise InputError(f"sweep={name} is a sweep of jobs: add -m, python train.py -m sweep={name}")
    keys = [override.partition("=")[0] for override in hydra.overrides.task]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if name and twice:
        raise InputError(f"{twice[0]} is swept by sweep={name} itself; leave it out, or change data.folds or repeats")


def finished(folder: Path, config: dict[str, Any]) -> dict[str, float] | None:
    """The metrics of a sweep's job that has ended under this very configuration; None where it is still to be run.

    What is left of a job that was cut is written again; events of TensorBoard would be doubled, and are removed.
    """
    if HydraConfig.get().mode != RunMode.MULTIRUN:
        return None
    if (folder / FINISHED).is_file():
        record = json.loads((folder / FINISHED).read_text())
        if record["digest"] == digest(config):
            log.info("done   %s: finished before, not run again", folder)
            return dict(record["metrics"])
        (folder / FINISHED).unlink()
    for events in folder.glob("events.out.tfevents.*"):
        events.unlink()
    return None


def finish(folder: Path, config: dict[str, Any], metrics: dict[str, float]) -> None:
    """Notes that a job has ended: the last thing it writes."""
    from mammo.predictions import write_json

    write_json({"digest": digest(config), "metrics": metrics}, folder / FINISHED)


def resumed(arguments: list[str]) -> list[str]:
    """The command line, `resume=<sweep folder>` replaced by that of the sweep.

    Raises:
        InputError: No sweep there, or something beside it on the line.
    """
    named = [argument for argument in arguments if argument.startswith("resume=")]
    if not named:
        return arguments
    folder = Path(named[0].removeprefix("resume="))
    if others := sorted(set(arguments) - {named[0], "-m", "--multirun"}):
        raise InputError(f"resume={folder} goes on with a sweep as it was started: leave out {others[0]}")
    record = folder / "multirun.yaml"
    if not record.is_file():
        raise InputError(f"resume={folder}: no multirun.yaml in it; name the folder of a sweep, outputs/<date>/<time>")
    overrides = _asked(record)
    kept = [line for line in overrides["hydra"] if not line.startswith(("hydra.mode=", "hydra.sweep.dir="))]
    return ["-m", *overrides["task"], *kept, f"hydra.sweep.dir={json.dumps(str(folder))}"]


def write(folder: Path) -> Path:
    """Writes the table that a sweep ends with; returns it."""
    from mammo.evaluation import dial, leaderboard, literature

    tables = {"audit": dial.write, "literature": literature.write}
    choices = OmegaConf.select(OmegaConf.load(folder / "multirun.yaml"), "hydra.runtime.choices") or {}
    return tables.get(str(choices.get("sweep")), leaderboard.write)(folder)


class Leaderboard(Callback):
    """After a sweep: its jobs in one table."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Aggregates the jobs of this sweep; those of an earlier configuration in the same folder are left out."""
        from mammo.predictions import write_json

        folder = Path(config.hydra.sweep.dir)
        started = (folder / "multirun.yaml").stat().st_mtime_ns
        jobs = [
            path.parent.parent for path in folder.glob("*/.hydra/config.yaml") if path.stat().st_mtime_ns >= started
        ]
        write_json(sorted(job.name for job in jobs), folder / JOBS)
        try:
            log.info("%s", write(folder))
        except InputError as error:  # Hydra would make a warning of it
            log.error("error: %s", error)
