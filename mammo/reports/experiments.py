"""Read the experiments of sweep folders, run folders and tables of predictions, so that they can be compared."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.datasets.registry import GENERAL
from mammo.errors import InputError
from mammo.evaluation.experiments import Experiment, Job
from mammo.evaluation.external import External, read_external
from mammo.evaluation.leaks import protocol, united
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import by_head, choices
from mammo.files import read_json
from mammo.reports.detection import judged
from mammo.run_folder import RunFolder
from mammo.tables.memory import give_back
from mammo.wording import number_of

JOBS = "jobs.json"  # in a sweep folder: the names of its job folders
REPEATED = ("seed", "data.fold", "sweep")  # these settings repeat an experiment and do not make a new one


def read_experiments(paths: Iterable[Path], *, named: bool = False) -> list[Experiment]:
    """Return the experiments of sweep folders, run folders and tables of predictions.

    Args:
        paths: The folders and tables.
        named: True to note the path of each experiment as its source.

    Raises:
        InputError: A path is none of these, or two experiments have one name.
    """
    paths, found = list(paths), list[Experiment]()
    single = [RunFolder(path) for path in paths if not (path / JOBS).is_file() and (path / "predictions.csv").is_file()]
    for path in paths:
        if path.is_file():
            of_path = [experiment_of(read_external(path))]
        elif (path / JOBS).is_file():
            runs = [RunFolder(path / name) for name in read_json(path / JOBS)]
            check_same_films(path, runs)
            of_path = _of_folders(runs)
        elif (path / "predictions.csv").is_file():
            of_path = _of_folders([RunFolder(path)], _shared(single))
        elif (path / "multirun.yaml").is_file():
            raise not_ended(path)
        else:
            raise InputError(f"{path}: expected a run folder, a sweep folder or a table of predictions")
        taken = {one.label for one in found}
        found += [replace(e, label=f"{path}: {e.label}") if e.label in taken else e for e in of_path]
        found = [replace(e, source=str(path)) if named and not e.source else e for e in found]
        give_back()  # a large table, which is gone
    labels = [one.label for one in found]
    if len(set(labels)) < len(labels):
        raise InputError(f"two experiments have the name {max(labels, key=labels.count)}; give each once")
    return found


def check_each_once(paths: Iterable[Path]) -> None:
    """Refuse a run, sweep or table that is named twice, also by a link, by its table, or as a part of a sweep."""
    named: dict[object, tuple[int, Path]] = {}  # by the file of predictions
    for at, path in enumerate(paths):
        jobs = [path / name for name in read_json(path / JOBS)] if (path / JOBS).is_file() else [path]
        for table in [job / "predictions.csv" if job.is_dir() else job for job in jobs]:
            stat = table.stat() if table.exists() else None
            file = (stat.st_dev, stat.st_ino) if stat and stat.st_ino else table.resolve()
            number, first = named.setdefault(file, (at, path))
            if number != at:
                again = "" if first == path else f", as {path} too"
                raise InputError(
                    f"{first} is named more than once{again}, and would differ from itself by 0; name each run once"
                )


def not_ended(sweep: Path, run: RunFolder | None = None) -> InputError:
    """Return the error of a sweep that has not ended, or of its run that has not."""
    lacking = "" if run is None else f": {run.path.name} has no finished run"
    return InputError(f"{sweep} is a sweep that has not ended{lacking}; go on with python train.py resume={sweep}")


def finished_runs(sweep: Path) -> list[RunFolder]:
    """Return the runs of a sweep in the order of their names, or those that lie in a folder of no sweep.

    Raises:
        InputError: The sweep has not ended, or one of the runs has not.
    """
    if (sweep / JOBS).is_file():
        runs = [RunFolder(sweep / name) for name in sorted(read_json(sweep / JOBS))]
    elif (sweep / "multirun.yaml").is_file():
        raise not_ended(sweep)
    else:
        runs = [RunFolder(path.parent) for path in sorted(sweep.glob("*/job.json"))]
    for run in runs:
        if not run.finished:
            raise not_ended(sweep, run)
    check_same_films(sweep, runs)
    return runs


def check_same_films(sweep: Path, runs: Iterable[RunFolder]) -> None:
    """Refuse jobs of a sweep that read other pixels of the same films, as when files were replaced while it ran.

    Raises:
        InputError: They did; the line names some films.
    """
    first = dict[str, tuple[Path, pd.DataFrame]]()  # by the data, what reads them, and the version that did
    for run in runs:
        if (version := run.provenance.get("preprocessing")) is None:
            continue
        data = {key: value for key, value in vars(run.config.data).items() if key not in GENERAL}
        key, films = json.dumps([data, run.config.plugins, version], default=str), run.films
        other, before = first.setdefault(key, (run.path, films))
        if other != run.path and (images := RunFolder.changed_films(before, films)):
            raise InputError(
                f"{run.path} read other films than {other}: the pixels of {number_of(len(images), 'image')} differ, "
                f"{images[0]} first; restore the files, and train the job of {sweep} that read others again"
            )


def experiment_of(external: External) -> Experiment:
    """Return a table of predictions from any source as an experiment."""
    name = Path(external.name).name.partition(".")[0]
    return Experiment(name, jobs_of(external.table, external.classes))


def jobs_of(table: pd.DataFrame, classes: list[str]) -> list[Job]:
    """Return the jobs of an experiment's predictions table, by seed and fold."""
    jobs = []
    groups: Any = [(table[["seed", "fold"]].iloc[0], table)]  # not copied, as it may be large
    if any(table[column].nunique(dropna=False) > 1 for column in ("seed", "fold")):
        groups = table.groupby(["seed", "fold"], dropna=False, sort=True)
    for (seed, fold), rows in groups:
        number = None if pd.isna(fold) or fold == "" else int(float(fold))
        jobs.append(job_of(rows, classes, int(float(seed)), number))
    return jobs


