"""Notes on a table of predictions from any source: what a reader must know of its rows, one line each."""

import numpy as np
import pandas as pd

from mammo.tables.alike import differs, row_numbers
from mammo.wording import number_of


def said_of(table: pd.DataFrame, classes: list[str], images: np.ndarray | None, *, by_patient: bool) -> list[str]:
    """Return the notes on rows that leak, and on numbers that are undefined or mean little.

    Args:
        table: The predictions table, see `evaluation.predictions`.
        classes: The names of the classes.
        images: (N,) a number for each row's image, if a column names it.
        by_patient: True if a column names the patients.
    """
    said = []
    inside = (table["split"] == "test").to_numpy(bool)
    tested = table.loc[inside, ["patient", "image_id", "fold", "seed", "head", "label", "score"]]
    if (count := tested["patient"].nunique()) < 2:
        said.append("**all rows are of one patient, so there are no intervals by patient**")
    elif by_patient and count == len(tested) > 1 and tested["head"].nunique() == 1:
        said.append("each patient has one row")
    if train := int((table["split"] == "train").sum()):
        said.append(f"{number_of(train, 'row')} of split=train {'is' if train == 1 else 'are'} not evaluated")
    known = set(table.loc[~inside, "patient"].unique())
    if by_patient and known and (both := known & set(tested["patient"].unique())):
        has = number_of(len(both), "patient has", "patients have")
        said.append(f"**{has} rows in test and in another split, {min(both)} for example**")
    if tested["fold"].nunique() > 1:
        units = {"patient": row_numbers(tested, ["seed", "patient"])} if by_patient else {}
        units |= {"image": row_numbers(tested, ["seed"], images[inside])} if images is not None else {}
        said += [note for unit, rows in units.items() if (note := _in_folds(tested, unit, rows))]
    if lacking := [one for one in classes if one not in set(tested["label"].unique())]:
        said.append(f"**no test row is {' or '.join(lacking)}, so AUROC and others are undefined**")
    if tested["score"].nunique() == 2 and len(tested) > 2:
        said.append("**the scores have two values, so they are decisions: AUROC is of one threshold**")
    return said


def _in_folds(tested: pd.DataFrame, unit: str, rows: np.ndarray) -> str | None:
    """Return the note on patients or images that are tested in several folds of one seed; None if there are none."""
    names = tested.loc[differs(tested["fold"], rows), {"image": "image_id"}.get(unit, unit)]
    if names.empty:
        return None
    has = number_of(names.nunique(), f"{unit} has", f"{unit}s have")
    return f"**{has} test rows in several folds of one seed, {names.min()} for example**"
