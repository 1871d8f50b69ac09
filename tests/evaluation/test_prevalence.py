"""Prevalence told apart from ranking: worked examples in closed form, and patients of whom only one of them moves."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from mammo.errors import InputError
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import Patients, Predictions
from mammo.evaluation.prevalence import corrected, predictive_values, shift


def predictions(labels, score, probability=None, patients=None):
    labels, score = np.asarray(labels), np.asarray(score, float)
    chance = expit(score) if probability is None else np.asarray(probability, float)
    names = np.arange(len(labels)).astype(str) if patients is None else np.asarray(patients)
    samples = pd.DataFrame({"image_id": names, "finding_id": 0, "patch": 0, "copy": 0})
    return Predictions(
        ("well", "ill"), labels, np.stack([1 - chance, chance], axis=1), score, Patients.of(names), samples
    )


def counted(tp, fn, fp, tn):
    """Samples with these counts at the threshold 0."""
    labels = np.repeat([1, 1, 0, 0], (tp, fn, fp, tn))
    return predictions(labels, np.repeat([1.0, -1.0, 1.0, -1.0], (tp, fn, fp, tn)))


def drawn(rng, patients, prevalence, noise=0.0):
    """Patients whose probabilities are exact at a prevalence of one half: scores N(1, 2) of the ill, N(-1, 2)."""
    labels = (np.arange(patients) < prevalence * patients).astype(int)
    score = rng.normal(2.0 * labels - 1.0, np.sqrt(2.0))  # the log likelihood ratio of the two is the score itself
    return predictions(labels, score + rng.normal(0, noise, patients) if noise else score)


def test_predictive_values_of_a_worked_example():
    """At 1 %, 8 of 10 ill are called, and 198 of 990 well: 8 / 206 and 792 / 794."""
    positive, negative = predictive_values(np.array([0.8]), np.array([0.8]), 0.01)
    assert positive == pytest.approx(8 / 206) and negative == pytest.approx(792 / 794)


def test_the_correction_is_elkans_theorem():
    """His formula, of other terms: p' = b' (p - p b) / (b - p b + b' p - b b')."""
    p, (b, b2) = np.linspace(0.01, 0.99, 50), (0.3, 0.05)
    assert corrected(p, b, b2) == pytest.approx(b2 * (p - p * b) / (b - p * b + b2 * p - b * b2))
    assert corrected(np.array([0.5]), 0.5, 0.1) == pytest.approx(0.1)
    assert corrected(corrected(p, b, b2), b2, b) == pytest.approx(p)
    with pytest.raises(InputError, match="above 0 and below 1"):
        corrected(p, 0.0, 0.5)


def test_a_worked_example_where_only_the_prevalence_differs():
    """A half of the own samples is ill, a tenth of the others; sensitivity 0.8 and specificity 0.9 in both."""
    rows = shift(counted(80, 20, 10, 90), counted(16, 4, 18, 162), Operating(threshold=0.0))
    assert rows["prevalence"].own.value == 0.5 and rows["prevalence"].here.value == 0.1
    for name, value in (("sensitivity", 0.8), ("specificity", 0.9), ("auroc", 0.85)):
        assert rows[name].own.value == pytest.approx(value) == rows[name].here.value
        assert rows[name].difference.value == pytest.approx(0)
        assert rows[name].difference.low < 0 < rows[name].difference.high
    assert rows["ppv"].own.value == pytest.approx(80 / 90) and rows["ppv"].here.value == pytest.approx(16 / 34)
    assert rows["ppv_at_own_prevalence"].here.value == pytest.approx(80 / 90)
    assert rows["npv"].here.value == pytest.approx(162 / 166)
    assert rows["npv_at_own_prevalence"].here.value == pytest.approx(90 / 110)
    chance = expit(1.0)
    moved = corrected(np.array([chance, 1 - chance]), 0.5, 0.1)
    mean = (34 * moved[0] + 166 * moved[1]) / 200
    assert rows["mean_probability_corrected"].here.value == pytest.approx(mean)
    squared = 16 * (1 - moved[0]) ** 2 + 4 * (1 - moved[1]) ** 2 + 18 * moved[0] ** 2 + 162 * moved[1] ** 2
    assert rows["brier_corrected"].here.value == pytest.approx(squared / 200)


@pytest.mark.slow
def test_where_only_prevalence_shifts_ranking_stays_and_calibration_is_mended():
    rng = np.random.default_rng(0)
    rows = shift(drawn(rng, 2000, 0.5), drawn(rng, 4000, 0.05), Operating(threshold=0.0))
    for name in ("auroc", "sensitivity", "specificity"):
        assert rows[name].difference.low < 0 < rows[name].difference.high, name
    assert rows["ppv"].difference.high < -0.4
    assert rows["ppv_at_own_prevalence"].difference.low < 0 < rows["ppv_at_own_prevalence"].difference.high
    assert rows["mean_probability"].here.value > 0.2 and rows["calibration_error"].here.value > 0.2
    assert rows["mean_probability_corrected"].here.value == pytest.approx(0.05, abs=0.01)
    assert rows["calibration_error_corrected"].here.value < 0.02
    assert rows["brier_corrected"].here.high < rows["brier"].here.low


@pytest.mark.slow
def test_where_only_ranking_shifts_the_correction_changes_nothing():
    rng = np.random.default_rng(0)
    rows = shift(drawn(rng, 2000, 0.3), drawn(rng, 2000, 0.3, noise=3.0), Operating(threshold=0.0))
    assert rows["prevalence"].difference.value == 0
    assert rows["auroc"].difference.high < -0.05
    for name in ("ppv", "npv"):
        assert rows[f"{name}_at_own_prevalence"].here.value == pytest.approx(rows[name].here.value)
    for name in ("brier", "calibration_error", "mean_probability"):
        assert rows[f"{name}_corrected"].here.value == pytest.approx(rows[name].here.value)
    assert rows["brier_corrected"].here.value > rows["brier"].own.value + 0.05


def test_the_difference_counts_patients_and_both_samples():
    """Its error is that of two independent samples; each patient twice adds nothing."""
    rng = np.random.default_rng(1)
    own, here = drawn(rng, 300, 0.5), drawn(rng, 200, 0.4)
    once = shift(own, here, Operating())["auroc"]
    errors = [(one.high - one.low) / 2 for one in (once.own, once.here)]
    reach = (once.difference.high - once.difference.low) / 2
    assert reach == pytest.approx(np.hypot(*errors), rel=0.1)
    doubled = predictions(*(np.tile(one, 2) for one in (here.labels, here.score)), patients=np.tile(here.patients, 2))
    again = shift(own, doubled, Operating())["auroc"].difference
    assert again.low == pytest.approx(once.difference.low, abs=0.005)


def test_the_temperature_is_the_heads_own():
    rng = np.random.default_rng(2)
    own, here = drawn(rng, 300, 0.5), drawn(rng, 300, 0.3)
    rows = shift(own, here, Operating(temperature=2.0))
    assert rows["brier"].here.value == pytest.approx(np.mean((expit(here.score / 2) - here.labels) ** 2))
    moved = corrected(expit(here.score / 2), 0.5, 0.3)
    assert rows["brier_corrected"].here.value == pytest.approx(np.mean((moved - here.labels) ** 2))


def test_films_of_one_class_have_the_numbers_that_they_have():
    rng = np.random.default_rng(3)
    rows = shift(drawn(rng, 100, 0.5), drawn(rng, 100, 1.0), Operating(threshold=0.0))
    assert rows["sensitivity"].here.value > 0.5 and rows["mean_probability"].here.value > 0.5
    for name in ("auroc", "specificity", "brier_corrected", "calibration_error_corrected"):
        assert rows[name].here.value is None and rows[name].here.reason
