"""Systems side by side in one table: Markdown, CSV and a figure."""

from pathlib import Path

import pandas as pd

from mammo import figures
from mammo.errors import InputError
from mammo.evaluation import compare as comparison
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.predictions import BASELINES
from mammo.files import write_text
from mammo.reports.experiments import Mean, System, mean, pooled_auroc, read_systems
from mammo.reports.markdown import markdown
from mammo.tables import write_table

METRICS = (
    *("auroc", "average_precision", "accuracy", "balanced_accuracy", "sensitivity", "specificity"),
    *("sensitivity_at_threshold", "specificity_at_threshold", "brier", "brier_calibrated"),
)
MOST_PAIRS = 40
COLUMNS = ["system", "head", "AUROC", "SD folds", "SD seeds", "pooled AUROC", "accuracy", "balanced accuracy", "n"]


def write(folder: Path) -> Path:
    """Writes `leaderboard.md`, `.csv` and `.png` of a sweep folder; returns the first."""
    systems = read_systems([folder])
    rows = results(systems)
    write_table(as_table(rows), folder / "leaderboard.csv")
    figures.save(forest(rows), folder / "leaderboard.png")
    path = folder / "leaderboard.md"
    lines = [*text(systems, rows), "", "![leaderboard](leaderboard.png)", "", *_compared(systems), ""]
    write_text("\n".join(lines), path)
    return path


def _compared(systems: list[System]) -> list[str]:
    """The paired differences where they are few, and all systems tested the same films."""
    asked = comparison.pairs(systems)
    try:
        for (first, _), (second, _) in asked:
            comparison.check_paired(first, second)
    except InputError as error:
        return [f"No paired differences: {error}."]
    if len(asked) > MOST_PAIRS:
        return [f"{len(asked)} pairs are too many to test at once: name some, `python -m mammo report <run> <run>`."]
    return comparison.text([comparison.compare(*pair) for pair in asked])


def side_by_side(paths: list[Path]) -> str:
    """The table of several runs, sweeps or tables of predictions, and their paired differences.

    Raises:
        InputError: The test films of two differ.
    """
    systems = read_systems(paths)
    found = [comparison.compare(*pair) for pair in comparison.pairs(systems)]
    return "\n".join([*text(systems, results(systems)), "", *comparison.text(found)])


Row = tuple[System, str, dict[str, Mean], Value | None]


def results(systems: list[System]) -> list[Row]:
    """System, head, metrics and pooled area of each, the highest mean area first; baselines included."""
    rows: list[Row] = []
    for system in systems:
        for head in system.heads:
            found = {metric: one for metric, (one, _) in mean(system, head).items() if metric in METRICS}
            rows.append((system, head, found, None if head == "majority" else pooled_auroc(system, head)))
    return sorted(rows, key=lambda row: -(row[2]["auroc"].value.value or 0))


def text(systems: list[System], rows: list[Row]) -> list[str]:
    """The lines of the table, protocols and leaks first."""
    lines = ["# Leaderboard", ""]
    for system in systems:
        of = f"{system.task}, {system.protocol}" if system.protocol else "from its predictions alone"
        leaks = f"Leaks: {'; '.join(system.leaks) if system.leaks else 'none found'}." if system.protocol else ""
        lines.append(f"- **{system.label}**: {of}; {system.folds} folds x {system.seeds} seeds. {leaks}".rstrip())
    lines += ["", "AUROC and accuracies are means over the folds' own; intervals are 95 %, by bootstrap over women. "]
    lines[-1] += "Pooled: all films of a seed at once, from probabilities calibrated on each fold's validation part."
    return [*lines, "", *markdown(COLUMNS, [_cells(*row) for row in rows])]


def _cells(system: System, head: str, found: dict[str, Mean], pooled: Value | None) -> list[str]:
    answers = system.tested(head)
    n = f"{len(set(answers.samples))} of {len(set(answers.patients))} women"
    area = found["auroc"]
    spreads = ["" if spread is None else f"{spread:.3f}" for spread in (area.over_folds, area.over_seeds)]
    shown = [str(found[name].value) for name in ("accuracy", "balanced_accuracy")]
    return [system.label, head, str(area.value), *spreads, "" if pooled is None else str(pooled), *shown, n]


def as_table(rows: list[Row]) -> pd.DataFrame:
    """One row per system, head and metric; fractions."""
    lines = []
    for system, head, found, pooled in rows:
        answers = system.tested(head)
        facts = {"system": system.label, "task": system.task, "protocol": system.protocol, "head": head}
        sizes = {"samples": len(set(answers.samples)), "women": len(set(answers.patients))}
        sizes |= {"folds": system.folds, "seeds": system.seeds}
        leaks = "; ".join(system.leaks)
        means = {**found, **({"auroc_pooled": Mean(pooled, None, None)} if pooled else {})}
        for metric, one in means.items():
            value = one.value
            numbers = {"value": value.value, "low": value.low, "high": value.high}
            spreads = {"sd_folds": one.over_folds, "sd_seeds": one.over_seeds}
            lines.append({**facts, "metric": metric, **numbers, **spreads, **sizes, "leaks": leaks})
    return pd.DataFrame(lines).round(6)


def forest(rows: list[Row]) -> "figures.Figure":
    """AUROC and accuracy of each system and head, the majority class beside them."""
    majority = {row[0].label: row[2]["accuracy"].value for row in rows if row[1] == "majority"}
    shown = [row for row in rows if row[1] != "majority"]
    several = len({row[0].label for row in rows}) > 1
    labels = [f"{system.label}, {head}" if several else head for system, head, *_ in shown]
    emphasis = [head not in BASELINES for _, head, *_ in shown]
    panels: list[figures.Panel] = [
        ("AUROC, mean over folds", {"classifier": [found["auroc"].value for *_, found, _ in shown]}, {0.5: "chance"}),
        (
            "accuracy",
            {
                "classifier": [found["accuracy"].value for *_, found, _ in shown],
                "majority class": [Value(majority[system.label].value) for system, *_ in shown],
            },
            {},
        ),
    ]
    return figures.forest(labels, [panels], emphasis)
