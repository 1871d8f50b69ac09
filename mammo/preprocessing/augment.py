"""Augmentation of crops, grey uint8 in and out: the table of methods, and the only file that touches albumentations.

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

from mammo.errors import InputError
from mammo.preprocessing.mix import crossover, cutmix, mixup

MODES = ("none", "expand", "online")


@dataclass(frozen=True)
class Method:
    """A row of the table: what a draw is beside, or instead of, a geometric draw of its sample.

    Attributes:
        weights: How two training samples, both drawn geometrically, become one: a function of `data.mix`.
        same_class: Whether the second is of the first's class.
        soft: Whether the label is shared as the pixels are.
        synthetic: Whether the sample is replaced by one that a network of its class makes (`data.gan`).
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
    """When samples are drawn, and how: a method of the table, and the geometric set that all of them share.

    That set is Behery et al. 2023's "rotation, permutation, etc.", read as: the eight flips, quarter turns and
    transpositions of a square; then a rotation, a shift and a scale, each small.

    Args:
        mode: `none`; `expand` (the training part becomes each sample and `copies` fixed draws of it: 97 films
            and five copies are the paper's 582); `online` (a new draw of each sample in each epoch).
        copies: With `expand`, draws beside the original. With `online`, how many draws the epochs choose from
            where a trunk is frozen, whose outputs are kept; without a frozen trunk every epoch has draws of its own.
        symmetries: Whether the eight symmetries of the square are drawn.
        rotate_deg: Largest rotation to either side, degrees.
        shift: Largest shift, share of the side.
        scale: Largest change of scale, share.
        method: A key of `METHODS`.
        rate: Share of the draws that the method makes; the others stay geometric.
        alpha: Of the Beta(alpha, alpha) from which the first's share comes, where two samples become one.
        steps: Of the training of each class's network, where it makes samples.

    Raises:
        InputError: An unknown mode or method, a setting out of range, or two that do not go together.
    """

    def __init__(
        self,
        *,
        mode: str,
        copies: int = 0,
        symmetries: bool = False,
        rotate_deg: float = 0.0,
        shift: float = 0.0,
        scale: float = 0.0,
        method: str = "geometric",
        rate: float = 1.0,
        alpha: float = 1.0,
        steps: int = 500,
    ) -> None:
        if mode not in MODES:
            raise InputError(f"augment.mode={mode} is unknown; expected one of {', '.join(MODES)}")
        if mode != "none" and copies < 1:
            raise InputError(f"augment.copies={copies}: expected at least 1")
        if method not in METHODS:
            raise InputError(f"augment.method={method} is unknown; expected one of {', '.join(METHODS)}")
        if not 0 <= rate <= 1:
            raise InputError(f"augment.rate={rate}: expected a share from 0 to 1")
        if alpha <= 0 or steps < 1:
            raise InputError(f"augment.alpha={alpha}, augment.steps={steps}: expected alpha above 0, steps at least 1")
        if mode == "expand" and METHODS[method].soft:
            raise InputError(
                f"augment.mode=expand: copies by {method} belong to two classes, which no head can learn; "
                f"use augment.mode=online, or one of {', '.join(name for name in METHODS if not METHODS[name].soft)}"
            )
        self.mode, self.copies = mode, copies
        self.method = METHODS["geometric" if mode == "none" else method]
        self.rate, self.alpha, self.steps = rate, alpha, steps
        angle = np.deg2rad(min(rotate_deg, 45.0))
        # Side of the square that holds every rotated, shifted and scaled square of side 1.
        self.margin = 1.0 if mode == "none" else float((np.cos(angle) + np.sin(angle)) * (1 + scale) + 2 * shift)
        affine = A.Affine(
            rotate=(-rotate_deg, rotate_deg),
            # A share of the stored square, which is `margin` times the side.
            translate_percent=(-shift / self.margin, shift / self.margin),
            scale=(1 / (1 + scale), 1 + scale),
            interpolation=cv2.INTER_LINEAR,
            border_mode=cv2.BORDER_REFLECT_101,
            p=1.0,
        )
        self._pipeline = A.Compose([A.D4(p=1.0), affine] if symmetries else [affine])

    @property
    def mixes_copies(self) -> bool:
        """Whether the copies of an expanded training part show other women than those they are named for."""
        return self.mode == "expand" and (self.method.weights is not None or self.method.synthetic)

    def __call__(self, stored: np.ndarray, shown: int, *, seed: int, draw: int, sample_id: str) -> np.ndarray:
        """A geometric draw of a stored square (stored, stored), as (shown, shown); draw 0 is the original."""
        if draw > 0:
            self._pipeline.set_random_seed(draw_seed(seed, draw, sample_id))
            stored = self._pipeline(image=stored)["image"]
        start = (stored.shape[0] - shown) // 2
        return stored[start : start + shown, start : start + shown]

    def generator(self, *, seed: int, draw: int, sample_id: str) -> np.random.Generator | None:
        """Of what the method draws; None where a draw is geometric or the original."""
        rng = np.random.default_rng([draw_seed(seed, draw, sample_id), 0x317])
        return rng if draw > 0 and rng.random() < self.rate else None

    def online_draw(self, *, seed: int, epoch: int, sample_id: str, few: bool) -> int:
        """Which draw an epoch shows of a sample: a new one, or where there are few, one of `copies`."""
        return 1 + draw_seed(seed, epoch, sample_id) % self.copies if few else 1 + epoch


def draw_seed(seed: int, draw: int, sample_id: str) -> int:
    """32 bits from (seed, draw, sample), the same on every machine."""
    return int(np.random.SeedSequence([seed, draw, zlib.crc32(sample_id.encode())]).generate_state(1)[0])
