"""Samples: which squares, from which films, at which places, with which labels."""

from functools import cache
from inspect import Parameter, signature

import numpy as np
import pandas as pd
import pytest

from mammo.config import Config, CropConfig, DataConfig, TaskConfig
from mammo.datasets.film import Film, write_pgm
from mammo.datasets.findings import findings_table
from mammo.datasets.labels import Labels, find_task
from mammo.datasets.registry import DATASETS
from mammo.errors import InputError
from mammo.preprocessing import crop_table, cutting
from mammo.preprocessing.crop_rows import SHORTCUTS
from mammo.preprocessing.crop_table import cut_samples
from mammo.preprocessing.crops import CROPS, Lesion, Whole, build_crop
from mammo.preprocessing.cutting import Cutter
from mammo.targets import find_target

SIDE = 1024
GRID = {"name": "grid", "window_mm": 44.8}
PARTS = ["train"] * 6 + ["val"] * 2 + ["test"] * 2


def row(number: int, finding_id: int = 0, circle: tuple[float, float, float] | None = None, severity="normal"):
    film = f"mdb{number:03d}"
    return {
        "dataset": "made", "image_id": film, "finding_id": finding_id, "path": film, "patient": f"p{(number + 1) // 2}",
        "laterality": "right" if number % 2 else "left", "density": "F", "finding": "CIRC" if finding_id else "NORM",
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


@cache
def read(image_id: str) -> Film:
    """A breast whose texture is its film's own, a bright dot at each lesion."""
    number = int(image_id[3:])
    y, x = np.mgrid[:SIDE, :SIDE]
    pixels = np.where((x / 500) ** 2 + ((y - 500) / 480) ** 2 <= 1, 120 + 80 * np.sin(x * (0.5 + number / 30)), 0)
    if number % 2:
        pixels = pixels[:, ::-1]
    table = archive()
    for _, lesion in table[(table["image_id"] == image_id) & table["x_px"].notna()].iterrows():
        pixels[(x - lesion["x_px"]) ** 2 + (y - lesion["y_px"]) ** 2 < 15**2] = 250
    return Film.of(pixels.astype(np.uint8))


@pytest.fixture(autouse=True, scope="module")
def _found_once():
    """Find the breast of each of the ten films once; nothing changes it."""
    films = [read(image_id) for image_id in archive()["image_id"].unique()]
    honest, known = cutting.find_breast, {}

    def found(film, *how):
        if not any(film is one for one in films):
            return honest(film, *how)
        if (id(film), how) not in known:
            known[id(film), how] = honest(film, *how)
        return known[id(film), how]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "find_breast", found)
        yield


def crops(table=None, task="abnormality", read=read, image_size=64, margin=1.0, bits=8, **settings):
    """Samples of the archive, which are cut once and only read, or of another table."""
    if table is None and read is globals()["read"]:
        return of_archive(task, image_size=image_size, margin=margin, bits=bits, **settings)
    return cut_from(table, task, read, image_size=image_size, margin=margin, bits=bits, **settings)


def of_archive(task, **how):
    if "windows_mm" in how:
        return cut_from(archive(), task, read, **how)  # a list names no entry of a cache
    return known_of_archive(task, **how)


@cache
def known_of_archive(task, **how):
    return cut_from(archive(), task, read, **how)


def cut_from(table, task, read, *, image_size, margin, bits, **settings):
    still = {} if settings.get("name") in ("whole", "grid") else {"name": "lesion", "recentre": False}
    crop = build_crop(Config.of({"crop": still | settings}).crop)
    labels = task if isinstance(task, Labels) else find_task(task)
    return cut_samples(crop, table, Cutter(read, shown=image_size, margin=margin, bits=bits), labels, seed=0)


def test_whole_breasts_give_one_sample_an_image_labelled_by_its_worst_finding():
    found = crops(name="whole", task="severity").table.set_index("name")
    assert list(found.index) == [f"mdb{n:03d}" for n in range(1, 11)]
    assert found.loc["mdb001", "label"] == "malignant"
    assert found.loc["mdb002", "label"] == "normal"


def test_several_lesions_of_an_image_give_several_samples():
    found = crops(task="severity").table.set_index("name")
    assert found.loc["mdb001.1", "label"] == "benign"
    assert found.loc["mdb001.2", "label"] == "malignant"
    assert "mdb002" in found.index and "mdb001" not in found.index


