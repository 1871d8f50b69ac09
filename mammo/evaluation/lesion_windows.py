"""The AUROC of a detector's heat and of brightness on lesion windows, from the rows of `windows.csv`.

The head of a row names a score and a drawing, for example `detector_heat_recentred`.
"""

from functools import partial

import numpy as np
import pandas as pd

from mammo.datasets.findings import SAMPLE
from mammo.evaluation.bootstrap import Value, difference, interval, resampled
from mammo.evaluation.metrics import support, weighted_metrics
from mammo.evaluation.predictions import Predictions

HEAT, BRIGHTNESS = "detector_heat", "brightness"
DRAWINGS = {"as_drawn": False, "recentred": True}  # crop.recentre of the windows
Rests = tuple[int, float, float]  # what `support` returns


def areas(windows: pd.DataFrame) -> dict[str, dict[str, Value]]:
    """Return for each drawing the AUROC of `detector_heat`, that of `brightness`, and their `difference`.

    The folds of a seed are pooled, and each number is the mean over seeds. Intervals are by patient.

    Args:
        windows: The rows of some folds and seeds, with `positive` (bool).
    """
    found = {}
    for drawing in DRAWINGS:
        heat, rests_on = _resampled(windows[windows["head"] == f"{HEAT}_{drawing}"])
        bright, _ = _resampled(windows[windows["head"] == f"{BRIGHTNESS}_{drawing}"])
        found[drawing] = {
            HEAT: interval(heat, *rests_on),
            BRIGHTNESS: interval(bright, *rests_on),
            "difference": difference(heat - bright, rests_on[0]),
        }
    return found


def _resampled(rows: pd.DataFrame) -> tuple[np.ndarray, Rests]:
    """Return the (1 + resamples,) areas of a head, and what they rest on."""
    everyone, arrays, rests_on = np.unique(rows["patient"].to_numpy(str)), [], []
    for _, of_seed in rows.groupby("seed"):
        labels, patients = of_seed["positive"].to_numpy(int), of_seed["patient"].to_numpy(str)
        chance = np.full((len(labels), 2), np.nan)  # there are no probabilities
        score = of_seed["score"].to_numpy(float)
        one = Predictions(("negative", "positive"), labels, chance, score, patients, of_seed[SAMPLE])
        arrays.append(resampled(patients, partial(weighted_metrics, one, only=["auroc"]), everyone=everyone)["auroc"])
        rests_on.append(support(one, "auroc"))
    return np.mean(arrays, axis=0), rests_on[0]
