"""Augmentation of crops, grey uint8 in and out: the only file that touches albumentations.

What a sample looks like depends on (seed, draw, sample) alone, never on the order, worker or device that asks.
"""

import os
import zlib

import numpy as np

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import asks the network for a newer version otherwise

import albumentations as A
import cv2

from mammo import InputError

MODES = ("none", "expand", "online")


class Augment:
    """The geometric set of Behery et al. 2023: "rotation, permutation, etc.".

    Read as: the eight flips, quarter turns and transpositions of a square; then a rotation, a shift and a scale,
    each small.

    Args:
        mode: `none`; `expand` (the training part becomes each sample and `copies` fixed draws of it: 97 films
            and five copies are the paper's 582); `online` (a new draw of each sample in each epoch).
        copies: With `expand`, draws beside the original. With `online`, how many draws the epochs choose from
            where a frozen trunk's outputs are cached; without a frozen trunk every epoch has draws of its own.
        symmetries: Whether the eight symmetries of the square are drawn.
        rotate_deg: Largest rotation to either side, degrees.
        shift: Largest shift, share of the side.
        scale: Largest change of scale, share.
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
    ) -> None:
        if mode not in MODES:
            raise InputError(f"augment.mode={mode} is unknown; expected one of {', '.join(MODES)}")
        if mode != "none" and copies < 1:
            raise InputError(f"augment.copies={copies}: expected at least 1")
        self.mode, self.copies = mode, copies
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

    def __call__(self, stored: np.ndarray, shown: int, *, seed: int, draw: int, sample_id: str) -> np.ndarray:
        """A draw of a stored square (stored, stored) uint8, as (shown, shown) uint8; draw 0 is the original."""
        if draw > 0:
            self._pipeline.set_random_seed(draw_seed(seed, draw, sample_id))
            stored = self._pipeline(image=stored)["image"]
        start = (stored.shape[0] - shown) // 2
        return stored[start : start + shown, start : start + shown]

    def online_draw(self, *, seed: int, epoch: int, sample_id: str, cached: bool) -> int:
        """Which draw an epoch shows of a sample: a new one, or one of `copies` where outputs are cached."""
        return 1 + draw_seed(seed, epoch, sample_id) % self.copies if cached else 1 + epoch


def draw_seed(seed: int, draw: int, sample_id: str) -> int:
    """32 bits from (seed, draw, sample), the same on every machine."""
    return int(np.random.SeedSequence([seed, draw, zlib.crc32(sample_id.encode())]).generate_state(1)[0])
