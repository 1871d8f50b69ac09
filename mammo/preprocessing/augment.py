"""Augmentation of crops, uint8 or uint16 in and out: the table of methods. Only this file uses albumentations.

A sample can be drawn many times; draw 0 is the original. A method says how the other draws are made. A draw depends on
(seed, draw, sample) and on the training samples, never on the order, worker or device that asks for it.
"""

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mammo.crop_config import AugmentConfig
from mammo.errors import InputError
from mammo.preprocessing.mix import crossover, cutmix, mixup

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import looks for a newer version online

Box = tuple[float, float, float, float]  # left, top, right and bottom edge


@dataclass(frozen=True)
class Method:
    """A row of the table: it says what a draw of a sample adds to the geometric changes.

    Attributes:
        weights: The function of `mix` that combines two training samples, both drawn geometrically; None: no mixing.
        same_class: True if both samples must be of the same class.
        soft: True if the labels are mixed in the same proportion as the pixels.
        synthetic: True if the sample is replaced by a synthetic crop of its class (`synthetic`).
        least: Smallest number of training samples of each class that the method needs.
    """

    weights: Callable[[int, float, np.random.Generator], np.ndarray] | None = None
    same_class: bool = False
    soft: bool = False
    synthetic: bool = False
    least: int = 1


METHODS = {
    "geometric": Method(),
    "crossover": Method(weights=crossover, same_class=True, least=2),
    "mixup": Method(weights=mixup, soft=True),
    "cutmix": Method(weights=cutmix, soft=True),
    "gan": Method(synthetic=True, least=2),
}


class Augment:
    """Draws samples by a method of the table and by geometric changes, which all methods share.

    The geometric changes follow Behery et al. 2023, "rotation, permutation, etc.", read as one of the eight flips,
    quarter turns and transpositions of a square, then a small rotation, shift and scale.

    Args:
        config: Its mode is `none`; `expand` (the training part holds each sample and `copies` fixed draws of it; the
            paper's 582 images are 97 with five copies each); or `online` (each epoch shows a new draw of each sample,
            or one of `copies` fixed draws if the network has a frozen part).

    Raises:
        InputError: The method is unknown, or two settings do not go together.
    """

    def __init__(self, config: AugmentConfig) -> None:
        if config.method not in METHODS:
            raise InputError(f"augment.method={config.method} is unknown; expected one of {', '.join(METHODS)}")
        if config.mode != "none" and config.copies < 1:
            raise InputError(f"augment.copies={config.copies}, but augment.mode={config.mode} needs 1 or more")
        if config.mode == "expand" and METHODS[config.method].soft:
            raise InputError(
                f"augment.mode=expand: a copy made by {config.method} has two classes, which no head can learn; "
                f"use augment.mode=online, or one of {', '.join(name for name in METHODS if not METHODS[name].soft)}"
            )
        self.method = METHODS["geometric" if config.mode == "none" else config.method]
        self.copies, self.rate, self.alpha, self.steps = config.copies, config.rate, config.alpha, config.steps
        self.online, self.offline_copies = config.mode == "online", config.copies if config.mode == "expand" else 0
        self.margin = config.margin
        if config.mode != "none":
            self._pipeline, self._boxed = _pipelines(config)

    @property
    def mixes_copies(self) -> bool:
        """True if an offline copy may contain pixels of another patient than the one it is named for."""
        return self.offline_copies > 0 and (self.method.weights is not None or self.method.synthetic)

    def __call__(self, stored: np.ndarray, shown: int, *, seed: int, draw: int, name: str) -> np.ndarray:
        """Return a geometric draw of a square (stored, stored), cut to (shown, shown); draw 0 is the original."""
        if draw > 0:
            self._pipeline.set_random_seed(draw_seed(seed, draw, name))
            stored = self._pipeline(image=stored)["image"]
        start = (stored.shape[0] - shown) // 2
        return stored[start : start + shown, start : start + shown]

    def together(
        self,
        stored: np.ndarray,
        mask: np.ndarray,
        boxes: Sequence[Box],
        shown: int,
        *,
        seed: int,
        draw: int,
        name: str,
    ) -> tuple[np.ndarray, np.ndarray, list[Box]]:
        """Return a geometric draw of a square with its mask and boxes, all changed alike and cut to the shown part.

        Args:
            stored: (stored, stored) uint8 or uint16, of which `__call__` gives the same draw to the bit.
            mask: (stored, stored) uint8, levels from 0 to 255.
            boxes: The boxes in pixels of the stored square.
            shown: The side of the shown part in pixels.
            seed: See `draw_seed`; so are `draw` and `name`.

        Returns:
            The square and the mask, (shown, shown), and what is seen of each box, in their order; a box that is not
            seen is left out. A box that was turned becomes the box around the turned one, so it is wider.
        """
        start, side = (stored.shape[0] - shown) // 2, stored.shape[0]
        if draw > 0:
            self._boxed.set_random_seed(draw_seed(seed, draw, name))
            within = [tuple(min(max(edge, 0), side) for edge in box) for box in boxes]
            drawn = self._boxed(image=stored, mask=mask, bboxes=within)
            stored, mask, boxes = drawn["image"], drawn["mask"], drawn["bboxes"]
        part = slice(start, start + shown)
        moved = [[float(min(max(edge - start, 0), shown)) for edge in box] for box in boxes]
        seen = [(x0, y0, x1, y1) for x0, y0, x1, y1 in moved if x1 > x0 and y1 > y0]
        return stored[part, part], mask[part, part], seen

    def generator(self, *, seed: int, draw: int, name: str) -> np.random.Generator | None:
        """Return the random generator of the method; None if the draw is the original or has geometric changes only."""
        if draw == 0:
            return None
        rng = np.random.default_rng([draw_seed(seed, draw, name), 0x317])
        return rng if rng.random() < self.rate else None

    def online_draw(self, *, seed: int, epoch: int, name: str, few: bool) -> int:
        """Return the draw of a sample that an epoch shows: a new one, or one of `copies` if there are few."""
        return 1 + draw_seed(seed, epoch, name) % self.copies if few else 1 + epoch


def _pipelines(config: AugmentConfig) -> tuple[Any, Any]:
    """Return the geometric changes of squares, and of squares with boxes."""
    import albumentations as A  # noqa: PLC0415 - half a second, which a run or an answer without draws need not wait for

    affine = A.Affine(
        rotate=(-config.rotate_deg, config.rotate_deg),
        # Fractions of the stored square, whose side is `margin` times the shown one.
        translate_percent=(-config.shift / config.margin, config.shift / config.margin),
        scale=(1 / (1 + config.scale), 1 + config.scale),
        interpolation=cv2.INTER_LINEAR,
        mask_interpolation=cv2.INTER_LINEAR,
        border_mode=cv2.BORDER_REFLECT_101,
        p=1.0,
    )
    changes = [A.D4(p=1.0), affine] if config.symmetries else [affine]
    params = A.BboxParams("pascal_voc", label_fields=[], clip=False, check_each_transform=False)
    return A.Compose(changes), A.Compose(changes, bbox_params=params)


def draw_seed(seed: int, draw: int, name: str) -> int:
    """Return a seed of 32 bits made from (seed, draw, sample), the same on every machine."""
    return int(np.random.SeedSequence([seed, draw, zlib.crc32(name.encode())]).generate_state(1)[0])
