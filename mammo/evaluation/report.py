"""From a run folder's tables to `metrics.json`, figures and `report.md`; needs nothing beside the folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo import InputError, figures
from mammo.data.index import PARTS
from mammo.evaluation.audit import leaks
from mammo.evaluation.metrics import (
    Value,
    confusion_metrics,
    evaluate,
    threshold_at_specificity,
    truncated_percent,
    weighted_auroc,
)
from mammo.predictions import read_json, read_predictions, write_json

PAPER_COLUMNS = ["Data", "TP", "TN", "FP", "FN", "ACC", "RECALL", "SPE", "PPV", "F"]
SHOWN = (
    *("accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "f1", "auroc", "average_precision"),
    *("sensitivity_at_specificity_90", "specificity_at_specificity_90", "mcc", "brier", "ece"),
)

Metrics = dict[str, dict[str, dict[str, Value]]]  # part, head, metric


def write(folder: Path) -> dict[str, float]:
    """Writes metrics, figures and report; returns `<part>/<head>/<metric>`: value, of those that are defined."""
    predictions, classes = read_predictions(folder / "predictions.csv")
    provenance, audit = read_json(folder / "provenance.json"), read_json(folder / "split_audit.json")
    config = provenance["config"]
    metrics = {part: _part(predictions, classes, part) for part in PARTS if (predictions["split"] == part).any()}
    reasons = leaks(config, audit, provenance)
    originals = _originals(predictions[predictions["head"] == "majority"])
    counts = {
        part: {"samples": int((originals["split"] == part).sum())}
        | {name: int(((originals["split"] == part) & (originals["label"] == name)).sum()) for name in classes}
        | {"films": audit["films"][part], "women": audit["women"][part]}
        for part in PARTS
    }
    plain = {
        part: {head: {name: value.as_json() for name, value in values.items()} for head, values in heads.items()}
        for part, heads in metrics.items()
    }
    write_json(
        {"task": config["task"], "protocol": protocol(config), "leaks": reasons, "n": counts} | plain,
        folder / "metrics.json",
    )
    _figures(folder, predictions, classes, config)
    text = _report(folder, predictions, classes, config, provenance, reasons, counts, metrics)
    (folder / "report.md").write_text(text)
    return {
        f"{part}/{head}/{name}": value.value
        for part, heads in metrics.items()
        for head, values in heads.items()
        for name, value in values.items()
        if value.value is not None
    }


def from_predictions(path: Path) -> str:
    """The test metrics of a predictions table alone, as Markdown: so anyone can compute published numbers again."""
    predictions, classes = read_predictions(path)
    if not (predictions["split"] == "test").any():
        raise InputError(f"{path}: no row has split=test; expected a table of predictions with a test part")
    heads = _part(predictions, classes, "test")
    n = (_originals(predictions)["split"] == "test").sum() // len(heads)
    return "\n".join(markdown([f"n = {n}", *heads], _metric_rows(heads)))


def protocol(config: dict[str, Any]) -> str:
    """The protocol in words of the command line."""
    data, fold = config["data"], config["data"]["fold"]
    folds = "" if fold is None else f", fold {fold} of {data['folds']}"
    return f"split={config['split']['name']}{folds}, crop={config['crop']['name']}, augment={config['augment']['mode']}"


def _originals(table: pd.DataFrame) -> pd.DataFrame:
    """Without the copies of an expansion, which are no samples of their own."""
    return table[~table["sample_id"].str.contains(r"\.c\d+$")]


def _part(predictions: pd.DataFrame, classes: list[str], part: str) -> dict[str, dict[str, Value]]:
    found = {}
    for head, table in _originals(predictions).groupby("head", sort=False):
        labels, probabilities, score = _arrays(table, classes)
        inside = (table["split"] == part).to_numpy()
        chosen_on = (table["split"] == "val").to_numpy()
        threshold = None
        if score is not None and chosen_on.any():
            threshold = threshold_at_specificity(labels[chosen_on] == 1, score[chosen_on], 0.9)
        found[str(head)] = evaluate(
            labels[inside],
            probabilities[inside],
            None if score is None else score[inside],
            table["patient"].to_numpy()[inside],
            classes,
            threshold_90=threshold,
        )
    return found


def _arrays(table: pd.DataFrame, classes: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    labels = table["label"].map({name: i for i, name in enumerate(classes)}).to_numpy()
    probabilities = table[[f"p_{name}" for name in classes]].to_numpy(float)
    score = table["score"].to_numpy(float)
    return labels, probabilities, None if np.isnan(score).any() else score


def confusion_counts(table: pd.DataFrame, classes: list[str]) -> np.ndarray:
    """Counts (actual, predicted) of one head's rows."""
    labels, probabilities, _ = _arrays(table, classes)
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (labels, probabilities.argmax(axis=1)), 1)
    return counts


def paper_rows(counts: np.ndarray, classes: list[str]) -> list[list[str]]:
    """The rows of Tables 3 and 4 of Behery et al. 2023: each class as the positive one, per cent truncated."""
    rows = []
    for index in reversed(range(len(classes))):
        tp = int(counts[index, index])
        fp, fn = int(counts[:, index].sum()) - tp, int(counts[index].sum()) - tp
        tn = int(counts.sum()) - tp - fp - fn
        named = confusion_metrics(tp, tn, fp, fn)
        cells = [named[key] for key in ("accuracy", "sensitivity", "specificity", "precision", "f1")]
        shown = ["undefined" if np.isnan(cell) else truncated_percent(cell) for cell in cells]
        rows.append([classes[index], *map(str, (tp, tn, fp, fn)), *shown])
    return rows


