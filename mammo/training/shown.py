"""Words for the report about all that an answer rests on beside one square: windows, flips, and the other breast."""

import pandas as pd

from mammo.config import Config
from mammo.training.places import pairs_in_test
from mammo.wording import number_of

FLIPPED = {"horizontal": "itself and its mirror image", "eight": "its eight flips and quarter turns"}


def said_of(config: Config, images: pd.DataFrame) -> list[str]:
    """Return a line each for several windows, for flips, and for tested films without one of the other breast.

    Args:
        config: The settings of the run.
        images: The samples of the run.
    """
    said, crop = [], config.crop
    if crop.windows_mm:
        sides = " and ".join(f"{side:g}" for side in sorted(crop.windows_mm, reverse=True))
        joined = {"scores": "the scores of a sample's windows are averaged", "features": "their features are joined"}
        said.append(f"each sample shows windows of {sides} mm around one centre; {joined[crop.join]}")
    if config.task.kind == "detection" and config.model.flips != "none":
        also = ", and places of both train" if config.fit else ""
        said.append(f"heat is averaged over each film and its vertical flip{also} (model.flips={config.model.flips})")
    elif config.model.flips != "none":
        shown = FLIPPED[config.model.flips]
        said.append(f"features of evaluated samples are averaged over {shown} (model.flips={config.model.flips})")
    if config.task.kind == "detection" and config.partner:
        paired, tested = pairs_in_test(images)
        have = "has a film of the other breast" if paired == 1 else "have a film of the other breast"
        have = f"{paired} of {number_of(tested, 'test film')} {have}"
        if not paired:
            said.append(f"{have} (same patient, exam and view), so there is no head detector_partner")
        elif paired < tested:
            said.append(
                f"{have}; for the others detector_partner takes the mean score of normal training films instead"
            )
    return said
