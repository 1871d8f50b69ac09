"""The leaks of a run, derived from its configuration, its split and how its choices were made; none is declared."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mammo.config import Config
from mammo.datasets.findings import PARTS, SAMPLE
from mammo.errors import InputError
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import choices
from mammo.tables.alike import places_among, rows_among, unlike_parts
from mammo.wording import number_of

WHAT = {"label": "label", "split": "part", "patient": "patient"}  # columns that predictions and samples both have

DOUBTED = "groups of patients with almost the same names lie in several splits and count as different; if they are "
DOUBTED += "one, the numbers are too good: write each patient in one way (mammo audit split <run>/split.csv names them)"
ALMOST = "tested patients have almost the name of a patient learnt (case, zeros in front, marks, a visit) and count as "
ALMOST += "others; if they are the same people, the numbers are too good: write each patient in one way"


@dataclass(frozen=True)
class Leak:
    """One reason why a run's numbers are better than those of new patients would be."""

    kind: str  # the same in every fold of an experiment
    n: int  # number of images, pairs of images, patients, samples or heads concerned
    text: str  # in words, without the number

    def __str__(self) -> str:
        return f"{self.text} (n = {self.n})"


def leaks(
    config: Config,
    split_audit: dict[str, Any],
    crop_leak: str | None,
    table: pd.DataFrame,
    classes: list[str],
    operating: dict[str, Operating],
    learnt: Iterable[str] = (),
    almost: Iterable[str] = (),
) -> list[Leak]:
    """Return the leaks of a run; an honest run has none.

    Args:
        config: The resolved configuration.
        split_audit: The result of `datasets.split.audit_split`, with the pairs of the audit before training.
        crop_leak: Why the crop itself tells the class, in words; None if it does not.
        table: The predictions of the run.
        classes: The names of the classes.
        operating: The thresholds and temperatures in use, by head.
        learnt: The tested patients or images that the weights had learnt before.
        almost: The tested patients that have almost the name of a patient learnt before.
    """
    tested = len(table.loc[table["split"] == "test", SAMPLE].drop_duplicates())
    again = choices(table, classes, config.threshold, config.select_on)
    elsewhere = [head for head, one in operating.items() if one != again[head]]
    copied, crossing = len(split_audit["images_in_two_splits"]), len(split_audit["patients_in_two_splits"])
    kinds = ("pixels", "exams", "patients_alike")
    same, met, doubted = (len(split_audit.get(f"{one}_in_two_splits", ())) for one in kinds)
    same_text = "pairs of images with the same pixels or acquisition, under two names, lie in two splits"
    met_text = "pairs of images of one exam by their headers, under two patients' names, lie in two splits"
    copies_text = "copies of images were made before the split and lie in two splits (split=copy)"
    on_test = "epoch, heads, temperature and threshold were chosen on the test part (select_on=test)"
    learnt_text = (
        "the weights had learnt patients or images of the test part before (ckpt_path or model.weights, another split)"
    )
    chosen = f"threshold or temperature of {', '.join(elsewhere)} is not the choice of the {config.select_on} part"
    found = [
        Leak("copies_in_two_splits", copied, copies_text),
        Leak("patients_in_two_splits", crossing, f"patients have images in two splits (split={config.split.name})"),
        Leak("patients_alike_in_two_splits", doubted, DOUBTED),
        Leak("pixels_in_two_splits", same, same_text),
        Leak("exams_in_two_splits", met, met_text),
        Leak("crop", tested if crop_leak else 0, crop_leak or ""),
        Leak("selected_on_test", tested if config.select_on == "test" else 0, on_test),
        Leak("tested_on_learnt", len(list(learnt)), learnt_text),
        Leak("almost_learnt", len(list(almost)), ALMOST),
        Leak("chosen_elsewhere", len(elsewhere), chosen),
    ]
    return [leak for leak in found if leak.n]


def external_leaks(
    crop_leak: str | None, table: pd.DataFrame, learnt: Iterable[str], almost: Iterable[str]
) -> list[Leak]:
    """Return the leaks of an external test, for which nothing is fitted or chosen.

    Args:
        crop_leak: Why the crop itself tells the class, in words; None if it does not.
        table: The predictions of the test.
        learnt: The tested patients that the run has learnt.
        almost: The tested patients that have almost the name of one that it has learnt.
    """
    tested = len(table.loc[table["split"] == "test", SAMPLE].drop_duplicates())
    learnt_text = "the run has trained or chosen on patients of the tested images (same name in the same data set or "
    learnt_text += "in two built-in ones, or the same pixels)"
    found = [
        Leak("crop", tested if crop_leak else 0, crop_leak or ""),
        Leak("tested_on_learnt", len(list(learnt)), learnt_text),
        Leak("almost_learnt", len(list(almost)), ALMOST),
    ]
    return [leak for leak in found if leak.n]


