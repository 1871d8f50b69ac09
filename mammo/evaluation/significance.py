"""Is one classifier better than another on the same films? Tests and errors that count women, not films.

A woman's films are alike, so treating them as independent makes errors too small and tests too eager. Here every
variance sums over women first, and every permutation moves a woman as a whole. Fractions throughout.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata
from statsmodels.stats.multitest import multipletests

from mammo.errors import InputError

Z95 = float(norm.ppf(0.975))


@dataclass(frozen=True)
class AreaDifference:
    """First AUROC minus second with its 95 % interval and two-sided p; None, with a reason, where undefined."""

    difference: float
    standard_error: float
    low: float | None
    high: float | None
    p: float | None
    reason: str | None = None


@dataclass(frozen=True)
class AccuracyDifference:
    """First accuracy minus second, its exact two-sided p, and how many women the two answer differently well."""

    difference: float
    p: float
    women_who_differ: int


def auroc_covariance(positive: np.ndarray, scores: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the ROC curves of K classifiers of the same films, and their covariance over women.

    Obuchowski 1997 (Biometrics 53:567-578): the structural components of DeLong et al. 1988 (Biometrics 44:837-845)
    are summed within women. With one film per woman it is DeLong's estimate exactly: the factors I10 / (I10 - 1) and
    I01 / (I01 - 1), for the women with a positive and with a negative film, become his 1 / (m - 1) and 1 / (n - 1),
    and the cross term, with I / (I - 1), is zero. All are estimates for many women: below some 20 of a class they
    are rough.

    Args:
        positive: (N,) bool.
        scores: (K, N), higher for positive; ties count half.
        clusters: (N,) the woman of each film.

    Returns:
        (K,) areas and (K, K) covariance.

    Raises:
        InputError: Fewer than two women have a positive film, or a negative one.
    """
    areas, up, down, factors = _deviations(positive, scores, clusters)
    return areas, _covariance(up, down, factors)


Scored = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # positive, first, second, clusters, (N,) each


def delong(positive: np.ndarray, first: np.ndarray, second: np.ndarray, clusters: np.ndarray) -> AreaDifference:
    """Compares the areas of two classifiers' (N,) scores of the same films; arguments as of `auroc_covariance`."""
    return delong_mean([(positive, first, second, clusters)])


def delong_mean(tests: list[Scored]) -> AreaDifference:
    """Compares the mean areas of two classifiers over several tests, say the folds and seeds of a sweep.

    A woman's deviations are summed over the tests that she is in, so that tests that share women, as those of two
    seeds do, are not counted as independent. With one test it is `delong`.
    """
    women = np.unique(np.concatenate([clusters for *_, clusters in tests]))
    difference, ups, downs, factors = 0.0, np.zeros((1, len(women))), np.zeros((1, len(women))), np.zeros(3)
    for positive, first, second, clusters in tests:
        areas, up, down, inflated = _deviations(positive, np.stack([first, second]), clusters)
        difference += float(areas[0] - areas[1]) / len(tests)
        at = np.searchsorted(women, np.unique(clusters))
        # From differences of deviations: alike classifiers give zero exactly, not a rounding error to divide by.
        ups[:, at] += (up[:1] - up[1:]) / len(tests)
        downs[:, at] += (down[:1] - down[1:]) / len(tests)
        factors += np.array(inflated) / len(tests)
    error = math.sqrt(max(_covariance(ups, downs, (factors[0], factors[1], factors[2])).item(), 0.0))
    if error == 0 and difference == 0:
        return AreaDifference(0.0, 0.0, 0.0, 0.0, 1.0)
    if error == 0:
        return AreaDifference(difference, 0.0, None, None, None, "the difference does not vary between women")
    p = float(2 * norm.sf(abs(difference) / error))
    return AreaDifference(difference, error, difference - Z95 * error, difference + Z95 * error, p)


