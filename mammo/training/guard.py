"""What a run does, held against what it says: a step that is shown other rows, or other labels, ends the run.

`evaluation.audit.leaks` names what a configuration lets leak. That is the truth only if nothing else was done.
"""

from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import Callback

from mammo.datasets.labels import shown_in
from mammo.training.datamodule import MammogramDataModule
from mammo.training.samples import Samples


class Guard(Callback):
    """Looks at the loaders and monitors that Lightning really holds, before the first batch.

    Args:
        select_on: The part that may choose, as the run's leaks are derived from it.

    Raises:
        RuntimeError: Training rows, or what augmentation takes from, are not all of the training part, an epoch is
            chosen on other rows than those of `select_on`, or labels do not follow their films.
    """

    def __init__(self, select_on: str) -> None:
        self.select_on = select_on

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Who trains, and who chooses the epoch and the moment to stop."""
        data: MammogramDataModule = trainer.datamodule  # type: ignore[attr-defined]
        train: Any = trainer.train_dataloader
        watch: Any = trainer.val_dataloaders
        check_rows(data, train.dataset, "train", "training")
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if monitor := getattr(callback, "monitor", None):
                step = f"{type(callback).__name__} by {monitor}"
                if monitor.partition("/")[0] != self.select_on:
                    raise RuntimeError(f"leak: {step}: expected a number of the {self.select_on} part (select_on)")
                check_rows(data, watch.dataset, self.select_on, step)
        for samples in (train.dataset, watch.dataset):
            check_pool(data, samples)
            check_labels(data, samples)

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """An evaluation without training comes here alone."""
        data: MammogramDataModule = trainer.datamodule  # type: ignore[attr-defined]
        described: Any = trainer.predict_dataloaders
        check_pool(data, described.dataset)
        check_labels(data, described.dataset)


def check_rows(data: MammogramDataModule, samples: Samples, part: str, step: str) -> None:
    """All rows of a step belong to one part."""
    parts = data.rows().set_index("name")["split"]
    names = samples.names()
    strangers = [name for name in names if parts.get(name) != part]
    if strangers:
        raise RuntimeError(
            f"leak: {step} is shown {len(strangers)} of {len(names)} rows that are not of the {part} part, "
            f"say {strangers[0]} ({parts.get(strangers[0], 'of no part')})"
        )


def check_pool(data: MammogramDataModule, samples: Samples) -> None:
    """What is mixed into a draw, or made by a network, comes from samples of the training part."""
    described = zip(data.described.rows, data.described_parts, strict=True)
    train = {sample for (sample, _), part in described if part == "train"}
    if strangers := {*data.pool, *samples.pool.tolist()} - train:
        raise RuntimeError(
            f"leak: augmentation may mix in, or learn from, {len(strangers)} samples that are not of the train part, "
            f"say {samples.ids[min(strangers)]}"
        )


def check_labels(data: MammogramDataModule, samples: Samples) -> None:
    """Labels are those of the findings, read once more, and pixels those that the table of crops was made with."""
    table, findings = samples.crops.table, data.dataset.index()
    keys = ["image_id", "finding_id"]
    found_again = table[keys].merge(findings, on=keys, how="left", validate="many_to_one")
    true = found_again[data.task.column].map(data.task.of)
    if data.crop_settings["name"] == "grid":  # told by their place, not by the number that they carry
        films = table[["image_id"]].merge(findings.drop_duplicates("image_id"), how="left")
        by_place = films.assign(**shown_in(table, findings))[data.task.column].map(data.task.of)
        true = true.where(table["sample_id"] == table["image_id"], by_place)
    true = true.fillna("no finding")
    given = np.asarray(data.task.classes)[samples.labels]
    for found, name in ((table["label"], "table"), (given, "loader")):
        if (wrong := np.flatnonzero(np.asarray(found) != np.asarray(true))).size:
            raise RuntimeError(
                f"{len(wrong)} labels of the {name} are not those of their findings: {table['sample_id'][wrong[0]]} is "
                f"{true[wrong[0]]}, found {found[wrong[0]]}"
            )
    grey = [samples.crops.centre(sample).mean() for sample in range(len(table))]
    if (wrong := np.flatnonzero(~np.isclose(grey, table["mean_grey"]))).size:
        raise RuntimeError(f"the pixels of {table['sample_id'][wrong[0]]} are not those that were cut for it")