def test_lesions_without_a_place_are_left_out_or_centred_on_the_breast_and_counted_aloud():
    out, kept = crops(), crops(without_circle="breast")
    assert "mdb005.1" not in set(out.table["name"])
    assert "mdb005.1" in set(kept.table["name"])
    for found in (out, kept):
        assert any("1 finding has" in note and "mdb005.1" in note for note in found.notes)


def test_the_label_follows_the_pixels():
    """Every abnormal window has its dot in the middle, no background has one there."""
    found = crops()
    middle = np.stack(found.pixels)[:, 30:34, 30:34].mean(axis=(1, 2))
    assert ((middle > 240) == (found.table["label"] == "abnormal").to_numpy()).all()


def test_a_window_has_one_physical_size_and_only_the_leaky_one_follows_the_radius():
    fixed, scaled = crops().table, crops(name="scaled_lesion", factor=1.25).table
    assert set(fixed["size_px"]) == {112}
    assert set(crops(archive().assign(spacing_mm=0.1)).table["size_px"]) == {224}
    lesions = scaled[scaled["label"] == "abnormal"]
    assert lesions["size_px"].tolist() == [round(2.5 * r) for r in lesions["radius_px"]]
    assert set(scaled.loc[scaled["label"] == "normal", "size_px"]) == {112}


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
    assert (found["size_px"] == 112).all()


def test_recentring_moves_a_window_to_the_blob_and_at_most_8_mm():
    table = archive()
    drawn = table["x_px"].notna()
    off = table.copy()
    off.loc[drawn, "x_px"] += 20
    found = crops(off, recentre=True).table.query("label == 'abnormal'")
    true = table[drawn].reset_index(drop=True)
    distance = np.hypot(found["x_px"].to_numpy() - true["x_px"], found["y_px"].to_numpy() - true["y_px"])
    assert (distance.astype(float) < 6).all()


@pytest.mark.parametrize("how", [{}, {"recentre": True, "without_circle": "breast"}])
def test_several_windows_are_those_of_one_centre_in_one_sample(how):
    both, wide, close = (crops(**how, **of) for of in ({"windows_mm": [14.4, 22.4]}, {}, {"window_mm": 14.4}))
    assert both.windows == 2 and wide.windows == 1
    pd.testing.assert_frame_equal(both.table, wide.table)  # one row per lesion, with the place and side of the largest
    for sample, (inner,) in enumerate(both.inner):
        assert np.array_equal(both.pixels[sample], wide.pixels[sample])
        assert np.array_equal(inner, close.pixels[sample]) and not np.array_equal(inner, both.pixels[sample])
        assert both.window(sample, 1) is inner


def test_windows_of_a_new_film_have_one_centre_too():
    crop, film = Lesion(windows_mm=[22.4, 14.4]), archive().iloc[0]
    for at in ((700.0, 400.0), None):
        wide, close = crop.look(film, at)[0]
        assert (wide.size_px, close.size_px, close.shown_px) == (112, 112, 72)
    with pytest.raises(InputError, match=r"crop\.windows_mm"):
        Lesion(windows_mm=[22.4])


def test_the_margin_shows_more_around_and_the_same_in_the_middle():
    plain, wide = crops(), crops(margin=1.5)
    assert wide.pixels[0].shape == (96, 96)
    inner = np.stack(wide.pixels)[:, 16:80, 16:80].astype(int)
    assert np.abs(inner - np.stack(plain.pixels)).mean() < 8


def test_a_task_leaves_out_the_films_that_it_does_not_know():
    found = crops(name="whole", task="malignancy")
    assert set(found.table["label"]) == {"benign", "malignant"}
    assert any(note.startswith("5 images") for note in found.notes)


def patches(table=None, task="abnormality", **settings):
    """The samples of a task in a table of samples, whole breasts left out."""
    found = crops(table, task, **GRID | settings).table
    return found[found["patch"] > 0]


def held(patch, table):
    """The findings of an archive whose circle's centre a patch holds."""
    own = table[(table["image_id"] == patch["image_id"]) & table["radius_px"].notna()]
    reach = patch["size_px"] / 2
    return own[((own["x_px"] - patch["x_px"]).abs() < reach) & ((own["y_px"] - patch["y_px"]).abs() < reach)]


