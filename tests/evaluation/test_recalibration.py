"""A new threshold, temperature and offset are those that can be worked out on paper, and few films are refused."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from mammo.errors import InputError
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.operating_point import Operating, choose
from mammo.evaluation.predictions import Patients, Predictions
from mammo.evaluation.prevalence import corrected
from mammo.evaluation.recalibration import (
    Recalibrated,
    check_question,
    logistic_curves,
    prevalence_of_samples,
    recalibrate,
    thresholds,
)
from mammo.evaluation.sample_size import samples_needed
from mammo.reports.recalibration import doubt

PAIR = ("normal", "abnormal")


def predictions(score, positive, patients=None, classes=PAIR):
    """Predictions whose probabilities are those of the scores, of a patient each."""
    score, positive = np.asarray(score, float), np.asarray(positive, int)
    patients = np.arange(len(score)) if patients is None else np.asarray(patients)
    chance = expit(score)
    both = np.stack([1 - chance, chance], axis=1)
    return Predictions(
        classes, positive, both, score, Patients.of(patients.astype(str)), pd.DataFrame(index=range(len(score)))
    )


def drawn(seed=0, patients=100, films=2, slope=1.0, offset=0.0, share=0.4):
    """Films of patients whose log-odds of the positive class are slope x score + offset, exactly."""
    rng = np.random.default_rng(seed)
    score = rng.normal(0, 2, patients * films)
    positive = rng.random(len(score)) < expit(slope * score + offset)
    return predictions(score, positive, np.repeat(np.arange(patients), films))


def test_the_threshold_of_a_known_list_reaches_the_sensitivity_and_not_a_film_more():
    """Positive scores 1 to 10: nine of them lie above 1.5, and 90 % are asked for. Negative 0, 1.2, 3.4: one above."""
    score, positive = [*range(1, 11), 0.0, 1.2, 3.4], [True] * 10 + [False] * 3
    weights = np.ones((1, 13))
    assert thresholds(np.array(positive), np.array(score, float), weights, 0.9)[0] == (1.2 + 2) / 2
    assert thresholds(np.array(positive), np.array(score, float), weights, 0.5)[0] == 5.5
    without = weights.copy()
    without[0, 1:6] = 0  # of 2 to 6; left are 1, 7, 8, 9, 10: four of five above (6 + 7) / 2
    assert thresholds(np.array(positive), np.array(score, float), without, 0.8)[0] == 6.5


@pytest.mark.parametrize("rule", ["youden", 0.8, 0.95])
def test_the_plain_threshold_is_the_one_that_a_run_chooses(rule):
    for seed in range(20):
        one = drawn(seed, patients=20)
        rounded = np.round(one.score, 0)
        expected = choose(one.labels, one.probabilities, rounded, rule).threshold
        assert thresholds(one.labels == 1, rounded, np.ones((1, len(one))), rule)[0] == expected


def test_the_curve_finds_the_slope_and_offset_that_films_were_drawn_with():
    one = drawn(1, patients=20_000, slope=0.5, offset=-1.5)
    slope, offset = logistic_curves(one.score, one.labels == 1, np.ones((1, len(one))))
    assert slope[0] == pytest.approx(0.5, abs=0.02) and offset[0] == pytest.approx(-1.5, abs=0.04)
    again, its = logistic_curves(3 * one.score + 7, one.labels == 1, np.ones((1, len(one))))
    assert again[0] == pytest.approx(slope[0] / 3) and its[0] == pytest.approx(offset[0] - 7 * again[0])


@pytest.mark.parametrize(("sign", "bound"), [(1, 20), (-1, 0.05)])
def test_classes_that_do_not_overlap_and_scores_that_mislead_give_finite_curves(sign, bound):
    score = sign * np.r_[np.full(10, -1e-3), np.full(10, 1e-3)]
    slope, offset = logistic_curves(score, np.arange(20) >= 10, np.ones((1, 20)))
    assert slope[0] == pytest.approx(bound) and np.isfinite(offset[0])


def test_a_weight_of_two_is_the_film_twice():
    one = drawn(2, patients=15)
    weights = np.random.default_rng(0).integers(0, 3, len(one)).astype(float)
    rows = np.repeat(np.arange(len(one)), weights.astype(int))
    for rule in ("youden", 0.9):
        first = thresholds(one.labels == 1, one.score, weights[None], rule)[0]
        second = thresholds(one.labels[rows] == 1, one.score[rows], np.ones((1, len(rows))), rule)[0]
        above = [(one.score > cut) & (weights > 0) for cut in (first, second)]
        assert np.array_equal(*above)  # the same films, though a threshold lies between other scores
    a, b = logistic_curves(one.score, one.labels == 1, weights[None])
    c, d = logistic_curves(one.score[rows], one.labels[rows] == 1, np.ones((1, len(rows))))
    assert a[0] == pytest.approx(c[0]) and b[0] == pytest.approx(d[0])


def test_another_prevalence_multiplies_the_odds_by_the_ratio_of_the_odds():
    """40 % here and 0.6 % there: odds of 2/3 and 6/994, a ratio of 0.00905; as in Saerens, Latinne, Decaestecker."""
    one = drawn(3, films=1)
    here = float((one.labels == 1).mean())
    plain, moved = (recalibrate(one, Operating(), prevalence=share) for share in (None, 0.006))
    before, after = (of.operating.calibrated(one.probabilities)[:, 1] for of in (plain, moved))
    assert after == pytest.approx(corrected(before, here, 0.006), rel=1e-9)
    ratio = (0.006 / 0.994) / (here / (1 - here))
    assert after / (1 - after) == pytest.approx(ratio * before / (1 - before), rel=1e-6)
    assert before.mean() == pytest.approx(here, abs=0.01) and plain.prevalence == here
    se, sp = (moved.values[f"{name}_at_threshold"].value for name in ("sensitivity", "specificity"))
    assert moved.values["ppv"].value == pytest.approx(se * 0.006 / (se * 0.006 + (1 - sp) * 0.994))


def test_a_share_of_patients_is_a_smaller_share_of_films():
    """A positive patient has one positive film of two: 1 % of the patients are 0.5 % of the films."""
    positive, patients = np.array([1, 0, 1, 0, 0, 0, 0, 0], bool), np.repeat(np.arange(4), 2)
    assert prevalence_of_samples(0.01, positive, patients) == pytest.approx(0.005)
    assert prevalence_of_samples(0.01, positive, np.arange(8)) == 0.01
    more = np.array([0, 0, 1, 1, 2, 2, 2, 2])  # and the other patient four: 0.01 / (0.02 + 0.99 x 4)
    assert prevalence_of_samples(0.01, positive, more) == pytest.approx(0.01 / (0.02 + 3.96))


def test_the_offset_is_added_to_the_log_odds_after_the_temperature():
    found = Recalibrated("0.9", 0.1, None, 2.0, -1.0).calibrated(np.array([[0.2, 0.8]]))
    assert logit(found[0, 1]) == pytest.approx(logit(0.8) / 2 - 1) and found.sum() == pytest.approx(1)
    three = np.array([[0.2, 0.3, 0.5]])
    assert np.allclose(Recalibrated(temperature=1.0).calibrated(three), three)


def test_the_intervals_are_by_patient_and_the_old_threshold_stays_beside():
    single, double = drawn(4, films=1), drawn(4, films=1)
    twice = predictions(np.repeat(double.score, 2), np.repeat(double.labels, 2), np.repeat(np.arange(100), 2))
    first, second = (recalibrate(one, Operating("youden", 0.5), sensitivity=0.9) for one in (single, twice))
    for name in ("threshold", "sensitivity_at_threshold", "specificity_at_threshold"):
        a, b = first.values[name], second.values[name]
        assert b.low == pytest.approx(a.low, abs=0.03 * abs(a.high - a.low) + 0.02), name
        assert a.low <= a.value <= a.high
    said = float((single.score[single.labels == 1] > 0.5).mean())
    assert first.before["sensitivity_at_threshold"].value == said
    assert first.values["sensitivity_at_threshold"].value >= 0.9
    assert first.values["sensitivity_expected"].value < first.values["sensitivity_at_threshold"].value


@pytest.mark.parametrize(("share", "half", "needed"), [(0.9, 0.05, 141), (0.5, 0.05, 381), (1.0, 0.05, 35)])
def test_the_films_that_are_needed_are_those_of_the_score_interval(share, half, needed):
    """With 141 and a share of 0.9, the interval is 0.90 / (1 + 3.84 / 141) ... +- 0.0500; with 140 it is wider."""
    same = np.full(4, share)
    assert samples_needed(same, 20, half) == needed
    ends = [np.roots([1 + 3.8415 / n, -2 * share - 3.8415 / n, share**2]) for n in (needed, needed - 1)]
    reach = [np.ptp(one) / 2 for one in ends]  # (share - p)^2 = 3.84 p (1 - p) / n, solved for p (Wilson 1927)
    assert reach[0] <= half + 1e-9 < reach[1] + 2e-9


def test_films_of_one_patient_count_for_less():
    independent = np.r_[0.9, 0.9 + np.array([-1, 1, -1, 1]) * np.sqrt(0.09 / 100 * 3 / 4)]  # variance 0.09 / 100
    needed = [samples_needed(independent, films, 0.05) for films in (100, 200)]
    assert abs(needed[1] - 2 * needed[0]) <= 1  # rounded up to a whole film


@pytest.mark.parametrize(
    ("normal", "abnormal", "asked", "said"),
    [
        (30, 0, {}, "no film is abnormal"),
        (0, 30, {}, "no film is normal"),
        (30, 9, {}, "9 patients are abnormal, and at least 10"),
        (30, 19, {"sensitivity": 0.95}, "at least 20 are needed for a sensitivity of 0.95"),
        (30, 30, {"sensitivity": 1.0}, "sensitivity 1.0"),
        (30, 30, {"prevalence": 0.0}, "prevalence 0.0"),
    ],
)
def test_films_that_cannot_answer_are_refused_in_one_line(normal, abnormal, asked, said):
    labels = np.r_[np.zeros(normal), np.ones(abnormal)]
    one = predictions(np.linspace(-1, 1, len(labels)), labels)
    with pytest.raises(InputError, match=said) as error:
        check_question(one, asked.pop("sensitivity", None), **asked)
    assert "\n" not in str(error.value)


def test_just_enough_films_are_enough():
    one = predictions(np.linspace(-1, 1, 40), np.r_[np.zeros(20), np.ones(20)])
    check_question(one, 0.95)
    check_question(predictions(np.linspace(-1, 1, 20), np.r_[np.zeros(10), np.ones(10)]), 0.9)


def test_three_classes_have_a_temperature_and_no_threshold():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    chances = rng.dirichlet(np.ones(3), 60)
    one = Predictions(
        ("F", "G", "D"), labels, chances, None, Patients.of(np.arange(60).astype(str)), pd.DataFrame(index=range(60))
    )
    found = recalibrate(one, Operating())
    assert found.operating.temperature == choose(labels, chances, None, "youden").temperature
    assert found.operating.threshold is None and not found.more
    with pytest.raises(InputError, match="two classes"):
        recalibrate(one, Operating(), prevalence=0.1)


@pytest.mark.parametrize(
    ("low", "high", "told"), [(0.2, 0.45, "exchanged"), (0.4, 0.6, "not shown to be above 0.5"), (0.6, 0.8, None)]
)
def test_an_auroc_that_no_threshold_can_mend_is_told_with_its_interval(low, high, told):
    found = doubt(Value((low + high) / 2, low, high), ["normal", "abnormal"])
    assert (found is None) if told is None else (told in found and f"{low:.3f} to {high:.3f}" in found)
