"""Write `metrics.json`, figures and `report.md` from the tables of a run folder; nothing else is needed."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.config import Config
from mammo.datasets.findings import PARTS
from mammo.datasets.labels import Labels
from mammo.evaluation.aggregate import RULES, by_unit, rows_for_units, telling_units, unit_notes, with_places
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.evaluate import Evaluation, Metrics, evaluate_table, flat
from mammo.evaluation.leaks import Leak, check_tables, protocol
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import Predictions
from mammo.evaluation.subgroups import beyond_shortcuts, by_subgroup, facts_of, one_liner
from mammo.files import write_json, write_text
from mammo.reports import explained, places, run_figures
from mammo.reports.markdown import markdown, page, signed
from mammo.reports.operating import operating_table, opposed
from mammo.reports.paper import PAPER_COLUMNS, paper_rows
from mammo.reports.samples import datasets, samples_of_each, sources_of, synthetic_lines
from mammo.run_folder import RunFolder
from mammo.wording import number_of

SHOWN = (
    *("accuracy", "balanced_accuracy", "auroc", "average_precision", "sensitivity", "specificity", "precision", "f1"),
    *("accuracy_at_threshold", "sensitivity_at_threshold", "specificity_at_threshold"),
    *("sensitivity_at_specificity_90", "specificity_at_specificity_90", "mcc", "quadratic_kappa"),
    *("brier", "brier_calibrated", "ece", "ece_calibrated"),
)
BRIEFLY = [name for name in SHOWN if not name.endswith("_90") and not name.startswith(("precision", "f1", "ece"))]
HEADS = {
    "softmax": "the network's own output",
    "detector": "the mean of the film's hottest places",
    "detector_partner": "the same less detector.partner_share of that of the other breast, so it needs two films",
    "shortcuts": "a baseline: a logistic regression on density, breast area, place and size of the crop, mean grey "
    "level, share of black pixels, how much brighter the middle is than its surround, and the data set if there are "
    "several",
    "majority": "a baseline: it always says the most frequent class of the training part",
}
WHERE = {"val": "the validation part and then kept fixed", "test": "the test part, which is a leak"}

Units = dict[str, tuple[Evaluation, int, list[str]]]  # by unit: with the number of those left out, and notes


def write(folder: Path) -> dict[str, float]:
    """Write metrics, figures and report; return all defined metrics, `<split>[_by_<unit>]/<head>/<metric>`: value."""
    run = RunFolder(folder)
    config, samples, (table, classes) = run.config, run.reported, run.predictions()
    check_tables(table, samples, run.split)
    evaluation = evaluate_table(table, classes, config.threshold, config.select_on)
    leaks = run.find_leaks(table, classes, evaluation.operating)
    table = with_places(table, samples)
    of_units = {unit: unit_notes(table, unit) for unit in telling_units(table)}
    table = rows_for_units(table)  # the others are forgotten, as they may be many
    units = _by_units(config, table, classes, of_units)
    facts: dict[str, Any] = {"task": config.task.name, "protocol": protocol(config)}
    facts["leaks"] = [vars(leak) for leak in leaks]
    facts |= evaluation.as_json()
    for unit, (one, left_out, notes) in units.items():
        said = {"notes": notes} if notes else {}
        facts[f"by_{unit}"] = {"rule": config.aggregate, "left_out": left_out, **said, **one.as_json()}
    epochs = pd.read_csv(folder / "curves.csv") if (folder / "curves.csv").is_file() else None
    run_figures.draw(folder / "figures", config, evaluation, epochs)
    marks, maps = places.write(run), run.explained
    seen = {} if maps is None else {"explained": explained.facts(maps)}
    write_json(facts | marks.facts | seen, folder / "metrics.json")
    names = datasets(samples) or [run.provenance["dataset"]["name"]]
    tested = facts_of(samples, evaluation.tested["majority"])
    lines = [
        *_first_lines(run, names, tested, evaluation, units, leaks),
        *("", "## Samples", "", *_counts_table(classes, evaluation.counts, run.provenance["train_rows"]), ""),
        *marks.lines,
        *([] if maps is None else [*explained.lines(maps), ""]),
        *_metrics_lines(run, names, tested, evaluation, units),
        *(_paper_lines(evaluation, classes) if config.split.name.startswith("paper") else []),
        *("## Figures", ""),
    ]
    for image in sorted((folder / "figures").glob("*.png")):
        lines += [f"![{image.stem}](figures/{image.name})", ""]
    lines += [f"Command: `{shlex.join(run.provenance['command'])}`", ""]
    write_text(page(lines), folder / "report.md")
    numbers = flat(evaluation.metrics) | marks.flat
    for unit, (one, *_) in units.items():
        numbers |= flat(one.metrics, f"_by_{unit}")
    return numbers


def _by_units(config: Config, table: pd.DataFrame, classes: list[str], notes: dict[str, list[str]]) -> Units:
    """Return the evaluations by each of the units that have notes."""
    units, labels = {}, Labels.from_config(config.task)
    for unit, said in notes.items():
        of_units, left_out = by_unit(table, labels, unit, config.aggregate)
        found = evaluate_table(of_units, classes, config.threshold, config.select_on, splits=("val", "test"))
        units[unit] = found, left_out, said
    return units


def _first_lines(
    run: RunFolder, names: list[str], tested: pd.DataFrame, evaluation: Evaluation, units: Units, leaks: list[Leak]
) -> list[str]:
    """Return the first lines: protocol, leaks and test metrics, by sample, or by image if it has many samples."""
    config, crop = run.config, run.crop
    shown, what = evaluation, "samples"
    if crop["several_per_image"] and "image" in units and "test" in units["image"][0].metrics:
        shown, what = units["image"][0], f"images, each from its samples (aggregate={config.aggregate}),"
    test, counts = shown.tested, shown.counts["test"]
    lines = [f"# {config.task.name} by {config.network} on {' and '.join(names)}", "", *synthetic_lines(names)]
    lines += [
        f"- Protocol: {protocol(config)}; seed {config.seed}.",
        f"- Leaks: {'; '.join(map(str, leaks)) or 'none found'}.",
        f"- Test: n = {counts['samples']} {what} of {number_of(counts['patients'], 'patient')}. "
        "Numbers in brackets are 95 % intervals, from a bootstrap over patients.",
    ]
    if len(names) > 1:
        lines += [f"- {samples_of_each(tested, names, run.provenance['classes'])}."]
    if config.task.column == "severity":
        lines += [f"- {sources_of(tested)}."]
    else:
        lines += [f"- Labels of the test samples are those of the column {config.task.column}."]
    for head, values in shown.metrics["test"].items():
        area = "" if head == "majority" else f", AUROC {values['auroc']}"
        lines += [f"- {head}: accuracy {values['accuracy']}{area}{f'; {HEADS[head]}' if head in HEADS else ''}."]
    lines += opposed(evaluation.tested)
    lines += [shortcut_verdict(shown.metrics["test"]["shortcuts"]["auroc"], beyond_shortcuts(test))]
    lines += _crop_lines(crop, tested, test["majority"])
    if config.task.name == "abnormality":
        paper = " The tables of Behery et al. 2023 call it cancer." * config.split.name.startswith("paper")
        lines += [f"- Positive means abnormal, which includes benign findings.{paper}"]
    elif positive := _positive(run):
        lines += [f"- Positive means {positive}."]
    lines += _choice_lines(run.selection)
    return [*lines, *(f"- {note}." for note in run.provenance["notes"]), "", "Not for diagnostic use."]


def _crop_lines(crop: dict[str, Any], tested: pd.DataFrame, majority: Predictions) -> list[str]:
    """Return what a reader must know of the crops: that an image has several, or what their brightness alone tells."""
    lines = [f"- {crop['caption']}."] if crop["caption"] else []
    if crop["several_per_image"]:
        lines += [
            "- An image has several samples. So read the tables by image below, not those by sample. "
            "The epoch and the heads were chosen by sample."
        ]
    elif crop["caption"]:
        brightness = one_liner(tested, majority)
        lines += [f"- Brightness of the middle minus that of its surround, without any training: AUROC {brightness}."]
    return lines


def _choice_lines(selection: dict[str, Any]) -> list[str]:
    """Return how the weights, the heads and the probabilities were chosen."""
    lines = []
    if selection.get("detector", {}).get("fitted_on") == "train":
        lines += [
            "- Probabilities were fitted on the training part, as there is no validation part: they are too sure, and "
            "accuracies with them. Scores and AUROC do not depend on it."
        ]
    lines += [f"- The weights are those of epoch {selection['epoch']['number']}: {selection['epoch']['how']}."]
    lines += [f"- Head {name}: {how['how']}{_settings(how['chosen'])}." for name, how in selection["heads"].items()]
    return lines


def shortcut_verdict(shortcuts: Value, beyond: dict[str, Value]) -> str:
    """Return a line that compares the heads with the shortcuts, and warns if the crops alone tell the class."""
    shown = ", ".join(f"{head} {signed(value)}" for head, value in beyond.items())
    line = f"- AUROC minus the AUROC of the shortcuts, on the same patients: {shown}."
    line += " If an interval contains 0, no difference is shown."
    if shortcuts.low is not None and shortcuts.low > 0.5:
        matched = [head for head, value in beyond.items() if value.low is None or value.low <= 0]
        if matched:
            line += (
                f" **The crops leak: the shortcuts are above chance, and {' and '.join(matched)} "
                f"{'is' if len(matched) == 1 else 'are'} not shown to be better than the shortcuts.**"
            )
    return line


def _metrics_lines(
    run: RunFolder, names: list[str], tested: pd.DataFrame, evaluation: Evaluation, units: Units
) -> list[str]:
    """Return the sections of each split, test first, with its choices, subgroups and units."""
    config, lines = run.config, []
    for split in reversed(list(evaluation.metrics)):
        lines += [f"## {split.capitalize()}: metrics with 95 % intervals", ""]
        if split == "train":
            lines += ["These samples were used for training, so their numbers do not hold for new images.", ""]
        lines += [*metrics_table(evaluation.metrics[split], evaluation.counts[split], positive=_positive(run)), ""]
        if split == "test":
            header, rows = by_subgroup(tested, evaluation.tested)
            note = ["A subgroup with one class only is compared with all test samples of the other class."]
            note[0] += " A data set is not: its scanner would tell the class." * (len(names) > 1)
            note.append("")
            two = len(evaluation.tested["majority"].classes) == 2
            lines += _operating_lines(evaluation.operating, config.select_on, two)
            lines += ["## Test by subgroup", "", *(note if two else []), *markdown(header, rows), ""]
            for unit, (one, left_out, notes) in units.items():
                lines += _unit_lines(unit, one, left_out, notes, config, _positive(run))
    return lines


def _unit_lines(
    unit: str, evaluation: Evaluation, left_out: int, notes: list[str], config: Config, positive: str | None
) -> list[str]:
    """Return the section of images, breasts, exams or patients."""
    rule, select_on = config.aggregate, config.select_on
    lines = [f"## Test by {unit}", "", f"Each {unit} takes {RULES[rule]} (aggregate={rule})."]
    if evaluation.metrics.get(select_on):
        lines[-1] += f" Threshold and temperature were chosen on the {unit}s of {WHERE[select_on]}."
    lines[-1] += f" Left out because their samples have two classes: {left_out}." * bool(left_out)
    lines[-1] += "".join(f" {note}." for note in notes)
    if "test" not in evaluation.metrics:
        return [*lines, "", f"No {unit} is left.", ""]
    return [*lines, "", *metrics_table(evaluation.metrics["test"], evaluation.counts["test"], BRIEFLY, positive), ""]


def _operating_lines(operating: dict[str, Operating], select_on: str, two: bool) -> list[str]:
    """Return the section of the choices that were made on validation, or on test, which is a leak."""
    if not (table := operating_table(operating)):
        return ["There is no validation part, so the threshold is 0.5 and the probabilities are used as they are.", ""]
    lines = [f"These values were chosen on {WHERE[select_on]}. "]
    lines[0] += "The temperature calibrates the probabilities (`_calibrated`)."
    lines[0] += " A sample is called positive if its score is above the threshold (`_at_threshold`)." * two
    return [*lines, "", *table]


def _paper_lines(evaluation: Evaluation, classes: list[str]) -> list[str]:
    lines = ["## Test counts in the form of Tables 3 and 4 of Behery et al. 2023", ""]
    lines += ["Per cent, truncated to two decimals as in the paper, only to compare with it. Intervals are above.", ""]
    for head, one in evaluation.tested.items():
        lines += [f"{head}:", "", *markdown(PAPER_COLUMNS, paper_rows(one.confusion, classes)), ""]
    return lines


def metrics_table(
    metrics: Metrics, counts: dict[str, int], shown: Sequence[str] = SHOWN, positive: str | None = None
) -> list[str]:
    """Return the table of a split, with a column for each head; its header names the positive one of two classes."""
    of = f"; positive: {positive} ({counts[positive]})" if positive else ""
    header = [f"n = {counts['samples']}, {number_of(counts['patients'], 'patient')}{of}", *metrics]
    names = [name for name in shown if any(name in values for values in metrics.values())]
    return markdown(header, [[name, *(str(values.get(name, "")) for values in metrics.values())] for name in names])


def _positive(run: RunFolder) -> str | None:
    """Return the positive one of two classes; None for more classes."""
    classes = run.provenance["classes"]
    return classes[1] if len(classes) == 2 else None


def _counts_table(classes: list[str], counts: dict[str, dict[str, int]], train_rows: int) -> list[str]:
    names = [*classes, "samples", "patients"]
    rows = [[split, *(str(counts[split][name]) for name in names)] for split in PARTS if counts[split]["samples"]]
    if train_rows > counts["train"]["samples"]:
        factor = train_rows // counts["train"]["samples"]
        grown = [str(counts["train"][name] * factor) for name in [*classes, "samples"]]
        rows.insert(1, ["train, augmented", *grown, rows[0][-1]])
    return markdown(["", *names], rows)


def _settings(chosen: dict[str, Any]) -> str:
    shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in chosen.items()}
    return "".join(
        f"{', ' if at else '; '}{name.split('__')[-1]} {one}" for at, (name, one) in enumerate(shown.items())
    )
