"""The matrix that a transfer sweep ends with: each run on its own test part, and on that of every other data set."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo import figures
from mammo.errors import InputError
from mammo.evaluation.bootstrap import Value, difference
from mammo.evaluation.compare import agree, check_paired, tested_by_both
from mammo.evaluation.experiments import Experiment, Mean, mean
from mammo.evaluation.predictions import BASELINES
from mammo.files import write_table, write_text
from mammo.reports.markdown import markdown, page, signed
from mammo.reports.samples import grounds, synthetic_lines
from mammo.reports.transfer_runs import Of, Recipe, experiments_of, failures, recipes, tests_of
from mammo.run_folder import RunFolder
from mammo.wording import number_of


@dataclass(frozen=True)
class Cell:
    """One square of the matrix for one head."""

    trained: str
    tested: str
    head: str
    auroc: Value
    minus_own: Value | None  # minus the AUROC of the run trained on the tested data, paired; None on the diagonal
    tested_on: Experiment


def write(folder: Path) -> Path:
    """Write `transfer.md`, `.csv` and `.png` of a transfer sweep; return the first."""
    lines: list[str] = []
    tables = []
    for number, recipe in enumerate(recipes(folder), start=1):
        names = list(recipe.runs)
        experiments = dict(experiments_of(folder, recipe))
        cells, notes = _cells(names, experiments)
        picture = "transfer.png" if number == 1 else f"transfer-{number}.png"
        heads = list(dict.fromkeys(cell.head for cell in cells if cell.head not in BASELINES))
        figures.save(_drawn(cells, names, heads), folder / picture)
        tables.append(_as_table(cells, recipe, experiments))
        lines += _lines(folder, recipe, experiments, cells, heads, notes)
        lines += [f"![transfer]({picture})", ""]
    write_table(pd.concat(tables, ignore_index=True), folder / "transfer.csv")
    if failed := failures(folder):
        lines += ["## Failed", "", *(f"- **{name}: {error}**" for name, error in failed.items()), ""]
    write_text(page(lines), folder / "transfer.md")
    return folder / "transfer.md"


def _cells(names: list[str], experiments: dict[tuple[str, str], Experiment]) -> tuple[list[Cell], list[str]]:
    """Return the cells, column by column, with the difference from the run that was trained on the column's data."""
    cells, notes = [], []
    for tested in names:
        column = {name: experiments[name, tested] for name in names if (name, tested) in experiments}
        own = column.get(tested)
        for name, one in column.items():
            beside = own if name != tested else None
            try:
                if own is not None:
                    check_paired(own, one)
            except InputError as error:
                beside = None
                notes.append(f"There is no paired difference: {error}")
            heads = [head for head in one.heads if head != "majority"]
            cells += [_cell(name, tested, head, one, beside) for head in heads]
    return cells, notes


def _cell(trained: str, tested: str, head: str, one: Experiment, own: Experiment | None) -> Cell:
    """Return the cell of a head, with its difference from the experiment that was trained on the tested data."""
    if own is None or head not in own.heads:
        return Cell(trained, tested, head, _auroc(one, head, one.tested(head).patients).value, None, one)
    patients = np.union1d(one.tested(head).patients, own.tested(head).patients)
    found, theirs = (_auroc(of, head, patients) for of in (one, own))
    same = all(agree(*pair, ranked=True) for pair in tested_by_both((one, head), (own, head)))
    apart = difference(found.resampled, theirs.resampled, *found.rests_on, same=same)
    return Cell(trained, tested, head, found.value, apart, one)


def _auroc(experiment: Experiment, head: str, patients: np.ndarray) -> Mean:
    return mean(experiment, head, patients=patients, metrics=("auroc",))["auroc"]


def _lines(
    folder: Path,
    recipe: Recipe,
    experiments: dict[tuple[str, str], Experiment],
    cells: list[Cell],
    heads: list[str],
    notes: list[str],
) -> list[str]:
    """Return the lines of one recipe: what was trained and tested on, leaks, and the matrices of each head."""
    runs = next(iter(recipe.runs.values()))
    first, count = next(iter(runs.values())), len(runs)
    task, of = first.config.task.name, f" ({recipe.settings})" if recipe.settings else ""
    datasets = {run.provenance["dataset"]["name"] for of_name in recipe.runs.values() for run in of_name.values()}
    lines = [f"# Transfer: {task} by {first.config.network}{of}", ""]
    lines += synthetic_lines(sorted(datasets))
    lines += [
        "- A row is what runs were trained on, a column the test part on which they were tested; nothing is fitted or "
        "chosen there. The diagonal is the test part of the run's own data.",
        f"- {f'Mean AUROC over {count} runs (seeds and folds)' if count > 1 else 'AUROC'} with 95 % intervals, from a "
        "bootstrap over patients.",
    ]
    lines += [f"- {name}: {_described(of_name)}." for name, of_name in recipe.runs.items()]
    leaky = [(one.label, one.leaks_text) for one in experiments.values() if one.leaks]
    lines += [f"- **Leaks of runs {label}: {text}.**" for label, text in leaky] or ["- Leaks: none found."]
    lines += [f"- The runs differ in more than their data: {text}." for text in _other_settings(recipe)]
    lines += [f"- {note}." for note in notes] + [""]
    for head in heads:
        lines += _matrices([cell for cell in cells if cell.head == head], recipe)
    named = {run.path.name for runs in recipe.runs.values() for run in runs.values()}
    if reports := [one for one in tests_of(folder) if one.name in named and (one / "report.md").is_file()]:
        lines += ["The report of each test tells what prevalence does and what ranking does:", ""]
        lines += [f"- [{one.relative_to(folder)}]({one.relative_to(folder)}/report.md)" for one in reports] + [""]
    return lines


