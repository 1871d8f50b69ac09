"""The split of images into train, val and test: by patient, by image, by copy or as in the paper."""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.datasets.findings import PARTS
from mammo.datasets.labels import worst_findings
from mammo.errors import InputError
from mammo.tables.patients import alike
from mammo.tables.spellings import SPLITS
from mammo.tables.spreadsheet import read_spreadsheet
from mammo.wording import number_of

PAPER_TRAIN = {False: (54, 207), True: (43, 115)}  # by abnormal: images in train, in all (Behery et al. 2023, Table 2)


def deal(strata: Sequence[object], shares: list[float], rng: np.random.Generator) -> np.ndarray:
    """Assign items to parts in proportion to `shares`, evenly within each stratum; return (items,) part numbers.

    Items are shuffled within their stratum, the strata follow each other, and each item goes to the part that is
    furthest below its share. The time is linear in the number of items.
    """
    order = rng.permutation(len(strata))
    by_stratum: dict[object, list[int]] = defaultdict(list)
    for item in order:
        by_stratum[strata[item]].append(int(item))
    due, target = [0.0] * len(shares), (np.asarray(shares, float) / sum(shares)).tolist()
    parts = np.empty(len(strata), int)
    for stratum in sorted(by_stratum, key=str):
        for item in by_stratum[stratum]:
            due = [one + more for one, more in zip(due, target, strict=True)]
            parts[item] = part = due.index(max(due))
            due[part] -= 1.0
    return parts


def split_images(
    table: pd.DataFrame,
    *,
    name: str,
    seed: int,
    shares: list[float] | None = None,
    fold: int | None = None,
    folds: int = 5,
    copies: int = 0,
    stratify: str = "severity",
) -> pd.DataFrame:
    """Return the split, one row per image: `image_id, patient, split`, where `split` is train, val or test.

    Args:
        table: A findings table.
        name: `patient` (no patient is in two splits); `image` (images are assigned regardless of patients); `copy`
            (augmented copies are assigned regardless of images, a row each with its number in `copy`); `paper` (54
            normal and 43 abnormal images in train, 153 and 72 in test, none in val; other archives in these
            proportions, images of unknown severity in test); or `paper_by_patient` (whole patients, as close to
            these numbers as possible).
        seed: The same images, seed and shares give the same split.
        shares: The shares of train, val and test; with a fold, the first two share what is not in the fold.
        fold: If given, this fold is test. The paper's splits have no folds; there it numbers independent draws.
        folds: The number of folds.
        copies: The number of copies of each image beside the original, for `copy`.
        stratify: The column that stratifies: a patient's stratum is its values on the worst finding of each image.

    Raises:
        InputError: The name is unknown, the fold is out of range, or the shares are invalid.
    """
    kept = ["image_id", "patient"]
    images = worst_findings(table)[list(dict.fromkeys([*kept, "severity", stratify]))].reset_index(drop=True)
    check_fold(fold, folds)
    if name in PAPER:
        rng = np.random.default_rng([seed, 0xBE4E2, *([] if fold is None else [fold])])
        return images[kept].assign(split=PAPER[name](images, rng))
    check_shares(shares, name, fold)
    if name == "copy":
        if not copies:
            raise InputError("split=copy splits the copies of an augmentation, and there are none; add augment=expand")
        images = images.merge(pd.DataFrame({"copy": range(copies + 1)}), how="cross")
        images["item"] = images["image_id"] + ".c" + images["copy"].astype("string")
        kept.append("copy")
    return images[kept].assign(split=_dealt_parts(images, UNITS[name], seed, list(shares or ()), fold, folds, stratify))


def read_split(findings: pd.DataFrame, path: str | None) -> pd.DataFrame:
    """Return the split of a user's own table, one row per image: `image_id, patient, split`.

    Args:
        findings: A findings table; its patients count, not those of the user's table.
        path: The path of a CSV with `image_id` and `split`.

    Raises:
        InputError: The file cannot be used, or an image has no split.
    """
    splits = read_split_table(path)
    images = findings.drop_duplicates("image_id")[["image_id", "patient"]].reset_index(drop=True)
    without = images.loc[~images["image_id"].isin(splits.index), "image_id"]
    if len(without):
        raise InputError(
            f"split.table={path}: {number_of(len(without), 'image has', 'images have')} no split, "
            f"the first is {without.iloc[0]}; the table has {', '.join(splits.index[:2])}, ...: give each image a row "
            "under the name that it has here, without folder and ending"
        )
    return images.assign(split=images["image_id"].map(splits).astype(object))


