"""The audit names what is in two splits, or would be; it ends with 1 then, else with 0, or 2 if it could not look."""

import os
import shutil

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from mammo.auditing import hashes
from mammo.auditing.hashes import read_grey
from mammo.cli.main import app
from mammo.datasets.dicom_file import write_dicom
from mammo.datasets.example import write_example
from mammo.tables.patients import alike
from mammo.tables.visits import like_dates


def audited(*arguments):
    if arguments[0] == "films" and len(arguments) > 1 and "--parts" not in arguments:  # they take most of the time
        arguments = (*arguments, "--no-parts")
    result = CliRunner().invoke(app, ["audit", *map(str, arguments)])
    assert not isinstance(result.exception, Exception) or result.exit_code != 1, result.exception
    return result.exit_code, result.stdout if result.exit_code < 2 else result.output


def written(path, text):
    path.write_text(text)
    return path


@pytest.fixture
def films(phantom, tmp_path):
    """A folder of six films of three patients, with their Info.txt."""
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("Info.txt", *(f"mdb{number:03d}.pgm" for number in range(1, 7))):
        shutil.copy(phantom.root / name, folder)
    return folder


def mirrored(film, copy):
    copy.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(copy), np.ascontiguousarray(read_grey(film)[:, ::-1]))


def test_clean_films_say_what_was_compared_and_end_with_zero(films):
    code, said = audited("films", films)
    assert code == 0
    assert "compared: 6 images of 3 patients; no splits; 15 pairs" in said
    no_part = "no leak found among 6 images; no part of a split is known, so patients were not compared across parts"
    assert f"{no_part}; crops and copies turned by other angles than 90 degrees were not" in said
    assert audited("films", films, "--parts")[1].endswith(f"0 more with a part of the same film\n{no_part}\n")


def test_a_patch_or_a_squeezed_breast_of_a_training_film_in_the_test_part_is_a_leak(films, tmp_path):
    pixels = read_grey(films / "mdb001.pgm")
    rows, columns = (int(np.median(one)) for one in np.nonzero(pixels > 60))
    for number, part in enumerate(("train", "train", "val", "val", "val", "val"), start=1):
        (films / part).mkdir(exist_ok=True)
        (films / f"mdb00{number}.pgm").rename(films / part / f"mdb00{number}.pgm")
    (films / "test").mkdir()
    patch = cv2.resize(pixels[rows - 80 : rows + 80, columns - 80 : columns + 80], (224, 224))
    cv2.imwrite(str(films / "test" / "patch.png"), patch)
    other = read_grey(films / "train" / "mdb002.pgm")
    left, top, width, height = cv2.boundingRect((cv2.medianBlur(other, 31) > 40).astype(np.uint8))
    breast = cv2.resize(other[top : top + height, left : left + width], (900, 250))
    cv2.imwrite(str(films / "test" / "breast.png"), breast)
    code, said = audited("films", films, "--parts", "--sheet", tmp_path / "sheet.png")
    assert code == 1 and said.count("leak:") == 2 and ", 2 more with a part of the same film" in said
    assert "in two splits: test/patch.png (test) and train/mdb001.pgm (train): one shows a part of the other" in said
    assert "in two splits: test/breast.png (test) and train/mdb002.pgm (train): one shows a part of the other" in said
    assert "of the breast, cut out and squeezed, not turned" in said


def test_a_copy_without_a_split_would_leak_and_is_drawn(films, tmp_path):
    mirrored(films / "mdb001.pgm", films / "copy.jpg")
    code, said = audited("films", films, "--sheet", tmp_path / "sheet.png")
    assert code == 1
    assert "would leak under any split: copy.jpg (patient unknown) and mdb001.pgm (patient mias-001)" in said
    assert f", mirrored\nleaks: 1\nsheet: {tmp_path / 'sheet.png'} shows the worst 1 of 1 pair\n" in said
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_an_audit_after_its_shards_says_what_one_process_says(films, tmp_path, monkeypatch):
    mirrored(films / "mdb001.pgm", films / "copy.jpg")
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "one"))
    alone = audited("films", films, "--sheet", tmp_path / "sheet.png")
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "shards"))
    for number, said in ((1, "4 of 7 films: 4 hashed"), (2, "3 of 7 films: 3 hashed")):
        assert audited("films", films, "--shard", f"{number}/2") == (
            0, f"shard {number}/2: {said}, 0 were there, 0 unreadable\n",
        )  # fmt: skip
    monkeypatch.setattr(hashes, "read_grey", None)
    assert audited("films", films, "--sheet", tmp_path / "sheet.png") == alone
    assert audited("films", films, "--shard", "3/2")[0] == 2


