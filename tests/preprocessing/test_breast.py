"""The breast is found, cleaned, mirrored and scaled; windows are where they should be."""

import cv2
import numpy as np
import pytest

from mammo.datasets.film import Film
from mammo.errors import InputError
from mammo.preprocessing.breast import brightest_blob, contrast, cut, resize
from mammo.preprocessing.breast import find_breast as find_breast_on


def find_breast(pixels, laterality, *rest, **settings):
    return find_breast_on(Film.of(pixels), laterality, *rest, **settings)


def film(laterality="left", *, label=True, skin=400) -> np.ndarray:
    """A half-ellipse of tissue at the chest wall, a label and a border, black elsewhere."""
    y, x = np.mgrid[:1024, :1024]
    tissue = ((x - 100) / skin) ** 2 + ((y - 500) / 450) ** 2 <= 1
    pixels = np.where(tissue & (x >= 100), 120 + (x - 100) / 10, 0).astype(np.uint8)
    if label:
        pixels[40:120, 700:780] = 250
        pixels[:, 1010:1020] = 255
    return pixels if laterality == "left" else pixels[:, ::-1].copy()


def test_label_and_border_are_removed_and_grey_levels_fill_the_range():
    breast = find_breast(film(), "left")
    assert breast.pixels[~breast.mask].max() == 0
    assert not breast.mask[40:120, 600:].any()
    assert breast.pixels.min() == 0 and breast.pixels.max() == 255
    assert abs(breast.box[2] - 400) < 12


def test_a_right_breast_is_the_mirror_image_of_a_left_one():
    left, right = find_breast(film("left"), "left"), find_breast(film("right"), "right")
    assert right.mirrored and not left.mirrored
    height, width = (min(a, b) for a, b in zip(left.pixels.shape, right.pixels.shape, strict=True))
    differing = np.abs(left.pixels[:height, : width - 50].astype(int) - right.pixels[:height, : width - 50])
    assert np.median(differing[left.mask[:height, : width - 50]]) <= 2


def test_the_breast_is_where_it_was_on_a_film_of_12_bits():
    few = find_breast(film(), "left")
    many = find_breast_on(Film((film().astype(int) * 4095 // 255).astype(np.uint16), 4095), "left", bits=16)
    assert many.box == few.box and many.chest_px == few.chest_px and np.array_equal(many.mask, few.mask)
    assert many.pixels.dtype == np.uint16 and many.pixels.max() == 65535


@pytest.mark.parametrize("laterality", ["left", "right"])
def test_the_laterality_is_seen_where_it_is_not_known(laterality):
    assert find_breast(film(laterality), None).mirrored == (laterality == "right")


def test_a_black_film_has_no_breast():
    with pytest.raises(InputError, match=r"mdb9\.pgm: no breast"):
        find_breast(np.zeros((1024, 1024), np.uint8), "left", "mdb9.pgm")


@pytest.mark.parametrize("laterality", ["left", "right"])
def test_points_go_to_the_breast_and_back(laterality):
    pixels = film(laterality)
    x = 300 if laterality == "left" else 1023 - 300
    pixels[495:506, x - 5 : x + 6] = 255
    breast = find_breast(pixels, laterality)
    column, row = breast.from_film(x, 500, 1024)
    assert breast.pixels[round(row), round(column)] == 255
    assert breast.to_film(column, row, 1024) == (x, 500)


def test_a_window_beyond_the_film_shows_its_reflection_and_nothing_black():
    white = np.full((50, 40), 200, np.uint8)
    for x, y in ((0, 0), (39, 49), (-30, 20), (20, 90)):
        assert cut(white, x, y, 101).shape == (101, 101)
        assert cut(white, x, y, 101).min() == 200


def test_a_window_is_centred_on_its_point():
    pixels = np.zeros((100, 100), np.uint8)
    pixels[60, 30] = 255
    assert cut(pixels, 30, 60, 21)[10, 10] == 255


def test_the_brightest_blob_is_found_within_its_reach_and_never_beyond():
    pixels = film(label=False)
    near, far = (260, 520), (420, 520)
    for x, y in (near, far):
        cv2.circle(pixels, (x, y), 14, 255 if (x, y) == far else 215, -1)
    breast = find_breast(pixels, "left")
    start = breast.from_film(near[0] + 20, near[1] + 10, 1024)
    x, y = breast.to_film(*brightest_blob(breast, *start, reach_px=40, spacing_mm=0.2), 1024)
    assert np.hypot(x - near[0], y - near[1]) < 6


def test_contrast_tells_a_bright_centre_from_a_dark_one():
    square = np.full((64, 64), 100, np.uint8)
    cv2.circle(square, (32, 32), 10, 200, -1)
    assert contrast(square) > 20
    assert contrast(255 - square) < -20
    assert abs(contrast(np.full((64, 64), 100, np.uint8))) == 0


def test_resizing_keeps_the_mean_grey():
    square = np.random.default_rng(0).integers(0, 256, (100, 100), np.uint8)
    assert abs(resize(square, 40).mean() - square.mean()) < 2
