"""CMMD is read by its headers: a breast without a row is unknown, two breasts have two labels, order tells nothing."""

import os
import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from mammo.api import Run
from mammo.archives.cmmd import CMMD
from mammo.cli.train import checked
from mammo.errors import InputError
from mammo.runs import job
from mammo.runs.compose import config_of
from mammo.testing import check_dataset
from tests.archives import fake_cmmd as fake

NA, ILL, WELL = None, ("malignant", "pathology"), ("benign", "pathology")
COLUMNS = ["image_id", "laterality", "view", "severity", "severity_source", "finding_id", "finding", "abnormality",
           "subtype", "age"]  # fmt: skip
# What each woman of an oddity must become, by hand
EXPECTED = [
    ("D1-9001-1-1", "left", "CC", NA, NA, 0, NA, NA, NA, NA),
    ("D1-9001-1-2", "left", "MLO", NA, NA, 0, NA, NA, NA, NA),
    ("D1-9001-1-3", "right", "CC", *WELL, 1, "MASS", "mass", NA, "51"),
    ("D1-9001-1-4", "right", "MLO", *WELL, 1, "MASS", "mass", NA, "51"),
    ("D1-9002-1-1", "left", "CC", *ILL, 1, "MASS", "both", NA, "47"),
    ("D1-9002-1-1", "left", "CC", *ILL, 2, "CALC", "both", NA, "47"),
    ("D1-9002-1-2", "left", "MLO", *ILL, 1, "MASS", "both", NA, "47"),
    ("D1-9002-1-2", "left", "MLO", *ILL, 2, "CALC", "both", NA, "47"),
    ("D1-9002-1-3", "right", "CC", *WELL, 1, "CALC", "calcification", NA, "47"),
    ("D1-9002-1-4", "right", "MLO", *WELL, 1, "CALC", "calcification", NA, "47"),
    ("D1-9004-1-1", "right", "MLO", *WELL, 1, "MASS", "mass", NA, "58"),
    ("D1-9004-1-2", "right", "CC", *WELL, 1, "MASS", "mass", NA, "58"),
    ("D1-9005-1-1", "left", "CC", *ILL, 1, "CALC", "calcification", "triple negative", "39"),
    ("D1-9005-1-2", NA, "MLO", NA, NA, 0, NA, NA, NA, NA),
    ("D1-9007-1-1", "left", "CC", *WELL, 1, "MASS", "mass", NA, "44"),
    ("D1-9008-1-1", "right", "CC", *WELL, 1, "MASS", "both", NA, "71"),
    ("D1-9008-1-1", "right", "CC", *WELL, 2, "CALC", "both", NA, "71"),
    ("D1-9008-1-2", "right", "MLO", *WELL, 1, "MASS", "both", NA, "71"),
    ("D1-9008-1-2", "right", "MLO", *WELL, 2, "CALC", "both", NA, "71"),
    ("D2-9003-1-1", "left", "MLO", *ILL, 1, "MASS", "mass", "Luminal A", "63"),
    ("D2-9003-1-2", "left", "CC", *ILL, 1, "MASS", "mass", "Luminal A", "63"),
]  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return fake.write(tmp_path_factory.mktemp("cmmd"))


@pytest.fixture
def copy(archive, tmp_path):
    """A copy of the archive with its films linked; its table is a CSV, which may be changed."""
    folder = tmp_path / "copy"
    shutil.copytree(archive, folder, copy_function=os.link, ignore=shutil.ignore_patterns("*.xlsx"))
    fake.table().to_csv(folder / "CMMD_clinicaldata_revision.csv", index=False)
    return folder


def opened(folder):
    dataset = CMMD(root=str(folder))
    return dataset, dataset.findings()


def said(dataset, word):
    return [note for note in dataset.notes if word in note]


def plain(column):
    """The values of a column, None where they are missing."""
    return [None if pd.isna(one) else one for one in column]


def test_the_rows_of_every_odd_woman_are_those_written_by_hand(archive):
    _, found = opened(archive)
    odd = found[found["image_id"].str.contains("-90")].sort_values(["image_id", "finding_id"])
    expected = pd.DataFrame(EXPECTED, columns=COLUMNS).assign(image_id=lambda table: "cmmd-" + table["image_id"])
    for column in COLUMNS:
        assert plain(odd[column]) == plain(expected[column]), column
    assert (odd["patient"] == odd["image_id"].str[:12]).all() and (found["spacing_mm"].round(3) == 0.094).all()
    assert found[["density", "x_px", "x0_px", "mask_path", "official_split"]].isna().all(axis=None)


def test_the_contract_holds(archive):
    check_dataset(CMMD(root=str(archive)))


def test_a_breast_without_a_row_is_unknown_and_never_normal_and_counted(archive):
    dataset, found = opened(archive)
    assert not (found["severity"] == "normal").any()
    assert "2 images of 1 breast without a row" in said(dataset, "not normal")[0]


def test_a_film_whose_header_names_no_side_is_unknown_and_counted(archive):
    dataset, _ = opened(archive)
    (note,) = said(dataset, "without a side")
    assert note.startswith("**1 image without") and "cmmd-D1-9005-1-2" in note


