"""CBIS-DDSM from its fake: each row as it is expected by hand, and each trap of the real archive."""

import os
import re
import shutil
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mammo.archives import cbis_files
from mammo.archives.cbis_ddsm import CBISDDSM
from mammo.archives.cbis_files import look
from mammo.archives.cbis_tables import TABLES, findings_of
from mammo.datasets.film import read_mask
from mammo.datasets.geometry import BOX, CIRCLE, box_of
from mammo.datasets.split import check_split, official_split
from mammo.errors import InputError
from mammo.testing import check_dataset
from tests.archives.fake_cbis_ddsm import DOUBLED, FORMS, HEADERS, IN_BOTH, awkward, write

# Image, finding, density, finding word, severity, its source, part; then box and radius, or None
SMALL, FULL = (30, 40, 60, 80), (60, 160, 100, 220)
EXPECTED = [
    ("cbis-P_90017_LEFT_MLO-mass", 1, "B", "MASS", "benign", "pathology", "train", SMALL, 25),
    ("cbis-P_90018_LEFT_CC", 1, "A", "CIRC", "malignant", "pathology", "train", SMALL, 25),
    ("cbis-P_90018_LEFT_CC", 2, "A", "SPIC", "benign", "pathology", "train", (39, 40, 69, 80), 25),
    ("cbis-P_90018_LEFT_CC", 3, "A", "MASS", "benign", "reading", "train", (48, 40, 78, 80), 25),
    ("cbis-P_90018_LEFT_CC", 4, "A", "MISC", "benign", "pathology", "train", (57, 40, 87, 80), 25),
    ("cbis-P_90018_LEFT_CC", 5, "A", "ASYM", "benign", "pathology", "train", (66, 40, 96, 80), 25),
    ("cbis-P_90018_LEFT_CC", 6, "A", "ASYM", "malignant", "pathology", "train", (75, 40, 105, 80), 25),
    ("cbis-P_90016_LEFT_CC", 1, "C", "ARCH", "malignant", "pathology", "test", SMALL, 25),
    ("cbis-P_90016_LEFT_CC", 2, "C", "CALC", "benign", "pathology", "test", SMALL, 25),
    ("cbis-P_90037_LEFT_CC", 1, None, "MISC", "malignant", "pathology", "test", None, None),
    ("cbis-P_90037_LEFT_CC", 2, None, "MISC", "malignant", "pathology", "test", None, None),
    ("cbis-P_90017_LEFT_MLO-calc", 1, "B", "CALC", "benign", "reading", "train", SMALL, 25),
    ("cbis-P_90035_LEFT_CC", 1, "D", "CALC", "benign", "pathology", "train", FULL, 36.06),  # its own size
    ("cbis-P_90035_LEFT_CC", 2, "D", "CALC", "benign", "pathology", "train", FULL, 36.06),  # half of it
    ("cbis-P_90035_LEFT_CC", 3, "D", "CALC", "benign", "pathology", "train", None, None),  # another shape
    ("cbis-P_90035_LEFT_CC", 4, "D", "CALC", "benign", "pathology", "train", None, None),  # empty
    ("cbis-P_90035_LEFT_CC", 5, "D", "CALC", "benign", "pathology", "train", FULL, 35.51),  # grey edges
    ("cbis-P_90035_LEFT_CC", 6, "D", "CALC", "benign", "pathology", "train", FULL, 36.06),  # inverted
    ("cbis-P_90035_LEFT_CC", 7, "D", "CALC", "benign", "pathology", "train", None, None),  # not on disk
]
COLUMNS = ["image_id", "finding_id", "density", "finding", "severity", "severity_source", "official_split"]


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """The fake in each form."""
    return {form: write(tmp_path_factory.mktemp(form), form) for form in FORMS}


@pytest.fixture
def copy(roots, tmp_path):
    return shutil.copytree(roots["jpeg"], tmp_path / "copy")


def read(root, **settings):
    dataset = CBISDDSM(root=str(root), **settings)
    return dataset.findings(), "\n".join(dataset.notes)


@pytest.fixture(scope="module")
def known(roots):
    """Reads the fake of a form, once for all tests."""
    return cache(lambda form, in_both="keep": read(roots[form], in_both=in_both))


def without_paths(found):
    return found.drop(columns=["path", "mask_path"])