def test_films_of_unknown_patients_are_not_taken_for_one_patients(films, tmp_path):
    (films / "Info.txt").unlink()
    mirrored(films / "mdb001.pgm", films / "copy.jpg")
    code, said = audited("films", films, "--sheet", tmp_path / "sheet.png")
    assert code == 1 and "copy.jpg (patient unknown) and mdb001.pgm (patient unknown)" in said


def test_two_films_of_the_same_pixels_of_one_patient_are_a_note(films, tmp_path):
    mirrored(films / "mdb001.pgm", films / "again" / "mdb002.png")
    code, said = audited("films", films, "--sheet", tmp_path / "sheet.png")
    assert code == 0
    assert (
        "note: two films of one patient have the same pixels: again/mdb002.png (patient mias-001) and mdb001.pgm"
        in said
    )
    assert not (tmp_path / "sheet.png").exists()


def test_a_copy_leaks_across_folders_and_is_counted_within_one(films, tmp_path):
    for split, names in {"train": ("mdb001", "mdb002"), "test": ("mdb003", "mdb004")}.items():
        (films / split).mkdir()
        for name in names:
            (films / f"{name}.pgm").rename(films / split / f"{name}.pgm")
    mirrored(films / "train" / "mdb001.pgm", films / "test" / "x.png")
    mirrored(films / "train" / "mdb002.pgm", films / "train" / "y.png")
    code, said = audited("films", films, "--sheet", tmp_path / "sheet.png")
    assert code == 1 and said.count("leak:") == 1
    assert "in two splits: test/x.png (test) and train/mdb001.pgm (train): correlation 1.000, mirrored" in said
    assert "note: 1 pair of films with the same pixels within one split" in said
    assert "note: 2 films are in no split" in said and "; left out: 2 of no split\n" in said.splitlines(True)[0]


def test_a_copy_in_a_folder_that_is_no_split_leaks_and_among_such_folders_it_is_counted(films, tmp_path):
    (films / "val").mkdir()
    (films / "mdb001.pgm").rename(films / "val" / "mdb001.pgm")
    (films / "full").mkdir()
    mirrored(films / "val" / "mdb001.pgm", films / "full" / "x.png")
    mirrored(films / "mdb005.pgm", films / "full" / "y.png")
    code, said = audited("films", films, "--sheet", tmp_path / "sheet.png")
    assert code == 1 and said.count("leak:") == 2
    assert "full/x.png (no split) and val/mdb001.pgm (val)" in said
    assert "note: 1 pair of films with the same pixels with a film that is in no split" in said
    assert "patient mias-001 is in a split and among films of no split: val/mdb001.pgm (val), mdb002.pgm" in said
    code, said = audited("films", films, "--sides", "full=train", "--sheet", tmp_path / "sheet.png")
    assert code == 1 and "in two splits: full/x.png (train) and val/mdb001.pgm (val)" in said


def test_a_patient_in_two_splits_is_named_with_her_films(films, tmp_path):
    rows = "".join(f"mdb00{number},{'test' if number == 4 else 'train'}\n" for number in range(1, 7))
    code, said = audited("films", films, "--split", written(tmp_path / "split.csv", "image_id,split\n" + rows))
    assert code == 1 and said.count("leak:") == 1
    assert "leak: patient mias-002 is in two splits: mdb003 (train), mdb004 (test)" in said


def test_a_patient_is_known_from_the_folder_where_the_split_names_paths(films, tmp_path):
    (films / "x").mkdir()
    (films / "mdb003.pgm").rename(films / "x" / "mdb003.pgm")
    split = written(tmp_path / "split.csv", "image_id,split\nx/mdb003,train\nmdb004.pgm,test\n")
    code, said = audited("films", films, "--split", split)
    assert code == 1 and "patient mias-002 is in two splits: x/mdb003 (train), mdb004.pgm (test)" in said


def test_a_split_by_patient_is_clean(films, tmp_path):
    rows = "".join(f"mdb00{number},{'test' if number > 4 else 'train'}\n" for number in range(1, 7))
    code, said = audited("films", films, "--split", written(tmp_path / "split.csv", "image_id,split\n" + rows))
    assert code == 0 and "6 images of 3 patients; 2 test, 4 train" in said


def test_patients_of_a_table_are_held_to_its_official_split(films):
    rows = ["own,a,0,mdb001.pgm,w1,normal,train", "own,b,0,mdb002.pgm,w1,normal,test"]
    head = "dataset,image_id,finding_id,path,patient,severity,official_split"
    code, said = audited("films", written(films / "table.csv", "\n".join([head, *rows])))
    assert code == 1 and "patient w1 is in two splits: a (train), b (test)" in said


