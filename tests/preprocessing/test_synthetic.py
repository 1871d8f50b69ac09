"""Synthetic crops come from a class's training crops and a seed, and from nothing else; a copy of one is seen."""

import numpy as np
import pytest
import torch

from mammo.errors import InputError
from mammo.preprocessing.synthetic import SIDE, compare, summary, synthesise

DRAWS = [("a", 1), ("a", 2), ("b", 1)]


@pytest.fixture
def crops():
    return np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE), np.uint8)


@pytest.fixture
def make(crops, monkeypatch, tmp_path_factory):
    def made(draws=DRAWS, crops=crops, seed=0):
        monkeypatch.setenv("MAMMO_HOME", str(tmp_path_factory.mktemp("home")))  # nothing cached
        return synthesise(crops, draws, steps=3, seed=seed)

    return made


def same(one, two):
    return all(np.array_equal(one[draw], two[draw]) for draw in one)


@pytest.mark.slow
def test_each_crop_is_of_its_own_seed_draw_and_sample(make):
    made = make()
    assert [square.shape for square in made.values()] == [(SIDE, SIDE)] * 3
    assert len({square.tobytes() for square in made.values()}) == 3
    assert same({("b", 1): made["b", 1]}, make([("b", 1)]))
    assert not same(make(seed=1), made)


def test_neither_threads_nor_the_global_random_state_enter_and_both_are_as_before(make):
    torch.manual_seed(1)
    one = make()
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        torch.manual_seed(2)
        before = torch.get_rng_state()
        two = make()
        assert torch.get_num_threads() == 2 and torch.equal(torch.get_rng_state(), before)
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)
    assert same(one, two)


def test_what_was_made_is_cached_until_a_crop_changes(make, crops, monkeypatch):
    made = make()
    monkeypatch.setattr("mammo.preprocessing.synthetic._train", lambda *_: pytest.fail("trained again"))
    assert same(synthesise(crops, DRAWS, steps=3, seed=0), made)
    changed = crops.copy()
    changed[0, 0, 0] ^= 255
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        synthesise(changed, DRAWS, steps=3, seed=0)


def test_crops_of_sixteen_bits_are_refused_in_one_line(crops):
    with pytest.raises(InputError, match=r"crop\.bits=8"):
        synthesise(crops.astype(np.uint16), DRAWS, steps=3, seed=0)


def test_a_copied_crop_is_at_distance_0_and_a_grey_level_is_a_255th(crops):
    crops = crops // 2
    table = compare({("a", 1): crops[3], ("b", 1): crops[1] + 1}, crops, list("vwxyz"))
    assert table["nearest"].tolist() == ["y", "w"]
    assert table["distance"].to_numpy() == pytest.approx([0, 1 / 255], abs=1e-7)
    far = np.sqrt(((crops[0] / 255 - crops[1] / 255) ** 2).mean())
    assert table["between_median"][0] == pytest.approx(far, rel=0.05) and table["between_p5"][0] > 0.1
    assert summary(table.assign(**{"class": "normal"})).startswith("gan: 2 synthetic crops")
