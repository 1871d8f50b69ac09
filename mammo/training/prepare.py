"""Turn findings and a split into the samples of a run: crops, rows of each part, and notes. No Lightning is needed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mammo.config import Config
from mammo.datasets.base import Chosen, Dataset, check_sources, choose_images
from mammo.datasets.findings import PARTS, SAMPLE
from mammo.datasets.label_words import resolved
from mammo.datasets.labels import Labels, check_task
from mammo.datasets.split import GIVEN, check_split, official_split, read_split, split_images, unused_rows
from mammo.preprocessing.augment import Augment
from mammo.preprocessing.breast import resize
from mammo.preprocessing.crop_rows import SHORTCUTS
from mammo.preprocessing.crop_table import Crops, cut_samples
from mammo.preprocessing.crops import Crop, build_crop
from mammo.preprocessing.flips import FLIPS
from mammo.preprocessing.mask_files import usable_masks
from mammo.preprocessing.synthetic import SIDE, Draw, compare, summary, synthesise
from mammo.training.cutter import cutter_of
from mammo.training.places import check_findings
from mammo.training.regions import Regions, RegionSamples, check_regions, regions_of
from mammo.training.required import check_masks, check_parts
from mammo.training.samples import Row, Samples
from mammo.training.shown import said_of


@dataclass
class Prepared:
    """The samples of a run, before any network.

    Attributes:
        dataset: Where the films came from.
        findings: The findings of all images that are not unreadable.
        labels: The classes, and the rule that gives a finding its class.
        split: One row per image: `image_id, patient, split`, and `copy` if copies were dealt to the parts.
        crop: The rule that says what is cut from each image.
        crops: The samples, their pixels, and what was left out.
        classes: (samples,) class numbers.
        augment: How training samples are drawn.
        rows_of: The rows (sample, copy) of each part.
        config: The settings of the run.
        synthetic: Synthetic crops by draw; None if the augmentation makes none.
        audit: The facts that `check_split` found about the rows.
        said: What was said about the data set before a film was read, one line each.
        regions: The true regions that are known, for task=segmentation; None for other tasks.
    """

    dataset: Dataset
    findings: pd.DataFrame
    labels: Labels
    split: pd.DataFrame
    crop: Crop
    crops: Crops
    classes: np.ndarray
    augment: Augment
    rows_of: dict[str, list[Row]]
    config: Config
    synthetic: dict[Draw, np.ndarray] | None
    audit: dict[str, Any]
    said: Sequence[str]
    regions: Regions | None

    def __post_init__(self) -> None:
        model, part = self.config.model, self.config.select_on
        self.pool = pool_of(self.rows_of)
        train, described = self._taught("train"), [row for part in PARTS for row in self.rows_of[part]]
        self.train = self._samples([(sample, None) for sample, _ in train] if self.augment.online else train)
        if isinstance(self.train, RegionSamples):
            self.train.see_windows(self.config.segmentation.window_of(model.image_size))
        self.watched = part if self.rows_of[part] else "test"
        self.chooses = bool(self.rows_of[part]) and self.config.task.kind != "detection"  # else the last epoch counts
        self.watch = self._samples(self._taught(self.watched), FLIPS[model.flips])
        self.described = self._samples(described, FLIPS[model.flips], sees_regions=False)

    def _taught(self, part: str) -> list[Row]:
        """Return the rows of a part that have something to teach: all, or those whose region is known."""
        images, known = self.crops.table["image_id"], self.regions
        return [row for row in self.rows_of[part] if known is None or images.iloc[row[0]] in known]

    def _samples(self, rows: list[Row], flips: int = 1, *, sees_regions: bool = True) -> Samples:
        given = self.crops, self.classes, rows, self.augment, self.config.seed, self.pool, self.synthetic, flips
        return Samples(*given) if self.regions is None else RegionSamples(self.regions if sees_regions else {}, *given)

    def rows(self) -> pd.DataFrame:
        """Return the table of the described rows; see `described_rows`."""
        return described_rows(self.crops, self.rows_of)

    def targets(self) -> np.ndarray:
        """Return the (rows,) class numbers of the described rows."""
        return self.classes[[sample for sample, _ in self.described.rows]]

    def shortcuts(self) -> pd.DataFrame:
        """Return the shortcut features of each described row (crop geometry, grey level, density, one of data sets).

        The task's own column is left out.
        """
        columns = [*SHORTCUTS, *(["density"] if self.labels.column != "density" else [])]
        columns += ["dataset"] if self.crops.table["dataset"].nunique() > 1 else []
        return self.crops.table[columns].iloc[[sample for sample, _ in self.described.rows]].reset_index(drop=True)

    def class_counts(self) -> np.ndarray:
        """Return the (classes,) numbers of training rows."""
        return np.bincount(self.classes[[row[0] for row in self.train.rows]], minlength=len(self.labels.classes))

    @property
    def notes(self) -> list[str]:
        """The facts that a reader of the report must know, one line each."""
        return [*self.said, *self.crops.notes, *([summary(one)] if (one := self.compared()) is not None else [])]

    def compared(self) -> pd.DataFrame | None:
        """Return the nearest training crop of each synthetic one, with its `class`; None if there are none."""
        if self.synthetic is None:
            return None
        of = dict(zip(self.crops.table["name"], self.classes, strict=True))
        tables = []
        for label, name in enumerate(self.labels.classes):
            made = {draw: square for draw, square in self.synthetic.items() if of[draw[0]] == label}
            tables.append(
                compare(made, *learnt_from(self.crops, self.classes, self.pool, label)).assign(**{"class": name})
            )
        return pd.concat(tables, ignore_index=True)


def choose(dataset: Dataset, config: Config) -> tuple[Config, Chosen]:
    """Return the settings with the classes of their task, and the images that they choose, with notes.

    Raises:
        InputError: No image has the view or laterality that is asked for, or the words make no task.
    """
    if carry := getattr(dataset, "carry", None):
        carry(config.task.column)
    chosen = choose_images(dataset, config.data)
    task, said = resolved(config.task, chosen.findings)
    if task.column == "severity":
        check_sources(chosen.findings, config.data.severity_source)
    if config.split.name not in GIVEN and chosen.findings["official_split"].notna().all():
        said.append(
            f"**the data set has a split of its own that split={config.split.name} does not use; split=official does**"
        )
    if config.split.name == "table":
        said += unused_rows(chosen.findings, config.split.table)
    return replace(config, task=task), replace(chosen, notes=[*chosen.notes, *said])


def split_of(findings: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Deal the images of a findings table to train, val and test: one row per image, or per copy if copies are dealt.

    Raises:
        InputError: The split is unknown, the fold is out of range, or the shares are not valid.
    """
    labels = Labels.from_config(config.task)
    check_task(labels, findings, config.task.kind)
    findings = labels.stratified(findings)
    if config.split.name == "table":
        return read_split(findings, config.split.table)
    if config.split.name == "official":
        return official_split(findings)
    return split_images(
        findings,
        name=config.split.name,
        seed=config.seed,
        shares=config.split.shares,
        fold=config.data.fold,
        folds=config.data.folds,
        copies=config.augment.copies if config.augment.mode == "expand" else 0,
        stratify=labels.stratify,
    )


