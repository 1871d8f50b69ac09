"""Differences between classifiers: DeLong's and Obuchowski's formulas, exact permutations, and rates by simulation."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn.metrics import roc_auc_score

from mammo.errors import InputError
from mammo.evaluation.significance import (
    auroc_covariance,
    delong,
    delong_mean,
    holm,
    permutation_test,
    smallest_detectable,
)


def kernel(first, second):
    return (first[:, None] > second[None]) + (first[:, None] == second[None]) / 2


def plain_delong(positive, scores):
    """DeLong et al. 1988 film by film, from the O(n^2) kernel."""
    pairs = np.stack([kernel(row[positive], row[~positive]) for row in scores])
    return np.cov(pairs.mean(axis=2)) / positive.sum() + np.cov(pairs.mean(axis=1)) / (~positive).sum()


def plain_obuchowski(positive, first, second, clusters):
    """Covariance of two areas, written as in Obuchowski 1997 with loops over women."""
    m, n, women = positive.sum(), (~positive).sum(), np.unique(clusters)
    sums = []
    for score in (first, second):
        pairs = kernel(score[positive], score[~positive])
        area, of_up, of_down = pairs.mean(), clusters[positive], clusters[~positive]
        sums.append(
            [
                (
                    sum(pairs[of_up == woman].mean(axis=1) - area),
                    sum(pairs[:, of_down == woman].mean(axis=0) - area),
                )
                for woman in women
            ]
        )
    i10, i01, i = len(set(clusters[positive])), len(set(clusters[~positive])), len(women)
    both = list(zip(*sums, strict=True))
    s10 = i10 / ((i10 - 1) * m) * sum(a[0] * b[0] for a, b in both)
    s01 = i01 / ((i01 - 1) * n) * sum(a[1] * b[1] for a, b in both)
    s11 = i / (i - 1) * sum(a[0] * b[1] for a, b in both)
    s11_other = i / (i - 1) * sum(b[0] * a[1] for a, b in both)
    return s10 / m + s01 / n + (s11 + s11_other) / (m * n)


def made(women=40, seed=0, mixed=0.5, gain=(1.0, 1.0), shared=1.0):
    """Two films a woman, who shifts the scores of both; `mixed` of the women have one positive film."""
    rng = np.random.default_rng(seed)
    first = rng.random(women) < 0.5
    positive = np.stack([first, first ^ (rng.random(women) < mixed)], axis=1).ravel()
    clusters = np.repeat(np.arange(women), 2)
    scores = [
        slope * positive + shared * rng.normal(size=women)[clusters] + rng.normal(size=2 * women) for slope in gain
    ]
    return positive, np.stack(scores), clusters


def test_with_one_film_per_woman_the_covariance_is_delongs():
    positive, scores, _ = made(30)
    scores = np.vstack([scores, scores[:1].round()])  # the third has ties
    areas, covariance = auroc_covariance(positive, scores, np.arange(60))
    assert areas == pytest.approx([roc_auc_score(positive, row) for row in scores])
    assert covariance == pytest.approx(plain_delong(positive, scores), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_with_several_films_per_woman_the_covariance_is_obuchowskis(seed):
    positive, scores, clusters = made(25, seed)
    clusters[:5] = 0  # a woman with five films
    scores[1] = scores[1].round()
    _, covariance = auroc_covariance(positive, scores, clusters)
    for a, b in itertools.product(range(2), repeat=2):
        expected = plain_obuchowski(positive, scores[a], scores[b], clusters)
        assert covariance[a, b] == pytest.approx(expected, rel=1e-10)


def test_a_film_copied_many_times_says_no_more_than_one():
    """Within a woman; film by film the error would shrink with every copy."""
    positive, scores, _ = made(20)
    copies = np.repeat(np.arange(40), 5)
    _, once = auroc_covariance(positive, scores, np.arange(40))
    _, often = auroc_covariance(positive[copies], scores[:, copies], copies)
    _, ignored = auroc_covariance(positive[copies], scores[:, copies], np.arange(200))
    assert often == pytest.approx(once)
    assert (np.diag(ignored) < np.diag(once) / 4).all()


def test_the_test_is_the_contrast_of_the_covariance():
    positive, scores, clusters = made(gain=(1.5, 0.2))
    areas, covariance = auroc_covariance(positive, scores, clusters)
    found = delong(positive, *scores, clusters)
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert found.difference == pytest.approx(areas[0] - areas[1])
    assert found.standard_error == pytest.approx(error)
    assert (found.low, found.high) == pytest.approx(found.difference + np.array([-1, 1]) * norm.ppf(0.975) * error)
    assert found.p == pytest.approx(2 * norm.cdf(-abs(found.difference) / error))
    swapped = delong(positive, *scores[::-1], clusters)
    assert (swapped.difference, swapped.p) == pytest.approx((-found.difference, found.p))


def test_scores_in_the_same_order_do_not_differ():
    positive, scores, clusters = made()
    found = delong(positive, scores[0], np.exp(scores[0]), clusters)
    assert (found.difference, found.standard_error, found.p) == (0, 0, 1)


def test_a_difference_that_never_varies_is_null_with_a_reason():
    positive = np.array([True, True, False, False])
    found = delong(positive, positive.astype(float), -positive.astype(float), np.arange(4))
    assert found.difference == 1 and found.p is None and found.low is None and "does not vary" in found.reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positive": np.zeros(80, bool)}, "found 0 and 40"),
        ({"positive": np.arange(80) < 2}, "found 1 and 39"),
        ({"scores": np.full((2, 80), np.nan)}, "expected finite scores"),
        ({"scores": np.zeros(80)}, "expected labels, scores and women of the same films"),
        ({"clusters": np.arange(7)}, "found 80 against"),
    ],
)
def test_what_no_error_can_be_estimated_from_is_refused_in_one_line(change, message):
    positive, scores, clusters = made()
    arguments = {"positive": positive, "scores": scores, "clusters": clusters} | change
    with pytest.raises(InputError, match=message) as caught:
        auroc_covariance(**arguments)
    assert "\n" not in str(caught.value)


def simulated(sets, mixed, women=60):
    """Difference (truly 0), its errors by woman and by film, and one area with its variance by woman, of each set."""
    rows = []
    for seed in range(sets):
        positive, scores, clusters = made(women, seed, mixed=mixed)
        by_woman, by_image = (delong(positive, *scores, c) for c in (clusters, np.arange(2 * women)))
        areas, covariance = auroc_covariance(positive, scores, clusters)
        rows.append((by_woman.difference, by_woman.standard_error, by_image.standard_error, areas[0], covariance[0, 0]))
    return np.array(rows)


def rates(rows):
    """Mean error over the empirical deviation, and how often a true difference of zero is rejected at 5 %."""
    spread, z = rows[:, 0].std(), norm.ppf(0.975)
    ratio = [np.sqrt((rows[:, k] ** 2).mean()) / spread for k in (1, 2)]
    rejected = [(np.abs(rows[:, 0]) > z * rows[:, k]).mean() for k in (1, 2)]
    area_ratio = np.sqrt(rows[:, 4].mean()) / rows[:, 3].std()
    return ratio, rejected, area_ratio


def test_by_woman_the_error_is_true_and_by_film_too_small():
    (by_woman, by_image), (rejected, rejected_by_image), area = rates(simulated(500, mixed=0.0))
    assert 0.92 < by_woman < 1.08 and 0.92 < area < 1.08
    assert by_image < 0.88
    assert 0.02 < rejected < 0.08 < rejected_by_image


@pytest.mark.slow
@pytest.mark.parametrize(("mixed", "film_ratio"), [(0.0, (0.75, 0.85)), (0.5, (0.95, 1.05)), (1.0, (1.2, 1.6))])
def test_the_error_by_woman_is_true_whatever_her_films_are(mixed, film_ratio):
    """Two films alike make the film-wise error too small, one of each class too large; the woman-wise one is right."""
    (by_woman, by_image), (rejected, _), area = rates(simulated(4000, mixed=mixed))
    assert by_woman == pytest.approx(1, abs=0.04) and area == pytest.approx(1, abs=0.04)
    assert film_ratio[0] < by_image < film_ratio[1]
    assert 0.04 < rejected < 0.065


def answers(women=12, seed=0):
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(women), rng.integers(1, 4, women))
    return rng.random(len(clusters)) < 0.8, rng.random(len(clusters)) < 0.5, clusters


@pytest.mark.parametrize("seed", range(4))
def test_the_permutation_test_is_the_enumeration_of_all_swaps(seed):
    first, second, clusters = answers(seed=seed)
    observed = abs(first.sum() - second.sum())
    extreme = 0
    for swap in itertools.product([False, True], repeat=12):
        swapped = np.array(swap)[clusters]
        one, other = np.where(swapped, second, first), np.where(swapped, first, second)
        extreme += abs(one.sum() - other.sum()) >= observed
    found = permutation_test(first, second, clusters)
    assert found.p == pytest.approx(extreme / 2**12, rel=1e-12)
    assert found.difference == pytest.approx(first.mean() - second.mean())


def test_with_one_film_per_woman_it_is_mcnemars_exact_test():
    rng = np.random.default_rng(1)
    first, second = rng.random(400) < 0.75, rng.random(400) < 0.68
    wins, losses = (first & ~second).sum(), (~first & second).sum()
    found = permutation_test(first, second, np.arange(400))
    assert found.p == pytest.approx(binomtest(wins, wins + losses).pvalue, rel=1e-9)
    assert found.women_who_differ == wins + losses


def test_answers_that_are_equally_right_do_not_differ():
    first, _, clusters = answers()
    assert permutation_test(first, first, clusters).p == 1
    assert permutation_test(first, first, clusters).women_who_differ == 0
    even = permutation_test(np.array([True, False]), np.array([False, True]), np.array(["a", "a"]))
    assert (even.difference, even.p, even.women_who_differ) == (0, 1, 0)


def test_permuting_films_instead_of_women_rejects_too_often():
    """Both classifiers right as often; a woman's three films are right together."""
    by_woman = by_image = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        clusters = np.repeat(np.arange(50), 3)
        first, second = rng.random((2, 50))[:, clusters] < 0.7
        by_woman += permutation_test(first, second, clusters).p <= 0.05
        by_image += permutation_test(first, second, np.arange(150)).p <= 0.05
    assert by_woman / 400 < 0.075
    assert by_image / 400 > 0.15


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    assert holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])
    assert holm(np.array([0.9, 0.8])) == pytest.approx([1, 1])
    for wrong in ([], [0.1, np.nan], [1.2]):
        with pytest.raises(InputError, match="expected p values between 0 and 1"):
            holm(np.array(wrong))


