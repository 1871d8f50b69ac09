"""The leak study: each leak beside the honest twin that differs from it in that one thing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mammo import figures
from mammo.errors import InputError
from mammo.evaluation.bootstrap import Value, difference
from mammo.evaluation.predictions import BASELINES
from mammo.files import write_text
from mammo.reports.experiments import System, mean, read_systems
from mammo.reports.markdown import markdown, signed
from mammo.tables import write_table

HONEST = "honest"  # the recipe itself


@dataclass(frozen=True)
class Turn:
    """One leak: its options of the group `leak_study`, and whether it is the training part that is tested."""

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
    Turn("tested on the training films", HONEST, on_train=True),
    Turn("all together, but the last", "all"),
    Turn("all together", "all", on_train=True),
]
PAPER = {0.9777: "97.77", 0.9288: "92.88"}  # accuracies of Behery et al. 2023
COLUMNS = ["leak", "head", "accuracy", "honest twin", "majority", "AUROC", "honest twin", "AUROC gained", "n"]


@dataclass(frozen=True)
class Result:
    """A turn for one recipe and head: leaky and honest metrics, the AUROC gained, the majority's accuracy, n."""

    recipe: str
    turn: Turn
    head: str
    leaky: dict[str, Value]
    honest: dict[str, Value]
    gained: Value
    majority: Value
    n: str


def write(folder: Path) -> Path:
    """Writes `leak_study.md`, `.csv` and `.png` of a sweep folder; returns the first."""
    systems = read_systems([folder])
    found = results(systems)
    write_table(as_table(found, systems), folder / "leak_study.csv")
    figures.save(forest(found), folder / "leak_study.png")
    path = folder / "leak_study.md"
    write_text("\n".join([*text(found, systems), "", "![audit](leak_study.png)", ""]), path)
    return path


def results(systems: list[System]) -> list[Result]:
    """All turns that the systems have, by recipe."""
    recipes: dict[str, dict[str | None, System]] = {}
    for system in systems:
        words = [word for word in system.label.split(", ") if not word.startswith("leak_study=")]
        recipes.setdefault(", ".join(words), {})[system.leak_study] = system
    found = []
    for recipe, by_dial in recipes.items():
        for turn in TURNS:
            if turn.leaky in by_dial and turn.twin in by_dial:
                pair = by_dial[turn.leaky], by_dial[turn.twin]
                if pair[1].leaks:
                    raise InputError(
                        f"{pair[1].label} is to be the honest twin and leaks: {pair[1].leaks[0]}; "
                        "start sweep=leak_study from an honest recipe"
                    )
                heads = [head for head in pair[0].heads if head not in BASELINES]
                found += [_result(recipe, turn, head, *pair) for head in heads]
    return found


def _result(recipe: str, turn: Turn, head: str, leaky: System, twin: System) -> Result:
    part = "train" if turn.on_train else "test"
    women = np.union1d(leaky.tested(head, part).patients, twin.tested(head).patients)
    one, two = mean(leaky, head, part, women), mean(twin, head, "test", women)
    answers = leaky.tested(head, part)
    return Result(
        recipe,
        turn,
        head,
        {metric: one[metric][0].value for metric in ("accuracy", "auroc")},
        {metric: two[metric][0].value for metric in ("accuracy", "auroc")},
        difference(one["auroc"][1] - two["auroc"][1], len(women)),
        mean(leaky, "majority", part, women)["accuracy"][0].value,
        f"{len(set(answers.samples))} of {len(set(answers.patients))} women",
    )


def text(found: list[Result], systems: list[System]) -> list[str]:
    """The lines of the tables, one a recipe."""
    first = systems[0]
    lines = [
        f"# The leak study: {first.task}",
        "",
        f"- {first.folds} folds (of the paper's split: draws) x {first.seeds} seeds; means over them, intervals 95 % "
        "by woman. Positive classes, n and majority class are those of the leaky side.",
        "- Each leak stands beside the honest twin that differs from it in that one thing; `AUROC gained` is the "
        "difference, drawn by woman.",
        "- Behery et al. 2023 report accuracies of 0.9777 (VGG16) and 0.9288 (Inception-v3).",
    ]
    for recipe in dict.fromkeys(result.recipe for result in found):
        rows = [
            [
                r.turn.name, r.head, str(r.leaky["accuracy"]), str(r.honest["accuracy"]), str(r.majority),
                str(r.leaky["auroc"]), str(r.honest["auroc"]), signed(r.gained), r.n,
            ]
            for r in found
            if r.recipe == recipe
        ]  # fmt: skip
        lines += ["", f"## {recipe}", ""] if recipe else [""]
        lines += markdown(COLUMNS, rows)
    lines += ["", "What each side leaks:", ""]
    return [*lines, *(f"- {s.label}: {'; '.join(s.leaks) if s.leaks else 'none found'}." for s in systems)]


def as_table(found: list[Result], systems: list[System]) -> pd.DataFrame:
    """One row per recipe, turn, head, side and metric; fractions."""
    lines = []
    for r in found:
        facts = {"task": systems[0].task, "recipe": r.recipe, "leak": r.turn.name, "head": r.head, "n": r.n}
        sides = {"leaky": r.leaky, "honest twin": r.honest, "gained": {"auroc": r.gained}}
        sides["majority"] = {"accuracy": r.majority}
        for side, metrics in sides.items():
            for metric, value in metrics.items():
                numbers = {"value": value.value, "low": value.low, "high": value.high}
                lines.append({**facts, "side": side, "metric": metric, **numbers})
    return pd.DataFrame(lines).round(6)


def forest(found: list[Result]) -> "figures.Figure":
    """Leaky beside honest: a column per recipe and head, accuracy above AUROC."""
    columns = list(dict.fromkeys((r.recipe, r.head) for r in found))
    turns = list(dict.fromkeys(r.turn.name for r in found))
    panels: list[list[figures.Panel]] = []
    for metric, lines in (("accuracy", PAPER), ("auroc", {0.5: "chance"})):
        row: list[figures.Panel] = []
        for recipe, head in columns:
            of = {r.turn.name: r for r in found if (r.recipe, r.head) == (recipe, head)}
            series: dict[str, list[Value | None]] = {
                "leaky": [of[turn].leaky[metric] if turn in of else None for turn in turns],
                "honest twin": [of[turn].honest[metric] if turn in of else None for turn in turns],
            }
            if metric == "accuracy":
                series["majority class"] = [Value(of[turn].majority.value) if turn in of else None for turn in turns]
            row.append((f"{metric.replace('auroc', 'AUROC')}: {recipe + ', ' if recipe else ''}{head}", series, lines))
        panels.append(row)
    return figures.forest(turns, panels)