@pytest.mark.parametrize(
    "form", [FORMS[0], *(pytest.param(form, marks=pytest.mark.slow) for form in FORMS[1:])]
)  # whose tables are all the same, as is tested below
def test_the_awkward_rows_are_as_expected_by_hand(known, form):
    found, _ = known(form)
    rows = found[found["patient"].str.startswith("cbis-P_90")].reset_index(drop=True)
    assert rows[COLUMNS].astype(object).where(rows[COLUMNS].notna(), None).to_numpy().tolist() == [
        list(one[:7]) for one in EXPECTED
    ]
    for (*_, box, radius), (_, row) in zip(EXPECTED, rows.iterrows(), strict=True):
        if box is None:
            assert row[[*BOX, *CIRCLE, "mask_path"]].isna().all()
        else:
            assert row[BOX].tolist() == pytest.approx(box)
            centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            assert row[CIRCLE].tolist() == pytest.approx([*centre, radius], abs=0.01)
    assert set(rows["patient"]) == {f"cbis-{one[0][5:12]}" for one in EXPECTED}
    assert set(rows["laterality"]) == {"left"} and rows["view"].tolist() == [
        one[0].split("_")[3][:3].rstrip("-") for one in EXPECTED
    ]


def test_the_archives_own_words_are_kept(known):
    found = known("descriptive")[0].set_index(["image_id", "finding_id"])
    first = found.loc[("cbis-P_90016_LEFT_CC", 1)]
    own = ["pathology", "assessment", "subtlety", "abnormality_type", "mass_shape", "mass_margins", "film"]
    assert first[own].tolist() == [
        "MALIGNANT",
        "0",
        "0",
        "mass",
        "ARCHITECTURAL_DISTORTION",
        "N/A",
        "Mass-Test_P_90016_LEFT_CC",
    ]
    assert found.loc[("cbis-P_90018_LEFT_CC", 3), "pathology"] == "BENIGN_WITHOUT_CALLBACK"
    assert found.loc[("cbis-P_90016_LEFT_CC", 2), ["calc_type", "calc_distribution"]].tolist() == [
        "PUNCTATE-PLEOMORPHIC",
        "N/A",
    ]


def test_all_forms_give_the_same_table(known):
    first, *others = (without_paths(known(form)[0]) for form in FORMS)
    for other in others:
        pd.testing.assert_frame_equal(first, other)


def test_line_breaks_in_quoted_paths_are_no_rows(roots, known):
    text = (roots["classic"] / "calc_case_description_test_set.csv").read_text()
    rows = len(known("classic")[0].query("official_split == 'test' and finding == 'CALC'"))
    assert text.count("\n") == 2 * rows + 1


@pytest.mark.parametrize("form", FORMS)
def test_mask_or_crop_is_told_by_pixels_not_by_name_number_or_column(known, form):
    found, _ = known(form)
    masks = found.dropna(subset="mask_path")
    assert len(masks) > (80 if form != "jpeg" else 4)
    names = masks["mask_path"].str.rpartition("/")[2].value_counts()
    assert form == "jpeg" or (len(names) == 2 and names.min() > 5)  # the first file of a series, or the second
    for row in masks.itertuples():
        assert box_of(read_mask(row.mask_path)) == [row.x0_px, row.y0_px, row.x1_px, row.y1_px]


def test_masks_without_a_place_are_named_and_none_is_stretched(known):
    _, notes = known("descriptive")
    assert "no place, 5 of 97" in notes
    reasons = {
        3: "a mask of another shape than the film: 1, cbis-P_90035_LEFT_CC",
        4: "an empty mask: 1, cbis-P_90035_LEFT_CC",
        7: "no file of the mask on disk: 1, cbis-P_90035_LEFT_CC",
        1: "a mask that cannot be read: 1, cbis-P_90037_LEFT_CC",
        2: "no mask among the files: 1, cbis-P_90037_LEFT_CC",
    }
    assert all(f"{why} finding {number}" in notes for number, why in reasons.items())


def test_a_film_that_is_not_on_disk_is_counted_before_training(known):
    found, notes = known("jpeg")
    assert "1 of 85 images are not on disk" in notes and "cbis-P_90036_LEFT_CC" in notes
    assert "cbis-P_90036_LEFT_CC" not in set(found["image_id"])