@pytest.mark.parametrize("stride_mm", [44.8, pytest.param(30.0, marks=pytest.mark.slow)])
def test_patches_cover_the_breast_and_lie_on_it_and_on_the_film(stride_mm):
    film = patches(stride_mm=stride_mm).query("image_id == 'mdb002'")
    breast, covered = read("mdb002").pixels > 0, np.zeros((SIDE, SIDE), int)
    for _, patch in film.iterrows():
        top, left = (round(patch[axis] - (patch["size_px"] - 1) / 2) for axis in ("y_px", "x_px"))
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
        assert patch["finding_id"] == 0 or patch["finding_id"] in set(inside["finding_id"])
        assert (patch["finding_id"] == 0) == (patch["severity"] == "normal") == pd.isna(patch["radius_px"])
    assert set(found.loc[found["label"] == "abnormal", "image_id"]) == {"mdb001", "mdb003", "mdb007", "mdb009"}


def test_a_positive_patch_shows_its_lesion_on_right_breasts_and_left_ones():
    table = archive()
    table.loc[table["image_id"] == "mdb002", ["finding", "severity", "finding_id"]] = ["CIRC", "benign", 1]
    table.loc[table["image_id"] == "mdb002", ["x_px", "y_px", "radius_px"]] = [200.0, 300.0, 20.0]
    film = read("mdb002").pixels.copy()
    film[285:315, 185:215] = 250
    changed = lambda name: Film.of(film) if name == "mdb002" else read(name)  # noqa: E731
    found = crops(table, read=changed, image_size=224, **GRID)
    positive = found.table[(found.table["label"] == "abnormal") & (found.table["patch"] > 0)]
    assert {"mdb001", "mdb002"} <= set(positive["image_id"])
    for sample, patch in positive.iterrows():
        for _, lesion in held(patch, table).iterrows():
            mirror = -1 if int(patch["image_id"][3:]) % 2 else 1
            x, y = mirror * (lesion["x_px"] - patch["x_px"]) + 111.5, lesion["y_px"] - patch["y_px"] + 111.5
            spot = found.pixels[sample][max(round(y) - 4, 0) : round(y) + 5, max(round(x) - 4, 0) : round(x) + 5]
            assert spot.mean() > 240


def test_a_film_whose_finding_lies_in_no_patch_is_left_out_and_told():
    """With its whole breast alone it would stand out among those that have patches, and it is never a normal one."""
    found = crops(**GRID)
    assert "mdb005" not in set(found.table["image_id"])
    assert len(found.notes) == 1 and "(mdb005)" in found.notes[0]
    assert "mdb005" in set(patches(task="density", table=of_three_densities())["image_id"])


def test_films_of_which_none_gives_a_patch_are_refused():
    table = archive()
    off = archive().assign(x_px=lambda table: table["x_px"].mask(table["x_px"].notna(), -500.0))
    with pytest.raises(InputError, match="lies on the breast; see mammo data check"):
        crops(off)
    with pytest.raises(InputError, match="crop=whole"):
        patches(table[table["image_id"] == "mdb005"], task="severity")


def of_three_densities():
    """The archive, each patient's films of one density."""
    table = archive()
    return table.assign(density=[["F", "G", "D"][int(patient[1:]) % 3] for patient in table["patient"]])


def test_a_patch_of_a_task_without_a_healthy_class_is_one_that_holds_a_finding():
    whole = crops(task="malignancy", **GRID)
    found = whole.table[whole.table["patch"] > 0]
    assert "windows without a finding have no class" in whole.notes[-1]
    assert set(found["label"]) == {"benign", "malignant"} and (found["finding_id"] > 0).all()
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
    found = crops(table, "distortion", **GRID).table
    assert set(found["image_id"]) == {"mdb003", "mdb002", "mdb004", "mdb006", "mdb008", "mdb010"}
    assert set(found.loc[found["label"] == "distortion", "image_id"]) == {"mdb003"}


