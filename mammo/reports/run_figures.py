"""The figures of one run: confusion matrices, ROC, precision-recall, reliability and training curves."""

from pathlib import Path

import pandas as pd

from mammo import figures
from mammo.config import Config
from mammo.evaluation import curves
from mammo.evaluation.evaluate import Evaluation
from mammo.evaluation.metrics import class_score
from mammo.evaluation.predictions import BASELINES, Predictions


def draw(folder: Path, config: Config, evaluation: Evaluation, epochs: pd.DataFrame | None) -> None:
    """Draw the test predictions of each head, and what was watched in each epoch, into a folder.

    Args:
        folder: For the PNG files.
        config: Of the run.
        evaluation: Of its samples.
        epochs: The content of `curves.csv`; None if nothing was trained.
    """
    heads, classes = evaluation.predictions["test"], list(evaluation.predictions["test"]["majority"].classes)
    two, model = len(classes) == 2, config.model.name
    for head, one in heads.items():
        if head not in BASELINES:
            drawn = figures.confusion(one.confusion[::-1, ::-1], classes[::-1], f"{model}, {head}, test")
            figures.save(drawn, folder / f"confusion_{head}.png")
    seen = {head: one for head, one in heads.items() if head != "majority"}
    labels = heads["majority"].labels
    for index, name in list(enumerate(classes))[1 if two else 0 :]:
        drawn_by = (curves.roc, curves.precision_recall)
        bands = {
            head: [curve(one.labels == index, class_score(one, index), one.patients) for curve in drawn_by]
            for head, one in seen.items()
        }
        drawn = figures.roc_and_pr(bands, float((labels == index).mean()), f"{name}, test, n = {len(labels)}")
        figures.save(drawn, folder / ("roc.png" if two else f"roc_{name}.png"))
    reliable = {
        head: [_reliability(one), _reliability(one.calibrated(operating)) if operating.temperature else None]
        for head, one in seen.items()
        if head != "shortcuts"
        for operating in [evaluation.operating[head]]
    }
    figures.save(figures.reliability(reliable, classes[1] if two else None), folder / "reliability.png")
    if epochs is not None:
        watched = "val" if "val/loss" in epochs else "test"
        chose_nothing = watched == "test" and config.select_on == "val"
        note = " (test is drawn, and chose nothing)" if chose_nothing else ""
        figures.save(figures.curves(epochs, watched, f"{model}{note}"), folder / "curves.png")


def _reliability(predictions: Predictions) -> curves.Band:
    """Return the curve of the positive class of two, or of the most probable one of several."""
    if len(predictions.classes) == 2:
        return curves.reliability(predictions.probabilities[:, 1], predictions.labels == 1, predictions.patients)
    return curves.reliability(predictions.probabilities.max(axis=1), predictions.right, predictions.patients)
