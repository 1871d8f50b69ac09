"""MIAS at full resolution: turned upright, circles carried over from mini-MIAS, women named as there."""

import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from mammo.archives.mias_full import FullMIAS
from mammo.datasets.film import write_pgm
from mammo.datasets.mias_info import full_circle, laterality_of, parse_info
from mammo.errors import InputError
from mammo.testing import check_dataset
from tests.archives.fake_mias_full import SIZES, write

# By hand, at an eighth: a place of mini-MIAS is halved, and 1/4 + (width - 4096) / 16 - 1/2 is added; y, from the top,
# alike with the height. On left breasts, x is 1 less and y 1 more before.
EXPECTED = """
image_id            finding_id patient  laterality density finding severity  x_px   y_px   radius_px spacing_mm
mias_full-mdb901lm  1          mias-451 right      G       CIRC    benign    139.25 312.75 48.5      0.4
mias_full-mdb902rl  0          mias-451 left       G       NORM    normal    -      -      -         0.4
mias_full-mdb903lx  1          mias-452 right      D       CALC    malignant -      -      -         0.4
mias_full-mdb904rs  1          mias-452 left       F       CIRC    benign    81.75  359.25 15        0.4
mias_full-mdb904rs  2          mias-452 left       F       CIRC    benign    93.25  291.75 13        0.4
mias_full-mdb905ll  1          mias-453 right      F       MISC    benign    116.25 275.25 20        0.4
mias_full-mdb905ll  2          mias-453 right      F       MISC    malignant 211.25 220.25 15.5      0.4
mias_full-mdb906rx  1          mias-453 left       F       SPIC    malignant 143.25 230.75 30        0.4
mias_full-mdb908rm  1          mias-454 left       F       CIRC    benign    -      -      -         0.4
mias_full-mdb910rs  0          mias-455 left       D       NORM    normal    -      -      -         0.4
mias_full-mdb913ls  1          mias-457 right      G       ASYM    malignant -      -      -         0.4
mias_full-mdb914rs  0          mias-457 left       G       NORM    normal    -      -      -         0.4
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="module")
def archive(folder):
    made = FullMIAS(root=str(folder.parent))
    made.findings()
    return made


def lying(x, y, width, height, number):
    """Return a place on the upright film in columns and rows of the file, which lies on its side."""
    return (height - 1 - y, x) if number % 2 else (y, width - 1 - x)


def mini(x, y, width, height, number):
    """Return the place in mini-MIAS, from the bottom left, of a place in a file, by the archives' two tables."""
    across, down = (1024 - width / 4) / 2, (height / 4 - 1024) / 2
    return (y / 4 + across, x / 4 - down) if number % 2 else (width / 4 - y / 4 + across, 1024 - (x / 4 - down))


def test_the_table_of_the_awkward_films_is_the_one_written_by_hand(archive):
    lines = [line.split() for line in EXPECTED.strip().splitlines()]
    found = archive.findings()
    found = found[found["patient"] < "mias-460"].reset_index(drop=True)
    expected = pd.DataFrame(lines[1:], columns=lines[0]).replace("-", pd.NA).astype(found[lines[0]].dtypes.to_dict())
    pd.testing.assert_frame_equal(found[lines[0]], expected)
    assert set(found["view"]) == {"MLO"} and set(found["severity_source"]) == {"unstated"}
    assert set(found["dataset"]) == {"mias_full"} and found["official_split"].isna().all()


def test_it_fulfils_the_contract(archive):
    check_dataset(archive)


def test_a_lesion_is_where_its_circle_is_on_the_film_as_it_is_read(archive):
    for row in archive.findings().dropna(subset="x_px").itertuples():
        film = archive.read(row.image_id)
        assert film.pixels[round(row.y_px), round(row.x_px)] >= 225, row.image_id
        assert film.spacing_mm == 0.4 and film.pixels.shape[0] > film.pixels.shape[1]


def test_the_chest_wall_of_odd_films_is_on_the_right_whatever_their_letter_says(archive):
    for name, side in (("mias_full-mdb905ll", "right"), ("mias_full-mdb902rl", "left")):
        film = archive.read(name)
        rows = film.pixels[200:400].mean(axis=0)
        assert film.laterality == side and (rows[-20:].mean() > rows[:20].mean()) == (side == "right")