def prepare(
    dataset: Dataset, findings: pd.DataFrame, split: pd.DataFrame, config: Config, said: Sequence[str] = ()
) -> Prepared:
    """Cut the samples of a run and deal them to their parts.

    Args:
        dataset: The data set, which reads the films.
        findings: Its findings table.
        split: One row per image, as `datasets.split.split_images` returns it.
        config: The configuration of the run, with the classes of its task.
        said: What was said about the data set so far, one line each.

    Raises:
        InputError: The data set, or a part, lacks a class; the batch is larger than the training part; or more films
            are unreadable than `data.max_unreadable` allows.
    """
    if config.task.kind == "detection":
        findings, more = usable_masks(findings)
        said = [*said, *more]
    labels, augment, crop, placed = planned(findings, split, config)
    cutter, most = cutter_of(dataset, config), config.data.max_unreadable
    crops = cut_samples(crop, placed, cutter, labels, seed=config.seed, max_unreadable=most)
    findings = findings[~findings["image_id"].isin(crops.unreadable["image_id"])]
    check_masks(findings, crops.films, config)
    check_parts(crops.table, config, labels, split, augment)  # again: an image may have given no sample
    classes = crops.table["label"].map({name: i for i, name in enumerate(labels.classes)}).to_numpy()
    rows_of = deal_rows(split, crops.table["image_id"], augment.offline_copies)
    synthetic = _synthesise(crops, classes, rows_of, augment, labels, config.seed) if augment.method.synthetic else None
    # The audit sees the rows that are used: an image without a sample neither trains nor tests, so it leaks nothing.
    audit = check_split(described_rows(crops, rows_of), config.split.name)
    regions, of_regions = None, list[str]()
    if config.task.kind == "segmentation":
        regions, of_regions = regions_of(dataset, findings, crops, config)
        check_regions(regions, crops.table["image_id"], rows_of, config, of_regions)
    return Prepared(
        dataset, findings, labels, split, crop, crops, classes, augment, rows_of, config, synthetic, audit,
        [*said, *said_of(config, crops.table), *of_regions], regions,
    )  # fmt: skip


