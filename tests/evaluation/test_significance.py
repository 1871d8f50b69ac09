"""Differences between classifiers: DeLong's and Obuchowski's formulas, exact permutations, and rates by simulation."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from mammo.errors import InputError
from mammo.evaluation import significance
from mammo.evaluation.significance import delong_mean, holm, permutation_test, smallest_detectable


def kernel(first, second):
    return (first[:, None] > second[None]) + (first[:, None] == second[None]) / 2


def delong(positive, first, second, clusters):
    return delong_mean([(positive, first, second, clusters)])


def plain_delong(positive, scores):
    """DeLong et al. 1988 image by image, from the O(n^2) kernel."""
    pairs = np.stack([kernel(row[positive], row[~positive]) for row in scores])
    return np.cov(pairs.mean(axis=2)) / positive.sum() + np.cov(pairs.mean(axis=1)) / (~positive).sum()


def plain_obuchowski(positive, first, second, clusters):
    """Covariance of two areas, written as in Obuchowski 1997 with loops over patients."""
    m, n, patients = positive.sum(), (~positive).sum(), np.unique(clusters)
    sums = []
    for score in (first, second):
        pairs = kernel(score[positive], score[~positive])
        area, of_up, of_down = pairs.mean(), clusters[positive], clusters[~positive]
        sums.append(
            [
                (
                    sum(pairs[of_up == patient].mean(axis=1) - area),
                    sum(pairs[:, of_down == patient].mean(axis=0) - area),
                )
                for patient in patients
            ]
        )
    i10, i01, i = len(set(clusters[positive])), len(set(clusters[~positive])), len(patients)
    both = list(zip(*sums, strict=True))
    s10 = i10 / ((i10 - 1) * m) * sum(a[0] * b[0] for a, b in both)
    s01 = i01 / ((i01 - 1) * n) * sum(a[1] * b[1] for a, b in both)
    s11 = i / (i - 1) * sum(a[0] * b[1] for a, b in both)
    s11_other = i / (i - 1) * sum(b[0] * a[1] for a, b in both)
    return s10 / m + s01 / n + (s11 + s11_other) / (m * n)


def contrast(covariance):
    """The standard error of the difference."""
    return np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])


def made(patients=40, seed=0, mixed=0.5, gain=(1.0, 1.0), shared=1.0):
    """Two images a patient, who shifts the scores of both; `mixed` of the patients have one positive image."""
    rng = np.random.default_rng(seed)
    first = rng.random(patients) < 0.5
    positive = np.stack([first, first ^ (rng.random(patients) < mixed)], axis=1).ravel()
    clusters = np.repeat(np.arange(patients), 2)
    own, scores = 2 * patients, []
    for slope in gain:
        scores.append(slope * positive + shared * rng.normal(size=patients)[clusters] + rng.normal(size=own))
    return positive, np.stack(scores), clusters


def test_with_one_image_per_patient_the_error_is_delongs():
    positive, scores, _ = made(30)
    for first, second in (scores, (scores[1], scores[0].round())):  # the last has ties
        found = delong(positive, first, second, np.arange(60))
        areas = [roc_auc_score(positive, row) for row in (first, second)]
        assert found.difference == pytest.approx(areas[0] - areas[1])
        assert found.standard_error == pytest.approx(contrast(plain_delong(positive, [first, second])), rel=1e-10)
        assert found.p == pytest.approx(2 * norm.cdf(-abs(found.difference) / found.standard_error))
        swapped = delong(positive, second, first, np.arange(60))
        assert (swapped.difference, swapped.p) == pytest.approx((-found.difference, found.p))


def test_with_several_images_per_patient_the_error_is_obuchowskis():
    for seed in range(3):
        positive, scores, clusters = made(25, seed)
        clusters[:5] = 0  # a patient with five images
        scores[1] = scores[1].round()
        covariance = np.array([[plain_obuchowski(positive, a, b, clusters) for a in scores] for b in scores])
        found = delong(positive, *scores, clusters)
        assert found.standard_error == pytest.approx(contrast(covariance), rel=1e-10)


def test_an_image_copied_many_times_says_no_more_than_one():
    """Within a patient; image by image the error would shrink with every copy."""
    positive, scores, _ = made(20)
    copies = np.repeat(np.arange(40), 5)
    once = delong(positive, *scores, np.arange(40))
    often = delong(positive[copies], *scores[:, copies], copies)
    ignored = delong(positive[copies], *scores[:, copies], np.arange(200))
    assert often.standard_error == pytest.approx(once.standard_error)
    assert ignored.standard_error < once.standard_error / 2


def test_scores_in_the_same_order_do_not_differ():
    positive, scores, clusters = made()
    found = delong(positive, scores[0], np.exp(scores[0]), clusters)
    assert (found.difference, found.standard_error, found.p) == (0, 0, 1)


def test_a_difference_that_never_varies_has_no_p():
    positive = np.array([True, True, False, False])
    found = delong(positive, positive.astype(float), -positive.astype(float), np.arange(4))
    assert (found.difference, found.standard_error, found.p) == (1, 0, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positive": np.zeros(80, bool)}, "found 0 and 40"),
        ({"positive": np.arange(80) < 2}, "found 1 and 39"),
        ({"first": np.full(80, np.nan)}, "expected finite scores"),
        ({"clusters": np.arange(7)}, "found 80 against"),
    ],
)
def test_what_no_error_can_be_estimated_from_is_refused_in_one_line(change, message):
    positive, scores, clusters = made()
    given = {"positive": positive, "first": scores[0], "second": scores[1], "clusters": clusters} | change
    with pytest.raises(InputError, match=message) as caught:
        delong(**given)
    assert "\n" not in str(caught.value)


def simulated(sets, mixed, patients=60):
    """Difference (truly 0), its errors by patient and by image, and one area with its error by patient, of each set."""
    rows, nothing = [], np.zeros(2 * patients)
    for seed in range(sets):
        positive, scores, clusters = made(patients, seed, mixed=mixed)
        by_patient, by_image = (delong(positive, *scores, c) for c in (clusters, np.arange(2 * patients)))
        area = delong(positive, scores[0], nothing, clusters)
        errors = by_patient.standard_error, by_image.standard_error
        rows.append((by_patient.difference, *errors, area.difference, area.standard_error**2))
    return np.array(rows)


def rates(rows):
    """Mean error over the empirical deviation, and how often a true difference of zero is rejected at 5 %."""
    spread, z = rows[:, 0].std(), norm.ppf(0.975)
    ratio = [np.sqrt((rows[:, k] ** 2).mean()) / spread for k in (1, 2)]
    rejected = [(np.abs(rows[:, 0]) > z * rows[:, k]).mean() for k in (1, 2)]
    area_ratio = np.sqrt(rows[:, 4].mean()) / rows[:, 3].std()
    return ratio, rejected, area_ratio


@pytest.mark.slow
def test_by_patient_the_error_is_true_and_by_image_too_small():
    (by_patient, by_image), (rejected, rejected_by_image), area = rates(simulated(300, mixed=0.0))
    assert 0.9 < by_patient < 1.1 and 0.9 < area < 1.1
    assert by_image < 0.88
    assert 0.02 < rejected < 0.08 < rejected_by_image


@pytest.mark.slow
@pytest.mark.parametrize(("mixed", "image_ratio"), [(0.0, (0.75, 0.85)), (0.5, (0.95, 1.05)), (1.0, (1.2, 1.6))])
def test_the_error_by_patient_is_true_whatever_the_images_are(mixed, image_ratio):
    """Two images alike make the error by image too small, one of each class too large; by patient it is right."""
    (by_patient, by_image), (rejected, _), area = rates(simulated(4000, mixed=mixed))
    assert by_patient == pytest.approx(1, abs=0.04) and area == pytest.approx(1, abs=0.04)
    assert image_ratio[0] < by_image < image_ratio[1]
    assert 0.04 < rejected < 0.065


def answers(patients=12, seed=0):
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(patients), rng.integers(1, 4, patients))
    return rng.random(len(clusters)) < 0.8, rng.random(len(clusters)) < 0.5, clusters


@pytest.mark.parametrize("seed", range(3))
def test_the_permutation_test_is_the_enumeration_of_all_swaps(seed):
    first, second, clusters = answers(seed=seed)
    swapped = np.array(list(itertools.product([False, True], repeat=12)))[:, clusters]
    lead = np.where(swapped, second, first).sum(axis=1) - np.where(swapped, first, second).sum(axis=1)
    extreme = (abs(lead) >= abs(first.sum() - second.sum())).mean()
    assert permutation_test(first, second, clusters) == pytest.approx(extreme, rel=1e-12)


def test_with_one_image_per_patient_it_is_mcnemars_exact_test():
    rng = np.random.default_rng(1)
    first, second = rng.random(400) < 0.75, rng.random(400) < 0.68
    wins, losses = (first & ~second).sum(), (~first & second).sum()
    p = permutation_test(first, second, np.arange(400))
    assert p == pytest.approx(binomtest(wins, wins + losses).pvalue, rel=1e-9)


def test_answers_that_are_equally_right_do_not_differ():
    first, _, clusters = answers()
    assert permutation_test(first, first, clusters) == 1
    assert permutation_test(np.array([True, False]), np.array([False, True]), np.array(["a", "a"])) == 1


@pytest.mark.slow
def test_permuting_images_instead_of_patients_rejects_too_often():
    """Both classifiers right as often; a patient's three images are right together."""
    by_patient = by_image = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        clusters = np.repeat(np.arange(50), 3)
        first, second = rng.random((2, 50))[:, clusters] < 0.7
        by_patient += permutation_test(first, second, clusters) <= 0.05
        by_image += permutation_test(first, second, np.arange(150)) <= 0.05
    assert by_patient / 200 < 0.075
    assert by_image / 200 > 0.15


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    assert holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1, 1])
    some = np.random.default_rng(0).random(5) ** 3
    groups = [list(chosen) for size in range(1, 6) for chosen in itertools.combinations(range(5), size)]
    closed = [max(len(group) * some[group].min() for group in groups if test in group) for test in range(5)]
    assert holm(some) == pytest.approx(np.minimum(closed, 1))  # the closure of Bonferroni (Marcus et al. 1976)
    for wrong in ([], [0.1, np.nan], [1.2]):
        with pytest.raises(InputError, match="p values"):
            holm(np.array(wrong))


