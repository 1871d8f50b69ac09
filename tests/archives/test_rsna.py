"""RSNA's archive is read by its own table: labels of breasts, ids as text, every oddity of a copy or a film said."""

import os
import shutil
import sys

import cv2
import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread

from mammo.api import Run
from mammo.archives.rsna import RSNA
from mammo.cli.train import checked
from mammo.config import DataConfig
from mammo.datasets.registry import open_dataset
from mammo.datasets.split import check_split, split_images
from mammo.errors import InputError, UnreadableFilm
from mammo.formats.header import read_header
from mammo.runs import job
from mammo.runs.compose import config_of
from mammo.testing import check_dataset
from tests.archives import fake_rsna as fake
from tests.archives.sketches import sketch
from tests.formats.ways import SV1

NA, ILL = None, ("malignant", "pathology")
COLUMNS = ["image_id", "laterality", "view", "density", "severity", "severity_source", "finding_id", "spacing_mm",
           "cancer", "biopsy", "birads", "invasive", "age", "implant", "difficult_negative_case"]  # fmt: skip
# What each woman of an oddity must become, by hand
EXPECTED = [
    ("900006-9000000001", "left", "CC", NA, NA, NA, 0, 0.65, "0", "0", NA, NA, "61", "0", "False"),
    ("900006-9000000002", "left", "MLO", NA, NA, NA, 0, 1.0, "0", "0", NA, NA, "61", "0", "False"),
    ("900025-9000000003", "right", "MLO", "B", *ILL, 1, 0.65, "1", "1", "0", "1", "58", "0", "False"),
    ("900025-9000000004", "right", "MLO", "B", *ILL, 1, 1.0, "1", "1", "0", "1", "58", "0", "False"),
    ("900025-9000000005", "right", "CC", "B", *ILL, 1, 0.65, "1", "1", "0", "1", "58", "0", "False"),
    ("900025-9000000006", "left", "CC", "B", "normal", "follow_up", 0, 1.0, "0", "0", "1", NA, "58", "0", "False"),
    ("900025-9000000007", "left", "MLO", "B", "normal", "follow_up", 0, 0.65, "0", "0", "1", NA, "58", "0", "False"),
    ("900025-9000000008", "left", "MLO", "B", "normal", "follow_up", 0, 1.0, "0", "0", "1", NA, "58", "0", "False"),
    ("900031-9000000009", "left", "ML", "D", "benign", "pathology", 1, 0.65, "0", "1", "0", NA, NA, "1", "True"),
    ("900031-9000000010", "left", "AT", "D", "benign", "pathology", 1, 1.0, "0", "1", "0", NA, NA, "1", "True"),
    ("900031-9000000011", "left", "LM", "D", "benign", "pathology", 1, 0.65, "0", "1", "0", NA, NA, "1", "True"),
    ("900031-9000000012", "left", "LMO", "D", "benign", "pathology", 1, 1.0, "0", "1", "0", NA, NA, "1", "True"),
    ("900044-9000000013", "right", "CC", "A", NA, NA, 0, 0.65, "0", "0", "0", NA, "70", "0", "False"),
    ("900044-9000000014", "right", "MLO", "A", NA, NA, 0, 1.0, "0", "0", "0", NA, "70", "0", "False"),
    ("900051-9000000015", "left", "MLO", NA, "normal", "follow_up", 0, 0.65, "0", "0", "2", NA, "44", "0", "False"),
    ("900060-9000000017", "left", "CC", "C", "benign", "pathology", 1, 0.65, "0", "1", "2", NA, "50", "0", "False"),
    ("900070-9000000018", "right", "CC", "C", NA, NA, 0, 1.0, "1", "1", NA, "0", "66", "0", "False"),
    ("900070-9000000019", "right", "MLO", "C", NA, NA, 0, 0.65, "0", "0", NA, NA, "66", "0", "False"),
]  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return fake.write(tmp_path_factory.mktemp("rsna"))


@pytest.fixture
def copy(archive, tmp_path):
    """A copy of the archive with its films linked, whose table may be changed."""
    folder = tmp_path / "copy"
    shutil.copytree(archive, folder, copy_function=os.link)
    text = (folder / "train.csv").read_text()
    (folder / "train.csv").unlink()
    (folder / "train.csv").write_text(text)
    return folder


def opened(folder, **settings):
    dataset = RSNA(root=str(folder), **settings)
    return dataset, dataset.findings()


def said(dataset, word):
    return [note for note in dataset.notes if word in note]


def plain(column):
    """The values of a column, None where they are missing."""
    return [None if pd.isna(one) else one for one in column]


