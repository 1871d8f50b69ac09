"""Batches for Lightning: from a data set's findings to grey crops, or to what a frozen trunk makes of them."""

import os
from functools import partial
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Sampler

from mammo.datasets.findings import PARTS, SAMPLE
from mammo.datasets.labels import check_task, find_task
from mammo.datasets.registry import open_dataset
from mammo.datasets.split import check_fold, check_split, split_films
from mammo.errors import InputError
from mammo.paths import home
from mammo.preprocessing.augment import Augment
from mammo.preprocessing.breast import resize
from mammo.preprocessing.crops import SHORTCUTS, Crops, cut_crops
from mammo.preprocessing.synthetic import SIDE, compare, synthesise
from mammo.processes.peers import START, help_out
from mammo.training.frozen import trunk_outputs
from mammo.training.samples import Draw, EpochSampler, OnceSampler, Row, Samples

ALONE = {"rank": 0, "world": 1}


class MammogramDataModule(L.LightningDataModule):
    """Training, validation and evaluation batches of one data set under one protocol.

    Args:
        name: A key of `datasets.DATASETS`.
        task: A key of `tasks.TASKS`.
        split: Arguments of `split.split_films`.
        crop: Arguments of `crop.cut_crops`.
        augment: Arguments of `augment.Augment`.
        image_size: Side in pixels of what the network sees.
        seed: Of the split, the backgrounds, the augmentation and the order of batches.
        select_on: The part that chooses the epoch: `val`, or `test`, which is a leak.
        batch_size: Of all devices together.
        workers: Loader processes per device; null: on a CPU one, which loads a hundred times faster than VGG16 trains
            there; on GPUs one per core and device. None where a frozen trunk is cached.
        cache: Whether crops and a frozen trunk's outputs are kept on disk, and so made once; the numbers are the same
            without, to rounding.
        fold: Test is this one of `folds`; null: one split by `split.shares`.
        folds: How many.
        **source: Arguments of the data set.
    """

    def __init__(
        self,
        *,
        name: str,
        task: str,
        split: dict[str, Any],
        crop: dict[str, Any],
        augment: dict[str, Any],
        image_size: int,
        seed: int,
        batch_size: int,
        select_on: str = "val",
        workers: int | None = None,
        cache: bool = True,
        fold: int | None = None,
        folds: int = 5,
        **source: Any,
    ) -> None:
        super().__init__()
        check_fold(fold, folds)
        self.task = find_task(task)
        self.dataset = open_dataset(name, **source)
        self.augment = Augment(**augment)
        self.split_settings = {**split, "seed": seed, "fold": fold, "folds": folds}
        self.crop_settings = {**crop, "image_size": image_size, "margin": self.augment.margin, "seed": seed}
        self.augment_settings, self.seed = augment, seed
        self.batch_size, self.workers, self.cache, self.select_on = batch_size, workers, cache, select_on
        self.split: pd.DataFrame
        self.audit: dict[str, object]
        self.crops: Crops
        self.synthetic: dict[Draw, np.ndarray] | None = None
        self.went_to: dict[str, int] = {}  # of a run that goes on: `epoch` and `done` of `EpochSampler`
        self._loaded = False

    @classmethod
    def of(cls, cfg: dict[str, Any]) -> "MammogramDataModule":
        """That of a run's configuration."""
        keys = ("task", "split", "crop", "augment", "seed", "select_on")
        return cls(**cfg["data"], **{key: cfg[key] for key in keys}, image_size=cfg["model"]["image_size"])

    def prepare_data(self) -> None:
        """Brings the films to disk."""
        self.dataset.prepare()

    def load(self) -> None:
        """Findings, split, crops and rows; once, however often it is called.

        Raises:
            InputError: The data set, or a side of the split, lacks a class; the batch is larger than the training part.
        """
        if self._loaded:
            return
        self.prepare_data()
        table = self.dataset.index()
        check_task(self.task, table)
        mode = self.augment.mode
        expanded = self.augment.copies if mode == "expand" else 0
        self.split = split_films(table, **self.split_settings, copies=expanded, stratify=self.task.stratify)
        check_split(self.split, self.split_settings["name"])
        self._check(table.assign(label=table[self.task.column].map(self.task.of)))  # before any film is read
        dealt_copies = "copy" in self.split
        table["split"] = table["image_id"].map(self.split.drop_duplicates("image_id").set_index("image_id")["split"])
        if dealt_copies:
            table["split"] = "copies"
        digests = self.dataset.manifest()
        self.crops = cut_crops(
            table,
            lambda film: self.dataset.read(film, digests),
            self.task,
            **self.crop_settings,
            digests=digests,
            cache=home() / "crops" if self.cache else None,
        )
        self._check(self.crops.table)  # again: a film may have given no sample
        self.labels = self.crops.table["label"].map({c: i for i, c in enumerate(self.task.classes)}).to_numpy()
        rows = self._rows_by_part(expanded)
        self.pool = sorted({sample for sample, _ in rows["train"]})
        if self.augment.method.synthetic:
            drawn = {sample for part in rows.values() for sample, copy in part if copy} | set(self.pool)
            self.synthetic = self._synthesise(sorted(drawn))
        self.train = self._samples(
            [(sample, None) for sample, _ in rows["train"]] if mode == "online" else rows["train"]
        )
        self.chooses = bool(rows[self.select_on])
        self.watched = self.select_on if self.chooses else "test"
        self.watch = self._samples(rows[self.watched])
        self.described = self._samples([row for part in PARTS for row in rows[part]])
        self.described_parts = [part for part in PARTS for _ in rows[part]]
        # Of the rows as they will be used: films that give no sample neither train nor test, and so leak nothing.
        self.audit = check_split(self.rows(), self.split_settings["name"])
        self._loaded = True

    def _rows_by_part(self, expanded: int) -> dict[str, list[Row]]:
        """Samples and copies of each part: of an expanded training part all copies, or those that it was dealt."""
        rows: dict[str, list[Row]] = {part: [] for part in PARTS}
        films: dict[str, list[tuple[int, str]]] = {}
        for film, part, copy in zip(
            self.split["image_id"], self.split["split"], self.split.get("copy", [None] * len(self.split)), strict=True
        ):
            copies = [copy] if copy is not None else range(expanded + 1) if part == "train" else [0]
            films.setdefault(film, []).extend((int(number), part) for number in copies)
        for sample, film in enumerate(self.crops.table["image_id"]):
            for copy, part in films[film]:
                rows[part].append((sample, copy))
        return rows

    def _samples(self, rows: list[Row]) -> Samples:
        return Samples(self.crops, self.labels, rows, self.augment, self.seed, self.pool, self.synthetic)

    def _learnt_from(self, label: int) -> tuple[np.ndarray, list[str]]:
        """A class's training crops as its network sees them, (n, SIDE, SIDE) uint8, and their names."""
        members = [sample for sample in self.pool if self.labels[sample] == label]
        squares = np.stack([resize(self.crops.pixels[sample], SIDE) for sample in members])
        return squares, self.crops.table["sample_id"].iloc[members].tolist()

    def _synthesise(self, samples: list[int]) -> dict[Draw, np.ndarray]:
        """A synthetic crop of its sample's class for each sample and each of its copies."""
        made: dict[Draw, np.ndarray] = {}
        ids = self.crops.table["sample_id"]
        for label in range(len(self.task.classes)):
            members = [sample for sample in samples if self.labels[sample] == label]
            draws = [(ids[sample], copy) for sample in members for copy in range(1, self.augment.copies + 1)]
            made |= synthesise(self._learnt_from(label)[0], draws, steps=self.augment.steps, seed=self.seed)
        return made

    def compared(self) -> pd.DataFrame | None:
        """The nearest training crop of each synthetic one, by `class`; see `gan.compare`. None where none is made."""
        if self.synthetic is None:
            return None
        of = dict(zip(self.crops.table["sample_id"], self.labels, strict=True))
        tables = []
        for label, name in enumerate(self.task.classes):
            made = {draw: square for draw, square in self.synthetic.items() if of[draw[0]] == label}
            tables.append(compare(made, *self._learnt_from(label)).assign(**{"class": name}))
        return pd.concat(tables, ignore_index=True)

    def _check(self, rows: pd.DataFrame) -> None:
        """Every part has every class among `rows` (`image_id`, `label`), and the training part fills a batch."""
        rows = rows[["image_id", "label"]].reset_index().merge(self.split, on="image_id")
        parts = [part for part in PARTS if (self.split["split"] == part).any()]
        for required in ("train", "test"):
            if required not in parts:
                raise InputError(f"the split leaves no film for {required}; change split.shares")
        for part in parts:
            missing = set(self.task.classes) - set(rows.loc[rows["split"] == part, "label"])
            if missing:
                raise InputError(
                    f"the {part} part has no sample of class {', '.join(sorted(missing))}; "
                    "use more films, another seed or other shares"
                )
        least, counts = self.augment.method.least, rows[rows["split"] == "train"].groupby("label")["index"].nunique()
        if counts.min() < least:
            raise InputError(
                f"augment.method={self.augment_settings['method']}: expected {least} training samples of each class, "
                f"found {counts.min()} of {counts.idxmin()}; use augment.method=geometric"
            )
        copies = self.augment.copies if self.augment.mode == "expand" and "copy" not in rows else 0
        train = int(((rows["split"] == "train") & rows["label"].notna()).sum()) * (1 + copies)
        if self.batch_size > train:
            raise InputError(
                f"data.batch_size={self.batch_size} is larger than the training part of {train} samples; "
                "make it smaller"
            )

    def rows(self) -> pd.DataFrame:
        """The described rows, in their order: their identities, `patient, split, label`, and their `name`."""
        table = self.crops.table.iloc[[sample for sample, _ in self.described.rows]].reset_index(drop=True)
        table = identified(table)
        table["copy"] = [copy or 0 for _, copy in self.described.rows]
        table["name"] = self.described.names()
        table["split"] = self.described_parts
        return table[[*SAMPLE, "name", "patient", "split", "label"]]

    def shortcuts(self) -> pd.DataFrame:
        """What of the described rows is seen without looking at a lesion, in their order; the task's column is not."""
        columns = [*SHORTCUTS, *(["density"] if self.task.column != "density" else [])]
        return self.crops.table[columns].iloc[[sample for sample, _ in self.described.rows]].reset_index(drop=True)

    def class_counts(self) -> np.ndarray:
        """(classes,) how many rows of the training part each class has."""
        return np.bincount(self.labels[[row[0] for row in self.train.rows]], minlength=len(self.task.classes))

    def setup(self, stage: str | None = None) -> None:
        """Loads, and where the model's trunk is frozen, computes what it makes of each distinct sample, once."""
        self.load()
        if self.synthetic is not None and self.trainer and self.trainer.world_size > 1:
            # Computed alike by all; on processors that round otherwise, the first one's count.
            self.synthetic.update(self.trainer.strategy.broadcast(self.synthetic))
        if not self._trunk_frozen:
            return
        asked = (self.train, self.watch, self.described) if stage == "fit" else (self.described,)
        for samples in asked:
            samples.few = True
        if self.cache and any(samples.outputs is None for samples in asked):
            outputs = trunk_outputs(self.trainer, home() / "trunks", asked)
            for samples in asked:
                samples.outputs = outputs

    @property
    def _trunk_frozen(self) -> bool:
        model: Any = self.trainer and self.trainer.lightning_module
        return model is not None and bool(model.net.frozen)

    def on_after_batch_transfer(self, batch: dict[str, torch.Tensor], dataloader_idx: int) -> dict[str, torch.Tensor]:
        """Where a frozen trunk's outputs are not cached, they are made here, on the device."""
        if self._trunk_frozen and not self.cache:
            trainer: Any = self.trainer
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                batch["x"] = trainer.lightning_module.net.trunk(batch["x"])
        return batch

    @property
    def _process(self) -> dict[str, int]:
        """Which of how many processes this one is."""
        return {"rank": self.trainer.global_rank, "world": self.trainer.world_size} if self.trainer else ALONE

    def _loader(self, samples: Samples, sampler: Sampler[tuple[int, int]]) -> DataLoader[dict[str, Any]]:
        world = self._process["world"]
        on_cpu = self.trainer is None or self.trainer.strategy.root_device.type == "cpu"
        workers = self.workers if self.workers is not None else 1 if on_cpu else max((os.cpu_count() or 1) // world, 1)
        if samples.outputs is not None:
            workers = 0  # nothing is left to compute
        return DataLoader(
            samples,
            batch_size=self.batch_size // world,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=not on_cpu,
            worker_init_fn=partial(help_out, os.getpid()),
            multiprocessing_context=START if workers else None,
            # Its own generator: with the global one, workers would shift the network's dropout.
            generator=torch.Generator().manual_seed(self.seed),
        )

    def state_dict(self) -> dict[str, Any]:
        """How far training went: whole epochs, and batches of the next one."""
        trainer: Any = self.trainer
        loop = trainer.fit_loop
        done = loop.epoch_loop.batch_progress.current.processed % trainer.num_training_batches
        return {"epoch": loop.epoch_progress.current.processed, "done": done}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there; Lightning, which asks for batches before it knows, would begin at the first epoch's."""
        self.went_to = state_dict

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """The training part, shuffled; an incomplete last batch is left for another epoch."""
        share = {"batch_size": self.batch_size, "seed": self.seed, **self._process, **self.went_to}
        return self._loader(self.train, EpochSampler(len(self.train), **share))

    def _once(self, samples: Samples) -> DataLoader[dict[str, Any]]:
        return self._loader(samples, OnceSampler(len(samples), **self._process))

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        """The watched part, which chooses; without validation test is watched, and chooses nothing."""
        return self._once(self.watch)

    def predict_dataloader(self) -> DataLoader[dict[str, Any]]:
        """All described rows, in the order of `rows`."""
        return self._once(self.described)


def identified(table: pd.DataFrame) -> pd.DataFrame:
    """Return samples with their identities in columns, until the crops give them."""
    patch = table["sample_id"].str.extract(r"\.p(\d+)$")[0].fillna("0").astype("Int64")
    return table.assign(patch=patch, finding_id=table["finding_id"].fillna(0))