@pytest.mark.parametrize(
    ("rows", "leak"),
    [
        ("a,0,0,1,train\na,0,0,2,test", "augmented copies of image a are in two splits: test, train"),
        ("a,1,0,1,train\na,1,0,0,test", "augmented copies of finding 1 of image a are in two splits: test, train"),
        ("a,1,0,0,train\na,1,0,0,val", "crops of finding 1 of image a are in two splits: train, val"),
        ("a,1,0,0,train\na,2,0,0,val", "crops of image a are in two splits: train, val"),
        ("a,,,,train\na,,,,val", "image a is in two splits: train, val"),
    ],
)
def test_one_image_or_finding_in_two_splits_is_told_by_its_columns_alone(tmp_path, rows, leak):
    text = f"image_id,finding_id,patch,copy,split\n{rows}\nb,0,0,0,test\n"
    code, said = audited("split", written(tmp_path / "samples.csv", text))
    assert code == 1 and said.count("leak:") == 1 and f"leak: {leak}\n" in said


def test_a_film_in_two_splits_leaks_its_copy_on_either(films, tmp_path):
    mirrored(films / "mdb001.pgm", films / "copy.png")
    split = written(tmp_path / "split.csv", "image_id,split\nmdb001,train\nmdb001,test\ncopy,train\nx,val\n")
    code, said = audited("films", films, "--split", split, "--sheet", tmp_path / "sheet.png")
    assert code == 1 and "copy.png (train) and mdb001.pgm (test+train)" in said
    assert (
        "note: 5 films are not in the split\n" in said
        and "not looked at: 1 image of the split is not among the films, the first is x\n" in said
    )


def test_what_cannot_be_looked_at_ends_with_2_on_one_line(tmp_path, films):
    for words in (("films", tmp_path / "nowhere"), ("split", tmp_path / "x"), ("benchmark", films, "--copies", "0"),
                  ("claim", "n=225"), ("films",), ("films", films, "--nope"),
                  ("benchmark", films, "--copies", "2", "--seed", "-1")):  # fmt: skip
        code, said = audited(*words)
        assert code == 2 and said.startswith("error: ") and said.count("\n") == 1, said


@pytest.mark.slow
@pytest.mark.realdata
def test_the_real_films_are_322_and_distinct(mias):
    code, said = audited("films", mias.root)
    assert code == 0 and "322 images of 161 patients; no splits; 51,681 pairs" in said


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize("copies", [40, 200])
def test_every_planted_copy_is_found_among_the_real_films(mias, copies):
    code, said = audited("benchmark", mias.root, "--copies", copies)
    assert code == 0
    for line in (f"planted: {copies}", f"found: {copies}", "false pairs: 0"):
        assert f"{line}\n" in said


@pytest.mark.slow
def test_planted_copies_of_the_phantom_are_found_and_counted(films):
    code, said = audited("benchmark", films, "--copies", 16)
    assert code == 0 and "planted: 16\nfound: 16\nfalse pairs: 0\n" in said


@pytest.mark.slow
def test_planted_crops_and_turned_copies_of_the_phantom_are_counted_by_kind(films):
    said = audited("benchmark", films, "--parts", "--copies", 2)[1]
    assert "compared: 6 films and 12 planted ones" in said and "found: 2 of 2, turned by any angle" in said
    assert "found: 2 of 2, crop of 320 pixels" in said and "found: 2 of 2, breast squeezed to a square" in said
    assert "false pairs: 0, of which 0 are among the 15" in said


def test_films_behind_links_are_seen_and_a_folder_of_two_splits_is_a_leak(films, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "test").symlink_to(films)
    (root / "back").symlink_to(root)
    assert "compared: 6 images" in audited("films", root)[1]
    (root / "train").symlink_to(films)
    code, said = audited("films", root)
    assert code == 1 and "train is the same folder as test (train, test)" in said


@pytest.mark.slow
def test_every_kind_of_film_is_compared_and_what_is_none_is_told(films, tmp_path):
    lab = write_example(tmp_path / "lab", patients=3).parent / "films"
    kinds = {path.suffix for path in lab.iterdir()}
    assert ".dcm" in kinds
    shutil.copy(next(lab.glob("*.dcm")), lab / "IM_0001")
    (lab / "._a.png").write_bytes(b"\0\5\26\7")
    (lab / ".ipynb_checkpoints").mkdir()
    (lab / "weights.bin").write_bytes(b"nothing")
    code, said = audited("films", lab, "--sheet", tmp_path / "sheet.png")
    assert code == 0 and "compared: 7 images" in said
    assert "note: two films of one patient have the same pixels: IM_0001" in said  # by the PatientID of both headers
    assert (
        "file manager's) are passed over: 2" in said
        and "note: 1 file of another format is" in said
        and "weights.bin" in said
    )


