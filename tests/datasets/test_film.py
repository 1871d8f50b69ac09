"""Films: told by content, in the depth that they have, and named where they cannot be read."""

import cv2
import numpy as np
import pytest

from mammo.datasets.film import Film, read_film, write_pgm
from mammo.errors import InputError

LEVELS = np.random.default_rng(0).integers(0, 256, (30, 20), np.uint8)
DEEP = LEVELS.astype(np.uint16) * 16  # of 12 bits


def test_a_pgm_comes_back_as_it_was_written(tmp_path):
    write_pgm(tmp_path / "a.pgm", LEVELS)
    film = read_film(tmp_path / "a.pgm")
    assert np.array_equal(film.pixels, LEVELS) and film.max_level == 255


def test_a_pgm_may_have_16_bits_and_a_comment(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5\n# of a scanner\n20 30\n4095\n" + DEEP.astype(">u2").tobytes())
    film = read_film(tmp_path / "a.pgm")
    assert np.array_equal(film.pixels, DEEP) and film.max_level == 4095 and film.pixels.dtype == np.uint16


@pytest.mark.parametrize(("suffix", "pixels"), [("png", DEEP), ("tiff", DEEP), ("bmp", LEVELS), ("jpg", LEVELS // 9)])
def test_a_film_is_told_by_its_content(tmp_path, suffix, pixels):
    """The file has no suffix. JPEG is lossy: its levels are near."""
    (tmp_path / "film").write_bytes(cv2.imencode(f".{suffix}", pixels)[1].tobytes())
    film = read_film(tmp_path / "film")
    assert film.pixels.dtype == pixels.dtype and film.max_level == (255 if pixels.dtype == np.uint8 else 4095)
    assert np.abs(film.pixels.astype(int) - pixels).max() <= (12 if suffix == "jpg" else 0)
    assert bool(film.notes) == (pixels.dtype == np.uint16)  # which level is white is a guess


def test_levels_of_12_bits_are_those_of_8_in_8_bits():
    deep = Film(np.array([[0, 2048, 4095]], np.uint16), 4095)
    assert deep.levels8().tolist() == [[0, 128, 255]]
    assert deep.grey()[0, [0, 2]].tolist() == [0, 1]


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"x", lambda b: b"P6" + b[2:], lambda b: b""])
def test_an_unreadable_film_names_its_path(tmp_path, damage):
    path = tmp_path / "mdb001.pgm"
    write_pgm(path, np.zeros((8, 8), np.uint8))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"mdb001\.pgm"):
        read_film(path)


@pytest.mark.parametrize("suffix", ["png", "tiff", "jpg"])
def test_a_truncated_film_of_any_kind_names_its_path(tmp_path, suffix):
    data = cv2.imencode(f".{suffix}", LEVELS)[1].tobytes()
    path = tmp_path / f"film.{suffix}"
    path.write_bytes(data[: len(data) * 9 // 10])
    with pytest.raises(InputError, match=rf"film\.{suffix}"):
        read_film(path)


def test_a_film_that_is_not_there_names_its_path(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.pgm"):
        read_film(tmp_path / "nowhere.pgm")
