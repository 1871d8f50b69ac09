"""Predictions of a run that somebody has labelled: `predictions.csv` of a test, or what `mammo predict` wrote."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mammo.errors import InputError
from mammo.evaluation.aggregate import PLACES
from mammo.evaluation.external import SUM_WITHIN
from mammo.evaluation.operating_point import FLOOR
from mammo.evaluation.predictions import BASELINES, COLUMNS
from mammo.evaluation.raw_table import WRITTEN
from mammo.inference.operating import COMPUTES, operating_point
from mammo.run_folder import RunFolder
from mammo.runs.own_answers import check_called, check_scores, check_thresholds
from mammo.tables.numbers import named_rows, to_numbers
from mammo.wording import number_of


def is_of_films(sheet: pd.DataFrame) -> bool:
    """Tell if a table lists films, and no predictions."""
    return not (set(sheet) >= WRITTEN or set(sheet) >= {*COLUMNS, "score"})


def labelled_predictions(run: RunFolder, sheet: pd.DataFrame, name: str) -> tuple[pd.DataFrame, list[str]]:
    """Return a predictions table with the split `test` and the columns `PLACES`, and notes.

    Args:
        run: The run that made the predictions.
        sheet: The table, all of it text. The probabilities of `mammo predict` are calibrated, which is undone.
        name: The table's name in errors.

    Raises:
        InputError: A column is missing, a label is no class, a head is not one of the run, or the run did not make the
            predictions.
    """
    classes, sheet = list(run.provenance["classes"]), sheet.astype("string")
    written = set(sheet) >= WRITTEN
    of = [f"{'probability_' if written else 'p_'}{one}" for one in classes]
    if absent := [column for column in ("label", *of) if column not in sheet]:
        raise InputError(f"{name}: no column {absent[0]}; expected predictions of this run, with a label for each row")
    rows, notes = _with_label(sheet, written=written)
    numbered, rows = rows.index, rows.reset_index(drop=True)

    def refuse(wrong: ArrayLike, why: str) -> None:
        if some := [*numbered[np.flatnonzero(wrong)]]:
            raise InputError(f"{name}: {named_rows(some)}: {why}")

    labels, heads = _labels(rows, classes, name), rows["head"].to_numpy(str)
    if lacking := int(rows["patient"].isna().sum()):
        raise InputError(
            f"{name}: {number_of(lacking, 'row has', 'rows have')} no patient; intervals need one for each"
        )
    known = set(run.numbers["operating"]) - set(BASELINES)
    if odd := sorted(set(heads) - known):
        raise InputError(f"{name}: head {odd[0]}: the run has {', '.join(sorted(known))}")
    table = _identities(rows, labels)
    table["score"] = to_numbers(rows["score"], "score", refuse, notes)
    lacking_score = table["score"].isna()
    refuse(lacking_score & ~lacking_score.all(), "score is missing; expected predictions as the run wrote them")
    probabilities = np.column_stack([to_numbers(rows[one], one, refuse, notes) for one in of])
    refuse(
        ~(probabilities >= 0).all(axis=1) | (abs(probabilities.sum(axis=1) - 1) > SUM_WITHIN),
        f"{' and '.join(of)} are no probabilities that add up to 1; expected predictions as the run wrote them",
    )
    check_scores(run, heads, table["score"].to_numpy(float), probabilities, refuse, calibrated=written)
    if written:
        check_thresholds(run, rows, refuse, notes)
        check_called(classes, rows, probabilities, refuse)
        refuse(
            rows["notes"].fillna("").str.contains(COMPUTES, regex=False) if "notes" in rows else False,
            "an ONNX file answered that computes otherwise than the run, so its thresholds are not those of the run; "
            "predict the films by the run, and label that table",
        )
        probabilities = _undone(run, heads, probabilities)
    for index, one in enumerate(classes):
        table[f"p_{one}"] = probabilities[:, index]
    if table.duplicated(["image_id", "finding_id", "patch", "head"]).any():
        raise InputError(f"{name}: an image has two rows of one head; name images by their own image_id, once each")
    return table, notes


def _with_label(sheet: pd.DataFrame, *, written: bool) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows that a head of the run predicted and somebody labelled, and notes of the others.

    Args:
        sheet: The table, all of it text.
        written: True for a table of `mammo predict`, False for `predictions.csv`.
    """
    notes = []
    if written:
        images = sheet[sheet["unit"].eq("image")]
        notes = _said_of(images)
        rows = images[images["status"].eq("predicted")]
    else:
        rows = sheet[sheet["split"].eq("test")]
    rows = rows[rows["head"].notna() & ~rows["head"].isin(BASELINES).fillna(False)]
    unlabelled = rows["label"].isna()
    if unlabelled.any():
        notes.append(f"left out: {number_of(int(unlabelled.sum()), 'row')} without a label")
    return rows[~unlabelled], notes


def _labels(rows: pd.DataFrame, classes: list[str], name: str) -> pd.Series:
    """Return the class of each row, in the run's own spelling; refuse a table without rows, and other labels."""
    if rows.empty:
        raise InputError(f"{name}: no row of an image has a label; label the rows with {' or '.join(classes)}")
    labels = rows["label"].str.strip().str.casefold().map({one.casefold(): one for one in classes})
    if labels.isna().any():
        raise InputError(f"{name}: label '{rows.loc[labels.isna(), 'label'].iloc[0]}': expected {' or '.join(classes)}")
    return labels


def _identities(rows: pd.DataFrame, labels: pd.Series) -> pd.DataFrame:
    """Return the identity and label of each row in the columns of a predictions table; absent columns are filled."""
    whole = {"finding_id": "0", "patch": "0", "copy": "0", "fold": "", "seed": "0", "split": "test"}
    table = pd.DataFrame({column: rows.get(column, whole.get(column)) for column in COLUMNS})
    table = table.assign(label=labels, split="test").astype(dict.fromkeys(("finding_id", "patch", "copy"), "Int64"))
    for place in PLACES:
        table[place] = rows[place] if place in rows else pd.Series(pd.NA, rows.index, "string")
    return table


def _said_of(images: pd.DataFrame) -> list[str]:
    """Return notes of labelled images that `mammo predict` left out, or predicted only by force."""
    labelled, notes = images[images["label"].notna()], []
    if lacking := labelled.loc[labelled["status"].ne("predicted"), "image_id"].nunique():
        notes.append(f"left out: {number_of(lacking, 'labelled image')} that mammo predict did not predict")
    reasons = labelled["reason"] if "reason" in labelled else pd.Series(pd.NA, labelled.index, "string")
    if forced := labelled.loc[labelled["status"].eq("predicted") & reasons.notna(), "image_id"].nunique():
        notes.append(
            f"{number_of(forced, 'image counts that is', 'images count that are')} unlike those of the run (--force), "
            "which mammo predict refuses without it"
        )
    return notes


def _undone(run: RunFolder, heads: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities before the temperature of the run."""
    plain = np.log(np.maximum(probabilities, FLOOR))
    for head in np.unique(heads):
        plain[heads == head] *= operating_point(run, head).choices.temperature or 1.0
    chances = np.exp(plain - plain.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)