def test_the_ids_of_patches_are_unique_and_are_not_those_of_copies():
    found = crops(**GRID).table
    assert found["name"].is_unique and not found["name"].str.contains(r"\.c\d+$").any()
    numbered = found[found["patch"] > 0]
    assert numbered["name"].tolist() == (numbered["image_id"] + ".p" + numbered["patch"].astype("string")).tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "breast"}, "expected one of whole, film, lesion, scaled_lesion, grid"),
        ({"without_circle": "guess"}, "crop.without_circle=guess: expected exclude or breast"),
        ({"name": "grid", "stride_mm": 0}, r"crop\.stride_mm=0.0: expected"),
        ({"name": "grid", "stride_mm": 30.0}, "crop.window_mm=22.4"),
        ({"name": "whole", "factor": 2.0}, "crop.factor=2.0"),
    ],
)
def test_unknown_settings_list_the_known(settings, message):
    with pytest.raises(InputError, match=message):
        crops(**settings)


def test_an_unknown_task_lists_the_known():
    with pytest.raises(InputError, match="abnormality, acr_density, density, distortion, finding"):
        find_task("cancer")


def test_what_is_seen_without_a_lesion_is_that_of_the_crop_and_the_breast():
    found = crops(image_size=112)
    table = found.table
    assert set(SHORTCUTS) <= set(table.columns) and table[SHORTCUTS].notna().all().all()
    assert table["mean_grey"].to_numpy() == pytest.approx(np.stack(found.pixels).mean(axis=(1, 2)))
    assert table["black"].to_numpy() == pytest.approx((np.stack(found.pixels) == 0).mean(axis=(1, 2)))
    assert table["across"].between(0, 1).all() and table["down"].between(0, 1).all()
    assert table.groupby("image_id")["breast_mm2"].nunique().max() == 1 and table["breast_mm2"].min() > 1000


@pytest.mark.parametrize("given", ["box", "mask"])
def test_a_finding_with_a_box_or_a_mask_alone_has_a_window_centred_on_it(given, tmp_path):
    rows = archive().iloc[[0]].assign(x_px=pd.NA, y_px=pd.NA, radius_px=pd.NA)
    edges = [701.0, 380.0, 741.0, 440.0]
    if given == "box":
        rows[["x0_px", "y0_px", "x1_px", "y1_px"]] = edges
    else:
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[380:440, 701:741] = 255
        write_pgm(tmp_path / "mask.pgm", mask)
        rows["mask_path"] = str(tmp_path / "mask.pgm")
    table = crops(rows, name="scaled_lesion", factor=2.0).table
    assert table[["x_px", "y_px", "size_px"]].astype(float).to_numpy().tolist() == [[721.0, 410.0, 120.0]]


def test_a_lesion_of_unknown_severity_and_place_keeps_its_image_out_of_a_grid():
    """Any patch could show it, where the task is not of severities."""
    table = archive()
    table["severity"] = table["severity"].mask(table["image_id"] == "mdb005")
    table["finding"] = table["finding"].mask(table["image_id"] == "mdb001", "ARCH")
    assert "mdb005" not in set(crops(table, "distortion", **GRID).table["image_id"])


def test_a_patch_has_the_value_of_its_own_lesion_in_a_users_column_and_none_without_a_lesion():
    shapes = Labels.from_config(TaskConfig(column="shape", classes={"round": [1], "oval": [2]}))
    table = archive()
    table = table.assign(shape=table["finding_id"].replace(0, pd.NA))[table["x_px"].notna()]
    found = crops(table, shapes, **GRID | {"window_mm": 20.0}).table.query("patch > 0")
    assert set(found["label"]) == {"round", "oval"} and (found["finding_id"] > 0).all()
    both = found[found["image_id"] == "mdb001"]
    assert dict(zip(both["finding_id"], both["label"], strict=True)) == {1: "round", 2: "oval"}


def test_areas_are_in_one_unit_whatever_spacings_are_known():
    table = archive()
    every, some, none = (
        crops(table.assign(spacing_mm=table["spacing_mm"].mask(unknown)), name="whole")
        for unknown in ([False] * len(table), table["image_id"] == "mdb002", [True] * len(table))
    )
    area, known = every.table["breast_mm2"], every.table["image_id"] != "mdb002"
    assert some.table["breast_mm2"].tolist() == area.where(known, 0).tolist()
    assert none.table["breast_mm2"].to_numpy() == pytest.approx(area.to_numpy() / 0.04)
    assert [len(found.notes) for found in (every, some, none)] == [0, 1, 1]