def _figures(folder: Path, predictions: pd.DataFrame, classes: list[str], config: dict[str, Any]) -> None:
    test = predictions[predictions["split"] == "test"]
    for head, table in test.groupby("head", sort=False):
        if head != "majority":
            counts = confusion_counts(table, classes)[::-1, ::-1]
            drawn = figures.confusion(counts, classes[::-1], f"{config['model']['name']}, {head}, test")
            figures.save(drawn, folder / "figures" / f"confusion_{head}.png")
    if (folder / "curves.csv").is_file():
        table = pd.read_csv(folder / "curves.csv")
        watched = "val" if "val/loss" in table else "test"
        note = "" if watched == "val" else " (test is drawn, and chose nothing)"
        figures.save(
            figures.curves(table, watched, f"{config['model']['name']}{note}"), folder / "figures" / "curves.png"
        )


def _report(
    folder: Path,
    predictions: pd.DataFrame,
    classes: list[str],
    config: dict[str, Any],
    provenance: dict[str, Any],
    reasons: list[str],
    counts: dict[str, dict[str, int]],
    metrics: Metrics,
) -> str:
    choices = read_json(folder / "choices.json")
    test = predictions[predictions["split"] == "test"]
    majority = metrics["test"]["majority"]["accuracy"].value
    lines = [f"# {config['task']} by {config['model']['name']} on {config['data']['name']}", ""]
    if config["data"]["name"] == "phantom":
        lines += ["**Synthetic films: these numbers say that the program runs, and nothing about mammograms.**", ""]
    lines += [f"- Protocol: {protocol(config)}; seed {config['seed']}."]
    lines += [f"- Leaks: {'; '.join(reasons) if reasons else 'none found'}."]
    lines += [
        f"- The majority class alone would score {_percent(majority)} accuracy "
        f"on these {counts['test']['samples']} test samples."
    ]
    if config["crop"]["name"] != "whole":
        lines += [
            "- Windows are centred on the annotated lesion: this is classification, not detection. "
            + _one_liner(folder)
        ]
    if config["task"] == "abnormality":
        lines += ["- Positive means abnormal, benign findings included; the paper's tables say 'cancer' for it."]
    lines += [f"- Weights of epoch {choices['epoch']['number']}: {choices['epoch']['how']}."]
    lines += [f"- Head {name}: {head['how']}; {_settings(head['chosen'])}." for name, head in choices["heads"].items()]
    lines += [f"- {note}." for note in provenance["notes"]]
    lines += ["", "No diagnostic use.", "", "## Samples", "", *_counts_table(classes, counts, provenance["train_rows"])]
    for head, table in test.groupby("head", sort=False):
        rows = paper_rows(confusion_counts(table, classes), classes)
        lines += ["", f"## Test, {head}: the form of Tables 3 and 4", "", *markdown(PAPER_COLUMNS, rows)]
    lines += ["", "Per cent, truncated to two decimals as the paper's; everywhere else numbers are rounded.", ""]
    for part, heads in reversed(metrics.items()):
        lines += [f"## {part.capitalize()}: metrics with 95 % intervals (bootstrap over women)", ""]
        if part == "train":
            lines += ["Seen in training: these say how far it fitted, not how well it classifies.", ""]
        lines += [*markdown([f"n = {counts[part]['samples']}", *heads], _metric_rows(heads)), ""]
    lines += ["## Figures", ""]
    for image in sorted((folder / "figures").glob("*.png")):
        lines += [f"![{image.stem}](figures/{image.name})", ""]
    lines += [f"Command: `{' '.join(provenance['command'])}`", ""]
    return "\n".join(lines)


def _metric_rows(heads: dict[str, dict[str, Value]]) -> list[list[str]]:
    return [[name, *(_cell(values.get(name)) for values in heads.values())] for name in SHOWN]


def _one_liner(folder: Path) -> str:
    samples = pd.read_csv(folder / "samples.csv")
    test = samples[samples["split"] == "test"]
    abnormal = (test["severity"] != "normal").to_numpy()
    if abnormal.all() or not abnormal.any():
        return ""
    value = weighted_auroc(abnormal, test["contrast"].to_numpy(), np.ones((1, len(test))))[0]
    return f"Centre-minus-surround brightness alone, which has learnt nothing, has AUROC {value:.3f} for abnormal here."


def _counts_table(classes: list[str], counts: dict[str, dict[str, int]], train_rows: int) -> list[str]:
    names = [*classes, "samples", "films", "women"]
    rows = [[part, *(str(counts[part][name]) for name in names)] for part in PARTS if counts[part]["samples"]]
    if train_rows > counts["train"]["samples"]:
        factor = train_rows // counts["train"]["samples"]
        grown = [str(counts["train"][name] * factor) for name in [*classes, "samples"]]
        rows.insert(1, ["train, augmented", *grown, rows[0][-2], rows[0][-1]])
    return markdown(["", *names], rows)


def markdown(header: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a Markdown table."""
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _settings(chosen: dict[str, Any]) -> str:
    shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in chosen.items()}
    return ", ".join(f"{name.split('__')[-1]} {value}" for name, value in shown.items())


def _percent(fraction: float | None) -> str:
    return "undefined" if fraction is None else f"{100 * fraction:.1f} %"


def _cell(value: Value | None) -> str:
    if value is None:
        return ""
    if value.value is None:
        return "undefined"
    return f"{value.value:.3f}" if value.low is None else f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"