@pytest.mark.parametrize(
    "trap",
    [
        "films that do not lie on their side, in the shape of their size letter, are left out (2): 911, 912",
        "circles that lie beside their film are left out (1): 913",
        "films without a row in Info.txt are left out (1): 909",  # no row does not mean normal
        "59 images instead of 322, 30 patients instead of 161",
        "1 of 59 images are not on disk and are left out: mias_full-mdb907",
        "Info.txt differs from the original: it has no row of mdb001",
        "labels and circles are those of mini-MIAS's Info.txt",
    ],
)
def test_what_is_left_out_or_differs_is_said(archive, trap):
    assert any(trap in note for note in archive.notes), archive.notes


@pytest.mark.parametrize(
    ("letter", "number", "in_mini", "upright"),
    # x, y from the bottom in mini-MIAS; x, y of the upright film, by the formulas of `mini`, on paper
    [
        ("s", 1, (512, 500), (800, 4319 - 2112)),
        ("s", 2, (512, 500), (1599 - 800, 2208)),
        ("m", 1, (600, 300), (1376, 4319 - 1312)),
        ("m", 2, (600, 300), (2047 - 672, 3008)),
        ("l", 1, (400, 700), (852, 4319 - 2912)),
        ("l", 2, (400, 700), (2599 - 1748, 1408)),
        ("x", 1, (252, 788), (960, 5199 - 3704)),
        ("x", 2, (252, 788), (3999 - 3040, 1496)),
    ],
)
def test_a_circle_of_each_size_and_side_is_carried_over_as_on_paper(letter, number, in_mini, upright):
    row = {"x_px": in_mini[0], "y_px": 1023 - in_mini[1], "radius_px": 10, "laterality": laterality_of(number)}
    x, y, radius = full_circle(row, *SIZES[letter])
    assert (x, y) == pytest.approx(upright, abs=1.5) and radius == 40


@pytest.mark.parametrize(("number", "letter"), [(1, "s"), (2, "m"), (3, "l"), (4, "x")])
def test_a_film_of_true_size_shows_its_lesion_in_the_circle(tmp_path, number, letter):
    width, height = SIZES[letter]
    x, y = 2000, 700  # of the lying film: column and row, as in the archive's own table
    in_mini = [round(one) for one in mini(x, y, width, height, number)]
    pixels = np.zeros((width, height), np.uint8)
    pixels[y - 8 : y + 9, x - 8 : x + 9] = 200
    write_pgm(tmp_path / f"mdb{number:03d}l{letter}.pgm", pixels)
    (tmp_path / "Info.txt").write_text(f"mdb{number:03d} G CIRC B {in_mini[0]} {in_mini[1]} 30")
    archive = FullMIAS(root=str(tmp_path))
    (found,) = archive.findings().to_dict("records")
    film = archive.read(found["image_id"])
    rows, columns = np.nonzero(film.pixels)
    shutil.rmtree(tmp_path)  # 20 MB
    assert film.pixels.shape == (height, width) and film.spacing_mm == 0.05 and found["radius_px"] == 120
    assert (columns.mean(), rows.mean()) == pytest.approx((found["x_px"], found["y_px"]), abs=4)


@pytest.mark.slow
@pytest.mark.realdata
def test_all_circles_of_mini_mias_come_back_from_all_sizes(mias):
    rows = mias.findings().dropna(subset="x_px").to_dict("records")
    worst = 0.0
    for row in rows:
        number = int(row["image_id"][3:])
        for width, height in SIZES.values():
            x, y, radius = full_circle(row, width, height)
            back = mini(*lying(x, y, width, height, number), width, height, number)
            there = row["x_px"], 1023 - row["y_px"]
            worst = max(worst, *(abs(one - other) for one, other in zip(back, there, strict=True)))
            assert radius / 4 == row["radius_px"]
    assert len(rows) == 119 and worst < 0.5  # pixels of mini-MIAS


@pytest.mark.slow
@pytest.mark.realdata
def test_circles_of_mini_mias_are_those_of_the_archives_own_table(mias):
    """A film of each size and side, from the table in 00README.pdf (CC BY 2.0 UK): x, y of the lying film, radius."""
    own = {
        "017ls": (2407, 943, 192), "178rs": (1810, 880, 280), "001lm": (1815, 1116, 790), "010rm": (2509, 975, 135),
        "023ll": (2837, 1405, 117), "002rl": (3091, 1262, 277), "141lx": (3591, 1832, 117), "134rx": (1736, 2173, 199),
    }  # fmt: skip
    rows = mias.findings().drop_duplicates("image_id").set_index("image_id", drop=False)
    for name, circle in own.items():
        width, height = SIZES[name[-1]]
        x, y, radius = full_circle(rows.loc[f"mdb{name[:3]}"], width, height)
        assert (*lying(x, y, width, height, int(name[:3])), radius) == pytest.approx(circle, abs=3), name


