"""The choices for each head: the table of temperatures and thresholds, and a calibration that falls."""

from collections.abc import Mapping

import numpy as np

from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import BASELINES, Predictions
from mammo.reports.markdown import markdown


def operating_table(operating: Mapping[str, Operating]) -> list[str]:
    """Return the table and what is wrong with a choice, in Markdown; nothing if nothing was chosen.

    Args:
        operating: The choices by head; baselines are left out.
    """
    chosen = {head: one for head, one in operating.items() if one.temperature is not None and head not in BASELINES}
    if not chosen:
        return []
    rows = [
        [head, f"{one.temperature:.3f}", "" if one.threshold is None else f"{one.threshold:.4g}", one.rule]
        for head, one in chosen.items()
    ]
    warned = [f"- {head}: {one.warning}." for head, one in chosen.items() if one.warning]
    return [*markdown(["head", "temperature", "threshold", "rule"], rows), "", *warned, *[""] * bool(warned)]


def opposed(tested: Mapping[str, Predictions]) -> list[str]:
    """Return a line for each head whose probability of the positive class falls where its score rises.

    Args:
        tested: The predictions of the test samples by head.
    """
    return [
        f"- {head}: score and probability rank the samples in opposite orders, because the calibration met higher "
        "scores among negatives than among positives. AUROC is that of the score; accuracy is that of the probability."
        for head, one in tested.items()
        if one.score is not None and one.decides and np.ptp(one.score) > 0 and np.ptp(one.probabilities[:, 1]) > 0
        if np.corrcoef(one.levels, one.probabilities[:, 1])[0, 1] < 0
    ]
