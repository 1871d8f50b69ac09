"""An audit never says more than it looked at: what may leak in what was not compared is a doubt, or ends with 2."""

import re
import shutil
import time
import unicodedata

import cv2
import openpyxl
import pandas as pd
import pytest

from mammo.auditing.doubts import images_alike, nearly_same, standing
from mammo.auditing.hashes import read_grey
from mammo.datasets.findings import STRING
from tests.auditing.test_audit import audited, films, written  # noqa: F401
from tests.formats import ways

LEFT = "train/P1_L.pgm", "test/P1_R.pgm", "train/P2_L.pgm"


@pytest.fixture
def placed(films, tmp_path):  # noqa: F811
    """Puts films that differ under other names into a folder."""

    def place(*names):
        folder = tmp_path / "placed"
        for film, name in zip(sorted(films.glob("*.pgm")), names, strict=False):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(film, folder / name)
        return folder

    return place


def workbook(path, **sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_patients_that_a_user_tells_and_those_of_a_split_are_both_compared(placed, tmp_path):
    folder = placed("P1_L.pgm", "P1_R.pgm", "P2_L.pgm")
    split = written(tmp_path / "s.csv", "image_id,patient,split\nP1_L,A,train\nP1_R,B,test\nP2_L,C,train\n")
    assert audited("films", folder, "--split", split)[0] == 0
    code, said = audited("films", folder, "--split", split, "--patient", r"(P\d)_")
    assert code == 1 and "leak: patient P1 is in two splits: P1_L (train), P1_R (test)" in said
    split = written(tmp_path / "s.csv", "image_id,patient,split\nP1_L,A,train\nP1_R,B,test\nP2_L,B,train\n")
    code, said = audited("films", folder, "--split", split, "--patient", r"(P\d)_")
    assert code == 1 and "patient P1 is in two" in said and "patient B is in two" in said and "leaks: 2\n" in said


def test_sheets_that_are_not_read_are_a_doubt(placed, tmp_path):
    first = [["image_id", "patient", "split"], ["a", "P1", "train"], ["c", "P2", "test"]]
    book = workbook(tmp_path / "s.xlsx", all=first, old=[["image_id", "patient", "split"], ["b", "P1", "test"]])
    code, said = audited("split", book)
    assert code == 0 and said.splitlines()[-1].endswith("the workbook has 2 sheets; all is read, old is not")
    code, said = audited("films", placed("a.pgm", "c.pgm"), "--split", book)
    assert "old is not" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("column", "words"), [("usage", ("Training", "Test")), ("fold", ("0", "1")), ("is_test", ("no", "yes"))]
)
def test_a_column_that_may_tell_the_parts_is_a_doubt(placed, column, words):
    folder = placed("a.pgm", "b.pgm")
    rows = "".join(f"{name}.pgm,P1,{word}\n" for name, word in zip("ab", words, strict=True))
    code, said = audited("films", written(folder / "t.csv", f"path,patient,{column}\n{rows}"))
    assert code == 0 and f"the column {column} may tell the parts of a split" in said.splitlines()[-1]


@pytest.mark.parametrize("column", ["interval", "latest", "remarks"])
def test_another_column_is_no_doubt(placed, column):
    folder = placed("a.pgm", "b.pgm")
    rows = f"path,patient,{column}\na.pgm,P1,6\nb.pgm,P1,12\n"
    assert "may tell the parts" not in audited("films", written(folder / "t.csv", rows))[1]


