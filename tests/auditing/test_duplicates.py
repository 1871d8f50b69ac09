"""Altered copies of a film are found by its pixels; other films, the patient's other breast included, are not."""

import re
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from mammo.auditing.benchmark import CHOICES, altered
from mammo.auditing.duplicates import SAME, correlation, find_pairs, is_coarse
from mammo.auditing.hashes import RECORD, SIDE, SYMMETRIES, read_grey, record, turned


@pytest.fixture(scope="module")
def films(phantom):
    return [read_grey(path) for path in sorted(phantom.root.glob("*.pgm"))]


@pytest.fixture(scope="module")
def described(films):
    return np.array([record(film) for film in films])


@pytest.mark.parametrize(
    "how",
    [how if len(how) < 2 else pytest.param(how, marks=pytest.mark.slow) for how in CHOICES],
    ids=lambda how: " and ".join(how) or "identical",
)
def test_a_copy_is_found_however_it_was_altered(films, described, how):
    for film in (0, 7, 20):
        copy = record(altered(films[film], how, np.random.default_rng(film)))
        found = list(find_pairs(np.append(described, copy)).same())
        assert [(one, other) for one, other, _, _ in found] == [(film, len(films))]


def test_a_ground_of_one_grey_level_makes_no_film_coarse(films):
    thumb = cv2.resize(films[0], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = np.where(thumb < 12, np.uint8(12), thumb)
    assert not is_coarse(thumb) and not is_coarse(grey) and is_coarse(grey // 64 * 64 + 20)


def test_distinct_films_and_the_two_breasts_of_a_patient_are_not_taken_for_one(described):
    pairs = find_pairs(described)
    assert len(pairs.first) and list(pairs.same()) == []


def test_the_outline_that_films_share_does_not_make_them_one(films):
    one, other = record(films[0])["thumb"], record(films[0])["thumb"].copy()
    rng = np.random.default_rng(0)
    other[other > 3] = np.clip(other[other > 3] + rng.normal(0, 12, (other > 3).sum()), 4, 251)
    outline = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    assert outline > 0.95 and not correlation(one, other) >= SAME


def test_the_symmetry_is_the_one_that_turns_the_second_film_into_the_first(films, described):
    for symmetry, name in enumerate(SYMMETRIES):
        inverse = next(s for s in range(8) if (turned(turned(films[3], s), symmetry) == films[3]).all())
        found = list(find_pairs(np.append(described[3], record(turned(films[3], inverse)))).same())
        assert found == [(0, 1, name, 1.0)]


@pytest.mark.parametrize("symmetry", [0, 5])
def test_a_negative_is_a_copy_however_it_is_turned(films, described, symmetry):
    for film in (0, 7, 20):
        negative = record(turned(255 - films[film], symmetry))
        found = list(find_pairs(np.append(described, negative)).same())
        assert [(one, other) for one, other, _, _ in found] == [(film, len(films))]
        assert found[0][2].endswith(", negative")


def test_the_levels_of_two_films_do_not_matter_but_their_places_do(films):
    thumb = record(films[0])["thumb"]
    assert correlation(thumb, (0.6 * thumb + 20).astype(np.uint8)) > 0.95
    assert not correlation(thumb, np.ascontiguousarray(thumb[::-1])) >= SAME


def test_films_that_show_nothing_are_no_pair_unless_identical():
    grey, black = np.full((SIDE, SIDE), 90, np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    assert correlation(black, black) == 1.0
    assert not correlation(black, grey) >= SAME


def gigabytes_of(what):
    return int(re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**20


@pytest.mark.slow
def test_ten_thousand_films_take_less_than_ten_minutes_and_two_gigabytes(films):
    rng = np.random.default_rng(0)
    thumbs = [record(film)["thumb"] for film in films]
    down, across = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    described = np.empty(10_000, RECORD)
    for row in range(9500):  # films bent so that about as many pairs are near as among real ones
        bend = [cv2.resize(rng.normal(0, 8, (5, 5)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for _ in "xy"]
        places = (across + bend[0]).astype(np.float32), (down + bend[1]).astype(np.float32)
        described[row] = record(cv2.remap(thumbs[row % len(thumbs)], *places, cv2.INTER_LINEAR))
    for row in range(9500, 10_000):
        described[row] = record(turned(described["thumb"][row - 9500], row % 8))
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far, which may be another test's
    before, start = gigabytes_of("VmRSS"), time.perf_counter()  # other tests of this process left some
    found = {pair[:2] for pair in find_pairs(described).same()}
    seconds = time.perf_counter() - start
    gigabytes = gigabytes_of("VmHWM") - before
    assert found >= {(film, 9500 + film) for film in range(500)}
    assert seconds < 600 and gigabytes < 1.7, f"{seconds:.0f} s, {gigabytes:.2f} GB"  # a program begins with 0.3 GB
