"""The leak study: each leak beside the honest counterpart that differs from it in that one thing.

A sweep's predictions are kept as plain tables in a folder: `runs.csv`, a row per experiment; `leaks.csv`, a row per
leak of an experiment; and `predictions.csv.xz`, the rows from which all numbers are computed.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from mammo import figures
from mammo.errors import InputError
from mammo.evaluation.bootstrap import Value, difference
from mammo.evaluation.experiments import Experiment, mean
from mammo.evaluation.leaks import Leak
from mammo.evaluation.predictions import BASELINES, head_table, read_predictions
from mammo.files import check_own_folder, write_table, write_text
from mammo.reports.experiments import jobs_of, read_experiments
from mammo.reports.markdown import markdown, page, signed

HONEST = "honest"  # the recipe itself


@dataclass(frozen=True)
class Turn:
    """One leak: its options of the group `leak_study`; `on_train` where the training split is tested."""

    name: str
    leaky: str
    counterpart: str = HONEST
    on_train: bool = False


TURNS = [
    Turn("split by image, not by patient", "image"),
    Turn("the paper's split", "paper", "paper_by_patient"),
    Turn("windows scaled by the lesion's radius", "scaled_lesion", "fixed"),
    Turn("augmentation before the split", "augment_first", "expand"),
    Turn("all choices on the test split", "select_on_test"),
    Turn("tested on the training images", HONEST, on_train=True),
    Turn("all together, except the last", "all"),
    Turn("all together", "all", on_train=True),
]
PAPER = {0.9777: "97.77 %", 0.9288: "92.88 %"}  # accuracies of Behery et al. 2023
RUNS, LEAKS, PREDICTIONS = "runs.csv", "leaks.csv", "predictions.csv.xz"
COUNTERPART = "honest counterpart"
COLUMNS = ["leak", "recipe", "head", "accuracy", "accuracy of its honest counterpart", "majority class"]
COLUMNS += ["AUROC", "AUROC of its honest counterpart", "AUROC gained", "n"]


@dataclass(frozen=True)
class Result:
    """The result of a turn for one recipe and head."""

    recipe: str
    turn: Turn
    head: str
    n: str
    values: dict[str, dict[str, Value]]  # by run (leaky, its counterpart), or gained, or majority; by metric


def write(folder: Path) -> Path:
    """Write `leak_study.md`, `.csv` and `.png` of a sweep folder; return the first."""
    experiments = read_experiments([folder])
    found = results(experiments)
    write_table(as_table(found, experiments[0].task), folder / "leak_study.csv")
    figures.save(forest(found), folder / "leak_study.png")
    lines = [*text(found, experiments), "", "![leak study](leak_study.png)", ""]
    write_text(page(lines), folder / "leak_study.md")
    return folder / "leak_study.md"


def collect(sweep: Path, folder: Path) -> None:
    """Write the predictions and leaks that a sweep's leak study is computed from to a folder.

    Raises:
        InputError: No leak of the sweep stands beside its honest counterpart, or that leaks.
    """
    experiments = read_experiments([sweep])
    pairs(experiments)
    check_own_folder(folder, (RUNS, LEAKS, PREDICTIONS), "--to", RUNS)
    folder.mkdir(parents=True, exist_ok=True)
    facts = ["label", "recipe", "leak_study", "task", "protocol"]
    runs = [[getattr(one, fact) for fact in facts] for one in experiments]
    leaks = [[one.label, leak.kind, leak.n, leak.text] for one in experiments for leak in one.leaks]
    write_table(pd.DataFrame(runs, columns=facts), folder / RUNS)
    write_table(pd.DataFrame(leaks, columns=["label", "kind", "n", "text"]), folder / LEAKS)
    write_table(pd.concat(map(_needed, experiments), ignore_index=True), folder / PREDICTIONS)


def _needed(experiment: Experiment) -> pd.DataFrame:
    """Return the rows of an experiment's predictions that its turns need, with its label in a column `run`."""
    on_train = experiment.leak_study in {turn.leaky for turn in TURNS if turn.on_train}
    heads = [head for head in experiment.heads if head not in BASELINES] + ["majority"]
    tables = []
    for job, split, head in product(experiment.jobs, ("train", "test") if on_train else ("test",), heads):
        one = job.predictions[split][head]
        labels = [one.classes[number] for number in one.labels]
        rows = one.samples.assign(patient=one.patients, split=split, label=labels)
        outputs = one.score, one.probabilities, list(one.classes)
        tables.append(head_table(rows, head, *outputs, fold=job.fold, seed=job.seed))
    return pd.concat(tables, ignore_index=True).assign(run=experiment.label)


