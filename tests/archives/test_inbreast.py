"""INbreast is read as it lies on disk: women by the names of files, contours, BI-RADS and what it does not tell."""

import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from mammo.archives.inbreast import INbreast
from mammo.archives.inbreast_regions import findings_of, word_of
from mammo.archives.osirix import place_of, read_regions
from mammo.errors import InputError
from mammo.preprocessing.masks import region_on_film, shape_of
from mammo.testing import check_dataset
from tests.archives import fake_inbreast
from tests.archives.fake_inbreast import ONE, THREE, TWO

# number, finding_id, woman, exam, side, view, density, BI-RADS, finding, severity and its source, circle, box, regions
EXPECTED = [
    (90000012, 1, ONE, "201001", "right", "CC", "D", "2", None, "benign", "birads", None, None, None),
    (90000034, 1, ONE, "201001", "right", "MLO", "D", "4a", "ASYM", None, None,
     (78.792, 128.930, 30.095), (70.5, 100, 91, 160), "Assymetry"),
    (90000034, 2, ONE, "201001", "right", "MLO", "D", "4a", "CALC", None, None, None, None, "Calcification"),
    (90000056, 1, TWO, "200802", "left", "CC", None, "6", "SPIC", "malignant", "pathology",
     (42, 78, 8), (34, 70, 51, 87), "Mass; Spiculated Region"),
    (90000056, 2, TWO, "200802", "left", "CC", None, "6", None, "malignant", "pathology",
     (60, 40, 5), (55, 35, 66, 46), None),
    (90000078, 0, TWO, "200802", "left", "MLO", "A", "1", "NORM", "normal", "birads", None, None, None),
    (90000090, 1, TWO, "201002", "left", "CC", "B", "5", "CALC", "malignant", "birads",
     (40, 80, 15), (25, 65, 56, 96), "Cluster"),
    (90000090, 2, TWO, "201002", "left", "CC", "B", "5", "CALC", "malignant", "birads",
     (61, 52, None), None, "Calcification"),
    (90000091, 1, TWO, "201002", "left", "MLO", None, "3", "SPIC", None, None,
     (40, 80, 10), (30, 70, 51, 91), "Espiculated Region"),
    (90000091, 2, TWO, "201002", "left", "MLO", None, "3", "ARCH", None, None,
     (0, 60, 10), (0, 50, 11, 71), "Distortion"),
    (90000091, 3, TWO, "201002", "left", "MLO", None, "3", "CALC", None, None,
     (56, 90, 6), (50, 90, 63, 91), "Calcifications"),
    (90000100, 1, THREE, "200901", "right", "CC", "C", "1", None, None, None, (90, 80, None), None, "Point 1"),
    (90000101, 1, THREE, "200901", "right", "MLO", "C", "2", None, "benign", "birads", None, None, None),
    (90000102, 1, THREE, "200902", "right", "CC", "C", "2", None, "benign", "birads", None, None, None),
    (90000105, 1, THREE, "200902", "right", "MLO", "C", "5", None, "malignant", "birads", None, None, None),
    (90000106, 1, THREE, "200902", "right", "CC", "C", "4b", "MASS", None, None,
     (40, 80, 8), (32, 72, 49, 89), "Mass"),
]  # fmt: skip
CIRCLE, BOX = ["x_px", "y_px", "radius_px"], ["x0_px", "y0_px", "x1_px", "y1_px"]
COLUMNS = ["finding_id", "laterality", "view", "density", "birads", "finding", "severity", "severity_source", "regions"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inbreast")
    fake_inbreast.write(folder)
    return folder


@pytest.fixture
def small(tmp_path):
    """The awkward films alone, whose files a test may change."""
    return fake_inbreast.write(tmp_path, patients=0)


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def said(dataset, *words):
    dataset.findings()
    return any(all(word in note for word in words) for note in dataset.notes)


def given(values):
    """The values of a row, None where they are missing."""
    return [None if pd.isna(one) else one for one in values]


def check_expected(found):
    assert len(found) == len(EXPECTED)
    for (_, row), (number, finding_id, woman, date, *words, circle, box, regions) in zip(
        found.iterrows(), EXPECTED, strict=True
    ):
        assert row["image_id"] == f"inbreast-{number}" and row["dataset"] == "inbreast"
        assert (row["patient"], row["exam"]) == (f"inbreast-{woman}", f"{woman}-{date}")
        assert given(row[COLUMNS]) == [finding_id, *words, regions], number
        assert pd.isna(row["official_split"])
        for columns, place in ((CIRCLE, circle), (BOX, box)):
            told = given(row[columns])
            assert told == pytest.approx([None] * len(columns) if place is None else list(place), abs=0.001), number


def test_the_table_of_the_awkward_films_is_as_expected_by_hand(small):
    found = INbreast(root=str(small)).findings()
    check_expected(found)
    traced = found["contour_px"].notna()
    assert (traced == found["radius_px"].notna()).all() and traced.any()
    shapes = [shape_of(row) for _, row in found[traced].iterrows()]
    for shape, edges in zip(shapes, found.loc[traced, BOX].to_numpy(float), strict=True):
        rows, columns = region_on_film((shape,), 160, 400).nonzero()
        inside = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert shape[0] == "contour" and np.abs(inside - edges).max() <= 1.5, (
            "a contour fills its box, on a film of 160 rows"
        )


def test_the_contract_holds_for_all_films(root):
    check_dataset(INbreast(root=str(root)))


def test_a_patient_is_the_hash_in_the_name_and_not_its_first_number(root):
    table = INbreast(root=str(root)).findings()
    assert table["patient"].nunique() == 39 and table["image_id"].nunique() == 83
    assert table.groupby("image_id")["patient"].nunique().max() == 1


@pytest.mark.parametrize(
    "words",
    [
        ("2 files of regions that cannot be read",),  # cut off, and a bomb of entities
        ("1 region whose number of points",),
        ("2 regions with points beyond the film",),
        ("1 region beyond the film",),
        ("1 spiculated region around a mass",),
        ("2 calcifications in a cluster",),
        ("2 regions without a word", "Point 1"),
        ("3 images without severity", "BI-RADS 3 and 4"),
        ("1 image without severity", "BI-RADS 1"),
        ("2 images of BI-RADS 5 or 6 with several findings",),
        ("1 of 12 images are not on disk", str(fake_inbreast.LOST)),
        ("1 film left out", "not listed"),
        ("laterality of 1 image", str(fake_inbreast.TOLD_OTHERWISE), "file's name"),
        ("11 images instead of 410",),
    ],
)
def test_each_oddity_is_counted(small, words):
    assert said(INbreast(root=str(small)), *words)


def test_a_bomb_of_entities_is_not_expanded(small):
    with pytest.raises(InputError, match="90000105"):
        read_regions(small / "AllXML" / "90000105.xml")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bplist00",
        "<plist/>",
        "<plist><array/></plist>",
        "<plist><dict><key>Images</key><integer>1</integer></dict></plist>",
        "<plist><dict><key>Images</key><array><dict/></array></dict></plist>",
        "<plist><date>no</date></plist>",
    ],
)
def test_files_that_are_no_list_of_regions_are_one_line(tmp_path, text):
    (tmp_path / "1.xml").write_text(text)
    with pytest.raises(InputError, match=r"1\.xml"):
        read_regions(tmp_path / "1.xml")