def _deviations(
    positive: np.ndarray, scores: np.ndarray, clusters: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[float, float, float]]:
    """(K,) areas; per woman, (K, women), the deviation of her positives' and her negatives' components; factors."""
    positive, scores = np.asarray(positive, bool), np.asarray(scores, float)
    _check(len(positive), scores.shape[1:], np.shape(clusters))
    if not np.isfinite(scores).all():
        raise InputError("expected finite scores, found NaN or infinity; give logits or decision values of all films")
    women, member = np.unique(clusters, return_inverse=True)
    with_positive, with_negative = (len(np.unique(member[mask])) for mask in (positive, ~positive))
    if min(with_positive, with_negative) < 2:
        raise InputError(
            f"expected two or more women with a positive film and two with a negative one, "
            f"found {with_positive} and {with_negative}; test more women"
        )
    ups, downs = int(positive.sum()), int((~positive).sum())
    # A midrank among all less that among one's own class counts the other class below, ties half.
    ranks = rankdata(scores, axis=1)
    above = (ranks[:, positive] - rankdata(scores[:, positive], axis=1)) / downs  # (K, positives), V10
    below = 1 - (ranks[:, ~positive] - rankdata(scores[:, ~positive], axis=1)) / ups  # (K, negatives), V01
    areas = above.mean(axis=1)
    up = _by_woman((above - areas[:, None]) / ups, member[positive], len(women))
    down = _by_woman((below - areas[:, None]) / downs, member[~positive], len(women))
    factors = (with_positive / (with_positive - 1), with_negative / (with_negative - 1), len(women) / (len(women) - 1))
    return areas, up, down, factors


def _by_woman(values: np.ndarray, member: np.ndarray, women: int) -> np.ndarray:
    return np.stack([np.bincount(member, row, women) for row in values])


def _covariance(up: np.ndarray, down: np.ndarray, factors: tuple[float, float, float]) -> np.ndarray:
    """S10 / M + S01 / N + (S11 + S11') / (M N), the divisions already done in the deviations."""
    cross = up @ down.T
    return factors[0] * up @ up.T + factors[1] * down @ down.T + factors[2] * (cross + cross.T)


def permutation_test(first_right: np.ndarray, second_right: np.ndarray, clusters: np.ndarray) -> AccuracyDifference:
    """Tests the difference of two accuracies on the same films by swapping the two answers woman by woman.

    A swap changes the sign of how many more of her films the first has right, a small integer, so the distribution
    of the sum over all 2^women swaps is a convolution: exact for any number of women, with nothing drawn. With one
    film per woman it is McNemar's exact test.

    Args:
        first_right: (N,) bool, whether the first classifier has each film right.
        second_right: (N,) bool, the second.
        clusters: (N,) the woman of each film.
    """
    _check(len(first_right), np.shape(second_right), np.shape(clusters))
    lead = np.asarray(first_right, bool).astype(int) - np.asarray(second_right, bool).astype(int)
    women, member = np.unique(clusters, return_inverse=True)
    by_woman = np.bincount(member, lead, len(women)).astype(int)
    steps = np.abs(by_woman[by_woman != 0])
    reach = int(steps.sum())
    chance = np.zeros(2 * reach + 1)  # of the sums -reach .. reach
    chance[reach] = 1.0
    for step in steps:
        chance = (np.roll(chance, step) + np.roll(chance, -step)) / 2  # never rolls past an end: reach is the sum
    sums = np.arange(-reach, reach + 1)
    p = chance[np.abs(sums) >= abs(by_woman.sum())].sum()
    return AccuracyDifference(float(lead.mean()), min(float(p), 1.0), len(steps))


def holm(p: np.ndarray) -> np.ndarray:
    """(T,) p values of all tests made, corrected to share one level (Holm 1979, Scand. J. Stat. 6:65-70)."""
    p = np.asarray(p, float)
    if not p.size or not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"expected p values between 0 and 1, found {p.tolist()}; leave out tests that are undefined")
    return multipletests(p, method="holm")[1]


def smallest_detectable(standard_error: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest true difference that a two-sided test at `alpha` would find with probability `power`.

    (z of 1 - alpha / 2, plus z of power) times the standard error of the paired difference: 2.80 errors by default
    (Bloom 1995, Evaluation Review 19:547-556). In the unit of the error; a smaller one cannot be called absent.
    """
    if not (standard_error >= 0 and 0 < power < 1 and 0 < alpha < 1):
        raise InputError(
            f"expected a standard error of 0 or more, power and alpha between 0 and 1, "
            f"found {standard_error}, {power}, {alpha}; give fractions"
        )
    return float((norm.ppf(1 - alpha / 2) + norm.ppf(power)) * standard_error)


def _check(films: int, *shapes: tuple[int, ...]) -> None:
    if not films or any(shape != (films,) for shape in shapes):
        raise InputError(
            f"expected labels, scores and women of the same films, found {films} against "
            f"{', '.join(str(shape) for shape in shapes)}; take all from one table of predictions"
        )
