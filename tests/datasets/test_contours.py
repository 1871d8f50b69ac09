"""Contours of other programs are read point by point, or refused with what they are and what is read."""

import json

import numpy as np
import pytest

from mammo.datasets.contours import points_of

POINTS = [[60, 100], [90, 105], [85, 140], [58, 130]]
X, Y = ([point[at] for point in POINTS] for at in (0, 1))
VIA = {"name": "polygon", "all_points_x": X, "all_points_y": Y}
READ = {
    "pairs": str(POINTS),
    "numbers": "[60, 100, 90, 105, 85, 140, 58, 130]",
    "one list of numbers of COCO": "[[60, 100, 90, 105, 85, 140, 58, 130]]",
    "points of OpenCV": str([[point] for point in POINTS]),
    "lists of x and y": json.dumps({"x": X, "y": Y}),
    "VGG Image Annotator": json.dumps(VIA),
    "its whole region": json.dumps({"shape_attributes": VIA, "region_attributes": {"id": 3}}),
    "the same as Python shows it": str(VIA),
    "points by name": json.dumps([{"x": x, "y": y} for x, y in POINTS]),
    "points by name, y first": json.dumps([{"y": y, "x": x} for x, y in POINTS]),
    "points of three named numbers": json.dumps([{"x": x, "y": y, "z": 0} for x, y in POINTS]),
    "labelme": json.dumps({"label": "mass1", "points": POINTS, "group_id": None}),
    "GeoJSON": json.dumps({"type": "Polygon", "coordinates": [POINTS]}),
    "text in JSON": json.dumps([f"({x}, {y})" for x, y in POINTS]),
    "triples with one third number": str([[*point, 7] for point in POINTS]),
    "arrays": str(np.array(POINTS)),
    "numbers of numpy": str([[np.float64(x), np.float64(y)] for x, y in POINTS]),
    "tuples": "(60,100) (90,105) (85,140) (58,130)",
    "OsiriX": "{60, 100}, {90, 105}, {85, 140}, {58, 130}",
    "DICOM without z": "60\\100\\90\\105\\85\\140\\58\\130",
    "WKT": "POLYGON ((60 100, 90 105, 85 140, 58 130))",
    "WKT with z": "POLYGON Z ((60 100 0, 90 105 0, 85 140 0, 58 130 0))",
    "SVG": "M60,100 L90,105 L85,140L58,130 Z",
    "named text": "x=60 y=100 x=90 y=105 x=85 y=140 x=58 y=130",
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_points_are_x_and_y_in_turn_whatever_writes_them(kind):
    assert points_of(READ[kind]).tolist() == POINTS


REFUSED = {
    "two long lists": (str([X, Y]), "two long lists"),
    "two polygons of COCO": ("[[60,100,70,100,70,110],[90,140,100,140,100,150]]", "two long lists"),
    "three lines": ("[[1,2,3,4,5,6],[7,8,9,10,11,12],[1,2,3,4,5,6]]", "several lines"),
    "lines of unequal length": ("[[1,2,3,4,5,6],[7,8,9,10,11,12,13,14]]", "several lines"),
    "two polygons of GeoJSON": (json.dumps({"coordinates": [[POINTS], [POINTS]]}), "several lines"),
    "two regions": (json.dumps([VIA, VIA]), "several lines"),
    "a hole in WKT": ("POLYGON ((1 2, 3 4, 5 1, 1 2), (1 2, 2 2, 2 1))", "several lines"),
    "several of WKT": ("MULTIPOLYGON (((1 2, 3 4, 5 1)), ((1 2, 3 4, 5 1, 2 2)))", "several lines"),
    "two of SVG": ("M1 2 L3 4 L5 1 Z M7 8 L9 9 L8 7 Z", "path"),
    "steps of SVG": ("m60,100 l30,5 l-5,35 z", "path"),
    "triples": ("[[60,100,1],[90,105,2],[85,140,3],[58,130,4]]", "three numbers"),
    "three triples": ("[[60,100,0],[90,105,0],[85,140,0]]", "three numbers"),
    "triples of DICOM": ("60\\100\\0\\90\\105\\0\\85\\140\\0\\58\\130\\0", "three numbers"),
    "triples of WKT": ("POLYGON ((60 100 0, 90 105 1, 85 140 2, 58 130 3))", "three numbers"),
    "a z that differs": ('[{"x":1,"y":2,"z":3},{"x":1,"y":2,"z":4},{"x":5,"y":2,"z":4}]', "three numbers"),
    "keys with digits": ('{"x1":60,"y1":100,"x2":90,"y2":105,"x3":85,"y3":140}', "keys x1, y1"),
    "lengths of runs": ('{"size":[300,220],"counts":[100,20,50,60]}', "keys size, counts"),
    "unequal lists": ('{"x":[1,2,3],"y":[1,2]}', "same length"),
    "y before x": ("y=100 x=60 y=105 x=90 y=140 x=85", "x and y in turn"),
    "a shortened array": ("[[60 100]\n [61 100]\n ...\n [60 101]]", "shortened"),
    "a word with a digit": ("mass1 60 100 90 105 85 140 3", "mass1, which is no number"),
    "numbers that touch": ("60-100 90-105 85-140", "60-100, which is no number"),
    "no number": ("[[60,100],[NaN,105],[85,140]]", "not finite"),
    "an infinite one": ("[[60,100],[1e999,105],[85,140]]", "not finite"),
    "a digit too many": ("[" + "9" * 400 + ",1,2,3,4,5]", "not finite"),
    "nothing": ("[[60,null],[90,105],[85,140]]", "no x and y"),
    "two points": ("[[60,100],[90,105]]", "three points"),
    "an odd number": ("[1,2,3,4,5,6,7]", "odd number"),
    "deep brackets": ("[" * 9999 + "]" * 9999, "x and y|brackets"),
    "decimal commas": ("1,5 2,5 3,5 4,5 5,5 6,5", "decimal"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_x_and_y_in_turn_is_refused_for_what_it_is(kind):
    text, said = REFUSED[kind]
    with pytest.raises(ValueError, match=said):
        points_of(text)
