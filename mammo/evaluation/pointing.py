"""Numbers of maps against lesions: from a row for each image and place to means with intervals by patient."""

import numpy as np
import pandas as pd

from mammo.evaluation.bootstrap import Value, bootstrap_weights, independent_difference, interval, student

MAP, CENTRE, BLOB, RANDOM = "map", "centre", "brightest_blob", "random"
PLACES = (MAP, CENTRE, BLOB, RANDOM)
MEASURES = ("pointing", "energy", "drop")  # a hit of the hottest pixel, the share in the lesion, the fall of the score
COLUMNS = ["image_id", "patient", "head", "place", "x_px", "y_px", *MEASURES, "rank_correlation"]


def values_of(table: pd.DataFrame) -> dict[str, dict[str, Value]]:
    """Return the mean of each measure for each place, over the images of one head.

    Args:
        table: `COLUMNS` of one head.
    """
    return {place: {name: _mean(_of(table, place), name) for name in MEASURES} for place in PLACES}


def differences(table: pd.DataFrame) -> dict[str, dict[str, Value]]:
    """Return the mean of each measure for the map minus that for each other place, paired by image."""
    own, found = _of(table, MAP), {}
    for place in PLACES[1:]:
        other = _of(table, place)
        found[place] = {name: _paired(own, other, name) for name in MEASURES}
    return found


def sanity(table: pd.DataFrame) -> Value:
    """Return the mean rank correlation of maps with those of the same network with shuffled weights."""
    own = _of(table, MAP)
    return _apart(own["rank_correlation"], own["patient"], "rank_correlation")


def better(apart: Value) -> bool:
    """True if a difference is above 0 with its whole interval."""
    return apart.low is not None and apart.low > 0


def _of(table: pd.DataFrame, place: str) -> pd.DataFrame:
    return table[table["place"] == place].sort_values("image_id").reset_index(drop=True)


def _paired(own: pd.DataFrame, other: pd.DataFrame, name: str) -> Value:
    """Return the mean difference of two places by image. Where all images agree, no resample tells its error."""
    apart = _apart(own[name] - other[name], own["patient"], name)
    if name != "drop" and apart.low is None and apart.value is not None:
        return independent_difference(_mean(own, name), _mean(other, name))
    return apart


def _mean(rows: pd.DataFrame, name: str) -> Value:
    if name == "drop":  # it has no bounds
        return _apart(rows[name], rows["patient"], name)
    patients = rows["patient"].to_numpy(str)
    return interval(_means(rows[name].to_numpy(float), patients), len(np.unique(patients)))


def _apart(values: pd.Series, patients: pd.Series, name: str) -> Value:
    """Return a mean that may be negative, with Student's interval; images without a number are left out."""
    known = values.notna().to_numpy()
    if not known.any():
        return Value(None, reason="no image has this number")
    people = patients.to_numpy(str)[known]
    found = _means(values.to_numpy(float)[known], people)
    return student(found, len(np.unique(people)), widest=np.inf if name == "drop" else 1.0)


def _means(values: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Return the mean of all images, then those of resamples of patients."""
    weights = bootstrap_weights(patients)
    total = weights.sum(axis=1)
    return np.where(total > 0, weights @ values / np.maximum(total, 1), np.nan)
