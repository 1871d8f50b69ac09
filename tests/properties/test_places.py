"""Places of findings: contours, masks, boxes, exported regions, and the circles of mini-MIAS's Info.txt."""

import io
import math
import plistlib
import tarfile
from collections import Counter

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume
from hypothesis import strategies as st

from mammo.archives.inbreast_regions import findings_of
from mammo.archives.osirix import place_of, read_regions
from mammo.datasets.contours import points_of
from mammo.datasets.geometry import BOX, CIRCLE, box_of, circle_of, contour_of, geometry
from mammo.datasets.mias_info import FINDINGS, SIDE_PX, decoded, parse_info, read_info, rows_of
from mammo.formats.header import Header
from tests.properties import REFUSED, answer, damaged, holds, numbers, texts, written

pytestmark = pytest.mark.slow

EMPTY = dict.fromkeys([*CIRCLE, *BOX, "mask_path", "contour_px"]) | {"image_id": "a"}
pixels = st.integers(0, 40)
pairs = st.lists(st.tuples(pixels, pixels), min_size=3, max_size=6)


def row(**facts):
    return pd.Series(EMPTY | facts, dtype=object)


NUMBERS = ["1", "2.5", "-3.25", "7.", "12", ".5", "0", "", ".", "1.2.3", "1" * 40, "٣", "1e3"]
pair = st.builds("{},{}".format, *[st.sampled_from(NUMBERS)] * 2)


@holds(
    60,
    also=[{"text": f"0,0 0,0 0,{one}"} for one in (".", "9" * 400)],
    text=st.one_of(texts, st.lists(pair, min_size=3, max_size=4).map(" ".join)),
)
def test_a_contour_is_pairs_of_finite_numbers_or_a_line(text):
    found = answer(contour_of, row(contour_px=text))
    assert found is REFUSED or (len(found) % 2 == 0 and len(found) != 2 and all(map(math.isfinite, found)))


@holds(points=pairs)
def test_a_contour_is_read_as_it_was_written_and_lies_in_its_box(points):
    place = geometry(row(contour_px=" ".join(f"{x:.2f},{y:.2f}" for x, y in points)))
    assert place.contour == tuple(float(one) for point in points for one in point)
    left, top, right, bottom = place.box
    assert all(left <= x <= right and top <= y <= bottom for x, y in points)
    mask, x, y = place.region()
    assert (x, y) == (left, top) and mask.any() and mask.shape == (bottom - top + 1, right - left + 1)


@holds(cells=st.lists(st.tuples(pixels, pixels), max_size=8))
def test_the_box_and_the_circle_of_a_mask_hold_each_of_its_pixels(cells):
    mask = np.zeros((41, 43), bool)
    for x, y in cells:
        mask[y, x] = True
    if not cells:
        assert box_of(mask) == circle_of(mask) == []
        return
    left, top, right, bottom = box_of(mask)
    x0, y0, radius = circle_of(mask)
    for x, y in cells:
        assert left <= x < right and top <= y < bottom
        corners = [math.hypot(x + i - x0, y + j - y0) for i in (0, 1) for j in (0, 1)]
        assert max(corners) <= radius + 0.01
    with written(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()) as path:
        assert np.array_equal(geometry(row(mask_path=str(path))).mask(), mask)


MASK = np.eye(9, dtype=np.uint8)
FILES = [cv2.imencode(suffix, MASK)[1].tobytes() for suffix in (".png", ".pgm", ".bmp", ".tiff", ".jpg")]


@holds(content=st.one_of(st.binary(max_size=40), damaged(*FILES)))
def test_any_bytes_are_a_mask_or_a_line(content):
    with written(content) as path:
        place = answer(geometry, row(mask_path=str(path)))
    assert place is REFUSED or (place.radius_px > 0 and len(place.box) == 4)


point = st.one_of(
    st.builds("({}, {})".format, numbers, numbers), st.builds("{{{}, {}}}".format, pixels, pixels), texts
)  # of OsiriX
legal = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=9)
region = st.fixed_dictionaries(
    {"Point_px": st.lists(point, max_size=4)},
    optional={
        "Name": st.one_of(legal, st.sampled_from(["Mass", "Cluster", "Spiculated Region", "Calcification"])),
        "NumberOfPoints": st.integers(0, 4),
    },
)


