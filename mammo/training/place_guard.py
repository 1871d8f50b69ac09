"""Checks that a detector learns from places of training films alone, and what their findings say of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
from lightning.pytorch.callbacks import Callback

from mammo.config import Config, DetectorConfig
from mammo.datasets.base import of_sources
from mammo.datasets.findings import findings_table
from mammo.datasets.geometry import Geometry
from mammo.errors import InputError
from mammo.preprocessing.mask_files import usable_masks
from mammo.preprocessing.off_breast import off_points
from mammo.preprocessing.view import CELL_PX, STEP, check_size
from mammo.training.guard import check_labels
from mammo.training.place_patches import Patches
from mammo.training.places import Targets, check_findings, lesions_of, reach_of, targets_of, unknown_of, unplaced_of
from mammo.training.prepare import Prepared
from mammo.wording import number_of

FAR = 1.5625  # distances of two places, 10 mm of 6.4; on the breast the nearest place is never as far
FEWEST = 4  # places of a film, of which a lesion holds not all


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
        dataset: Any = trainer.train_dataloader.dataset  # type: ignore[union-attr]
        places = dataset.places if isinstance(dataset, Patches) else dataset
        drawn = [*(rows for rows, _ in places.taught), *places.others, *places.unplaced]
        seen = np.unique(np.concatenate(drawn)) // data.flips
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
        findings, _ = usable_masks(of_sources(findings, self.config.data.severity_source))
        true = targets_for(self.prepared, findings, data.points, self.config.detector).of_flips(data.flips)
        given = np.zeros(len(true.soft), np.float32)
        given[places.inside] = places.soft[0, places.inside]
        taught = np.r_[places.inside, places.outside]
        if (wrong := taught[~np.isclose(given[taught], true.soft[taught]) | ~true.counts[taught]]).size:
            film = int(np.searchsorted(data.starts, wrong[0] // data.flips, side="right") - 1)
            raise RuntimeError(
                f"{len(wrong)} places are taught something else than their findings say, the first on "
                f"{names.iloc[film]}"
            )

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check an evaluation without training, for which this is the only check."""
        check_labels(self.prepared, self.prepared.described)


def check_films(prepared: Prepared, config: Config, *, world: int) -> None:
    """Refuse films that a detector cannot look at or learn from, before any map is made.

    Args:
        prepared: The samples of the run, one for each film.
        config: The settings of the run.
        world: The number of processes.

    Raises:
        InputError: See `check_findings`; a film is too large for its spacing, or the processes cannot share a batch.
    """
    parts = prepared.split.set_index("image_id")["split"]  # again: an image may have given no sample
    check_findings(prepared.findings.assign(split=prepared.findings["image_id"].map(parts)), prepared.labels, config)
    films = prepared.crops.films
    sides = films[["height", "width"]].max(axis=1) * films["spacing_mm"].astype(float)
    largest = films.loc[sides.idxmax()]
    check_size(f"image {largest['image_id']}", largest["height"], largest["width"], largest["spacing_mm"])
    batches = ["batch", "block_batch"] if config.model.trainable == "last_block" else ["batch"]
    for name in batches if config.fit else []:
        if (batch := getattr(config.detector, name)) % (2 * world):
            raise InputError(f"detector.{name}={batch}: expected a multiple of {2 * world}, for {world} devices")


def off_breast_of(prepared: Prepared, points: Sequence[np.ndarray], spacing_mm: float = 0.2) -> list[str]:
    """Return lines on lesions whose place cannot be right: see `off_points` and `covering`; none if there are a few.

    Args:
        prepared: The samples of the run, one for each film.
        points: (n, 2) x and y of the places of each film, in its pixels.
        spacing_mm: The side of a pixel of the films as they are shown, from which the distance of places follows.
    """
    table, far_mm = prepared.crops.table, FAR * STEP * CELL_PX * spacing_mm
    images = table["image_id"].astype(str).tolist()
    lesions, geometries = lesions_of(prepared.findings, prepared.labels)
    places = lesions[["image_id", "x_px", "y_px"]].astype({"image_id": str, "x_px": float, "y_px": float})
    reach_px = dict(zip(images, far_mm / table["spacing_mm"].astype(float), strict=True))
    of_image = dict(zip(images, points, strict=True))
    off = off_points(places.itertuples(index=False, name=None), of_image, reach_px)
    return [*off, *covering(zip(places["image_id"], geometries, strict=True), of_image)]


def covering(lesions: Iterable[tuple[str, Geometry]], points: Mapping[str, np.ndarray]) -> list[str]:
    """Return a line on lesions in which all places of their film lie, so that any mark finds them; none without one.

    Args:
        lesions: The image and the place of each lesion.
        points: (n, 2) x and y of the places of each film, in its pixels; films of less than `FEWEST` do not count.
    """
    seen = [(image, place) for image, place in lesions if len(points.get(image, ())) >= FEWEST]
    of = {image: (points[image][:, 0], points[image][:, 1]) for image, _ in seen}
    large = [image for image, place in seen if (reach_of(place, *of[image], 1.0)[0] <= 1).all()]
    if not large:
        return []
    cover = number_of(len(large), "lesion covers its whole breast", "lesions cover their whole breast")
    return [f"**{cover}, that of {large[0]} for example, so any mark finds it; expected sizes in pixels of the film**"]


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
