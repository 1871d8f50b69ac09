"""Breasts that were cut out of a film and squeezed to other proportions, such as to a square of any size.

The thumbnail of a film is a square. The box of the breast is cut from it and brought to this square, too, so that the
box of a copy looks like that of its film whatever their proportions. As for whole films, perceptual hashes propose
pairs, and the correlation of aligned pixels decides. No film is read.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mammo.auditing.duplicates import SAME, correlation, has_texture
from mammo.auditing.hashes import SIDE, SYMMETRIES, Records, record, turned
from mammo.auditing.nearest import propose
from mammo.auditing.parts import Part, find_parts
from mammo.errors import UnreadableFilm
from mammo.processes.workers import shared_out

# Shares of Otsu's threshold above which a pixel belongs to the breast: half of it follows the skin, and all of it is
# where others cut a breast out.
SHARES = (0.5, 1.0)
WHOLE = 0.0  # in the place of a share: the film as it is
LEAST_PX = 32  # sides of a box in the thumbnail; a smaller one may be a marker, and all films of a clinic share that


def all_parts(paths: Sequence[Path], records: Records, among: np.ndarray, known: set[tuple[int, int]]) -> list[Part]:
    """Return the pairs of films of which one shows a part of the other, squeezed or not, the clearest first.

    Args:
        paths: The files of the films, which can be read.
        records: Their records, from `hashes.records`.
        among: (films,) bool, false for a film that is not compared, such as a blank one.
        known: Pairs of films with the same pixels, which are left out.
    """
    found = [part for part in find_parts(paths, among) if (part.first, part.second) not in known]
    found += find_boxes(records, among, known | {(part.first, part.second) for part in found})
    return sorted(found, key=lambda part: -part.correlation)


def find_boxes(records: Records, among: np.ndarray, known: set[tuple[int, int]]) -> list[Part]:
    """Return the pairs of films of which one shows the breast of the other, in other proportions, the clearest first.

    Args:
        records: The records of the films, from `hashes.records`.
        among: (films,) bool, false for a film that is not compared, such as a blank one.
        known: Pairs of films that need not be compared.
    """
    films = np.flatnonzero(among).tolist()
    views = list[tuple[int, float, np.ndarray]]()
    for film, boxes in zip(films, shared_out(lambda film: _hashes(records["thumb"][film]), films), strict=True):
        views.append((film, WHOLE, records["hashes"][film]))
        if not isinstance(boxes, UnreadableFilm):
            views += [(film, share, hashes) for share, hashes in boxes]
    if not views:
        return []
    near = dict[tuple[int, int], list[tuple[float, float, int]]]()
    for one, other, symmetry in zip(*propose(np.array([hashes for *_, hashes in views])), strict=True):
        pair, shares = (views[one][0], views[other][0]), (views[one][1], views[other][1])
        if pair[0] != pair[1] and pair not in known and any(shares):  # whole films were compared before
            near.setdefault(pair, []).append((*shares, int(symmetry)))

    def decide(pair: tuple[int, int]) -> Part | None:
        for share, other, symmetry in near[pair]:
            left, right = seen(records["thumb"][pair[0]], share), seen(records["thumb"][pair[1]], other)
            if (alike := correlation(left, turned(right, symmetry))) >= SAME:
                words = f"correlation {alike:.3f} of the breast, cut out and squeezed, {SYMMETRIES[symmetry % 8]}"
                return Part(*pair, alike, words + ", negative" * (symmetry >= len(SYMMETRIES)))
        return None

    found = [part for part in shared_out(decide, list(near)) if isinstance(part, Part)]
    return sorted(found, key=lambda part: -part.correlation)


def _hashes(thumb: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Return the hashes of the boxes of a thumbnail that show enough to be told from others, each with its share."""
    boxes = [(share, seen(thumb, share)) for share in SHARES]
    return [(share, record(box)["hashes"]) for share, box in boxes if box is not thumb and has_texture(box)]


def seen(thumb: np.ndarray, share: float) -> np.ndarray:
    """Return the box of the breast on a thumbnail (side, side) uint8 in its size; the thumbnail if there is no box.

    Args:
        thumb: The thumbnail of a film, or of its negative.
        share: One of `SHARES`, or `WHOLE`.
    """
    if share == WHOLE:
        return thumb
    smooth = cv2.GaussianBlur(thumb, (0, 0), 1)
    if np.concatenate([smooth[[0, -1]].ravel(), smooth[:, [0, -1]].ravel()]).mean() > smooth.mean():
        smooth = 255 - smooth  # the ground of a negative is bright
    level, _ = cv2.threshold(smooth, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = cv2.morphologyEx((smooth > share * level).astype(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
    regions, _, stats, _ = cv2.connectedComponentsWithStats(bright)
    if regions == 1:
        return thumb
    left, top, width, height, _ = stats[1 + stats[1:, cv2.CC_STAT_AREA].argmax()]
    if min(width, height) < LEAST_PX or width == height == SIDE:
        return thumb
    return cv2.resize(thumb[top : top + height, left : left + width], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
