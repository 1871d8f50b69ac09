"""The settings of task=segmentation: which regions are found, the decoder, and the score of a film."""

from dataclasses import dataclass

from mammo.fields import number, one_of, whole


@dataclass
class SegmentationConfig:
    """The regions of task=segmentation. Backbone, learning rates and augmentation are those of every task."""

    # lesion: all findings, with crop=whole; breast: the breast, with crop=film. No data set knows
    # the pectoral muscle, so it is part of the breast
    target: str = one_of("lesion", "lesion", "breast")
    # lesion: the side in pixels of the windows of the picture that training sees; half of them lie at true regions, as
    # far as there are films enough that have one. From the side of the picture on, training sees whole pictures
    window_px: int = whole(64, 16)
    width: int = whole(16, 8)  # the channels of the decoder at the finest map, a multiple of 8; coarser maps have more
    # the probability above which a pixel lies in the found region; null: that of the best mean Dice on data.select_on
    level: float | None = number(None, 1e-3, below=1)
    # the share of the pixels of a picture whose mean logit is the film's score, the hottest ones; at least one pixel
    hottest: float = number(0.002, 0, 1)

    def window_of(self, side: int) -> int | None:
        """Return the side of the windows of a picture in which regions are learnt; None if whole pictures are."""
        return self.window_px if self.target == "lesion" and self.window_px < side else None
