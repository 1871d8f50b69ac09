"""The labels of a user's table: carried to the images of a breast or patient, and numbered as findings."""

from collections.abc import Collection

import pandas as pd

from mammo.datasets.label_words import fold, words_of
from mammo.datasets.table_rows import Rows
from mammo.errors import InputError
from mammo.tables.numbers import named_rows
from mammo.tables.spellings import FINDING
from mammo.wording import number_of

RANK = {"normal": 0, "benign": 1, "malignant": 2}


def carry(
    rows: Rows, table: pd.DataFrame, label_of: str, columns: Collection[str], task_column: str | None = None
) -> pd.DataFrame:
    """Return the table with the labels of each breast or patient in all rows of it.

    The worst severity of a unit counts for its rows without one. Other columns are carried where the unit has one word.

    Args:
        rows: The rows, for errors and notes.
        table: The table.
        label_of: The unit, `image`, `breast` or `patient`.
        columns: The columns that are carried beside severity; each unit must have one word in them.
        task_column: The column of the task; it is not carried in units that have several words.

    Raises:
        InputError: A column is not there, or the rows of a unit disagree.
    """
    if label_of == "image":
        return table
    unit = table["patient"]
    if label_of == "breast":
        unit = (unit + "|" + table["exam"].fillna("") + "|" + table["laterality"]).astype("string")
        _say_without_exam(rows, table)
        if count := table.loc[unit.isna(), "image_id"].nunique():
            rows.notes.append(
                f"labels are not carried to {number_of(count, 'image')}, because their laterality is unknown"
            )
    rank = table["severity"].map(RANK).astype("Int64")
    worst = rank.groupby(unit).transform("max")
    wrong = ((rank == 0) & (worst > 0)).fillna(False)
    rows.refuse(wrong, f"severity is normal, and another row of the same {label_of} has a finding; "
                f"data.label_of={label_of} needs one of them")  # fmt: skip
    carried = rank.isna() & worst.notna()
    table = table.assign(severity=table["severity"].fillna(worst.map({rank: word for word, rank in RANK.items()})))
    for column in dict.fromkeys([*columns, *([task_column] if task_column in table else [])]):
        if column == "severity":
            continue
        if column not in table:
            raise InputError(f"data.label_columns: {rows.name} has no column {column}")
        words = words_of(table[column])
        folded = words.map(fold, na_action="ignore")
        spelt = folded.groupby(unit)
        several = (spelt.transform("nunique") > 1).fillna(False)
        if column in columns:
            rows.refuse(several & (folded != spelt.transform("first")),
                        f"{column} differs from that of an earlier row of the same {label_of}; data.label_of="
                        f"{label_of} needs one word of each")  # fmt: skip
        lacking = words.isna() & unit.notna()
        if count := table.loc[lacking & several, "image_id"].nunique():
            rows.notes.append(
                f"{column} is not carried to {number_of(count, 'image')}, as rows of their {label_of} differ"
            )
        lacking &= ~several & spelt.transform("first").notna()
        first = words.groupby(unit).transform("first")
        table = table.assign(**{str(column): table[column].mask(lacking, first)})
        carried |= lacking
    if label_of == "patient":
        source = table["severity_source"].mask(carried & table["severity_source"].isna(), "patient_label")
        table = table.assign(severity_source=source)
    images = table.loc[carried, "image_id"].nunique()
    plural = {"breast": "breasts", "patient": "patients"}[label_of]
    rows.notes.append(
        f"labels describe {plural}: {number_of(images, 'image carries', 'images carry')} the label of their {label_of}"
    )
    return table


def _say_without_exam(rows: Rows, table: pd.DataFrame) -> None:
    """Say how many images have no exam, while others of their breast have one: no label is carried between these."""
    breast = (table["patient"] + "|" + table["laterality"]).astype("string")
    lacking = table["exam"].isna() & table["exam"].notna().groupby(breast).transform("any").fillna(False)
    if count := table.loc[lacking, "image_id"].nunique():
        rows.notes.append(
            f"**{number_of(count, 'image has', 'images have')} no exam, row {lacking.idxmax()} for example, and other "
            "images of the same breast have one: labels are not carried between them; give each its exam**"
        )


def check_labels(rows: Rows, table: pd.DataFrame, label_of: str) -> None:
    """Refuse or note rows whose finding and severity contradict each other.

    The severity of a breast or patient may be another than that of one image, and a finding of the user's own words may
    be none, so these are noted.

    Raises:
        InputError: The label is of an image, and a known finding is normal.
    """
    named = (table["finding"].notna() & (table["finding"] != "NORM")).fillna(False)
    well, ill = ((table["severity"].isin(some)) for some in (["normal"], ["benign", "malignant"]))
    if label_of == "image":
        rows.refuse(
            named & well & table["finding"].isin(FINDING),
            "there is a finding, and severity is normal; give one of them, or do not use the column, "
            "data.columns.finding=null",
        )
        none = (ill & (table["finding"] == "NORM")).fillna(False)
        if none.any():
            rows.notes.append(
                f"**severity is benign or malignant, and there is no finding, {named_rows(list(table.index[none]))}: "
                "severity counts; if it describes a breast or patient, say so by data.label_of**"
            )
    if (odd := named & well).any():
        rows.notes.append(f"**severity is normal, and there is a finding, {named_rows(list(table.index[odd]))}**")


def number_findings(rows: Rows, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with `finding_id`: 1, 2, ... within an image, 0 for an image without a finding."""
    placed = table[["x_px", "x0_px", "mask_path"]].notna().any(axis=1)
    rows.refuse(
        placed & (table["severity"] == "normal"), "it is normal and has a place of a finding; expected one of them"
    )
    named = table["finding"].notna() & (table["finding"] != "NORM")
    has = placed | named | table["severity"].isin(["benign", "malignant"])
    several = table.duplicated("path", keep=False)
    well = ((table["severity"] == "normal") | (table["finding"] == "NORM")).fillna(False)
    wrong = several & ~has & well
    rows.refuse(wrong, "another row is of the same film, and this one has no finding; leave one of them out")
    has |= several  # rows that differ in some other column, say in the words of a label
    number = has.astype(int).groupby(table["path"]).cumsum()
    return table.assign(finding_id=number.where(has, 0))
