"""Write `metrics.json`, figures and `report.md` of an external test from its tables and those of the run it tests."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mammo import figures
from mammo.datasets.labels import Labels
from mammo.errors import InputError
from mammo.evaluation import curves
from mammo.evaluation.aggregate import RULES, by_unit, telling_units, unit_notes, with_places
from mammo.evaluation.evaluate import Evaluation, evaluate_table, flat
from mammo.evaluation.leaks import Leak, check_tables, protocol
from mammo.evaluation.metrics import class_score
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import BASELINES, Predictions
from mammo.evaluation.prevalence import corrected, shift
from mammo.evaluation.subgroups import beyond_shortcuts, by_subgroup, facts_of
from mammo.files import write_json, write_text
from mammo.reports import places, run_figures
from mammo.reports.markdown import markdown, page, signed
from mammo.reports.operating import operating_table
from mammo.reports.run import BRIEFLY, HEADS, metrics_table, shortcut_verdict
from mammo.reports.samples import counted, grounds, grounds_apart, synthetic_lines
from mammo.reports.shift import Rows, section
from mammo.run_folder import RunFolder

OWN, HERE = "the run's own test part", "the tested films"


@dataclass(frozen=True)
class Unit:
    """An evaluation by image, breast, exam or patient."""

    evaluation: Evaluation
    left_out: int  # units without one class
    notes: list[str]
    chosen: bool  # True if the run has a threshold and temperature for this unit


@dataclass(frozen=True)
class Tested:
    """All that the report says of an external test, beside its run."""

    test: RunFolder
    run: RunFolder
    samples: pd.DataFrame
    evaluation: Evaluation
    units: dict[str, Unit]
    shown: Evaluation  # by image if an image has several samples, else by sample
    own: Evaluation  # the same of the run's own test part
    leaks: list[Leak]
    shifts: dict[str, Rows]  # by head

    @property
    def by_image(self) -> bool:
        """True if the numbers to read are those by image."""
        return self.shown is not self.evaluation

    @property
    def positive(self) -> str | None:
        """The positive one of two classes; None for more classes."""
        classes = self.test.provenance["classes"]
        return classes[1] if len(classes) == 2 else None


def write(folder: Path) -> dict[str, float]:
    """Write metrics, figures and report of an external test; return its metrics, `test[_by_<unit>]/<head>/<metric>`."""
    found = read(folder)
    evaluation, config = found.evaluation, found.test.config
    facts: dict[str, Any] = {"task": config.task.name, "protocol": protocol(config)}
    facts |= {"leaks": [vars(leak) for leak in found.leaks]} | evaluation.as_json()
    for name, unit in found.units.items():
        said = {"notes": unit.notes} if unit.notes else {}
        how = {"rule": config.aggregate, "left_out": unit.left_out, "chosen": unit.chosen}
        facts[f"by_{name}"] = {**how, **said, **unit.evaluation.as_json()}
    facts["own_test"] = found.own.as_json()
    facts["shift"] = {head: {name: row.as_json() for name, row in of.items()} for head, of in found.shifts.items()}
    marks = places.write(found.test)
    write_json(facts | marks.facts, folder / "metrics.json")
    _draw(folder / "figures", found)
    lines = [*_first_lines(found), "", "Not for diagnostic use.", "", *marks.lines]
    what = "images" if found.by_image else "samples"
    heads = found.shown.operating
    lines += section(found.shifts, found.positive, what, {h: heads[h].threshold is not None for h in found.shifts})
    lines += _tables(found)
    for image in sorted((folder / "figures").glob("*.png")):
        lines += [f"![{image.stem}](figures/{image.name})", ""]
    lines += [f"Command: `{shlex.join(found.test.provenance['command'])}`", ""]
    write_text(page(lines), folder / "report.md")
    numbers = flat(evaluation.metrics) | marks.flat
    for name, unit in found.units.items():
        numbers |= flat(unit.evaluation.metrics, f"_by_{name}")
    return numbers


def read(folder: Path) -> Tested:
    """Return the numbers of an external test, computed from the tables of its folder and of the run.

    Raises:
        InputError: The folder is no external test, or its run is not there any more.
    """
    test = RunFolder(folder)
    run = test.tested_run
    if not (run.path / "predictions.csv").is_file():
        raise InputError(
            f"{folder} tests the run {run.path}, which is not there; put it back to write its report again"
        )
    samples, (table, classes) = test.samples, test.predictions()
    check_tables(table, samples, test.split)
    evaluation = _evaluated(test, table, classes, (test.external or {})["operating"]["sample"])
    units = _by_units(test, with_places(table, samples), classes)
    own_table = run.predictions()[0]
    own_table = own_table[own_table["split"] == "test"]
    if by_image := test.crop["several_per_image"] and "image" in units:
        labels = Labels.from_config(test.config.task)
        own_table, _ = by_unit(own_table, labels, "image", test.config.aggregate)
    shown = units["image"].evaluation if by_image else evaluation
    own = evaluate_table(own_table, classes, "youden", "val", ("test",), shown.operating)
    both = own.tested, shown.tested
    heads = [head for head in both[1] if head not in BASELINES]
    shifts = {head: shift(both[0][head], both[1][head], shown.operating[head]) for head in heads}
    leaks = test.find_leaks(table, classes)
    return Tested(test, run, samples, evaluation, units, shown, own, leaks, shifts)


def _evaluated(test: RunFolder, table: pd.DataFrame, classes: list[str], chosen: dict[str, Any] | None) -> Evaluation:
    """Return the evaluation of a table at the choices of the run; None: nothing was chosen for this unit."""
    heads = map(str, table["head"].unique())
    operating = {head: Operating(**(chosen or {}).get(head, {"rule": "none"})) for head in heads}
    return evaluate_table(table, classes, test.config.threshold, "val", ("test",), operating)


def _by_units(test: RunFolder, table: pd.DataFrame, classes: list[str]) -> dict[str, Unit]:
    """Return the evaluations by patient, and by each unit that differs from a finer one."""
    units, labels = {}, Labels.from_config(test.config.task)
    for name in telling_units(table):
        of_units, left_out = by_unit(table, labels, name, test.config.aggregate)
        chosen = (test.external or {})["operating"].get(name)
        evaluation = _evaluated(test, of_units, classes, chosen)
        if "test" in evaluation.metrics:
            units[name] = Unit(evaluation, left_out, unit_notes(table, name), chosen is not None)
    return units


def _draw(folder: Path, found: Tested) -> None:
    """Draw confusion matrices, and beside the run's own test part ROC, precision-recall and reliability."""
    tested, own = found.shown.tested, found.own.tested
    positive, classes = found.positive, found.test.provenance["classes"]
    title, reliable = f"{found.test.config.network}, {{head}}, external test", {}
    for head in found.shifts:
        one = tested[head]
        drawn = figures.confusion(one.confusion[::-1, ::-1], classes[::-1], title.format(head=head))
        figures.save(drawn, folder / f"confusion_{head}.png")
        if positive is None:
            continue
        if len(set(one.labels)) == 2:
            bands = {name: _bands(of) for name, of in ((OWN, own[head]), (HERE, one))}
            share = float((one.labels == 1).mean())
            drawn = figures.roc_and_pr(bands, share, f"{head}, positive: {positive}, n = {len(one)}")
            figures.save(drawn, folder / f"roc_{head}.png")
        reliable[head] = _reliabilities(own[head], one, found.shown.operating[head])
    if positive is None:
        run_figures.draw_heads(folder, found.shown, "external test")
    else:
        names = ("as the run gives them", "corrected for prevalence")
        figures.save(figures.reliability(reliable, positive, names), folder / "reliability.png")


