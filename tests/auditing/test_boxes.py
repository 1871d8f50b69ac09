"""A breast that was cut out of a film and squeezed to any shape is found in it; the breasts of other films are not."""

import cv2
import numpy as np
import pytest

from mammo.auditing import boxes
from mammo.auditing.boxes import all_parts, find_boxes
from mammo.auditing.hashes import RECORD, Records, read_grey, record, turned
from mammo.auditing.parts import Part
from mammo.preprocessing.region import find_region

FILM = 3


@pytest.fixture(scope="module")
def films(phantom):
    return [read_grey(phantom.root / f"mdb{number:03d}.pgm") for number in range(1, 7)]


@pytest.fixture(scope="module")
def described(films):
    return [record(film) for film in films]


def breast(film, threshold=None):
    """The part of a film in the box around its breast: the region that training finds, or what is above a threshold."""
    if threshold is None:
        region, _ = find_region(film, 255)
    else:
        region = cv2.morphologyEx((film > threshold).astype(np.uint8), cv2.MORPH_OPEN, np.ones((31, 31)))
    scale = len(film) / len(region)
    left, top, across, down = (round(scale * one) for one in cv2.boundingRect(region))
    return film[top : top + down, left : left + across]


def found(described, *copies, known=()):
    rows = np.array([*described, *(record(np.ascontiguousarray(copy)) for copy in copies)], RECORD)
    records = Records(rows["key"], rows["hashes"], list(rows["thumb"]))
    return find_boxes(records, np.ones(len(records), bool), set(known))


@pytest.mark.parametrize(
    ("size", "threshold"), [((224, 224), None), ((1024, 1024), 60), ((2048, 2048), None), ((300, 500), 60)]
)
def test_a_breast_squeezed_to_any_shape_is_found_in_its_film_alone(films, described, size, threshold):
    told = found(described, cv2.resize(breast(films[FILM], threshold), size))
    assert [(one.first, one.second) for one in told] == [(FILM, len(films))]
    assert told[0].proof.endswith("of the breast, cut out and squeezed, not turned")


@pytest.mark.parametrize("symmetry", [2, 5, 12])
def test_a_squeezed_breast_may_be_turned_mirrored_and_a_negative(films, described, symmetry):
    squeezed = cv2.resize(breast(films[FILM]), (800, 800), interpolation=cv2.INTER_AREA)
    told = found(described, turned(squeezed, symmetry))
    assert [(one.first, one.second) for one in told] == [(FILM, len(films))]
    assert told[0].proof.endswith(", negative") == (symmetry >= 8)


def test_breasts_of_distinct_films_are_no_pair_in_any_shape(films, described):
    assert found(described) == found([], *(cv2.resize(breast(film), (512, 512)) for film in films)) == []


def test_films_that_show_nothing_or_share_a_marker_alone_are_no_pair(monkeypatch):
    rng = np.random.default_rng(0)
    marker = cv2.resize(rng.integers(80, 250, (12, 12)).astype(np.uint8), (100, 100), interpolation=cv2.INTER_CUBIC)
    marked = rng.integers(0, 9, (2, 1000, 800)).astype(np.uint8)
    marked[0, 20:120, 20:120] = marked[1, 860:960, 640:740] = marker
    assert found([]) == found([], *marked, np.zeros((1000, 800))) == []
    monkeypatch.setattr(boxes, "LEAST_PX", 8)
    assert found([], *marked)


def test_a_pair_that_is_known_is_not_compared_again(films, described, monkeypatch):
    monkeypatch.setattr(boxes, "correlation", lambda *_: pytest.fail("compares them"))
    assert found([described[FILM]], breast(films[FILM]), known=[(0, 1)]) == []


def test_a_squeezed_breast_is_told_once_and_beside_the_other_parts(films, monkeypatch):
    by_features = [Part(0, 2, 0.7, "by features"), Part(0, 1, 0.65, "by features"), Part(3, 4, 0.6, "by features")]
    monkeypatch.setattr(boxes, "find_parts", lambda *_: by_features)
    squeezed = [cv2.resize(breast(film), (512, 512)) for film in films[:2]]
    rows = np.array([record(one) for one in (films[0], squeezed[0], films[1], squeezed[1], films[2])])
    records = Records(rows["key"], rows["hashes"], list(rows["thumb"]))
    told = all_parts([], records, np.ones(len(records), bool), {(0, 2)})
    assert [(one.first, one.second, one.proof == "by features") for one in told] == [
        (2, 3, False), (0, 1, True), (3, 4, True),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.realdata
def test_squeezed_breasts_are_found_among_the_real_films_which_are_distinct(mias):
    films = [read_grey(path) for path in sorted(mias.root.glob("*.pgm"))]
    described = [record(film) for film in films]
    assert found(described) == []
    some = range(0, len(films), 8)
    told = found(described, *(cv2.resize(breast(films[row]), (768, 768)) for row in some))
    pairs = {(one.first, one.second) for one in told}
    true = {(row, len(films) + number) for number, row in enumerate(some)}
    assert pairs <= true and len(pairs) >= len(true) - 1