def read(folder: Path) -> list[Experiment]:
    """Return the experiments of a leak study from its sweep folder, or from a folder that `collect` has written."""
    if not (folder / RUNS).is_file():
        return read_experiments([folder])
    table, classes = read_predictions(folder / PREDICTIONS, tested=True)
    of_run = dict(iter(table.groupby("run")))
    leaks: dict[str, list[Leak]] = {}
    for label, *leak in pd.read_csv(folder / LEAKS).itertuples(index=False, name=None):
        leaks.setdefault(label, []).append(Leak(*leak))
    return [
        Experiment(
            *(run.label, jobs_of(of_run[run.label], classes), run.task, run.protocol),
            *(leaks.get(run.label, []), run.recipe, run.leak_study),
        )
        for run in pd.read_csv(folder / RUNS, keep_default_na=False).itertuples()
    ]


def pairs(experiments: list[Experiment]) -> list[tuple[Turn, Experiment, Experiment]]:
    """Return all turns that the experiments have, by recipe, each with its leaky run and the honest counterpart.

    Raises:
        InputError: There is none, or a counterpart that should be honest leaks.
    """
    recipes: dict[str, dict[str | None, Experiment]] = {}
    for experiment in experiments:
        recipes.setdefault(experiment.recipe, {})[experiment.leak_study] = experiment
    found = []
    for by_option in recipes.values():
        for turn in TURNS:
            if turn.leaky in by_option and turn.counterpart in by_option:
                found.append((turn, by_option[turn.leaky], by_option[turn.counterpart]))
    if not found:
        raise InputError("no leak stands beside its honest counterpart; run python train.py -m sweep=leak_study")
    for honest in (pair[2] for pair in found):
        if honest.leaks:
            raise InputError(
                f"{honest.label} should be the honest counterpart, but it leaks: {honest.leaks[0].text}; "
                "start sweep=leak_study from an honest recipe"
            )
    return found


def results(experiments: list[Experiment]) -> list[Result]:
    """Return the results of all `pairs` for each head."""
    found = pairs(experiments)
    return [_result(head, *pair) for pair in found for head in pair[1].heads if head not in BASELINES]


def _result(head: str, turn: Turn, leaky: Experiment, counterpart: Experiment) -> Result:
    split = "train" if turn.on_train else "test"
    tested = leaky.tested(head, split)
    everyone = np.union1d(tested.patients, counterpart.tested(head).patients)
    one, two = mean(leaky, head, split, everyone), mean(counterpart, head, "test", everyone)
    leaks, honest = one["auroc"], two["auroc"]
    values = {
        "leaky": {metric: found.value for metric, found in one.items()},
        COUNTERPART: {metric: found.value for metric, found in two.items()},
        "gained": {"auroc": difference(leaks.resampled, honest.resampled, *min(leaks.rests_on, honest.rests_on))},
        "majority": {"accuracy": mean(leaky, "majority", split, everyone)["accuracy"].value},
    }
    return Result(leaky.recipe, turn, head, tested.n, values)


