"""The AUROC of a detector's heat and of brightness on lesion windows, from the rows of `windows.csv`.

The head of a row names a score and a drawing, for example `detector_heat_recentred`.
"""

import pandas as pd

from mammo.evaluation.bootstrap import Value, difference, interval
from mammo.evaluation.metrics import mean_auroc, support
from mammo.evaluation.predictions import Predictions

HEAT, BRIGHTNESS = "detector_heat", "brightness"
DRAWINGS = {"as_drawn": False, "recentred": True}  # crop.recentre of the windows


def areas(windows: pd.DataFrame) -> dict[str, dict[str, Value]]:
    """Return for each drawing the AUROC of `detector_heat`, that of `brightness`, and their `difference`.

    The folds of a seed are pooled, and each number is the mean over seeds. Intervals are by patient.

    Args:
        windows: The rows of some folds and seeds, with `positive` (bool).
    """
    found = {}
    for drawing in DRAWINGS:
        tests = {name: _of_seeds(windows[windows["head"] == f"{name}_{drawing}"]) for name in (HEAT, BRIGHTNESS)}
        heat, bright = (mean_auroc(of_seeds) for of_seeds in tests.values())
        rests_on = support(tests[HEAT][0], "auroc")
        found[drawing] = {
            HEAT: interval(heat, *rests_on),
            BRIGHTNESS: interval(bright, *rests_on),
            "difference": difference(heat, bright, *rests_on),
        }
    return found


def _of_seeds(rows: pd.DataFrame) -> list[Predictions]:
    return [Predictions.ranked(of_seed) for _, of_seed in rows.groupby("seed")]