def test_points_in_braces_and_in_other_spellings_are_read(tmp_path):
    text = fake_inbreast.plist([("Mass", [(1, 2), (3, 4), (5.5, 6)])]).replace("(1.000000, 2.000000)", "{1,  2e0}")
    (tmp_path / "1.xml").write_text(text)
    assert read_regions(tmp_path / "1.xml")[0].points.tolist() == [[1, 2], [3, 4], [5.5, 6]]


def test_a_place_needs_a_point_on_the_film_and_a_radius_three_points():
    film = {"height": 160, "width": 128}
    assert place_of(np.array([[200.0, 5], [5, -1], [128, 5]]), **film) == {}
    assert place_of(np.array([[10.0, 20], [20, 40]]), **film) == {"x_px": 15, "y_px": 30}
    assert place_of(np.array([[10.0, 20]] * 5), **film) == {"x_px": 10, "y_px": 20}
    assert place_of(np.array([[-50.0, 20], [10, 20], [10, 300]]), **film)["y1_px"] == 160


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("Mass", "MASS"),
        ("Spiculated region", "SPIC"),
        ("Espiculated Region", "SPIC"),
        ("Calcifications", "CALC"),
        ("Cluster", "CALC"),
        ("Distortion", "ARCH"),
        ("Asymmetry", "ASYM"),
        ("Assymetry", "ASYM"),
        ("Unnamed", None),
        ("Point 3", None),
        ("", None),
    ],
)
def test_names_of_regions_are_understood_as_they_were_typed(name, word):
    assert word_of(name) == word


def test_commas_for_semicolons_and_other_letters_in_names_of_folders_are_read(small):
    text = (small / "INbreast.csv").read_text()
    (small / "INbreast.csv").unlink()
    (small / "inbreast.CSV").write_text("\ufeff" + text.replace(";", ","))
    (small / "AllDICOMs").rename(small / "ALLDICOMs")
    (small / "AllXML").rename(small / "ALLXML")
    check_expected(INbreast(root=str(small.parent)).findings())


