"""Checks that a detector learns from places of training films alone, and what their findings say of them."""

from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
from lightning.pytorch.callbacks import Callback

from mammo.config import Config, DetectorConfig
from mammo.datasets.base import of_sources
from mammo.datasets.findings import findings_table
from mammo.errors import InputError
from mammo.training.guard import check_labels
from mammo.training.places import Targets, lesions_of, targets_of, unknown_of, unplaced_of
from mammo.training.prepare import Prepared


class PlaceGuard(Callback):
    """Checks what Lightning really uses, before the first step.

    Args:
        prepared: The samples of the run.
        config: The settings of the run.

    Raises:
        RuntimeError: A place of another film than those of the training part trains, or a place ought to say something
            else than its film's findings say.
    """

    def __init__(self, prepared: Prepared, config: Config) -> None:
        self.prepared, self.config = prepared, config

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check the places that train, and their targets, for which the findings are read again."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        places: Any = trainer.train_dataloader.dataset  # type: ignore[union-attr]
        seen = np.concatenate([places.inside, places.outside, *places.unplaced])
        used = np.unique(np.searchsorted(data.starts, seen, side="right") - 1)
        train = {sample for sample, _ in self.prepared.rows_of["train"]}
        names = self.prepared.crops.table["name"]
        if strangers := sorted(set(used.tolist()) - train):
            raise RuntimeError(
                f"leak: training uses places of {len(used)} films, of which {len(strangers)} are not of the train "
                f"part, for example {names.iloc[strangers[0]]}"
            )
        check_labels(self.prepared, self.prepared.described)
        findings = findings_table(self.prepared.dataset.findings())
        findings = of_sources(findings, self.config.data.severity_source)
        true = targets_for(self.prepared, findings, data.points, self.config.detector)
        given = np.zeros(len(true.soft), np.float32)
        given[places.inside] = places.soft[0, places.inside]
        taught = np.r_[places.inside, places.outside]
        if (wrong := taught[~np.isclose(given[taught], true.soft[taught]) | ~true.counts[taught]]).size:
            film = int(np.searchsorted(data.starts, wrong[0], side="right") - 1)
            raise RuntimeError(
                f"{len(wrong)} places are taught something else than their findings say, the first on "
                f"{names.iloc[film]}"
            )

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check an evaluation without training, for which this is the only check."""
        check_labels(self.prepared, self.prepared.described)


def check_films(prepared: Prepared, config: Config, *, fits: bool, world: int) -> None:
    """Refuse films that a detector cannot look at or learn from, before any map is made.

    Args:
        prepared: The samples of the run, one for each film.
        config: The settings of the run.
        fits: True if the run trains.
        world: The number of processes.

    Raises:
        InputError: There are not two classes, a film has no spacing, a film of the first class has a lesion of the
            second, no training film has a lesion with a place, or the processes cannot share a batch.
    """
    labels, table = prepared.labels, prepared.crops.table
    if len(labels.classes) != 2:
        raise InputError(f"task={config.task.name} has {len(labels.classes)} classes; a detector needs two")
    if (silent := table["spacing_mm"].isna()).any():
        raise InputError(
            f"image {table.loc[silent, 'image_id'].iloc[0]} has no spacing_mm, but a detector looks at films of "
            f"{config.detector.spacing_mm} mm a pixel; set data.spacing_mm to the side of a pixel in mm"
        )
    lesions, _ = lesions_of(prepared.findings, labels)
    negative = set(table.loc[prepared.classes == 0, "image_id"])
    if odd := [image for image in lesions["image_id"] if image in negative]:
        raise InputError(
            f"image {odd[0]} is {labels.classes[0]} by its worst finding, but has a finding that is "
            f"{labels.classes[1]}; give a detector classes whose second one is the worse, say benign and malignant"
        )
    train = {table["image_id"].iloc[sample] for sample, _ in prepared.rows_of["train"]}
    if fits and not lesions["image_id"].isin(train).any():
        raise InputError(
            f"no training film has a finding of class {labels.classes[1]} with a place; a detector learns from "
            "circles, boxes or masks"
        )
    if fits and config.detector.batch % (2 * world):
        raise InputError(
            f"detector.batch={config.detector.batch}: expected a multiple of {2 * world}, for {world} devices"
        )


def check_partners(prepared: Prepared, rows: Sequence[int], partners: Sequence[Sequence[int]]) -> None:
    """Require that the partner of a film shows the other breast of the same patient, by findings that are read again.

    Args:
        prepared: The samples of the run, one for each film.
        rows: The sample of each film.
        partners: The partners of each film, by their number in `rows`.

    Raises:
        RuntimeError: A partner is of another patient, or shows the same breast.
    """
    findings = findings_table(prepared.dataset.findings()).drop_duplicates("image_id").set_index("image_id")
    images = prepared.crops.table["image_id"].iloc[list(rows)].tolist()
    patients, sides = (findings[column].reindex(images).tolist() for column in ("patient", "laterality"))
    for film, others in enumerate(partners):
        for other in others:
            if patients[film] != patients[other] or sides[film] == sides[other]:
                raise RuntimeError(
                    f"leak: {images[other]} is taken for the partner of {images[film]}, but it is no film of the "
                    "other breast of the same patient"
                )


def targets_for(
    prepared: Prepared, findings: pd.DataFrame, points: Sequence[np.ndarray], config: DetectorConfig
) -> Targets:
    """Return what the places of all films of a run ought to say.

    Args:
        prepared: The samples of the run, one for each film.
        findings: The findings table.
        points: (n, 2) x and y of the places of each film, in its pixels.
        config: The settings of the detector.
    """
    table = prepared.crops.table
    lesions, geometries = lesions_of(findings, prepared.labels)
    unplaced, unknown = unplaced_of(findings, prepared.labels, lesions), unknown_of(findings, prepared.labels)
    images, sides = table["image_id"].astype(str).tolist(), table["spacing_mm"].astype(float).tolist()
    return targets_of(images, points, unplaced, lesions, geometries, sides, config, unknown)
