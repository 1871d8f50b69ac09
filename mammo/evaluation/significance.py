"""Tests that compare two classifiers on the same images, and errors of their difference. Both count patients.

A patient's images are alike, so treating them as independent makes errors too small and tests too eager. Here every
variance sums over patients first, and every permutation moves a patient as a whole. All numbers are fractions.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri  # of the normal distribution; scipy.stats takes a second to import

from mammo.errors import InputError
from mammo.tables.alike import different

EXACT = 10_000  # images that one classifier alone has right, in sum over patients
Scored = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # positive, two scores, patients: (N,) each


@dataclass(frozen=True)
class AreaDifference:
    """The first AUROC minus the second, its standard error and two-sided p, which is None if nothing varies."""

    difference: float
    standard_error: float
    p: float | None


def delong_mean(tests: list[Scored]) -> AreaDifference:
    """Compare the mean areas under the ROC curves of two classifiers over several tests, such as the folds of a sweep.

    As in Obuchowski 1997 (Biometrics 53:567-578), the structural components of DeLong et al. 1988 (Biometrics
    44:837-845) are summed within patients. With one image per patient this is exactly DeLong's estimate: the factors
    I10 / (I10 - 1) and I01 / (I01 - 1), for the patients with a positive and with a negative image, become DeLong's
    1 / (m - 1) and 1 / (n - 1), and the cross term, with I / (I - 1), is zero. The estimates are made for many
    patients: with fewer than about 20 in a class they are rough. A patient's deviations are summed over all tests with
    that patient, so tests that share patients, such as those of two seeds, are not counted as independent.

    Args:
        tests: For each test, (N,) bool labels, two (N,) scores (higher for positive) and the (N,) patients.

    Raises:
        InputError: Fewer than two patients have a positive image, or a negative one.
    """
    everyone, _ = different(np.concatenate([clusters for *_, clusters in tests]))
    difference, ups, downs, factors = 0.0, np.zeros((1, len(everyone))), np.zeros((1, len(everyone))), np.zeros(3)
    for positive, first, second, clusters in tests:
        areas, up, down, inflated = _deviations(positive, [first, second], clusters)
        difference += float(areas[0] - areas[1]) / len(tests)
        at = np.searchsorted(everyone, different(clusters)[0])
        # Deviations are subtracted first, so equal classifiers give exactly zero and not a rounding error.
        ups[:, at] += (up[:1] - up[1:]) / len(tests)
        downs[:, at] += (down[:1] - down[1:]) / len(tests)
        factors += inflated / len(tests)
    # S10 / M + S01 / N + (S11 + S11') / (M N), the divisions already done in the deviations.
    cross = ups @ downs.T
    variance = factors[0] * ups @ ups.T + factors[1] * downs @ downs.T + factors[2] * (cross + cross.T)
    error = math.sqrt(max(variance.item(), 0.0))
    if error == 0:
        return AreaDifference(difference, 0.0, 1.0 if difference == 0 else None)
    return AreaDifference(difference, error, float(2 * ndtr(-abs(difference) / error)))


def _deviations(
    positive: np.ndarray, scores: list[np.ndarray], clusters: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (K,) areas, (K, patients) deviations of the positives' and of the negatives' components, and 3 factors."""
    positive = np.asarray(positive, bool)
    _check(len(positive), *map(np.shape, scores), np.shape(clusters))
    if not all(np.isfinite(one).all() for one in scores):
        raise InputError("expected finite scores, found NaN or infinity; give logits or decision values of all images")
    patients, member = different(np.asarray(clusters))
    counts = np.array([len(different(member[mask])[0]) for mask in (positive, ~positive)] + [len(patients)])
    if counts.min() < 2:
        raise InputError(
            f"expected two or more patients with a positive image and two with a negative one, "
            f"found {counts[0]} and {counts[1]}; test more patients"
        )
    ups, downs = int(positive.sum()), int((~positive).sum())
    levels = [different(np.asarray(one))[1] for one in scores]
    above = np.stack([_below(one, ~positive)[positive] for one in levels]) / downs  # (K, positives), V10
    below = 1 - np.stack([_below(one, positive)[~positive] for one in levels]) / ups  # (K, negatives), V01
    areas = above.mean(axis=1)
    up, down = (
        np.stack([np.bincount(member[mask], row, len(patients)) for row in (values - areas[:, None]) / number])
        for values, mask, number in ((above, positive, ups), (below, ~positive, downs))
    )
    return areas, up, down, counts / (counts - 1)


