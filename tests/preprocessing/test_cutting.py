"""Squares come from the cache only where nothing that matters has changed, and are the same without it."""

import multiprocessing
import time
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest

from mammo.datasets.film import Film
from mammo.errors import InputError
from mammo.preprocessing import cutting
from mammo.preprocessing.cutting import Cutter, film_names
from mammo.preprocessing.squares import Ask
from tests.preprocessing.test_crops import archive, read

LESION = Ask("point", 112, (723.0, 410.0), within_px=40.0, reach_px=40.0)
PINNED = [
    724, 410, 112, 0.6069, 0.4184, 0.6090, 0.4184, 15204.28, 130.3862, 0, 40.7104,  # squares.NUMBERS
    130.5097, 87.941,  # mean and spread of grey
]  # fmt: skip
DIGESTS = {f"mdb{number:03d}": f"pixels of {number}" for number in range(1, 11)}


@pytest.fixture
def cut(tmp_path):
    """Cuts one ask of mdb001; returns its squares and how many films were read for it."""

    def run(ask=LESION, digests=DIGESTS, home=tmp_path, shown=64, margin=1.25, bits=8, film=read, **row):
        films = []

        def counted(image_id):
            films.append(image_id)
            return film(image_id)

        rows = archive().iloc[[0]].assign(**row)
        cutter = Cutter(counted, shown=shown, margin=margin, bits=bits, digest_of=digests.get, home=home)
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
    "kind": "middle", "size_px": 113, "at": (700.0, 410.0), "within_px": 41.0, "reach_px": 0.0, "stride_px": 5,
    "shown_px": 90,
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
        {"bits": 16},
        {"laterality": "left"},
        {"spacing_mm": 0.1},
    ],
    ids=str,
)
def test_other_films_and_other_settings_are_not_answered_from_the_cache(cut, change):
    cut()
    assert cut(**change)[1] == 1


@pytest.mark.parametrize(("owner", "name"), [(cutting, "VERSION"), (cv2, "__version__")])
def test_other_code_is_not_answered_from_the_cache(cut, monkeypatch, owner, name):
    cut()
    monkeypatch.setattr(owner, name, "another")
    assert cut()[1] == 1


def test_two_runs_that_lack_the_same_squares_cut_them_once(tmp_path):
    context = multiprocessing.get_context("fork")
    together, films = context.Barrier(2), context.Queue()

    def run():
        def slow(image_id):
            films.put(image_id)
            time.sleep(0.1)
            return read(image_id)

        together.wait()
        cutter = Cutter(slow, shown=64, margin=1.0, digest_of=DIGESTS.get, home=tmp_path)
        assert all(len(squares) == 1 for squares in cutter(archive(), [Ask("whole")] * 11))

    jobs = [context.Process(target=run) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert [job.exitcode for job in jobs] == [0, 0]
    assert sorted(films.get(timeout=5) for _ in range(10)) == sorted(DIGESTS) and films.empty()
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_a_change_of_what_is_cut_or_measured_raises_the_version(cut):
    """Where one of these numbers changes by more than another OpenCV's rounding, so has `cutting.VERSION` to."""
    (square,), _ = cut(home=None)
    measured = [*square.numbers.values(), float(square.pixels.mean()), float(square.pixels.std())]
    assert (cutting.VERSION, measured) == (4, pytest.approx(PINNED, rel=1e-3))


def test_films_without_a_digest_are_named_by_their_pixels_and_their_white(cut):
    def white(image_id):
        return Film(read(image_id).pixels, 200)

    def moved(image_id):
        return Film.of(np.roll(read(image_id).pixels, 1, axis=0))

    assert [cut(digests={}, film=film)[1] for film in (read, read, moved, white, read)] == [2, 1, 2, 2, 1]


def test_a_name_that_films_of_other_pixels_share_is_refused():
    pixels = {"a": 0, "b": 0, "c": 1}
    films = {name: Film(np.full((4, 4), level, np.uint8), 255) for name, level in pixels.items()}
    names = {"a": "one", "b": "one", "c": "two"}
    assert film_names(films.__getitem__, names.get, list(films)) == names
    with pytest.raises(InputError, match="images a and c have other pixels, but the data set gives one digest of both"):
        film_names(films.__getitem__, lambda image_id: "one", list(films))


def test_what_does_not_matter_is_answered_from_the_cache(cut):
    cut()
    assert cut(density="D", severity="malignant", patient="another", split="test", path="moved")[1] == 0


NAMELESS = dict.fromkeys(DIGESTS)  # a data set that names no pixels


@pytest.mark.parametrize(
    "fact", [{"upside_down": True}, {"spacing_mm": 0.1}, {"notes": ("turned",)}, {"laterality": "left"}], ids=str
)
def test_a_film_of_the_same_pixels_and_other_facts_is_cut_again(cut, fact):
    cut(digests=NAMELESS)
    assert cut(digests=NAMELESS)[1] == 1  # read for its name alone
    assert cut(digests=NAMELESS, film=lambda image_id: replace(read(image_id), **fact))[1] == 2


def test_squares_are_cut_again_when_the_reading_of_films_has_changed(cut, monkeypatch):
    cut()
    monkeypatch.setattr(cutting, "READING_VERSION", cutting.READING_VERSION + 1)
    assert cut()[1] == 1