def test_films_that_cannot_be_read_are_listed_and_the_rest_is_audited(films, tmp_path):
    whole = (films / "mdb001.pgm").read_bytes()
    (films / "mdb001.pgm").write_bytes(whole[:2000])
    (films / "empty.png").write_bytes(b"")
    os.mkfifo(films / "pipe.dcm")
    code, said = audited("films", films)
    assert code == 2 and "compared: 5 images" in said and "no leak found among 5 images; left out: 3 unread" in said
    assert [line.split(":")[1].rpartition("/")[2] for line in said.splitlines() if line.startswith("not looked")] == [
        "empty.png", "mdb001.pgm", "pipe.dcm",
    ]  # fmt: skip
    mirrored(films / "mdb002.pgm", films / "copy.png")
    assert audited("films", films, "--sheet", tmp_path / "sheet.png")[0] == 1
    for path in films.glob("*.p*"):
        path.unlink()
    (films / "empty.png").write_bytes(b"")
    code, said = audited("films", films)
    assert code == 2 and "error: none of the 2 films" in said


@pytest.mark.slow
def test_a_labs_own_table_is_audited_with_the_words_of_training(tmp_path):
    table = write_example(tmp_path / "lab", patients=3)
    code, said = audited("films", table, "data.columns.patient=PatientenNr")
    assert code == 0 and "compared: 6 images of 3 patients" in said
    table.write_text(table.read_text(encoding="utf-8-sig").replace("PatientenNr", "Wer"), encoding="utf-8")
    code, said = audited("films", table)
    assert code == 2 and "data.columns.patient" in said


def test_films_without_texture_are_no_leak(films, tmp_path):
    half = np.zeros((300, 300), np.uint8)
    half[:, 150:] = 255
    for name in ("train/a.png", "test/b.png"):
        (films / name).parent.mkdir()
        cv2.imwrite(str(films / name), half)
    code, said = audited("films", films)
    for number, name in enumerate(("train/c.png", "test/d.png")):
        cv2.imwrite(str(films / name), np.full((50 + number, 40), 128, np.uint8))
    code, said = audited("films", films)
    assert code == 0 and "note: 4 films blank, or without texture to compare: test/b.png, test/d.png" in said
    assert "\nno leak found among 6 images; left out: 6 of no split, 4 blank; the patients of 4 are unknown" in said


def test_patients_whose_names_are_alike_are_named_and_one_of_the_same_name_leaks(tmp_path):
    patients = ["P1", "P1 ", "007", "7", "p2", "P2", "NA", "NA", "0998a", "0998b"]
    rows = "".join(f"{row},{one},{('train', 'test')[row % 2]}\n" for row, one in enumerate(patients))
    code, said = audited("split", written(tmp_path / "split.csv", "image_id,patient,split\n" + rows))
    assert code == 1 and said.count("leak:") == 2 and "patient NA is" in said and "patient P1 is" in said
    for pair in ("007 (train) and 7 (test)", "P2 (test) and p2 (train)", "0998a (train) and 0998b (test)"):
        assert f"note: {pair}: one patient?" in said


def test_no_leak_is_said_of_what_was_looked_at_alone(films, tmp_path):
    (films / "test").mkdir()
    (films / "mdb001.pgm").rename(films / "test" / "mdb001.pgm")
    (films / "train").mkdir()
    for name in ("Thumbs.db", "train.zip", "notes.html"):
        (films / "test" / name).touch()
    cv2.imwritemulti(str(films / "test" / "two.tif"), [read_grey(films / f"mdb00{number}.pgm") for number in (3, 4)])
    for number in range(2, 7):
        (films / f"mdb00{number}.pgm").unlink()
    code, said = audited("films", films)
    first, last = (next(line for line in said.splitlines() if line.startswith(one)) for one in ("compared", "no leak"))
    left = "left out: 2 unreadable, 1 hidden, 1 of other formats, 1 with further pages"
    assert code == 2 and first.endswith(left) and last.startswith(f"no leak found among 2 images; {left}; all of them")
    assert "not looked at" in said and "train: the folder has no film" in said and "train.zip" in said


