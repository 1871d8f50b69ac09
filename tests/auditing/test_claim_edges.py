"""A truncated number does not reach its upper end: 99.99 % is not all films. No claim that some films give is lost."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from mammo.auditing.claim_folds import of_folds
from mammo.auditing.claim_report import audit
from mammo.auditing.claim_words import read_claim

NAMES = ("sensitivity", "specificity", "precision", "npv", "f1")


def share(count, whole, empty=0):
    return Fraction(count, whole) if whole else Fraction(empty)


def readings(name, tp, tn, fp, fn, empty=0):
    """Return the fractions that a number of this name can be: those of a class, and means over both."""
    positives, negatives = tp + fn, tn + fp
    right = share(tp, positives, empty), share(tn, negatives, empty)
    called = share(tp, tp + fp, empty), share(tn, tn + fn, empty)
    f1 = share(2 * tp, 2 * tp + fp + fn, empty), share(2 * tn, 2 * tn + fp + fn, empty)

    def ways(one, other):
        return [one, other, (one + other) / 2, (positives * one + negatives * other) / (positives + negatives)]

    pair = {"sensitivity": right, "specificity": right[::-1], "precision": called, "npv": called[::-1], "f1": f1}[name]
    found = [*ways(*pair), share(tp + tn, positives + negatives)]
    if name == "f1":  # of the means
        means = zip(ways(*called), ways(*right), strict=True)
        found += [2 * p * r / (p + r) if p + r else Fraction(0) for p, r in means]
    return found


def digits(fraction, decimals):
    """Return the digits of per cent that the fraction truncates to, or rounds to; a tie goes up or down."""
    number = fraction * 100 * 10**decimals
    below = number.numerator // number.denominator
    return {below, below + 1} if 2 * (number - below) >= 1 else {below}


def written(number, decimals):
    text = str(number).rjust(decimals + 1, "0")
    return f"{text[: len(text) - decimals]}.{text[len(text) - decimals :]}%"


def possible(*words):
    return audit(list(words))[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("decimals", [0, 1, 2, 4])
def test_exactly_the_numbers_that_some_reading_prints_are_possible(name, decimals):
    negatives, positives = 4, 3
    printed = set()
    for tp in range(positives + 1):
        for tn in range(negatives + 1):
            matrix = tp, tn, negatives - tn, positives - tp
            one_class = (tp, tn) in ((positives, 0), (0, negatives))
            for empty in (0, 1) if one_class else (0,):
                for fraction in readings(name, *matrix, empty):
                    printed |= digits(fraction, decimals)
    near = {one + step for one in printed for step in (-1, 1)} | printed
    near = sorted(one for one in near if 0 <= one <= 10 ** (2 + decimals))
    for one in random.Random(0).sample(near, min(len(near), 40)):
        said = possible(f"test={negatives},{positives}", f"{name}={written(one, decimals)}")
        assert said == (one in printed), written(one, decimals)


def test_exactly_the_areas_that_some_ranking_prints_are_possible():
    negatives, positives, rng = 3, 4, random.Random(0)
    for tp, tn in ((4, 3), (4, 0), (3, 2), (0, 1)):
        pairs = 2 * negatives * positives
        ranked = range(2 * tp * tn, pairs - 2 * (positives - tp) * (negatives - tn) + 1)
        printed = {one for right in ranked for one in digits(Fraction(right, pairs), 2)}
        near = {one + step for one in printed for step in (-1, 0, 1)}
        words = [f"test={negatives},{positives}", f"recall={tp}/{positives}", f"specificity={tn}/{negatives}"]
        near = sorted(one for one in near if 0 <= one <= 10_000)
        for one in rng.sample(near, min(len(near), 4)):
            assert possible(*words, f"auc={written(one, 2)}") == (one in printed), (tp, tn, one)


@pytest.mark.parametrize(
    "words",
    [
        "test=60,30 specificity=99.99",
        "n=90 n_pos=30 precision=99.99 sensitivity=96.67",
        "test=600,400 f1=99.99",
        "test=20,20 sensitivity=100 specificity=100 auc=0.99",
        "n=50 specificity=100 accuracy=100 auc=0.99",
        "n=50 folds=5 accuracy=99.99",
    ],
)
def test_what_only_the_end_of_a_truncated_number_would_give_is_impossible(words):
    assert not possible(*words.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sensitivity=95.1 specificity=95.1 balanced_accuracy=95.04", ["balanced_accuracy is not the mean"]),
        ("sensitivity=95.1 specificity=95.1 balanced_accuracy=95.05", []),
        ("sensitivity=95.04 specificity=95.04 accuracy=95.1", ["accuracy is not between"]),
    ],
)
def test_means_over_folds_do_not_reach_the_excluded_end_either(words, said):
    claim = replace(read_claim([*words.split(), "test=50000,50000", "folds=5"]), repeats=None)
    wrong = of_folds(claim)
    assert len(wrong) == len(said) and all(one.startswith(start) for one, start in zip(wrong, said, strict=True)), wrong


def test_counts_beside_a_number_are_those_that_it_stands_for():
    assert possible("n=72", "accuracy=100.00 (72/72)")
    with pytest.raises(ValueError, match="neither rounds nor truncates"):
        audit(["n=72", "accuracy=99.99 (72/72)"])