def _bands(one: Predictions) -> list[curves.Band]:
    positive, score = one.labels == 1, class_score(one, 1)
    return [curve(positive, score, one.patients) for curve in (curves.roc, curves.precision_recall)]


def _reliabilities(own: Predictions, here: Predictions, operating: Operating) -> list[curves.Band | None]:
    """Return the reliability of the probabilities of a head, as they are and corrected for prevalence."""
    positive, chance = here.labels == 1, operating.calibrated(here.probabilities)[:, 1]
    shares = [float((one.labels == 1).mean()) for one in (own, here)]
    moved = corrected(chance, *shares) if all(0 < share < 1 for share in shares) else None
    bands = [None if p is None else curves.reliability(p, positive, here.patients) for p in (chance, moved)]
    return list(bands)


def _first_lines(found: Tested) -> list[str]:
    """Return the first lines: what was trained and tested on, the grounds of the labels, leaks, and AUROC."""
    test, run, config = found.test, found.run, found.test.config
    names = [one.provenance["dataset"]["name"] for one in (run, test)]
    lines = [f"# {config.task.name} by {config.network}: trained on {names[0]}, tested on {names[1]}", ""]
    lines += synthetic_lines(names)
    own, severity = run.samples, config.task.column == "severity"
    trained, tested = own[own["split"] != "test"], found.samples
    chosen = "" if run.config.select_on == "val" else "; **epoch and thresholds were chosen on its test part**"
    classes = test.provenance["classes"]
    data = [f"{key}={value}" for key, value in test.job.items() if key.partition(".")[0] == "data"]
    lines += [
        f"- Trained on {names[0]}: {counted(trained, classes)}, training and validation{chosen}. "
        + (f"Labels rest on {grounds(trained)}." if severity else f"Labels: the column {config.task.column}."),
        f"- Tested on {names[1]} ({' '.join(data)}): {counted(tested, classes)}. "
        + (f"Labels rest on {grounds(tested)}." if severity else f"Labels: the column {config.task.column}."),
    ]
    if severity and (apart := grounds_apart(trained, tested)):
        lines += [f"- **{apart}**"]
    lines += [f"- Leaks: {'; '.join(map(str, found.leaks)) or 'none found'}."]
    if of_run := run.find_leaks(*run.predictions()):
        lines += [f"- **The run's own test part, beside which this one stands, leaks: {'; '.join(map(str, of_run))}.**"]
    lines += [
        "- Nothing is fitted or chosen here: network, epoch, heads, thresholds and temperatures are those of the run "
        f"`{run.path}`. Numbers in brackets are 95 % intervals, from a bootstrap over patients."
    ]
    for head, rows in found.shifts.items():
        area, what = rows["auroc"], f"; {HEADS[head]}" if head in HEADS else ""
        apart = "" if area.difference is None else f", difference {signed(area.difference)}"
        lines += [f"- {head}: AUROC {area.here} here, {area.own} on the run's own test part{apart}{what}."]
    heads = found.shown.tested
    if len(set(heads["shortcuts"].labels)) == len(classes):
        lines += [shortcut_verdict(found.shown.metrics["test"]["shortcuts"]["auroc"], beyond_shortcuts(heads))]
    if test.crop["caption"]:
        lines += [f"- {test.crop['caption']}."]
    if found.by_image:
        lines += [f"- An image has several samples: numbers here are by image (aggregate={config.aggregate})."]
    if found.positive:
        lines += [f"- Positive means {found.positive}."]
    return [*lines, *(f"- {note}." for note in test.provenance["notes"])]


