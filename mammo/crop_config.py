"""The groups of the configuration that say what a sample shows: the crop and its augmentation. See `mammo.config`."""

import math
from dataclasses import dataclass, field
from typing import Any

from mammo.errors import InputError
from mammo.fields import number as _number
from mammo.fields import one_of as _one_of
from mammo.fields import whole as _whole

LARGEST_MM = 500.0  # the longest side of a window; no film of a breast is as large


@dataclass
class CropConfig:
    """The part of a film that is seen. A crop takes only the keys that concern it. For your own, set `_target_`."""

    name: str = "whole"  # the part of the film that is seen: whole, film, lesion, scaled_lesion or grid
    _target_: str | None = None  # the import path of a crop class of your own
    arguments: Any = field(default_factory=dict)  # arguments of that class; add one with a plus
    # the side of a window in millimetres; 22.4 is 112 pixels of 0.2 mm, shown at 224
    window_mm: float = _number(22.4, 1e-3, LARGEST_MM)
    # lesion: the sides in millimetres of several windows around the same centre, say [22.4,14.4]; null: window_mm alone
    windows_mm: list[float] | None = None
    # with windows_mm: scores, the mean of the scores of all windows; features, one score from all their features
    join: str = _one_of("scores", "scores", "features")
    # lesion: centre each window of both classes on the brightest blob within 8 mm, which is the harder task
    recentre: bool = True
    # a lesion without a known place: exclude leaves it out, breast takes the middle of the breast
    without_circle: str = _one_of("exclude", "exclude", "breast")
    factor: float = _number(1.25, 1e-3)  # scaled_lesion: the side of the window divided by the diameter of the lesion
    # grid: the distance between windows in millimetres; null: window_mm, so that they lie side by side
    stride_mm: float | None = _number(None, 1e-3)
    bits: int = _one_of(8, 8, 16)  # the bits per pixel of a stored crop

    @property
    def windows(self) -> int:
        """The number of windows that a sample shows."""
        return len(self.windows_mm or [self.window_mm])


def check_windows(windows_mm: list[float] | None, join: str) -> None:
    """Refuse windows that are no windows, and a rule to join them where there is one only."""
    if windows_mm is None:
        if join != "scores":
            raise InputError(f"crop.join={join} does nothing with one window; name several by crop.windows_mm")
    elif len(set(windows_mm)) < max(len(windows_mm), 2) or not all(0 < side <= LARGEST_MM for side in windows_mm):
        raise InputError(
            f"crop.windows_mm={list(windows_mm)}: expected two sides or more in mm, each once, above 0 and up to "
            f"{LARGEST_MM:g}; use crop.window_mm for one"
        )


@dataclass
class AugmentConfig:
    """The changes of training samples: a method, and the geometric changes that all methods share."""

    # none: originals only; expand: a fixed number of copies; online: new draws in each epoch
    mode: str = _one_of("online", "none", "expand", "online")
    method: str = "geometric"  # geometric, crossover, mixup, cutmix or gan
    # expand: copies beside each original; online: the number of fixed draws per sample where a part is frozen
    copies: int = _whole(4, 0)
    rate: float = _number(1.0, 0, 1)  # the share of the draws that the method makes; the others are geometric only
    # mixup and cutmix: the parameter of the Beta distribution of the first image's share
    alpha: float = _number(1.0, 1e-9)
    steps: int = _whole(500, 1)  # gan: the training steps of each class's network
    symmetries: bool = True  # whether the eight flips and quarter turns of a square are drawn
    rotate_deg: float = _number(15.0, 0)  # the largest rotation to either side, in degrees
    shift: float = _number(0.05, 0)  # the largest shift, as a share of the side
    scale: float = _number(0.1, 0)  # the largest change of scale, as a share

    @property
    def margin(self) -> float:
        """The side of a square that holds every rotated, shifted and scaled square of side 1."""
        angle = math.radians(min(self.rotate_deg, 45.0))
        held = (math.cos(angle) + math.sin(angle)) * (1 + self.scale) + 2 * self.shift
        return 1.0 if self.mode == "none" else held