def test_patients_come_from_names_by_an_expression_and_from_headers(films, tmp_path):
    for number, name in enumerate(("train/P1_L.png", "test/P1_R.png", "test/x.png"), start=1):
        mirrored(films / f"mdb00{number}.pgm", tmp_path / "named" / name.replace("/", "_"))
        (tmp_path / "named" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "named" / name.replace("/", "_")).rename(tmp_path / "named" / name)
    code, said = audited("films", tmp_path / "named")
    assert code == 0 and "the patients of 3 are unknown" in said
    code, said = audited("films", tmp_path / "named", "--patient", "([^/_]+)_")
    assert code == 1 and "patient P1 is in two splits: test/P1_R.png (test), train/P1_L.png (train)" in said
    assert "1 name of a film tells no patient by this expression, test/x.png" in said
    for wrong in ("(", "nobody"):
        assert audited("films", tmp_path / "named", "--patient", wrong)[0] == 2
    split = written(tmp_path / "split.csv", "image_id,split\nP1_L,train\nP1_R,test\n")
    assert audited("split", split)[0] == 0 and audited("split", split, "--patient", "^(.+)_")[0] == 1


def test_the_patients_of_dicom_files_are_those_of_their_headers(films):
    for name, patient in (("train/a.dcm", "P7"), ("test/b.dcm", "P7"), ("test/c.dcm", "P007")):
        (films / name).parent.mkdir(exist_ok=True)
        write_dicom(
            films / name, read_grey(films / f"mdb00{len(name) % 3 + 1}.pgm"), "1.2.840.10008.1.2.1", PatientID=patient
        )
    code, said = audited("films", films, "--sheet", films / "sheet.png")
    assert code == 1 and "patient P7 is in two splits: test/b.dcm (test), train/a.dcm (train)" in said
    assert "P007 (test) and P7 (test+train): one patient?" in said


def test_one_acquisition_exam_or_patient_under_two_names_is_told_by_the_headers(films, tmp_path):
    taken = {"AcquisitionDate": "20190102", "AcquisitionTime": "101112.50", "OrganDose": "0.012"}
    of = {
        "train/a.dcm": {"SOPInstanceUID": "1.2", "StudyInstanceUID": "1.9"}, "test/b.dcm": {"SOPInstanceUID": "1.2"},
        "train/c.dcm": taken, "test/d.dcm": taken, "val/e.dcm": taken | {"AcquisitionTime": "101113"},
        "val/f.dcm": {"StudyInstanceUID": "1.9"},
    }  # fmt: skip
    for number, (name, tags) in enumerate(of.items(), start=1):
        (tmp_path / "lab" / name).parent.mkdir(exist_ok=True, parents=True)
        pixels = read_grey(films / f"mdb00{number}.pgm")
        write_dicom(tmp_path / "lab" / name, pixels, "1.2.840.10008.1.2.1", PatientID=f"P{number * 11}", **tags)
    code, said = audited("films", tmp_path / "lab")
    assert code == 1 and said.count("leak:") == 3
    assert "leak: one acquisition (SOPInstanceUID) is in two splits: test/b.dcm (test) and train/a.dcm (train)" in said
    assert "leak: one acquisition (date, time and dose) is in two splits: test/d.dcm (test) and train/c.dcm" in said
    assert "leak: one exam (StudyInstanceUID) is in two splits: train/a.dcm (train) and val/f.dcm (val)" in said


def test_one_time_and_dose_that_are_written_in_two_ways_are_one_acquisition(films, tmp_path):
    day = {"AcquisitionDate": "20190102"}
    of = {
        "train/a.dcm": day | {"AcquisitionTime": "101112.000", "OrganDose": "0.01234"},
        "test/b.dcm": day | {"AcquisitionTime": "101112", "OrganDose": "0.012340"},
        "test/c.dcm": {"AcquisitionDateTime": "20190102101112.5+0100", "ViewPosition": "CC"},
        "test/d.dcm": day | {"AcquisitionTime": "101112", "OrganDose": "0.02"},
        "test/e.dcm": {"AcquisitionDateTime": "20190102101113"},
        "test/f.dcm": {"AcquisitionDateTime": "20190102000000.4"},
    }
    for number, (name, tags) in enumerate(of.items(), start=1):
        (tmp_path / "lab" / name).parent.mkdir(exist_ok=True, parents=True)
        pixels = read_grey(films / f"mdb00{number}.pgm")
        write_dicom(tmp_path / "lab" / name, pixels, "1.2.840.10008.1.2.1", PatientID=f"P{number * 11}", **tags)
    code, said = audited("films", tmp_path / "lab")
    assert code == 1 and said.count("leak:") == 2
    for other in ("b", "c"):
        assert (
            f"one acquisition (date, time and dose) is in two splits: test/{other}.dcm (test) and train/a.dcm" in said
        )
    for number in range(20):  # a time that many films share is a placeholder, whatever their doses
        pixels = np.random.default_rng(number).integers(0, 255, (60, 50), np.uint8)
        tags = day | {"AcquisitionTime": "101112", "OrganDose": f"{number + 1}", "PatientID": f"N{number}x"}
        write_dicom(tmp_path / "lab" / "train" / f"{number}.dcm", pixels, "1.2.840.10008.1.2.1", **tags)
    said = audited("films", tmp_path / "lab")[1]
    assert "leak:" not in said and "one acquisition (date, time and dose): 24 films state one" in said


