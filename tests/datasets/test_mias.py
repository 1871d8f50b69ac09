"""The parser of Info.txt, the ladder to the films, and the facts counted on the real archive."""

import csv
import io
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mammo.datasets import download
from mammo.datasets.film import pixel_digest, write_pgm
from mammo.datasets.mias import MIAS, parse_info
from mammo.errors import InputError

HEADER = """\
              MAMMOGRAPHIC IMAGE ANALYSIS SOCIETY
1st column: MIAS database reference number.
                F - Fatty
                NORM - Normal
   the mdb numbers; http://skye.icr.ac.uk/miasdb/miasdb.html
=================================================================

"""
INFO = """\
mdb001 G CIRC B 535 425 197
mdb002 D NORM
mdb003 F CALC B 10 20 30
mdb003 F CALC M 40 1023 6
mdb004 F ARCH M *NOTE 3*
"""
CIRCLE = ["x_px", "y_px", "radius_px"]

# --- the parser


def test_y_is_flipped_once_and_the_rest_kept():
    first = parse_info(HEADER + INFO)[0]
    assert [first[column] for column in CIRCLE] == [535.0, 1023.0 - 425.0, 197.0]
    assert (first["image_id"], first["density"], first["finding"], first["severity"]) == (
        "mdb001",
        "G",
        "CIRC",
        "benign",
    )
    assert (first["view"], first["spacing_mm"]) == ("MLO", 0.2)


def test_header_lines_and_line_ends_do_not_count():
    rows = parse_info(INFO)
    assert len(rows) == 5
    assert parse_info(HEADER + INFO + "\n=====\n") == rows
    assert parse_info((HEADER + INFO).replace("\n", " \r\n")) == rows


def test_findings_are_numbered_from_1_within_a_film_and_a_normal_film_has_0():
    keys = [(row["image_id"], row["finding_id"]) for row in parse_info(INFO)]
    assert keys == [("mdb001", 1), ("mdb002", 0), ("mdb003", 1), ("mdb003", 2), ("mdb004", 1)]
    three = parse_info("".join(f"mdb226 D CALC B {x} 610 7\n" for x in (287, 329, 531)))
    assert [(row["finding_id"], row["x_px"]) for row in three] == [(1, 287.0), (2, 329.0), (3, 531.0)]


@pytest.mark.parametrize("line", ["mdb059 F CIRC B", "mdb059 F CIRC B *NOTE 3*", "mdb059 F NORM"])
def test_a_row_may_have_no_circle(line):
    (row,) = parse_info(line)
    assert not set(CIRCLE) & set(row)


def test_films_2k_minus_1_and_2k_are_one_patient_right_and_left():
    rows = {row["image_id"]: row for row in parse_info("".join(f"mdb{n:03d} F NORM\n" for n in range(1, 323)))}
    patients = [rows[f"mdb{n:03d}"]["patient"] for n in range(1, 323)]
    assert patients[0::2] == patients[1::2]
    assert len(set(patients)) == 161
    assert [row["laterality"] for row in rows.values()] == ["right", "left"] * 161


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("mdb005 X CIRC B 1 2 3", "tissue 'X' is none of F, G, D"),
        ("mdb005 F MASS B 1 2 3", "class 'MASS' is none of NORM, CALC"),
        ("mdb005 F", "class '' is none of"),
        ("mdb005", "tissue '' is none of"),
        ("mdb005 F CIRC N 1 2 3", "severity 'N' is none of B, M"),
        ("mdb005 F CIRC", "severity '' is none of"),
        ("mdb005 F CIRC B one 2 3", "three whole numbers"),
        ("mdb005 F CIRC B -1 2 3", "three whole numbers"),
        ("mdb005 F CIRC B 1 2", "three whole numbers"),
        ("mdb005 F CIRC B *NOTE 4*", "three whole numbers"),
        ("mdb005 F CIRC B 1024 2 3", "outside the film of 1024 x 1024"),
        ("mdb005 F CIRC B 1 1024 3", "outside the film"),
        ("mdb005 F CIRC B 1 2 0", "outside the film"),
        ("mdb005 F NORM B", "a normal film has further fields"),
        ("mdb002 F CIRC B 1 2 3", "film mdb002 is normal and has another row"),
        ("mdb001 G NORM", "film mdb001 is normal and has another row"),
        ("mdb05 F NORM", "'mdb05' is not the id of a film"),
        ("mdb005.pgm F NORM", "'mdb005.pgm' is not the id of a film"),
        (" mdb005 F MASS B 1 2 3", "class 'MASS'"),
    ],
)
def test_a_malformed_row_is_an_error_with_its_line_number(line, why):
    number = len((HEADER + INFO).splitlines()) + 1
    with pytest.raises(InputError, match=f"^some/Info.txt, line {number}: .*{why}"):
        parse_info(HEADER + INFO + line + "\n", "some/Info.txt")


