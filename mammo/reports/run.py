"""From a run folder's tables to `metrics.json`, figures and `report.md`; needs nothing beside the folder."""

from pathlib import Path
from typing import Any

import pandas as pd

from mammo import figures
from mammo.datasets.findings import PARTS
from mammo.datasets.labels import find_task, task_of
from mammo.errors import InputError
from mammo.evaluation import curves
from mammo.evaluation.aggregate import RULES, UNITS, by_unit
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.evaluate import BRIEFLY, Judged, judge, metrics_table
from mammo.evaluation.leaks import check_labels, leaks, protocol, run_config
from mammo.evaluation.metrics import class_score
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import BASELINES, Answers, originals, read_tested
from mammo.evaluation.subgroups import beyond_shortcuts, by_stratum, one_liner
from mammo.files import write_text
from mammo.reports import leaderboard
from mammo.reports.markdown import PAPER_COLUMNS, confusion_counts, markdown, paper_rows, signed
from mammo.tables import read_json, write_json

NAMES = {
    "softmax": "the network's own output",
    "shortcuts": "a logistic regression on density, breast area, the crop's place and side, mean grey, share of black "
    "and centre-minus-surround brightness",
    "majority": "the most frequent class of the training part",
}


def write(folder: Path) -> dict[str, float]:
    """Writes metrics, figures and report; returns `<part>[_by_<unit>]/<head>/<metric>`: value, where defined."""
    predictions, classes = read_tested(folder / "predictions.csv")
    (provenance, config), audit = run_config(folder), read_json(folder / "split_audit.json")
    check_labels(predictions, pd.read_csv(folder / "samples.csv", dtype=str))
    chosen = (config["threshold"], config["select_on"])
    judged = judge(predictions, classes, *chosen)
    rule = config.get("aggregate", "mean")  # not noted by runs of earlier versions
    units: dict[str, tuple[Judged, int]] = {}
    for unit, column in UNITS.items():
        if unit == "patient" or originals(predictions).duplicated(["split", "head", column]).any():
            table, left_out = by_unit(predictions, find_task(config["task"]), unit, rule)
            units[unit] = judge(table, classes, *chosen, parts=("val", "test")), left_out
    films = units["image"][0] if config["crop"]["name"] == "grid" and "image" in units else None
    reasons = leaks(audit, provenance, predictions, judged.operating)
    facts = {"task": config["task"], "protocol": protocol(config), "leaks": reasons, **judged.as_json()}
    facts |= {f"by_{unit}": {"rule": rule, "left_out": out, **one.as_json()} for unit, (one, out) in units.items()}
    write_json(facts, folder / "metrics.json")
    _figures(folder, judged.answers["test"], judged.operating, config)
    lines = _first_lines(folder, config, provenance, reasons, judged, films)
    lines += ["", "## Samples", "", *_counts_table(classes, judged.counts, provenance["train_rows"]), ""]
    of_units = [line for unit, found in units.items() for line in _unit_lines(unit, *found, rule, config)]
    lines += _body(folder, judged, config["select_on"], of_units)
    lines += [f"Command: `{' '.join(provenance['command'])}`", ""]
    write_text("\n".join(lines), folder / "report.md")
    flat = judged.flat()
    for unit, (one, _) in units.items():
        flat |= one.flat(f"_by_{unit}")
    return flat


def from_predictions(path: Path, unit: str | None = None, rule: str = "mean") -> str:
    """The test metrics of a predictions table alone, as Markdown: so anyone can compute published numbers again."""
    predictions, classes = read_tested(path)
    note = "`_at_threshold`: by youden, `_calibrated`: by temperature, both on its split=val rows."
    if unit is not None:
        task = task_of(tuple(classes))
        if task is None:
            raise InputError(f"{path}: classes {', '.join(classes)} are of no task; leave --unit out")
        predictions, left_out = by_unit(predictions, task, unit, rule)
        note += f" By {unit}, from {RULES[rule]}; {left_out} left out, of two classes."
    if len(predictions.groupby(["seed", "fold"], dropna=False)) > 1:
        if unit is not None:
            raise InputError(f"{path}: several seeds or folds; --unit takes a table of one")
        return leaderboard.side_by_side([path])
    judged = judge(predictions, classes, "youden", "val", parts=("test",))
    return "\n".join([*metrics_table(judged.metrics["test"], judged.counts["test"]), "", note])


