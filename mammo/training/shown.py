"""Words for the report about all that a sample shows beside one square: several windows, and flips."""

from mammo.config import Config

FLIPPED = {"horizontal": "itself and its mirror image", "eight": "its eight flips and quarter turns"}


def said_of(config: Config) -> list[str]:
    """Return a line each for several windows and for flips; none for one square or film as it is."""
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
    return said