def test_lesions_of_which_none_has_a_place_are_refused_in_one_line():
    table = archive()
    with pytest.raises(InputError, match=r"mdb005\.1") as error:
        crops(table[table["image_id"] == "mdb005"], "severity")
    assert "\n" not in str(error.value)


def test_a_crop_of_a_users_own_is_made_with_its_arguments():
    own = build_crop(CropConfig(_target_=f"{__name__}.Lesion", arguments={"window_mm": 5.0}))
    assert isinstance(own, Lesion) and own.window_mm == 5.0
    for wrong in ({"_target_": "tests.nowhere.Crop"}, {"_target_": f"{__name__}.Lesion", "arguments": {"depth": 1}}):
        with pytest.raises(InputError, match=r"crop\._target_"):
            build_crop(CropConfig(**wrong))


@pytest.mark.parametrize("name", ["lesion", pytest.param("grid", marks=pytest.mark.slow)])
def test_millimetres_need_a_spacing_and_the_whole_breast_does_not(name):
    table = archive().assign(spacing_mm=pd.NA)
    with pytest.raises(InputError, match=r"data\.spacing_mm"):
        crops(table, name=name)
    assert len(crops(table, name="whole").table) == 10


def test_a_finding_of_unknown_severity_is_left_out_and_counted():
    table = archive()
    table.loc[table["image_id"].isin(["mdb003", "mdb004"]), "severity"] = pd.NA
    found = crops(table)
    assert not {"mdb003", "mdb004"} & set(found.table["image_id"])
    assert any(note.startswith("left out: 2 findings of unknown severity") for note in found.notes)


def test_crops_of_16_bits_are_those_of_8_to_one_level():
    few, many = crops(), crops(bits=16)
    assert {one.dtype.name for one in many.pixels} == {"uint16"} and few.table["name"].equals(many.table["name"])
    assert np.abs(np.stack(many.pixels).astype(int) // 257 - np.stack(few.pixels)).max() <= 1
    assert many.mean_grey(0) == pytest.approx(few.mean_grey(0), abs=1)


def test_names_differ_where_one_image_is_called_as_anothers_finding_would_be():
    table = archive()
    table["image_id"] = table["image_id"].replace("mdb002", "mdb001.1")
    found = crops(table, read=lambda name: read("mdb002" if name == "mdb001.1" else name)).table
    assert found["name"].is_unique and {"mdb001", "mdb001.1"} <= set(found["image_id"])


@pytest.mark.parametrize(("classes", "config"), [(CROPS, CropConfig()), (DATASETS, DataConfig())])
def test_a_default_of_a_class_is_the_configurations_or_saying_it_would_do_nothing(classes, config):
    for row in classes.values():
        cls = find_target(row, "data") if isinstance(row, str) else row
        for one in signature(cls).parameters.values():
            assert one.default in (getattr(config, one.name), Parameter.empty), (cls, one.name)


def test_a_window_of_hardly_a_pixel_is_refused():
    with pytest.raises(InputError, match=r"crop\.window_mm=0\.3"):
        crops(archive(), name="lesion", window_mm=0.3)


class Noting(Whole):
    """Whole films, with a note that counts and names them, one that counts, and one that says the same each time."""

    def cut(self, rows, findings, labels, cutter, seed):
        samples, notes = super().cut(rows, findings, labels, cutter, seed)
        images = rows["image_id"].unique()
        return samples, [*notes, f"{len(images)} films ({', '.join(images)})", f"{len(rows)} rows", "cut as they are"]


def test_notes_of_many_images_that_are_cut_in_turns_are_said_once(monkeypatch):
    labels = find_task("abnormality")
    at_once = cut_samples(Noting(), archive(), Cutter(read, shown=64, margin=1.0), labels, seed=0)
    monkeypatch.setattr(crop_table, "AT_ONCE", 3)
    in_turns = cut_samples(Noting(), archive(), Cutter(read, shown=64, margin=1.0), labels, seed=0)
    assert in_turns.notes == at_once.notes and "11 rows" in in_turns.notes and "cut as they are" in in_turns.notes


def test_numbers_of_thousands_in_the_notes_of_turns_are_added_up():
    notes = ["1,200 rows are left out (a, b)", "900 rows are left out (c)", "cut as they are", "cut as they are"]
    assert crop_table._united(notes) == ["2,100 rows are left out (a, b, c)", "cut as they are"]
