"""The leak study: each leak beside the honest twin that differs from it in that one thing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mammo import figures
from mammo.errors import InputError
from mammo.evaluation.bootstrap import Value, difference
from mammo.evaluation.experiments import Experiment, mean
from mammo.evaluation.predictions import BASELINES
from mammo.files import write_table, write_text
from mammo.reports.experiments import read_experiments
from mammo.reports.markdown import markdown, signed

HONEST = "honest"  # the recipe itself


@dataclass(frozen=True)
class Turn:
    """One leak: its options of the group `leak_study`; `on_train` where the training part is tested."""

    name: str
    leaky: str
    twin: str = HONEST
    on_train: bool = False


TURNS = [
    Turn("images dealt, not patients", "image"),
    Turn("the paper's split", "paper", "paper_by_patient"),
    Turn("windows scaled by the radius", "scaled_lesion", "fixed"),
    Turn("augmentation before the split", "augment_first", "expand"),
    Turn("all choices on the test part", "select_on_test"),
    Turn("tested on the training images", HONEST, on_train=True),
    Turn("all together, but the last", "all"),
    Turn("all together", "all", on_train=True),
]
PAPER = {0.9777: "97.77", 0.9288: "92.88"}  # accuracies of Behery et al. 2023
COLUMNS = ["leak", "head", "accuracy", "honest twin", "majority", "AUROC", "honest twin", "AUROC gained", "n"]


@dataclass(frozen=True)
class Result:
    """The result of a turn for one recipe and head."""

    recipe: str
    turn: Turn
    head: str
    n: str
    values: dict[str, dict[str, Value]]  # by run (leaky, honest twin), or gained, or majority; by metric


def write(folder: Path) -> Path:
    """Write `leak_study.md`, `.csv` and `.png` of a sweep folder; return the first."""
    experiments = read_experiments([folder])
    found = results(experiments)
    write_table(as_table(found, experiments[0].task), folder / "leak_study.csv")
    figures.save(forest(found), folder / "leak_study.png")
    lines = [*text(found, experiments), "", "![leak study](leak_study.png)", ""]
    write_text("\n".join(lines), folder / "leak_study.md")
    return folder / "leak_study.md"


def results(experiments: list[Experiment]) -> list[Result]:
    """Return all turns that the experiments have, by recipe.

    Raises:
        InputError: A twin that is to be honest leaks.
    """
    recipes: dict[str, dict[str | None, Experiment]] = {}
    for experiment in experiments:
        recipes.setdefault(experiment.recipe, {})[experiment.leak_study] = experiment
    found = []
    for recipe, by_option in recipes.items():
        for turn in TURNS:
            if turn.leaky in by_option and turn.twin in by_option:
                pair = by_option[turn.leaky], by_option[turn.twin]
                if pair[1].leaks:
                    raise InputError(
                        f"{pair[1].label} is to be the honest twin and leaks: {pair[1].leaks[0].text}; "
                        "start sweep=leak_study from an honest recipe"
                    )
                heads = [head for head in pair[0].heads if head not in BASELINES]
                found += [_result(recipe, turn, head, *pair) for head in heads]
    return found


def _result(recipe: str, turn: Turn, head: str, leaky: Experiment, twin: Experiment) -> Result:
    split = "train" if turn.on_train else "test"
    tested = leaky.tested(head, split)
    everyone = np.union1d(tested.patients, twin.tested(head).patients)
    one, two = mean(leaky, head, split, everyone), mean(twin, head, "test", everyone)
    values = {
        "leaky": {metric: found.value for metric, found in one.items()},
        "honest twin": {metric: found.value for metric, found in two.items()},
        "gained": {"auroc": difference(one["auroc"].resampled - two["auroc"].resampled, len(everyone))},
        "majority": {"accuracy": mean(leaky, "majority", split, everyone)["accuracy"].value},
    }
    return Result(recipe, turn, head, tested.n, values)


def text(found: list[Result], experiments: list[Experiment]) -> list[str]:
    """Return the lines of the tables, one for each recipe."""
    first = experiments[0]
    lines = [
        f"# The leak study: {first.task}",
        "",
        f"- {first.folds} folds (of the paper's split: draws) x {first.seeds} seeds; means over them, intervals 95 % "
        "by patient. Positive classes, n and majority class are those of the leaky run.",
        "- Each leak stands beside the honest twin that differs from it in that one thing; `AUROC gained` is the "
        "difference, drawn by patient.",
        "- Behery et al. 2023 report accuracies of 0.9777 (VGG16) and 0.9288 (Inception-v3).",
    ]
    for recipe in dict.fromkeys(result.recipe for result in found):
        rows = []
        for r in (result for result in found if result.recipe == recipe):
            accuracies = [str(r.values[run]["accuracy"]) for run in ("leaky", "honest twin", "majority")]
            areas = [str(r.values[run]["auroc"]) for run in ("leaky", "honest twin")]
            rows.append([r.turn.name, r.head, *accuracies, *areas, signed(r.values["gained"]["auroc"]), r.n])
        lines += ["", f"## {recipe}", ""] if recipe else [""]
        lines += markdown(COLUMNS, rows)
    return [*lines, "", "Leaks of each run:", "", *(f"- {one.label}: {one.leaks_text}." for one in experiments)]


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


def forest(found: list[Result]) -> "figures.Figure":
    """Draw leaky beside honest: a column per recipe and head, accuracy above AUROC."""
    columns = list(dict.fromkeys((r.recipe, r.head) for r in found))
    turns = list(dict.fromkeys(r.turn.name for r in found))
    panels: list[list[figures.Panel]] = []
    for metric, lines in (("accuracy", PAPER), ("auroc", {0.5: "chance"})):
        row: list[figures.Panel] = []
        for recipe, head in columns:
            of = {r.turn.name: r.values for r in found if (r.recipe, r.head) == (recipe, head)}
            series: dict[str, list[Value | None]] = {
                run: [of[turn][run][metric] if turn in of else None for turn in turns]
                for run in ("leaky", "honest twin")
            }
            if metric == "accuracy":
                majority = [of[turn]["majority"][metric].value if turn in of else None for turn in turns]
                series["majority class"] = [Value(value) for value in majority]
            row.append((f"{metric.replace('auroc', 'AUROC')}: {recipe + ', ' if recipe else ''}{head}", series, lines))
        panels.append(row)
    return figures.forest(turns, panels)
