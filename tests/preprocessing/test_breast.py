"""The breast is found, cleaned, mirrored and scaled; windows are where they should be."""

import csv
import tracemalloc
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mammo.datasets.film import Film
from mammo.errors import InputError
from mammo.preprocessing.breast import brightest_blob, contrast, cut, percentile, resize
from mammo.preprocessing.breast import find_breast as find_breast_on
from tests.preprocessing.breasts import ARTEFACTS, WHITE, breast_digest, levels, on_film, overlap, tissue


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


@pytest.mark.parametrize(
    "name", [name if at % 2 == 0 else pytest.param(name, marks=pytest.mark.slow) for at, name in enumerate(ARTEFACTS)]
)
def test_the_breast_is_found_beside_every_artefact(name):
    pixels = levels(ARTEFACTS[name](tissue()[0].copy()))
    breast = find_breast_on(Film(pixels, WHITE), None)
    # What the artefact covers or moves is told by drawing it over a breast of one grey level
    seen, blank = (levels(ARTEFACTS[name](grey)) for grey in (0.55 * tissue()[1], 0.0 * tissue()[0]))
    assert overlap(on_film(breast), seen.astype(int) > blank.astype(int) + 200) > 0.94
    assert not breast.mirrored and not breast.disagrees
    assert [note.split(" is ")[0] for note in breast.notes] == ["the background"] * (name == "background of 1200")


@pytest.mark.parametrize("factor", [1, 0.5, 0.3, 1 / 16, 0.04])
def test_the_scale_of_the_grey_levels_does_not_matter(factor):
    whole, part = (find_breast_on(Film(levels(tissue()[0] * one), WHITE), None) for one in (1, factor))
    assert overlap(on_film(part), on_film(whole)) > 0.985
    narrow = find_breast_on(Film((levels(tissue()[0]) * 16 * factor).astype(np.uint16), 65535), None)
    assert overlap(on_film(narrow), on_film(whole)) > 0.985


def test_a_film_of_12_bits_stored_in_16_gives_the_same_mask_even_with_a_label_of_16_bits():
    pixels = levels(tissue()[0])
    labelled = np.where(ARTEFACTS["label"](np.zeros(pixels.shape)) > 0, 65535, pixels).astype(np.uint16)
    masks = [find_breast_on(Film(*film), None).mask for film in ((pixels, WHITE), (pixels, 65535), (labelled, 65535))]
    assert np.array_equal(masks[0], masks[1]) and np.array_equal(masks[0], masks[2])


def test_light_at_the_films_edge_leaves_no_strip_along_the_chest_wall():
    breast = find_breast_on(Film(levels(ARTEFACTS["light at the film's edge"](tissue()[0])), WHITE), None)
    assert breast.box[0] > 50 and breast.box[1] < 974


@pytest.mark.parametrize("says", ["left", "right", None])
@pytest.mark.parametrize("shows", ["left", "right"])
def test_the_chest_wall_is_found_and_a_wrong_laterality_is_told(says, shows):
    right, wrong = find_breast(film("right"), "right"), says not in (None, shows)
    breast = find_breast(film(shows), says)
    assert np.array_equal(breast.pixels, right.pixels) and np.array_equal(breast.mask, right.mask)
    assert breast.mirrored == (shows == "right") and breast.disagrees == wrong
    assert any(f"labelled {says}" in note for note in breast.notes) == wrong


@pytest.mark.parametrize("laterality", ["left", "right"])
def test_the_laterality_decides_where_both_sides_look_alike(laterality):
    breast = find_breast(np.pad(np.full((600, 500), 120, np.uint8), ((200, 200), (0, 0))), laterality)
    assert breast.mirrored == (laterality == "right") and not breast.disagrees
    assert any(laterality in note for note in breast.notes)


def test_a_film_turned_by_180_degrees_gives_the_same_breast_and_maps_its_points():
    pixels = film("left")
    pixels[300:311, 300:311] = 255
    upright = find_breast(pixels, "left")
    turned = find_breast_on(Film(pixels[::-1, ::-1].copy(), 255, upside_down=True), "left")
    assert np.array_equal(upright.pixels, turned.pixels) and np.array_equal(upright.mask, turned.mask)
    point = turned.from_film(1023 - 305, 1023 - 305)
    assert point == upright.from_film(305, 305) and turned.to_film(*point) == (1023 - 305, 1023 - 305)


@pytest.mark.parametrize(
    ("pixels", "word"),
    [
        (levels(1 - tissue()[0]), "both ends"),
        (levels(1 - tissue(skin=700)[0][140:-140]), "background is bright"),
        (levels(1 - 1.3 * tissue(skin=700)[0][140:-140]), "outline is hollow"),
        (levels(np.pad(tissue(200, 160, 70)[0], ((400, 400), (0, 660)))), " 1% of the film"),
        (np.pad(levels(tissue()[0]), 100, constant_values=80), "no edge"),
    ],
    ids=["inverted", "inverted and wide", "inverted and darker", "small", "afloat"],
)
def test_an_odd_breast_is_told(pixels, word):
    assert any(word in note for note in find_breast_on(Film(pixels, WHITE), "left").notes)


