"""True regions of the samples of a run, each beside its square, and the samples that show both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from mammo.config import Config
from mammo.datasets.base import Dataset
from mammo.datasets.film import file_digest
from mammo.datasets.labels import Labels
from mammo.errors import InputError, UnreadableFilm
from mammo.preprocessing.augment import draw_seed
from mammo.preprocessing.breast import cut
from mammo.preprocessing.crop_table import Crops
from mammo.preprocessing.cutting import UnreadableFilms
from mammo.preprocessing.mask_files import inverted, looks_by, odd_masks
from mammo.preprocessing.masks import MaskAsk, Placed, Shape, UnknownRegions, middle_of, shapes_of
from mammo.preprocessing.off_breast import off_points
from mammo.training.cutter import cutter_of
from mammo.training.samples import Row, Samples
from mammo.wording import number_of

OWN = (
    "the true breasts are those that the program finds by thresholds, as the data set has no outlines of them: a Dice "
    "says how well these are learnt, not how right they are"
)
LEVELS = np.linspace(0, 0.95, 20)  # tried for `mean_region`, as shares of its largest frequency
FAR = 3  # pixels of a picture from the breast, beyond which a place lies off it: about 1 cm at 64 pixels, 3 mm at 224
WINDOWS = 4  # of each training picture in an epoch
REACH = 1 / 3  # the largest way from a pixel of a region to the middle of its window, as a share of the window's side
PECTORAL = "no data set here knows the pectoral muscle, which counts as breast"


@dataclass(frozen=True)
class Region:
    """The true region of a sample.

    Attributes:
        shapes: Its shapes on the film; None is the breast that the program finds by thresholds.
        square: (stored, stored) uint8, the share of each pixel of the sample's square that lies in it, times 255.
        placed: The place of the shown part of the square on the film.
    """

    shapes: tuple[Shape, ...] | None
    square: np.ndarray
    placed: Placed

    def shown(self, side: int) -> np.ndarray:
        """Return the pixels of the shown part, (side, side), of which the region covers half or more, bool."""
        inset = (len(self.square) - side) // 2
        return self.square[inset : inset + side, inset : inset + side] > 127


Regions = dict[str, Region]  # by image_id, of the images whose region is known
Shapes = dict[Any, tuple[Shape, ...] | None]  # the same, see `Region`


def regions_of(dataset: Dataset, findings: pd.DataFrame, crops: Crops, config: Config) -> tuple[Regions, list[str]]:
    """Return the true regions of the samples, one for each image, and notes.

    Args:
        dataset: The data set, which reads the films.
        findings: Its findings table.
        crops: The samples.
        config: The settings of the run.

    Raises:
        InputError: A contour is malformed, or the file of a mask is not there.
    """
    used = findings[findings["image_id"].isin(crops.table["image_id"])]
    shapes, notes = shapes_for(dataset, used, config)
    try:
        regions = cut_regions(dataset, used, shapes, config)
    except UnreadableFilms as found:
        known = {image: of for image, of in shapes.items() if image not in found.reasons}
        first, why = next(iter(found.reasons.items()))
        said = f"{number_of(len(found.reasons), 'image has', 'images have')} a region that cannot be used"
        notes.append(UnknownRegions(f"{said}, and neither train nor test regions; image {first}: {why}"))
        regions = cut_regions(dataset, used, known, config)
    return regions, [*notes, *doubts_of(regions, crops, config)]


def doubts_of(regions: Regions, crops: Crops, config: Config) -> list[str]:
    """Return notes on true regions that can be learnt and yet seem to be wrong: by their masks, and by their places.

    Args:
        regions: The true regions, by image.
        crops: The samples.
        config: The settings of the run; of true breasts the grey levels of masks alone are looked at.
    """
    shapes = [(image, shape) for image, one in regions.items() for shape in one.shapes or ()]
    masks = looks_by(path for _, (source, _, path, _) in shapes if source == "mask")
    looks = {path: one for path, one in masks.items() if not isinstance(one, UnreadableFilm)}
    if config.segmentation.target == "breast":
        return odd_masks(looks)
    places = [(image, *middle_of(shape, looks)) for image, shape in shapes]
    placed = {image: regions[image].placed for image, _ in shapes}
    samples = {image: sample for sample, image in enumerate(crops.table["image_id"]) if image in placed}
    points = {image: placed[image].points(crops.centre(sample)) for image, sample in samples.items()}
    reach_px = {image: FAR * abs(one.step_x_px) for image, one in placed.items()}
    return [*inverted(looks), *odd_masks(looks), *off_points(places, points, reach_px)]


def shapes_for(dataset: Dataset, findings: pd.DataFrame, config: Config) -> tuple[Shapes, list[str]]:
    """Return the shapes of each image whose region is known, and notes; None is the breast found by thresholds."""
    if config.segmentation.target == "breast":
        shapes: Shapes = {image: breast_of(dataset, image) for image in findings["image_id"].unique()}
        return shapes, [*([OWN] if None in shapes.values() else []), PECTORAL]
    known, notes = shapes_of(findings, Labels.from_config(config.task))
    return dict(known), notes


def breast_of(dataset: Dataset, image_id: str) -> tuple[Shape, ...] | None:
    """Return the true breast of an image if the data set has a method `breast_mask` that gives its file, else None."""
    path = dataset.breast_mask(image_id) if hasattr(dataset, "breast_mask") else None
    return None if path is None else (("mask", (), str(path), file_digest(path)),)


def cut_regions(dataset: Dataset, findings: pd.DataFrame, shapes: Shapes, config: Config) -> Regions:
    """Return the regions of shapes, cut as the samples of their images are.

    Raises:
        UnreadableFilms: A mask cannot be read, is empty, or has another size than its film.
    """
    rows = findings[findings["image_id"].isin(shapes)].drop_duplicates("image_id")
    asks = [MaskAsk(config.crop.name, shapes=shapes[image]) for image in rows["image_id"]]
    squares = cutter_of(dataset, config)(rows, asks)
    return {
        image: Region(shapes[image], one.pixels, Placed(**one.numbers))
        for image, (one,) in zip(rows["image_id"], squares, strict=True)
    }


def check_regions(
    regions: Regions, images: pd.Series, rows_of: dict[str, list[Row]], config: Config, notes: Sequence[str]
) -> None:
    """Refuse parts without what a run needs: regions to learn from, a full batch, and regions to choose an epoch by.

    Args:
        regions: The regions that are known.
        images: The image of each sample.
        rows_of: The samples and copies of each part.
        config: The settings of the run.
        notes: The notes of `regions_of`; the last one on unknown regions is told.
    """
    image_of = images.to_dict()
    known = {part: [regions[image_of[sample]] for sample, _ in rows if image_of[sample] in regions]
             for part, rows in rows_of.items()}  # fmt: skip
    why = [note for note in notes if isinstance(note, UnknownRegions)]
    chosen_on = [config.select_on] if rows_of[config.select_on] else []
    for part in ["train", *chosen_on]:
        if not any(region.square.any() for region in known[part]):
            raise InputError(
                f"the {part} part has no image with a {config.segmentation.target} whose region is known; regions are "
                "learnt from masks, contours, boxes or circles" + "".join(f". {line}" for line in why[-1:])
            )
    if (batch := config.data.batch_size) > len(known["train"]):
        raise InputError(
            f"data.batch_size is {batch}, but the region is known on {len(known['train'])} training samples alone; "
            f"use {len(known['train'])} or fewer"
        )


def mean_region(regions: Sequence[Region], shown: int) -> np.ndarray:
    """Return the pixels of a picture that lie in regions most often, (shown, shown) bool.

    Args:
        regions: Those of the training part.
        shown: The side of the shown part of a square in pixels.

    The share of regions above which a pixel counts is the one with the best mean Dice on these regions.
    """
    masks = np.stack([one.shown(shown) for one in regions])
    masks = masks[masks.any(axis=(1, 2))]
    often = masks.mean(axis=0) if len(masks) else np.zeros((shown, shown))

    def dice(common: np.ndarray) -> float:
        return float((2 * (masks & common).sum(axis=(1, 2)) / (masks.sum(axis=(1, 2)) + common.sum())).mean())

    return max((often > level * often.max() for level in LEVELS), key=dice) if len(masks) else often > 0


class RegionSamples(Samples):
    """Gives rows (sample, copy) as `{"x", "y", "region", "row"}`, by (row, epoch).

    `region` is (side, side) float32, the share of each pixel that lies in the true region, changed as `x` is. It is 0
    everywhere if the region of the image is not among those that are given.

    Samples show whole pictures, until `see_windows` is called. An epoch then shows `WINDOWS` of each row, whose numbers
    go on: row + len(self) is the second window of a row.
    """

    def __init__(self, regions: Regions, *given: Any) -> None:
        super().__init__(*given)
        images = self.crops.table["image_id"].tolist()
        self.regions = {sample: regions[images[sample]].square for sample, _ in self.rows if images[sample] in regions}
        self.window_px: int | None = None
        self.turns = 1  # the windows of each row in an epoch

    def see_windows(self, window_px: int | None) -> None:
        """Show windows of a side in pixels, half of them at true regions as far as there are rows enough with one."""
        if window_px is None:
            return
        self.window_px, self.turns = window_px, WINDOWS
        has = sum(sample in self.regions and bool(self.regions[sample].any()) for sample, _ in self.rows)
        self.at_region = min(len(self.rows) / (2 * max(has, 1)), 1.0)  # the share of the windows of a row with a region

    @property
    def per_epoch(self) -> int:
        """The number of pictures or windows that training sees in an epoch."""
        return len(self.rows) * self.turns

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        turn, row = divmod(key[0], len(self.rows))
        epoch = key[1] * self.turns + turn
        sample, draw = self.rows[row][0], self.draw(row, epoch)
        stored = self.crops.pixels[sample]
        region = self.regions.get(sample)
        region = np.zeros(stored.shape, np.uint8) if region is None else region
        side = self.crops.shown
        if self.window_px is not None:
            stored, region = self._window(sample, stored, region, epoch)
            side = self.window_px
        how: Any = {"seed": self.draws_seed, "draw": draw, "name": self.names[sample]}
        pixels, region, _ = self.augment.together(stored, region, [], side, **how)
        x, shares = (torch.from_numpy(np.ascontiguousarray(one)) for one in (pixels, region))
        return {"x": x[None], "y": int(self.labels[sample]), "region": shares.float() / 255, "row": row}

    def _window(self, sample: int, stored: np.ndarray, region: np.ndarray, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a part of a picture and its region, each with the margin that changes need, around a drawn point."""
        rng = np.random.default_rng([draw_seed(self.seed, epoch, self.names[sample]), 0x0817])
        window: Any = self.window_px
        inset, shown = (len(stored) - self.crops.shown) // 2, self.crops.shown
        seen = slice(inset, inset + shown)
        places = np.flatnonzero(region[seen, seen]) if rng.random() < self.at_region else np.array([], int)
        away = rng.uniform(-REACH, REACH, 2) * window if len(places) else np.zeros(2)
        places = places if len(places) else np.flatnonzero(stored[seen, seen])
        place = int(rng.choice(places)) if len(places) else shown**2 // 2
        y, x = np.clip(np.array(divmod(place, shown)) + away, 0, shown - 1) + inset
        side = round(window * len(stored) / shown)
        return cut(stored, x, y, side), cut(region, x, y, side)
