"""Do 95 % intervals cover the truth in 95 % of data sets? Simulated archives in mini-MIAS's proportions.

`python -m pytest -m slow -n 0 -s tests/evaluation/test_coverage.py` prints the table.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from mammo.evaluation.bootstrap import RESAMPLES, biased_interval, bootstrap_weights, interval
from mammo.evaluation.metrics import support, weighted_metrics
from mammo.evaluation.predictions import Patients, Predictions

ASKED = ("auroc", "accuracy", "sensitivity", "specificity")
# Distance of the classes, and how much of a score is the patient's own, in units of its spread.
SCENARIOS = [(0.2, 0.3), (1.0, 0.5), (1.8, 0.3), (2.7, 0.3)]


def archive(rng, patients, distance, own):
    """Two images a patient: none abnormal, one, or both, as often as in mini-MIAS; a score has the patient's part."""
    kind = rng.choice(3, size=patients, p=np.array([53, 101, 7]) / 161)
    labels = np.stack([kind >= 1, kind == 2], axis=1).astype(int)
    noise = np.sqrt(own) * rng.normal(size=(patients, 1)) + np.sqrt(1 - own) * rng.normal(size=(patients, 2))
    score = (noise + distance * (labels - 0.5)).ravel()
    probabilities = np.stack([norm.cdf(-score), norm.cdf(score)], axis=1)
    named = np.repeat(np.arange(patients), 2)
    return Predictions(("normal", "abnormal"), labels.ravel(), probabilities, score, Patients.of(named), pd.DataFrame())


def coverage(patients, distance, own, sets, resamples):
    """Share of data sets whose interval holds the truth, by metric."""
    half = norm.cdf(distance / 2)
    truth = {"auroc": norm.cdf(distance / np.sqrt(2)), "accuracy": half, "sensitivity": half, "specificity": half}
    rng = np.random.default_rng([patients, int(10 * distance)])
    inside = dict.fromkeys(ASKED, 0)
    for number in range(sets):
        one = archive(rng, patients, distance, own)
        weights = bootstrap_weights(one.patients, resamples, number)
        arrays = weighted_metrics(one, weights, only=ASKED)
        for metric in ASKED:
            found = interval(arrays[metric], *support(one, metric))
            inside[metric] += found.low <= truth[metric] <= found.high
    return {metric: count / sets for metric, count in inside.items()}


@pytest.mark.slow
@pytest.mark.parametrize("patients", [161, 33])
def test_intervals_cover_about_as_often_as_they_say(patients):
    for metric, share in coverage(patients, 1.0, 0.5, sets=200, resamples=100).items():
        assert 0.90 <= share <= 0.99, metric


@pytest.mark.slow
@pytest.mark.parametrize(("excess", "least"), [(0.0, 0.75), (0.1, 0.90), (0.3, 0.90)])
def test_the_interval_of_a_calibration_error_holds_it(excess, least):
    """Confidences are too high by `excess`; perfect ones are held less often, as the estimate is never below 0."""
    rng, inside, patients = np.random.default_rng(0), 0, np.repeat(np.arange(33), 2)
    for number in range(200):
        confidence = rng.uniform(0.5, 1, len(patients))
        labels = (rng.random(len(patients)) < confidence - excess).astype(int)
        both = np.stack([1 - confidence, confidence], axis=1)
        one = Predictions(("normal", "abnormal"), labels, both, confidence, Patients.of(patients), pd.DataFrame())
        found = biased_interval(
            weighted_metrics(one, bootstrap_weights(patients, 100, number), only=["ece"])["ece"], 33
        )
        inside += found.low <= excess <= found.high
    assert least <= inside / 200 <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize(("distance", "own"), SCENARIOS)
def test_intervals_cover_93_to_97_percent_at_161_patients(distance, own):
    large = coverage(161, distance, own, sets=2000, resamples=RESAMPLES)
    small = coverage(33, distance, own, sets=2000, resamples=RESAMPLES)
    print(f"\n| AUROC {norm.cdf(distance / np.sqrt(2)):.2f}, accuracy {norm.cdf(distance / 2):.2f} |", end="")
    print(" | ".join(f" {metric} {large[metric]:.3f} ({small[metric]:.3f} at 33)" for metric in ASKED), "|")
    assert all(0.93 <= share <= 0.97 for share in large.values()), large