def test_densities_that_disagree_are_unknown_and_zero_is_missing(known):
    found, notes = known("descriptive")
    assert "disagree on the density, which is unknown there: 1, cbis-P_90037_LEFT_CC" in notes
    assert set(found["density"].dropna()) == {"A", "B", "C", "D"}


@pytest.mark.parametrize(
    "how",
    [
        "by the table of the downloader",
        "by the ends of folders",
        pytest.param("by two such tables", marks=pytest.mark.slow),
    ],
)
def test_a_series_is_found_by_its_uid_whatever_its_folder_is_called(known, tmp_path, how):
    write(tmp_path / "above" / "cbis", "descriptive", awkward())
    table = next(tmp_path.rglob("metadata.csv"))
    if how == "by the ends of folders":
        table.unlink()
    else:
        for folder in list(tmp_path.rglob("1.000000-*")):
            folder.rename(folder.with_name(folder.name.rpartition("-")[0]))
        table.write_text(re.sub(r"(1\.000000-[a-zA-Z ]+)-\d+", r"\1", table.read_text()))
    if how == "by two such tables":
        second = tmp_path / "above" / "cbis" / "manifest-2" / "CBIS-DDSM"
        second.mkdir(parents=True)
        for folder in sorted((table.parent / "CBIS-DDSM").iterdir())[::2]:
            folder.rename(second / folder.name)
        header, *rows = table.read_text().splitlines()
        table.write_text("\n".join([header, *rows[::2]]))
        (second.parent / "metadata.csv").write_text("\n".join([header, *rows[1::2]]))
    found, _ = read(tmp_path)
    full = known("descriptive")[0]
    full = full[full["patient"].str.startswith("cbis-P_90")].reset_index(drop=True)
    pd.testing.assert_frame_equal(without_paths(full), without_paths(found))


def test_tables_with_a_mark_semicolons_and_other_names_of_columns_are_read(copy, known):
    for path in (copy / "csv").glob("*case*"):
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        rows.columns = [one.replace("breast_density", "Breast  Density").upper() for one in rows]
        rows.to_csv(path, sep=";", index=False, encoding="utf-8-sig", lineterminator="\r\n")
        path.rename(path.with_name(path.name.upper()))
    pd.testing.assert_frame_equal(without_paths(read(copy)[0]), without_paths(known("jpeg")[0]))


def test_a_part_of_the_archive_is_read_and_what_is_missing_is_said(copy):
    for path in (copy / "csv").glob("calc*"):
        path.unlink()
    found, notes = read(copy)
    assert set(found["abnormality_type"]) == {"mass"} and "no calc_case_description_train_set.csv" in notes
    assert "rows instead of 3,568" in notes and "patients instead of 1,566" in notes
    assert found.groupby("patient")["official_split"].nunique().max() == 1  # no woman is in both without the others
    films = {Path(path).parent for path in found["path"]}
    for folder in (copy / "jpeg").iterdir():
        if folder not in films:
            shutil.rmtree(folder)
    alone, notes = read(copy)
    assert len(alone) == len(found) and alone[[*BOX, *CIRCLE, "mask_path"]].isna().all(axis=None)
    assert f"{len(found)} of {len(found)}: no file of the mask on disk" in notes


def test_two_films_of_one_view_are_one_image_if_pixels_and_parts_agree(known):
    keep, said = known("descriptive")
    moved, also = known("descriptive", "train")
    assert {"cbis-P_90016_LEFT_CC", "cbis-P_90017_LEFT_MLO-mass", "cbis-P_90017_LEFT_MLO-calc"} <= set(keep["image_id"])
    both = [f"cbis-P_{number}" for number in IN_BOTH]
    images = keep.drop_duplicates("image_id"), moved.drop_duplicates("image_id")
    assert [int(one["patient"].isin(both).sum()) for one in images] == [2 * len(both), 2 * len(both) - DOUBLED]
    assert "31 patients are in training and test" in said and "31 patients" in also
    assert "joined to one image: 1;" in said and f"joined to one image: {DOUBLED + 1};" in also
    doubled = moved[moved["image_id"] == "cbis-P_00016_RIGHT_CC"]
    assert doubled["finding"].tolist()[1] == "CALC" and doubled["finding_id"].tolist() == [1, 2]


