"""Overlaps and distances of regions: worked by hand, never 1 for nothing, and by patient."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist

from mammo.errors import InputError
from mammo.evaluation.bootstrap import Value
from mammo.evaluation.segmentation import MEASURES, evaluate_segments, measure, surface_distances

SIDE = 80


def square(x, y, side):
    region = np.zeros((SIDE, SIDE), bool)
    region[y : y + side, x : x + side] = True
    return region


def disc(radius, x=40, y=40):
    down, across = np.mgrid[:SIDE, :SIDE]
    return np.hypot(across - x, down - y) <= radius


EMPTY, WHOLE, HALF = square(0, 0, 0), square(10, 10, 20), square(10, 10, 20) & (np.arange(SIDE) < 20)


@pytest.mark.parametrize(
    ("found", "true", "dice", "iou"),
    [
        (EMPTY, EMPTY, np.nan, np.nan),  # 0/0
        (WHOLE, EMPTY, np.nan, np.nan),
        (EMPTY, WHOLE, 0, 0),
        (WHOLE, WHOLE, 1, 1),
        (HALF, WHOLE, 2 * 200 / (200 + 400), 200 / 400),
        (WHOLE, HALF, 2 * 200 / (200 + 400), 200 / 400),
        (square(50, 50, 20), WHOLE, 0, 0),
    ],
)
def test_overlap_is_as_worked_by_hand_and_nothing_over_nothing_is_not_one(found, true, dice, iou):
    said = measure(found, true, 0.2)
    assert list(said) == MEASURES
    assert (said["dice"], said["iou"]) == pytest.approx((dice, iou), nan_ok=True)
    assert (said["area_mm2"], said["true_area_mm2"]) == pytest.approx((found.sum() * 0.04, true.sum() * 0.04))
    assert np.isnan(said["assd_mm"]) == np.isnan(said["hd95_mm"]) == (not found.any() or not true.any())


def test_two_points_are_as_far_apart_as_pythagoras_says():
    said = measure(square(10, 20, 1), square(13, 24, 1), 0.2)
    assert (said["assd_mm"], said["hd95_mm"]) == pytest.approx((1.0, 1.0)), "5 pixels of 0.2 mm"


def test_a_square_beside_its_twin_by_hand():
    """Squares of 3 x 3, 4 pixels apart: from each of 8 surface pixels, 4 (x3), 3 (x2), 2 (x3) pixels to the other."""
    said = measure(square(10, 10, 3), square(14, 10, 3), 1.0)
    assert said["assd_mm"] == pytest.approx((3 * 4 + 2 * 3 + 3 * 2) / 8)
    assert said["hd95_mm"] == pytest.approx(4)


def test_the_surfaces_of_concentric_discs_are_as_far_apart_as_their_radii():
    said = measure(disc(20), disc(30), 0.5)
    assert said["assd_mm"] == pytest.approx(5, abs=0.25) and said["hd95_mm"] == pytest.approx(5, abs=0.5)
    assert measure(disc(30), disc(20), 0.5)["hd95_mm"] == said["hd95_mm"]
    assert measure(disc(20), disc(20), 0.5)["assd_mm"] == 0


@pytest.mark.parametrize("other", [square(33, 7, 25), disc(9, 70, 70), square(0, 0, SIDE)])
def test_distances_are_those_of_all_pairs_of_surface_pixels(other):
    """Without a distance transform, the surface being the pixels with a neighbour outside."""

    def points(region):
        padded = np.pad(region, 1)
        near = [np.roll(padded, step, axis) for axis in (0, 1) for step in (1, -1)]
        return np.argwhere(region & ~np.all(near, axis=0)[1:-1, 1:-1])

    first, second = disc(14, 30, 40), other
    apart = cdist(points(first), points(second))
    found = surface_distances(first, second)
    assert np.allclose(np.sort(found[0]), np.sort(apart.min(axis=1)))
    assert np.allclose(np.sort(found[1]), np.sort(apart.min(axis=0)))
    said = measure(first, second, 1.0)
    assert said["hd95_mm"] == pytest.approx(max(np.percentile(apart.min(axis=axis), 95) for axis in (0, 1)))
    assert said["assd_mm"] == pytest.approx(np.r_[apart.min(axis=0), apart.min(axis=1)].mean())


def test_unknown_spacing_leaves_the_overlap_alone():
    false = evaluate_segments(pd.DataFrame([measure(WHOLE, EMPTY, None)]).assign(patient="a"), resamples=50).values
    assert false["false_region"].value == 1 and false["false_area_mm2"].value is None
    said = measure(HALF, WHOLE, None)
    assert said["iou"] == 0.5 and all(np.isnan(said[name]) for name in MEASURES if "mm" in name)


def test_regions_of_levels_or_of_two_sizes_are_refused():
    with pytest.raises(InputError, match="expected bool"):
        measure(WHOLE.astype(np.uint8) * 255, WHOLE, 1.0)
    with pytest.raises(InputError, match="expected one size"):
        measure(WHOLE[1:], WHOLE, 1.0)


def rows(*pairs, patients=None):
    said = [measure(found, true, 0.5) for found, true in pairs]
    return pd.DataFrame(said).assign(patient=patients or [f"p{number}" for number in range(len(pairs))])


def test_images_without_a_region_are_counted_apart():
    said = evaluate_segments(
        rows((EMPTY, EMPTY), (WHOLE, EMPTY), (EMPTY, EMPTY), (HALF, WHOLE), (EMPTY, WHOLE)), resamples=50
    )
    assert said.counts == {"images": 5, "patients": 5, "with_region": 2, "empty": 1, "without_region": 3}
    values = {name: value.value for name, value in said.values.items()}
    assert values["dice"] == pytest.approx((2 / 3 + 0) / 2) and values["iou"] == 0.25 and values["missed"] == 0.5
    assert values["false_region"] == pytest.approx(1 / 3) and values["false_area_mm2"] == 400 * 0.25
    assert values["assd_mm"] == measure(HALF, WHOLE, 0.5)["assd_mm"]
    assert said.as_json()["n"]["without_region"] == 3


def test_without_any_region_no_overlap_is_claimed():
    said = evaluate_segments(rows((EMPTY, EMPTY), (EMPTY, EMPTY)), resamples=50)
    undefined = {name for name, value in said.values.items() if value.value is None}
    assert undefined == {"dice", "iou", "missed", "assd_mm", "hd95_mm", "false_area_mm2"}
    assert said.values["false_region"].value == 0 and said.values["false_region"].high > 0


def test_films_of_a_patient_that_agree_count_as_one():
    pairs = [(HALF, WHOLE), (WHOLE, WHOLE), (EMPTY, WHOLE), (HALF, WHOLE)]
    once = evaluate_segments(rows(*pairs, patients=list("abcd")))
    twice = evaluate_segments(rows(*pairs, *pairs, patients=list("abcdabcd")))
    for name in ("dice", "assd_mm"):
        one, two = once.values[name], twice.values[name]
        assert (one.low, one.value, one.high) == pytest.approx((two.low, two.value, two.high))
        assert isinstance(one, Value) and one.low < one.value < one.high