def _matrices(cells: list[Cell], recipe: Recipe) -> list[str]:
    """Return the two matrices of one head: its areas, and what they lack of those trained on the tested data."""
    head, names, of = cells[0].head, list(recipe.runs), {(cell.trained, cell.tested): cell for cell in cells}
    corner = "trained on \\ tested on"
    areas = [[name, *(_area(of.get((name, tested)), name == tested) for tested in names)] for name in names]
    lines = [f"## {head}: AUROC", ""]
    lines += [*markdown([corner, *(f"{name}: {_short(recipe.runs[name])}" for name in names)], areas), ""]
    drops = [[name, *(_drop(of.get((name, tested))) for tested in names)] for name in names]
    lines += [f"## {head}: AUROC minus that of the runs trained on the tested data", ""]
    lines += ["Both are of the same images; the intervals are paired by patient.", ""]
    return [*lines, *markdown([corner, *names], drops), ""]


def _described(runs: dict[Of, RunFolder]) -> str:
    """Return the data set, the numbers of training and test, and the grounds of the labels."""
    run = next(iter(runs.values()))
    samples, classes = run.samples, run.provenance["classes"]
    counts = []
    for part, there in (("trained on", samples["split"] != "test"), ("tested on", samples["split"] == "test")):
        of = samples[there]
        each = ", ".join(f"{(of['label'] == name).sum()} {name}" for name in classes)
        counts.append(
            f"{part} {number_of(len(of), 'sample')} of {number_of(of['patient'].nunique(), 'patient')} ({each})"
        )
    severity = run.config.task.column == "severity"
    labels = f"labels rest on {grounds(samples)}" if severity else f"labels are the column {run.config.task.column}"
    of_runs = f" in the first of {len(runs)} runs" if len(runs) > 1 else ""
    return f"{run.provenance['dataset']['name']}, {'; '.join(counts)}{of_runs}; {labels}"


def _short(runs: dict[Of, RunFolder]) -> str:
    """Return the prevalence of the test parts and the grounds of the labels, for the head of a column."""
    samples = pd.concat([run.samples for run in runs.values()])
    run, tested = next(iter(runs.values())), samples[samples["split"] == "test"]
    classes = run.provenance["classes"]
    shown = classes[1:] if len(classes) == 2 else classes
    shares = ", ".join(f"{(tested['label'] == name).mean():.0%} {name}".replace("%", " %") for name in shown)
    source = f"; labels: {grounds(tested)}" if run.config.task.column == "severity" else ""
    return f"{shares}, {number_of(tested['patient'].nunique(), 'patient')}{source}"


def _other_settings(recipe: Recipe) -> list[str]:
    """Return the settings beside the data in which the runs of a recipe differ, with their values."""
    flat = {name: dict(_flat(next(iter(runs.values())).config.as_dict())) for name, runs in recipe.runs.items()}
    first = next(iter(flat.values()))
    keys = [key for key in first if not key.startswith(("data.", "ckpt_path", "seed", "task."))]
    odd = [key for key in keys if len({json.dumps(of.get(key), default=str) for of in flat.values()}) > 1]
    return [f"{key} is {', '.join(f'{of.get(key)} ({name})' for name, of in flat.items())}" for key in odd]


def _flat(settings: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _area(cell: Cell | None, own: bool) -> str:
    if cell is None:
        return "not tested"
    return f"{'**' * own}{cell.auroc}{'**' * own}{' (leaks)' if cell.tested_on.leaks else ''}"


def _drop(cell: Cell | None) -> str:
    return "" if cell is None or cell.minus_own is None else signed(cell.minus_own)


def _as_table(cells: list[Cell], recipe: Recipe, experiments: dict[tuple[str, str], Experiment]) -> pd.DataFrame:
    """Return one row per head and pair of data; values are fractions."""
    rows = []
    for cell in cells:
        tested, apart = cell.tested_on.tested(cell.head), cell.minus_own or Value(None)
        run = next(iter(recipe.runs[cell.tested].values()))
        samples = run.samples[run.samples["split"] == "test"]
        rows.append(
            {
                **{"recipe": recipe.settings, "head": cell.head, "trained_on": cell.trained, "tested_on": cell.tested},
                **{"auroc": cell.auroc.value, "low": cell.auroc.low, "high": cell.auroc.high},
                **{"minus_own": apart.value, "minus_own_low": apart.low, "minus_own_high": apart.high},
                "samples": len(tested.samples.drop_duplicates()),
                "patients": len(set(tested.patients)),
                "prevalence": float((tested.labels == 1).mean()) if len(tested.classes) == 2 else None,
                "labels": grounds(samples) if run.config.task.column == "severity" else run.config.task.column,
                "runs": len(cell.tested_on.jobs),
                "leaks": "; ".join(leak.text for leak in cell.tested_on.leaks),
            }
        )
    return pd.DataFrame(rows).round(6)


def _drawn(cells: list[Cell], names: list[str], heads: list[str]) -> "figures.Figure":
    """Draw the matrix of each head; the diagonal has a frame."""
    panels = {}
    for head in heads:
        of = {(cell.trained, cell.tested): cell.auroc for cell in cells if cell.head == head}
        panels[f"AUROC, {head}"] = [[of.get((trained, tested)) for tested in names] for trained in names]
    return figures.matrices(panels, names, names, [(number, number) for number in range(len(names))])
