"""A crop of a film, or a copy turned by any angle, is found in it; films that share nothing but a marker are not."""

import re

import cv2
import numpy as np
import pytest

from mammo.auditing import parts
from mammo.auditing.hashes import read_grey
from mammo.errors import UnreadableFilm


@pytest.fixture(scope="module")
def films(tmp_path_factory, phantom):
    """Three films, each of 400 pixels of a drawn one, with the same marker in a corner."""
    folder = tmp_path_factory.mktemp("parts")
    marker = np.full((80, 160), 90, np.uint8)
    cv2.putText(marker, "R MLO 27", (5, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 220, 2)
    cv2.putText(marker, "CLINIC", (5, 65), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 200, 2)
    made = []
    for number in (1, 3, 5):
        film = np.array(read_grey(phantom.root / f"mdb{number:03d}.pgm"))
        rows, columns = np.nonzero(film > 60)
        top, left = int(np.median(rows)) - 200, max(int(np.median(columns)) - 200, 0)
        made.append(np.ascontiguousarray(film[top : top + 400, left : left + 400]))
        made[-1][:80, :160] = marker
        cv2.imwrite(str(folder / f"film{number}.png"), made[-1])
    return folder, made


def found(folder, copy):
    cv2.imwrite(str(folder / "copy.png"), np.ascontiguousarray(copy))
    paths = [*sorted(folder.glob("film*.png")), folder / "copy.png"]
    return parts.find_parts(paths, np.ones(len(paths), bool))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("negative", [False, True])
def test_a_patch_is_found_in_its_film_at_any_scale(films, mirrored, negative):
    folder, made = films
    patch = cv2.resize(made[1][150:310, 90:250], (224, 224))
    patch = 255 - patch if negative else patch
    told = found(folder, patch[:, ::-1] if mirrored else patch)
    assert ("negative" in told[0].proof) == negative
    assert [(one.first, one.second) for one in told] == [(1, 3)]
    assert re.search("turned by 0 degrees, 7[12] % of the size", told[0].proof)  # 160 of 224 pixels
    assert ("mirrored" in told[0].proof) == mirrored


def test_a_copy_turned_by_any_angle_is_found(films):
    folder, made = films
    warp = cv2.getRotationMatrix2D((200, 200), 37, 1)
    told = found(folder, cv2.warpAffine(made[0], warp, (400, 400)))
    assert [(one.first, one.second) for one in told] == [(0, 3)] and "turned by 37 degrees, 100 %" in told[0].proof


@pytest.mark.parametrize("size", [(400, 440), (440, 400)])
def test_a_part_that_is_stretched_by_a_tenth_is_found(films, size):
    folder, made = films
    told = found(folder, cv2.resize(made[1][40:390, 40:390], size))
    assert [(one.first, one.second) for one in told] == [(1, 3)] and "stretched by 1.1" in told[0].proof


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_part_that_is_squeezed_to_a_small_square_is_found(films, mirrored):
    folder, made = films
    squeezed = cv2.resize(made[1][:, 90:310], (224, 224), interpolation=cv2.INTER_AREA)
    told = found(folder, squeezed[:, ::-1] if mirrored else squeezed)
    assert [(one.first, one.second) for one in told] == [(1, 3)] and "stretched by 1.8" in told[0].proof


def test_a_film_that_goes_away_meanwhile_is_told_and_not_passed_over(films, monkeypatch):
    folder, made = films
    assert found(folder, made[1][100:300, 100:300])  # its features are kept now

    def gone(path):
        raise UnreadableFilm(f"{path}: it is not there")

    monkeypatch.setattr(parts, "read_grey", gone)
    with pytest.raises(UnreadableFilm, match="it is not there"):
        found(folder, made[1][100:300, 100:300])


def test_a_picture_of_one_row_ends_nothing(films):
    folder, made = films
    cv2.imwrite(str(folder / "film9.png"), np.arange(5000, dtype=np.uint8)[None])  # a ruler, say
    told = found(folder, made[1][::-1])
    (folder / "film9.png").unlink()
    assert [(one.first, one.second) for one in told] == [(1, 4)]


def test_films_that_share_a_marker_alone_are_in_no_pair(films):
    folder, _ = films
    assert parts.find_parts(sorted(folder.glob("film*.png")), np.ones(3, bool)) == []


def test_films_of_which_only_the_letters_agree_are_not_alike():
    rng, letters = np.random.default_rng(0), np.zeros((300, 300), np.uint8)
    cv2.putText(letters, "R MLO 27", (5, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 100, 2)
    one, other = (100 + letters + rng.normal(0, 1, (2, 300, 300))).astype(np.uint8)
    again = cv2.imdecode(cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, 95])[1], cv2.IMREAD_GRAYSCALE)
    still = np.eye(2, 3, dtype=np.float64)
    assert parts._correlation(*(parts.fine_structure(film).ravel() for film in (one, other))) > parts.SAME
    assert parts._alike(one, other, still) == 0.0 and parts._alike(one, again, still) > parts.SAME


def test_a_film_that_is_not_compared_is_in_no_pair(films):
    folder, made = films
    cv2.imwrite(str(folder / "copy.png"), made[2])
    paths = [*sorted(folder.glob("film*.png")), folder / "copy.png"]
    assert parts.find_parts(paths, np.array([True, True, True, False])) == []
    assert parts.find_parts(paths[:1], np.array([True])) == []


def test_features_are_kept(films, monkeypatch):
    folder, _ = films
    path = sorted(folder.glob("film*.png"))[0]
    first = parts.features(path)
    monkeypatch.setattr(parts, "read_grey", lambda _: pytest.fail("reads the film again"))
    assert np.array_equal(parts.features(path), first)


def test_a_watermark_all_over_two_films_makes_neither_a_part_of_the_other(monkeypatch):
    rng, mark = np.random.default_rng(0), np.zeros((300, 300), np.uint8)
    for row in range(20, 300, 24):
        cv2.putText(mark, "HOSPITAL HOSPITAL", (-5, row), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 25, 2)
    tissue = [cv2.GaussianBlur(rng.normal(size=mark.shape).astype(np.float32), (0, 0), 1.2) for _ in range(2)]
    one, other = (np.clip(110 + 6 * film / film.std() + mark, 5, 250).astype(np.uint8) for film in tissue)
    warp = np.eye(2, 3, dtype=np.float32)
    assert parts._alike(one, cv2.GaussianBlur(one, (0, 0), 1), warp) > 0.9 and parts._alike(one, other, warp) == 0
    monkeypatch.setattr(parts, "WEAK", 0.0)
    assert parts._alike(one, other, warp) > parts.SAME
