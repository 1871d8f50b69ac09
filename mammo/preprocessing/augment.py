"""Augmentation of crops, uint8 or uint16 in and out: the table of methods. Only this file uses albumentations.

A sample can be drawn many times; draw 0 is the original. A method says how the other draws are made. A draw depends on
(seed, draw, sample) and on the training samples, never on the order, worker or device that asks for it.
"""

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import looks for a newer version online

import albumentations as A
import cv2

from mammo.crop_config import AugmentConfig
from mammo.errors import InputError
from mammo.preprocessing.mix import crossover, cutmix, mixup


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
        angle = np.deg2rad(min(config.rotate_deg, 45.0))
        # Side of a square that holds every rotated, shifted and scaled square of side 1.
        self.margin = float((np.cos(angle) + np.sin(angle)) * (1 + config.scale) + 2 * config.shift)
        if config.mode == "none":
            self.margin = 1.0
        affine = A.Affine(
            rotate=(-config.rotate_deg, config.rotate_deg),
            # Fractions of the stored square, whose side is `margin` times the shown one.
            translate_percent=(-config.shift / self.margin, config.shift / self.margin),
            scale=(1 / (1 + config.scale), 1 + config.scale),
            interpolation=cv2.INTER_LINEAR,
            border_mode=cv2.BORDER_REFLECT_101,
            p=1.0,
        )
        self._pipeline = A.Compose([A.D4(p=1.0), affine] if config.symmetries else [affine])

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

    def generator(self, *, seed: int, draw: int, name: str) -> np.random.Generator | None:
        """Return the random generator of the method; None if the draw is the original or has geometric changes only."""
        rng = np.random.default_rng([draw_seed(seed, draw, name), 0x317])
        return rng if draw > 0 and rng.random() < self.rate else None

    def online_draw(self, *, seed: int, epoch: int, name: str, few: bool) -> int:
        """Return the draw of a sample that an epoch shows: a new one, or one of `copies` if there are few."""
        return 1 + draw_seed(seed, epoch, name) % self.copies if few else 1 + epoch


def draw_seed(seed: int, draw: int, name: str) -> int:
    """Return a seed of 32 bits made from (seed, draw, sample), the same on every machine."""
    return int(np.random.SeedSequence([seed, draw, zlib.crc32(name.encode())]).generate_state(1)[0])
