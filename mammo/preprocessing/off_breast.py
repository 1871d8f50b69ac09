"""Words for places of findings whose centres lie off the breast, as those in millimetres or of mirrored films do."""

from collections.abc import Sequence

from mammo.wording import number_of

OFTEN = 0.05  # of all places; 2 of the 119 circles of mini-MIAS have their centre off the breast, mdb212 and mdb214


def off_breast(off: Sequence[str], places: int) -> list[str]:
    """Return a line on the centres that lie off the breast, if these are more than a few of all places.

    Args:
        off: The centres, in words.
        places: The number of all places.
    """
    if len(off) <= OFTEN * places:
        return []
    lie = f"{len(off)} of {number_of(places, 'place')} {'lies' if len(off) == 1 else 'lie'} off the breast"
    return [
        f"**{lie}, {off[0]} for example; expected pixels of the film, counted from its top left corner: look at the "
        "picture of mammo data check, at data.origin, and at the units of the table**"
    ]