def _figures(folder: Path, heads: dict[str, Answers], operating: dict[str, Operating], config: dict[str, Any]) -> None:
    model = config["model"]["name"]
    names = list(next(iter(heads.values())).classes)
    for head, answers in heads.items():
        if head in BASELINES:
            continue
        drawn = figures.confusion(confusion_counts(answers)[::-1, ::-1], names[::-1], f"{model}, {head}, test")
        figures.save(drawn, folder / "figures" / f"confusion_{head}.png")
    seen = {head: answers for head, answers in heads.items() if head != "majority"}
    for index, name in list(enumerate(names))[1 if len(names) == 2 else 0 :]:
        pairs = {
            head: [draw(a.labels == index, class_score(a, index), a.patients) for draw in CURVES]
            for head, a in seen.items()
        }
        share = float((heads["majority"].labels == index).mean())
        n = len(heads["majority"])
        suffix = "" if len(names) == 2 else f"_{name}"
        figures.save(
            figures.roc_and_pr(pairs, share, f"{name}, test, n = {n}"), folder / "figures" / f"roc{suffix}.png"
        )
    bands = {}
    for head, answers in seen.items():
        if head != "shortcuts":
            before, after = answers, answers.calibrated(operating[head])
            bands[head] = [_reliability(before), _reliability(after) if operating[head].temperature else None]
    figures.save(
        figures.reliability(bands, names[1] if len(names) == 2 else None), folder / "figures" / "reliability.png"
    )
    if (folder / "curves.csv").is_file():
        table = pd.read_csv(folder / "curves.csv")
        watched = "val" if "val/loss" in table else "test"
        chose_nothing = watched == "test" and config["select_on"] == "val"
        note = " (test is drawn, and chose nothing)" if chose_nothing else ""
        figures.save(figures.curves(table, watched, f"{model}{note}"), folder / "figures" / "curves.png")


CURVES = (curves.roc, curves.precision_recall)


def _reliability(answers: Answers) -> curves.Band:
    """Of two classes, of the positive one's probability; of several, of the most probable one's."""
    if len(answers.classes) == 2:
        return curves.reliability(answers.probabilities[:, 1], answers.labels == 1, answers.patients)
    return curves.reliability(answers.probabilities.max(axis=1), answers.right, answers.patients)


def _first_lines(
    folder: Path,
    config: dict[str, Any],
    provenance: dict[str, Any],
    reasons: list[str],
    samples: Judged,
    films: Judged | None,
) -> list[str]:
    """Protocol, leaks and test metrics: of samples, or where those are patches for the most part, of films."""
    made = read_json(folder / "choices.json")
    judged = films if films and films.metrics.get("test") else samples
    test, counts = judged.answers["test"], judged.counts["test"]
    lines = [f"# {config['task']} by {config['model']['name']} on {config['data']['name']}", ""]
    if config["data"]["name"] == "phantom":
        lines += ["**Synthetic films: these numbers say that the program runs, and nothing about mammograms.**", ""]
    lines += [f"- Protocol: {protocol(config)}; seed {config['seed']}."]
    lines += [f"- Leaks: {'; '.join(reasons) if reasons else 'none found'}."]
    rule = config.get("aggregate", "mean")
    what = "samples" if judged is samples else f"films, each from its whole breast and patches (aggregate={rule}),"
    lines += [f"- Test: n = {counts['samples']} {what} of {counts['women']} women. "]
    lines[-1] += "Intervals are 95 %, by bootstrap over women."
    for head, values in judged.metrics["test"].items():
        area = "" if head == "majority" else f", AUROC {values['auroc']}"
        lines += [f"- {head}: accuracy {values['accuracy']}{area}{f'; {NAMES[head]}' if head in NAMES else ''}."]
    lines += [shortcut_verdict(judged.metrics["test"]["shortcuts"]["auroc"], beyond_shortcuts(test))]
    if config["crop"]["name"] == "grid":
        lines += [
            "- Numbers by sample, below, are of whole breasts and patches together: read those by film. The epoch and "
            "the heads were chosen by sample."
        ]
    elif config["crop"]["name"] != "whole":
        brightness = one_liner(pd.read_csv(folder / "samples.csv"), test["majority"])
        lines += [
            "- Windows are centred on the annotated lesion: this is classification, not detection. "
            f"Centre-minus-surround brightness alone, which has learnt nothing: AUROC {brightness}."
        ]
    if config["task"] == "abnormality":
        lines += ["- Positive means abnormal, benign findings included; the paper's tables say 'cancer' for it."]
    lines += [f"- Weights of epoch {made['epoch']['number']}: {made['epoch']['how']}."]
    lines += [f"- Head {name}: {head['how']}; {_settings(head['chosen'])}." for name, head in made["heads"].items()]
    return [*lines, *(f"- {note}." for note in provenance["notes"]), "", "No diagnostic use."]