def _below(level: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return for each of (N,) levels how many of some samples lie below it; those on it count half."""
    counts = np.bincount(level[among], minlength=int(level.max()) + 1)
    return (np.cumsum(counts) - counts / 2)[level]


def permutation_test(first_right: np.ndarray, second_right: np.ndarray, clusters: np.ndarray) -> float:
    """Return the two-sided p of two accuracies on the same images, from swapping predictions patient by patient.

    The first classifier has some more, or fewer, of a patient's images right than the second. A swap changes the sign
    of this small integer, so the distribution of the sum over all 2^patients swaps is a convolution. It is exact
    without random draws, and normal for more than `EXACT` images. With one image per patient this is McNemar's exact
    test.

    Args:
        first_right: (N,) bool, true where the first classifier is right about the image.
        second_right: (N,) bool, the same for the second classifier.
        clusters: (N,) the patient of each image.
    """
    _check(len(first_right), np.shape(second_right), np.shape(clusters))
    lead = np.asarray(first_right, bool).astype(int) - np.asarray(second_right, bool).astype(int)
    _, member = different(np.asarray(clusters))
    by_patient = np.bincount(member, lead).astype(int)
    steps = np.abs(by_patient[by_patient != 0])
    reach = int(steps.sum())
    if reach > EXACT:  # the sum of so many is normal; it takes every other integer, hence the 1 for continuity
        return float(min(2 * ndtr((1 - abs(int(by_patient.sum()))) / math.sqrt(int((steps**2).sum()))), 1.0))
    chance = np.zeros(2 * reach + 1)  # of the sums -reach .. reach
    chance[reach] = 1.0
    for step in steps:
        chance = (np.roll(chance, step) + np.roll(chance, -step)) / 2  # never rolls past an end: reach is the sum
    sums = np.arange(-reach, reach + 1)
    return min(float(chance[np.abs(sums) >= abs(by_patient.sum())].sum()), 1.0)


def holm(p: np.ndarray) -> np.ndarray:
    """Return the (T,) p values of all tests, corrected to share one level (Holm 1979, Scand. J. Stat. 6:65)."""
    p = np.asarray(p, float)
    if not p.size or not ((p >= 0) & (p <= 1)).all():
        raise InputError(f"expected p values between 0 and 1, found {p.tolist()}; leave out tests that are undefined")
    order = np.argsort(p)
    corrected = np.empty_like(p)  # the smallest times all, the next times one less, and never below the one before
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return corrected


def smallest_detectable(standard_error: float) -> float:
    """Return the smallest true difference that a two-sided test at 0.05 would find with probability 0.8.

    It is (z of 0.975, plus z of 0.8) times the standard error of the paired difference: 2.80 errors (Bloom 1995,
    Evaluation Review 19:547-556). A smaller difference can exist and stay undetected.
    """
    if not standard_error >= 0:
        raise InputError(f"expected a standard error of 0 or more, found {standard_error}")
    return float((ndtri(0.975) + ndtri(0.8)) * standard_error)


def _check(images: int, *shapes: tuple[int, ...]) -> None:
    if not images or any(shape != (images,) for shape in shapes):
        raise InputError(
            f"expected labels, scores and patients of the same images, found {images} against "
            f"{', '.join(map(str, shapes))}; take all from one table of predictions"
        )