def test_breasts_of_the_table_without_films_or_with_others_than_it_says_are_counted(archive):
    """A woman's second breast under a name of its own, as a re-pack has it, is one of those without a film."""
    dataset, found = opened(archive)
    assert (
        "2 breasts" in said(dataset, "without a film on disk")[0]
        and not found["patient"].str.contains("1.5", regex=False).any()
    )
    assert "2 breasts" in said(dataset, "more or fewer films")[0]


def test_both_breasts_of_a_woman_are_one_patient_with_two_labels(archive):
    _, found = opened(archive)
    of = found[found["patient"] == "cmmd-D1-9002"]
    assert of.groupby("laterality")["severity"].unique().map(list).to_dict() == {
        "left": ["malignant"],
        "right": ["benign"],
    }


def test_a_film_of_16_bits_is_one_among_those_of_8(archive):
    dataset, _ = opened(archive)
    assert dataset.read("cmmd-D2-9003-1-1").pixels.dtype == np.uint16
    raw = CMMD(root=str(archive), voi="none")
    assert raw.read("cmmd-D1-9001-1-1").max_level == 255 and raw.read("cmmd-D2-9003-1-1").max_level == 65535


def test_the_table_may_be_a_workbook_or_text_in_any_form_and_case(archive, copy):
    _, found = opened(archive)
    for sep, encoding, end in ((",", "utf-8", "\n"), (";", "utf-8-sig", "\r\n")):
        table = fake.table().rename(columns={"LeftRight": " leftright ", "ID1": "ID1\n"})
        table["classification"] = table["classification"].str.upper() + " "
        table.to_csv(
            copy / "cmmd_ClinicalData_revision.csv", sep=sep, index=False, encoding=encoding, lineterminator=end
        )
        (copy / "CMMD_clinicaldata_revision.csv").unlink(missing_ok=True)
        _, again = opened(copy.parent)
        pd.testing.assert_frame_equal(again.drop(columns="path"), found.drop(columns="path"))


def test_files_that_name_no_patient_and_those_of_a_mac_are_left_out(archive):
    dataset, found = opened(archive)
    assert said(dataset, "name no patient")[0].endswith("left out: 1") and not found["path"].str.contains("._1").any()


def test_a_film_in_the_folder_of_another_patient_and_one_that_lies_there_twice_are_said(copy):
    shutil.copy(copy / "CMMD/D1-9007/07-18-2010-90071/1.000000-22222/1-1.dcm", copy / "CMMD/D1-9100/1-9.dcm")
    shutil.copytree(copy / "CMMD/D1-9001", copy / "again/D1-9001")
    shutil.copytree(copy / "CMMD/D1-9002", copy / ".Trash/D1-9002")  # a hidden folder is passed over
    dataset, found = opened(copy)
    assert "1 image in" in said(dataset, "another patient")[0] and "D1-9100-1-9" in said(dataset, "another patient")[0]
    assert found.set_index("image_id").loc["cmmd-D1-9100-1-9", "patient"] == "cmmd-D1-9100"
    assert "4 images" in said(dataset, "twice")[0] and not found.duplicated(["image_id", "finding_id"]).any()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("D1-9002,R", "D1-9002,L", "rows 3, 4 describe the same breast"), ("Malignant", "Normal", "row 3: classification"),
     ("D1-9001,R", "D1-9001,both", "row 2: LeftRight"), ("classification", "class", "no column classification")],
)  # fmt: skip
def test_an_edited_table_is_refused_in_one_line(copy, old, new, message):
    path = copy / "CMMD_clinicaldata_revision.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=message) as error:
        opened(copy)
    assert "\n" not in str(error.value)


def test_counts_that_are_not_the_published_ones_are_said(archive, monkeypatch):
    assert said(opened(archive)[0], "73 images instead of 5,202")
    monkeypatch.setattr(CMMD, "published", {"images": 73, "patients": 35})
    assert not said(opened(archive)[0], "instead of")


def test_an_archive_that_is_not_there_is_one_line_that_says_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tcia.*CC BY 4\.0.*Nothing is downloaded") as error:
        CMMD(root=str(tmp_path)).prepare()
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def test_a_table_without_films_is_one_line(tmp_path):
    fake.table().to_csv(tmp_path / "CMMD_clinicaldata_revision.csv", index=False)
    with pytest.raises(FileNotFoundError, match=r"no film of a patient D1-.*data\.root"):
        opened(tmp_path)


@pytest.mark.slow
def test_a_run_says_archive_and_label_source_first(archive, tmp_path, monkeypatch):
    words = checked(["data=cmmd", f"data.root={archive}", "task=malignancy", "model=compact", "model.image_size=32",
                     "crop=whole", "heads=[]", "trainer.max_epochs=1", "data.workers=0",
                     "data.batch_size=8"])  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["mammo/__main__.py", *words])
    job.run(config_of(words, {}), tmp_path / "run", {}, of_sweep=True)
    text = (tmp_path / "run" / "report.md").read_text()
    first = text.partition("## Test")[0]
    assert text.startswith("# malignancy by compact on cmmd") and "rest on pathology" in first
    assert "the severity is unknown, not normal" in first and "## Test by breast" in text
    assert Run(tmp_path / "run").metrics("test")
