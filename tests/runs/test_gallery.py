"""The gallery of a detector: films as they are stored, with numbers that can be read on bright tissue."""

from types import SimpleNamespace

import numpy as np
import pytest

from mammo import figures
from mammo.preprocessing.breast import find_breast
from mammo.preprocessing.view import view_of
from mammo.runs import gallery


@pytest.mark.parametrize("laterality", ["left", "right"])
def test_the_gallery_shows_a_film_as_it_is_stored_and_its_heat_ends_at_the_skin(phantom, drawn, laterality):
    table = phantom.findings().drop_duplicates("image_id").assign(spacing_mm=lambda of: of["spacing_mm"].astype(float))
    row = table[table["laterality"] == laterality].iloc[:1]
    image = row["image_id"].iloc[0]
    breast = find_breast(phantom.read(image), laterality, image)
    config = SimpleNamespace(detector=SimpleNamespace(spacing_mm=0.4))
    places = view_of(breast, row["spacing_mm"].iloc[0], 0.4).places
    heat = SimpleNamespace(heats={"detector": [places[:, -1]]}, places=[places])
    prepared = SimpleNamespace(rows=lambda: row, crops=SimpleNamespace(table=row), dataset=phantom)
    _, ((left, right),) = figures.figure(4, 4, columns=2)
    gallery.draw(left, right, prepared, config, heat, gallery.Seen(0, [], [tuple(places[0, :2])], [False]))
    start, end = left.get_xlim()
    assert (start > end) == breast.mirrored == (laterality == "right")
    assert np.isfinite(right.images[1].get_array()).all() and right.images[2].get_array().mask.any()
    assert left.texts[0].get_bbox_patch() is not None
