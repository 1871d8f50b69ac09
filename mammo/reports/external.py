"""Evaluate predictions from any source: numbers with intervals by patient, a report, and figures."""

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.datasets.labels import Labels, task_of
from mammo.errors import InputError
from mammo.evaluation.aggregate import RULES, by_unit, unit_notes
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.evaluate import Evaluation, evaluate_table
from mammo.evaluation.external import External, read_external
from mammo.evaluation.operating_point import Operating
from mammo.files import check_own_folder, read_json, write_json, write_text
from mammo.reports import leaderboard, run_figures
from mammo.reports.experiments import experiment_of
from mammo.reports.markdown import page
from mammo.reports.run import SHOWN, metrics_table
from mammo.tables.memory import give_back

CHOSEN = (
    "Metrics that end in `_at_threshold` or `_calibrated` use the threshold and the temperature of the probabilities "
    "that were chosen on the rows with split=val."
)
GIVEN = "Metrics that end in `_at_threshold` use the threshold that was given."
UNCHOSEN = "No row has split=val, so no threshold and no temperature were chosen. --threshold gives a threshold."


NAMES = ("report.md", "metrics.json", "roc.png", "roc_*.png", "reliability.png")
TABLE = "evaluated_table"  # the key of metrics.json that tells an evaluation from a run


@dataclass
class ExternalEvaluation:
    """The evaluation of a table of predictions.

    Attributes:
        external: The table as it was read.
        metrics: The metrics of the test split by head and name. If there is one head, `judged["auroc"]` is its AUROC.
        text: The report, in Markdown.
        evaluation: The parts that figures are drawn from; None for a table of several folds or seeds.
    """

    external: External
    metrics: dict[str, dict[str, Value]]
    text: str
    evaluation: Evaluation | None = None

    def __getitem__(self, name: str) -> "Value | dict[str, Value]":
        """Return a metric of the only head, or all metrics of a head."""
        if name in self.metrics:
            return self.metrics[name]
        if len(self.metrics) > 1:
            raise KeyError(f"{name}: the table has several heads, {', '.join(self.metrics)}; name one first")
        (only,) = self.metrics.values()
        return only[name]

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text

    def save(self, folder: Path | str) -> Path:
        """Write report.md, metrics.json, roc.png and, for probabilities, reliability.png to a folder; return it.

        Raises:
            InputError: The folder has something else than an evaluation of this table.
        """
        folder = Path(folder)
        check_free(folder, self.external.path)
        folder.mkdir(parents=True, exist_ok=True)
        for picture in folder.glob("*.png"):  # of an evaluation that this one replaces
            picture.unlink()
        lines = [*self.text.split("\n"), ""]
        plain = {head: {name: one.as_json() for name, one in of.items()} for head, of in self.metrics.items()}
        facts: dict[str, Any] = {TABLE: _place(self.external.path), "classes": self.external.classes}
        facts |= {"notes": self.external.notes, "test": plain}
        if self.evaluation is not None:
            facts["operating"] = {head: vars(one) for head, one in self.evaluation.operating.items()}
        write_json(facts, folder / "metrics.json")
        if self.evaluation is not None:
            run_figures.draw_heads(folder, self.evaluation, self.external.name)
            for one in sorted(folder.glob("*.png")):
                lines += [f"![{one.stem}]({one.name})", ""]
        write_text(page(lines), folder / "report.md")
        return folder


def check_free(folder: Path, table: Path) -> None:
    """Refuse a folder that is neither empty nor an evaluation of this table, as its files would be replaced.

    Raises:
        InputError: The folder has something else.
    """
    check_own_folder(folder, NAMES, "--out", "metrics.json")
    facts = read_json(folder / "metrics.json") if (folder / "metrics.json").is_file() else {TABLE: _place(table)}
    if not isinstance(facts, dict) or facts.get(TABLE) != _place(table):
        raise InputError(f"{folder} has metrics.json of something else than {table}; name a new folder with --out")


def _place(table: Path) -> str:
    """Return a digest of where a table lies: its path may tell names."""
    return hashlib.sha256(os.fsencode(table.resolve())).hexdigest()[:16]