def unused_rows(findings: pd.DataFrame, path: str | None) -> list[str]:
    """Return a note if a user's split names images that the findings table does not have; else none."""
    other = read_split_table(path).index.difference(findings["image_id"].unique())
    if not len(other):
        return []
    said = number_of(len(other), "image is", "images are")
    return [f"{said} in split.table, but not among those that the settings choose, {other[0]} for example"]


def official_split(findings: pd.DataFrame) -> pd.DataFrame:
    """Return the split that the findings table gives in `official_split`: `image_id, patient, split`.

    Raises:
        InputError: An image has none, or none is of the training or test part.
    """
    images = findings.drop_duplicates("image_id").reset_index(drop=True)
    without = images.loc[images["official_split"].isna(), "image_id"]
    if len(without):
        raise InputError(
            f"split=official: {len(without)} of {len(images)} images have no official_split, the first is "
            f"{without.iloc[0]}; use split=patient, or give each image one"
        )
    found = set(images["official_split"])
    if lacking := [part for part in ("train", "test") if part not in found]:
        raise InputError(
            f"split=official: the column official_split has no {lacking[0]}, only {', '.join(sorted(found))}; "
            "use split=patient, or give some images this part"
        )
    return images[["image_id", "patient"]].assign(split=images["official_split"].astype(object))


def read_split_table(path: str | None) -> pd.Series:
    """Return the split of each image, by `image_id`, from a user's own table.

    Raises:
        InputError: The file cannot be read, lacks a column or has an unknown split, or an image is in two splits.
    """
    if path is None or not Path(path).is_file():
        raise InputError(f"split.table={path}: no such file; split=table needs a table with image_id and split")
    try:
        table = read_spreadsheet(path, "a split").rows
    except InputError as error:
        raise InputError(f"split.table={error}") from None
    if lacking := [column for column in ("image_id", "split") if column not in table]:
        raise InputError(
            f"split.table={path}: no column {lacking[0]}; found {', '.join(table)}; expected a row for each image, "
            "with image_id and split"
        )
    given = table["split"].fillna("nothing")
    table["split"] = given.str.lower().map(SPLITS).fillna(given)
    if odd := sorted(set(table["split"]) - set(PARTS)):
        raise InputError(f"split.table={path}: split {odd[0]} is unknown; expected one of {', '.join(PARTS)}")
    splits = table.drop_duplicates(["image_id", "split"]).set_index("image_id")["split"]
    if splits.index.has_duplicates:
        raise InputError(f"split.table={path}: image {splits.index[splits.index.duplicated()][0]} is in two splits")
    return splits


def check_shares(shares: list[float] | None, name: str, fold: int | None = None) -> None:
    """Refuse an unknown split, and shares that leave no image for training or test; a fold is a test split."""
    if name not in (known := (*UNITS, *PAPER, *GIVEN)):
        raise InputError(f"split.name={name} is unknown; expected one of {', '.join(known)}")
    if name not in UNITS:
        return
    given = shares if shares is not None and len(shares) == 3 and all(map(math.isfinite, shares)) else [0.0, 0.0, 0.0]
    if min(given) < 0 or not given[0] or not (given[2] or fold is not None):
        expected = "three finite shares (train, val, test), none negative, train and test above 0"
        raise InputError(f"split.shares={shares} is invalid; expected {expected}")


def check_fold(fold: int | None, folds: int) -> None:
    """Raise an InputError if the fold is out of range."""
    if fold is not None and not (folds >= 2 and 0 <= fold < folds):
        raise InputError(f"data.fold={fold} is out of range; with data.folds={folds} expected 0 to {folds - 1}")


def _dealt_parts(
    images: pd.DataFrame, unit: str, seed: int, shares: list[float], fold: int | None, folds: int, stratify: str
) -> np.ndarray:
    # The stratum of a patient is the sorted values of all images, so one abnormal breast differs from two; "": unknown.
    of, units = pd.factorize(images[unit], sort=True)
    if fold is not None and len(units) < folds:
        there = number_of(len(units), *WORDS[unit])
        raise InputError(f"data.folds={folds}, but {there} to deal; use {len(units)} or fewer")
    number, words = pd.factorize(images[stratify].astype("string").fillna(""), sort=True)
    ordered = np.lexsort((number, of))
    values, ends = np.asarray(words, object)[number[ordered]].tolist(), np.cumsum(np.bincount(of, minlength=len(units)))
    strata = [tuple(values[start:end]) for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)]
    rng = np.random.default_rng([seed, 0x5B117])
    if fold is None:
        parts = np.array(PARTS, dtype=object)[deal(strata, shares, rng)]
    else:
        dealt = deal(strata, [1.0] * folds, rng)
        rest = (dealt != fold).nonzero()[0]
        parts = np.full(len(units), "test", dtype=object)
        parts[rest] = np.array(PARTS, dtype=object)[deal([strata[i] for i in rest], shares[:2], rng)]
    return parts[of]


