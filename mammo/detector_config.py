"""The settings of a detector: what it sees of a film, what its head learns, and how marks are made."""

import re
from dataclasses import dataclass, field

from mammo.errors import InputError
from mammo.fields import checked, number, whole


def _whole_epochs(steps: object) -> bool:
    return isinstance(steps, int) and (steps == 0 or steps >= 4)


@dataclass
class DetectorConfig:
    """The detector of task=detection. Its maps are named by `model.maps`."""

    spacing_mm: float = number(0.2, 0.02, 2)  # the side of a pixel of the film that is shown at scale 1, in millimetres
    # the sides of the windows of context, in cells of 16 pixels, odd numbers, for maps of scale 1 or more
    windows: list[int] = field(default_factory=lambda: [3, 7])
    coarse_windows: list[int] = field(default_factory=lambda: [5])  # the same for maps of a scale below 1
    axes: int = whole(256, 1)  # the principal axes of each map and window that the head sees
    members: int = whole(4, 1)  # the networks side by side, whose logits are averaged
    hidden: int = whole(32, 1)  # the hidden units of each of them
    restarts: int = whole(3, 1)  # how often all of them are trained, from other first weights and other samples
    # the share of the training patients that each restart learns without, in turns; 0: each learns from all of them
    left_out: float = number(0, 0, below=1)
    steps: int = whole(400, 4)  # the steps of training
    batch: int = whole(256, 2)  # the places in a step, half of them in lesions
    lr: float = number(3e-3, 0)  # the largest learning rate
    weight_decay: float = number(0.05, 0)  # the weight decay of AdamW
    drop_inputs: float = number(0.2, 0, below=1)  # the share of inputs that is dropped in training
    dropout: float = number(0.5, 0, below=1)  # the share of hidden units that is dropped in training
    # the share of the places outside lesions that are among the hardest, after a third of the steps
    hard: float = number(0.5, 0, 1)
    hardest: float = number(0.03, 1e-6, 1)  # the share of the places outside lesions that counts as the hardest
    # the value that the hottest places of a positive film whose lesions have no place are taught, after a third of the
    # steps; 0 leaves such films out
    weak: float = number(0.5, 0, 1)
    least_mm: float = number(4.8, 0.01)  # a lesion reaches at least this far from its centre
    ring_mm: float = number(6.4, 0)  # the width of the ring around a lesion that is neither inside nor outside
    hottest: int = whole(5, 1)  # the hottest places of a film, whose mean is its score
    # with model.trainable=last_block: the one of model.maps whose last block is trained; null: the first
    block_map: str | None = None
    # the steps in which it is trained, after those of the head; 0 leaves it as it was
    block_steps: int = checked(200, _whole_epochs, "0, or a whole number, 4 or larger")
    block_batch: int = whole(32, 2)  # the places in such a step, half of them in lesions
    block_lr: float = number(3e-5, 0)  # the largest learning rate of block and head in these steps
    partner_share: float = number(0.5, 0)  # the share of the other breast's score that partner=true takes away
    apart_mm: float = number(12.8, 0)  # the least distance of two marks


@dataclass(frozen=True)
class MapOf:
    """A backbone, and the scale at which a film is shown to it."""

    backbone: str
    scale: float

    @classmethod
    def read(cls, text: str) -> "MapOf":
        """Return the map that a word such as `vgg16@0.5` names.

        Raises:
            InputError: The word names no backbone, or no scale between 1/8 and 4.
        """
        found = re.fullmatch(r"([a-z0-9_]+)@(\d+(?:\.\d+)?)", str(text).strip())
        if found is None or not 0.125 <= float(found[2]) <= 4:
            raise InputError(f"model.maps={text}: expected <backbone>@<scale>, a scale of 0.125 to 4, say vgg16@0.5")
        return cls(found[1], float(found[2]))

    def __str__(self) -> str:
        return f"{self.backbone}@{self.scale:g}"


def blocks_of(maps: list[str], detector: DetectorConfig) -> list[tuple[MapOf, int]]:
    """Return the maps and windows (sides in cells) that the settings name, in their order.

    Raises:
        InputError: A map is named twice or cannot be read, or a window is no odd number.
    """
    found = [MapOf.read(text) for text in maps]
    if not found or len(set(found)) < len(found):
        raise InputError(f"model.maps={maps}: expected one map or more, each once")
    for name in ("windows", "coarse_windows"):
        given = getattr(detector, name)
        if not given or any(window < 1 or window % 2 == 0 for window in given):
            raise InputError(f"detector.{name}={given}: expected one odd number of cells or more, say [3,7]")
    windows = {of: detector.coarse_windows if of.scale < 1 else detector.windows for of in found}
    return [(of, window) for of in found for window in windows[of]]


def trained_map(trainable: str, maps: list[str], detector: DetectorConfig) -> MapOf | None:
    """Return the map whose last block is trained; None if no block is.

    Raises:
        InputError: The settings name a map that there is not.
    """
    if trainable != "last_block" or not detector.block_steps:
        return None
    found = MapOf.read(detector.block_map or maps[0])
    if found not in [MapOf.read(text) for text in maps]:
        raise InputError(f"detector.block_map={found}: expected one of model.maps={maps}, or null for the first")
    return found
