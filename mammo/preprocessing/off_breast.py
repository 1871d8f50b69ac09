"""Words for places of findings whose centres lie off the breast, as those in millimetres or of mirrored films do."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

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


def off_points(
    places: Iterable[tuple[Any, ...]], points: Mapping[str, np.ndarray], reach_px: Mapping[str, float]
) -> list[str]:
    """Return the line of `off_breast` on places that are far from every point of the breast on their film.

    Args:
        places: The image, x and y of each place, in pixels of its film; those of images without points do not count.
        points: (n, 2) x and y of points of the breast, by image.
        reach_px: The distance from the nearest point above which a place is far, by image.
    """
    off, seen = list[str](), 0
    for image, x, y in places:
        if image in points:
            seen += 1
            far = np.hypot(*(points[image] - (x, y)).T).min(initial=np.inf)
            off += [f"that of {image} at x {x:g}, y {y:g}"] if far > reach_px[image] else []
    return off_breast(off, seen)