def job_of(
    table: pd.DataFrame, classes: list[str], seed: int, fold: int | None, operating: dict[str, Operating] | None = None
) -> Job:
    """Return a job from its predictions table; the choices of its heads are by default those of the rows of val."""
    predictions = {split: by_head(table, classes, split) for split in ("train", "test")}
    return Job(seed, fold, predictions, operating or choices(table, classes))


def _shared(runs: list[RunFolder]) -> set[tuple[str, str]]:
    """Return the words that all of several runs have, which distinguish none of them."""
    return set.intersection(*(set(words_of(run.job).items()) for run in runs)) if len(runs) > 1 else set()


def _of_folders(runs: list[RunFolder], shared: set[tuple[str, str]] | None = None) -> list[Experiment]:
    """Return one experiment for each configuration, in the order of their labels."""
    said = [words_of(run.job) for run in runs]
    shared = _shared(runs) if shared is None else shared
    members: dict[str, list[RunFolder]] = {}
    for run, words in zip(runs, said, strict=True):
        members.setdefault(_label(words, without=shared), []).append(run)
    return [_experiment(label, of_label, shared) for label, of_label in sorted(members.items())]


def words_of(settings: dict[str, Any]) -> dict[str, str]:
    """Return the settings that may distinguish a job, as words of the command line."""
    words = {key: value if isinstance(value, str) else json.dumps(value) for key, value in settings.items()}
    return {key: word for key, word in words.items() if key not in REPEATED}


def _label(words: dict[str, str], without: set[tuple[str, str]]) -> str:
    return ", ".join(f"{key}={word}" for key, word in words.items() if (key, word) not in without)


def _experiment(label: str, runs: list[RunFolder], shared: set[tuple[str, str]]) -> Experiment:
    jobs, leaks = [], []
    for run in runs:
        config, (table, classes) = run.config, run.predictions()
        job = job_of(table, classes, config.seed, config.data.fold, run.choices(table, classes))
        jobs.append(replace(job, marks=judged(run).get("test", {})) if run.detects else job)
        leaks.append(run.find_leaks(table, classes, jobs[-1].operating))
    jobs.sort(key=lambda job: (job.seed, -1 if job.fold is None else job.fold))
    config, words = runs[0].config, words_of(runs[0].job)
    in_words = protocol(replace(config, data=replace(config.data, fold=None)))
    leak_study, recipe = words.pop("leak_study", None), _label(words, without=shared)
    return Experiment(label or config.network, jobs, config.task.name, in_words, united(leaks), recipe, leak_study)
