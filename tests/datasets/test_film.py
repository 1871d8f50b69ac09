"""Films: told by content, in the depth that they have, and named where they cannot be read."""

import errno
import struct
import zlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from mammo.datasets.film import Film, check_film, checked, read_film, read_mask, write_pgm
from mammo.errors import InputError, UnreadableFilm
from mammo.formats.header import read_header

LEVELS = np.random.default_rng(0).integers(0, 256, (30, 20), np.uint8)
DEEP = LEVELS.astype(np.uint16) * 16  # of 12 bits


def chunk(kind, content=b""):
    """A part of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pixels": [[1, 2]]}, "no array of"),
        ({"pixels": np.ones((2, 2, 3), np.uint8)}, "no array of"),
        ({"pixels": np.full((2, 2), 0.5)}, "no array of"),
        ({"pixels": np.array([[0, 4000]], np.uint16)}, "max_level 255, and its largest level is 4000"),
        ({"max_level": 4095}, "max_level 4095, and its largest level is 9 of uint8"),
        ({"spacing_mm": float("nan")}, "spacing_mm nan"),
    ],
)
def test_a_film_that_somebody_made_is_checked(changed, said):
    film = Film(np.array([[0, 9]], np.uint8), 255)
    check_film(film)
    with pytest.raises(InputError, match=said):
        check_film(replace(film, **changed))
    with pytest.raises(InputError, match="found a str"):
        check_film("film.png")


@pytest.mark.parametrize(
    ("film", "said"),
    [
        (np.ones((2, 2), np.uint8), "image a: found a ndarray"),
        (None, "image a: found a NoneType"),
        (Film(np.ones((2, 2), np.uint8), 0), "image a: .*max_level 0"),
        (Film(np.ones((2, 2, 3), np.uint8), 255), "image a: .*no array of"),
        (Film(np.full((2, 2), np.nan), 255), "image a: .*no array of"),
    ],
)
def test_a_data_set_that_reads_no_film_is_told_by_the_image(film, said):
    with pytest.raises(InputError, match=said):
        checked(lambda image_id: film)("a")


def test_a_film_that_a_data_set_cannot_open_is_unreadable_and_a_failing_disk_is_not_its_fault():
    def reads(error):
        def read(image_id):
            raise error

        return checked(read)

    for error in (FileNotFoundError(errno.ENOENT, "no such file", "a.png"), PermissionError("locked"), OSError("cut")):
        with pytest.raises(UnreadableFilm, match="image a: it cannot be read"):
            reads(error)("a")
    with pytest.raises(OSError, match="Input/output error"):
        reads(OSError(errno.EIO, "Input/output error"))("a")


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
    held = read_film((tmp_path / "film").read_bytes())  # the content alone, without a file
    assert np.array_equal(held.pixels, film.pixels) and held.notes == film.notes


def test_content_that_is_no_film_is_refused_without_a_path():
    with pytest.raises(UnreadableFilm, match="an empty file") as told:
        read_film(b"")
    assert not str(told.value).startswith(("b'", ":"))
    assert "zip" in read_header(b"PK\3\4").refused


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


PICTURES = {
    "a web page": b"<html><body>moved</body></html>",
    "a zip": b"PK\3\4" + bytes(60),
    "a file of macOS": b"\0\5\26\7",
    "an empty file": b"",
    "another file": b"just a text",
    "200 million": b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0))
    + chunk(b"IEND"),
    "in colour": cv2.imencode(".png", np.dstack([LEVELS, LEVELS[::-1], LEVELS]))[1].tobytes(),
    "empty": cv2.imencode(".png", LEVELS * 0 + 3)[1].tobytes(),
    "it is a PNG, but it is damaged": cv2.imencode(".png", LEVELS)[1].tobytes().replace(b"IDAT", b"IDAT\0"),
    "level 200": b"P5 2 1 100 " + bytes([0, 200]),
    "32 bits": cv2.imencode(".tif", LEVELS.astype(np.float32))[1].tobytes(),
}


@pytest.mark.parametrize("reason", PICTURES)
def test_a_file_that_is_no_film_has_its_reason(tmp_path, reason):
    (tmp_path / "film").write_bytes(PICTURES[reason])
    with pytest.raises(UnreadableFilm, match=reason):
        read_film(tmp_path / "film")
    if reason not in ("in colour", "empty", "level 200"):  # its pixels tell
        assert reason in read_header(tmp_path / "film").refused


def test_a_grey_picture_in_colour_is_read_with_a_note(tmp_path):
    (tmp_path / "film").write_bytes(cv2.imencode(".png", np.dstack([LEVELS] * 3))[1].tobytes())
    film = read_film(tmp_path / "film")
    assert np.array_equal(film.pixels, LEVELS) and "colour" in film.notes[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpeg", "png", "tiff"])
def test_a_picture_is_turned_as_its_orientation_says(tmp_path, suffix, orientation):
    turns = [np.array, np.fliplr, lambda a: a[::-1, ::-1], np.flipud, np.transpose, lambda a: np.rot90(a, -1),
             lambda a: a[::-1, ::-1].T, np.rot90]  # fmt: skip
    exif = Image.Exif()
    exif[274] = orientation
    stored = cv2.resize(LEVELS, (60, 90))
    Image.fromarray(stored).save(tmp_path / "film", suffix, exif=exif, quality=99)
    expected = turns[orientation - 1](stored)
    film, header = read_film(tmp_path / "film"), read_header(tmp_path / "film")
    assert film.pixels.shape == expected.shape == (header.height, header.width)
    assert np.abs(film.pixels.astype(int) - expected).max() <= 4 and bool(film.notes) == (orientation > 1)


def test_the_first_of_several_pages_is_read_with_a_note(tmp_path):
    Image.fromarray(LEVELS).save(tmp_path / "a.tif", save_all=True, append_images=[Image.fromarray(LEVELS // 2)])
    film = read_film(tmp_path / "a.tif")
    assert np.array_equal(film.pixels, LEVELS) and "pages" in film.notes[0]


def test_a_mask_may_be_of_one_level_or_in_colour(tmp_path):
    red = np.dstack([LEVELS * 0, LEVELS * 0, (LEVELS > 99) * np.uint8(255)])
    for pixels, expected in ((LEVELS * 0 + 255, LEVELS >= 0), (LEVELS * 0, LEVELS < 0), (red, LEVELS > 99)):
        (tmp_path / "mask").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        assert np.array_equal(read_mask(tmp_path / "mask"), expected)


def test_a_film_that_is_not_there_names_its_path(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.pgm"):
        read_film(tmp_path / "nowhere.pgm")
