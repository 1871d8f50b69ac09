"""Tables of marks, lesions and films as files have them: their columns, numbers and words, checked row by row."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mammo.datasets.findings import PARTS
from mammo.datasets.geometry import FARTHEST
from mammo.errors import InputError

BOX = ["x0_px", "y0_px", "x1_px", "y1_px"]
MARK = ["image_id", "x_px", "y_px", "score"]  # columns that are needed of marks
PLACE = ["image_id", "finding_id", "x_px", "y_px", "radius_px", *BOX, "spacing_mm"]  # and of lesions
IMAGE = ["image_id", "patient", "positive"]  # and of images
WORDS = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}  # of a truth
OUTSIDE = 100  # pixels that a mark may lie outside its film, as the squares of a detector may reach beyond an edge
ROUNDED_ONE = 1 + 1e-6  # what sums of float32 may reach
FIRST = 2  # the row of a file below its header


def check_columns(table: pd.DataFrame, columns: Sequence[str], where: Path | str) -> None:
    """Refuse a table that lacks columns.

    Raises:
        InputError: The line names the columns that are missing.
    """
    if missing := [column for column in columns if column not in table]:
        more = "" if len(table.columns) > 1 else ", separated by commas"
        raise InputError(f"{where}: expected the columns {', '.join(columns)}{more}; missing {', '.join(missing)}")


def with_words(table: pd.DataFrame, columns: Sequence[str], where: Path | str) -> pd.DataFrame:
    """Return the table; refuse it if one of the columns has no word in some row.

    Raises:
        InputError: The line names the row.
    """
    for column in columns:
        _refuse(table[column].isna(), table, column, where, "expected a word; the file may be cut: copy it again")
    return table


def with_numbers(
    table: pd.DataFrame, columns: Sequence[str], where: Path | str, *, missing: bool = False
) -> pd.DataFrame:
    """Return the table with columns of finite numbers.

    Args:
        table: A table, whose first row is the second one of the file.
        columns: The columns.
        where: The name of the table, for errors.
        missing: True allows rows without a number.

    Raises:
        InputError: A value is text, infinite, or missing where it may not be. The line names the row.
    """
    found = {}
    for column in columns:
        given = table[column]
        values = pd.to_numeric(given, errors="coerce").to_numpy(float, na_value=np.nan)
        wrong = ~np.isfinite(values) & ~(given.isna().to_numpy() & missing)
        _refuse(wrong, table, column, where, "expected a finite number with a decimal point")
        if given.dtype.kind not in "if":
            found[column] = values
    return table.assign(**found)


def with_answers(table: pd.DataFrame, probabilities: Sequence[str], where: Path | str) -> pd.DataFrame:
    """Return the table with numbers as `score`, and as probabilities from 0 to 1; each may be missing.

    Raises:
        InputError: A value is none of these. The line names the row.
    """
    words = [column for column in ("score", *probabilities) if table[column].dtype.kind not in "if"]
    table = with_numbers(table, words, where, missing=True)
    for column in probabilities:
        wrong = (table[column] < 0) | (table[column] > ROUNDED_ONE)
        _refuse(wrong, table, column, where, "expected a probability from 0 to 1")
    return table


def checked(table: pd.DataFrame, words: Sequence[str], numbers: Sequence[str], where: Path | str) -> pd.DataFrame:
    """Return a table with columns that have a word in each row, and columns of finite numbers, some maybe missing.

    Raises:
        InputError: A column is missing, or a value is none of these. The line names the row.
    """
    check_columns(table, [*words, *numbers], where)
    return with_numbers(with_words(table, words, where), numbers, where, missing=True)


def with_truths(table: pd.DataFrame, where: Path | str) -> pd.DataFrame:
    """Return the table with `positive` as bool; the words are True and False, or 1 and 0.

    Raises:
        InputError: A row has another word, or none. The line names the row.
    """
    given = table["positive"]
    known = given.map({one: WORDS.get(str(one).strip().casefold()) for one in given.unique()})
    _refuse(known.isna(), table, "positive", where, "expected True or False, or 1 or 0")
    return table.assign(positive=known.to_numpy(bool))


def check_parts(table: pd.DataFrame, where: Path | str) -> None:
    """Refuse a table whose column `split` has another word than train, val or test.

    Raises:
        InputError: The line names the row.
    """
    _refuse(~table["split"].isin(PARTS), table, "split", where, f"expected {', '.join(PARTS[:-1])} or {PARTS[-1]}")


def check_images(table: pd.DataFrame, images: pd.DataFrame, where: Path | str) -> None:
    """Refuse a table a row of which is of another image, or of another `split`, if it tells one, than a run has.

    Args:
        table: The table.
        images: One row per image of the run, with `image_id` and `split`.
        where: The name of the table, for errors.

    Raises:
        InputError: The line names the image.
    """
    of = table["image_id"].map(images.drop_duplicates("image_id").set_index("image_id")["split"])
    wrong = of.isna() | (of != table["split"] if "split" in table else False)
    if wrong.any():
        row, own = table[wrong].iloc[0], of[wrong].iloc[0]
        why = "is no image of the run" if pd.isna(own) else f"is of {own} in the run, and of {row['split']} here"
        raise InputError(f"{where}: {row['image_id']} {why}; give the tables of one run")


def check_alike(table: pd.DataFrame, columns: Sequence[str], where: Path | str) -> None:
    """Refuse a table in which an image has two values of a column.

    Raises:
        InputError: The line names the row.
    """
    for column in columns:
        first = table.groupby("image_id")[column].transform("first")
        _refuse(table[column] != first, table, column, where, "an earlier row of this image has another one")


def check_different(table: pd.DataFrame, columns: Sequence[str], where: Path | str, what: str) -> None:
    """Refuse a table two rows of which have the same values in some columns.

    Args:
        table: The table.
        columns: The columns that tell a row from others.
        where: The name of the table, for errors.
        what: The words for what a row is, for example `lesion`.

    Raises:
        InputError: The line names the row.
    """
    twice = table.duplicated(list(columns)).to_numpy()
    if twice.any():
        at = int(twice.argmax())
        raise InputError(
            f"{where}: {_row(at, where)}the {what} of {table['image_id'].iloc[at]} stands in an earlier row too; "
            "leave one of them out"
        )


def check_places(marks: pd.DataFrame, where: Path | str) -> None:
    """Refuse marks that cannot lie on a film.

    Raises:
        InputError: The line names the row.
    """
    for column in ("x_px", "y_px"):
        away = (marks[column] < -OUTSIDE) | (marks[column] > FARTHEST)
        _refuse(away, marks, column, where, "expected a place on the film, in its own pixels from its top left corner")


def marks_of_run(table: pd.DataFrame, where: Path) -> pd.DataFrame:
    """Return the marks of a run, checked: their columns, numbers and parts, and that none stands there twice.

    Raises:
        InputError: The table is none of marks. The line names the row.
    """
    columns = [*MARK, "split", "head"]
    check_columns(table, columns, where)
    table = with_numbers(with_words(table, ["image_id", "head"], where), MARK[1:], where)
    check_parts(table, where)
    check_different(table, columns, where, "mark")
    check_places(table, where)
    return table


def lesions_of_file(table: pd.DataFrame, where: Path) -> pd.DataFrame:
    """Return lesions, checked: their columns, numbers and parts, and that none stands there twice.

    Raises:
        InputError: The table is none of lesions. The line names the row.
    """
    check_columns(table, PLACE, where)
    table = with_numbers(with_words(table, PLACE[:2], where), PLACE[2:], where, missing=True)
    if "split" in table:
        check_parts(table, where)
    check_different(table, PLACE[:2], where, "lesion")
    return table


def _row(at: int, where: Path | str) -> str:
    """Return the words for a row of a file; nothing for a table in memory, whose rows have no such numbers."""
    return f"row {at + FIRST}: " if isinstance(where, Path) else ""


def _refuse(wrong: pd.Series | np.ndarray, table: pd.DataFrame, column: str, where: Path | str, expected: str) -> None:
    """Raise an error that names the first wrong row, if there is one."""
    mask = np.asarray(wrong, bool)
    if mask.any():
        at = int(mask.argmax())
        value = table[column].iloc[at]
        of = f" of {table['image_id'].iloc[at]}" if "image_id" in table and column != "image_id" else ""
        raise InputError(
            f"{where}: {_row(at, where)}{column}{of} is {'missing' if pd.isna(value) else str(value)[:40]}; {expected}"
        )
