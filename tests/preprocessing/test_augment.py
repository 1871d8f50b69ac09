"""The look of a sample depends on (seed, draw, sample), and is never black at the corners."""

import numpy as np
import pytest

from mammo.config import AugmentConfig, Config
from mammo.errors import InputError
from mammo.preprocessing.augment import METHODS, Augment
from tests.conftest import CONF

SETTINGS = {"mode": "online", "copies": 4, "symmetries": True, "rotate_deg": 15, "shift": 0.05, "scale": 0.1}
SHOWN = 64


def augment_of(**settings) -> Augment:
    return Augment(AugmentConfig(**SETTINGS | settings))


def stored(augment: Augment) -> np.ndarray:
    side = int(np.ceil(SHOWN * augment.margin))
    return np.random.default_rng(0).integers(60, 256, (side, side), np.uint8)


def test_a_draw_is_the_same_whatever_was_drawn_before():
    one, two = augment_of(), augment_of()
    square = stored(one)
    for other in range(5):
        two(square, SHOWN, seed=9, draw=other, name="other")
    assert np.array_equal(one(square, SHOWN, seed=1, draw=2, name="a"), two(square, SHOWN, seed=1, draw=2, name="a"))


@pytest.mark.parametrize("changed", [{"seed": 2}, {"draw": 3}, {"name": "b"}])
def test_seed_draw_and_sample_each_change_what_is_seen(changed):
    augment = augment_of()
    key = {"seed": 1, "draw": 2, "name": "a"}
    assert not np.array_equal(augment(stored(augment), SHOWN, **key), augment(stored(augment), SHOWN, **key | changed))


def test_draw_0_is_the_middle_of_the_stored_square():
    augment = augment_of()
    square = stored(augment)
    start = (len(square) - SHOWN) // 2
    seen = augment(square, SHOWN, seed=1, draw=0, name="a")
    assert np.array_equal(seen, square[start : start + SHOWN, start : start + SHOWN])


@pytest.mark.parametrize("rotate_deg", [15, 45, 180])
def test_no_draw_reaches_beyond_the_stored_square(rotate_deg):
    """Only the outermost frame of the stored square is black: were it, or its reflection, seen, black would be."""
    augment = augment_of(**{"rotate_deg": rotate_deg})
    square = np.full_like(stored(augment), 200)
    square[[0, -1]] = square[:, [0, -1]] = 0
    seen = [augment(square, SHOWN, seed=0, draw=draw, name="a") for draw in range(1, 60)]
    assert min(s.min() for s in seen) > 150
    assert {s.shape for s in seen} == {(SHOWN, SHOWN)}


def test_the_eight_symmetries_all_occur():
    augment = Augment(AugmentConfig(mode="online", copies=1, rotate_deg=0, shift=0, scale=0))
    square = stored(augment)
    expected = {np.rot90(s, k).tobytes() for s in (square, square.T) for k in range(4)}
    assert {augment(square, SHOWN, seed=0, draw=d, name="a").tobytes() for d in range(1, 80)} == expected


def test_online_epochs_draw_anew_or_among_the_cached_copies():
    augment = augment_of()
    fresh = [augment.online_draw(seed=0, epoch=e, name="a", few=False) for e in range(20)]
    cached = [augment.online_draw(seed=0, epoch=e, name="a", few=True) for e in range(50)]
    assert len(set(fresh)) == 20 and 0 not in fresh
    assert set(cached) == {1, 2, 3, 4}


def test_sixteen_bits_are_drawn_as_eight_are():
    augment = augment_of()
    square = stored(augment)
    for draw in range(4):
        eight, sixteen = (augment(one, SHOWN, seed=1, draw=draw, name="a") for one in (square, square * np.uint16(257)))
        assert sixteen.dtype == np.uint16
        assert np.abs(eight - sixteen / 257.0).max() <= 1


def test_without_augmentation_nothing_is_stored_beyond_what_is_shown():
    assert Augment(AugmentConfig(mode="none")).margin == 1.0


def test_the_methods_are_these_and_each_has_its_file():
    assert set(METHODS) == {"geometric", "crossover", "mixup", "cutmix", "gan"}
    assert {path.stem for path in (CONF / "augment").glob("*.yaml")} == {"none", "expand", "online", *METHODS} - {
        "geometric"
    }


def test_a_rate_leaves_some_draws_geometric():
    augment = augment_of(**{"method": "mixup", "rate": 0.3})
    changed = [augment.generator(seed=0, draw=draw, name="a") is not None for draw in range(1, 400)]
    assert 0.2 < np.mean(changed) < 0.4
    assert augment_of().generator(seed=0, draw=0, name="a") is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "some"}, "augment.mode=some: expected none, expand or online"),
        ({"mode": "expand", "copies": 0}, "augment.copies=0"),
        ({"method": "mix"}, "augment.method=mix .* geometric, crossover, mixup, cutmix, gan"),
        ({"method": "mixup", "rate": 2}, "augment.rate=2"),
        ({"method": "mixup", "alpha": 0}, "augment.alpha=0"),
        ({"method": "cutmix", "mode": "expand"}, "augment.mode=online, or one of geometric, crossover, gan"),
    ],
)
def test_settings_that_make_no_augmentation_are_refused_in_one_line(settings, message):
    with pytest.raises(InputError, match=message) as error:
        Augment(Config.of({"augment": SETTINGS | settings}).augment)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("draw", range(6))
def test_mask_and_boxes_are_changed_with_their_square(draw):
    """A disc off the middle: its mask stays on it, its box holds it, and the square is the one drawn alone."""
    augment = augment_of(rotate_deg=30, shift=0.1, scale=0.2)
    square = (stored(augment) // 8).astype(np.uint16)
    side = len(square)
    x, y, radius = side // 2 + 11, side // 2 - 6, 7
    down, across = np.mgrid[:side, :side]
    disc = np.hypot(across - x, down - y) <= radius
    square[disc] = 250
    boxes = [(0.0, 0.0, 2.0, 2.0), (x - radius, y - radius, x + radius + 1, y + radius + 1)]
    key = {"seed": 3, "draw": draw, "name": "a"}
    drawn, mask, seen = augment.together(square, np.uint8(disc * 255), boxes, SHOWN, **key)
    assert np.array_equal(drawn, augment(square, SHOWN, **key)) and drawn.dtype == np.uint16
    assert mask.shape == (SHOWN, SHOWN) and mask.sum() > 0
    assert drawn[mask > 250].min() > 150 and np.median(drawn[mask == 0]) < 40
    assert ((drawn > 125) == (mask > 127)).mean() > 0.99
    ((x0, y0, x1, y1),) = seen  # the first one lies beyond what is shown
    rows, columns = (mask > 127).nonzero()
    assert x0 - 0.5 <= columns.min() and columns.max() + 1 <= x1 + 0.5 and x1 - x0 < 2.9 * radius * 1.2
    assert y0 - 0.5 <= rows.min() and rows.max() + 1 <= y1 + 0.5 and y1 - y0 < 2.9 * radius * 1.2
