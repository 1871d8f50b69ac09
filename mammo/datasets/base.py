"""The contract of a data set. A class that fulfils it can be trained on, reported and audited as a built-in one."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from mammo.config import DataConfig
from mammo.datasets.film import Film
from mammo.datasets.findings import ALLOWED, findings_table
from mammo.errors import InputError
from mammo.wording import number_of


class Dataset(Protocol):
    """A data set gives films and their findings. `mammo.testing.check_dataset` reports what is wrong with one.

    Attributes:
        name: One word.
        licence: The terms of use of the films.
        citation: The publication to cite.

    A data set may also have `notes`, a list of lines for the report: what was understood, left out or translated; and
    `carry(column)`, which is called with the task's column before `findings`; and `breast_mask(image_id)`, which gives
    the path of a picture that is above 0 on the true breast, or None.
    """

    name: str
    licence: str
    citation: str

    def prepare(self) -> None:
        """Put the films on disk; do nothing if they are there."""

    def findings(self) -> pd.DataFrame:
        """Return the findings table: rows that `mammo.datasets.findings.findings_table` accepts."""

    def read(self, image_id: str) -> Film:
        """Return the film of an image. Several threads call it at the same time."""

    def digest(self, image_id: str) -> str | None:
        """Return a digest of the pixels that `read` gives, so that cached crops are found without reading the film.

        If it is None, each run reads all films and computes the digests itself. If `read` calls `read_film` on a
        file, return `film.file_digest` of that file.
        """


def load_findings(dataset: Dataset, spacing_mm: float | None = None) -> pd.DataFrame:
    """Return the validated findings table of a data set.

    Args:
        dataset: A data set whose `prepare` has been called.
        spacing_mm: Side of a pixel, for images whose spacing is unknown (`data.spacing_mm`).

    Raises:
        InputError: The table is invalid or empty, or `spacing_mm` is given although every image has a spacing.
    """
    table = findings_table(dataset.findings())
    if table.empty:
        raise InputError(f"the findings table of data set {dataset.name} is empty; expected a row for each image")
    if spacing_mm is not None:
        if table["spacing_mm"].notna().all():
            raise InputError(f"data.spacing_mm={spacing_mm} does nothing: every image has its own; leave it out")
        table["spacing_mm"] = table["spacing_mm"].fillna(spacing_mm)
    return table


@dataclass(frozen=True)
class Chosen:
    """The images of a data set that a run uses: their findings table, and notes of what was left out, one line each."""

    findings: pd.DataFrame
    notes: list[str]


def choose_images(dataset: Dataset, config: DataConfig) -> Chosen:
    """Return the findings of the images that the settings choose (`data.view`, `data.laterality`).

    Args:
        dataset: A data set whose `prepare` has been called.
        config: The settings of the data.

    Raises:
        InputError: The findings table is invalid, or no image has a view or laterality that is asked for.
    """
    table = of_sources(load_findings(dataset, config.spacing_mm), config.severity_source)
    notes = [str(note).rstrip(".") for note in getattr(dataset, "notes", ())]
    views = config.view if isinstance(config.view, list | tuple) else [config.view]
    asked = {"view": None if config.view is None else views, "laterality": config.laterality and [config.laterality]}
    for column, wanted in asked.items():
        if wanted is None:
            continue
        spelt = table[column].str.casefold()
        keys = [str(one).casefold() for one in wanted]
        if lacking := [one for one, key in zip(wanted, keys, strict=True) if not (spelt == key).any()]:
            found = ", ".join(sorted(table[column].dropna().unique())) or "none, as it is not known"
            raise InputError(f"data.{column}={lacking[0]}: no image has this {column}; found {found}")
        kept = spelt.isin(keys).fillna(False).astype(bool)
        out = table[~kept].drop_duplicates("image_id")
        unknown = int(out[column].isna().sum())
        table = table[kept].reset_index(drop=True)
        said = f"{number_of(len(out), 'image is', 'images are')} left out by data.{column}={','.join(map(str, wanted))}"
        notes += [f"{said}; the {column} of {unknown} of them is unknown" if unknown else said] if len(out) else []
    return Chosen(table, notes)


def of_sources(findings: pd.DataFrame, wanted: Any) -> pd.DataFrame:
    """Return a findings table in which severities from other sources than those wanted are unknown.

    Args:
        findings: A findings table.
        wanted: A word of `severity_source`, or a list of them; None takes all.

    Raises:
        InputError: A word is unknown, or no severity has this source.
    """
    if wanted is None:
        return findings
    names = [str(one) for one in (wanted if isinstance(wanted, list | tuple) else [wanted])]
    source = findings["severity_source"].fillna("unstated")
    there = sorted(set(source[findings["severity"].notna()]))
    if odd := [one for one in names if one not in ALLOWED["severity_source"]]:
        known = ", ".join(sorted(ALLOWED["severity_source"]))
        raise InputError(f"data.severity_source={odd[0]} is unknown; expected some of {known}")
    if not set(names) & set(there):
        raise InputError(
            f"data.severity_source={','.join(names)}: no severity has this source; found {', '.join(there)}"
        )
    return findings.assign(severity=findings["severity"].where(source.isin(names)))


def check_sources(findings: pd.DataFrame, wanted: Any) -> None:
    """Refuse severities of which some rest on pathology and others on BI-RADS, unless both are named.

    Args:
        findings: A findings table.
        wanted: The setting `data.severity_source`.

    Raises:
        InputError: Both are there, and the setting does not name both.
    """
    known = findings[findings["severity"].notna()]
    source = known["severity_source"].fillna("unstated")
    mixed = [one for one in ("pathology", "birads") if (source == one).any()]
    if len(mixed) < 2 or (isinstance(wanted, list | tuple) and set(mixed) <= set(wanted)):
        return
    several = known["dataset"].nunique() > 1
    of = {one: f" ({', '.join(known.loc[source == one, 'dataset'].unique())})" * several for one in mixed}
    counts, listed = source.value_counts(), ",".join([*mixed, *sorted(set(source) - set(mixed))])
    raise InputError(
        f"{counts['pathology']} severities rest on pathology{of['pathology']} and {counts['birads']} on BI-RADS, a "
        f"reader's guess{of['birads']}; take one, data.severity_source=pathology, or name all that are taken together, "
        f"data.severity_source=[{listed}]"
    )


def dataset_digest(dataset: Dataset, findings: pd.DataFrame) -> str:
    """Return a SHA-256 of the images, their patients and, where `digest` is not None, their pixels."""
    images = findings.drop_duplicates("image_id").sort_values("image_id")
    facts = [
        [one, patient, dataset.digest(one)] for one, patient in zip(images["image_id"], images["patient"], strict=True)
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
