"""The contract of a data set: a class that satisfies it trains, is reported and is audited as the built-in ones are."""

import hashlib
import json
from typing import Protocol

import pandas as pd

from mammo.datasets.film import Film
from mammo.datasets.findings import findings_table
from mammo.errors import InputError


class Dataset(Protocol):
    """Films and what is known of them. `mammo.testing.check_dataset` says what is wrong with one.

    Attributes:
        name: One word.
        licence, citation: What a user of the films has to keep to, and to cite.
    """

    name: str
    licence: str
    citation: str

    def prepare(self) -> None:
        """Bring the films to disk; do nothing where they are."""

    def findings(self) -> pd.DataFrame:
        """Return the findings table (see `mammo.datasets.findings`): rows that `findings_table` accepts."""

    def read(self, image_id: str) -> Film:
        """Return the film of an image. Threads call it at once."""

    def digest(self, image_id: str) -> str | None:
        """Return what names the pixels that `read` gives, so that kept crops are found without reading the film.

        None: the pixels themselves do, and each run reads all films. Where `read` is `read_film` of a file,
        `film.file_digest` of it will do.
        """


def load_findings(dataset: Dataset, spacing_mm: float | None = None) -> pd.DataFrame:
    """Return the validated findings table of a data set.

    Args:
        dataset: Prepared.
        spacing_mm: Side of a pixel of images that do not say it (`data.spacing_mm`).

    Raises:
        InputError: The table is wrong, or every image says its own spacing.
    """
    table = findings_table(dataset.findings())
    if table.empty:
        raise InputError(f"data set {dataset.name}: its findings table is empty; expected a row for each image")
    if spacing_mm is not None:
        if table["spacing_mm"].notna().all():
            raise InputError(f"data.spacing_mm={spacing_mm} does nothing: every image says its own; leave it out")
        table["spacing_mm"] = table["spacing_mm"].fillna(spacing_mm)
    return table


def dataset_digest(dataset: Dataset, findings: pd.DataFrame) -> str:
    """Return a SHA-256 that names the images, their patients and, where `digest` says them, their pixels."""
    images = findings.drop_duplicates("image_id").sort_values("image_id")
    facts = [
        [one, patient, dataset.digest(one)] for one, patient in zip(images["image_id"], images["patient"], strict=True)
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
