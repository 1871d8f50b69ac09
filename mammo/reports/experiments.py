"""Systems to set side by side: each is one configuration, with its jobs of several folds and seeds."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from mammo.errors import InputError
from mammo.evaluation.bootstrap import Value, bootstrap_weights, interval
from mammo.evaluation.leaks import leaks, protocol, run_config
from mammo.evaluation.metrics import support, weighted_metrics
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import Answers, choices, concatenated, of_part, read_tested
from mammo.tables import read_json

JOBS = "jobs.json"  # of a sweep folder: the names of its job folders
REPEATED = ("seed", "data.fold")  # what repeats a system, and does not make another one


@dataclass(frozen=True)
class Job:
    """One run: its answers by part and head, and what its validation answers chose."""

    seed: int
    fold: int | None
    parts: dict[str, dict[str, Answers]]
    operating: dict[str, Operating]


@dataclass(frozen=True)
class System:
    """A configuration and its jobs.

    Attributes:
        label: What distinguishes it from the others.
        jobs: By seed and fold.
        task: Name.
        protocol: In words; empty where only a table of predictions is known.
        leaks: Reasons.
        leak_study: The turn of the protocol leak_study that it is.
    """

    label: str
    jobs: list[Job]
    task: str = ""
    protocol: str = ""
    leaks: list[str] = field(default_factory=list)
    leak_study: str | None = None

    def tested(self, head: str, part: str = "test") -> Answers:
        """The answers of a head on a part, of all jobs."""
        return concatenated([job.parts[part][head] for job in self.jobs])

    @property
    def heads(self) -> list[str]:
        """Those that every job has."""
        return [head for head in self.jobs[0].parts["test"] if all(head in job.parts["test"] for job in self.jobs)]

    @property
    def folds(self) -> int:
        """How many."""
        return len({job.fold for job in self.jobs})

    @property
    def seeds(self) -> int:
        """How many."""
        return len({job.seed for job in self.jobs})


@dataclass(frozen=True)
class Mean:
    """A metric's mean over jobs with its interval by woman, and its spread over folds and over seeds; None with one."""

    value: Value
    over_folds: float | None
    over_seeds: float | None


def read_systems(paths: Iterable[Path]) -> list[System]:
    """Systems of sweep folders, run folders and tables of predictions.

    Raises:
        InputError: A path is none of these.
    """
    systems: list[System] = []
    for path in paths:
        known = len(systems)
        if path.is_file():
            systems += [_of_table(path)]
        elif (path / JOBS).is_file():
            systems += _of_folders([path / name for name in read_json(path / JOBS)])
        elif (path / "predictions.csv").is_file():
            systems += _of_folders([path])
        elif (path / "multirun.yaml").is_file():
            raise InputError(f"{path}: a sweep that has not ended; go on with it: python train.py resume={path}")
        else:
            raise InputError(f"{path}: expected a run folder, a sweep folder or a table of predictions")
        taken = {system.label for system in systems[:known]}
        systems[known:] = [
            replace(system, label=f"{path}: {system.label}") if system.label in taken else system
            for system in systems[known:]
        ]
    labels = [system.label for system in systems]
    if len(set(labels)) < len(labels):
        raise InputError(f"two systems are called {max(labels, key=labels.count)}: give each once")
    return systems


def _of_table(path: Path) -> System:
    predictions, classes = read_tested(path)
    jobs = []
    for (seed, fold), table in predictions.groupby(["seed", "fold"], dropna=False, sort=True):
        number = None if pd.isna(fold) or fold == "" else int(float(fold))
        jobs.append(_job(table, classes, int(seed), number))
    return System(path.stem, jobs)


def _job(
    predictions: pd.DataFrame,
    classes: list[str],
    seed: int,
    fold: int | None,
    rule: str | float = "youden",
    select_on: str = "val",
) -> Job:
    parts = {part: of_part(predictions, classes, part) for part in ("train", "test")}
    return Job(seed, fold, parts, choices(predictions, classes, rule, select_on))


def _of_folders(folders: list[Path]) -> list[System]:
    """One system per configuration, in the order of their labels."""
    overrides = {folder: _overrides(folder) for folder in folders}
    shared = set.intersection(*(set(lines) for lines in overrides.values()))
    by_label: dict[str, list[Path]] = {}
    for folder in folders:
        words = [line for line in overrides[folder] if line not in shared or len(folders) == 1]
        by_label.setdefault(", ".join(words), []).append(folder)
    return [_system(label, members) for label, members in sorted(by_label.items())]