def test_the_names_of_patients_in_headers_are_not_mixed_with_those_of_the_split(placed, tmp_path):
    folder = placed("b.pgm")
    (folder / "a.dcm").write_bytes(ways.dicom(ways.X, PatientID="7"))
    split = written(tmp_path / "s.csv", "image_id,patient,split\na,5,train\nb,7,test\n")
    code, said = audited("films", folder, "--split", split)
    assert code == 0 and "leak:" not in said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("train_P1_L.pgm", "test_P1_R.pgm"), "names of films tell test and train: give the parts by --split"),
        (("data/Lernen/P1_L.pgm", "data/Pruefung/P1_R.pgm"), "name the parts by --sides data/Lernen=train"),
        (("P1_L.pgm", "Pruefung/P1_R.pgm"), "name the parts by --sides Pruefung=train"),
        (("a.pgm", "b.pgm"), "no part of a split is known, so patients were not compared across parts"),
    ],
)
def test_parts_that_are_not_known_are_a_doubt(placed, names, said):
    code, found = audited("films", placed(*names))
    assert code == 0 and said in found.splitlines()[-1] and "no leak found among" in found


@pytest.mark.parametrize("beside", ["test", "train"])
def test_a_pair_that_is_nearly_the_same_is_a_doubt_across_parts(placed, films, beside):  # noqa: F811
    folder = placed("train/P1.pgm", f"{beside}/P2.pgm", "val/P3.pgm")
    film = read_grey(folder / "train/P1.pgm")
    cv2.imwrite(str(folder / beside / "bad.jpg"), film, [cv2.IMWRITE_JPEG_QUALITY, 5])
    code, said = audited("films", folder)
    doubt = r"if 1 pair of films that is nearly the same, test/bad.jpg and train/P1.pgm .*\), shows two breasts"
    assert code == 0 and bool(re.search(doubt, said.splitlines()[-1])) == (beside == "test")


def test_a_pair_lies_in_two_parts_by_the_parts_of_both_films():
    table = pd.DataFrame(
        {"split": ["train", "test+train", None, None], "patient": [None, "P1", "P1", "P2"]}, dtype=STRING
    )
    table["name"] = list("abcd")
    for own, (beside, apart) in ((True, ("beside", "unplaced")), (False, ("unplaced", "unplaced"))):
        lies = standing(table, own=own)
        assert [lies(0, 1), lies(1, 2), lies(2, 3), lies(0, 0)] == ["across", beside, apart, "within"]
        assert nearly_same(table, [(2, 3, "", 0.7)], lies) == []
    lies = standing(table.assign(split=table["split"].mask(table["split"].notna())), own=True)
    assert [lies(0, 1), lies(1, 2), lies(2, 3), lies(0, 0)] == ["across", "within", "across", "across"]


def test_patients_by_names_that_hold_folders_of_parts_or_are_all_different_are_told(placed):
    folder = placed("a/train/P1_L.pgm", "a/test/P1_R.pgm", "a/test/P2_R.pgm")
    code, said = audited("films", folder, "--patient", "^([^_]+)_")
    assert "note: a/test/P1 (test) and a/train/P1 (train): one patient?" in said and code == 0
    assert "if patients with almost the same names, in several splits, are two" in said.splitlines()[-1]
    assert "each film is a patient of its own by this expression" in said
    assert audited("films", folder, "--patient", "([^/_]+)_")[0] == 1


def test_a_split_with_images_that_are_not_there_could_not_be_looked_at(placed, tmp_path):
    split = written(tmp_path / "s.csv", "image_id,split\na,train\nb,train\nc,test\n")
    code, said = audited("films", placed("a.pgm", "b.pgm"), "--split", split)
    assert code == 2 and "not looked at: 1 image of the split is not among the films, the first is c" in said


