"""Tables of marks and lesions of a run that were edited, cut or saved by another program are refused by their row."""

import numpy as np
import pandas as pd
import pytest

from mammo.errors import InputError
from mammo.evaluation.detection import detections
from mammo.evaluation.mark_tables import with_truths
from mammo.run_tables import RunTables
from tests.evaluation.marks import BOX, films, lesions, marks, numbered

PARTS = {"a": "test", "b": "test", "c": "test", "d": "val", "e": "val"}
IMAGES = films(a=True, b=False, c=True, d=True, e=False).assign(split=list(PARTS.values()))


def tables():
    """The marks of two heads on five images of two parts, and three lesions."""
    found = marks(*((name, 10.0 + at, 20.5, at / 8) for at, name in enumerate(PARTS)))
    heads = [found.assign(head=head, split=list(PARTS.values())) for head in ("detector", "brightest_blob")]
    placed = numbered(lesions(*((name, 10.0, 20.0, 5.0) for name in "acd")))
    return pd.concat(heads, ignore_index=True), placed.assign(split=placed["image_id"].map(PARTS))


@pytest.fixture
def read(tmp_path):
    """Writes the two tables into a folder and returns them as a run reads them."""

    def again(candidates, placed, **how):
        candidates.to_csv(tmp_path / "candidates.csv", index=False, **how)
        placed.to_csv(tmp_path / "lesions.csv", index=False, **how)
        run = RunTables(tmp_path)
        return run.candidates, run.lesions

    return again


def test_right_tables_stay_as_they_are_and_are_judged(read):
    given = tables()
    for table, back in zip(given, read(*given), strict=True):
        pd.testing.assert_frame_equal(back[list(table)], table, check_dtype=False)
    found = detections(*read(*given), IMAGES, ["test"])
    assert list(found) == ["test"] and set(found["test"]) == {"detector", "brightest_blob"}


def changed(table, column, value, row=0):
    return table.astype({column: object}).assign(**{column: lambda of: of[column].where(of.index != row, value)})


OF_MARKS = {
    "a decimal comma": (lambda of: changed(of, "x_px", "12,5"), "row 2: x_px of a is 12,5"),
    "an infinite score": (lambda of: changed(of, "score", np.inf, 1), "row 3: score of b is inf"),
    "no score": (lambda of: changed(of, "score", None, 1), "row 3: score of b is missing"),
    "no head": (lambda of: of.drop(columns="head"), "missing head"),
    "a row without a head": (lambda of: changed(of, "head", None), "row 2: head of a is missing"),
    "another word for a part": (
        lambda of: changed(of, "split", "Test", 2),
        "row 4: split of c is Test; expected train",
    ),
    "a place far left of the film": (lambda of: changed(of, "x_px", -101.0), "row 2: x_px of a is -101"),
    "a place far below any film": (lambda of: changed(of, "y_px", 65536.0, 1), "row 3: y_px of b is 65536"),
    "a mark twice": (lambda of: pd.concat([of, of[2:3]]), "row 12: the mark of c"),
}
OF_LESIONS = {
    "a decimal comma": (lambda of: changed(of, "x_px", "12,5"), "row 2: x_px of a is 12,5"),
    "an infinite radius": (lambda of: changed(of, "radius_px", np.inf, 2), "row 4: radius_px of d is inf"),
    "no column": (lambda of: of.drop(columns=BOX[0]), "missing x0_px"),
    "another word for a part": (lambda of: changed(of, "split", "Test"), "row 2: split of a is Test"),
    "a lesion twice": (lambda of: pd.concat([of, of[1:2]]), "row 5: the lesion of c"),
}


@pytest.mark.parametrize("kind", OF_MARKS)
def test_marks_that_cannot_be_judged_are_refused_by_file_and_row(read, kind):
    (candidates, placed), (change, said) = tables(), OF_MARKS[kind]
    with pytest.raises(InputError, match=rf"candidates\.csv: .*{said}"):
        read(change(candidates), placed)


@pytest.mark.parametrize("kind", OF_LESIONS)
def test_lesions_that_cannot_be_judged_by_are_refused_by_file_and_row(read, kind):
    (candidates, placed), (change, said) = tables(), OF_LESIONS[kind]
    with pytest.raises(InputError, match=rf"lesions\.csv: .*{said}"):
        read(candidates, change(placed))


def test_a_table_with_semicolons_is_told_to_have_commas(read):
    with pytest.raises(InputError, match=r"candidates\.csv: expected the columns .*separated by commas"):
        read(*tables(), sep=";")


def test_a_cut_table_and_one_of_other_images_or_parts_are_not_passed_over():
    candidates, placed = tables()
    with pytest.raises(InputError, match="no mark is on an image of test"):
        detections(candidates[candidates["split"] != "test"], placed, IMAGES)
    with pytest.raises(InputError, match="no mark is on an image of test"):
        detections(candidates[:0], placed, IMAGES)
    for own, other in ((candidates, placed), (placed, candidates)):
        strange = own.assign(image_id=own["image_id"].replace({"a": "z"}))
        both = (strange, other) if own is candidates else (other, strange)
        with pytest.raises(InputError, match="z is no image of the run"):
            detections(*both, IMAGES)
    with pytest.raises(InputError, match="a is of test in the run, and of val here"):
        detections(candidates.assign(split="val"), placed, IMAGES)


@pytest.mark.parametrize("words", [[True, False], [1, 0], ["TRUE", "false"], [1.0, 0.0], ["1", "0"]])
def test_truths_are_true_and_false_or_1_and_0(words):
    table = pd.DataFrame({"image_id": ["a", "b"], "positive": words})
    assert with_truths(table, "films")["positive"].tolist() == [True, False]


@pytest.mark.parametrize("word", ["yes", "malignant", None, 2, 0.5])
def test_another_word_is_no_truth(word):
    table = pd.DataFrame({"image_id": ["a", "b"], "positive": pd.Series([True, word], dtype=object)})
    with pytest.raises(InputError, match=r"films: positive of b is .*expected True or False"):
        with_truths(table, "films")
