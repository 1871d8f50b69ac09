"""Augmentation of crops, uint8 or uint16 in and out: the table of methods, the only file that touches albumentations.

Each method is a way to make draw k of a sample. What it looks like depends on (seed, draw, sample) and on which
samples train, never on the order, worker or device that asks.
"""

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import asks the network for a newer version otherwise

import albumentations as A
import cv2

from mammo.config import AugmentConfig
from mammo.errors import InputError
from mammo.preprocessing.mix import crossover, cutmix, mixup


@dataclass(frozen=True)
class Method:
    """A row of the table: it says how a draw of a sample differs from a geometric one.

    Attributes:
        weights: The function of `mix` by which two training samples, both drawn geometrically, become one.
        same_class: True if the second is of the first's class.
        soft: True if the label is shared as the pixels are.
        synthetic: True if the sample is replaced by one that a network of its class makes (`synthetic`).
        least: Training samples of each class without which it cannot work.
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
    """Draws of samples: a method of the table, and the geometric set that all methods share.

    That set is Behery et al. 2023's "rotation, permutation, etc.", read as: the eight flips, quarter turns and
    transpositions of a square; then a rotation, a shift and a scale, each small.

    Args:
        config: Its mode is `none`; `expand` (the training part becomes each sample and `copies` fixed draws of it: 97
            images and five copies are the paper's 582); or `online` (a new draw of each sample in each epoch, or where
            a frozen part's outputs are kept, one of `copies`).

    Raises:
        InputError: An unknown method, or two settings that do not go together.
    """

    def __init__(self, config: AugmentConfig) -> None:
        if config.method not in METHODS:
            raise InputError(f"augment.method={config.method} is unknown; expected one of {', '.join(METHODS)}")
        if config.mode != "none" and config.copies < 1:
            raise InputError(f"augment.copies={config.copies}: expected at least 1 with augment.mode={config.mode}")
        if config.mode == "expand" and METHODS[config.method].soft:
            raise InputError(
                f"augment.mode=expand: copies by {config.method} belong to two classes, which no head can learn; "
                f"use augment.mode=online, or one of {', '.join(name for name in METHODS if not METHODS[name].soft)}"
            )
        self.method = METHODS["geometric" if config.mode == "none" else config.method]
        self.copies, self.rate, self.alpha, self.steps = config.copies, config.rate, config.alpha, config.steps
        self.online, self.offline_copies = config.mode == "online", config.copies if config.mode == "expand" else 0
        angle = np.deg2rad(min(config.rotate_deg, 45.0))
        # Side of the square that holds every rotated, shifted and scaled square of side 1.
        self.margin = float((np.cos(angle) + np.sin(angle)) * (1 + config.scale) + 2 * config.shift)
        if config.mode == "none":
            self.margin = 1.0
        affine = A.Affine(
            rotate=(-config.rotate_deg, config.rotate_deg),
            # A share of the stored square, which is `margin` times the side.
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
        """Return a geometric draw of a stored square (stored, stored), as (shown, shown); draw 0 is the original."""
        if draw > 0:
            self._pipeline.set_random_seed(draw_seed(seed, draw, name))
            stored = self._pipeline(image=stored)["image"]
        start = (stored.shape[0] - shown) // 2
        return stored[start : start + shown, start : start + shown]

    def generator(self, *, seed: int, draw: int, name: str) -> np.random.Generator | None:
        """Return the generator of what the method draws; None where a draw is geometric or the original."""
        rng = np.random.default_rng([draw_seed(seed, draw, name), 0x317])
        return rng if draw > 0 and rng.random() < self.rate else None

    def online_draw(self, *, seed: int, epoch: int, name: str, few: bool) -> int:
        """Return the draw that an epoch shows of a sample: a new one, or where there are few, one of `copies`."""
        return 1 + draw_seed(seed, epoch, name) % self.copies if few else 1 + epoch


def draw_seed(seed: int, draw: int, name: str) -> int:
    """Return 32 bits from (seed, draw, sample), the same on every machine."""
    return int(np.random.SeedSequence([seed, draw, zlib.crc32(name.encode())]).generate_state(1)[0])
