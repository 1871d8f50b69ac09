"""VinDr-Mammo is read as it lies on disk: boxes, BI-RADS of breast and finding, and what neither of them tells."""

import shlex
import sys

import cv2
import pandas as pd
import pytest

from mammo.archives.vindr import VinDr
from mammo.datasets.film import read_film
from mammo.datasets.split import audit_split, official_split
from mammo.errors import InputError
from mammo.testing import check_dataset
from tests.archives import fake_vindr
from tests.archives.fake_vindr import image, study

# image, finding_id, side, view, density, finding, severity, box, part, BI-RADS of breast and finding, categories
EXPECTED = [
    (1, 1, "left", "CC", "C", "CALC", None, (0, 60.5, 30.25, 90), "train", "4", "4", "Suspicious Calcification; Mass"),
    (1, 2, "left", "CC", "C", None, None, (40, 100, 80, 160), "train", "4", None, "Skin Thickening"),
    (2, 1, "left", "MLO", "C", None, None, None, "train", "4", None, None),
    (3, 0, "right", "CC", "C", "NORM", "normal", None, "train", "1", None, None),
    (4, 0, "right", "MLO", "C", "NORM", "normal", None, "train", "1", None, None),
    (5, 1, "left", "CC", "B", "MASS", "malignant", (20, 60, 50, 95), "train", "5", "5", "Mass"),
    (5, 2, "left", "CC", "B", "ASYM", None, (60, 20, 80, 40), "train", "5", "3", "Asymmetry"),
    (6, 1, "left", "MLO", "B", None, None, None, "train", "5", None, None),
    (7, 1, "right", "CC", "B", None, "benign", None, "train", "2", None, None),
    (8, 1, "right", "MLO", "B", None, "benign", None, "train", "2", None, None),
    (9, 1, "left", "CC", "D", "ARCH", None, (20, 60, 50, 95), "test", "5", "4",
     "Nipple Retraction; Architectural Distortion"),
    (10, 1, "left", "MLO", "D", "MASS", "malignant", (20, 60, 50, 95), "test", "5", "5", "Mass"),
    (11, 1, "right", "CC", "D", "ASYM", None, (70, 60, 99, 95), "test", "3", "3", "Focal Asymmetry"),
    (12, 1, "right", "MLO", "D", None, None, None, "test", "3", None, None),
    (13, 1, "left", "CC", "A", None, "benign", (5, 5, 25, 25), "test", "2", None, "Suspicious Lymph Node"),
    (14, 1, "left", "MLO", "A", "ASYM", None, (20, 60, 50, 95), "test", "2", "4", "Global Asymmetry; Mass"),
    (15, 1, "right", "CC", "A", None, None, (80, 70, 99, 90), "test", "1", None, "Nipple Retraction"),
    (16, 0, "right", "MLO", "A", "NORM", "normal", None, "test", "1", None, None),
    (17, 1, "left", "CC", "C", "MASS", "malignant", None, "train", "5", "5", "Mass"),
    (17, 2, "left", "CC", "C", None, "malignant", None, "train", "5", "5", "Spiculated Mass"),
    (18, 1, "left", "MLO", "C", "ASYM", "malignant", (20, 60, 50, 95), "train", "5", "5", "Asymmetry"),
    (19, 0, "right", "CC", "C", None, "normal", None, "train", "1", None, None),
    (21, 0, "left", "MLO", "B", "NORM", "normal", None, "train", "1", None, None),
    (22, 0, "right", "CC", "B", "NORM", "normal", None, "train", "1", None, None),
    (23, 0, "right", "MLO", "B", "NORM", "normal", None, "train", "1", None, None),
]  # fmt: skip
BOX = ["x0_px", "y0_px", "x1_px", "y1_px"]
EXAMS = {1: range(1, 5), 2: range(5, 9), 3: range(9, 13), 4: range(13, 17), 5: range(17, 20), 6: range(20, 24)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vindr")
    fake_vindr.write(folder)
    return folder


@pytest.fixture
def small(tmp_path):
    """The awkward films alone, whose tables a test may change."""
    return fake_vindr.write(tmp_path, patients=0)


def change(path, old, new, count=-1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def rows_of(dataset, number):
    table = dataset.findings()
    return table[table["image_id"] == f"vindr-{image(number)}"]


def said(dataset, *words):
    dataset.findings()
    return any(all(word in note for word in words) for note in dataset.notes)


def test_the_table_of_the_awkward_films_is_as_expected_by_hand(small):
    found = VinDr(root=str(small)).findings()
    assert len(found) == len(EXPECTED)
    exam_of = {number: exam for exam, numbers in EXAMS.items() for number in numbers}
    for (_, row), (number, *expected) in zip(found.iterrows(), EXPECTED, strict=True):
        assert row["image_id"] == f"vindr-{image(number)}"
        assert (row["patient"], row["exam"]) == (f"vindr-{study(exam_of[number])}", study(exam_of[number]))
        assert row["path"] == str(small / "images" / study(exam_of[number]) / f"{image(number)}.dicom")
        box = None if pd.isna(row["x0_px"]) else tuple(row[BOX])
        columns = ["finding_id", "laterality", "view", "density", "finding", "severity"]
        after = ["official_split", "birads", "finding_birads", "finding_categories"]
        assert [None if pd.isna(one) else one for one in row[columns]] + [box] + [
            None if pd.isna(one) else one for one in row[after]
        ] == expected, number
        assert pd.isna(row["severity_source"]) if pd.isna(row["severity"]) else row["severity_source"] == "birads"
        assert row["dataset"] == "vindr" and pd.isna(row["x_px"])
    assert (found["spacing_mm"].dropna() == 0.7).all()


def test_the_contract_holds_for_all_readable_films(root):
    dataset = VinDr(root=str(root))
    table = dataset.findings()
    raw = f"vindr-{image(fake_vindr.RAW)}"
    dataset.findings = table[table["image_id"] != raw].copy
    check_dataset(dataset)


def test_ages_and_machines_are_kept_where_the_table_of_tags_has_them(small):
    found = VinDr(root=str(small)).findings().drop_duplicates("image_id").set_index("image_id")
    one, two, four = (found.loc[f"vindr-{image(number)}"] for number in (1, 2, 4))
    assert (one["age"], one["manufacturer"], one["manufacturer_model"]) == (53, "ACME", "Model 1")
    assert pd.isna(two["age"]) and pd.isna(two["manufacturer"]) and pd.isna(four["age"])
    (small / "metadata.csv").unlink()
    without = VinDr(root=str(small))
    assert "age" not in without.findings() and said(without, "metadata.csv", "not there")


def test_a_made_up_sop_class_and_monochrome1_are_read(root):
    paths = VinDr(root=str(root)).findings().drop_duplicates("image_id").set_index("image_id")["path"]
    film = read_film(paths[f"vindr-{image(5)}"])
    assert (film.laterality, film.view, film.spacing_mm) == ("left", "CC", 0.7)
    assert any("inverted" in note for note in film.notes)
    assert film.grey()[80, 5] > 2 * film.grey()[5, 120]  # tissue is brighter than the ground


def test_images_without_a_severity_are_counted_by_reason(small):
    dataset = VinDr(root=str(small))
    assert said(dataset, "4 images", "BI-RADS 3 or 4")
    assert said(dataset, "2 images", "no box of BI-RADS 5 is on the film")
    assert said(dataset, "2 images", "contradicts")


def test_boxes_beyond_the_film_are_cut_or_left_out_and_counted(small):
    dataset = VinDr(root=str(small))
    assert said(dataset, "2 boxes", "cut at the edge") and said(dataset, "2 boxes", "off the film")


def test_rows_of_unknown_images_and_invented_categories_are_counted(small):
    dataset = VinDr(root=str(small))
    assert said(dataset, "1 row ", "finding_annotations.csv") and said(dataset, "Spiculated Mass")


def test_a_breast_without_a_pair_of_views_is_named(small):
    assert said(VinDr(root=str(small)), "1 breast ", study(5), "right")


def test_a_lost_film_is_named_and_counts_that_differ_from_the_published_ones_too(small):
    dataset = VinDr(root=str(small))
    assert said(dataset, "1 of 23 images", image(fake_vindr.LOST))
    assert said(dataset, "23 images instead of 20,000", "6 patients instead of 5,000")


def test_the_official_split_is_taken_and_no_patient_is_in_both_parts(root):
    audit = audit_split(official_split(VinDr(root=str(root)).findings()))
    assert audit["patients_in_two_splits"] == []
    assert audit["patients"]["train"] == 4 + 18 and audit["patients"]["test"] == 2 + 9


def test_the_tables_are_found_from_the_top_of_the_tree_and_with_other_letters_separators_and_a_mark(root, small):
    assert len(VinDr(root=str(root)).findings()) > 100
    path = small / "breast-level_annotations.csv"
    lines = path.read_text().replace(",", ";").splitlines()
    path.rename(small / "Breast-Level_Annotations.CSV")
    (small / "Breast-Level_Annotations.CSV").write_text("\ufeff" + "\n".join([lines[0].upper(), "", *lines[1:]]))
    assert len(VinDr(root=str(small)).findings()) == len(EXPECTED)


@pytest.mark.parametrize("cell", ["Mass", "['Mass'", "[]", "__import__('os')", "{'Mass'}", "[1]", ""])
def test_categories_that_are_no_list_are_one_line_with_the_row(small, cell):
    change(small / "finding_annotations.csv", "['Skin Thickening']", cell)
    with pytest.raises(InputError, match=r"row 3: finding_categories") as error:
        VinDr(root=str(small)).findings()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "old", "new", "column"),
    [
        ("breast-level_annotations.csv", "BI-RADS 4", "BI-RADS 7", "breast_birads"),
        ("breast-level_annotations.csv", "DENSITY C", "C+", "breast_density"),
        ("finding_annotations.csv", ",BI-RADS 3,", ",3b,", "finding_birads"),
    ],
)
def test_an_unknown_word_is_named_with_its_column(small, name, old, new, column):
    change(small / name, old, new)
    with pytest.raises(InputError, match=column):
        VinDr(root=str(small)).findings()


