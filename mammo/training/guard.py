"""Checks that a run does what its configuration says. A step that uses other rows or other labels ends the run.

`evaluation.leaks` derives the leaks from the configuration, which is right only if the run did nothing else.
"""

from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import Callback

from mammo.datasets.findings import PARTS, findings_table
from mammo.datasets.labels import shown_in
from mammo.training.prepare import Prepared
from mammo.training.samples import Samples


class Guard(Callback):
    """Checks the data loaders and monitors that Lightning really uses, before the first batch.

    Args:
        prepared: The samples of the run, with the part that may choose.

    Raises:
        RuntimeError: Training, or augmentation, uses rows of another part than train; an epoch is chosen on rows of
            another part than `select_on`; or labels do not belong to their images.
    """

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check which rows train, and which rows choose the epoch and the moment to stop."""
        prepared, select_on = self.prepared, self.prepared.config.select_on
        train: Any = trainer.train_dataloader
        watch: Any = trainer.val_dataloaders
        check_rows(prepared, train.dataset, "train", "training")
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if monitor := getattr(callback, "monitor", None):
                step = f"{type(callback).__name__} by {monitor}"
                if monitor.partition("/")[0] != select_on:
                    raise RuntimeError(f"leak: {step}, expected a metric of the {select_on} part (select_on)")
                check_rows(prepared, watch.dataset, select_on, step)
        for samples in (train.dataset, watch.dataset):
            check_pool(prepared, samples)
            check_labels(prepared, samples)

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check an evaluation without training, for which this is the only check."""
        described: Any = trainer.predict_dataloaders
        check_pool(self.prepared, described.dataset)
        check_labels(self.prepared, described.dataset)


def check_rows(prepared: Prepared, samples: Samples, part: str, step: str) -> None:
    """Require that all rows of a step belong to one part."""
    parts = {(sample, copy or 0): of for of in PARTS for sample, copy in prepared.rows_of[of]}
    rows = [(sample, copy or 0) for sample, copy in samples.rows]
    if strangers := [row for row in rows if parts.get(row) != part]:
        first = strangers[0]
        raise RuntimeError(
            f"leak: {step} uses {len(rows)} rows, of which {len(strangers)} are not of the {part} part, "
            f"for example {samples.names[first[0]]} ({parts.get(first, 'of no part')})"
        )


def check_pool(prepared: Prepared, samples: Samples) -> None:
    """Require that augmentation mixes in, or learns from, samples of the training part alone."""
    train = {sample for sample, _ in prepared.rows_of["train"]}
    if strangers := {*prepared.pool, *samples.pool.tolist()} - train:
        raise RuntimeError(
            f"leak: augmentation may mix in, or learn from, {len(strangers)} samples that are not of the train part, "
            f"for example {samples.names[min(strangers)]}"
        )


def check_labels(prepared: Prepared, samples: Samples) -> None:
    """Require that labels are those of the findings, which are read again, and pixels those that were cut for them."""
    table, labels = samples.crops.table, prepared.labels
    findings = findings_table(prepared.dataset.findings())
    keys = ["image_id", "finding_id"]
    true = table[keys].merge(findings, on=keys, how="left", validate="many_to_one")
    true = labels.label(true)
    if prepared.crop.several_per_image:  # a window's label follows from its place
        images = table[["image_id"]].merge(findings.drop_duplicates("image_id"), how="left")
        if labels.words:
            decided = labels.of_images(findings.assign(label=labels.label(findings))).set_index("image_id")["label"]
            by_place = table["image_id"].map(decided)
        else:
            by_place = labels.label(images.assign(**shown_in(table, findings, labels.column)))
        true = true.where(table["patch"] == 0, by_place)
    true = true.fillna("no finding")
    given = np.asarray(labels.classes)[samples.labels]
    for found, name in ((table["label"], "table"), (given, "loader")):
        if (wrong := np.flatnonzero(np.asarray(found) != np.asarray(true))).size:
            raise RuntimeError(
                f"{len(wrong)} labels of the {name} are not those of their findings: for example, "
                f"{table['name'][wrong[0]]} is {true[wrong[0]]}, but its label is {found[wrong[0]]}"
            )
    grey = [samples.crops.mean_grey(sample) for sample in range(len(table))]
    if (wrong := np.flatnonzero(~np.isclose(grey, table["mean_grey"]))).size:
        raise RuntimeError(
            f"the pixels of {table['name'][wrong[0]]} are not those that were cut for it; run "
            "`mammo data cache --clear`, then repeat the command"
        )