def text(found: list[Result], experiments: list[Experiment]) -> list[str]:
    """Return the lines of the report: the table, and the leaks of each run."""
    first = experiments[0]
    lines = [
        f"# The leak study: {first.task}",
        "",
        f"- {first.folds} folds (of the paper's split: draws) x {first.seeds} seeds; means over them, intervals 95 % "
        "by patient. Positive classes, n and majority class are those of the leaky run.",
        "- Each leak stands beside the honest counterpart that differs from it in that one thing; `AUROC gained` is "
        "the difference, with the same patients drawn for both.",
        "- Behery et al. 2023 report accuracies of 0.9777 (VGG16) and 0.9288 (Inception-v3).",
        *("", *table(found), "", "Leaks of each run:", ""),
    ]
    return [*lines, *(f"- {one.label}: {one.leaks_text}." for one in experiments)]


def table(found: list[Result]) -> list[str]:
    """Return the lines of the table alone, turn by turn; a column says the recipe where there are several."""
    rows = []
    for r in sorted(found, key=lambda one: TURNS.index(one.turn)):
        accuracies = [str(r.values[run]["accuracy"]) for run in ("leaky", COUNTERPART, "majority")]
        areas = [str(r.values[run]["auroc"]) for run in ("leaky", COUNTERPART)]
        rows.append([r.turn.name, r.recipe, r.head, *accuracies, *areas, signed(r.values["gained"]["auroc"]), r.n])
    if len({r.recipe for r in found}) > 1:
        return markdown(COLUMNS, rows)
    return markdown(COLUMNS[:1] + COLUMNS[2:], [row[:1] + row[2:] for row in rows])


def as_table(found: list[Result], task: str) -> pd.DataFrame:
    """Return one row per recipe, turn, head, run (leaky or honest) and metric; fractions."""
    lines = []
    for r in found:
        facts = {"task": task, "recipe": r.recipe, "leak": r.turn.name, "head": r.head, "n": r.n}
        for run, metrics in r.values.items():
            for metric, value in metrics.items():
                numbers = {"value": value.value, "low": value.low, "high": value.high}
                lines.append({**facts, "run": run, "metric": metric, **numbers})
    return pd.DataFrame(lines).round(6)


def from_table(path: Path) -> list[Result]:
    """Return the results that a table of `as_table` holds.

    Raises:
        InputError: The table lacks a column, or names an unknown leak.
    """
    table = pd.read_csv(path, keep_default_na=False, dtype={"value": float})
    lacking = {"recipe", "leak", "head", "n", "run", "metric", "value", "low", "high"} - set(table)
    unknown = set(table["leak"]) - {turn.name for turn in TURNS} if not lacking else set()
    if lacking or unknown:
        raise InputError(f"{path}: expected the table of a leak study; found no {' and no '.join(lacking or unknown)}")
    found = []
    for (recipe, leak, head, n), rows in table.groupby(["recipe", "leak", "head", "n"], sort=False):
        values: dict[str, dict[str, Value]] = {}
        for row in rows.itertuples():
            low, high = (float(one) if one != "" else None for one in (row.low, row.high))
            values.setdefault(row.run, {})[row.metric] = Value(row.value, low, high)
        found.append(Result(recipe, next(turn for turn in TURNS if turn.name == leak), head, n, values))
    return found


def forest(found: list[Result]) -> "figures.Figure":
    """Draw each leak beside its counterpart: a column per recipe and head, accuracy above AUROC."""
    columns = list(dict.fromkeys((r.recipe, r.head) for r in found))
    turns = list(dict.fromkeys(r.turn.name for r in found))
    panels: list[list[figures.Panel]] = []
    for metric, lines in (("accuracy", PAPER), ("auroc", {0.5: "chance"})):
        row: list[figures.Panel] = []
        for recipe, head in columns:
            of = {r.turn.name: r.values for r in found if (r.recipe, r.head) == (recipe, head)}
            series: dict[str, list[Value | None]] = {
                run: [of[turn][run][metric] if turn in of else None for turn in turns] for run in ("leaky", COUNTERPART)
            }
            if metric == "accuracy":
                majority = [of[turn]["majority"][metric].value if turn in of else None for turn in turns]
                series["majority class"] = [Value(value) for value in majority]
            row.append((f"{metric.replace('auroc', 'AUROC')}: {recipe + ', ' if recipe else ''}{head}", series, lines))
        panels.append(row)
    return figures.forest(turns, panels)
