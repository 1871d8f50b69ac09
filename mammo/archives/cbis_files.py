"""The files of CBIS-DDSM: where each series lies on disk, which of its files is the mask, and the place in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import log
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from mammo.datasets.film import pixel_digest, read_film, read_levels
from mammo.datasets.folder import walk
from mammo.datasets.geometry import BOX, CIRCLE, box_of, circle_of
from mammo.errors import InputError, UnreadableFilm
from mammo.formats import READING_VERSION
from mammo.formats.header import Header, read_headers
from mammo.formats.remembered import Remembered
from mammo.tables.spreadsheet import read_spreadsheet

FEWEST = 4  # digits at the end of a folder's name that tell a series
VERSION = 1  # raise it if `look` changes
NEAR = 1 / 32  # of the range of levels: so near to black or white are the pixels of a mask, after JPEG too
GREY = 0.05  # the largest share of other pixels, the grey edges, in a mask
LEAST = 1 / 4  # the smallest height and width of a mask, as a share of its film's
SHAPE = 0.01  # the largest relative difference of aspect between a mask and its film

ABSENT, NONE, EMPTY = "no file of the mask on disk", "no mask among the files", "an empty mask"
UNREADABLE, OTHER = "a mask that cannot be read", "a mask of another shape than the film"


class Series:
    """The files of each series, in whichever form the archive lies on disk.

    The folder of a series is told by its name, which is the UID (TCIA's classic form, the JPEG re-pack), or else by
    the downloader's metadata.csv, or else by the name of the folder two above it and the last digits of the UID.

    Args:
        root: The folder of the archive, or one above it.
    """

    def __init__(self, root: Path) -> None:
        self._of: dict[str, list[str]] = {}  # by the name of the series, or by subject/study/series
        self._ends: dict[str, dict[str, str]] = {}  # by subject: the last digits of a series, and its place
        self._named: dict[str, str] = {}  # by UID: its place by metadata.csv
        beside = set()
        for path in walk(root).files:
            place = _place(path.as_posix().rpartition("/")[0])
            for name in {place, path.parent.name}:
                self._of.setdefault(name, []).append(str(path))
            subject = place.split("/")[0]
            end = path.parent.name.rpartition("-")[2]
            if len(end) >= FEWEST and end.isdigit():
                self._ends.setdefault(subject, {})[end] = place
            beside |= set(path.parents[2:5])
        for folder in sorted(beside):
            if (folder / "metadata.csv").is_file():
                self._read(folder / "metadata.csv")

    def _read(self, path: Path) -> None:
        rows = read_spreadsheet(path, "the table of NBIA's downloader").rows
        if lacking := [one for one in ("Series UID", "File Location") if one not in rows]:
            raise InputError(f"{path}: no column {lacking[0]}; found {', '.join(rows)}; use the original table")
        known = rows.dropna(subset=["Series UID", "File Location"])
        self._named |= dict(zip(known["Series UID"], known["File Location"].map(_place), strict=True))

    def files(self, path: str | None) -> list[str]:
        """Return the files of the series in a path of the tables, DICOM first; none if it is not on disk."""
        parts = path.split("/") if isinstance(path, str) else []
        if len(parts) < 3:
            return []
        subject, uid = parts[0].casefold(), parts[-2]
        ends = self._ends.get(subject, {})
        place = self._named.get(uid) or next((ends[one] for one in ends if uid.endswith(one)), "")
        found = {*self._of.get(uid, ()), *self._of.get(place, ())}
        return sorted(found, key=lambda one: (not one.casefold().endswith((".dcm", ".dicom")), one))


def _place(folder: str) -> str:
    """Return the last three parts of a folder, subject/study/series, as names are compared."""
    return "/".join(folder.replace("\\", "/").rstrip("/").casefold().split("/")[-3:])


def same_pixels(groups: Sequence[Sequence[str]]) -> list[bool]:
    """Tell of each group of films if all have the same pixels; one that cannot be read is like no other."""
    paths = [path for group in groups for path in group]
    digests = Remembered("digests", f"{READING_VERSION}").values(paths, _digest, "Comparing films")
    return [len({digests[path] for path in group}) == 1 and isinstance(digests[group[0]], str) for group in groups]


def _digest(path: str) -> str:
    return pixel_digest(read_film(path).pixels)


@dataclass
class Lesion:
    """A finding whose mask is wanted.

    Attributes:
        film: The path of its film.
        files: The files of which one is its mask.
        place: Its box, circle and `mask_path` in pixels of the film, by column; empty as long as none is found.
        lacks: The reason why there is no place; empty if there is one.
    """

    film: str
    files: list[str]
    place: dict[str, Any]
    lacks: str = NONE


def find_masks(lesions: Sequence[Lesion]) -> None:
    """Find the mask of each lesion by the content of its files, and set its place.

    A mask has two grey levels and about the size of its film. The files that are so by their headers are looked at
    first, so that hardly any other is read.
    """
    paths = list(dict.fromkeys(path for one in lesions for path in [one.film, *one.files]))
    headers = dict(zip(paths, read_headers(paths), strict=True))
    memory = Remembered("masks", f"{READING_VERSION} {VERSION}")
    left = [(one, sorted(one.files, key=partial(_unlike, headers, one.film))) for one in lesions]
    for one in lesions:
        one.lacks = NONE if one.files else ABSENT
    left = [(one, files) for one, files in left if headers[one.film].height]
    for turn in range(max((len(files) for _, files in left), default=0)):
        left = [(one, files) for one, files in left if len(files) > turn]
        looks = memory.values([files[turn] for _, files in left], look, "Reading masks")
        for one, files in left:
            _take(one, files[turn], looks[files[turn]], headers[one.film])
        left = [(one, files) for one, files in left if one.lacks in (NONE, EMPTY, UNREADABLE)]


def _unlike(headers: dict[str, Header], film: str, path: str) -> tuple[bool, float]:
    """Return how unlike a mask of a film a file is by its header: more than 8 bits, then a size far from the film's."""
    own, full = (max(headers[one].height * headers[one].width, 1) for one in (path, film))
    return headers[path].bits > 8, abs(log(own / full))


def _take(lesion: Lesion, path: str, seen: Any, film: Header) -> None:
    """Set the place of a lesion if this file is its mask; else say what the file lacks."""
    if isinstance(seen, UnreadableFilm):
        lesion.lacks = UNREADABLE if lesion.lacks == NONE else lesion.lacks
        return
    down, across = film.height / seen["height"], film.width / seen["width"]
    if seen["grey"] > GREY or max(down, across) > 1 / LEAST:
        return
    if not seen["box"]:
        lesion.lacks = EMPTY
    elif abs(down / across - 1) > SHAPE:
        lesion.lacks = OTHER
    else:
        x, y, radius = seen["circle"]
        scaled = [edge * (down if place % 2 else across) for place, edge in enumerate(seen["box"])]
        own = seen["plain"] and down == across == 1
        lesion.lacks = ""
        lesion.place = {
            **dict(zip(BOX, scaled, strict=True)),
            **dict(zip(CIRCLE, (x * across, y * down, radius * max(down, across)), strict=True)),
            "mask_path": path if own else pd.NA,
        }


def look(path: str) -> dict[str, Any]:
    """Return the facts of a file as a mask: its size, the share of grey pixels, and the place of the rarer level.

    `plain` is true if its levels are above 0 on the finding alone, so that the file can serve as a mask as it is.
    """
    levels = read_levels(path)
    low, high = (int(one) for one in cv2.minMaxLoc(levels)[:2])
    near = int((high - low) * NEAR)
    grey = cv2.countNonZero(cv2.inRange(levels, low + near + 1, high - near - 1)) / levels.size if high > low else 0.0
    facts = {"height": levels.shape[0], "width": levels.shape[1], "grey": grey, "plain": False, "box": [], "circle": []}
    if low == high or grey > GREY:
        return facts
    finding = levels > (low + high) // 2
    inverted = 2 * np.count_nonzero(finding) > finding.size
    finding = ~finding if inverted else finding
    plain = not inverted and bool(np.count_nonzero(levels) == np.count_nonzero(finding))
    return facts | {"plain": plain, "box": box_of(finding), "circle": circle_of(finding)}