def _overrides(folder: Path) -> list[str]:
    """What was said for a job beside its seed, its fold and the sweep."""
    path = folder / ".hydra" / "overrides.yaml"
    lines = yaml.safe_load(path.read_text()) if path.is_file() else []
    return [line for line in lines if line.partition("=")[0] not in (*REPEATED, "sweep")]


def _system(label: str, folders: list[Path]) -> System:
    configs: list[dict[str, Any]] = []
    jobs, reasons = [], []
    for folder in folders:
        provenance, config = run_config(folder)
        configs.append(config)
        predictions, classes = read_tested(folder / "predictions.csv")
        seed, fold = config["seed"], config["data"]["fold"]
        job = _job(predictions, classes, seed, fold, config["threshold"], config["select_on"])
        jobs.append(job)
        for reason in leaks(read_json(folder / "split_audit.json"), provenance, predictions, job.operating):
            words = reason.lstrip("0123456789 ")  # how many differs between folds
            reasons += [] if words in reasons else [words]
    jobs.sort(key=lambda job: (job.seed, -1 if job.fold is None else job.fold))
    config = configs[0]
    without_fold = config | {"data": config["data"] | {"fold": None}}
    said = dict(line.split("=", 1) for line in _overrides(folders[0]))
    leak_study = said.get("leak_study")
    return System(label or config["model"]["name"], jobs, config["task"], protocol(without_fold), reasons, leak_study)


def mean(
    system: System, head: str, part: str = "test", women: np.ndarray | None = None
) -> dict[str, tuple[Mean, np.ndarray]]:
    """By metric: its mean over jobs, with its (1 + resamples,) values.

    A woman is drawn with all her samples of all folds and seeds, so one interval holds for the mean. Means that are
    to be subtracted are of the same `women`, who are then drawn alike.
    """
    everyone = np.unique(system.tested(head, part).patients if women is None else women)
    drawn = bootstrap_weights(everyone)
    by_job = []
    for job in system.jobs:
        answers = job.parts[part][head]
        weights = drawn[:, np.searchsorted(everyone, answers.patients)]
        by_job.append(weighted_metrics(answers, weights, job.operating[head]))
    found = {}
    for metric in by_job[0]:
        if all(metric in one for one in by_job):
            values = np.stack([one[metric] for one in by_job])
            found[metric] = (_mean(system, head, part, metric, values), _nanmean(values))
    return found


def _mean(system: System, head: str, part: str, metric: str, values: np.ndarray) -> Mean:
    seeds = [job.seed for job in system.jobs]
    by_seed = {seed: values[[s == seed for s in seeds], 0] for seed in dict.fromkeys(seeds)}
    spreads = [np.nanstd(fold, ddof=1) for fold in by_seed.values() if np.isfinite(fold).sum() > 1]
    means = [np.nanmean(fold) for fold in by_seed.values() if not np.isnan(fold).all()]
    return Mean(
        interval(_nanmean(values), *support(system.tested(head, part), metric)),
        float(np.mean(spreads)) if spreads else None,
        float(np.std(means, ddof=1)) if len(means) > 1 else None,
    )


def _nanmean(values: np.ndarray) -> np.ndarray:
    """Over jobs; NaN where no job has a value."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(there, values, 0).sum(axis=0) / there.sum(axis=0)


def pooled_auroc(system: System, head: str) -> Value | None:
    """The area over all films at once, from probabilities calibrated in each fold, mean over seeds.

    None where the folds of a seed test a film twice, there is one fold, or nothing was calibrated.
    """
    if system.folds < 2 or any(job.operating[head].temperature is None for job in system.jobs):
        return None
    seeds: dict[int, list[Answers]] = {}
    for job in system.jobs:
        seeds.setdefault(job.seed, []).append(job.parts["test"][head].calibrated(job.operating[head]))
    areas = []
    everyone = np.unique(system.tested(head).patients)
    drawn = bootstrap_weights(everyone)
    for folds in seeds.values():
        answers = concatenated(folds)
        if len(set(answers.samples)) < len(answers):
            return None
        weights = drawn[:, np.searchsorted(everyone, answers.patients)]
        areas.append(weighted_metrics(answers, weights, Operating())["auroc"])
    return interval(np.mean(areas, axis=0), *support(system.tested(head), "auroc"))
