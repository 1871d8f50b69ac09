"""The places of findings on one film, looked at: masks and circles that cannot be right, and centres off the breast."""

from collections.abc import Sequence
from dataclasses import dataclass

from mammo.datasets.film import read_levels
from mammo.datasets.geometry import Geometry
from mammo.preprocessing.breast import Breast
from mammo.preprocessing.mask_files import fault_of, greys_of, shares_of, spread_of
from mammo.preprocessing.region import SIDE

UNITS = "expected pixels of the film, not millimetres or fractions of it"


@dataclass(frozen=True)
class Places:
    """The result of looking at the places of a film.

    Attributes:
        fault: What is wrong with one of them.
        fits: False if a mask is none of this film or of a finding, so that nothing can be drawn.
        notes: What is odd about masks, one line each.
        off: The centres that lie off the breast, in words.
    """

    fault: str | None = None
    fits: bool = True
    notes: tuple[str, ...] = ()
    off: tuple[str, ...] = ()


def look_at_places(image_id: str, places: Sequence[Geometry], breast: Breast) -> Places:
    """Look at the places of the findings of an image.

    Raises:
        UnreadableFilm: A mask cannot be read.
    """
    height, width = breast.film_shape
    fault, notes, off = None, list[str](), list[str]()
    for place in places:
        if place.mask_path is not None:
            levels = read_levels(place.mask_path)
            if levels.shape != breast.film_shape:
                size = f"{levels.shape[1]} x {levels.shape[0]} pixels, its film {width} x {height}"
                return Places(f"{place.mask_path}: the mask has {size}", fits=False)
            shares = shares_of(levels)
            if wrong := fault_of(place.mask_path, shares[0]):
                return Places(wrong, fits=False)
            notes += [f"its mask {said}" for of in (greys_of, spread_of) if (said := of(shares))]
        fault = fault or _fault(image_id, place, height, width)
        if not breast.reaches(*breast.from_film(place.x_px, place.y_px), max(height, width) / SIDE):
            off.append(f"that of {image_id} at x {place.x_px:g}, y {place.y_px:g}")
    return Places(fault, notes=tuple(notes), off=tuple(off))


def _fault(image_id: str, place: Geometry, height: int, width: int) -> str | None:
    if place.apart:
        return f"{image_id}: the circle and the box of a finding do not touch; which is right?"
    if place.round and place.radius_px is not None and not place.contour and 2 * place.radius_px > min(height, width):
        circle = f"a circle of radius {place.radius_px:g} is larger than its film of {width} x {height} pixels"
        return f"{image_id}: {circle}; {UNITS}"
    left, top, right, bottom = place.box
    if place.mask_path is None and not place.contour and 0 < min(right - left, bottom - top) < 1:
        return f"{image_id}: the {'circle' if place.round else 'box'} of a finding is narrower than a pixel; {UNITS}"
    return None