def test_the_smallest_detectable_difference_is_found_with_the_power_it_says():
    found = smallest_detectable(0.05)
    assert found == pytest.approx(2.8016 * 0.05, rel=1e-4)
    drawn = np.random.default_rng(0).normal(found, 0.05, 20_000)
    assert (drawn > norm.ppf(0.975) * 0.05).mean() == pytest.approx(0.8, abs=0.01)
    with pytest.raises(InputError, match="expected a standard error"):
        smallest_detectable(float("nan"))


def halves(seed):
    """Two tests of 40 other women each, two films a woman, and two classifiers."""
    rng = np.random.default_rng(seed)
    positive = np.tile([True, False], 40)
    first, second = (rng.normal(size=80) + shift * positive for shift in (1.5, 0.8))
    return positive, first, second


def test_tests_of_other_women_add_their_variances_and_the_same_test_twice_adds_nothing():
    one, two = halves(0), halves(1)
    women = np.repeat(np.arange(40), 2)
    alone = [delong(*test, women) for test in (one, two)]
    apart = delong_mean([(*one, women), (*two, women + 40)])
    assert apart.difference == pytest.approx(np.mean([found.difference for found in alone]))
    expected = np.sqrt(sum(found.standard_error**2 for found in alone)) / 2
    assert apart.standard_error == pytest.approx(expected)
    twice = delong_mean([(*one, women), (*one, women)])
    assert twice.standard_error == pytest.approx(alone[0].standard_error)