def test_an_empty_birads_and_density_are_unknown_and_not_normal(small):
    change(small / "breast-level_annotations.csv", "BI-RADS 1,DENSITY C", ",")
    row = rows_of(VinDr(root=str(small)), 3).iloc[0]
    assert pd.isna(row["severity"]) and pd.isna(row["density"]) and pd.isna(row["finding"])


def test_a_resized_copy_is_refused_by_the_name_of_the_table_and_the_size(small):
    (small / "images").rename(small / "originals")
    for path in (small / "originals").rglob("*.dicom"):
        if path.stem != image(fake_vindr.RAW):
            film = cv2.resize(read_film(path).levels8(), (91, 152))
            copy = small / "images_png" / path.parent.name / f"{path.stem}.png"
            copy.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(copy), film)
    with pytest.raises(InputError, match=r"breast-level_annotations\.csv.*152 x 91 .* instead of 160 x 128"):
        VinDr(root=str(small)).findings()


def test_pictures_of_the_original_size_are_read_and_the_original_comes_first(small):
    paths = sorted((small / "images").rglob("*.dicom"))
    for path in paths:
        if path.stem != image(fake_vindr.RAW):
            cv2.imwrite(str(path.with_suffix(".png")), read_film(path).levels8())
    assert set(VinDr(root=str(small)).findings()["path"].str[-6:]) == {".dicom"}
    for path in paths:
        path.unlink()
    found = VinDr(root=str(small)).findings()
    assert found["spacing_mm"].isna().all() and len(found) == len(EXPECTED) - 1


