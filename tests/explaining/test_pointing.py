"""Scored maps: measures lie where they should, and what is not shown to be better is said."""

import numpy as np
import pandas as pd
import pytest

from mammo.datasets.film import Film
from mammo.datasets.geometry import Geometry
from mammo.evaluation import pointing
from mammo.explaining.explanation import Explanation
from mammo.explaining.scoring import Marked, _rows, lesion_mask
from mammo.inference.prediction import Prediction
from mammo.reports import explained


def scored(map_hits, centre_hits, correlation=0.0, drop=1.0):
    """A table of one image for each patient, with these hits of map and centre."""
    rows = []
    for number, (own, centre) in enumerate(zip(map_hits, centre_hits, strict=True)):
        for place in pointing.PLACES:
            hit = float({"map": own, "centre": centre}.get(place, 0))
            fall = drop * (1 + number % 3) if place == "map" else 0.0
            at = 5.0 if place != "random" else None
            rows.append((f"i{number}", f"p{number}", "svm", place, at, at, hit, hit / 2, fall, None))
    table = pd.DataFrame(rows, columns=pointing.COLUMNS)
    table.loc[table["place"] == "map", "rank_correlation"] = correlation
    return table


def film(lesion=(20.0, 30.0), radius=5.0):
    """An explanation of a film of 60 by 80 pixels, all breast, with its largest value at x 21, y 31."""
    values = np.full((80, 60), -1.0, np.float32)
    values[31, 21] = 3.0
    values[70, 50] = 1.0
    places = (Geometry(*lesion, radius, (lesion[0] - radius, lesion[1] - radius, 0, 0), round=True),)
    prediction = Prediction("svm", {"normal": 0.5, "abnormal": 0.5}, 0.1, None)
    pixels = Film(np.ones((80, 60), np.uint8), 255)
    return Explanation("a", pixels, prediction, "abnormal", "occlusion", values, values < 9, 4.0, places)


def rows_of(one, places, drops):
    marked = Marked(one, {"name": "a"}, "p", places, lesion_mask(one, 0.0), 4.0, 0.5)
    return {row["place"]: row for row in _rows(marked, "svm", drops)}


def test_a_hit_the_energy_and_the_fall_are_those_of_each_place():
    one = film()
    assert one.hottest == (21.0, 31.0)
    rows = rows_of(one, [("map", one.hottest), ("centre", (50.0, 70.0)), ("random", (20, 30)), ("random", (50, 10))],
                   [2.0, 0.5, 1.0, 0.0])  # fmt: skip
    assert (rows["map"]["pointing"], rows["map"]["energy"], rows["map"]["drop"]) == (1, 0.75, 2.0)
    assert (rows["centre"]["pointing"], rows["centre"]["energy"], rows["centre"]["drop"]) == (0, 0, 0.5)
    assert (rows["random"]["pointing"], rows["random"]["drop"]) == (0.5, 0.5) and 0 < rows["random"]["energy"] < 1
    assert rows["map"]["rank_correlation"] == 0.5 and rows["centre"]["rank_correlation"] is None


def test_an_empty_map_hits_nothing_and_is_counted():
    one = film()
    one.values[:] = -1
    assert one.empty
    rows = rows_of(one, [("map", None), ("centre", (20.0, 30.0)), ("random", (20, 30))], [0.0, 0.5, 1.0])
    assert (rows["map"]["pointing"], rows["map"]["energy"], rows["map"]["drop"]) == (0, 0, 0)
    table = scored([1] * 8, [0] * 8)
    table.loc[table.index[0], ["x_px", "y_px"]] = None
    assert "1 maps are empty." in explained.lines(table)


def test_a_small_lesion_is_hit_within_the_distance_of_a_mark():
    one = film(radius=1.0)
    assert lesion_mask(one, 0.0)[30, 20] and not lesion_mask(one, 0.0)[31, 24]
    assert lesion_mask(one, 5.0)[31, 24]


def test_differences_are_paired_by_image_and_rest_on_patients():
    table = scored([1, 1, 1, 0] * 5, [0, 1, 0, 0] * 5).sample(frac=1, random_state=0)
    values, apart = pointing.values_of(table), pointing.differences(table)["centre"]["pointing"]
    assert values["map"]["pointing"].value == 0.75 and values["centre"]["pointing"].value == 0.25
    assert apart.value == 0.5 and 0 < apart.low < 0.5 < apart.high < 1
    alone = table.assign(patient="one")
    assert pointing.differences(alone)["centre"]["pointing"].low is None


@pytest.mark.parametrize(("own", "centre", "worse"), [([1] * 20, [0] * 20, False), ([0, 1] * 10, [1, 0] * 10, True)])
def test_maps_that_are_not_better_than_the_centre_are_said_not_to_be(own, centre, worse):
    text = "\n".join(explained.lines(scored(own, centre)))
    assert ("not shown to be better than the centre of the breast by pointing game" in text) == worse
    assert ("The maps of svm are better than the centre of the breast by pointing game" in text) != worse
    assert explained.facts(scored(own, centre))["svm"]["n"] == {"images": 20, "patients": 20}


@pytest.mark.parametrize(("correlation", "alike"), [(0.9, True), (0.1, False)])
def test_maps_that_stay_with_shuffled_weights_are_said_to(correlation, alike):
    text = "\n".join(explained.lines(scored([1] * 9, [0] * 9, correlation)))
    assert f"{correlation:+.3f}" in text and ("may show the film more" in text) == alike