@pytest.mark.parametrize(
    ("one", "other"), [("P1_L", "p1_l"), ("P1_L.png", "P1_L.dcm"), (r"C:\data\train\P1_L.png", r"D:\test\p1_l.PNG"),
                       ("caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9"))],
)  # fmt: skip
def test_images_whose_names_differ_in_writing_alone_are_a_doubt(tmp_path, one, other):
    split = written(tmp_path / "s.csv", f"image_id,patient,split\n{one},P1,train\n{other},P2,test\nx,P3,test\n")
    code, said = audited("split", split)
    assert code == 0 and "if 1 image of other folders, case or ending" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("one", "other", "doubt"),
    [
        ("mdb001.png", "mdb001_rot90.png", True), ("P1_L", "P1_L - Copy", True), ("a (1).png", "a.png", True),
        ("P1_flip_aug3", "P1_rot", True), ("train/P1_L.png", r"test\P1_L_hflip.png", True),
        ("P1_L_1", "P1_L_2", False), ("robot", "rotunda", False), ("benign (1).png", "benign (2).png", False),
        ("p12_crop1", "p12_crop2", False), ("p12_cropped", "p12", True), ("a - Copy (2)", "a - Copy (3)", True),
        ("a (1)_flip", "a (1)", True),
    ],
)  # fmt: skip
def test_images_whose_names_differ_in_a_mark_of_a_copy_are_a_doubt(tmp_path, one, other, doubt):
    rows = f"{one},P1,train\n{other},P2,test\nx_flip,P3,test\n"
    code, said = audited("split", written(tmp_path / "s.csv", f"image_id,patient,split\n{rows}"))
    assert code == 0 and ("marks of copies" in said.splitlines()[-1]) == doubt
    inside = written(tmp_path / "s.csv", f"image_id,patient,split\n{rows.replace('train', 'test')}y,P4,train\n")
    assert audited("split", inside)[1].endswith("no leak found\n")


def test_an_image_with_two_patients_and_an_exam_or_file_with_two_are_told(tmp_path):
    split = written(tmp_path / "s.csv", "image_id,patient,split\na,P1,train\na,P2,train\nb,P3,test\n")
    said = audited("split", split)[1]
    assert "note: 1 image has several patients, a for example: P1 and P2" in said and "in common are several" in said
    for column in ("AccessionNumber", "MD5", "SOPInstanceUID"):
        split = written(tmp_path / "s.csv", f"image_id,patient,split,{column}\na,P1,train,A7\nb,P2,test,A7\n")
        assert f"{column} A7 is that of several patients: P1 (train) and P2 (test)" in audited("split", split)[1]


@pytest.mark.parametrize("column", ["AccessionNumber", "MD5", "SOPInstanceUID", "StudyInstanceUID"])
@pytest.mark.parametrize("word", ["ANON", "0", "1.2346E+11", "#REF!"])
def test_words_that_name_no_exam_or_file_are_no_doubt(tmp_path, column, word):
    split = written(tmp_path / "s.csv", f"image_id,patient,split,{column}\na,P1,train,{word}\nb,P2,test,{word}\n")
    code, said = audited("split", split)
    assert code == 0 and said.endswith("\nno leak found\n")


def test_a_number_that_most_patients_share_is_no_doubt(tmp_path):
    rows = "".join(f"a{one},P{one}x,{'train' if one % 2 else 'test'},77\n" for one in range(1000, 1025))
    split = written(tmp_path / "s.csv", f"image_id,patient,split,accession\n{rows}")
    assert audited("split", split)[1].endswith("\nno leak found\n")


def test_films_of_one_name_in_folders_of_patients_are_no_images_of_two(placed):
    folder = placed("train/P1/L_CC.pgm", "train/P2/L_CC.pgm", "test/P3/L_CC.pgm")
    code, said = audited("films", folder, "--patient", "(P[0-9])")
    assert code == 0 and "several" not in said


def test_marks_of_copies_are_looked_for_in_the_time_of_one_look():
    names = pd.Series([*"ab", *("_" * 50 + f"{number}" for number in range(9000))], dtype=STRING)
    begun = time.process_time()
    assert images_alike(pd.DataFrame({"image_id": names, "split": "train"})) == []
    assert time.process_time() - begun < 0.6


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("image_id,is_train\na,1\n", r"in a column split \(now in is_train\)"),
        ("train,test\na,b\n", r"give each image a row, .* \(now one column for each part: train, test\)"),
        ("patient,split\nP1,train\n", "give each image a row of its own, with its image_id"),
        ("image_id patient split\na P1 train\n", "separate the columns by commas"),
    ],
)
def test_a_split_in_another_form_is_told_which_form_it_needs(tmp_path, text, advice):
    code, said = audited("split", written(tmp_path / "s.csv", text))
    assert code == 2 and re.search(advice, said)