def test_the_rows_of_every_odd_woman_are_those_written_by_hand(archive):
    _, found = opened(archive)
    odd = found[found["image_id"].str.startswith("rsna-9000")].reset_index(drop=True)
    expected = pd.DataFrame(EXPECTED, columns=COLUMNS).assign(image_id=lambda table: "rsna-" + table["image_id"])
    for column in COLUMNS:
        assert plain(odd[column]) == plain(expected[column]), column
    assert (odd["patient"] == odd["image_id"].str.rsplit("-", n=1).str[0]).all() and (odd["dataset"] == "rsna").all()
    assert found[["finding", "x_px", "x0_px", "mask_path", "official_split", "exam"]].isna().all(axis=None)
    assert set(odd["machine_id"]) == {"21", "29", "48", "49"} and set(odd["site_id"]) == {"1", "2"}


@pytest.mark.slow
def test_the_contract_holds_on_all_films_but_the_zero_one(copy):
    path = copy / "train_images" / "900031" / f"{fake.ZERO}.dcm"
    with pytest.raises(UnreadableFilm, match="every pixel has level 0"):
        RSNA(root=str(copy)).read(f"rsna-900031-{fake.ZERO}")
    path.unlink()
    check_dataset(RSNA(root=str(copy)))


def test_a_label_of_the_breast_is_on_each_film_of_it_and_not_on_the_other_breast(archive):
    dataset, found = opened(archive)
    of = found[found["patient"] == "rsna-900025"]
    assert len(of) == 6 and of.groupby("laterality")["severity"].unique().map(list).to_dict() == {
        "left": ["normal"], "right": ["malignant"]}  # fmt: skip
    assert of.duplicated(["laterality", "view"]).sum() == 2  # several films of a view are several images
    assert said(dataset, "a label describes a breast")


def test_no_patient_is_in_two_parts_whichever_seed(archive):
    _, found = opened(archive)
    for seed in range(3):
        check_split(split_images(found, name="patient", seed=seed, shares=[0.6, 0.2, 0.2]), "patient")


@pytest.mark.parametrize("unproven", ["unknown", "normal"])
def test_recalled_and_unread_breasts_are_unknown_unless_the_setting_says_normal_and_are_counted(archive, unproven):
    dataset = open_dataset(DataConfig(name="rsna", root=str(archive), unproven=unproven))
    found = dataset.findings().set_index("image_id")
    rows = found.loc[
        [f"rsna-900006-900000000{one}" for one in (1, 2)] + [f"rsna-900044-90000000{one}" for one in (13, 14)]
    ]
    if unproven == "normal":
        assert (rows["severity"] == "normal").all() and (rows["severity_source"] == "follow_up").all()
    else:
        assert rows[["severity", "severity_source"]].isna().all(axis=None)
    (note,) = said(dataset, "neither cancer nor biopsy")
    assert "4 images of 2 breasts" in note and f"{unproven}" in note.replace("as normal", unproven)


def test_films_of_one_breast_that_differ_in_their_label_have_none(archive):
    dataset, found = opened(archive, unproven="normal")
    assert found.loc[found["patient"] == "rsna-900070", "severity"].isna().all()
    assert "2 images" in said(dataset, "differ in cancer or biopsy")[0]


def test_a_missing_film_is_counted_and_left_out(archive):
    dataset, found = opened(archive)
    assert f"rsna-900051-{fake.MISSING}" not in set(found["image_id"])
    assert any("1 of 136 images are not on disk" in note and fake.MISSING in note for note in dataset.notes)


def test_a_copy_with_fewer_rows_is_told_by_its_counts_and_by_films_without_a_row(copy, monkeypatch):
    monkeypatch.setattr(RSNA, "published", {"images": 136, "patients": 46})
    dataset, found = opened(copy)
    assert not said(dataset, "instead of") and "900090_9000000099" in said(dataset, "without a row")[0]
    lines = (copy / "train.csv").read_text().splitlines()
    kept = [line for line in lines if ",910001," not in line]
    (copy / "train.csv").write_text("\n".join(kept))
    dataset, fewer = opened(copy)
    assert len(fewer) == len(found) - 3
    assert (
        "133 images instead of 136" in said(dataset, "instead of")[0]
        and "45 patients" in said(dataset, "instead of")[0]
    )
    assert "left out: 4, " in said(dataset, "without a row")[0]


def test_the_stub_of_the_hidden_test_part_is_not_read_and_said(archive):
    dataset, found = opened(archive)
    assert said(dataset, "test.csv is the stub") and not found["patient"].str.contains("999001").any()
    assert found["official_split"].isna().all()


def test_ids_stay_text_and_a_table_of_another_program_is_the_same(copy):
    """Numbers with a decimal point, semicolons, a byte order mark, blanks and other letters in the names."""
    _, found = opened(copy)
    table = pd.read_csv(copy / "train.csv", dtype=str).rename(columns={"BIRADS": " birads ", "view": "View"})
    table[["patient_id", "image_id", "cancer"]] += ".0"
    table.to_csv(copy / "train.csv", sep=";", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    pd.testing.assert_frame_equal(opened(copy)[1], found)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("9000000003", "9.0E+09", "row 4: image_id"), ("900025,", "P25,", "row 4, 5, 6 and 3 more: patient_id"),
     ("0.0,0,A", "4.0,0,A", "row 14: BIRADS"), ("BIRADS", "birad", "no column BIRADS")],
)  # fmt: skip
def test_an_edited_table_is_refused_in_one_line(copy, old, new, message):
    (copy / "train.csv").write_text((copy / "train.csv").read_text().replace(old, new))
    with pytest.raises(InputError, match=message.replace("row 4, 5", "rows 4, 5")) as error:
        opened(copy)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", ["nested", "flat"])
