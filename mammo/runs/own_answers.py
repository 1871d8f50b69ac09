"""Checks that labelled predictions are those of a run: by its threshold, and by how its probabilities follow scores."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit

from mammo.inference.operating import operating_point
from mammo.run_folder import RunFolder
from mammo.tables.numbers import to_numbers

Refuse = Callable[[ArrayLike, str], None]  # takes which rows are wrong, (N,) bool, and why
WITHIN = 1e-3  # of a probability: an ONNX file may differ by so much from its run
ROUNDED = 1e-6  # of a threshold, relative to its size
FITS = 1e-4  # the largest error of a curve that describes the run's own probabilities
CLEAR = 1e-6  # distance from 0 and 1 of probabilities in float32 whose odds are still exact
FEWEST = 3  # different scores of the run that a curve is fitted to


def check_thresholds(run: RunFolder, rows: pd.DataFrame, refuse: Refuse, notes: list[str]) -> None:
    """Refuse rows of `mammo predict` whose threshold is not that of the run; rows without one are not judged."""
    if "threshold" not in rows:
        return
    told, heads = to_numbers(rows["threshold"], "threshold", refuse, notes), rows["head"].to_numpy(str)
    for head in np.unique(heads):
        own, here = operating_point(run, str(head)).threshold, (heads == head) & ~np.isnan(told)
        said = f"another one than {own:.9g}, which" if own is not None else "one, while none"
        wrong = here if own is None else here & (abs(told - own) > ROUNDED * max(abs(own), 1))
        refuse(
            wrong, f"threshold is {said} the run has for {head}; predict the films by this run, and label that table"
        )


def check_called(classes: list[str], rows: pd.DataFrame, probabilities: np.ndarray, refuse: Refuse) -> None:
    """Refuse rows of `mammo predict` without a threshold whose called class is not the most probable one."""
    if "called" not in rows:
        return
    least, most = np.sort(probabilities, axis=1)[:, -2:].T
    open_ = rows["threshold"].isna().to_numpy() if "threshold" in rows else np.zeros(len(rows), bool)
    other = rows["called"].notna().to_numpy() & (
        rows["called"].to_numpy(str) != np.array(classes)[probabilities.argmax(1)]
    )
    refuse(open_ & other & (most - least > CLEAR), "called is not the most probable class; are columns exchanged?")


def check_scores(
    run: RunFolder, heads: np.ndarray, score: np.ndarray, probabilities: np.ndarray, refuse: Refuse, *, calibrated: bool
) -> None:
    """Refuse rows whose probability does not follow from their score as in the run's own predictions.

    Runs whose images have several samples are not judged, as a mean of probabilities does not follow from that of
    scores. Nor are heads that no curve describes.

    Args:
        run: The run.
        heads: (N,) the head of each row.
        score: (N,) scores; NaN where there is none.
        probabilities: (N, 2); other numbers of classes have no score.
        refuse: Raises the error.
        calibrated: True if the probabilities are at the run's temperature.
    """
    if probabilities.shape[1] != 2 or run.crop["several_per_image"]:
        return
    table, classes = run.predictions()
    for head in np.unique(heads):
        own = table[table["head"] == head]
        curve = curve_of(own["score"].to_numpy(float), own[f"p_{classes[1]}"].to_numpy(float))
        if curve is None:
            continue
        temperature = operating_point(run, str(head)).choices.temperature if calibrated else None
        expected = expit(curve(score) / (temperature or 1.0))
        wrong = (heads == head) & (abs(expected - probabilities[:, 1]) > WITHIN)
        refuse(
            wrong,
            f"score and probability of {head} do not belong together as in this run; another program or run made them, "
            "or a column was changed: predict the films by this run, and label that table",
        )


def curve_of(score: np.ndarray, chance: np.ndarray) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the curve from scores (N,) to log-odds of probabilities (N,); None if none of two kinds fits.

    The log-odds are a line of the score, or, of heads that know probabilities alone, of the score's own probability.
    """
    clear = np.isfinite(score) & (chance > CLEAR) & (chance < 1 - CLEAR)
    if len(np.unique(score[clear])) < FEWEST:
        return None
    kinds: tuple[Callable[[np.ndarray], np.ndarray], ...] = (np.asarray, expit)
    for kind in kinds:
        x = kind(score[clear])
        slope, offset = np.polyfit(x, logit(chance[clear]), 1)
        if abs(expit(slope * x + offset) - chance[clear]).max() < FITS:
            return lambda of, kind=kind, slope=slope, offset=offset: slope * kind(of) + offset  # type: ignore[misc]
    return None