def test_the_women_of_both_parts_are_moved_to_train_by_a_setting_and_refused_without(known):
    keep, moved = (known("jpeg", one)[0] for one in ("keep", "train"))
    with pytest.raises(InputError, match=r"split=official: 31 patients .*data\.in_both=train"):
        check_split(official_split(keep), "official")
    assert check_split(official_split(moved), "official")["patients"]["test"] > 5
    both = moved["patient"].isin([f"cbis-P_{number}" for number in IN_BOTH])
    assert set(moved.loc[both, "official_split"]) == {"train"}
    pd.testing.assert_series_equal(
        moved.loc[~both, "official_split"],
        keep[~keep["patient"].isin(moved.loc[both, "patient"])]["official_split"],
        check_index=False,
    )
    with pytest.raises(InputError, match=r"data\.in_both=never.*keep or train"):
        CBISDDSM(in_both="never")


def run(*words):
    from mammo.cli.main import app

    result = CliRunner().invoke(app, list(map(str, words)))
    return result.exit_code, result.output if result.exit_code > 1 else result.stdout


@pytest.mark.slow
def test_the_audit_finds_the_31_women_and_the_29_films(roots, tmp_path):
    code, said = run(
        "audit", "films", "cbis_ddsm", f"data.root={roots['descriptive']}", "--sheet", tmp_path / "sheet.png"
    )
    lines = said.splitlines()
    women = [one.split()[2] for one in lines if one.startswith("leak: patient")]
    films = [one for one in lines if one.startswith("leak: the same pixels are in two splits")]
    assert code == 1 and women == [f"cbis-P_{number}" for number in IN_BOTH]
    assert len(films) == DOUBLED == 29 and "leaks: 60" in lines
    assert {one.split("cbis-P_")[1][:5] for one in films} == set(IN_BOTH[:DOUBLED])


@pytest.mark.slow
def test_the_audit_of_the_archive_at_home_takes_no_mask_for_a_film(tmp_path, monkeypatch):
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)  # a picture of leaks would be written here
    write(tmp_path / "home" / "cbis_ddsm", "jpeg", awkward())
    code, said = run("audit", "films", "cbis_ddsm")
    assert code == 0 and "compared: 6 images of 5 patients" in said


@pytest.mark.slow
def test_a_place_is_computed_once_and_a_restart_goes_on(roots, tmp_path, monkeypatch):
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    seen = Counter()

    def stopped(path):
        if seen.total() == 30 and path not in seen:
            seen["stopped"] += 1
            raise KeyboardInterrupt
        seen[path] += 1
        return look(path)

    monkeypatch.setattr(cbis_files, "look", stopped)
    monkeypatch.setattr("mammo.processes.workers.FEW", 10**6)  # all in this process
    with pytest.raises(KeyboardInterrupt):
        read(roots["classic"])
    first, _ = read(roots["classic"])
    pd.testing.assert_frame_equal(first, read(roots["classic"])[0])
    assert len(seen) > 80 and {path for path, times in seen.items() if times > 1} == {
        path
        for path in seen
        if "P_90037_LEFT_CC_1" in path  # the damaged files, which are tried again
    }


def test_a_picture_of_many_levels_or_of_one_bright_speck_is_no_mask(tmp_path):
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 90, (200, 150)).astype(np.uint8)
    crop[0, 0] = 255
    cv2.imwrite(str(tmp_path / "crop.png"), crop)
    assert look(str(tmp_path / "crop.png"))["grey"] > cbis_files.GREY
    mask = np.zeros((200, 150), np.uint8)
    mask[50:90, 40:80] = 255
    cv2.imwrite(str(tmp_path / "mask.jpg"), cv2.blur(mask, (5, 5)), [cv2.IMWRITE_JPEG_QUALITY, 70])
    soft = look(str(tmp_path / "mask.jpg"))
    assert soft["grey"] < cbis_files.GREY and not soft["plain"] and soft["box"] == [40, 50, 80, 90]


def given(**changed):
    words = [
        "P_1",
        "2",
        "LEFT",
        "CC",
        "1",
        "mass",
        "OVAL",
        "OBSCURED",
        "4",
        "BENIGN",
        "3",
        "a/b/c/0.dcm",
        "a/b/c",
        "a/b/c",
    ]
    row = dict(zip(HEADERS["mass"].replace("breast_density", "breast density").split(","), words, strict=True))
    return findings_of(pd.DataFrame([row | changed], index=[2], dtype="string"), next(iter(TABLES)))


