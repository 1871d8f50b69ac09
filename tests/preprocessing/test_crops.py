"""Samples: which squares, from which films, at which places, with which labels."""

import numpy as np
import pandas as pd
import pytest

from mammo.datasets.findings import findings_table
from mammo.datasets.labels import find_task
from mammo.errors import InputError
from mammo.preprocessing.crops import SHORTCUTS, cut_crops

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
    middle = np.stack(found.pixels)[:, 30:34, 30:34].mean(axis=(1, 2))
    assert ((middle > 240) == (found.table["label"] == "abnormal").to_numpy()).all()


def test_a_window_has_one_physical_size_and_only_the_leaky_one_follows_the_radius():
    fixed, scaled = crops().table, crops(name="scaled_lesion", factor=1.25).table
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
    assert wide.pixels[0].shape == (96, 96)
    inner = np.stack(wide.pixels)[:, 16:80, 16:80].astype(int)
    assert np.abs(inner - np.stack(plain.pixels)).mean() < 8


def test_a_task_leaves_out_the_films_that_it_does_not_know():
    found = crops(name="whole", task="malignancy")
    assert set(found.table["label"]) == {"benign", "malignant"}
    assert any("5 films take no part" in note for note in found.notes)


def patches(table=None, task="abnormality", **settings):
    """Those of a task in a table of samples, whole breasts left out."""
    found = crops(table, task, **{"name": "grid", "window_mm": 44.8, "stride_mm": 44.8} | settings).table
    return found[found["sample_id"] != found["image_id"]]


def held(patch, table):
    """The findings of an archive whose circle's centre a patch holds."""
    own = table[(table["image_id"] == patch["image_id"]) & table["radius_px"].notna()]
    reach = patch["side_px"] / 2
    return own[((own["x_px"] - patch["x_px"]).abs() < reach) & ((own["y_px"] - patch["y_px"]).abs() < reach)]


@pytest.mark.parametrize("stride_mm", [44.8, 30.0])
def test_patches_cover_the_breast_and_lie_on_it_and_on_the_film(stride_mm):
    film = patches(stride_mm=stride_mm).query("image_id == 'mdb002'")
    breast, covered = read("mdb002") > 0, np.zeros((SIDE, SIDE), int)
    for _, patch in film.iterrows():
        top, left = (round(patch[axis] - (patch["side_px"] - 1) / 2) for axis in ("y_px", "x_px"))
        square = slice(top, top + 224), slice(left, left + 224)
        covered[square] += 1
        assert top >= 0 and left >= 0 and breast[square].mean() > 0.24
    assert (covered > 0)[breast].mean() > 0.95
    assert (stride_mm < 44.8) == (covered[breast].mean() > 1.5)


def test_a_positive_patch_holds_a_circles_centre_and_a_healthy_one_none():
    table = archive()
    found = patches()
    for _, patch in found.iterrows():
        inside = held(patch, table)
        assert (patch["label"] == "abnormal") == bool(len(inside))
        assert pd.isna(patch["finding_id"]) or patch["finding_id"] in set(inside["finding_id"])
        assert pd.isna(patch["finding_id"]) == (patch["severity"] == "normal") == pd.isna(patch["radius_px"])
    assert set(found.loc[found["label"] == "abnormal", "image_id"]) == {"mdb001", "mdb003", "mdb007", "mdb009"}


def test_a_positive_patch_shows_its_lesion_on_right_breasts_and_left_ones():
    table = archive()
    table.loc[table["image_id"] == "mdb002", ["finding", "severity", "finding_id"]] = ["CIRC", "benign", 1]
    table.loc[table["image_id"] == "mdb002", ["x_px", "y_px", "radius_px"]] = [200.0, 300.0, 20.0]
    film = read("mdb002").copy()
    film[285:315, 185:215] = 250
    found = cut_crops(
        table, lambda name: film if name == "mdb002" else read(name), find_task("abnormality"), name="grid",
        image_size=224, margin=1.0, seed=0, window_mm=44.8, stride_mm=44.8,
    )  # fmt: skip
    positive = found.table[(found.table["label"] == "abnormal") & (found.table["sample_id"] != found.table["image_id"])]
    assert {"mdb001", "mdb002"} <= set(positive["image_id"])
    for sample, patch in positive.iterrows():
        for _, lesion in held(patch, table).iterrows():
            mirror = -1 if int(patch["image_id"][3:]) % 2 else 1
            x, y = mirror * (lesion["x_px"] - patch["x_px"]) + 111.5, lesion["y_px"] - patch["y_px"] + 111.5
            spot = found.pixels[sample][max(round(y) - 4, 0) : round(y) + 5, max(round(x) - 4, 0) : round(x) + 5]
            assert spot.mean() > 240