def test_a_text_without_rows_is_an_error():
    for text in ("", HEADER):
        with pytest.raises(InputError, match=r"Info\.txt: no row that describes a film"):
            parse_info(text)


# --- the ladder


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    """MIAS as a class of four films with a manifest of their own; its archive is `fake.archive_path`."""
    folder = tmp_path_factory.mktemp("fake")
    films = {f"mdb{n:03d}": np.full((1024, 1024), n, np.uint8) for n in range(1, 5)}
    for film in films.values():
        film[0] = 9  # a film of one level is refused as empty
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="") as file:
        csv.writer(file).writerows([("image_id", "sha256"), *((name, pixel_digest(p)) for name, p in films.items())])
    path = folder / "all-mias.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        info = tarfile.TarInfo("Info.txt")
        info.size = len(HEADER + INFO)
        tar.addfile(info, io.BytesIO((HEADER + INFO).encode()))
        for name, pixels in films.items():
            write_pgm(folder / "film.pgm", pixels)
            tar.add(folder / "film.pgm", f"{name}.pgm")

    class FourFilms(MIAS):
        url = "http://127.0.0.1:1/all-mias.tar.gz"  # nothing listens there
        manifest_path = manifest
        archive_path = path

    return FourFilms


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(download, "BACKOFF_S", 0.001)


@pytest.fixture
def films(fake, tmp_path):
    """The four films, unpacked."""
    dataset = fake(root=str(tmp_path / "mias"), archive=str(fake.archive_path))
    dataset.prepare()
    return dataset


def test_the_folder_comes_first(fake, tmp_path):
    root = tmp_path / "mias"
    root.mkdir()
    (root / "Info.txt").write_text(INFO)
    fake(root=str(root), archive=str(tmp_path / "missing.tar.gz")).prepare()
    assert [path.name for path in root.iterdir()] == ["Info.txt"]


def test_then_the_archive_that_the_argument_names(films):
    table = films.findings()
    assert list(table["image_id"]) == ["mdb001", "mdb002", "mdb003", "mdb003", "mdb004"]
    assert (table["dataset"] == "mias").all()
    assert all(Path(path).is_file() for path in table["path"])
    assert films.read("mdb003").pixels.shape == (1024, 1024)
    assert (films.read("mdb003").pixels[1:] == 3).all()


