"""The samples of an external test: other films than those of a finished run, cut as the run cut its own."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mammo.config import Config
from mammo.datasets.base import Dataset
from mammo.datasets.labels import Labels
from mammo.datasets.split import audit_split
from mammo.errors import InputError
from mammo.preprocessing.augment import Augment
from mammo.preprocessing.crop_table import Crops, cut_samples
from mammo.preprocessing.crops import Lesion, build_crop
from mammo.preprocessing.mask_files import usable_masks
from mammo.preprocessing.stored import taken
from mammo.training.cutter import cutter_of
from mammo.training.places import check_findings
from mammo.training.prepare import Prepared
from mammo.training.regions import regions_of
from mammo.training.samples import Row
from mammo.training.shown import said_of
from mammo.wording import number_of

ALL = "all"  # the `split` of images that are all tested: their own lesions say where their backgrounds lie


def prepare_test(
    dataset: Dataset, findings: pd.DataFrame, config: Config, parts: pd.Series | None = None, said: Sequence[str] = ()
) -> Prepared:
    """Cut the samples of an external test; all of them are of the test part.

    Windows of lesions need places for the backgrounds. They are those of the lesions of the other parts, as in
    training, or if every image is tested those of its own lesions, so that the place does not tell the class.

    Args:
        dataset: The data set, which reads the films.
        findings: Its findings table.
        config: The settings of the run, with the data of the test and the classes of the run's task.
        parts: The part (train, val or test) of each image, by `image_id`; the test part alone is tested. None tests
            every image.
        said: What was said about the data set so far, one line each.

    Raises:
        InputError: The data set lacks the column of the task, or a tested image; or no sample is left.
    """
    labels, augment, crop = Labels.from_config(config.task), Augment(config.augment), build_crop(config.crop)
    if labels.column not in findings:
        there = ", ".join(str(name) for name in findings if findings[name].notna().any())
        raise InputError(
            f"the run's task {config.task.name} reads the column {labels.column}, and the data set {dataset.name} has "
            f"none; found {there}; give its films this column"
        )
    if config.task.kind == "detection":
        findings, more = usable_masks(findings)
        said = [*said, *more]
    rows = _of_parts(findings, parts, lesions=isinstance(crop, Lesion))
    if config.task.kind == "detection":
        check_findings(rows, labels, config)
    cutter, most = cutter_of(dataset, config), config.data.max_unreadable
    crops = cut_samples(crop, rows, cutter, labels, seed=config.seed, max_unreadable=most)
    crops = _tested(crops, part=ALL if parts is None else "test")
    said = [*said, *_lacking(crops.table["label"], labels)]
    findings = findings[findings["image_id"].isin(crops.table["image_id"])]
    regions = None
    if config.task.kind == "segmentation":
        regions, more = regions_of(dataset, findings, crops, config)
        said += more
    split = findings.drop_duplicates("image_id")[["image_id", "patient"]].assign(split="test").reset_index(drop=True)
    classes = crops.table["label"].map({name: i for i, name in enumerate(labels.classes)}).to_numpy()
    rows_of: dict[str, list[Row]] = {"train": [], "val": [], "test": [(sample, 0) for sample in range(len(classes))]}
    audit, said = audit_split(split), [*said, *said_of(config, crops.table)]
    return Prepared(
        dataset, findings, labels, split, crop, crops, classes, augment, rows_of, config, None, audit, said, regions
    )


def _of_parts(findings: pd.DataFrame, parts: pd.Series | None, *, lesions: bool) -> pd.DataFrame:
    """Return the findings of the tested images with their `split`, and lesions of the other parts if they are needed.

    Raises:
        InputError: The parts have no test part, or a tested image is not in the table.
    """
    if parts is None:
        return findings.assign(split=ALL)
    tested = parts.index[parts == "test"]
    if absent := sorted(set(map(str, tested)) - set(findings["image_id"])):
        raise InputError(
            f"{number_of(len(absent), 'image of the test part is', 'images of the test part are')} not in the data "
            f"set, the first is {absent[0]}; name the data "
            "that the parts were dealt from, with the same settings"
        )
    if not len(tested):
        raise InputError("no image is of the test part; write test in the column split of those to test")
    rows = findings.assign(split=findings["image_id"].map(parts))
    needed = rows["split"] == "test"
    if lesions:
        needed |= rows["split"].notna() & (rows["severity"] != "normal").fillna(True)
    return rows[needed.fillna(False).astype(bool)].reset_index(drop=True)


def _tested(crops: Crops, part: str) -> Crops:
    """Return the samples of the images with the `split` that is tested, which becomes `test`."""
    inside = (crops.table["split"] == part).to_numpy()
    if not inside.any():
        raise InputError(f"no tested image gives a sample: {'; '.join(crops.notes)}")
    table = crops.table[inside].assign(split="test").reset_index(drop=True)
    films = crops.films[crops.films["image_id"].isin(table["image_id"])].reset_index(drop=True)
    kept = np.flatnonzero(inside)
    pixels, inner = taken(crops.pixels, kept), [crops.inner[i] for i in kept]
    return replace(crops, table=table, pixels=pixels, films=films, inner=inner)


def _lacking(found: pd.Series, labels: Labels) -> list[str]:
    """Return a note of the classes of the task that no tested sample has."""
    lacking = [name for name in labels.classes if name not in set(found)]
    if not lacking:
        return []
    return [f"**no tested sample is {' or '.join(lacking)}, so AUROC and other numbers are undefined**"]
