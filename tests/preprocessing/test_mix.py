"""One square of two holds what its weights say."""

import numpy as np
import pytest

from mammo.preprocessing.mix import blend, crossover, cutmix, mixup

SIDE = 50


@pytest.mark.parametrize("mix", [crossover, mixup, cutmix])
@pytest.mark.parametrize("seed", range(5))
def test_the_share_of_the_first_is_its_share_of_the_pixels(mix, seed):
    rng = np.random.default_rng(seed)
    weights = mix(SIDE, rng.random(), rng)
    white, black = np.full((SIDE, SIDE), 255, np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    assert weights.min() >= 0 and weights.max() <= 1
    assert blend(white, black, weights).mean() / 255 == pytest.approx(weights.mean(), abs=0.5 / 255)


@pytest.mark.parametrize("mix", [crossover, cutmix])
def test_a_cut_leaves_pixels_as_they_are(mix):
    first, second = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE), np.uint8)
    rng = np.random.default_rng(1)
    for _ in range(20):
        child = blend(first, second, mix(SIDE, rng.random(), rng))
        assert ((child == first) | (child == second)).all()


def test_two_squares_of_sixteen_bits_stay_of_sixteen():
    first, second = (np.full((SIDE, SIDE), level, np.uint16) for level in (60000, 1000))
    child = blend(first, second, mixup(SIDE, 0.25, np.random.default_rng(0)))
    assert child.dtype == np.uint16 and set(child.ravel()) == {15750}


def test_a_child_is_cut_once_along_a_line_in_the_middle():
    rng = np.random.default_rng(0)
    whole = [np.broadcast_to(crossover(SIDE, share, rng), (SIDE, SIDE)) for share in np.linspace(0, 1, 21)]
    assert {weights.mean() for weights in whole} >= {0.2, 0.8} and min(w.mean() for w in whole) == 0.2
    steps = [
        (np.abs(np.diff(w, axis=0)).sum(axis=0).max(), np.abs(np.diff(w, axis=1)).sum(axis=1).max()) for w in whole
    ]
    assert set(steps) == {(1, 0), (0, 1)}


def test_a_box_has_the_area_that_was_drawn_unless_the_border_cuts_it():
    rng = np.random.default_rng(0)
    areas = [1 - cutmix(200, 0.75, rng).mean() for _ in range(100)]
    assert max(areas) == pytest.approx(0.25) and min(areas) >= 0.25 / 4 - 0.01
