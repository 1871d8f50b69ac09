"""Which film is for training, validation and test: by woman, by film, or as the paper did; and what that leaks."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mammo import InputError
from mammo.data.index import PARTS
from mammo.data.tasks import worst_findings

PAPER_TRAIN = {False: (54, 207), True: (43, 115)}  # normal and abnormal films: Behery et al. 2023, Table 2


def deal(strata: Sequence[object], shares: list[float], rng: np.random.Generator) -> np.ndarray:
    """Deals items to parts in proportion to `shares`, each stratum evenly; returns (items,) part numbers.

    Items are shuffled within their stratum, strata follow each other, and each item goes to the part that is
    furthest behind its share: linear in the number of items.
    """
    order = rng.permutation(len(strata))
    by_stratum: dict[object, list[int]] = defaultdict(list)
    for item in order:
        by_stratum[strata[item]].append(int(item))
    due = np.zeros(len(shares))
    target = np.asarray(shares, float) / sum(shares)
    parts = np.empty(len(strata), int)
    for stratum in sorted(by_stratum, key=str):
        for item in by_stratum[stratum]:
            due += target
            parts[item] = part = int(due.argmax())
            due[part] -= 1.0
    return parts


def split_films(
    table: pd.DataFrame,
    *,
    name: str,
    seed: int,
    shares: list[float] | None = None,
    fold: int | None = None,
    folds: int = 5,
) -> pd.DataFrame:
    """The split, one row per film: `image_id, patient, split`, the last one of train, val, test.

    Args:
        table: A findings table.
        name: `patient` (no woman on two sides), `film` (films are dealt as if they were women), or `paper`
            (54 / 43 films for training, 153 / 72 for test, no validation; other archives in these proportions).
        seed: Of the dealing; the same films, seed and shares give the same split.
        shares: Of train, val and test, without folds.
        fold: If given, test is this one of `folds`, and validation is dealt from the rest.
        folds: How many.

    Raises:
        InputError: An unknown name, a fold out of range, shares that are none.
    """
    films = worst_findings(table)[["image_id", "patient", "severity"]].reset_index(drop=True)
    check_fold(fold, folds)
    if name == "paper":
        if fold is not None:
            raise InputError("split=paper has no folds; expected data.fold=null, or split=patient or split=film")
        parts = _paper_parts(films, seed)
    elif name in ("patient", "film"):
        if shares is None or len(shares) != 3 or min(shares) < 0 or sum(shares) <= 0:
            raise InputError(f"split.shares={shares}: expected three shares, of train, val and test, none negative")
        parts = _dealt_parts(films, "patient" if name == "patient" else "image_id", seed, list(shares), fold, folds)
    else:
        raise InputError(f"split.name={name} is unknown; expected one of patient, film, paper")
    return films[["image_id", "patient"]].assign(split=parts)


def check_fold(fold: int | None, folds: int) -> None:
    """A fold out of range is an error."""
    if fold is not None and not (folds >= 2 and 0 <= fold < folds):
        raise InputError(f"data.fold={fold} is out of range; with data.folds={folds} expected 0 to {folds - 1}")


def _dealt_parts(
    films: pd.DataFrame, unit: str, seed: int, shares: list[float], fold: int | None, folds: int
) -> np.ndarray:
    # A woman's type: her worst breast, and whether one breast or both are abnormal.
    kinds = films.sort_values(["image_id"]).groupby(unit)["severity"].agg(lambda films_: tuple(sorted(films_)))
    units, strata = list(kinds.index), list(kinds)
    rng = np.random.default_rng([seed, 0x5B117])
    if fold is None:
        parts = np.array(PARTS, dtype=object)[deal(strata, shares, rng)]
    else:
        dealt = deal(strata, [1.0] * folds, rng)
        rest = (dealt != fold).nonzero()[0]
        parts = np.full(len(units), "test", dtype=object)
        parts[rest] = np.array(PARTS, dtype=object)[deal([strata[i] for i in rest], shares[:2], rng)]
    return films[unit].map(dict(zip(units, parts, strict=True))).to_numpy()


def _paper_parts(films: pd.DataFrame, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, 0xBE4E2])
    parts = np.full(len(films), "test", dtype=object)
    for abnormal, (train, of) in PAPER_TRAIN.items():
        members = ((films["severity"] != "normal") == abnormal).to_numpy().nonzero()[0]
        parts[rng.permutation(members)[: round(len(members) * train / of)]] = "train"
    return parts


def audit_split(split: pd.DataFrame) -> dict[str, object]:
    """What a split leaks: counts of films and women by part, and the women who are on two sides."""
    sides = split.groupby("patient")["split"].unique()
    crossing = sorted(str(patient) for patient, parts in sides.items() if len(parts) > 1)
    return {
        "films": {part: int((split["split"] == part).sum()) for part in PARTS},
        "women": {part: int(split.loc[split["split"] == part, "patient"].nunique()) for part in PARTS},
        "women_on_two_sides": crossing,
    }


def check_split(split: pd.DataFrame, name: str) -> dict[str, object]:
    """The audit; a woman on two sides is an error unless the split's name admits it."""
    audit = audit_split(split)
    crossing = audit["women_on_two_sides"]
    if crossing and name == "patient":
        raise InputError(f"split=patient: woman {crossing[0]} is on two sides; a woman's films belong to one part")  # type: ignore[index]
    return audit