def planned(findings: pd.DataFrame, split: pd.DataFrame, config: Config) -> tuple[Labels, Augment, Crop, pd.DataFrame]:
    """Return labels, augmentation and crop of a run, and its findings with their `split`; no film is read.

    Raises:
        InputError: See `prepare`.
    """
    labels, augment, crop = Labels.from_config(config.task), Augment(config.augment), build_crop(config.crop)
    check_split(split, config.split.name)
    check_parts(findings.assign(label=labels.label(findings)), config, labels, split, augment)
    parts = split.drop_duplicates("image_id").set_index("image_id")["split"]
    placed = findings.assign(split="copies" if "copy" in split else findings["image_id"].map(parts))
    if config.task.kind == "detection":
        check_findings(placed, labels, config)
    return labels, augment, crop, placed


def pool_of(rows_of: dict[str, list[Row]]) -> list[int]:
    """Return the samples of the training part, the only ones that augmentation may use."""
    return sorted({sample for sample, _ in rows_of["train"]})


def described_rows(crops: Crops, rows_of: dict[str, list[Row]]) -> pd.DataFrame:
    """Return one row per sample and copy, part by part: the columns of `SAMPLE`, `name, patient, split, label`."""
    rows = [(sample, copy or 0, part) for part in PARTS for sample, copy in rows_of[part]]
    samples, copies, parts = map(list, zip(*rows, strict=True))
    table = crops.table.iloc[samples].reset_index(drop=True).assign(copy=copies, split=parts)
    return table[[*SAMPLE, "name", "patient", "split", "label"]]


def learnt_from(crops: Crops, classes: np.ndarray, pool: list[int], label: int) -> tuple[np.ndarray, list[str]]:
    """Return a class's training crops, (n, SIDE, SIDE), from which synthetic crops are learnt, and their names."""
    members = [sample for sample in pool if classes[sample] == label]
    squares = np.stack([resize(crops.pixels[sample], SIDE) for sample in members])
    return squares, crops.table["name"].iloc[members].tolist()


def deal_rows(split: pd.DataFrame, images: pd.Series, copies: int) -> dict[str, list[Row]]:
    """Return the samples and copies of each part. The training part has all copies, unless copies were dealt.

    Args:
        split: One row per image, or one per copy of an image.
        images: (samples,) the image of each sample.
        copies: Number of copies of each training sample, beside the original.
    """
    rows: dict[str, list[Row]] = {part: [] for part in PARTS}
    dealt: dict[str, list[tuple[int, str]]] = {}
    given = split["copy"] if "copy" in split else [None] * len(split)
    for image, part, copy in zip(split["image_id"], split["split"], given, strict=True):
        numbers = [copy] if copy is not None else range(copies + 1) if part == "train" else [0]
        dealt.setdefault(image, []).extend((int(number), part) for number in numbers)
    for sample, image in enumerate(images):
        for copy, part in dealt[image]:
            rows[part].append((sample, copy))
    return rows


def _synthesise(
    crops: Crops, classes: np.ndarray, rows_of: dict[str, list[Row]], augment: Augment, labels: Labels, seed: int
) -> dict[Draw, np.ndarray]:
    """Return a synthetic crop for each copy of each sample that is drawn; it is of the sample's class."""
    pool = pool_of(rows_of)
    drawn = sorted({sample for part in rows_of.values() for sample, copy in part if copy} | set(pool))
    made: dict[Draw, np.ndarray] = {}
    for label in range(len(labels.classes)):
        names = crops.table["name"].iloc[[sample for sample in drawn if classes[sample] == label]]
        draws = [(name, copy) for name in names for copy in range(1, augment.copies + 1)]
        made |= synthesise(learnt_from(crops, classes, pool, label)[0], draws, steps=augment.steps, seed=seed)
    return made
