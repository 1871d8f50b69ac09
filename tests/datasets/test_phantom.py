"""The phantom: mini-MIAS's layout and counts, films that are what Info.txt says of them."""

import multiprocessing
import time
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from mammo.datasets import phantom as module
from mammo.datasets.film import read_mask
from mammo.datasets.mias import parse_info
from mammo.datasets.phantom import Phantom, deal, info_row
from mammo.drawing.films import draw, film_masks
from mammo.drawing.lesions import Finding
from mammo.drawing.noise import noise
from mammo.errors import InputError

WOMEN = 16  # of the fixture `phantom`, whose first twelve are the awkward ones
CIRCLED = ["CIRC", "SPIC", "MISC", "ARCH", "ASYM", "CALC"]


@pytest.fixture(scope="module")
def table(phantom):
    return phantom.findings()


def dealt_table(seed, patients=161):
    """The table of an Info.txt whose circles are all alike."""
    rows = []
    for patient, (tissue, *breasts) in enumerate(deal(seed, patients), start=1):
        for side, findings in enumerate(breasts, start=1):
            film = f"mdb{2 * patient - 2 + side:03d} {tissue}"
            circled = [replace(finding, x=500, y=500, radius=9) for finding in findings]
            rows += [f"{film} {info_row(finding)}" for finding in circled] or [f"{film} NORM "]
    return pd.DataFrame(parse_info("\n".join(rows), dataset="phantom"))