def _tables(found: Tested) -> list[str]:
    """Return the tables of all metrics: by sample, by subgroup and by each unit."""
    lines, positive = [], found.positive
    counts, metrics = found.evaluation.counts["test"], found.evaluation.metrics["test"]
    lines += ["## Test: metrics with 95 % intervals", "", *metrics_table(metrics, counts, positive=positive), ""]
    lines += _operating_lines(found.evaluation.operating)
    tested = found.evaluation.tested
    header, rows = by_subgroup(facts_of(found.samples, tested["majority"]), tested)
    lines += ["## Test by subgroup", "", *markdown(header, rows), ""]
    rule = found.test.config.aggregate
    for name, unit in found.units.items():
        lines += [f"## Test by {name}", "", f"Each {name} takes {RULES[rule]} (aggregate={rule})."]
        if unit.chosen:
            lines[-1] += f" Threshold and temperature are those that the run chose for each {name}."
        else:
            lines[-1] += f" **The run chose no threshold by {name}, and that of samples is not taken for it.**"
        lines[-1] += f" Left out because their samples have two classes: {unit.left_out}." * bool(unit.left_out)
        lines[-1] += "".join(f" {note}." for note in unit.notes)
        table = metrics_table(unit.evaluation.metrics["test"], unit.evaluation.counts["test"], BRIEFLY, positive)
        lines += ["", *table, ""]
    return lines


def _operating_lines(operating: dict[str, Operating]) -> list[str]:
    """Return the table of the choices of the run, which are used as they are."""
    if not (table := operating_table(operating)):
        return [
            "The run had no validation part, so the threshold is 0.5 and the probabilities are used as they are.",
            "",
        ]
    return ["These values were chosen by the run and are used as they are.", "", *table]