def test_a_workbook_with_a_footer_numbers_with_a_point_and_more_columns_is_read(small):
    fake_inbreast.write_workbook(small)
    dataset = INbreast(root=str(small))
    found = dataset.findings()
    check_expected(found)
    assert said(dataset, "2 rows of INbreast.xlsx", "footer")
    assert found.loc[found["birads"] == "6", "mass"].tolist() == ["X", "X"]
    assert "Findings Notes (in Portuguese)" not in found and "No annotation (normal)" in set(found["annotation"])


def test_numbers_of_films_with_a_decimal_point_are_read(small):
    change(small / "INbreast.csv", "90000034;", "90000034.0;")
    check_expected(INbreast(root=str(small)).findings())


def test_an_old_workbook_alone_is_one_line_that_says_what_to_do(small):
    (small / "INbreast.csv").unlink()
    (small / "INbreast.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(InputError, match=r"INbreast\.xls.*save it as XLSX or CSV") as error:
        INbreast(root=str(small)).findings()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("old", "new", "column"), [(";4a ", ";4d", "Bi-Rads"), (";MLO;", ";XX;", "View")])
def test_an_unknown_word_is_named_with_its_row(small, old, new, column):
    change(small / "INbreast.csv", old, new)
    with pytest.raises(InputError, match=f"row 3: {column}"):
        INbreast(root=str(small)).findings()


def test_a_film_of_birads_1_is_not_normal_if_its_regions_cannot_be_read(small):
    (small / "AllXML" / "90000078.xml").write_text("<plist>")
    found = INbreast(root=str(small)).findings().set_index("image_id")
    assert given(found.loc["inbreast-90000078", ["finding_id", "finding", "severity"]]) == [1, None, None]


def test_without_a_folder_of_regions_films_keep_their_labels(small):
    (small / "AllXML").rename(small / "away")
    dataset = INbreast(root=str(small))
    found = dataset.findings()
    assert found[BOX].isna().all(axis=None) and said(dataset, "AllXML") and len(found) == 11
    assert found["severity"].notna().sum() == 8


def test_a_folder_without_the_films_of_the_table_is_named(small):
    for path in (small / "AllDICOMs").glob("*.dcm"):
        path.rename(path.with_name(path.name[:8] + ".dcm"))
    with pytest.raises(FileNotFoundError, match=r"AllDICOMs.*_MG_R_CC_ANON"):
        INbreast(root=str(small)).findings()


def test_an_empty_folder_says_where_to_get_it_and_under_which_licence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"signed agreement.*Nothing is downloaded") as error:
        INbreast(root=str(tmp_path)).prepare()
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def trained(root, folder, monkeypatch, *more):
    from mammo.cli.train import checked
    from mammo.runs import job
    from mammo.runs.compose import config_of

    settings = ["model=compact", "model.image_size=32", "trainer.max_epochs=1", "heads=[]", "data.workers=0"]
    words = checked(["data=inbreast", f"data.root={root}", "data.batch_size=8", *settings, *more])
    monkeypatch.setattr(sys, "argv", ["mammo/__main__.py", *words])
    job.run(config_of(words, {}), folder, {}, of_sweep=True)
    return (folder / "report.md").read_text()


@pytest.mark.slow
def test_the_fake_is_trained_on_and_the_report_says_that_its_labels_are_birads(root, tmp_path, monkeypatch):
    text = trained(root, tmp_path / "run", monkeypatch, "crop=whole")
    top = text.partition("## ")[0]
    assert "inbreast" in top and "BI-RADS" in top and "split=patient" in top
    assert "BI-RADS 3 and 4 are neither" in text


@pytest.mark.slow
def test_windows_around_contours_tell_benign_from_malignant(root, tmp_path, monkeypatch):
    settings = ["crop=lesion", "data.spacing_mm=0.7", "task=malignancy", "data.severity_source=birads"]
    text = trained(root, tmp_path / "run", monkeypatch, *settings)
    assert "centred on the annotated lesion" in text


def test_two_clusters_and_two_spiculated_masses_on_one_film_are_four_findings(tmp_path):
    def around(x, y):
        return [(x - 9, y - 9), (x + 9, y - 9), (x + 9, y + 9), (x - 9, y + 9)]

    masses = [("Mass", [(x - 2, 90), (x + 2, 90), (x, 94)]) for x in (30, 70)]
    spiculated = [("Spiculated Region", around(x, 91)) for x in (30, 70)]
    clusters = [("Cluster", around(x, 40)) for x in (30, 70)]
    marks = [*clusters, *masses, *spiculated, ("Calcification", [(30.0, 40.0)])]
    (path := tmp_path / "1.xml").write_text(fake_inbreast.plist(marks))
    counts = Counter()
    found = findings_of(path, None, counts)
    assert [one["finding"] for one in found] == ["CALC", "CALC", "SPIC", "SPIC"]
    assert counts["clustered"] == 1 and counts["spiculated"] == 2
