"""Batches of pictures with their true regions for Lightning, and the check that these are those of their findings."""

from typing import Any

import lightning as L
import numpy as np
import torch

from mammo.config import Config
from mammo.datasets.base import of_sources
from mammo.datasets.findings import findings_table
from mammo.training.datamodule import MammogramDataModule
from mammo.training.guard import Guard
from mammo.training.prepare import Prepared
from mammo.training.regions import RegionSamples, cut_regions, shapes_for


class SegmentationDataModule(MammogramDataModule):
    """Training, validation and evaluation batches of pictures with their true regions."""

    def __init__(self, prepared: Prepared, config: Config) -> None:
        super().__init__(prepared, config.data, config.seed)
        self.guard = RegionGuard(prepared, config)

    def setup(self, stage: str | None = None) -> None:
        """Do nothing: no output of a frozen part is kept."""

    def on_after_batch_transfer(self, batch: dict[str, torch.Tensor], dataloader_idx: int) -> dict[str, torch.Tensor]:
        """Return the batch: the network computes its frozen part itself."""
        return batch


class RegionGuard(Guard):
    """Checks also which regions Lightning really uses, before the first batch.

    Args:
        prepared: The samples of the run.
        config: The settings of the run.

    Raises:
        RuntimeError: As `Guard`; or training or the choice of an epoch sees a region of another part, or one that is
            not what the findings of its image say.
    """

    def __init__(self, prepared: Prepared, config: Config) -> None:
        super().__init__(prepared)
        self.config = config

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check the rows, and the regions, for which the findings are read again."""
        super().on_train_start(trainer, pl_module)
        train: Any = trainer.train_dataloader
        watch: Any = trainer.val_dataloaders
        check_squares(self.prepared, train.dataset, "train", self.config)
        check_squares(self.prepared, watch.dataset, self.prepared.watched, self.config)


def check_squares(prepared: Prepared, samples: RegionSamples, part: str, config: Config) -> None:
    """Require that the regions that samples hold are of one part, and what the findings say of their images."""
    images, own = prepared.crops.table["image_id"], {sample for sample, _ in prepared.rows_of[part]}
    if strangers := sorted(set(samples.regions) - own):
        raise RuntimeError(
            f"leak: {len(strangers)} regions are held that are not of the {part} part, for example that of "
            f"{images.iloc[strangers[0]]}"
        )
    findings = of_sources(findings_table(prepared.dataset.findings()), config.data.severity_source)
    findings = findings[findings["image_id"].isin(images.iloc[sorted(own)])]
    shapes, _ = shapes_for(prepared.dataset, findings, config)
    held = {images.iloc[sample]: square for sample, square in samples.regions.items()}
    true = cut_regions(prepared.dataset, prepared.findings, {one: shapes[one] for one in held if one in shapes}, config)
    wrong = [one for one, square in held.items() if one not in true or not np.array_equal(true[one].square, square)]
    if wrong:
        raise RuntimeError(
            f"{len(wrong)} regions of the {part} part are not what the findings of their images say, the first that of "
            f"{wrong[0]}"
        )
