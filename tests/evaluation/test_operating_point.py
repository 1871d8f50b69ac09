"""Choices of validation: thresholds by their definition, a temperature that is found again."""

import re

import numpy as np
import pytest
from scipy.special import softmax

from mammo.errors import InputError
from mammo.evaluation.operating_point import Operating, check_rule, choose, temperature, threshold_at_specificity

LABELS = np.array([0, 0, 0, 0, 1, 0, 1, 1])
SCORE = np.arange(8.0)


def chosen(rule):
    return choose(LABELS, softmax(np.stack([-SCORE, SCORE], axis=1), axis=1), SCORE, rule)


def test_youden_takes_the_largest_sum_of_sensitivity_and_specificity():
    assert 3 < chosen("youden").threshold < 4  # sensitivity 3 / 3, specificity 4 / 5


@pytest.mark.parametrize(("required", "low", "high"), [(1.0, 3, 4), (0.66, 5, 6), (0.3, 6, 7)])
def test_a_required_sensitivity_takes_the_highest_threshold_that_reaches_it(required, low, high):
    assert low < chosen(required).threshold < high


def test_the_threshold_leaves_the_wanted_share_of_negatives_below():
    score, positive = np.arange(100.0), np.arange(100) >= 90
    threshold = threshold_at_specificity(positive, score, 0.9)
    assert (score[~positive] <= threshold).mean() == 0.9


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_the_temperature_that_was_applied_is_found_again(true):
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(20_000, 3))
    labels = (rng.random((20_000, 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    sharpened = softmax(logits * true, axis=1)
    assert temperature(labels, sharpened) == pytest.approx(true, rel=0.05)
    assert np.allclose(Operating(temperature=true).calibrated(sharpened), softmax(logits, axis=1), atol=1e-3)


@pytest.mark.parametrize(("wrong", "said"), [(0.9, "bound 20, .* nearly the same"), (0.0, "bound 0.05, .* 0 or 1")])
def test_a_temperature_that_ends_at_its_bound_is_told(wrong, said):
    """Probabilities that are mostly wrong are flattened; timid ones that are always right are sharpened."""
    labels = np.arange(100) % 2
    right = np.where(np.arange(100) < 100 * wrong, 1 - labels, labels)
    probabilities = np.eye(2)[right] * (0.5 if wrong else 0.02) + (0.25 if wrong else 0.49)
    assert re.search(said, Operating(temperature=temperature(labels, probabilities)).warning)
    assert Operating(temperature=1.4).warning is None and Operating().warning is None


def test_without_validation_nothing_is_chosen_and_nothing_changes():
    nothing = choose(LABELS[:0], np.zeros((0, 2)), SCORE[:0], "youden")
    assert nothing == Operating() and (nothing.calibrated(np.eye(2)) == np.eye(2)).all()


@pytest.mark.parametrize("rule", ["yuden", 0, 1.5, True, None])
def test_another_rule_is_refused(rule):
    with pytest.raises(InputError, match="expected youden, or a required sensitivity"):
        check_rule(rule)
