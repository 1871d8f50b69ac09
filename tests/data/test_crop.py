"""Samples: which squares, from which films, at which places, with which labels."""

import numpy as np
import pandas as pd
import pytest

from mammo import InputError
from mammo.data.crop import SHORTCUTS, cut_crops
from mammo.data.index import findings_table
from mammo.data.tasks import find_task

SIDE = 1024
PARTS = ["train"] * 6 + ["val"] * 2 + ["test"] * 2


def row(number: int, finding_id: int = 0, circle: tuple[float, float, float] | None = None, severity="normal"):
    film = f"mdb{number:03d}"
    return {
        "dataset": "made", "image_id": film, "finding_id": finding_id, "path": film, "patient": f"p{(number + 1) // 2}",
        "side": "right" if number % 2 else "left", "density": "F", "finding": "CIRC" if finding_id else "NORM",
        "severity": severity, "spacing_mm": 0.2,
    } | (dict(zip(("x_px", "y_px", "radius_px"), circle, strict=True)) if circle else {})  # fmt: skip


def archive() -> pd.DataFrame:
    """Ten films: lesions on the first of each pair, two on mdb001, none drawn on mdb005."""
    rows = []
    for number in range(1, 11):
        if number % 2 == 0:
            rows.append(row(number))
        elif number == 5:
            rows.append(row(number, 1, severity="malignant"))
        else:
            rows.append(row(number, 1, (SIDE - 1 - 300, 400 + 10 * number, 20 + number), "benign"))
    rows.insert(1, row(1, 2, (SIDE - 1 - 250, 600, 40), "malignant"))
    table = findings_table(rows)
    return table.assign(split=[PARTS[int(image_id[3:]) - 1] for image_id in table["image_id"]])


def read(image_id: str) -> np.ndarray:
    """A breast whose texture is its film's own, a bright dot at each lesion."""
    number = int(image_id[3:])
    y, x = np.mgrid[:SIDE, :SIDE]
    pixels = np.where((x / 500) ** 2 + ((y - 500) / 480) ** 2 <= 1, 120 + 80 * np.sin(x * (0.5 + number / 30)), 0)
    if number % 2:
        pixels = pixels[:, ::-1]
    table = archive()
    for _, lesion in table[(table["image_id"] == image_id) & table["x_px"].notna()].iterrows():
        pixels[(x - lesion["x_px"]) ** 2 + (y - lesion["y_px"]) ** 2 < 15**2] = 250
    return pixels.astype(np.uint8)


def crops(table=None, task="abnormality", **settings):
    defaults = {"name": "lesion", "image_size": 64, "margin": 1.0, "seed": 0, "window_mm": 22.4}
    if settings.get("name") == "whole":
        del defaults["window_mm"]
    return cut_crops(archive() if table is None else table, read, find_task(task), **defaults | settings)


def test_whole_breasts_give_one_sample_a_film_labelled_by_its_worst_finding():
    found = crops(name="whole", task="severity").table.set_index("sample_id")
    assert list(found.index) == [f"mdb{n:03d}" for n in range(1, 11)]
    assert found.loc["mdb001", "label"] == "malignant"
    assert found.loc["mdb002", "label"] == "normal"


def test_several_lesions_of_a_film_give_several_samples():
    found = crops(task="severity").table.set_index("sample_id")
    assert found.loc["mdb001.1", "label"] == "benign"
    assert found.loc["mdb001.2", "label"] == "malignant"
    assert "mdb002" in found.index and "mdb001" not in found.index


def test_films_without_a_circle_are_left_out_or_centred_on_the_breast_and_counted_aloud():
    out, kept = crops(), crops(without_circle="breast")
    assert "mdb005.1" not in set(out.table["sample_id"])
    assert "mdb005.1" in set(kept.table["sample_id"])
    for found in (out, kept):
        assert any("1 findings have no circle on the breast (mdb005.1)" in note for note in found.notes)