def evaluate(
    table: "Path | str | pd.DataFrame",
    by: str | None = "patient",
    *,
    positive: object = None,
    columns: Mapping[str, str] | None = None,
    threshold: float | None = None,
    unit: str | None = None,
    rule: str = "mean",
) -> ExternalEvaluation:
    """Evaluate predictions from any source: metrics with intervals by patient, a report and figures.

    Args:
        table: A CSV file or DataFrame with a patient, a label, and a score or `p_<class>`.
        by: The column of the patient; None takes each row as a patient of its own.
        positive: Which of two classes is positive; needed if the names of the classes do not tell.
        columns: Maps the names used here (`label`, `score`, `p_<class>`, ...) to the table's own.
        threshold: The score above which a sample is called positive. None: it is chosen on the rows with split=val.
        unit: `image`, `breast`, `exam` or `patient`, to evaluate these, each from its rows, instead of the rows.
            Breasts need a column `laterality` (left or right), exams a column `exam`.
        rule: How the rows of a unit become one: `mean`, `max` for the most alarming row, or `noisy_or` for the
            probability that one of them at least is positive.

    Raises:
        InputError: The table cannot be used; the error names the rows.
    """
    external = read_external(table, by=by, positive=positive, columns=columns)
    give_back()  # what the file was read into, which may be large
    several = len(external.table[["seed", "fold"]].drop_duplicates()) > 1
    _check_asked(external, threshold, unit, rule, several=several)
    notes = list(external.notes)
    if unit is not None:
        external, said_of_units = _by_unit(external, unit, rule)
        notes += said_of_units
    if several:
        return _of_repeats(external, notes)
    tested, classes = external.table, external.classes
    given = None if threshold is None else _given(tested, threshold)
    evaluation = evaluate_table(tested, classes, "youden", "val", ("test",), given)
    found = evaluation.metrics["test"]
    for head, values in found.items():
        if len(classes) == 2 and (values["auroc"].high or 1) < 0.5:
            notes.append(
                f"**{head}: AUROC is below 0.5; check that a high score means {classes[1]} and not {classes[0]}**"
            )
    if threshold is not None and not tested.loc[tested["split"] == "test", "score"].gt(threshold).any():
        notes.append(f"**no score lies above the threshold of {threshold:g}**")
    names = [name for name in SHOWN if any(name in of and of[name].value is not None for of in found.values())]
    shown = metrics_table(found, evaluation.counts["test"], names, classes[1] if len(classes) == 2 else None)
    chose = CHOSEN if (tested["split"] == "val").any() else UNCHOSEN
    said = GIVEN if threshold is not None else chose
    for head, chosen in evaluation.operating.items():
        if chosen.threshold is not None:
            said += f" {head}: threshold {chosen.threshold:.6g}."
    return ExternalEvaluation(external, found, page([*_notes(notes), "", *shown, "", said]), evaluation)


def _by_unit(external: External, unit: str, rule: str) -> tuple[External, list[str]]:
    """Return the predictions with one row for each unit, and notes on what is left out."""
    table, labels = external.table, task_of(tuple(external.classes)) or _labels(external.classes)
    notes = unit_notes(table, unit)
    table, left_out = by_unit(table, labels, unit, rule)
    notes = [*notes, f"evaluated by {unit}: each takes {RULES[rule]}; {left_out} left out because of two classes"]
    return replace(external, table=table, identified=True), notes


def _of_repeats(external: External, notes: list[str]) -> ExternalEvaluation:
    """Return the means over the seeds or folds of a table."""
    one = experiment_of(external)
    rows = leaderboard.results([one])
    found = {head: {name: mean.value for name, mean in means.items()} for _, head, means, _ in rows}
    return ExternalEvaluation(external, found, page([*_notes(notes), "", *leaderboard.text([one], rows)]))


def _check_asked(external: External, threshold: object, unit: str | None, rule: str, *, several: bool) -> None:
    """Refuse a threshold, unit or rule that the table cannot be evaluated with."""
    classes = external.classes
    if threshold is not None and len(classes) > 2:
        raise InputError(f"threshold={threshold} is for two classes; this table has {len(classes)}")
    if rule != "mean" and unit is None:
        raise InputError(f"rule={rule} does nothing without a unit; add unit=image, breast, exam or patient")
    if threshold is not None and (several or not isinstance(threshold, int | float) or not math.isfinite(threshold)):
        raise InputError(f"threshold={threshold}: expected a finite number, and a table with one seed and fold")
    if unit == "image" and not external.identified:
        raise InputError(f"{external.name} has no column image_id, so that unit=image cannot be evaluated")
    if unit is not None and several:
        raise InputError(f"{external.name} has several seeds or folds; unit={unit} needs a table with one of each")


def _given(table: pd.DataFrame, threshold: float) -> dict[str, Operating]:
    return {str(head): Operating("given", threshold) for head in table["head"].unique()}


def _labels(classes: list[str]) -> Labels:
    """Return a task of these classes; of two, the positive one is the more severe."""
    return Labels(tuple(classes), "label", {one: one for one in classes}, ordered=len(classes) == 2)


def _notes(notes: list[str]) -> list[str]:
    lines = [f"- {note[:1].upper()}{note[1:]}." for note in notes]
    return ["Numbers in brackets are 95 % intervals, from a bootstrap over patients.", "", *lines]