@holds(30, regions=st.lists(region, max_size=3), known=st.booleans())
def test_exported_regions_lie_on_their_film_or_have_no_place(regions, known):
    for one in regions:  # what XML cannot hold
        one["Point_px"] = [text for text in one["Point_px"] if text.isprintable()]
    content = plistlib.dumps({"Images": [{"ROIs": regions}]})
    with written(content, "1.xml") as path:
        found = findings_of(path, Header("", height=30, width=20) if known else None, Counter())
    assert found is not None and len(found) <= len(regions)
    for one in found:
        assert not any(isinstance(one.get(key), float) and not math.isfinite(one[key]) for key in (*CIRCLE, *BOX))
        if known and "x_px" in one:
            assert 0 <= one["x_px"] <= 19 and 0 <= one["y_px"] <= 29
        if "contour_px" in one:
            assert answer(contour_of, row(contour_px=one["contour_px"])) is not REFUSED


PLIST = plistlib.dumps({"Images": [{"ROIs": [{"Name": "Mass", "Point_px": ["(1, 2)", "(3, 4)", "(5, 1)"]}]}]})
ENTITY = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><plist>&a;</plist>'


@holds(content=damaged(PLIST, ENTITY, b"bplist00", b""))
def test_any_bytes_are_exported_regions_or_a_line(content):
    with written(content, "1.xml") as path:
        found = answer(read_regions, path)
    assert found is REFUSED or all(len(one.points) and np.isfinite(one.points).all() for one in found)


@holds(text=st.one_of(texts, st.text("[](){}01.,;:-xyzML \"'e\n", max_size=40)))
def test_any_text_is_the_points_of_a_contour_or_a_reason(text):
    try:
        found = points_of(text)
    except ValueError:
        return
    assert found.shape[1] == 2 and len(found) > 2 and np.isfinite(found).all()


@holds(points=pairs, height=st.integers(1, 50), width=st.integers(1, 50))
def test_the_place_of_points_is_on_the_film(points, height, width):
    place = place_of(np.array(points, np.float32), height, width)
    if not place:
        assert all(x > width - 1 or y > height - 1 for x, y in points)
        return
    assert 0 <= place["x_px"] <= width - 1 and 0 <= place["y_px"] <= height - 1
    if "x0_px" in place:
        assert 0 <= place["x0_px"] < place["x1_px"] <= width and 0 <= place["y0_px"] < place["y1_px"] <= height


LINES = [
    b"mdb001 G CIRC B 535 425 197",
    b"mdb002 F NORM",
    b"mdb003 D CALC M *NOTE 3*",
    b"mdb0 G",
    b"mdb004 F MISC B 1 2 " + b"9" * 5000,
]


@holds(60, content=st.lists(damaged(*LINES), max_size=3).map(b"\n".join))
def test_any_bytes_of_an_info_file_are_rows_or_a_line(content):
    found = answer(parse_info, decoded(content))
    if found is not REFUSED:
        assert found and len(rows_of(found)) == len({one["image_id"] for one in found})
        for one in found:
            assert one["severity"] in ("normal", "benign", "malignant") and (one["severity"] == "normal") == (
                one["finding_id"] == 0
            )
            assert all(0 <= one.get(key, 0) < SIDE_PX for key in ("x_px", "y_px", "radius_px"))


def packed(content, mode):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as tar:
        member = tarfile.TarInfo("Info.txt")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


@holds(
    also=[{"content": packed(LINES[0], mode)[:-40]} for mode in ("w:gz", "w:xz")],
    content=damaged(*(packed(LINES[0], mode) for mode in ("w:", "w:gz", "w:xz", "w:bz2")), LINES[0]),
)
def test_a_damaged_archive_with_an_info_file_is_read_or_a_line(content):
    with written(content) as path:
        found = answer(read_info, path)
    assert found is REFUSED or isinstance(found[1], bytes)


lesion = st.tuples(st.sampled_from(FINDINGS), st.sampled_from("BM"), *[st.integers(1, SIDE_PX - 1)] * 3)


@holds(
    films=st.dictionaries(st.integers(1, 999), st.lists(lesion, max_size=2), min_size=1, max_size=3),
    tissue=st.sampled_from("FGD"),
)
def test_the_rows_of_an_info_file_are_read_as_they_were_written(films, tissue):
    assume(films)
    said = {
        f"mdb{number:03}": [f"{tissue} {' '.join(map(str, one))}" for one in of] or [f"{tissue} NORM"]
        for number, of in films.items()
    }
    text = "\n".join(f"{film} {line}" for film, of in said.items() for line in of)
    assert rows_of(parse_info(text)) == {film: "; ".join(of) for film, of in said.items()}
