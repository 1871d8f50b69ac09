"""The findings that INbreast's regions mark on a film: their words, and the regions that belong to another one."""

import re
from collections import Counter
from collections.abc import Hashable, Iterator
from math import inf
from pathlib import Path

from mammo.archives.osirix import Region, on_film, place_of, read_regions
from mammo.errors import InputError
from mammo.formats.header import Header
from mammo.wording import number_of

KINDS = {"spiculated": "SPIC", "mass": "MASS", "calcif|cluster": "CALC", "distort": "ARCH", "ass?ymm?etr": "ASYM"}
SAID = {  # what is counted: the things, and the rest of the note
    "unread": ("file", "of regions that cannot be read; their films have no place"),
    "miscounted": ("region", "whose number of points is not the stated one; all points count"),
    "moved": ("region", "with points beyond the film, moved to its edge"),
    "off": ("region", "beyond the film, without a place"),
    "spiculated": ("spiculated region", "around a mass left out; the mass is SPIC"),
    "clustered": ("calcification", "in a cluster left out, as a part of it"),
    "unnamed": ("region", "without a word of ours, Point 1 or Unnamed for example; without a finding's word"),
}


def findings_of(path: Path | None, header: Header | None, counts: Counter[str]) -> list[dict[Hashable, object]] | None:
    """Return `finding`, `regions` (names as they were typed), `contour_px` and the place of each finding of a film.

    A spiculated region around a mass is the mass's, whose word is then SPIC; a calcification in a cluster is a part of
    the cluster.

    Args:
        path: The file of regions; None if the film has none.
        header: The header of the film; None if it is not known.
        counts: Gets the number of each oddity, by the keys of `SAID`.

    Returns:
        The findings; None if the file cannot be read.
    """
    if path is None:
        return []
    try:
        regions = read_regions(path)
    except InputError:
        counts["unread"] += 1
        return None
    height, width = (header.height or inf, header.width or inf) if header else (inf, inf)
    found: list[dict[Hashable, object]] = []
    for region, spiculated in _own(regions, counts):
        word = word_of(region.name)
        of: dict[Hashable, object] = {"finding": word, "regions": region.name or None}
        if spiculated is not None:
            of = {"finding": "SPIC", "regions": f"{region.name}; {spiculated.name}"}
        place = place_of(region.points, height, width)
        if "radius_px" in place:
            of["contour_px"] = " ".join(f"{x:.2f},{y:.2f}" for x, y in region.points)
        counts["unnamed"] += word is None
        counts["off"] += not place
        counts["moved"] += bool(place) and not on_film(region.points, height, width).all()
        found.append(of | place)
    return found


def _own(regions: list[Region], counts: Counter[str]) -> Iterator[tuple[Region, Region | None]]:
    """Yield the regions that are findings of their own, and for a mass the spiculated region around it, if any."""
    masses = [one for one in regions if word_of(one.name) == "MASS"]
    spiculated = [one for one in regions if word_of(one.name) == "SPIC"]
    clusters = [one for one in regions if "cluster" in one.name.casefold()]
    for region in regions:
        counts["miscounted"] += region.stated not in (None, len(region.points))
        word = word_of(region.name)
        if word == "SPIC" and any(region.contains(mass) for mass in masses):
            counts["spiculated"] += 1
        elif word == "CALC" and region not in clusters and _around(region, clusters):
            counts["clustered"] += 1
        else:
            yield region, _around(region, spiculated) if word == "MASS" else None


def word_of(name: str) -> str | None:
    """Return our word for the name of a region; None if we have none."""
    return next((word for pattern, word in KINDS.items() if re.search(pattern, name.casefold())), None)


def notes_of(counts: Counter[str]) -> list[str]:
    """Return a line for each oddity that was counted."""
    return [f"{number_of(counts[key], thing)} {rest}" for key, (thing, rest) in SAID.items() if counts[key]]


def _around(region: Region, others: list[Region]) -> Region | None:
    return next((one for one in others if one.contains(region)), None)