def test_an_audit_goes_on_without_a_home_and_tells_its_leaks_before_it_draws(films, tmp_path, monkeypatch):
    mirrored(films / "mdb001.pgm", films / "copy.png")
    (tmp_path / "file").touch()
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "file"))
    code, said = audited("films", films, "--sheet", tmp_path / "file" / "sheet.png")
    assert code == 1 and "MAMMO_HOME" in said and said.index("leak: ") < said.index("sheet: ")
    assert "cannot be written" in said


def test_names_that_people_write_in_two_ways_are_alike_and_others_are_not():
    one = [
        "P-1",
        "p_01",
        "P 1",
        "P1\ufeff",
        "1.0",
        "01",
        "1,0",
        "998_a",
        "998-b",
        "Mu\u0308ller",
        "MÜLLER",
        "1-12",
        "11-2",
        "1.2.10",
    ]
    assert [set(group) for group in alike(one)] == [
        {"P-1", "p_01", "P 1", "P1\ufeff", "1.0", "01", "1,0"}, {"998_a", "998-b"}, {"Mu\u0308ller", "MÜLLER"},
    ]  # fmt: skip
    for group in (
        ["patient_12", "12", "Pat. 012"], ["P12_LEFT", "P12-R", "p12 rechts"], ["Doe^Jane", "DOE, Jane"],
        ["\u0410123", "A123"],
    ):  # fmt: skip
        assert alike([*group, "Doe, John", "13", "2021-1", "A12-3"]) == [tuple(group)]


@pytest.mark.parametrize(
    "group",
    [
        "12LCC|12RMLO|12_CC_L|12", "P12 left breast|P12 right breast", "P12_izq|P12_der", "Fall 7|7|Nr. 07",
        "MRN0008|8", "1,234|1234", "1 234|1234|1_234", "Müller|Mueller", "José|Jose", "Doe, Jane|Jane Doe|DOE^JANE",
        "123-45-6789|123456789", "Doe left|Doe right", "Patient ID: 12|12",
        "P1_2019|P1_2021", "P1_visit1|P1_visit2|P1", "P1 (2019)|P1 (2021)", "P1-V1|P1-V2|P1v3",
        "P1 2019-03-01|P1 01.03.19",
        "P1_pre|P1_post", "P1_baseline|P1_followup", "P1_T0|P1_T1", "001_2019|1_2021", "P1_L_2019|P1_2021_RMLO",
        "Doe Jane 2019|Doe^Jane_pre", "P-1_20190301|P1 Mar 2021", "P1_6m|P1 12 months|P1 1st visit 2019",
        "P1_2019-03|P1", "P1.|P1", "O'Neil, Ann|Ann ONeil", "\u0661\u0662|12", "Łucja|Lucja",
        "P1 (new)|P1_old|P1 rescan|P1",
        "Mass-Training_P_00001_LEFT_CC|Mass-Test_P_00001_RIGHT_MLO|Calc-Test_P_00001_LEFT_CC_1|P_00001",
    ],
)  # fmt: skip
def test_more_spellings_of_one_patient_are_alike(group):
    assert alike(group.split("|")) == [tuple(group.split("|"))]


