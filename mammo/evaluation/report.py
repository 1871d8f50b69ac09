"""From a run folder's tables to `metrics.json`, figures and `report.md`; needs nothing beside the folder."""

from pathlib import Path
from typing import Any

import pandas as pd

from mammo import figures
from mammo.data.index import PARTS
from mammo.evaluation import curves, leaderboard
from mammo.evaluation.answers import BASELINES, Answers, choices, of_part, read_tested
from mammo.evaluation.audit import check_labels, leaks, protocol, run_config
from mammo.evaluation.intervals import Value
from mammo.evaluation.metrics import class_score, evaluate
from mammo.evaluation.operating import Operating
from mammo.evaluation.strata import beyond_shortcuts, by_stratum, one_liner
from mammo.evaluation.tables import PAPER_COLUMNS, confusion_counts, markdown, paper_rows, signed
from mammo.predictions import read_json, write_json

SHOWN = (
    *("accuracy", "balanced_accuracy", "auroc", "average_precision", "sensitivity", "specificity", "precision", "f1"),
    *("accuracy_at_threshold", "sensitivity_at_threshold", "specificity_at_threshold"),
    *("sensitivity_at_specificity_90", "specificity_at_specificity_90", "mcc"),
    *("brier", "brier_calibrated", "ece", "ece_calibrated"),
)
NAMES = {
    "softmax": "the network's own output",
    "shortcuts": "a logistic regression on density, breast area, the crop's place and side, mean grey, share of black "
    "and centre-minus-surround brightness",
    "majority": "the most frequent class of the training part",
}

Metrics = dict[str, dict[str, Value]]  # head, metric


def write(folder: Path) -> dict[str, float]:
    """Writes metrics, figures and report; returns `<part>/<head>/<metric>`: value, of those that are defined."""
    predictions, classes = read_tested(folder / "predictions.csv")
    (provenance, config), audit = run_config(folder), read_json(folder / "split_audit.json")
    check_labels(predictions, pd.read_csv(folder / "samples.csv", dtype=str))
    operating = choices(predictions, classes, config["threshold"], config["select_on"])
    parts = {part: of_part(predictions, classes, part) for part in PARTS}
    metrics = {part: _evaluated(heads, operating) for part, heads in parts.items() if heads}
    reasons = leaks(audit, provenance, predictions, operating)
    counts = {part: _counts(heads, classes) for part, heads in parts.items()}
    plain = {
        part: {head: {name: value.as_json() for name, value in values.items()} for head, values in heads.items()}
        for part, heads in metrics.items()
    }
    frozen = {"operating": {head: vars(chosen) for head, chosen in operating.items()}}
    facts = {"task": config["task"], "protocol": protocol(config), "leaks": reasons, "n": counts} | frozen
    write_json(facts | plain, folder / "metrics.json")
    _figures(folder, parts["test"], operating, config)
    lines = _first_lines(folder, config, provenance, reasons, parts["test"], metrics["test"])
    lines += ["", "## Samples", "", *_counts_table(classes, counts, provenance["train_rows"]), ""]
    lines += _body(folder, parts, metrics, counts, operating, config["select_on"])
    lines += [f"Command: `{' '.join(provenance['command'])}`", ""]
    (folder / "report.md").write_text("\n".join(lines))
    return {
        f"{part}/{head}/{name}": value.value
        for part, heads in metrics.items()
        for head, values in heads.items()
        for name, value in values.items()
        if value.value is not None
    }


def from_predictions(path: Path) -> str:
    """The test metrics of a predictions table alone, as Markdown: so anyone can compute published numbers again."""
    predictions, classes = read_tested(path)
    if len(predictions.groupby(["seed", "fold"], dropna=False)) > 1:
        return leaderboard.side_by_side([path])
    heads = of_part(predictions, classes, "test")
    metrics = _evaluated(heads, choices(predictions, classes))
    lines = _metrics_table(metrics, _counts(heads, classes))
    return "\n".join(
        [*lines, "", "`_at_threshold`: by youden, `_calibrated`: by temperature, both on its split=val rows."]
    )


def _evaluated(heads: dict[str, Answers], operating: dict[str, Operating]) -> Metrics:
    return {head: evaluate(answers, operating[head]) for head, answers in heads.items()}


def _counts(heads: dict[str, Answers], classes: list[str]) -> dict[str, int]:
    if not heads:
        return dict.fromkeys(["samples", *classes, "women"], 0)
    any_head = next(iter(heads.values()))
    by_class = {name: int((any_head.labels == i).sum()) for i, name in enumerate(classes)}
    return {"samples": len(any_head), **by_class, "women": len(set(any_head.patients))}


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
    test: dict[str, Answers],
    metrics: Metrics,
) -> list[str]:
    made = read_json(folder / "choices.json")
    n, women = len(test["majority"]), len(set(test["majority"].patients))
    lines = [f"# {config['task']} by {config['model']['name']} on {config['data']['name']}", ""]
    if config["data"]["name"] == "phantom":
        lines += ["**Synthetic films: these numbers say that the program runs, and nothing about mammograms.**", ""]
    lines += [f"- Protocol: {protocol(config)}; seed {config['seed']}."]
    lines += [f"- Leaks: {'; '.join(reasons) if reasons else 'none found'}."]
    lines += [f"- Test: n = {n} samples of {women} women. Intervals are 95 %, by bootstrap over women."]
    for head, values in metrics.items():
        area = "" if head == "majority" else f", AUROC {values['auroc']}"
        lines += [f"- {head}: accuracy {values['accuracy']}{area}{f'; {NAMES[head]}' if head in NAMES else ''}."]
    lines += [shortcut_verdict(metrics["shortcuts"]["auroc"], beyond_shortcuts(test))]
    if config["crop"]["name"] != "whole":
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


def _body(
    folder: Path,
    parts: dict[str, dict[str, Answers]],
    metrics: dict[str, Metrics],
    counts: dict[str, dict[str, int]],
    operating: dict[str, Operating],
    select_on: str,
) -> list[str]:
    classes = list(parts["test"]["majority"].classes)
    lines = []
    for part in reversed(list(metrics)):
        lines += [f"## {part.capitalize()}: metrics with 95 % intervals", ""]
        if part == "train":
            lines += ["Seen in training: these say how far it fitted, not how well it classifies.", ""]
        lines += [*_metrics_table(metrics[part], counts[part]), ""]
        if part == "test":
            lines += _operating_lines(operating, classes, select_on) + _strata_lines(folder, parts["test"])
    lines += ["## Test counts in the form of Tables 3 and 4 of Behery et al. 2023", ""]
    lines += ["Per cent, truncated to two decimals as the paper's; for that comparison alone. Intervals are above.", ""]
    for head, answers in parts["test"].items():
        rows = paper_rows(confusion_counts(answers), classes)
        lines += [f"{head}:", "", *markdown(PAPER_COLUMNS, rows), ""]
    lines += ["## Figures", ""]
    for image in sorted((folder / "figures").glob("*.png")):
        lines += [f"![{image.stem}](figures/{image.name})", ""]
    return lines


def _metrics_table(metrics: Metrics, counts: dict[str, int]) -> list[str]:
    header = [f"n = {counts['samples']}, {counts['women']} women", *metrics]
    names = [name for name in SHOWN if any(name in values for values in metrics.values())]
    return markdown(header, [[name, *(str(values.get(name, "")) for values in metrics.values())] for name in names])


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
