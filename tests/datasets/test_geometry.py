"""A finding's place comes from whichever of circle, box and mask is there."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mammo.datasets.film import write_pgm
from mammo.datasets.findings import findings_table
from mammo.datasets.geometry import circle_of, geometry, with_circles
from mammo.errors import InputError

CIRCLE = {"x_px": 10.0, "y_px": 20.0, "radius_px": 5.0}
BOX = {"x0_px": 4.0, "y0_px": 6.0, "x1_px": 14.0, "y1_px": 10.0}


def row(**place):
    given = {"dataset": "d", "image_id": "1.2.3", "finding_id": 1, "path": "a", "patient": "p", "severity": "benign"}
    return findings_table([given | place])


@pytest.fixture
def mask(tmp_path):
    pixels = np.zeros((30, 20), np.uint8)
    pixels[6:11, 4:15] = 1
    write_pgm(tmp_path / "mask.pgm", pixels)
    return {"mask_path": str(tmp_path / "mask.pgm")}


def test_a_place_comes_from_whichever_of_circle_box_and_mask_is_there(mask):
    where = [geometry(row(**place).iloc[0]) for place in (CIRCLE, BOX, mask, CIRCLE | BOX, {"x_px": 1, "y_px": 2}, {})]
    assert [one and (one.x_px, one.y_px, one.radius_px) for one in where] == [
        (10, 20, 5), (9, 8, 5), (9.5, 8.5, 5.5), (10, 20, 5), (1, 2, None), None,
    ]  # fmt: skip
    assert where[0].box == (5, 15, 15, 25) and where[1].box == where[3].box == (4, 6, 14, 10)
    assert where[2].box == (4, 6, 15, 11)
    assert where[2].mask().sum() == 55 and where[1].mask() is None


def test_a_mask_is_read_only_where_nothing_else_says_the_place(mask):
    nowhere = {"mask_path": "nowhere.png"}
    assert geometry(row(**BOX, **nowhere).iloc[0]).mask_path == "nowhere.png"
    with pytest.raises(InputError, match=r"nowhere\.png"):
        geometry(row(**nowhere).iloc[0])
    write_pgm(Path(mask["mask_path"]), np.zeros((30, 20), np.uint8))
    with pytest.raises(InputError, match=r"mask\.pgm.*1\.2\.3"):
        geometry(row(**mask).iloc[0])


def test_circles_stand_for_boxes_and_masks_in_a_whole_table_and_the_rest_is_as_it_was(mask):
    table = pd.concat([row(**place) for place in (CIRCLE, BOX, mask, {})], ignore_index=True)
    circles = with_circles(table)
    assert circles["x_px"].tolist()[:3] == [10, 9, 9.5] and circles["radius_px"].tolist()[:3] == [5, 5, 5.5]
    assert circles["x_px"].isna().tolist() == [False, False, False, True]
    assert circles.drop(columns=list(CIRCLE)).equals(table.drop(columns=list(CIRCLE)))


def test_a_mask_that_is_empty_or_cannot_be_read_gives_no_circle_and_stops_nothing(mask, tmp_path):
    write_pgm(tmp_path / "empty.pgm", np.zeros((30, 20), np.uint8))
    (tmp_path / "text.pgm").write_text("none")
    places = [{"mask_path": str(tmp_path / name)} for name in ("empty.pgm", "text.pgm", "nowhere.pgm")]
    circles = with_circles(pd.concat([row(**place) for place in (*places, mask)], ignore_index=True))
    assert circles["x_px"].fillna(-1).tolist() == [-1, -1, -1, 9.5]


def test_the_circle_of_a_mask_holds_its_pixels_whole():
    square = np.zeros((20, 30), bool)
    square[4:10, 6:14] = True
    assert circle_of(square) == pytest.approx([10, 7, 5], abs=1e-3)  # 8 x 6 pixels
    one = np.zeros((20, 30), bool)
    one[0, 29] = True
    assert circle_of(one) == pytest.approx([29.5, 0.5, 0.5**0.5], abs=1e-3)
    assert circle_of(square | one)[2] > 11 and circle_of(np.zeros((5, 5), bool)) == []