def united(several: Iterable[list[Leak]]) -> list[Leak]:
    """Return the leaks of several folds or seeds, one of each kind: the one with the largest n."""
    by_kind: dict[str, Leak] = {}
    for leak in (leak for of_one in several for leak in of_one):
        by_kind[leak.kind] = max(by_kind.get(leak.kind, leak), leak, key=lambda one: one.n)
    return list(by_kind.values())


def check_tables(table: pd.DataFrame, samples: pd.DataFrame, split: pd.DataFrame) -> None:
    """Refuse tables of a run that disagree: predictions or a split of other samples than `samples.csv` has.

    Args:
        table: The predictions.
        samples: The samples.
        split: The split; images without a sample may be in it.

    Raises:
        InputError: A label, part or patient differs, a sample has no prediction of a head, or an image has no part.
    """
    for head, rows in unlike_parts(table, "head", [*SAMPLE[:3], *WHAT]).items():
        row = rows_among(rows, samples, SAMPLE[:3])  # a merge would take half as much memory again as both tables
        for column in WHAT:
            _check_column("predictions.csv", rows, samples, row, column)
        seen = np.zeros(len(samples), bool)
        seen[row] = True
        if not seen.all():
            lost, of_all = samples["image_id"].iloc[seen.argmin()], number_of(len(samples), "sample")
            raise InputError(
                f"predictions.csv: {(~seen).sum()} of {of_all} have no row of {head}, one of {lost} for example; "
                "the file may be cut: copy it again"
            )
    if "split" not in samples:
        return  # older runs did not write it
    dealt = samples.loc[samples["split"].isin(PARTS), ["image_id", "split"]]  # not if copies of images were dealt
    absent = places_among(dealt["image_id"], split["image_id"].drop_duplicates()) < 0
    if absent.any():
        lost = dealt["image_id"].iloc[absent.argmax()]
        raise InputError(f"split.csv: {lost} of samples.csv is not in it; copy it again")
    _check_column("split.csv", split, dealt, rows_among(split, dealt, ["image_id"]), "split")


def _check_column(file: str, table: pd.DataFrame, samples: pd.DataFrame, row: np.ndarray, column: str) -> None:
    """Refuse a table of a file that has another value in a column than the samples, whose numbers are `row`."""
    if column not in samples:
        return
    said, words = pd.factorize(table[column].fillna(""))  # numbers of words, as columns of words fill the memory
    true = places_among(samples[column].fillna(""), pd.Series(words))
    differs = np.append(true, -1)[row] != said  # a row of no sample is -1, and takes the last one
    if column == "split":
        differs &= np.append(samples[column].isin(PARTS), False)[row]  # copies of an image may lie in several
    if (wrong := differs.nonzero()[0]).size:
        first, rows = wrong[0], number_of(len(wrong), "row has", "rows have")
        there = samples[column].iloc[row[first]] if row[first] >= 0 else "no sample"
        is_there = f"is {there} there, but {table[column].iloc[first]} here"
        if column == "patient":  # whose name stays out of a log
            is_there = "is of another patient there"
        raise InputError(
            f"{file}: {rows} another {WHAT[column]} than samples.csv; for example, {table['image_id'].iloc[first]} "
            f"{is_there}; use both tables as train.py wrote them"
        )


def protocol(config: Config) -> str:
    """Return the protocol in the words of the command line."""
    data, augment = config.data, config.augment
    drawn = config.split.name.startswith("paper")
    folds = "" if data.fold is None else f", {'draw' if drawn else 'fold'} {data.fold} of {data.folds}"
    method = "" if augment.mode == "none" or augment.method == "geometric" else f", augment.method={augment.method}"
    chosen = "" if config.select_on == "val" else f", select_on={config.select_on}"
    shown = "whole films" if config.task.kind == "detection" else f"crop={config.crop.name}, augment={augment.mode}"
    return f"split={config.split.name}{folds}, {shown}{method}{chosen}"