def shortcut_verdict(shortcuts: Value, beyond: dict[str, Value]) -> str:
    """Whether what sees no lesion does as well: then the crops tell the class by themselves."""
    shown = ", ".join(f"{head} {signed(value)}" for head, value in beyond.items())
    line = f"- AUROC beyond the shortcuts, paired by woman: {shown}."
    if shortcuts.low is not None and shortcuts.low > 0.5:
        matched = [head for head, value in beyond.items() if value.low is None or value.low <= 0]
        if matched:
            line += (
                f" **The crops leak: the shortcuts are above chance, and {' and '.join(matched)} "
                f"{'is' if len(matched) == 1 else 'are'} not shown to be better than they are.**"
            )
    return line


def _body(folder: Path, judged: Judged, select_on: str, of_units: list[str]) -> list[str]:
    tested = judged.answers["test"]
    classes = list(tested["majority"].classes)
    lines = []
    for part in reversed(list(judged.metrics)):
        lines += [f"## {part.capitalize()}: metrics with 95 % intervals", ""]
        if part == "train":
            lines += ["Seen in training: these say how far it fitted, not how well it classifies.", ""]
        lines += [*metrics_table(judged.metrics[part], judged.counts[part]), ""]
        if part == "test":
            lines += _operating_lines(judged.operating, classes, select_on) + _strata_lines(folder, tested) + of_units
    lines += ["## Test counts in the form of Tables 3 and 4 of Behery et al. 2023", ""]
    lines += ["Per cent, truncated to two decimals as the paper's; for that comparison alone. Intervals are above.", ""]
    for head, answers in tested.items():
        rows = paper_rows(confusion_counts(answers), classes)
        lines += [f"{head}:", "", *markdown(PAPER_COLUMNS, rows), ""]
    lines += ["## Figures", ""]
    for image in sorted((folder / "figures").glob("*.png")):
        lines += [f"![{image.stem}](figures/{image.name})", ""]
    return lines


def _unit_lines(unit: str, judged: Judged, left_out: int, rule: str, config: dict[str, Any]) -> list[str]:
    """The section of films or women."""
    lines = [f"## Test by {unit}", "", f"A {unit}'s answer is {RULES[rule]} (aggregate={rule})."]
    if judged.metrics.get(config["select_on"]):
        where = "validation" if config["select_on"] == "val" else "the test part, a leak"
        lines[-1] += f" Threshold and temperature were chosen on such answers of {where}."
    lines[-1] += f" {left_out} left out, whose samples are of two classes." * bool(left_out)
    if "test" not in judged.metrics:
        return [*lines, "", "None is left.", ""]
    return [*lines, "", *metrics_table(judged.metrics["test"], judged.counts["test"], BRIEFLY), ""]


def _operating_lines(operating: dict[str, Operating], classes: list[str], select_on: str) -> list[str]:
    """What was chosen on validation, or on test, which is a leak."""
    chosen = {head: one for head, one in operating.items() if one.temperature is not None and head not in BASELINES}
    if not chosen:
        return ["No validation part: threshold 0.5, probabilities as they are.", ""]
    where = "validation and frozen" if select_on == "val" else "the test part, a leak"
    lines = [f"Chosen on {where}: the temperature (`_calibrated` is after it)"]
    lines[0] += ", and the score above which a sample is called positive." if len(classes) == 2 else "."
    rows = [
        [head, f"{one.temperature:.3f}", "" if one.threshold is None else f"{one.threshold:.4g}", one.rule]
        for head, one in chosen.items()
    ]
    return [*lines, "", *markdown(["head", "temperature", "threshold", "rule"], rows), ""]


def _strata_lines(folder: Path, heads: dict[str, Answers]) -> list[str]:
    header, rows = by_stratum(pd.read_csv(folder / "samples.csv"), heads)
    note = ["A stratum of one class has its AUROC against all test samples of the other class.", ""]
    two = len(heads["majority"].classes) == 2
    return ["## Test by stratum", "", *(note if two else []), *markdown(header, rows), ""]


def _counts_table(classes: list[str], counts: dict[str, dict[str, int]], train_rows: int) -> list[str]:
    names = [*classes, "samples", "women"]
    rows = [[part, *(str(counts[part][name]) for name in names)] for part in PARTS if counts[part]["samples"]]
    if train_rows > counts["train"]["samples"]:
        factor = train_rows // counts["train"]["samples"]
        grown = [str(counts["train"][name] * factor) for name in [*classes, "samples"]]
        rows.insert(1, ["train, augmented", *grown, rows[0][-1]])
    return markdown(["", *names], rows)


def _settings(chosen: dict[str, Any]) -> str:
    shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in chosen.items()}
    return ", ".join(f"{name.split('__')[-1]} {value}" for name, value in shown.items())