def _paper_parts(images: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    parts = np.full(len(images), "test", dtype=object)
    for abnormal, (train, of) in PAPER_TRAIN.items():
        members = ((images["severity"] != "normal") == abnormal).fillna(False).to_numpy(bool).nonzero()[0]
        parts[rng.permutation(members)[: round(len(members) * train / of)]] = "train"
    return parts


def _paper_parts_by_patient(images: pd.DataFrame, rng: np.random.Generator) -> np.ndarray:
    """Take patients in random order, those with an abnormal image first; put each whose images still fit into train."""
    normal = images["severity"] == "normal"
    kinds: dict[Any, pd.Series] = {True: (~normal).fillna(False).astype(bool), False: normal.fillna(False).astype(bool)}
    counts = pd.DataFrame({"patient": images["patient"]} | kinds).groupby("patient").sum()
    left = {kind: round(int(counts[kind].sum()) * train / of) for kind, (train, of) in PAPER_TRAIN.items()}
    counts = counts.iloc[rng.permutation(len(counts))].sort_values(True, key=lambda n: n == 0, kind="stable")
    chosen = set()
    for patient, well, ill in zip(counts.index, counts[False], counts[True], strict=True):
        if ill <= left[True] and well <= left[False]:
            left = {True: left[True] - ill, False: left[False] - well}
            chosen.add(patient)
    return np.where(images["patient"].isin(chosen), "train", "test")


UNITS = {"patient": "patient", "image": "image_id", "copy": "item"}  # the column whose values are assigned
WORDS = {"patient": ("patient", "patients"), "image_id": ("image", "images"), "item": ("copy", "copies")}  # of units
GIVEN = ("table", "official")  # splits that are not dealt: a user's table, and the data set's own
PAPER = {"paper": _paper_parts, "paper_by_patient": _paper_parts_by_patient}


def audit_split(split: pd.DataFrame) -> dict[str, object]:
    """Return the number of images and patients in each split, and the names of those in two splits.

    Groups of patients with almost the same names, of whom some are in another split, are there only if there are any.
    """

    def crossing(unit: str) -> list[str]:
        parts = split.groupby(unit)["split"].nunique()
        return sorted(map(str, parts.index[parts > 1]))

    doubted = []
    if groups := alike(map(str, split["patient"].dropna().unique())):
        names = split["patient"].astype(str)
        known = split[names.isin({one for group in groups for one in group})]
        parts = known["split"].groupby(names).agg(lambda of: "+".join(sorted(set(of.dropna()))))
        doubted = [list(group) for group in groups if parts[list(group)].nunique() > 1]
    return {
        "images": {part: int(split.loc[split["split"] == part, "image_id"].nunique()) for part in PARTS},
        "patients": {part: int(split.loc[split["split"] == part, "patient"].nunique()) for part in PARTS},
        "patients_in_two_splits": crossing("patient"),
        "images_in_two_splits": crossing("image_id"),
        **({"patients_alike_in_two_splits": doubted} if doubted else {}),
    }


def check_split(split: pd.DataFrame, name: str) -> dict[str, object]:
    """Return the audit of a split; refuse a patient in two splits unless the kind of split (`name`) allows it."""
    audit = audit_split(split)
    crossing: Any = audit["patients_in_two_splits"]
    if crossing and name in ("patient", "paper_by_patient", *GIVEN):
        image = split.loc[split["patient"].astype(str) == crossing[0], "image_id"].iloc[0]  # a log names no patient
        who = "a patient has images" if len(crossing) == 1 else f"{len(crossing)} patients have images"
        mend = ", or (CBIS-DDSM) data.in_both=train, which moves them to training" if name == "official" else ""
        raise InputError(
            f"split={name}: {who} in two splits, image {image} is one of them; a patient's images belong to one; "
            f"use split=patient{mend}"
        )
    return audit
