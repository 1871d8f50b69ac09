"""Compare experiments in one table, with their paired differences: Markdown, CSV and a figure."""

from collections.abc import Collection
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.drawn import once
from mammo.errors import InputError
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.compare import Means, Pair, check_paired, compare, pairs
from mammo.evaluation.experiments import Experiment, Mean, mean, pooled_auroc
from mammo.evaluation.external import External
from mammo.evaluation.predictions import BASELINES
from mammo.evaluation.significance import holm
from mammo.files import write_table, write_text
from mammo.reports import detection
from mammo.reports.experiments import check_each_once, experiment_of, read_experiments
from mammo.reports.markdown import markdown, page, signed
from mammo.wording import number_of

METRICS = (
    *("auroc", "average_precision", "accuracy", "balanced_accuracy", "sensitivity", "specificity"),
    *("sensitivity_at_threshold", "specificity_at_threshold", "brier", "brier_calibrated"),
)
MOST_PAIRS = 40
FEW = 20  # patients of the rarest class; with fewer, DeLong's test finds a difference too often
SHOWN = ("auroc", "accuracy", "balanced_accuracy")  # metrics of the table
COLUMNS = ["experiment", "head", "AUROC", "SD folds", "SD seeds", "pooled AUROC", "accuracy", "balanced accuracy", "n"]
PAIRED = ["first minus second", "n", "AUROC", "could show", "p", "Holm", "accuracy", "could show", "p", "Holm"]

SOME = (
    "**A metric is undefined in a fold whose test part lacks a class that it needs. Such folds do not count in its "
    "mean; the number says how many do, and how many samples and patients they test.**"
)

Row = tuple[Experiment, str, dict[str, Mean], Value | None]  # with its head, metrics and pooled AUROC


def write(folder: Path) -> Path:
    """Write `leaderboard.md`, `.csv` and `.png` of a sweep folder; return the first."""
    experiments = read_experiments([folder])
    rows = results(experiments)
    write_table(as_table(rows), folder / "leaderboard.csv")
    forest(rows, folder / "leaderboard.png")
    lines = [*text(experiments, rows), "", "![leaderboard](leaderboard.png)", ""]
    lines += [*detection.side_by_side(experiments, refuse=False), *_compared(experiments, rows), ""]
    write_text(page(lines), folder / "leaderboard.md")
    return folder / "leaderboard.md"


def _compared(experiments: list[Experiment], rows: list[Row]) -> list[str]:
    """Return the paired differences, if there are not too many and all experiments tested the same samples."""
    asked = pairs(experiments)
    try:
        for (first, _), (second, _) in asked:
            check_paired(first, second)
    except InputError as error:
        return [f"There are no paired differences: {error}."]
    if len(asked) > MOST_PAIRS:
        return [f"{len(asked)} pairs are too many to test at once; name some: `python -m mammo compare RUN RUN`."]
    return paired([compare(*pair, means=_means(rows)) for pair in asked])


def side_by_side(paths: list[Path]) -> str:
    """Return the table and the paired differences of several runs, sweeps or tables of predictions.

    Raises:
        InputError: Two of them have not tested the same samples, or one is named twice.
    """
    check_each_once(paths)
    experiments = read_experiments(paths, named=True)
    for first, second in combinations(experiments, 2):
        check_paired(first, second)
    rows = results(experiments)
    found = [compare(*pair, means=_means(rows)) for pair in pairs(experiments)]
    return page([*text(experiments, rows), "", *detection.side_by_side(experiments), *paired(found)])


def _means(rows: list[Row]) -> Means:
    """Return the metrics of each classifier, which its differences need."""
    return {(experiment.label, head): found for experiment, head, found, _ in rows}


def compared(several: list[External]) -> str:
    """Return the paired differences of tables of predictions from any source.

    Raises:
        InputError: The tables have different samples, or their rows cannot be matched.
    """
    names = [one.name for one in several]
    if not all(one.identified for one in several):
        several = _identified(several)
    experiments = [
        replace(experiment_of(one), label=one.name if names.count(one.name) == 1 else f"{one.name} {number}")
        for number, one in enumerate(several, start=1)
    ]
    return page(paired([compare(*pair) for pair in pairs(experiments)]))


def _identified(several: list[External]) -> list[External]:
    """Return tables whose rows can be matched: by patient if each has one row, or by a common order of the rows."""
    tables = [one.table for one in several]
    if not any(table.duplicated(["patient", "head", "fold", "seed", "split"]).any() for table in tables):
        return [replace(one, table=one.table.assign(image_id=one.table["patient"])) for one in several]
    order = [table[["patient", "label"]].reset_index(drop=True) for table in tables]
    if any(one.identified for one in several) or not all(order[0].equals(other) for other in order[1:]):
        names = " and ".join(one.name for one in several)
        raise InputError(f"the rows of {names} cannot be matched; give each table a column image_id")
    return several


def results(experiments: list[Experiment], metrics: Collection[str] = METRICS) -> list[Row]:
    """Return the results of each head of each experiment, the highest mean AUROC first; baselines are included."""
    rows: list[Row] = []
    for experiment in experiments:
        for head in experiment.heads:
            found = mean(experiment, head, metrics=metrics)
            rows.append((experiment, head, found, None if head == "majority" else pooled_auroc(experiment, head)))
    return sorted(rows, key=lambda row: -(row[2]["auroc"].value.value or 0))