def test_an_area_is_odd_if_it_is_no_breasts():
    odd = Film(levels(tissue()[0]), WHITE, spacing_mm=1.0)
    assert any("cm2" in note for note in find_breast_on(odd, None).notes)
    assert not find_breast_on(replace(odd, spacing_mm=0.2), None).notes


@pytest.mark.parametrize("level", [0, 7, 255])
def test_an_even_film_has_no_breast(level):
    with pytest.raises(InputError, match="no breast"):
        find_breast(np.full((1024, 1024), level, np.uint8), "left")


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_levels_are_scaled_between_two_percentiles_to_the_bit(bits):
    pixels = levels(0.05 + 0.9 * tissue()[0] + 0.01 * np.random.default_rng(0).normal(size=(1024, 820)))
    breast = find_breast_on(Film(pixels, WHITE), None, bits=bits)
    inside = pixels[:, breast.chest_px :]
    low, high = np.percentile(inside[breast.mask], [1.0, 99.5])
    scaled = np.clip((inside.astype(np.float32) - low) * ((2**bits - 1) / (high - low)), 0, 2**bits - 1)
    assert np.array_equal(breast.pixels, (scaled * breast.mask).astype(breast.pixels.dtype))


def test_percentiles_of_counts_are_those_of_the_levels():
    rng = np.random.default_rng(0)
    for size in range(1, 300):
        one, percent = rng.integers(0, rng.integers(2, 4000), size).astype(np.uint16), rng.uniform(0, 100)
        assert percentile(np.bincount(one), percent) == np.percentile(one, percent)


def test_a_breast_reaches_as_far_as_its_nearest_pixel():
    breast = find_breast(film(), "left")
    rows, columns = np.nonzero(breast.mask)
    for x, y in np.random.default_rng(0).uniform(-200, 1200, (40, 2)):
        nearest = np.hypot(columns - x, rows - y).min()
        assert breast.reaches(x, y, nearest + 1e-6) and not breast.reaches(x, y, nearest - 1e-6)


def test_a_square_is_that_of_the_whole_film_with_its_reflection():
    rng = np.random.default_rng(0)
    for _ in range(300):
        pixels = rng.integers(0, 256, rng.integers(1, 40, 2), np.uint8)
        (x, y), side = rng.integers(-60, 90, 2), 2 * int(rng.integers(0, 40)) + 1
        whole = cv2.copyMakeBorder(pixels, 150, 150, 150, 150, cv2.BORDER_REFLECT_101)
        top, left = (150 + at - side // 2 for at in (y, x))
        assert np.array_equal(cut(pixels, x, y, side), whole[top : top + side, left : left + side])


def test_memory_is_a_few_times_that_of_the_film():
    pixels = levels(cv2.resize(tissue()[0], (1640, 2048)))
    tracemalloc.start()
    find_breast_on(Film(pixels, WHITE), None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * pixels.nbytes


@pytest.mark.slow
@pytest.mark.realdata
def test_breasts_of_mini_mias_are_those_of_version_0_1(mias):
    table = (Path(__file__).parent / "mias_breasts.csv").read_text().splitlines()
    known = {row["image_id"]: row["digest"] for row in csv.DictReader(table)}
    films = mias.findings().drop_duplicates("image_id").set_index("image_id")["laterality"]
    found, unclear = {}, set()
    for image_id, laterality in films.items():
        breast = find_breast_on(mias.read(image_id), laterality)
        found[image_id] = breast_digest(breast)
        unclear |= {image_id} if breast.notes else set()
    assert found == known
    assert unclear == {"mdb151", "mdb152"}  # they leave the film on both sides, and the laterality decides


@pytest.mark.parametrize("laterality", ["left", "right"])
def test_points_go_to_the_breast_and_back(laterality):
    pixels = film(laterality)
    x = 300 if laterality == "left" else 1023 - 300
    pixels[495:506, x - 5 : x + 6] = 255
    breast = find_breast(pixels, laterality)
    column, row = breast.from_film(x, 500)
    assert breast.pixels[round(row), round(column)] == 255
    assert breast.to_film(column, row) == (x, 500)


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
    start = breast.from_film(near[0] + 20, near[1] + 10)
    x, y = breast.to_film(*brightest_blob(breast, *start, reach_px=40, spacing_mm=0.2))
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


@pytest.mark.parametrize("quality", [75, 95])
def test_a_film_that_was_a_jpeg_shows_the_same_breast(phantom, quality):
    film = phantom.read("mdb003")
    lossy = cv2.imdecode(cv2.imencode(".jpg", film.pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 0)
    masks = [find_breast(one, None).mask for one in (film.pixels, lossy)]
    height, width = (min(mask.shape[axis] for mask in masks) for axis in (0, 1))
    both, either = (rule(*(mask[:height, :width] for mask in masks)) for rule in (np.logical_and, np.logical_or))
    assert both.sum() > 0.97 * either.sum()
