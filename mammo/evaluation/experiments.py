"""An experiment: one configuration with its jobs (folds and seeds), and the means of its metrics over the jobs."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from mammo.evaluation.bootstrap import Value, interval, resampled
from mammo.evaluation.leaks import Leak
from mammo.evaluation.marks import Detection
from mammo.evaluation.metrics import mean_auroc, support, weighted_metrics
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import Patients, Predictions, concatenated
from mammo.tables.alike import different


@dataclass(frozen=True)
class Job:
    """One run: its predictions by split and head, and the choices made on its validation part by head."""

    seed: int
    fold: int | None
    predictions: dict[str, dict[str, Predictions]]
    operating: dict[str, Operating]
    marks: dict[str, Detection] = field(default_factory=dict)  # of a detector: judged on the test part, by head


@dataclass(frozen=True)
class Experiment:
    """A configuration and its jobs."""

    label: str  # the settings that distinguish it from the others
    jobs: list[Job]  # by seed and fold
    task: str = ""
    protocol: str = ""  # in words; empty if only a table of predictions is known
    leaks: list[Leak] = field(default_factory=list)  # of all jobs, one of each kind
    recipe: str = ""  # the label without the option of the leak study
    leak_study: str | None = None  # that option
    source: str = ""  # the folder or table that it was read from, if a reader must know it

    @property
    def named(self) -> str:
        """The label, and where the experiment lies."""
        known = not self.source or self.label.startswith(f"{self.source}: ")
        return self.label if known else f"{self.label} ({self.source})"

    def tested(self, head: str, split: str = "test") -> Predictions:
        """Return the predictions of a head for a split, of all jobs together."""
        return concatenated([job.predictions[split][head] for job in self.jobs])

    @property
    def heads(self) -> list[str]:
        """The heads that every job has."""
        first, *others = (job.predictions["test"] for job in self.jobs)
        return [head for head in first if all(head in other for other in others)]

    @property
    def detectors(self) -> list[str]:
        """The heads that marked places in every job."""
        first, *others = (job.marks for job in self.jobs)
        return [head for head in first if all(head in other for other in others)]

    @property
    def folds(self) -> int:
        """The number of folds."""
        return len({job.fold for job in self.jobs})

    @property
    def seeds(self) -> int:
        """The number of seeds."""
        return len({job.seed for job in self.jobs})

    @property
    def leaks_text(self) -> str:
        """The leaks in words."""
        return "; ".join(leak.text for leak in self.leaks) or "none found"


@dataclass(frozen=True)
class Mean:
    """A metric's mean over jobs, with its interval by patient and its spreads. The spread of one number is None."""

    value: Value
    resampled: np.ndarray  # (1 + resamples,) means, the plain one first
    rests_on: tuple[int, float, float]  # the number of patients that it rests on, and the metric's range
    over_folds: float | None  # standard deviation over the folds of a seed, mean over seeds
    over_seeds: float | None  # standard deviation over seeds of the means over folds


def mean(
    experiment: Experiment,
    head: str,
    split: str = "test",
    patients: np.ndarray | None = None,
    metrics: Collection[str] = ("auroc", "accuracy"),
) -> dict[str, Mean]:
    """Return the mean over jobs of each of the `metrics` that all jobs have.

    A job in which a metric is undefined, such as a fold of one class, does not count; the value then says how many do.
    A patient is drawn with all samples of all folds and seeds, so the mean has one interval. Means that are subtracted
    later need the same `patients`, who are then drawn alike.
    """
    tests = [job.predictions[split][head] for job in experiment.jobs]
    others = [] if patients is None else [Patients.of(patients)]
    numbers = Patients.apart([*(one.who for one in tests), *others])
    of_jobs = numbers[: len(tests)]
    everyone, _ = different(np.concatenate(numbers[len(tests) :] or of_jobs))
    by_job = [
        resampled(
            of,
            partial(weighted_metrics, one, operating=job.operating[head], only=metrics),
            everyone=everyone,
        )
        for job, one, of in zip(experiment.jobs, tests, of_jobs, strict=True)
    ]
    of_metric = partial(_mean, experiment, tests, concatenated(tests))
    return {
        metric: of_metric(metric, np.stack([one[metric] for one in by_job]))
        for metric in by_job[0]
        if all(metric in one for one in by_job)
    }


def _mean(
    experiment: Experiment, tests: list[Predictions], tested: Predictions, metric: str, values: np.ndarray
) -> Mean:
    """Return the mean over jobs from their predictions, each and together, and their (jobs, 1 + resamples) values."""
    there, seeds = np.isfinite(values), np.array([job.seed for job in experiment.jobs])
    count, of = int(there[:, 0].sum()), None
    if 0 < count < len(tests):
        tested = concatenated([one for one, counts in zip(tests, there[:, 0], strict=True) if counts])
        of = f"{count} of {len(tests)} {'folds' if experiment.folds > 1 else 'seeds'} ({tested.n})"
    rests_on = support(tested, metric)
    with np.errstate(invalid="ignore"):  # NaN where no job has a value
        means = np.where(there, values, 0).sum(axis=0) / there.sum(axis=0)
    by_seed = [values[seeds == seed, 0] for seed in dict.fromkeys(seeds.tolist())]
    spreads = [np.nanstd(folds, ddof=1) for folds in by_seed if np.isfinite(folds).sum() > 1]
    of_seeds = [np.nanmean(folds) for folds in by_seed if not np.isnan(folds).all()]
    return Mean(
        replace(interval(means, *rests_on), of=of),
        means,
        rests_on,
        float(np.mean(spreads)) if spreads else None,
        float(np.std(of_seeds, ddof=1)) if len(of_seeds) > 1 else None,
    )


def pooled_auroc(experiment: Experiment, head: str) -> Value | None:
    """Return the AUROC over the samples of all folds, from probabilities calibrated in each fold; mean over seeds.

    It is None if the folds of a seed test a sample twice, if there is one fold, or if nothing was calibrated.
    """
    if experiment.folds < 2 or any(job.operating[head].temperature is None for job in experiment.jobs):
        return None
    seeds: dict[int, list[Predictions]] = {}
    for job in experiment.jobs:
        seeds.setdefault(job.seed, []).append(job.predictions["test"][head].calibrated(job.operating[head]))
    tests = [concatenated(folds) for folds in seeds.values()]
    if any(one.samples.duplicated().any() for one in tests):
        return None
    return interval(mean_auroc(tests), *support(experiment.tested(head), "auroc"))