@pytest.mark.parametrize(
    ("shape", "margins", "word"),
    [
        ("IRREGULAR-ARCHITECTURAL_DISTORTION", "SPICULATED", "SPIC"),
        ("ROUND", "CIRCUMSCRIBED", "CIRC"),
        ("ROUND", "CIRCUMSCRIBED-ILL_DEFINED", "MISC"),
        ("IRREGULAR-ARCHITECTURAL_DISTORTION", "ILL_DEFINED", "ARCH"),
        ("IRREGULAR-FOCAL_ASYMMETRIC_DENSITY", "N/A", "ASYM"),
        ("LYMPH_NODE", "CIRCUMSCRIBED-OBSCURED", "MISC"),
        ("LOBULATED", "N/A", "MASS"),
        (pd.NA, pd.NA, "MASS"),
    ],
)
def test_the_word_of_a_mass_comes_from_margins_then_shape(shape, margins, word):
    assert given(**{"mass shape": shape, "mass margins": margins})["finding"].tolist() == [word]


def test_an_unknown_word_or_an_empty_cell_is_named_by_its_row():
    for column, word in {"pathology": "UNSURE", "image view": "ML", "breast density": "5", "patient_id": pd.NA}.items():
        with pytest.raises(InputError, match=f"mass_case_description_train_set.csv, row 2: .*{column}"):
            given(**{column: word})


def test_an_empty_folder_says_where_to_get_the_archive_and_under_which_licence(tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", None)
    with pytest.raises(FileNotFoundError) as error:
        CBISDDSM(root=str(tmp_path)).prepare()
    said = str(error.value)
    assert "Cancer Imaging Archive" in said and "CC BY 3.0" in said and "data.root" in said and "\n" not in said
    assert not list(tmp_path.iterdir())


def test_tables_without_a_film_are_refused(copy):
    shutil.rmtree(copy / "jpeg")
    with pytest.raises(FileNotFoundError, match=r"none of the 8\d films.*data\.root"):
        read(copy)


@pytest.mark.parametrize("in_both", [pytest.param("keep", marks=pytest.mark.slow), "train"])
def test_the_fake_fulfils_the_contract(roots, in_both):
    check_dataset(CBISDDSM(root=str(roots["jpeg" if in_both == "keep" else "descriptive"]), in_both=in_both))


def test_the_real_archive_has_the_published_counts():
    if "MAMMO_CBIS_ROOT" not in os.environ:
        pytest.skip("MAMMO_CBIS_ROOT does not name CBIS-DDSM")
    _, notes = read(os.environ["MAMMO_CBIS_ROOT"])
    assert "instead of" not in notes and "31 patients" in notes


def trained(root, folder, monkeypatch, *words):
    from mammo.cli.train import checked
    from mammo.runs import job
    from mammo.runs.compose import config_of

    words = checked([
        "data=cbis_ddsm", f"data.root={root}", "model=compact", "model.image_size=32", "trainer.max_epochs=1",
        "heads=[]", "data.workers=0", "data.batch_size=8", "data.in_both=train", "split=official", *words,
    ])  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["mammo/__main__.py", *words])
    job.run(config_of(words, {}), folder, {}, of_sweep=True)
    return (folder / "report.md").read_text()


@pytest.mark.slow
def test_one_command_trains_and_the_report_names_archive_labels_and_split(roots, tmp_path, monkeypatch):
    report = trained(roots["jpeg"], tmp_path, monkeypatch, "task=malignancy", "crop=whole")
    first = report.splitlines()[:8]
    assert "cbis_ddsm" in first[0] and any("split=official" in line for line in first)
    assert any("rest on pathology" in line and "reading of the images without biopsy" in line for line in first)
    assert "31 patients are in training and test of the tables and are moved to train" in report


@pytest.mark.slow
def test_lesion_windows_are_trained_on_at_a_stated_spacing(roots, tmp_path, monkeypatch):
    report = trained(
        roots["descriptive"], tmp_path, monkeypatch, "task=malignancy", "crop=lesion", "data.spacing_mm=0.8"
    )
    assert "5 findings have no place" in report


def test_a_task_of_normal_films_is_refused_with_the_tasks_that_are_possible(roots, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"no film or finding of class normal .*acr_density, malignancy"):
        trained(roots["jpeg"], tmp_path, monkeypatch, "task=abnormality", "crop=whole")