def text(experiments: list[Experiment], rows: list[Row]) -> list[str]:
    """Return the lines of the table, protocols and leaks first."""
    lines = ["# Leaderboard", ""]
    for one in experiments:
        of = f"{one.task}, {one.protocol}" if one.protocol else "a table of predictions"
        leaks = f" Leaks: {one.leaks_text}." if one.protocol else ""
        classes = one.tested(one.heads[0]).classes
        positive = f" Positive class: {classes[1]}." if len(classes) == 2 else ""
        source = one.named.removeprefix(one.label)
        lines.append(f"- **{one.label}**{source}: {of}; folds: {one.folds}, seeds: {one.seeds}.{positive}{leaks}")
    said = (
        "AUROC and accuracies are computed in each fold and averaged. Numbers in brackets are 95 % intervals, from a "
        "bootstrap over patients. SD is the standard deviation over folds or over seeds. The pooled AUROC takes all "
        "samples of a seed together; each fold's probabilities are calibrated on its validation part."
    )
    if any(of.value.of for _, _, found, _ in rows for of in found.values()):
        said += f" {SOME}"
    return [*lines, "", said, "", *table(rows)]


def table(rows: list[Row]) -> list[str]:
    """Return the lines of the table alone; the rows need `SHOWN` of their metrics."""
    return markdown(COLUMNS, [_cells(*row) for row in rows])


def _cells(experiment: Experiment, head: str, found: dict[str, Mean], pooled: Value | None) -> list[str]:
    area = found["auroc"]
    spreads = ["" if spread is None else f"{spread:.3f}" for spread in (area.over_folds, area.over_seeds)]
    shown = [str(found[name].value) if name in found else "" for name in ("accuracy", "balanced_accuracy")]
    of_all = "" if pooled is None else str(pooled)
    return [experiment.label, head, str(area.value), *spreads, of_all, *shown, experiment.tested(head).n]


def paired(found: list[Pair]) -> list[str]:
    """Return the lines of the section of paired differences and their tests."""
    return [
        "## Paired differences",
        "",
        "Each row compares two classifiers on the same patients; numbers in brackets are 95 % intervals. `could show` "
        "is the smallest true difference that so many patients would show with a power of 0.8. `p` of AUROC is from "
        "DeLong's test, clustered by patient (Obuchowski 1997). `p` of accuracy is from a permutation test that swaps "
        "all predictions of a patient together. `Holm` is p after Holm's correction for all tests of this table.",
        "",
        *paired_table(found),
        *_few(found),
    ]


def _few(found: list[Pair]) -> list[str]:
    """Return a note on the comparisons of AUROC that rest on few patients, if there are some."""
    few = [(pair.name, pair.rests_on["auroc"]) for pair in found if pair.rests_on.get("auroc", FEW) < FEW]
    if not few:
        return []
    of = "; ".join(f"{name}: {number_of(count, 'patient')}" for name, count in few)
    said = f"**AUROC is compared on fewer than {FEW} patients of the rarest class** ({of}). With so few, p of DeLong's"
    return ["", f"{said} test is too small: trust the interval, not p."]


def paired_table(found: list[Pair]) -> list[str]:
    """Return the lines of the table of differences and tests; `Holm` corrects p for all tests of the table."""
    known = [(row, metric) for row, pair in enumerate(found) for metric, p in pair.p.items() if p is not None]
    corrected = holm(np.array([found[row].p[metric] for row, metric in known], float)).tolist() if known else []
    by_test: dict[tuple[int, str], float] = dict(zip(known, corrected, strict=True))
    rows = []
    for number, pair in enumerate(found):
        cells = [pair.name, pair.n]
        for metric in ("auroc", "accuracy"):
            p = pair.p[metric]
            shown = ["", ""] if p is None else [f"{p:.3g}", f"{by_test[number, metric]:.3g}"]
            if metric in pair.differences:
                least = pair.detectable[metric]
                cells += [signed(pair.differences[metric]), "" if least is None else f"{least:.3f}", *shown]
            else:
                cells += [""] * 4
        rows.append(cells)
    return markdown(PAIRED, rows)


def as_table(rows: list[Row]) -> pd.DataFrame:
    """Return one row per experiment, head and metric; values are fractions."""
    lines = []
    for one, head, found, pooled in rows:
        tested = one.tested(head)
        facts = {"experiment": one.label, "task": one.task, "protocol": one.protocol, "head": head}
        sizes: dict[str, Any] = {
            "samples": len(tested.samples.drop_duplicates()),
            "patients": tested.who.count(),
        }
        sizes |= {"folds": one.folds, "seeds": one.seeds, "leaks": "; ".join(leak.text for leak in one.leaks)}
        values = [(metric, of.value, of.over_folds, of.over_seeds) for metric, of in found.items()]
        values += [("auroc_pooled", pooled, None, None)] if pooled else []
        for metric, value, folds, seeds in values:
            numbers = {"value": value.value, "low": value.low, "high": value.high, "sd_folds": folds, "sd_seeds": seeds}
            of = {"of": value.of} if value.of else {}
            lines.append({**facts, "metric": metric, **numbers, **sizes, **of})
    return pd.DataFrame(lines).round(6)


def forest(rows: list[Row], path: Path) -> None:
    """Draw AUROC and accuracy of each experiment and head, beside those of the majority class."""
    majority = {row[0].label: row[2]["accuracy"].value for row in rows if row[1] == "majority"}
    shown = [row for row in rows if row[1] != "majority"]
    several = len({row[0].label for row in rows}) > 1
    labels = [f"{experiment.label}, {head}" if several else head for experiment, head, *_ in shown]
    accuracies = {
        "classifier": [found["accuracy"].value for *_, found, _ in shown],
        "majority class": [Value(majority[experiment.label].value) for experiment, *_ in shown],
    }
    areas = {"classifier": [found["auroc"].value for *_, found, _ in shown]}
    panels = [("AUROC, mean over folds", areas, {0.5: "chance"}), ("accuracy", accuracies, {})]
    once(path, "forest", labels, [panels], [head not in BASELINES for _, head, *_ in shown])
