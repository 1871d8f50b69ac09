"""The leaks of a run: derived from its configuration, its split and how its choices were made, never declared."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from mammo.config import Config
from mammo.datasets.findings import SAMPLE
from mammo.errors import InputError
from mammo.evaluation.operating_point import Operating
from mammo.evaluation.predictions import choices


@dataclass(frozen=True)
class Leak:
    """One way in which a run's numbers are better than a new patient's would be."""

    kind: str  # the same in every fold of an experiment
    n: int  # number of images, patients, samples or heads that it concerns
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
) -> list[Leak]:
    """Return the leaks of a run; none of an honest one.

    Args:
        config: As it was resolved.
        split_audit: From `datasets.split.audit_split`.
        crop_leak: What the crop tells of the class, in words; None if nothing.
        table: The run's predictions, of these `classes`.
        classes: Names.
        operating: The thresholds and temperatures that are used on it, by head.
        learnt: The patients or images tested that the checkpoint had learnt.
    """
    tested = len(table.loc[table["split"] == "test", SAMPLE].drop_duplicates())
    again = choices(table, classes, config.threshold, config.select_on)
    elsewhere = [head for head, one in operating.items() if one != again[head]]
    copied, crossing = len(split_audit["images_in_two_splits"]), len(split_audit["patients_in_two_splits"])
    on_test = "epoch, heads, temperature and threshold were chosen on the test part (select_on=test)"
    learnt_text = "patients or images of the test part were learnt by the checkpoint (ckpt_path, another split)"
    chosen = f"threshold or temperature of {', '.join(elsewhere)} is not what the {config.select_on} part chooses"
    found = [
        Leak("copies_in_two_splits", copied, "images were augmented before the split, into two splits (split=copy)"),
        Leak("patients_in_two_splits", crossing, f"patients have images in two splits (split={config.split.name})"),
        Leak("crop", tested if crop_leak else 0, crop_leak or ""),
        Leak("selected_on_test", tested if config.select_on == "test" else 0, on_test),
        Leak("tested_on_learnt", len(list(learnt)), learnt_text),
        Leak("chosen_elsewhere", len(elsewhere), chosen),
    ]
    return [leak for leak in found if leak.n]


def united(several: Iterable[list[Leak]]) -> list[Leak]:
    """Return the leaks of several folds or seeds, one of each kind: the one of the largest n."""
    by_kind: dict[str, Leak] = {}
    for leak in (leak for of_one in several for leak in of_one):
        by_kind[leak.kind] = max(by_kind.get(leak.kind, leak), leak, key=lambda one: one.n)
    return list(by_kind.values())


def check_labels(table: pd.DataFrame, samples: pd.DataFrame) -> None:
    """Refuse predictions of which a row has another label than its sample in `samples.csv`.

    Raises:
        InputError: One has; names it.
    """
    true = table[SAMPLE[:3]].merge(samples[[*SAMPLE[:3], "label"]], how="left")["label"]
    if (wrong := (true.to_numpy(object) != table["label"].to_numpy(object)).nonzero()[0]).size:
        raise InputError(
            f"predictions.csv: {len(wrong)} labels are not those of samples.csv: "
            f"{table['image_id'].iloc[wrong[0]]} is {true.iloc[wrong[0]]}, found {table['label'].iloc[wrong[0]]}; "
            "train.py writes both tables, and nobody else changes one"
        )


def protocol(config: Config) -> str:
    """Return the protocol in words of the command line."""
    data, augment = config.data, config.augment
    drawn = config.split.name.startswith("paper")
    folds = "" if data.fold is None else f", {'draw' if drawn else 'fold'} {data.fold} of {data.folds}"
    method = "" if augment.mode == "none" or augment.method == "geometric" else f", augment.method={augment.method}"
    chosen = "" if config.select_on == "val" else f", select_on={config.select_on}"
    return f"split={config.split.name}{folds}, crop={config.crop.name}, augment={augment.mode}{method}{chosen}"
