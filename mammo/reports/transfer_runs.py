"""The runs of a transfer sweep, by what they were trained on, and their tests on each other's test parts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mammo.datasets.labels import Labels
from mammo.errors import InputError
from mammo.evaluation.aggregate import by_unit
from mammo.evaluation.experiments import Experiment
from mammo.evaluation.leaks import united
from mammo.files import read_json
from mammo.reports.experiments import JOBS, check_same_films, job_of, words_of
from mammo.run_folder import RunFolder

TESTS = "tests"  # in a sweep's folder: tests/<run>/<run on whose test part it is tested>/
FAILED = "failed.json"  # in the folder of a job or of a test: its error
LOADING = {
    f"data.{key}" for key in ("batch_size", "workers", "shuffle_block", "max_unreadable", "cache", "fold", "folds")
}
Of = tuple[int, int | None]  # seed and fold


@dataclass(frozen=True)
class Recipe:
    """The finished runs of a sweep that differ in their data, seed and fold alone.

    Attributes:
        settings: The settings that tell this recipe from the others of the sweep; empty if there is one.
        runs: The runs by the name of their data, and by seed and fold.
    """

    settings: str
    runs: dict[str, dict[Of, RunFolder]]

    def pairs(self, trained: str, tested: str) -> list[tuple[RunFolder, RunFolder]]:
        """Return the runs trained on one data set beside those trained on another, of the same seeds and folds."""
        return [(run, self.runs[tested][of]) for of, run in self.runs[trained].items() if of in self.runs[tested]]


def is_of_data(key: str) -> bool:
    """Tell whether a setting says which data a run has, and not how they are loaded or dealt."""
    return f"{key}.".startswith("data.") and key not in LOADING


def recipes(folder: Path) -> list[Recipe]:
    """Return the recipes of a transfer sweep, with the runs that have finished.

    Raises:
        InputError: The sweep has not ended, or no recipe was trained on two data sets.
    """
    if not (folder / JOBS).is_file():
        raise InputError(
            f"{folder}: expected a transfer sweep that has ended; go on with python train.py resume={folder}"
        )
    runs = [run for run in map(RunFolder, (folder / name for name in read_json(folder / JOBS))) if run.finished]
    check_same_films(folder, runs)
    words = [words_of(run.job) for run in runs]
    shared = set.intersection(*(set(one.items()) for one in words)) if words else set()
    found: dict[str, dict[str, dict[Of, RunFolder]]] = {}
    for run, of_run in zip(runs, words, strict=True):
        recipe, name = _named(dict(one for one in of_run.items() if one not in shared))
        number = run.config.seed, run.config.data.fold
        found.setdefault(recipe, {}).setdefault(name, {})[number] = run
    if not any(len(of) > 1 for of in found.values()):
        names = sorted({name for of in found.values() for name in of}) or ["none"]
        raise InputError(f"{folder}: a transfer needs finished runs of two data sets; found {', '.join(names)}")
    return [Recipe(settings, found[settings]) for settings in sorted(found)]


def _named(settings: dict[str, str]) -> tuple[str, str]:
    """Return the name of a recipe and that of its data, from the settings that not all runs of a sweep share."""
    recipe = [f"{key}={word}" for key, word in settings.items() if not is_of_data(key)]
    data = [
        word if key == "data" else f"{key.removeprefix('data.')}={word}"
        for key, word in settings.items()
        if is_of_data(key)
    ]
    return ", ".join(recipe), ", ".join(data)


def tests_of(folder: Path) -> list[Path]:
    """Return the folders of the tests of a sweep's jobs on each other."""
    jobs = set(read_json(folder / JOBS))
    return [test for test in sorted(folder.glob(f"{TESTS}/*/*")) if {test.name, test.parent.name} <= jobs]


def failures(folder: Path) -> dict[str, str]:
    """Return the errors of the jobs and tests of a sweep that failed, by the name of their folder."""
    paths = [*folder.glob(f"*/{FAILED}"), *(test / FAILED for test in tests_of(folder) if (test / FAILED).is_file())]
    return {str(path.parent.relative_to(folder)): read_json(path)["error"] for path in sorted(paths)}


def experiments_of(folder: Path, recipe: Recipe) -> Iterator[tuple[tuple[str, str], Experiment]]:
    """Yield each pair of data, trained on and tested on, with its predictions, if all its tests have finished."""
    for trained in recipe.runs:
        for tested in recipe.runs:
            pairs = recipe.pairs(trained, tested)
            found = [
                a if trained == tested else RunFolder(folder / TESTS / a.path.name / b.path.name) for a, b in pairs
            ]
            if found and all(one.finished for one in found):
                yield (trained, tested), _experiment(f"trained on {trained}, tested on {tested}", found)


def _experiment(label: str, runs: list[RunFolder]) -> Experiment:
    """Return runs or tests of several seeds and folds as one; by image if an image has several samples."""
    jobs, leaks = [], []
    for run in runs:
        table, classes = run.predictions()
        leaks.append(run.find_leaks(table, classes))
        table = table[table["split"] == "test"]
        if run.crop["several_per_image"]:
            table, _ = by_unit(table, Labels.from_config(run.config.task), "image", run.config.aggregate)
        jobs.append(job_of(table, classes, run.config.seed, run.config.data.fold, {}))
    return Experiment(label, jobs, runs[0].config.task.name, leaks=united(leaks))