# --- the table and the folder


def test_women_are_named_as_in_mini_mias(archive, folder):
    rows = parse_info((folder / "Info.txt").read_text())
    names = {str(row["image_id"]): row["patient"] for row in rows}
    found = archive.findings()
    assert (found["image_id"].str[10:16].map(names) == found["patient"]).all()
    assert found["image_id"].str.startswith("mias_full-").all()


@pytest.mark.parametrize("where", ["setting", "archive", "variable", "home", "above"])
def test_info_txt_may_lie_elsewhere(folder, tmp_path, monkeypatch, where):
    films = tmp_path / "disk" / "MIASDBv1.21"
    films.mkdir(parents=True)
    shutil.copy(folder / "mdb902rl.pgm", films)
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    text, tar = tmp_path / "Info.txt", tmp_path / "all-mias.tar.gz"
    text.write_text("mdb902 D NORM\n")
    if where in ("archive", "variable"):
        shutil.make_archive(str(tmp_path / "all-mias"), "gztar", tmp_path, "Info.txt")
        monkeypatch.setenv("MAMMO_MIAS_ARCHIVE", str(tar)) if where == "variable" else None
    if where == "home":
        (tmp_path / "home" / "mias").mkdir(parents=True)
        shutil.copy(text, tmp_path / "home" / "mias")
    if where == "above":
        shutil.copy(text, films.parent)
    given = {"setting": str(text), "archive": str(tar)}.get(where)
    found = FullMIAS(root=str(films.parent), archive=given).findings()
    assert found["density"].tolist() == ["D"]


def test_without_films_or_info_txt_the_error_says_where_to_get_them_and_nothing_is_downloaded(folder, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        FullMIAS(root=str(tmp_path)).prepare()
    for part in (str(tmp_path), "data.root=", "10.17863/CAM.105113", "CC BY 2.0 UK", "Nothing is downloaded"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    shutil.copy(folder / "mdb902rl.pgm", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no Info\.txt in .*data\.archive=<Info\.txt or all-mias\.tar\.gz>"):
        FullMIAS(root=str(tmp_path)).prepare()
    with pytest.raises(FileNotFoundError, match=r"no file .*none"):
        FullMIAS(root=str(tmp_path), archive=str(tmp_path / "none")).prepare()
    assert [path.name for path in tmp_path.iterdir()] == ["mdb902rl.pgm"]


def test_a_film_under_two_names_is_refused(folder, tmp_path):
    for name in ("mdb902rl.pgm", "mdb902rm.pgm"):
        shutil.copy(folder / "mdb902rl.pgm", tmp_path / name)
    shutil.copy(folder / "Info.txt", tmp_path)
    with pytest.raises(InputError, match=r"mdb902rl\.pgm and .*mdb902rm\.pgm are both film 902"):
        FullMIAS(root=str(tmp_path)).findings()


def test_a_broken_film_is_told_when_it_is_read_and_its_row_stays(folder, tmp_path):
    (tmp_path / "mdb901lm.pgm").write_bytes(b"P5\n")
    shutil.copy(folder / "Info.txt", tmp_path)
    found = FullMIAS(root=str(tmp_path)).findings()
    assert found[["image_id", "spacing_mm"]].to_numpy().tolist() == [["mias_full-mdb901lm", 0.05]]


def test_a_digest_is_not_that_of_the_film_as_it_lies(archive):
    from mammo.datasets.on_disk import OnDisk

    assert archive.digest("mias_full-mdb902rl") != OnDisk.digest(archive, "mias_full-mdb902rl")


@pytest.mark.slow
def test_it_is_trained_on_by_the_command_line(folder, tmp_path, monkeypatch):
    from mammo.cli.train import checked
    from mammo.runs import job
    from mammo.runs.compose import config_of

    words = checked(["data=mias_full", f"data.root={folder}", "model=compact", "model.image_size=32", "crop=whole",
                     "trainer.max_epochs=1", "heads=[]", "data.workers=0", "data.batch_size=4"])  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["mammo/__main__.py", *words])
    job.run(config_of(words, {}), tmp_path / "run", {}, of_sweep=True)
    first = (tmp_path / "run" / "report.md").read_text()[:1500]
    assert "on mias_full" in first and "split=patient" in first and "does not state" in first
