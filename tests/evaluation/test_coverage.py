"""Do 95 % intervals cover the truth in 95 % of data sets? Simulated archives in mini-MIAS's proportions.

`python -m pytest -m slow -n 0 -s tests/evaluation/test_coverage.py` prints the table.
"""

import numpy as np
import pytest
from scipy.stats import norm

from mammo.evaluation.bootstrap import RESAMPLES, bootstrap_weights, interval
from mammo.evaluation.metrics import support, weighted_metrics
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import Answers

METRICS = ("auroc", "accuracy", "sensitivity", "specificity")
# Distance of the classes, and how much of a score is the woman's own, in units of its spread.
SCENARIOS = [(0.2, 0.3), (1.0, 0.5), (1.8, 0.3), (2.7, 0.3)]


def archive(rng, women, distance, own):
    """Two films a woman: none abnormal, one, or both, as often as in mini-MIAS; a film's score has her own part."""
    kind = rng.choice(3, size=women, p=np.array([53, 101, 7]) / 161)
    labels = np.stack([kind >= 1, kind == 2], axis=1).astype(int)
    noise = np.sqrt(own) * rng.normal(size=(women, 1)) + np.sqrt(1 - own) * rng.normal(size=(women, 2))
    score = (noise + distance * (labels - 0.5)).ravel()
    probabilities = np.stack([norm.cdf(-score), norm.cdf(score)], axis=1)
    patients = np.repeat(np.arange(women), 2).astype(str)
    return Answers(("normal", "abnormal"), labels.ravel(), probabilities, score, patients, patients)


def coverage(women, distance, own, sets, resamples):
    """Share of data sets whose interval holds the truth, by metric."""
    half = norm.cdf(distance / 2)
    truth = {"auroc": norm.cdf(distance / np.sqrt(2)), "accuracy": half, "sensitivity": half, "specificity": half}
    rng = np.random.default_rng([women, int(10 * distance)])
    inside = dict.fromkeys(METRICS, 0)
    for number in range(sets):
        answers = archive(rng, women, distance, own)
        arrays = weighted_metrics(answers, bootstrap_weights(answers.patients, resamples, number), Operating())
        for metric in METRICS:
            found = interval(arrays[metric], *support(answers, metric))
            inside[metric] += found.low <= truth[metric] <= found.high
    return {metric: count / sets for metric, count in inside.items()}


@pytest.mark.parametrize("women", [161, 33])
def test_intervals_cover_about_as_often_as_they_say(women):
    for metric, share in coverage(women, 1.0, 0.5, sets=300, resamples=300).items():
        assert 0.90 <= share <= 0.99, metric


@pytest.mark.slow
@pytest.mark.parametrize(("distance", "own"), SCENARIOS)
def test_intervals_cover_93_to_97_percent_at_161_women(distance, own):
    large = coverage(161, distance, own, sets=2000, resamples=RESAMPLES)
    small = coverage(33, distance, own, sets=2000, resamples=RESAMPLES)
    print(f"\n| AUROC {norm.cdf(distance / np.sqrt(2)):.2f}, accuracy {norm.cdf(distance / 2):.2f} |", end="")
    print(" | ".join(f" {metric} {large[metric]:.3f} ({small[metric]:.3f} at 33)" for metric in METRICS), "|")
    assert all(0.93 <= share <= 0.97 for share in large.values()), large
