"""The figures of one run: confusion matrices, ROC, precision-recall, reliability and training curves."""

import re
from pathlib import Path

import pandas as pd

from mammo.config import Config
from mammo.drawn import once
from mammo.evaluation import curves
from mammo.evaluation.evaluate import Evaluation
from mammo.evaluation.metrics import class_score
from mammo.evaluation.predictions import BASELINES, Predictions


def draw(folder: Path, config: Config, evaluation: Evaluation, epochs: pd.DataFrame | None) -> None:
    """Draw the test predictions of each head, and the curves over epochs, into a folder.

    Args:
        folder: The folder for the PNG files.
        config: The configuration of the run.
        evaluation: The evaluation of its samples.
        epochs: The content of `curves.csv`; None if nothing was trained.
    """
    model, heads = config.network, evaluation.tested
    classes = list(heads["majority"].classes)
    for head, one in heads.items():
        if head not in BASELINES:
            shown = one.confusion[::-1, ::-1], classes[::-1], f"{model}, {head}, test"
            once(folder / f"confusion_{head}.png", "confusion", *shown)
    draw_heads(folder, evaluation, "test")
    if epochs is not None:
        watched = "val" if "val/loss" in epochs else "test"
        chose_nothing = watched == "test" and config.select_on == "val"
        note = " (test is shown, but not used to choose)" if chose_nothing else ""
        once(folder / "curves.png", "curves", epochs, watched, f"{model}{note}")


def draw_heads(folder: Path, evaluation: Evaluation, title: str) -> None:
    """Draw ROC and precision-recall of each class, and reliability, of all heads except the majority class.

    Args:
        folder: The folder for the PNG files.
        evaluation: An evaluation that has a test split.
        title: The name of what was tested.
    """
    seen = {head: one for head, one in evaluation.tested.items() if head != "majority"}
    first = next(iter(seen.values()))
    labels, classes = first.labels, list(first.classes)
    two = len(classes) == 2
    for index, name in list(enumerate(classes))[1 if two else 0 :]:
        if len(set(labels == index)) < 2:
            continue  # all samples, or none, are of this class: there is no curve
        drawn_by = (curves.roc, curves.precision_recall)
        bands = {
            head: [curve(one.labels == index, class_score(one, index), one.who.ranked) for curve in drawn_by]
            for head, one in seen.items()
        }
        shown = bands, float((labels == index).mean()), f"positive: {name}; {title}, n = {len(labels)}"
        once(folder / ("roc.png" if two else f"roc_{_file_name(name, index)}.png"), "roc_and_pr", *shown)
    reliable = {
        head: [_reliability(one), _reliability(one.calibrated(operating)) if operating.temperature else None]
        for head, one in seen.items()
        if head != "shortcuts" and one.decides
        for operating in [evaluation.operating[head]]
    }
    if reliable:
        once(folder / "reliability.png", "reliability", reliable, classes[1] if two else None)


def _file_name(name: str, index: int) -> str:
    """Return a class name as a part of a file name; a name with a slash or blank gets its number."""
    plain = re.sub(r"[^\w.+-]", "_", name)
    return plain if plain == name else f"{plain}_{index}"


def _reliability(predictions: Predictions) -> curves.Band:
    """Return the curve of the positive class of two, or of the most probable one of several."""
    if len(predictions.classes) == 2:
        return curves.reliability(predictions.probabilities[:, 1], predictions.labels == 1, predictions.who.ranked)
    return curves.reliability(predictions.probabilities.max(axis=1), predictions.right, predictions.who.ranked)
