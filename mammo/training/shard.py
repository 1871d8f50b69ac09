"""Cut the squares of a run before it, all of them or one shard, so that it finds them in the cache."""

import time
from dataclasses import dataclass

import pandas as pd

from mammo.config import Config
from mammo.datasets.base import Dataset
from mammo.paths import home
from mammo.preprocessing.crop_table import in_turns
from mammo.preprocessing.cutting import UnreadableFilms
from mammo.preprocessing.mask_files import usable_masks
from mammo.preprocessing.shards import OthersMissing, ShardCutter
from mammo.training.prepare import planned


@dataclass(frozen=True)
class CutShard:
    """A shard of a run's squares, and what came of cutting it.

    Attributes:
        of: The number of images that were asked for so far, in all shards.
        images: The number of images of this shard among them.
        cut: The number of these that were cut now; the squares of the others were there.
        unreadable: The reason for each image of this shard that cannot be used.
        missing: The number of images of other shards whose squares are not there yet.
        goes_on: True if the crop may ask for more when these are there.
        seconds: The time that it took.
    """

    of: int
    images: int
    cut: int
    unreadable: dict[str, str]
    missing: int
    goes_on: bool
    seconds: float


def cut_shard(
    dataset: Dataset, findings: pd.DataFrame, split: pd.DataFrame, config: Config, shard: tuple[int, int] | None
) -> CutShard:
    """Cut the squares that a run with these settings needs.

    Args:
        dataset: The data set, which reads the films.
        findings: Its findings table.
        split: One row per image, as `datasets.split.split_images` returns it.
        config: The configuration of the run, with the classes of its task.
        shard: The number of the shard, from 0, and the number of shards; None cuts all, together with the other
            processes of the job.

    Raises:
        InputError: The data set, or a part, lacks a class, or the batch is larger than the training part.
    """
    if config.task.kind == "detection":
        findings, _ = usable_masks(findings)
    labels, augment, crop, placed = planned(findings, split, config)
    rows = placed.assign(label=labels.label(placed))
    cutter = ShardCutter(
        dataset.read,
        home=home() / "crops",
        shard=shard,
        shown=config.model.image_size,
        margin=augment.margin,
        bits=config.crop.bits,
        digest_of=dataset.digest,
    )
    begun, missing = time.monotonic(), 0
    for some in in_turns(crop, rows):
        while True:
            readable, all_readable = (table[~table["image_id"].isin(cutter.unreadable)] for table in (some, placed))
            try:
                crop.cut(readable, all_readable, labels, cutter, config.seed)
                break
            except UnreadableFilms:
                continue  # without them
            except OthersMissing as found:
                missing += found.images
                break
        cutter.facts.clear()
    own = set(cutter.images())
    lost = {image_id: reason for image_id, reason in cutter.unreadable.items() if image_id in own}
    goes_on = bool(missing) and not getattr(crop, "asks_once", False)
    seconds = time.monotonic() - begun
    return CutShard(len(cutter.order), len(own), len(cutter.cut), lost, missing, goes_on, seconds)