def test_or_the_archive_that_the_environment_names(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("MAMMO_MIAS_ARCHIVE", str(fake.archive_path))
    dataset = fake(root=str(tmp_path / "mias"))
    dataset.prepare()
    assert len(dataset.findings()) == 5


def test_the_argument_wins_over_the_environment(fake, tmp_path, monkeypatch):
    monkeypatch.setenv("MAMMO_MIAS_ARCHIVE", str(tmp_path / "missing.tar.gz"))
    fake(root=str(tmp_path / "mias"), archive=str(fake.archive_path)).prepare()
    assert (tmp_path / "mias" / "mdb004.pgm").is_file()


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_a_named_archive_that_is_missing_is_an_error_and_no_download(fake, tmp_path, monkeypatch, way):
    missing = str(tmp_path / "missing.tar.gz")
    monkeypatch.setattr(download, "fetch", lambda *args, **kwargs: pytest.fail("downloads all the same"))
    if way == "environment":
        monkeypatch.setenv("MAMMO_MIAS_ARCHIVE", missing)
    dataset = fake(root=str(tmp_path / "mias"), archive=missing if way == "argument" else None)
    with pytest.raises(FileNotFoundError, match=r"no archive at .*missing\.tar\.gz"):
        dataset.prepare()


def test_a_web_page_in_place_of_the_download_is_named_and_not_kept(fake, tmp_path, monkeypatch):
    def page(url, target):
        target.write_text("<html>log in first</html>")

    monkeypatch.setattr(download, "fetch", page)
    dataset = fake(root=str(tmp_path / "mias"))
    with pytest.raises(InputError, match="is a web page"):
        dataset.prepare()
    assert not (tmp_path / "all-mias.tar.gz").exists()


def test_a_folder_in_place_of_the_archive_and_an_info_file_one_level_up_are_named(fake, tmp_path):
    with pytest.raises(InputError, match=r"is a folder, not an archive; .*data\.root"):
        fake(root=str(tmp_path / "mias"), archive=str(tmp_path)).prepare()
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "mdb001.pgm").touch()
    (tmp_path / "Info.txt").touch()
    with pytest.raises(InputError, match=r"Info\.txt is in .*: put it beside the films"):
        fake(root=str(tmp_path / "films")).prepare()


def test_then_the_download(fake, tmp_path):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(fake.archive_path.parent))) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        local = type("Local", (fake,), {"url": f"http://127.0.0.1:{server.server_port}/{fake.archive_path.name}"})
        dataset = local(root=str(tmp_path / "mias"))
        dataset.prepare()
        server.shutdown()
    assert len(dataset.findings()) == 5
    dataset.prepare()  # the folder is there now


@pytest.mark.parametrize("allowed", [True, False])
def test_where_nothing_is_available_the_error_says_where_it_looked_and_what_to_do(fake, tmp_path, allowed):
    dataset = fake(root=str(tmp_path / "mias"), download=allowed)
    with pytest.raises(FileNotFoundError) as caught:
        dataset.prepare()
    looked = [str(tmp_path / "mias"), "no archive named", fake.url, "refused" if allowed else "data.download=false"]
    for part in [*looked, "data.archive=<path", "MAMMO_MIAS_ARCHIVE", "python -m mammo data fetch"]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_default_root_lies_in_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    assert MIAS().root == tmp_path / "mias"


# --- damaged films


def test_a_missing_film_is_named_and_counted(films):
    for name in ("mdb002", "mdb004"):
        films.path(name).unlink()
    with pytest.raises(FileNotFoundError, match=r"^2 of 4 .*mdb002\.pgm"):
        films.findings()


def test_an_altered_film_is_named_and_the_others_are_read(films):
    pixels = films.read("mdb003").pixels.copy()
    pixels[500, 500] += 1
    write_pgm(films.path("mdb003"), pixels)
    with pytest.raises(InputError, match=r"mdb003\.pgm: pixels differ"):
        films.read("mdb003")
    assert (films.read("mdb001").pixels[1:] == 1).all()


@pytest.mark.parametrize(
    ("text", "odd"), [(INFO + "mdb005 F NORM\n", "mdb005"), (INFO.replace("mdb002 D NORM\n", ""), "mdb002")]
)
def test_a_film_in_the_text_or_the_manifest_alone_is_an_error(films, text, odd):
    (films.root / "Info.txt").write_text(text)
    with pytest.raises(InputError, match=rf"Info\.txt: 1 .*unknown, {odd}"):
        films.findings()


# --- the real archive


@pytest.fixture(scope="module")
def table(mias):
    return mias.findings()


def numbers(table):
    return [int(image_id[3:]) for image_id in dict.fromkeys(table["image_id"])]


