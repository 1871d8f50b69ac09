"""The samples of a run: each is one row of a table and one square of grey levels."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mammo.datasets.film import Film
from mammo.datasets.labels import Labels
from mammo.datasets.words import words_of
from mammo.errors import InputError
from mammo.preprocessing.crops import Crop
from mammo.preprocessing.cutting import Cutter


@dataclass(frozen=True)
class Crops:
    """Holds the samples of a run.

    Attributes:
        table: One row per sample: `name, image_id, finding_id, patch`, the columns of its finding, `label`, the centre
            `x_px, y_px` and the side `size_px` of its square on the film, and `SHORTCUTS`.
        pixels: The square of each sample, (stored, stored) uint8 or uint16, in the order of the table; memory-mapped
            if it comes from the cache.
        shown: Side in pixels of the central part that an unaugmented sample shows.
        notes: What was left out, one line each.
    """

    table: pd.DataFrame
    pixels: list[np.ndarray]
    shown: int
    notes: list[str]

    def centre(self, sample: int) -> np.ndarray:
        """Return the part that an unaugmented sample shows, (shown, shown)."""
        start = (len(self.pixels[sample]) - self.shown) // 2
        return self.pixels[sample][start : start + self.shown, start : start + self.shown]

    def mean_grey(self, sample: int) -> float:
        """Return the mean grey of the part that an unaugmented sample shows, in levels of 8 bits."""
        shown = self.centre(sample)
        return float(shown.mean() * (255 / np.iinfo(shown.dtype).max))


def cut_samples(
    crop: Crop,
    findings: pd.DataFrame,
    read: Callable[[str], Film],
    labels: Labels,
    *,
    image_size: int,
    margin: float,
    seed: int,
    bits: int = 8,
    digest: Callable[[str], str | None] | None = None,
    cache: Path | None = None,
) -> Crops:
    """Cut every sample of a task.

    Args:
        crop: The rule that says what is cut from each image.
        findings: A findings table with the column `split`.
        read: Returns the film of an `image_id`.
        labels: The labels of the task; a finding without one gives no sample.
        image_size: Side in pixels of the part that is shown.
        margin: Stored side divided by shown side, at least 1.
        seed: Seed of the places of the backgrounds.
        bits: Bits of a stored grey level, 8 or 16.
        digest: Returns the name of a film's pixels from its `image_id`, for the cache.
        cache: Folder where squares are kept, so that each is cut once; None keeps none.

    Raises:
        InputError: No sample is left, or the crop is in millimetres and an image has no spacing.
    """
    rows = findings.assign(label=labels.label(findings))
    if rows["label"].isna().all():
        raise InputError(f"no finding has a {labels.column} that the task knows; choose another task or data set")
    notes = []
    absent = set(rows["image_id"]) - set(rows.dropna(subset="label")["image_id"])
    if labels.words:
        silent = absent - set(rows.loc[words_of(rows[labels.column]).notna(), "image_id"])
        notes += [f"{len(silent)} images have no {labels.column} and are left out"] if silent else []
        absent -= silent
    if absent:
        notes.append(f"{len(absent)} images take no part in the task")
    if not labels.words and (unknown := int(findings[labels.column].isna().sum())):
        notes.append(f"{unknown} findings of unknown {labels.column} are left out")
    cutter = Cutter(read, shown=image_size, margin=margin, bits=bits, digest_of=digest, home=cache)
    samples, said = crop.cut(rows, findings, labels, cutter, seed)
    if not samples:
        raise InputError(f"no sample is left: {'; '.join([*notes, *said])}; use crop=whole")
    samples.sort(key=lambda sample: sample["_order"])
    pixels = [sample.pop("_pixels") for sample in samples]
    table = pd.DataFrame(samples).drop(columns="_order")
    unmeasured = table["spacing_mm"].isna()
    if unmeasured.all():
        notes.append("no image has spacing_mm: breast_mm2 is in pixels")
    elif unmeasured.any():  # one unit for all rows
        table.loc[unmeasured, "breast_mm2"] = 0.0
        notes.append(f"{table.loc[unmeasured, 'image_id'].nunique()} images have no spacing_mm: their breast_mm2 is 0")
    return Crops(table.astype({"finding_id": "Int64", "patch": "Int64"}), pixels, image_size, notes + said)
