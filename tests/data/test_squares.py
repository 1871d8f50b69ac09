"""Squares come from the cache only where nothing that matters has changed, and are the same without it."""

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest

from mammo.data import squares
from mammo.data.squares import Ask, Cutter
from tests.data.test_crop import archive, read

LESION = Ask("point", 112, (723.0, 410.0), within_px=40.0, reach_px=40.0)
DIGESTS = {f"mdb{number:03d}": f"pixels of {number}" for number in range(1, 11)}


@pytest.fixture
def cut(tmp_path):
    """Cuts one ask of mdb001; returns its squares and how many films were read for it."""

    def run(ask=LESION, digests=DIGESTS, home=tmp_path, shown=64, margin=1.25, **row):
        films = []

        def counted(image_id):
            films.append(image_id)
            return read(image_id)

        rows = archive().iloc[[0]].assign(**row)
        cutter = Cutter(counted, shown=shown, margin=margin, digests=digests, home=home)
        return cutter(rows, [ask])[0], len(films)

    return run


@pytest.mark.parametrize(
    "ask",
    [LESION, Ask("whole"), Ask("middle", 112), Ask("place", 112, (0.5, 0.5)), Ask("grid", 300, stride_px=300)],
    ids=lambda ask: ask.kind,
)
def test_a_film_is_read_once_and_the_cache_gives_the_same(cut, ask):
    fresh, made, again = cut(ask, home=None), cut(ask), cut(ask)
    assert (fresh[1], made[1], again[1]) == (1, 1, 0)
    assert len(fresh[0]) == len(again[0]) > 0
    for one, other in zip(fresh[0], again[0], strict=True):
        assert np.array_equal(one.pixels, other.pixels) and one.numbers == other.numbers


def test_that_there_is_no_square_is_kept_too(cut):
    nowhere = replace(LESION, at=(5.0, 5.0))
    assert [cut(nowhere) for _ in range(2)] == [([], 1), ([], 0)]


CHANGED = {
    "kind": "middle", "side_px": 113, "at": (700.0, 410.0), "within_px": 41.0, "reach_px": 0.0, "stride_px": 5,
}  # fmt: skip


def test_every_part_of_an_ask_is_changed_below():
    assert set(CHANGED) == {field.name for field in fields(Ask)}


@pytest.mark.parametrize("name", sorted(CHANGED))
def test_another_ask_is_not_answered_from_the_cache(cut, name):
    cut()
    assert cut(replace(LESION, **{name: CHANGED[name]}))[1] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"digests": DIGESTS | {"mdb001": "other pixels"}},
        {"shown": 65},
        {"margin": 1.3},
        {"side": "left"},
        {"spacing_mm": 0.1},
    ],
    ids=str,
)
def test_other_films_and_other_sides_are_not_answered_from_the_cache(cut, change):
    cut()
    assert cut(**change)[1] == 1


@pytest.mark.parametrize(("owner", "name"), [(squares, "VERSION"), (cv2, "__version__")])
def test_other_code_is_not_answered_from_the_cache(cut, monkeypatch, owner, name):
    cut()
    monkeypatch.setattr(owner, name, "another")
    assert cut()[1] == 1


def test_what_does_not_matter_is_answered_from_the_cache(cut):
    cut()
    assert cut(density="D", severity="malignant", patient="another", split="test", path="moved")[1] == 0