@pytest.mark.slow
def test_few_films_of_another_size_lose_their_boxes_only(tmp_path):
    root = fake_vindr.write(tmp_path, patients=27)
    change(root / "breast-level_annotations.csv", "160,128,BI-RADS 5", "128,160,BI-RADS 5", 1)
    dataset = VinDr(root=str(root))
    rows = rows_of(dataset, 5)
    assert said(dataset, "1 film ", image(5)) and rows[BOX].isna().all(axis=None)
    assert rows["severity"].tolist()[0] == "malignant"


def test_a_header_that_tells_another_side_is_counted_and_the_table_counts(small):
    old = f",L,{image(2)},MLO"
    change(small / "breast-level_annotations.csv", old, old.replace(",L,", ",R,"))
    dataset = VinDr(root=str(small))
    assert said(dataset, "laterality of 1 image", image(2)) and set(rows_of(dataset, 2)["laterality"]) == {"right"}


def test_an_empty_folder_says_where_to_get_it_and_under_which_licence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"physionet\.org.*data use agreement.*Nothing is downloaded") as error:
        VinDr(root=str(tmp_path)).prepare()
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def trained(root, folder, monkeypatch, *more):
    from mammo.cli.train import checked
    from mammo.runs import job
    from mammo.runs.compose import config_of

    settings = ["model=compact", "model.image_size=32", "trainer.max_epochs=1", "heads=[]", "data.workers=0"]
    words = checked(["data=vindr", f"data.root={root}", "data.batch_size=8", *settings, *more])
    monkeypatch.setattr(sys, "argv", ["mammo/__main__.py", *words])
    job.run(config_of(words, {}), folder, {}, of_sweep=True)
    return (folder / "report.md").read_text()


@pytest.mark.slow
def test_the_fake_is_trained_on_by_its_own_split_and_the_report_says_what_its_labels_are(root, tmp_path, monkeypatch):
    text = trained(root, tmp_path / "run", monkeypatch, "crop=whole", "split=official")
    top = text.partition("## ")[0]
    assert "vindr" in top and "BI-RADS" in top and "official" in top and "pathology" not in top
    assert "without severity: BI-RADS 3 or 4" in text
    assert shlex.split(text.partition("Command: `")[2].partition("`\n")[0])[:2] == ["mammo", "train"]


@pytest.mark.slow
def test_windows_around_boxes_are_trained_on(root, tmp_path, monkeypatch):
    text = trained(root, tmp_path / "run", monkeypatch, "crop=lesion", "split=official")
    assert "centred on the annotated lesion" in text