def test_the_label_follows_the_pixels():
    """Every abnormal window has its dot in the middle, no background has one there."""
    found = crops()
    middle = found.pixels[:, 30:34, 30:34].mean(axis=(1, 2))
    assert ((middle > 240) == (found.table["label"] == "abnormal").to_numpy()).all()


def test_a_window_has_one_physical_size_and_only_the_leaky_one_follows_the_radius():
    fixed, scaled = crops().table, crops(name="radius", factor=1.25).table
    assert set(fixed["side_px"]) == {112}
    lesions = scaled[scaled["label"] == "abnormal"]
    assert lesions["side_px"].tolist() == [round(2.5 * r) for r in lesions["radius_px"]]
    assert set(scaled.loc[scaled["label"] == "normal", "side_px"]) == {112}


def test_backgrounds_know_nothing_of_the_test_lesions():
    table = archive()
    moved = table.copy()
    moved.loc[(table["split"] == "test") & table["x_px"].notna(), ["x_px", "y_px"]] = [900.0, 100.0]
    places = [crops(t).table.query("label == 'normal'")[["x_px", "y_px"]].to_numpy() for t in (table, moved)]
    assert np.array_equal(*places)
    trained = table.copy()
    trained.loc[(table["split"] == "train") & table["x_px"].notna(), "y_px"] = 300.0
    other = crops(trained).table.query("label == 'normal'")[["x_px", "y_px"]].to_numpy()
    assert not np.array_equal(places[0], other)


def test_backgrounds_lie_on_the_breast_at_heights_where_lesions_lie():
    found = crops().table.query("label == 'normal'")
    assert found["y_px"].between(400, 620).all()
    assert (found["side_px"] == 112).all()


def test_recentring_moves_a_window_to_the_blob_and_at_most_8_mm():
    table = archive()
    drawn = table["x_px"].notna()
    off = table.copy()
    off.loc[drawn, "x_px"] += 20
    found = crops(off, recentre=True).table.query("label == 'abnormal'")
    true = table[drawn].reset_index(drop=True)
    distance = np.hypot(found["x_px"].to_numpy() - true["x_px"], found["y_px"].to_numpy() - true["y_px"])
    assert (distance.astype(float) < 6).all()


def test_the_margin_shows_more_around_and_the_same_in_the_middle():
    plain, wide = crops(), crops(margin=1.5)
    assert wide.pixels.shape[1] == 96
    inner = wide.pixels[:, 16:80, 16:80].astype(int)
    assert np.abs(inner - plain.pixels).mean() < 8


def test_a_task_leaves_out_the_films_that_it_does_not_know():
    found = crops(name="whole", task="malignancy")
    assert set(found.table["label"]) == {"benign", "malignant"}
    assert any("5 films take no part" in note for note in found.notes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "breast"}, "expected one of whole, lesion, radius"),
        ({"without_circle": "guess"}, "expected exclude or breast"),
    ],
)
def test_unknown_settings_list_the_known(settings, message):
    with pytest.raises(InputError, match=message):
        crops(**settings)


def test_an_unknown_task_lists_the_known():
    with pytest.raises(InputError, match="abnormality, severity, malignancy, density, finding"):
        find_task("cancer")


def test_what_is_seen_without_a_lesion_is_that_of_the_crop_and_the_breast():
    crops = cut_crops(archive(), read, find_task("abnormality"), name="lesion", image_size=112, margin=1.0, seed=0,
                      window_mm=22.4, recentre=False)  # fmt: skip
    table = crops.table
    assert set(SHORTCUTS) <= set(table.columns) and table[SHORTCUTS].notna().all().all()
    assert table["mean_grey"].to_numpy() == pytest.approx(crops.pixels.mean(axis=(1, 2)))
    assert table["black"].to_numpy() == pytest.approx((crops.pixels == 0).mean(axis=(1, 2)))
    assert table["across"].between(0, 1).all() and table["down"].between(0, 1).all()
    assert table.groupby("image_id")["breast_mm2"].nunique().max() == 1 and table["breast_mm2"].min() > 1000