def spectral_slope(patch):
    side = patch.shape[0]
    window = np.outer(np.hanning(side), np.hanning(side))
    power = np.abs(np.fft.fft2((patch - patch.mean()) * window)) ** 2
    ring = np.round(np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side))) * side).astype(int)
    frequency = np.arange(6, side // 4)
    mean = np.bincount(ring.ravel(), power.ravel())[frequency] / np.bincount(ring.ravel())[frequency]
    return -np.polyfit(np.log(frequency), np.log(mean), 1)[0]


def test_every_film_is_there_and_is_what_the_manifest_says(phantom, table):
    assert sorted(table["image_id"].unique()) == [f"mdb{number:03d}" for number in range(1, 2 * WOMEN + 1)]
    assert {phantom.read(image_id).pixels.shape for image_id in table["image_id"]} == {(1024, 1024)}


def test_films_come_in_pairs_of_one_patient_right_then_left_with_one_density(table):
    films = table.drop_duplicates("image_id")
    assert films["laterality"].tolist() == ["right", "left"] * WOMEN
    assert films.groupby("patient").size().eq(2).all()
    assert films.groupby("patient")["density"].nunique().eq(1).all()


def test_patients_are_not_those_of_mini_mias(table):
    assert table["patient"].str.startswith("phantom-").all()


def test_an_altered_film_is_refused_by_name(tmp_path):
    data = Phantom(root=str(tmp_path / "films"), patients=2)
    data.prepare()
    film = data.path("mdb003")
    film.write_bytes(film.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(InputError, match=r"mdb003\.pgm: pixels differ"):
        data.read("mdb003")
    film.unlink()
    with pytest.raises(FileNotFoundError, match=r"mdb003\.pgm"):
        data.findings()


def test_twelve_patients_have_all_awkward_rows(phantom, table):
    text = (phantom.root / "Info.txt").read_text().partition("mdb025")[0]
    rows = table[(table["severity"] != "normal") & (table["image_id"] <= "mdb024")]
    per_film = rows.groupby("image_id").size()
    assert "SYNTHETIC" in text
    assert " NORM \n" in text, "trailing space"
    assert "*NOTE 3*" in text
    assert {1, 2, 3} == set(per_film)
    assert rows.groupby("image_id")["severity"].nunique().max() == 2, "a benign and a malignant row on one film"
    assert (rows.groupby("patient")["laterality"].nunique() == 2).any(), "a patient with two abnormal breasts"
    without = rows[rows["radius_px"].isna()]
    assert {"CIRC", "CALC"} <= set(without["finding"])


@pytest.mark.parametrize("seed", [0, 1])
def test_161_patients_have_exactly_the_counts_of_mini_mias(seed):
    table = dealt_table(seed)
    assert len(table) == 330
    assert table["finding"].value_counts().to_dict() == {
        "NORM": 207, "CALC": 30, "CIRC": 25, "SPIC": 19, "ARCH": 19, "MISC": 15, "ASYM": 15,
    }  # fmt: skip
    assert table["severity"].value_counts().to_dict() == {"normal": 207, "benign": 69, "malignant": 54}
    assert table.drop_duplicates("image_id")["density"].value_counts().to_dict() == {"D": 112, "F": 106, "G": 104}
    assert table["radius_px"].notna().sum() == 119
    abnormal = table[table["finding"] != "NORM"].groupby("patient")["image_id"].nunique()
    assert (161 - len(abnormal), (abnormal == 1).sum(), (abnormal == 2).sum()) == (53, 101, 7)


def test_seeds_differ_in_who_has_what():
    assert not dealt_table(0).equals(dealt_table(1))


def test_more_patients_only_append():
    assert deal(3, 400)[:50] == deal(3, 50)


def test_thousands_of_patients_have_films_of_four_digits():
    table = dealt_table(0, patients=2000)
    assert table["image_id"].nunique() == 4000
    assert table["patient"].iloc[-1] == "phantom-2000"


@pytest.mark.slow
def test_the_seed_alone_decides_the_pixels(phantom, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "draw", draw)  # again
    same, other = (Phantom(root=str(tmp_path / str(seed)), patients=2, film_seed=seed) for seed in (0, 1))
    same.prepare()
    other.prepare()
    films, few = phantom.manifest(), same.manifest()
    assert few == {image_id: films[image_id] for image_id in few}
    assert not set(few.values()) & set(other.manifest().values())


def test_the_films_are_those_of_version_1(phantom):
    """Means of 16 squares: to a hundredth, where a digest would also tell one version of a library from the next."""
    expected = {
        "mdb003": [[0, 39.2, 94.71, 0], [0, 47.1, 124.69, 0], [0, 57.14, 125.78, 0], [0, 14.82, 46.31, 0]],
        "mdb004": [[0, 103.8, 11.31, 0], [0, 145.17, 52.75, 0], [0, 135.28, 61.18, 0], [0, 62.74, 14.03, 0]],
    }  # fmt: skip
    assert module.VERSION == "v1", "another version has other films: write their means here"
    for image_id, means in expected.items():
        found = phantom.read(image_id).pixels.reshape(4, 256, 4, 256).mean(axis=(1, 3))
        assert np.allclose(found, means, atol=0.02), image_id


def test_fewer_than_two_patients_are_refused():
    with pytest.raises(InputError, match=r"data\.patients"):
        Phantom(patients=1)


def mask_is_best(change, near, mask, by):
    """The changed levels lie in the mask, and less so in the mask moved by some pixels, in each direction."""

    def stands_out(moved):
        return change[moved].mean() / change[near & ~moved].mean()

    moves = [(by, 0), (-by, 0), (0, by), (0, -by)]
    return stands_out(mask) > 1.1 * max(stands_out(np.roll(mask, move, (0, 1))) for move in moves)


@cache
def healthy(side):
    return draw(0, 5, side, "G", [])[0]


@pytest.mark.parametrize("kind", CIRCLED)
@pytest.mark.parametrize(("side", "severity"), [(1, "B"), pytest.param(2, "M", marks=pytest.mark.slow)])
def test_a_lesion_lies_in_its_circle_and_nowhere_else(kind, side, severity):
    film, (finding,) = draw(0, 5, side, "G", [Finding(kind, severity)])
    (row,) = parse_info(f"mdb{8 + side:03d} G {info_row(finding)}")
    without = healthy(side)
    change = (film.astype(float) - without) ** 2
    y, x = np.mgrid[:1024, :1024]
    inside = np.hypot(x - row["x_px"], y - row["y_px"]) <= row["radius_px"] + 2
    assert change[inside].sum() > 0.9 * change.sum() > 0
    assert (film.astype(float) - without)[inside].mean() > 0, "lesions are brighter than what they lie in"
    (mask,) = film_masks(0, 5, side, "G", [finding])
    near, third = np.hypot(x - row["x_px"], y - row["y_px"]) <= 1.5 * row["radius_px"], finding.radius // 3
    assert mask_is_best(np.sqrt(change), near, mask, third)
    if kind not in ("ARCH", "CALC"):  # those are a disc, and a hull around specks
        seen = [np.sqrt(change) > level for level in range(1, 30)]
        assert max((one & mask).sum() / (one | mask).sum() for one in seen) > 0.7, "its extent is what is seen"


def test_findings_of_unknown_place_have_no_mask_and_all_others_have_one(phantom, table):
    located = table["radius_px"].notna()
    assert (table["mask_path"].notna() == located).all() and located.sum() > 10
    assert len(list(phantom.masks.iterdir())) == located.sum()
    for row in table[located].itertuples():
        mask = read_mask(row.mask_path)
        rows, columns = mask.nonzero()
        far = np.hypot(columns - row.x_px, rows - row.y_px)
        assert mask.shape == (1024, 1024) and len(far) and far.max() <= 1.09 * row.radius_px + 4, row.image_id
        assert (phantom.read(row.image_id).pixels[mask] > 0).mean() > 0.99, "it lies on the breast"


def test_a_folder_that_was_drawn_without_masks_gets_them(phantom, table, tmp_path):
    (tmp_path / "old").mkdir()
    for path in phantom.root.glob("*.*"):
        (tmp_path / "old" / path.name).symlink_to(path)
    old = Phantom(root=str(tmp_path / "old"), patients=WOMEN)
    found = old.findings()
    assert found.drop(columns=["path", "mask_path"]).equals(table.drop(columns=["path", "mask_path"]))
    assert sorted(path.name for path in old.masks.iterdir()) == sorted(path.name for path in phantom.masks.iterdir())
    for path in list(old.masks.iterdir())[:3]:
        assert path.read_bytes() == (phantom.masks / path.name).read_bytes()


def test_a_folder_that_cannot_be_written_to_works_without_masks(phantom, table, monkeypatch):
    whole = Phantom(root=str(phantom.root), patients=WOMEN)
    monkeypatch.setattr(Phantom, "masks", phantom.root / "no" / "such" / "masks")

    def closed(folder):
        raise PermissionError(folder)

    monkeypatch.setattr(module, "whole_folder", closed)
    found = whole.findings()
    assert found["mask_path"].isna().all() and len(found) == len(table)


def test_calcifications_without_a_circle_are_spread_over_the_breast():
    finding = Finding("CALC", "M", "*")
    assert info_row(finding) == "CALC M *NOTE 3* "
    rows, columns = (draw(0, 5, 1, "F", [finding])[0] != draw(0, 5, 1, "F", [])[0]).nonzero()
    assert np.ptp(rows) > 300
    assert np.ptp(columns) > 100


def test_circles_lie_on_the_breast(phantom, table):
    for row in table.dropna(subset="radius_px").itertuples():
        assert phantom.read(row.image_id).pixels[int(row.y_px), int(row.x_px)] > 50


def test_the_chest_wall_is_on_the_right_of_odd_films(phantom, table):
    for row in table.drop_duplicates("image_id").itertuples():
        film = phantom.read(row.image_id).pixels
        columns = (film > 0).mean(axis=0) > 0.05
        first, last = columns.nonzero()[0][[0, -1]]
        rows = slice(400, 600)  # below all labels
        left, right = film[rows, first + 40 : first + 60].mean(), film[rows, last - 60 : last - 40].mean()
        assert (right > left) == (row.laterality == "right")


def test_padding_is_black(phantom):
    film = phantom.read("mdb001").pixels
    assert (film == 0).all(axis=0).sum() > 10


def test_the_texture_falls_off_as_that_of_real_films(phantom):
    """Real films: 2.94 +- 0.22 in the median over windows of 256 pixels inside the breast."""
    slopes = []
    for number in range(1, 2 * WOMEN + 1):
        film = phantom.read(f"mdb{number:03d}").pixels.astype(float)
        for y, x in ((300, 400), (450, 400), (450, 300), (450, 500)):
            patch = film[y : y + 256, x : x + 256]
            if patch.min() > 90:
                slopes.append(spectral_slope(patch))
    assert len(slopes) >= 10
    assert 2.5 < np.median(slopes) < 3.3


@pytest.mark.parametrize("slope", [2.0, 3.0])
def test_noise_has_the_slope_asked_for(slope):
    field = noise(np.random.default_rng(0), 512, 512, slope)
    assert spectral_slope(field) == pytest.approx(slope, abs=0.15)


@pytest.mark.slow
def test_dense_breasts_are_brighter_than_fatty_ones():
    levels = {tissue: [draw(0, patient, 1, tissue, [])[0] for patient in range(1, 4)] for tissue in "FD"}
    bright = {
        tissue: np.mean([np.percentile(f[400:][f[400:] > 40], 75) for f in films]) for tissue, films in levels.items()
    }
    assert bright["D"] > bright["F"] + 20  # on mini-MIAS by 33, the muscle included


def test_prepare_leaves_a_complete_folder_alone(blank, tmp_path):
    data = Phantom(root=str(tmp_path / "films"), patients=2)
    data.prepare()
    digests = {path.name: path.stat().st_mtime_ns for path in data.root.iterdir()}
    data.prepare()
    assert {path.name: path.stat().st_mtime_ns for path in data.root.iterdir()} == digests


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interruption_leaves_nothing_behind(error, monkeypatch, tmp_path):
    def fail(*args):
        raise error

    monkeypatch.setattr(module, "write_pgm", fail)
    with pytest.raises(error):
        Phantom(root=str(tmp_path / "films"), patients=2).prepare()
    assert not list(tmp_path.iterdir())


def test_a_folder_of_other_things_is_refused_and_kept(blank, tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"mine\.txt"):
        Phantom(root=str(tmp_path / "films"), patients=2).prepare()
    assert [path.name for path in tmp_path.rglob("*")] == ["films", "mine.txt"]


def test_two_processes_may_prepare_at_once(blank, tmp_path, monkeypatch):
    drawn = module.draw
    monkeypatch.setattr(module, "draw", lambda *given: time.sleep(0.1) or drawn(*given))
    fork, films = multiprocessing.get_context("fork"), Phantom(root=str(tmp_path / "films"), patients=2)
    both = [fork.Process(target=films.prepare) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["films"]
    assert len(Phantom(root=str(tmp_path / "films"), patients=2).findings()) >= 4


def test_a_number_of_patients_that_no_disk_holds_is_refused_at_once():
    with pytest.raises(InputError, match=r"data\.patients=99999999999 is too many; expected at most 1,000,000"):
        Phantom(patients=99_999_999_999)
