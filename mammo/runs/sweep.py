"""A sweep of jobs: their names and checks, its record, and the table that it ends with."""

import logging
import random
import re
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from mammo.cells import in_terminal
from mammo.errors import InputError
from mammo.files import write_json, write_text
from mammo.processes import peers, resume
from mammo.runs.hydra_words import plain_of
from mammo.wording import number_of

log = logging.getLogger(__name__)

LONGEST_NAME = 80  # characters, before the digest
JOBS, JOB = "jobs.json", "job.json"
STORAGE_TRIES = 10
TRANSFER = "transfer"
EXPECTED = (InputError, CompactHydraException)  # errors of one line


def register() -> None:
    """Make `${job_name:}` and `${run_name:}` known to the configuration."""
    OmegaConf.register_new_resolver("job_name", _job_name, replace=True)
    OmegaConf.register_new_resolver("run_name", peers.run_name, use_cache=True, replace=True)


def _job_name(_root_: DictConfig) -> str:
    """Return the name of a job: its values of what the sweep varies, and a digest of its whole configuration."""
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
    return f"{name or 'job'}_{resume.digest(config)}"


def _swept(record: Path) -> set[str] | None:
    """Return the keys that have several values in a sweep's record; None if there is no record, and so no sweep."""
    if not record.is_file():
        return None
    params = OmegaConf.load(record).hydra.sweeper.get("params") or {}
    lines = [*(f"{key}={value}" for key, value in params.items()), *resume.asked(record)["task"]]
    parsed = OverridesParser.create().parse_overrides(lines)
    return {override.key_or_group for override in parsed if override.is_sweep_override()}


def check_job(cfg: DictConfig) -> None:
    """Check that a sweep is run with -m and by one process, tunes on validation, and names each key once.

    Raises:
        InputError: One of these does not hold.
    """
    hydra, together = HydraConfig.get(), peers.peers()
    if together is not None and together.world > 1 and hydra.mode == RunMode.MULTIRUN:
        raise InputError(
            f"-m: {together.engine} started {together.world} processes, and each would run the sweep; leave "
            f"{together.engine} out, and use hydra/launcher=submitit_slurm"
        )
    name = hydra.runtime.choices.get("sweep")
    if name and hydra.mode != RunMode.MULTIRUN:
        raise InputError(f"sweep={name} starts several jobs; add -m, python train.py -m sweep={name}")
    objective = str(cfg.objective)
    if name == "tune" and not objective.startswith("val"):
        raise InputError(f"objective={objective}: tuning on anything but validation is a leak; use val/<head>/<metric>")
    if name == "tune" and (cfg.split.name.startswith("paper") or not cfg.split.shares[1]):
        raise InputError(
            "sweep=tune chooses on validation, but this split has no validation part; use split=patient with its shares"
        )
    keys = [override.partition("=")[0] for override in hydra.overrides.task]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if name and twice:
        raise InputError(f"{twice[0]} is set by sweep={name} itself; leave it out, or change data.folds or repeats")


def said(overrides: list[str]) -> dict[str, Any]:
    """Return the settings that a command line gives, by key."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    return {override.key_or_group: plain_of(override.value()) for override in parsed}


def write_job(folder: Path, settings: dict[str, Any], *, from_python: bool = False) -> None:
    """Write `job.json`: the settings that a job was given, by key, so that no reader has to parse a command line."""
    write_json({"settings": settings} | ({"from_python": True} if from_python else {}), folder / JOB)


def write(folder: Path) -> Path:
    """Write the table that a sweep ends with, and return its path."""
    from mammo.reports import leaderboard, leak_study, literature, transfer, tuning

    tables = {"leak_study": leak_study.write, "literature": literature.write, "tune": tuning.write}
    tables |= {"transfer": transfer.write}
    return tables.get(_kind(OmegaConf.load(folder / "multirun.yaml")), leaderboard.write)(folder)


def _kind(config: Any) -> str:
    """Return the option of `sweep=` in a configuration with Hydra's own part; `None` if there is none."""
    return str((OmegaConf.select(config, "hydra.runtime.choices") or {}).get("sweep"))


def open_study(storage: str, name: str, direction: str) -> None:
    """Create the study that the workers of a tuning sweep share, unless it exists.

    If several workers start at once, all but the first may find unfinished tables and fail. So each tries again.

    Raises:
        InputError: The storage cannot be used.
    """
    import optuna

    for left in reversed(range(STORAGE_TRIES)):
        try:
            optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
            return
        except Exception as error:  # each database has its own errors
            if not left:
                raise InputError(f"hydra.sweeper.storage={storage}: {str(error).partition(chr(10))[0]}") from error
        time.sleep(random.uniform(0.1, 0.5))


class Leaderboard(Callback):
    """A callback that writes a sweep's record before it starts, as not every sweeper does, and its table at the end.

    A transfer sweep goes on after a job that failed, and tests each run on the data of the others before its table.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the record, which names the jobs and from which `resume=` goes on."""
        folder = Path(config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(OmegaConf.to_yaml(config), folder / "multirun.yaml")
        if _kind(config) == TRANSFER:
            from mammo.reports.transfer_runs import is_of_data

            if not any(map(is_of_data, _swept(folder / "multirun.yaml") or ())):
                _end("sweep=transfer needs several data sets, data=mias,phantom, or values of a setting of one, "
                     "data.view=CC,MLO")  # fmt: skip
        sweeper = config.hydra.sweeper
        if OmegaConf.select(sweeper, "storage"):
            try:
                open_study(sweeper.storage, sweeper.study_name, sweeper.direction)
            except InputError as error:
                _end(str(error))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note the error of a failed job of a transfer sweep, which goes on without it."""
        if _kind(config) != TRANSFER:
            return
        from mammo.reports.transfer_runs import FAILED

        failed = Path(config.hydra.runtime.output_dir) / FAILED
        failed.unlink(missing_ok=True)
        if job_return.status == JobStatus.FAILED:
            error: Any = job_return._return_value
            line = " ".join(str(error).split()) or type(error).__name__
            log.error("error: %s: %s", failed.parent, line, exc_info=None if isinstance(error, EXPECTED) else error)
            write_json({"error": line}, failed)
            job_return.return_value, job_return.status = None, JobStatus.COMPLETED

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the table of this sweep's jobs, without those of an earlier configuration in the same folder."""
        folder = Path(config.hydra.sweep.dir)
        started = (folder / "multirun.yaml").stat().st_mtime_ns
        jobs = [path.parent for path in folder.glob(f"*/{JOB}") if path.stat().st_mtime_ns >= started]
        write_json(sorted(job.name for job in jobs), folder / JOBS)
        try:
            failed = _tested(folder, started) if _kind(config) == TRANSFER else None
            log.info("%s", write(folder))
        except InputError as error:
            if _kind(config) == TRANSFER:
                _end(str(error))
            log.error("error: %s", error)
            return
        if failed:
            _end(failed)


def _tested(folder: Path, started: int) -> str | None:
    """Test the runs of a transfer sweep on each other's data; return the line of what failed, if anything."""
    from mammo.runs import transfer

    failed = transfer.test_all(folder, started)
    if not failed:
        return None
    return (
        f"{number_of(len(failed), 'job')} or tests failed, {failed[0]} first; go on with python "
        f"train.py resume={folder}"
    )


def _end(line: str) -> NoReturn:
    """End the program on bad input; Hydra would turn an error of a callback into a warning and go on."""
    print(in_terminal(f"error: {line}"), file=sys.stderr)  # noqa: T201
    sys.exit(peers.BAD_INPUT)