def test_names_that_many_folders_hold_are_no_doubt(tmp_path):
    rows = "".join(
        f"{patient}/1-1.dcm,{patient},{'train' if patient < 'P3' else 'test'}\n" for patient in ("P1", "P2", "P3")
    )
    assert audited("split", written(tmp_path / "s.csv", f"image_id,patient,split\n{rows}"))[1].endswith(
        "no leak found\n"
    )


def test_folds_are_parts_once_their_column_is_called_split(tmp_path):
    rows = "a,P1,0\nb,P1,1\n"
    code, said = audited("split", written(tmp_path / "s.csv", f"image_id,patient,fold\n{rows}"))
    assert code == 2 and "call fold split, to compare its parts" in said
    code, said = audited("split", written(tmp_path / "s.csv", f"image_id,patient,split\n{rows}"))
    assert code == 1 and "patient P1 is in two splits: a (fold0), b (fold1)" in said


def test_an_exam_of_two_patients_in_two_parts_is_a_leak(tmp_path):
    split = "image_id,patient,StudyInstanceUID,split\na,P1,1.2.3,train\nb,P2,1.2.3,test\n"
    code, said = audited("split", written(tmp_path / "s.csv", split))
    assert code == 1 and "leak: exam 1.2.3 of patients P1 and P2 is in two splits" in said
    visits = "image_id,patient,exam,split\na,P1,1,train\nb,P2,1,test\n"
    assert audited("split", written(tmp_path / "s.csv", visits))[0] == 0


def test_patients_written_in_two_ways_are_named_beside_films_of_no_part(placed):
    folder = placed("full/P01_L.pgm", "full/P3_L.pgm", "val/P1_R.pgm", "val/P2_R.pgm")
    said = audited("films", folder, "--patient", r"/(P\d+)_")[1]
    assert "P01 (no split) and P1 (val): one patient?" in said


def test_tables_and_lists_beside_films_that_may_tell_the_parts_are_a_doubt(placed):
    folder = placed("images/a.pgm", "images/b.pgm")
    (folder / "train.txt").write_text("images/a.pgm\n")
    assert "may tell the parts" not in audited("films", folder)[1]
    (folder / "val_log.txt").write_text("epoch 1 loss 0.5\n")
    assert "may tell the parts" not in audited("films", folder)[1]
    (folder / "val.txt").write_text("images/a.pgm\nimages/b.pgm\n")
    code, said = audited("films", folder)
    assert code == 0 and "train.txt and val.txt may tell the parts: give it, or its folder, by --split" in said
    code, said = audited("films", folder, "--split", folder)
    assert code == 1 and "image images/a.pgm is in two splits: train, val" in said
    (folder / "train.txt").unlink()
    (folder / "folds.csv").write_text("image_id,fold\n")
    assert "folds.csv may tell the parts" in audited("films", folder)[1]