def test_no_two_patients_of_a_numbered_set_are_alike_and_all_spellings_of_each_are():
    for two in (
        "Mass-Test_P_00001_LEFT_CC|Mass-Test_P_00002_LEFT_CC", "Ann Old|Ann New", "mias-001|cmmd-001",
        "12|121", "P1|P2", "1.5|15", "1,000|1", "Wang Li|Wang Re", "Doe, L|Doe, R", "A12|AE12", "AB-CD|CD-AB",
        "1 23|123", "1-234|1234", "2021-1|20211", "Bauer|Baur", "P2019|P2021", "A_1|A_2", "P_2019|P_2021",
        "12-2019|12-2020",        "A_1999|A_2000|A_5", "A1_2019|A1_2020|A1_1", "A_T1|A_T2", "S1-2019-03|S1-2019-04",
        "patient_2019|patient_2021",
        "S1-12-2019|S1-11-2019", "SITE_2019|SITE_2021", "2019-001|2021-001",
    ):  # fmt: skip
        assert not alike(two.split("|"))
    assert not alike([f"S{s}_{number}" for s in range(3) for number in range(1990, 2090)])  # running numbers
    ways = ["{i}", "{i:05d}", "P{i}", "{i}LCC", "{i}_R", "Fall {i}", "{i:,}", "{i}.0", "mrn {i}", "P{i:06d}_LEFT_MLO"]
    others = ["{s}-{r}", "{s} {r:03d}", "{s}_{r}", "S{s}P{r}", "{i}.5", "A{i}", "{s:03d}-{r:02d}-{i:04d}", "2021-{i}"]
    every = range(1, 3001)
    for way in [*ways, *others]:
        assert not alike([way.format(i=i, s=i // 50, r=i % 50) for i in every])
    assert len(alike(dict.fromkeys(way.format(i=i) for i in every for way in ways))) == len(every)


def test_a_patient_who_is_called_unknown_is_unknown_and_na_is_a_name(films, tmp_path):
    rows = "".join(
        f"{row},{one},{('train', 'test')[row % 2]}\n" for row, one in enumerate(["Unknown", "unknown", "?", "?"])
    )
    code, said = audited("split", written(tmp_path / "split.csv", "image_id,patient,split\n" + rows))
    assert code == 0 and "such as Unknown, unknown, ? is taken for an unknown one, 4 times" in said
    assert "the patients of 4 are unknown" in said
    for name, part in (("a.dcm", "train"), ("b.dcm", "test")):
        (tmp_path / "lab" / part).mkdir(parents=True)
        write_dicom(
            tmp_path / "lab" / part / name,
            read_grey(films / f"mdb00{len(part) - 3}.pgm"),
            "1.2.840.10008.1.2.1",
            PatientID="anonymous",
        )
    code, said = audited("films", tmp_path / "lab")
    assert code == 0 and "a PatientID such as anonymous" in said


def test_patients_that_a_spreadsheet_made_dates_of_are_a_doubt(tmp_path):
    dates = ["1-Mar", "Mar-01", "01. Mrz", "2024-03-01", "2024-03-01 00:00:00", "1/3/2024", "1.3.2024", "12/31/19"]
    assert like_dates([*dates, "3-1", "1-12", "MAR-01", "1.2.10", "20240301", "2-A", "P1", "2021-1"]) == dates
    rows = "a,1-Mar,train\nb,2-A,train\nc,1-Apr,test\n"
    code, said = audited("split", written(tmp_path / "split.csv", f"image_id,patient,split\n{rows}"))
    assert code == 0 and "2 patients look like a date, such as 1-Mar, 1-Apr" in said and "no leak found among" in said


NONE = (
    "nan|N/A|<NA>|n.a.|unk|0|000000|Anonymous Patient|anonymous^|ANONYMOUS^PATIENT|de-identified|desconocido|inconnu"
    "|Anónimo|Unbekannt|NULL|null|REMOVED|XXXX|not available|UNKNOWN^UNKNOWN|***"
)


def test_words_for_no_patient_are_no_leak_and_names_like_them_are(tmp_path):
    def told(patients):
        rows = "".join(f"{row},{one},{('train', 'test')[row % 2]}\n" for row, one in enumerate(patients))
        code, said = audited("split", written(tmp_path / "split.csv", "image_id,patient,split\n" + rows))
        return code, said.count("leak:")

    assert told([one for word in NONE.split("|") for one in (word, word)]) == (0, 0)
    names = ["NA", "anonym12", "Anonymous A", "X", "unknown7", "Nan Li", "10"]
    assert told([one for name in names for one in (name, name)]) == (1, len(names))
    assert told(["0", "0", "1", "2"]) == (1, 1)  # patients that are counted from 0


def test_one_patient_id_of_all_films_may_stand_for_nobody_and_placeholders_do(films, tmp_path):
    def told(*patients):
        for number, (one, part) in enumerate(zip(patients, ("train", "test", "test"), strict=False), start=1):
            (tmp_path / "lab" / part).mkdir(parents=True, exist_ok=True)
            pixels = read_grey(films / f"mdb00{number}.pgm")
            write_dicom(tmp_path / "lab" / part / f"{number}.dcm", pixels, "1.2.840.10008.1.2.1", PatientID=one)
        return audited("films", tmp_path / "lab")

    for word in ("REMOVED", "000000", "ANONYMOUS^PATIENT"):
        assert told(word, word)[0] == 0
    code, said = told("STUDY", "STUDY", "STUDY")
    assert code == 1 and "note: the PatientID of all 3 films is one and the same: it may stand for nobody" in said
    assert "may stand for nobody" not in told("STUDY", "STUDY", "P2")[1]


def test_a_split_is_read_under_other_names_of_columns_and_two_columns_of_patients_are_compared(tmp_path):
    for header in ("Image_ID;PatientID;Split", "filename;case;set", "SOPInstanceUID;Patient Nr.;phase"):
        split = written(tmp_path / "split.csv", f"{header}\na;P1;train\nb;P1;test\n")
        code, said = audited("split", split)
        assert code == 1 and "patient P1 is in two splits: a (train), b (test)" in said
    for header, why in (("image_id,PatientID,patient_nr,split", "PatientID and patient_nr could both be the patient"),
                        ("patient,age,sex,split", "expected the columns split and image_id")):  # fmt: skip
        code, said = audited("split", written(tmp_path / "split.csv", f"{header}\na,P1,P2,train\n"))
        assert code == 2 and why in said and said.count("\n") == 1
    text = "image_id,patient,subject,split\na,P1,S1,train\nb,P2,S1,test\nc,P3,S2,train\nd,P4,S2,train\n"
    code, said = audited("split", written(tmp_path / "split.csv", text))
    assert code == 0 and "subject S1 is that of several patients: P1 (train) and P2 (test)" in said
    assert "no leak found among the names of 4 images; if the patients of subject S1 are several" in said


def test_a_table_of_films_with_two_columns_of_patients_has_them_compared(films):
    for end, parts in (("", ("", "")), (",split", (",train", ",test"))):
        rows = "".join(f"mdb00{n}.pgm,P{n},S1{part}\n" for n, part in zip((1, 3), parts, strict=True))
        code, said = audited("films", written(films / "films.csv", f"image,patient,subject{end}\n{rows}"))
        assert code == 0 and f"subject S1 is that of several patients: P1 ({parts[0][1:] or 'no split'}) and P3" in said
        assert "if the patients of subject S1 are several" in said


def test_a_split_names_films_by_any_path_to_them(films, tmp_path):
    (films / "sub").mkdir()
    shutil.copy(films / "mdb001.pgm", films / "sub" / "mdb001.pgm")
    text = f"image_id,split\n.\\MDB002.PGM,train\n{films}/mdb003.pgm,test\nfilms/mdb004.png,test\nmdb001,train\n"
    code, said = audited("films", films, "--split", written(tmp_path / "split.csv", text))
    assert code == 0 and "2 test, 3 train;" in said
    assert "1 image of the split names several films each, mdb001 for example: mdb001.pgm and sub/mdb001.pgm" in said
    code, said = audited("films", films, "--split", written(tmp_path / "split.csv", "image_id,split\nother,train\n"))
    assert code == 2 and "expected image_ids such as mdb001, found other" in said


def test_folders_that_may_be_parts_are_named_and_the_words_of_other_languages_are_parts(films, tmp_path):
    for number, folder in enumerate(("A", "B"), start=1):
        (tmp_path / "two" / folder).mkdir(parents=True)
        shutil.copy(films / f"mdb00{number}.pgm", tmp_path / "two" / folder)
    code, said = audited("films", tmp_path / "two")
    assert code == 0 and "no part of a split is known" in said and "(A, B; name the parts by --sides A=train)" in said
    shutil.copy(films / "mdb003.pgm", tmp_path / "two" / "c.pgm")
    assert "1 test, 1 train, 1 val" in audited("films", tmp_path / "two", "--sides", "A=train,B=val,.=test")[1]
    (tmp_path / "two" / "A").rename(tmp_path / "two" / "Treinamento")
    (tmp_path / "two" / "B").rename(tmp_path / "two" / "validación")
    assert "1 train, 1 val" in audited("films", tmp_path / "two")[1]


def test_a_negative_is_a_copy_and_odd_names_of_files_do_no_harm(films, tmp_path):
    for part in ("train", "test"):
        (films / part).mkdir()
    cv2.imwrite(str(films / "test" / "x\n.png"), 255 - read_grey(films / "mdb001.pgm"))
    shutil.copy(films / "mdb001.pgm", films / "train")
    shutil.copy(films / "mdb002.pgm", os.fsdecode(os.fsencode(films / "test") + b"/M\xfcller.png"))
    code, said = audited("films", films, "--sheet", tmp_path / "sheet.png")
    assert (
        code == 1 and "test/x\\n.png (test) and train/mdb001.pgm (train): correlation" in said and ", negative" in said
    )
    assert "M\\xfcller.png: its name is not in UTF-8" in said and "left out: 1 unreadable" in said