def test_the_smallest_detectable_difference_is_found_with_the_power_it_says():
    found = smallest_detectable(0.05)
    assert found == pytest.approx(2.8016 * 0.05, rel=1e-4)
    drawn = np.random.default_rng(0).normal(found, 0.05, 20_000)
    assert (drawn > norm.ppf(0.975) * 0.05).mean() == pytest.approx(0.8, abs=0.01)
    with pytest.raises(InputError, match="standard error"):
        smallest_detectable(float("nan"))


def halves(seed):
    """Two tests of 40 other patients each, two images a patient, and two classifiers."""
    rng = np.random.default_rng(seed)
    positive = np.tile([True, False], 40)
    first, second = (rng.normal(size=80) + shift * positive for shift in (1.5, 0.8))
    return positive, first, second


def test_tests_of_other_patients_add_their_variances_and_the_same_test_twice_adds_nothing():
    one, two = halves(0), halves(1)
    patients = np.repeat(np.arange(40), 2)
    alone = [delong(*test, patients) for test in (one, two)]
    apart = delong_mean([(*one, patients), (*two, patients + 40)])
    assert apart.difference == pytest.approx(np.mean([found.difference for found in alone]))
    expected = np.sqrt(sum(found.standard_error**2 for found in alone)) / 2
    assert apart.standard_error == pytest.approx(expected)
    twice = delong_mean([(*one, patients), (*one, patients)])
    assert twice.standard_error == pytest.approx(alone[0].standard_error)


def test_a_permutation_test_of_many_images_is_normal(monkeypatch):
    rng = np.random.default_rng(0)
    first, second, patients = rng.random(3000) < 0.54, rng.random(3000) < 0.5, np.arange(3000) // 2
    exact = significance.permutation_test(first, second, patients)
    monkeypatch.setattr(significance, "EXACT", 100)
    assert significance.permutation_test(first, second, patients) == pytest.approx(exact, rel=0.05)