def test_films_of_few_grey_levels_are_a_doubt(placed):
    folder = placed("train/a.pgm", "test/b.pgm")
    assert "grey levels" not in audited("films", folder)[1]
    film = read_grey(folder / "train/a.pgm")
    cv2.imwrite(str(folder / "test/c.png"), film // 64 * 64 + 20)
    code, said = audited("films", folder)
    few = "1 film has few grey levels, or large areas of one, test/c.png for example"
    assert code == 0 and few in said.splitlines()[-1]  # the copy is not found


def test_an_empty_part_is_told_at_any_depth_and_a_film_whatever_its_name(placed):
    folder = placed("data/train/a.pgm", "data/val/b.pgm", "data/val/c.txt")
    (folder / "data/test").mkdir()
    code, said = audited("films", folder)
    assert code == 2 and f"{folder / 'data/test'}: the folder has no film" in said and "3 images" in said


@pytest.mark.parametrize(
    ("name", "content"),
    [("test.parquet", b"PAR1..."), ("test.tar.zst", b"?"), ("test", b"\0" * 257 + b"ustar"), ("more.cbz", b"PK\3\4"),
     ("test.tfrecord-00000-of-00002", b"?"), ("b.zip.part", b"PK\3\4"), ("c", b"version https://git-lfs.github.com")],
)  # fmt: skip
def test_what_may_hold_films_inside_is_told_by_its_name_or_content(placed, name, content):
    folder = placed("train/a.pgm", "val/b.pgm")
    (folder / name).write_bytes(content)
    (folder / "labels.csv").write_text("a,b")
    code, said = audited("films", folder)
    assert code == 2 and f"{folder / name}: films inside it, if any, are not read" in said and "1 unreadable" in said


@pytest.mark.parametrize("names", [
    ("fold1_train/a.pgm", "fold1_test/b.pgm", "fold2_train/c.pgm"), ("split_1/train/a.pgm", "split_2/train/b.pgm"),
])  # fmt: skip
def test_the_parts_of_several_splits_are_refused(placed, names):
    code, said = audited("films", placed(*names))
    assert code == 2 and "expected the parts of one split, found those of several" in said
    assert audited("films", placed("run1/train/a.pgm", "run1/test/b.pgm").joinpath("run1"))[0] == 0


def test_the_sheet_of_an_audit_is_no_film(placed, monkeypatch):
    folder = placed("train/a.pgm", "test/b.pgm")
    cv2.imwrite(str(folder / "test/c.png"), read_grey(folder / "train/a.pgm"))
    monkeypatch.chdir(folder)
    assert audited("films", ".")[0] == 1 and (folder / "leaks.png").is_file()
    (folder / "test/c.png").unlink()
    code, said = audited("films", ".")
    assert code == 0 and "leaks.png is the sheet of an earlier audit, and passed over" in said
    for words in (["films", ""], ["films", ".", "--sheet", ""]):
        code, said = audited(*words)
        assert code == 2 and "is empty; is a variable of the shell not set?" in said


def test_folders_are_parts_in_whatever_form_their_letters_are(placed):
    name = unicodedata.normalize("NFD", "Pr\u00fcfung")
    folder = placed(f"{name}/a.pgm", "test/b.pgm")
    assert "1 test, 1 val" in audited("films", folder, "--sides", "Pr\u00fcfung=val")[1]


@pytest.mark.parametrize(
    ("one", "other", "doubt"),
    [
        ("P0001_L_CC.png", "P0001_R_MLO.png", True),
        ("a/P0001/LCC.png", "b/P0001/RCC.png", True),
        ("Left_12.png", "right 12.png", True),
        ("A_7_1.LEFT_CC.png", "A_7_1.RIGHT_CC.png", True),
        ("P1/P0001_L_CC.png", "P1/P0002_L_CC.png", False),
        ("benign_left_12.png", "benign_left_13.png", False),
        ("P0001_1.png", "P0001_2.png", False),
        ("left.png", "right.png", False),
    ],
)
def test_images_of_unknown_patients_that_differ_in_side_and_view_alone_are_a_doubt(tmp_path, one, other, doubt):
    split = written(tmp_path / "s.csv", f"image_id,split\n{one},train\n{one},train\n{other},test\nP9_x.png,test\n")
    code, said = audited("split", split)
    assert code == 0 and ("differ in side and view alone" in said) == doubt and said.count(f"{one} (train)") == doubt
    split = written(tmp_path / "s.csv", f"image_id,split,patient\n{one},train,1\n{other},test,2\nP9_x.png,test,3\n")
    assert "differ in side and view alone" not in audited("split", split)[1]
