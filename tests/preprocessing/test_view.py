"""The view of a detector: its places lie on the film where they say, however it was mirrored, cut or resampled."""

import numpy as np
import pytest

from mammo.datasets.film import Film
from mammo.errors import InputError
from mammo.preprocessing.breast import find_breast
from mammo.preprocessing.view import BLOB_MM, CELL_PX, FACTS, STEP, check_size, view_of

SIDE = 512


def a_film(*, right, spot=None, radius=12):
    """A breast, half an ellipse of even grey at one edge of a film, with a bright spot at a point of the film."""
    y, x = np.mgrid[:SIDE, :SIDE]
    levels = np.where((x / 260) ** 2 + ((y - 250) / 200) ** 2 <= 1, 100, 0)
    levels = levels[:, ::-1] if right else levels
    levels = levels + (np.abs(np.sin(x / 9) * 20) * (levels > 0)).astype(int)
    if spot is not None:
        levels = np.where(np.hypot(x - spot[0], y - spot[1]) <= radius, 250, levels)
    return Film(np.ascontiguousarray(levels.astype(np.uint8)), max_level=255, spacing_mm=0.4)


def the_view(film, view_mm=0.4):
    return view_of(find_breast(film, None), 0.4, view_mm)


@pytest.mark.parametrize("view_mm", [0.2, 0.4, 0.6])
@pytest.mark.parametrize("right", [False, True])
def test_the_hottest_place_of_a_planted_spot_lies_on_it_to_half_a_cell(right, view_mm):
    spot = (SIDE - 1 - 150, 222) if right else (150, 222)
    view = the_view(a_film(right=right, spot=spot), view_mm)
    hottest = view.places[view.places[:, FACTS.index("blob_minus_surround")].argmax()]
    step_px = CELL_PX * STEP * view_mm / 0.4  # from one place to the next, on the film
    assert np.abs(hottest[:2] - spot).max() <= step_px / 2 + 1


def test_a_film_and_its_mirror_image_have_the_same_view_and_mirrored_places():
    left, right = a_film(right=False, spot=(150, 222)), a_film(right=True, spot=(SIDE - 1 - 150, 222))
    right = Film(np.ascontiguousarray(left.pixels[:, ::-1]), max_level=255, spacing_mm=0.4)
    one, other = the_view(left), the_view(right)
    assert np.array_equal(one.pixels, other.pixels)
    assert np.allclose(one.places[:, 0], SIDE - 1 - other.places[:, 0])
    assert np.array_equal(one.places[:, 1:], other.places[:, 1:])


def test_places_are_half_breast_and_the_view_has_whole_places():
    view = the_view(a_film(right=False))
    assert all(length % (CELL_PX * STEP) == 0 for length in view.pixels.shape)
    rows, columns = view.places[:, [FACTS.index("row"), FACTS.index("column")]].astype(int).T
    cells = (view.pixels > 0).reshape(view.pixels.shape[0] // CELL_PX, CELL_PX, -1, CELL_PX).mean((1, 3))
    assert (cells[STEP * rows, STEP * columns] > 0.4).all()
    inside = view.places[:, [FACTS.index("across"), FACTS.index("down")]]
    assert (inside >= 0).all() and (inside <= 1).all()


def test_brightness_at_the_edge_of_the_breast_is_that_of_the_breast_alone():
    view = the_view(a_film(right=False))
    blob = view.places[:, FACTS.index("blob")]
    assert blob.min() > 0.5 * np.median(blob), f"a Gaussian of {BLOB_MM} mm that saw the black beside the breast"


def test_a_breast_smaller_than_half_a_cell_has_the_place_that_it_fills_most():
    levels = np.zeros((100, 100), np.uint8)
    levels[40:60, :20] = 200 - np.arange(20)  # a breast of 20 x 20 pixels
    film = Film(levels, max_level=255, spacing_mm=0.4)
    view = the_view(film, view_mm=2.0)
    assert view.pixels.shape == (32, 32) and len(view.places) == 1
    assert np.isfinite(view.places).all()


def test_a_film_that_would_be_larger_than_any_at_the_size_of_its_pixels_is_refused():
    check_size("4r.dcm", 5928, 4728, 0.05)
    with pytest.raises(InputError, match=r"4r\.dcm has 4728 x 5928 pixels of 0\.2 mm.*1186 mm"):
        check_size("4r.dcm", 5928, 4728, 0.2)