def test_a_film_whose_finding_lies_in_no_patch_is_left_out_and_told():
    """With its whole breast alone it would stand out among those that have patches, and it is never a normal one."""
    found = crops(name="grid", window_mm=44.8, stride_mm=44.8)
    assert "mdb005" not in set(found.table["image_id"])
    assert found.notes == ["1 films have a finding in no patch (mdb005): left out"]
    assert "mdb005" in set(patches(task="density", table=of_three_densities())["image_id"])


def test_films_of_which_none_gives_a_patch_are_refused():
    table = archive()
    with pytest.raises(InputError, match="every film of the task has a finding that lies in no patch"):
        patches(table[table["image_id"] == "mdb005"], task="severity")


def of_three_densities():
    """The archive, each woman's films of one density."""
    table = archive()
    return table.assign(density=[["F", "G", "D"][int(woman[1:]) % 3] for woman in table["patient"]])


def test_a_patch_of_a_task_without_a_healthy_class_is_one_that_holds_a_finding():
    notes = crops(task="malignancy", name="grid", window_mm=44.8, stride_mm=44.8).notes
    assert "patches without a finding have no class" in notes[-1]
    found = patches(task="malignancy")
    assert set(found["label"]) == {"benign", "malignant"} and found["finding_id"].notna().all()
    assert all(len(held(patch, archive())) for _, patch in found.iterrows())


def test_a_patch_of_a_task_of_films_has_its_films_class():
    table = of_three_densities()
    found = patches(table, task="density")
    assert (
        found["label"] == found["image_id"].map(table.drop_duplicates("image_id").set_index("image_id")["density"])
    ).all()
    assert found["image_id"].nunique() == 10


def test_a_film_with_a_finding_that_takes_no_part_gives_no_patch_and_no_whole_breast():
    table = archive()
    table.loc[table["image_id"] == "mdb003", "finding"] = "ARCH"
    table.loc[(table["image_id"] == "mdb001") & (table["finding_id"] == 2), "finding"] = "ARCH"  # the other is CIRC
    found = crops(table, "distortion", name="grid", window_mm=44.8, stride_mm=44.8).table
    assert set(found["image_id"]) == {"mdb003", "mdb002", "mdb004", "mdb006", "mdb008", "mdb010"}
    assert set(found.loc[found["label"] == "distortion", "image_id"]) == {"mdb003"}


def test_the_ids_of_patches_are_unique_and_are_not_those_of_copies():
    found = crops(name="grid", window_mm=44.8, stride_mm=44.8).table["sample_id"]
    assert found.is_unique and not found.str.contains(r"\.c\d+$").any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "breast"}, "expected one of whole, lesion, scaled_lesion, grid"),
        ({"without_circle": "guess"}, "expected exclude or breast"),
        ({"name": "grid", "stride_mm": 0}, "crop.stride_mm=0: expected millimetres"),
        ({"name": "grid", "stride_mm": 30.0}, "up to crop.window_mm"),
    ],
)
def test_unknown_settings_list_the_known(settings, message):
    with pytest.raises(InputError, match=message):
        crops(**settings)


def test_an_unknown_task_lists_the_known():
    with pytest.raises(InputError, match="expected one of abnormality, severity, malignancy, density, finding, "):
        find_task("cancer")


def test_what_is_seen_without_a_lesion_is_that_of_the_crop_and_the_breast():
    crops = cut_crops(archive(), read, find_task("abnormality"), name="lesion", image_size=112, margin=1.0, seed=0,
                      window_mm=22.4, recentre=False)  # fmt: skip
    table = crops.table
    assert set(SHORTCUTS) <= set(table.columns) and table[SHORTCUTS].notna().all().all()
    assert table["mean_grey"].to_numpy() == pytest.approx(np.stack(crops.pixels).mean(axis=(1, 2)))
    assert table["black"].to_numpy() == pytest.approx((np.stack(crops.pixels) == 0).mean(axis=(1, 2)))
    assert table["across"].between(0, 1).all() and table["down"].between(0, 1).all()
    assert table.groupby("image_id")["breast_mm2"].nunique().max() == 1 and table["breast_mm2"].min() > 1000