def test_a_repack_as_pictures_is_recognised_and_said(archive, tmp_path, form):
    (tmp_path / "train.csv").write_text((archive / "train.csv").read_text())
    for patient in ("900025", "900051"):
        for path in (archive / "train_images" / patient).iterdir():
            to = (
                tmp_path / "pngs" / (f"{patient}/{path.stem}.png" if form == "nested" else f"{patient}_{path.stem}.png")
            )
            to.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(to), sketch(int(path.stem) % 1000, "left")[0] // 16)
    dataset, found = opened(tmp_path)
    assert len(found) == 7 and found["spacing_mm"].isna().all()
    assert "7 films are pictures of a re-pack" in said(dataset, "re-pack")[0]
    assert dataset.read("rsna-900025-9000000003").max_level == 255


def test_the_dicom_film_is_taken_where_a_picture_of_it_lies_beside_it(copy):
    cv2.imwrite(str(copy / "train_images/900025/9000000003.png"), sketch(3, "left")[0] // 16)
    dataset, found = opened(copy)
    assert found["path"].str.endswith(".dcm").all() and not said(dataset, "re-pack")


def test_a_side_that_the_header_contradicts_is_counted_and_the_table_counts(copy):
    text = (copy / "train.csv").read_text()
    (copy / "train.csv").write_text(text.replace("9000000015,L", "9000000015,R"))
    dataset, found = opened(copy)
    assert found.set_index("image_id").loc["rsna-900051-9000000015", "laterality"] == "right"
    assert "laterality of 1 image " in said(dataset, "headers")[0]


def test_films_are_what_was_drawn_whatever_their_codec_depth_and_polarity(archive):
    """JPEG lossless, several windows; MONOCHROME1 of 14 bits in JPEG 2000 under a header of 16; stray high bits."""
    path = archive / "train_images/900006/9000000001.dcm"
    assert str(dcmread(path).file_meta.TransferSyntaxUID) == SV1 and len(dcmread(path).WindowCenter) == 3
    assert any("window 1800/3000 (LINEAR)" in note for note in read_header(path).notes)
    plain = RSNA(root=str(archive), voi="none")
    assert np.array_equal(plain.read("rsna-900006-9000000001").pixels, sketch(1, "left")[0])
    film = plain.read("rsna-900025-9000000003")
    assert film.max_level == (1 << 14) - 1 and dcmread(archive / "train_images/900025/9000000003.dcm").BitsStored == 16
    assert np.array_equal(film.pixels, 4 * sketch(3, "right", bright=True)[0])
    assert np.array_equal(plain.read("rsna-900060-9000000017").pixels, sketch(17, "left", bright=True)[0])
    assert any("SIGMOID" in note for note in RSNA(root=str(archive)).read("rsna-900044-9000000013").notes)


def test_an_archive_that_is_not_there_is_one_line_that_says_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"kaggle.*non-commercial.*Nothing is downloaded") as error:
        RSNA(root=str(tmp_path)).prepare()
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def test_a_table_without_films_says_where_the_first_one_was_looked_for(archive, tmp_path):
    (tmp_path / "train.csv").write_text((archive / "train.csv").read_text())
    with pytest.raises(FileNotFoundError, match=r"train_images/900006/9000000001\.dcm"):
        opened(tmp_path)


def test_the_archive_is_found_below_a_folder_above_it_in_any_case(copy):
    (copy / "train.csv").rename(copy / "Train.CSV")
    assert len(opened(copy.parent)[1]) == 135


@pytest.mark.slow
def test_a_run_says_archive_label_source_and_unproven_breasts_first(archive, tmp_path, monkeypatch):
    words = checked(["data=rsna", f"data.root={archive}", "model=compact", "model.image_size=32", "crop=whole",
                     "heads=[]", "trainer.max_epochs=1", "data.workers=0", "data.batch_size=8"])  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["mammo/__main__.py", *words])
    job.run(config_of(words, {}), tmp_path / "run", {}, of_sweep=True)
    text = (tmp_path / "run" / "report.md").read_text()
    first = text.partition("## Test")[0]
    assert "rsna" in first and "pathology" in first and "follow-up" in first
    assert "4 images of 2 breasts with neither cancer nor biopsy" in first
    assert "## Test by breast" in text
    assert Run(tmp_path / "run").metrics("test")
    assert fake.ZERO in (tmp_path / "run" / "unreadable.csv").read_text()
