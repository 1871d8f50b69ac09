"""Intervals: by patient, inside the range, never degenerate where data are few."""

import numpy as np
import pytest

from mammo.evaluation import bootstrap, grouped
from mammo.evaluation.areas import sum_by_level, weighted_auroc
from mammo.evaluation.bootstrap import (
    Value,
    biased_interval,
    bootstrap_weights,
    difference,
    independent_difference,
    interval,
    resampled,
    student,
)
from mammo.evaluation.grouped import Grouped
from tests.evaluation.tables import weighted_average_precision


def test_patients_are_resampled_as_a_whole():
    weights = bootstrap_weights(np.array(["a", "b", "a", "c", "b", "a"]), 200)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all() and (weights[:, 1] == weights[:, 4]).all()
    assert (weights[1:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_images_of_a_patient_that_agree_count_as_one():
    """Counting images instead of patients would make the interval narrower by a factor of the root of two."""
    right = np.random.default_rng(0).random(80) < 0.7
    patients = np.arange(80)
    ones, twos = (
        interval((weights * np.repeat(right, images)).sum(axis=1) / weights.sum(axis=1), 80)
        for images in (1, 2)
        for weights in [bootstrap_weights(np.repeat(patients, images))]
    )
    assert (ones.low, ones.high) == pytest.approx((twos.low, twos.high))


def test_nothing_wrong_among_few_patients_is_no_certainty():
    found = interval(np.ones(100), 10)
    assert found.value == found.high == 1.0 and 0.5 < found.low < 0.75  # Wilson's, of ten


def test_an_interval_stays_in_its_range_and_holds_its_value():
    rng = np.random.default_rng(0)
    for value, lowest in ((0.99, 0.0), (0.02, 0.0), (-0.97, -1.0)):
        found = interval(np.r_[value, value + 0.05 * rng.normal(size=500)], 20, lowest)
        assert lowest <= found.low <= found.value <= found.high <= 1.0


def test_one_patient_gives_no_interval_and_patients_who_agree_are_no_certainty():
    """Every patient has one image right of two: no resample differs, and yet another patient may."""
    assert interval(np.array([0.7, 0.7, 0.6]), 1).low is None
    assert interval(np.full(100, 0.5), 1).low is None
    alike = interval(np.full(100, 0.5), 30)
    assert 0.3 < alike.low < 0.35 and 0.65 < alike.high < 0.7


def test_a_difference_has_students_interval():
    array = np.r_[0.1, np.random.default_rng(0).normal(0.1, 0.02, 5000)]
    found = difference(array, np.zeros_like(array), 10_000)
    assert (found.low, found.high) == pytest.approx((0.1 - 0.0392, 0.1 + 0.0392), abs=0.001)


def test_a_difference_on_one_patient_has_no_interval():
    array = np.r_[0.1, np.random.default_rng(0).normal(0.1, 0.02, 50)]
    found = difference(array, np.zeros_like(array), 1)
    assert (found.value, found.low) == (0.1, None) and "one patient" in found.reason


def test_a_difference_that_no_resample_changes_is_no_certainty_unless_both_say_the_same():
    ones, zeros = np.ones(100), np.full(100, 1e-17)
    for patients in (3, 30):
        apart, alone = difference(ones, zeros, patients), interval(ones, patients)
        assert apart.low == pytest.approx(max(1 - np.sqrt(2) * (1 - alone.low), -1)) and apart.high == 1
        equal = difference(zeros, zeros, patients)
        assert equal.high == -equal.low == pytest.approx(interval(zeros, patients).high)
        scaled = difference(zeros, zeros, patients, -1.0, 1.0)
        assert scaled.high == pytest.approx(2 * equal.high)
        same = difference(ones, ones, patients, same=True)
        assert same.value == same.low == same.high == 0
    assert student(np.full(100, 7.0), 9).low is None  # a number without bounds


def test_errors_of_rounding_are_none():
    """The mean of equal numbers is not the same in all resamples, in the last digit."""
    noise = 0.1 + np.random.default_rng(0).choice([0, 1.4e-17], 100)
    for found, exact in ((interval(noise, 6), interval(np.full(100, 0.1), 6)), (biased_interval(noise, 6),) * 2):
        assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
        assert found.high - found.low > 0.3
    assert biased_interval(np.zeros(100), 6).high > 0.3


def test_many_samples_are_resampled_in_blocks_with_the_same_draws(monkeypatch):
    patients = np.repeat(np.arange(40), 3).astype(str)
    shown = []

    def compute(weights):
        shown.append(len(weights))
        return {"weights": weights}

    whole = resampled(patients, compute, 50)["weights"]
    assert shown == [51] and (whole == bootstrap_weights(patients, 50)).all()
    monkeypatch.setattr(bootstrap, "BLOCK", 7 * len(patients))
    assert (resampled(patients, compute, 50)["weights"] == whole).all()
    assert shown[1:] == [1, 7, 7, 7, 7, 7, 7, 7, 1]
    everyone = np.arange(60).astype(str)
    everyone.sort()
    assert (
        resampled(patients, compute, 50, everyone)["weights"] == bootstrap_weights(patients, 50, everyone=everyone)
    ).all()


def test_the_difference_of_two_independent_proportions_is_newcombes():
    """His example, 56 of 70 and 48 of 80, with Wilson's intervals of each: 0.2 (0.0524 to 0.3339)."""
    found = independent_difference(Value(0.8, 0.6918, 0.8768), Value(0.6, 0.4905, 0.7004))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=2e-4)


def test_a_share_of_none_is_uncertain_in_a_difference_too():
    none = interval(np.zeros(2001), 10)
    some = Value(0.227, 0.100, 0.437)
    assert independent_difference(some, none).low < 0
    assert independent_difference(some, Value(None, reason="no")).reason == "no"
    assert independent_difference(some, Value(0.1, reason="one patient")).low is None


def many(samples=6000, each=3, seed=7):  # the draws have seed 0
    rng = np.random.default_rng(seed)
    patients = np.arange(samples) // each
    positive = rng.random(samples)[patients] < 0.2
    of_patient = rng.normal(size=samples)[patients]
    return patients, positive, (positive + of_patient + rng.normal(size=samples)).round(3), rng.permutation(samples)


def test_many_samples_have_the_plain_values_and_the_errors_that_single_patients_give():
    patients, positive, score, _ = many()
    level = np.unique(score, return_inverse=True)[1]

    def compute(weights):
        areas = weighted_auroc(positive, score, weights), weighted_average_precision(positive, level, weights)
        return {"auroc": areas[0], "precision": areas[1], "share": weights @ positive / weights.sum(axis=1)}

    assert len(patients) > bootstrap.MANY
    grouped, each = resampled(patients, compute, 600), resampled(patients, compute, 600, each=True)
    for name, values in grouped.items():
        assert len(values) == 601 and values[0] == each[name][0]
        assert values[1:].std() == pytest.approx(each[name][1:].std(), rel=0.15)
        assert values[1:].mean() == pytest.approx(each[name][1:].mean(), abs=each[name].std() / 5)


def test_groups_do_not_depend_on_the_order_of_the_samples():
    patients, positive, _, order = many()
    one, other = (
        resampled(patients[at], lambda weights, at=at: {"share": weights @ positive[at] / weights.sum(axis=1)})["share"]
        for at in (slice(None), order)
    )
    assert (one == other).all()


def test_grouped_weights_sum_as_the_array_does_that_they_stand_for(monkeypatch):
    rng, member = np.random.default_rng(0), np.arange(40) // 4
    weights = Grouped.drawn_from(member, 10, 20)
    array = weights.drawn[:, weights.group]
    values, level, some = rng.integers(0, 5, 40), rng.integers(0, 7, 40), np.arange(3, 30)
    assert (weights @ values == array @ values).all() and (weights.sum(axis=1) == array.sum(axis=1)).all()
    assert (weights @ np.stack([values, level], axis=1) == array @ np.stack([values, level], axis=1)).all()
    assert ((weights * values) @ level == (array * values) @ level).all()
    assert ((weights * values).take(some, axis=1).sum(axis=1) == (array * values)[:, some].sum(axis=1)).all()
    assert (weights * values).by_level(level).tolist() == sum_by_level(array * values, level).tolist()
    parts, levels = [values > 2, values <= 2], rng.permutation(40)  # more levels than are kept apart
    monkeypatch.setattr(grouped, "LEVELS", 7)
    for part, found in zip(parts, (weights * values).parts_by_level(levels, parts), strict=True):
        assert found.shape == (21, 7) and (found == (weights * values * part).by_level(levels)).all()
    assert len({*weights.group.tolist()}) == 10 and len(weights) == 21


@pytest.mark.parametrize("most", [8, 2**23 + 1])  # the sums of the second are no numbers of 32 bits
def test_grouped_sums_of_whole_numbers_are_exact(most):
    weights = Grouped(np.array([[1.0, 1.0], [most, 0.0]]), np.array([0, 0, 0, 0, 0, 1]))
    found = weights.by_level(np.array([0, 0, 0, 0, 0, 1]))
    assert found.dtype == float and found.tolist() == [[5, 1], [5 * most, 0]]