@pytest.mark.realdata
def test_there_are_322_mlo_films_of_161_patients_in_330_rows(table):
    assert len(table) == 330
    assert numbers(table) == list(range(1, 323))
    assert table["patient"].nunique() == 161
    assert set(table["view"]) == {"MLO"}
    assert set(table["spacing_mm"]) == {0.2}
    assert set(table["density"]) == {"F", "G", "D"}


@pytest.mark.realdata
def test_film_2k_minus_1_is_a_womans_right_breast_and_film_2k_her_left(table):
    films = table.drop_duplicates("image_id")
    for _, patient in films.groupby("patient"):
        right, left = numbers(patient)
        assert right % 2 == 1 and left == right + 1
        assert list(patient["laterality"]) == ["right", "left"]


@pytest.mark.realdata
def test_the_rows_count_as_the_data_sheet_says(table):
    classes = {"NORM": 207, "CALC": 30, "CIRC": 25, "ARCH": 19, "SPIC": 19, "MISC": 15, "ASYM": 15}
    assert table["finding"].value_counts().to_dict() == classes
    assert table["severity"].value_counts().to_dict() == {"normal": 207, "benign": 69, "malignant": 54}


@pytest.mark.realdata
def test_207_films_are_normal_and_115_abnormal_63_of_them_benign_only(table):
    severities = table.groupby("image_id")["severity"].agg(frozenset).value_counts()
    assert severities[frozenset({"normal"})] == 207
    assert severities[frozenset({"benign"})] == 63
    assert severities.sum() - 207 == 115


@pytest.mark.realdata
def test_119_rows_on_111_films_have_a_circle_and_four_abnormal_films_have_none(table):
    circles = table[table["x_px"].notna()]
    assert len(circles) == 119
    assert circles["image_id"].nunique() == 111
    assert circles[CIRCLE].notna().all(axis=None)
    assert numbers(table[table["x_px"].isna() & (table["severity"] != "normal")]) == [59, 216, 233, 245]


@pytest.mark.realdata
def test_seven_films_have_several_rows_and_one_is_benign_and_malignant(table):
    rows = table["image_id"].value_counts()
    two = {f"mdb{n:03d}" for n in (5, 132, 144, 223, 239, 249)}
    assert rows[rows > 1].to_dict() == {"mdb226": 3} | dict.fromkeys(two, 2)
    mixed = table.groupby("image_id")["severity"].nunique()
    assert list(mixed[mixed > 1].index) == ["mdb144"]
    assert list(table.loc[table["image_id"] == "mdb144", "severity"]) == ["benign", "malignant"]


@pytest.mark.realdata
def test_101_patients_have_one_abnormal_breast_7_two_and_53_none(table):
    films = table.drop_duplicates("image_id")
    breasts = (films["severity"] != "normal").groupby(films["patient"]).sum()
    assert breasts.value_counts().to_dict() == {1: 101, 0: 53, 2: 7}


@pytest.mark.realdata
def test_note_3_stands_where_the_calcifications_are_spread(mias):
    lines = [line for line in (mias.root / "Info.txt").read_text().splitlines() if "*NOTE 3*" in line]
    assert [line.split()[0] for line in lines] == ["mdb216", "mdb233", "mdb245"]


@pytest.mark.realdata
def test_all_films_match_the_shipped_manifest(mias):
    digests = mias.manifest()
    assert len(digests) == 322
    for image_id in digests:
        pixels = mias.read(image_id).pixels
        assert pixels.shape == (1024, 1024) and pixels.dtype == np.uint8


@pytest.mark.realdata
def test_lesions_lie_on_brighter_tissue_where_y_is_flipped_than_where_it_is_not(mias, table):
    here, mirrored = [], []
    for row in table[table["x_px"].notna()].itertuples():
        pixels = mias.read(row.image_id).pixels
        here.append(pixels[int(row.y_px), int(row.x_px)])
        mirrored.append(pixels[1023 - int(row.y_px), int(row.x_px)])
    assert np.mean(here) > np.mean(mirrored) + 20  # 186 and 153 grey levels
