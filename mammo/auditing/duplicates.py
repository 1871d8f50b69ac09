"""Films with the same pixels: perceptual hashes propose pairs, and the correlation of aligned pixels decides."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from mammo.auditing.compared import Compared
from mammo.auditing.hashes import SIDE, SYMMETRIES, Records, turned
from mammo.auditing.nearest import propose
from mammo.files import locked

# Correlation after alignment from which two films have the same pixels. On mini-MIAS altered copies are well above it,
# and distinct films well below (`mammo audit benchmark mias` prints both; docs/how-to/audit-data.md has the numbers).
SAME = 0.78
NEARLY = 0.70  # from here on a pair is doubted: 14 of 16 JPEGs of quality 5 of mini-MIAS reach it, 7 of 16 of quality 3
# Side, iterations, and the correlation below which a pair is rejected at this side. Copies of real films reach 0.84 at
# a quarter of the resolution and 0.78 at half of it; nine of ten pairs with near hashes are rejected there.
_LEVELS = ((SIDE // 4, 30, 0.70), (SIDE // 2, 15, 0.65), (SIDE, 10, -1.0))
COARSE = 0.3  # share of a film in areas of one level: 0.15 at most of mini-MIAS, 0.37 at least in 8 levels or fewer
EVERY_S = 60  # seconds between two writings of what was decided
_AHEAD = 10_000  # pairs that are handed to the threads together


@dataclass(frozen=True)
class Pairs:
    """Pairs of films that the hashes proposed.

    Attributes:
        first: (pairs,) row numbers of the first films.
        second: (pairs,) row numbers of the second films, each larger than its `first`.
        symmetry: (pairs,) positions in `SYMMETRIES`, and 8 more for a negative: the turn that makes the second film
            like the first.
        correlation: (pairs,) after alignment, at most 1; NaN if a lower resolution sufficed to reject the pair.
        textured: (films,) bool, false for a film that is compared with none, such as a blank one.
    """

    first: np.ndarray
    second: np.ndarray
    symmetry: np.ndarray
    correlation: np.ndarray
    textured: np.ndarray

    def same(self) -> Iterator[tuple[int, int, str, float]]:
        """Yield first, second, symmetry and correlation of the pairs with the same pixels, the clearest first."""
        return self._from(SAME, np.inf)

    def nearly(self) -> Iterator[tuple[int, int, str, float]]:
        """Yield the same of the pairs that are more alike than distinct films, but not the same."""
        return self._from(NEARLY, SAME)

    def _from(self, least: float, below: float) -> Iterator[tuple[int, int, str, float]]:
        """Yield the pairs with a correlation from `least` on and below another one, the clearest first."""
        for pair in np.argsort(-self.correlation, kind="stable"):
            if least <= self.correlation[pair] < below:
                how, negative = SYMMETRIES[self.symmetry[pair] % 8], self.symmetry[pair] >= len(SYMMETRIES)
                how += ", negative" * bool(negative)
                yield int(self.first[pair]), int(self.second[pair]), how, float(self.correlation[pair])


def find_pairs(records: Records, groups: np.ndarray | None = None, kept: Path | None = None) -> Pairs:
    """Propose pairs of films by hash and decide by pixels. Films without texture are compared with none.

    Args:
        records: The records of the films, from `mammo.auditing.hashes.records`.
        groups: (films,) the group of each film; only films of two groups are compared. None compares all.
        kept: A file from `compared.kept_for`. Films that it holds are not compared again with each other; the others
            are compared with all, and what is found is added to it as it comes. Of several processes one compares at a
            time. None keeps nothing.
    """
    with nullcontext() if kept is None else locked(kept.with_suffix(".lock")):
        known = Compared.read(kept)
        rows = known.rows(records["key"])
        if (rows >= 0).sum() < len(records):
            known, rows = _proposed(records, known, rows), np.arange(len(records))
            known.write(kept)
        first, second = rows[known.first], rows[known.second]
        asked = (first >= 0) & (second >= 0)
        if groups is not None:
            asked &= groups[first] != groups[second]
        _decide(records, known, first, second, np.flatnonzero(asked & ~known.decided), kept)
    textured = np.zeros(len(records), bool)
    textured[rows[rows >= 0]] = known.textured[rows >= 0]
    return Pairs(first[asked], second[asked], known.symmetry[asked], known.correlation[asked], textured)


def _proposed(records: Records, known: Compared, rows: np.ndarray) -> Compared:
    """Return all films with the known pairs among them, and with the pairs that new films make.

    Args:
        records: The records of the films.
        known: What was compared before.
        rows: The row in `records` of each known film, or -1.
    """
    there, pairs = rows >= 0, (rows[known.first] >= 0) & (rows[known.second] >= 0)
    new, textured = np.ones(len(records), bool), np.zeros(len(records), bool)
    new[rows[there]], textured[rows[there]] = False, known.textured[there]
    added = np.flatnonzero(new).tolist()
    textured[added] = list(_shown(lambda row: has_texture(records["thumb"][row]), added, "looking for texture"))
    among = np.flatnonzero(textured)
    first, second, symmetry = propose(records["hashes"][among], new[among])
    first = np.concatenate([rows[known.first[pairs]], among[first]])
    second = np.concatenate([rows[known.second[pairs]], among[second]])
    unknown = len(first) - int(pairs.sum())
    symmetry = np.concatenate([known.symmetry[pairs], symmetry])
    correlation = np.concatenate([known.correlation[pairs], np.full(unknown, np.nan)])
    decided = np.concatenate([known.decided[pairs], np.zeros(unknown, bool)])
    order = np.lexsort((second, first))
    return Compared(
        records["key"], textured, *(part[order] for part in (first, second, symmetry, correlation, decided))
    )


def _decide(
    records: Records, known: Compared, first: np.ndarray, second: np.ndarray, pairs: np.ndarray, kept: Path | None
) -> None:
    """Compute the correlation of some pairs; what was computed is kept each minute, and when the user stops it."""

    def decide(pair: int) -> float:
        one, other = records["thumb"][first[pair]], records["thumb"][second[pair]]
        return correlation(one, turned(other, int(known.symmetry[pair])))

    written = time.monotonic()
    try:
        for pair, value in zip(pairs, _shown(decide, pairs, "aligning pairs"), strict=True):
            known.correlation[pair], known.decided[pair] = value, True
            if time.monotonic() - written > EVERY_S:
                known.write(kept)
                written = time.monotonic()
    finally:
        if len(pairs):
            known.write(kept)


def _shown(work: Callable[[int], Any], items: Sequence[int] | np.ndarray, title: str) -> Iterator[Any]:
    """Yield the results of work on all cores, in order, beside a progress bar."""
    with ThreadPoolExecutor() as pool:
        parts = (pool.map(work, items[start : start + _AHEAD]) for start in range(0, len(items), _AHEAD))
        done, console = chain.from_iterable(parts), Console(stderr=True)
        yield from track(done, title, total=len(items), console=console, disable=not len(items))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Align two thumbnails (side, side) uint8 and return the correlation of their fine structure, at most 1.

    Films of different breasts share their outline and differ in texture. So only high-pass values count, divided by
    the local contrast, and only where neither film is black or white.

    Returns:
        NaN if a lower resolution suffices to reject the pair.
    """
    if np.array_equal(one, other):
        return 1.0
    warp = np.eye(2, 3, dtype=np.float32)
    alike = 0.0
    for side, iterations, hopeless in _LEVELS:
        size = (side, side)
        left, right = (cv2.resize(film, size, interpolation=cv2.INTER_AREA) for film in (one, other))
        alike, warp = _aligned(left, right, warp, iterations)
        if alike < hopeless:
            return float("nan")
        warp[:, 2] *= 2
    return alike


def has_texture(thumb: np.ndarray) -> bool:
    """Tell if a thumbnail (side, side) uint8 shows enough to tell it from others: not only areas of one level."""
    inside = cv2.erode(_telling(thumb), np.ones((17, 17), np.uint8))  # the edge of an area of one level is no texture
    return bool(((np.abs(fine_structure(thumb)) > 0.1) & (inside > 0)).mean() > 0.02)


def is_coarse(thumb: np.ndarray) -> bool:
    """Tell if a thumbnail (side, side) uint8 has large areas of one level, as with a few levels or a coarse JPEG.

    The most frequent level, which is that of the ground, does not count.
    """
    around = np.ones((3, 3), np.uint8)
    inside = (thumb > 3) & (thumb < 252) & (thumb != np.bincount(thumb.ravel()).argmax())
    flat = inside & (cv2.erode(thumb, around) == cv2.dilate(thumb, around))
    return bool(flat.sum() > COARSE * max(inside.sum(), 1))


def _aligned(one: np.ndarray, other: np.ndarray, warp: np.ndarray, iterations: int) -> tuple[float, np.ndarray]:
    fine, fine_other = fine_structure(one), fine_structure(other)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, iterations, 1e-3)
    with suppress(cv2.error):  # if no alignment is found, compare without one
        _, warp = cv2.findTransformECC(fine, fine_other, warp.copy(), cv2.MOTION_AFFINE, stop, None, 5)
    size, back = one.shape[::-1], cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(fine_other, warp, size, flags=back | cv2.INTER_LINEAR)
    seen = _telling(one) & cv2.warpAffine(_telling(other), warp, size, flags=back | cv2.INTER_NEAREST)
    if seen.mean() < 0.02:  # too few pixels to decide
        return 0.0, warp
    left, right = fine[seen > 0], moved[seen > 0]
    left, right = left - left.mean(), right - right.mean()
    return float(left @ right / np.sqrt((left @ left) * (right @ right) + 1e-9)), warp


def fine_structure(film: np.ndarray) -> np.ndarray:
    """Return the high-pass values of a film (height, width) uint8, divided by their local contrast, float32."""
    smooth = cv2.GaussianBlur(film.astype(np.float32), (0, 0), 0.7)
    high = smooth - cv2.GaussianBlur(smooth, (0, 0), 4.0)
    return high / (np.sqrt(cv2.GaussianBlur(high * high, (0, 0), 4.0)) + 3.0)


def telling(film: np.ndarray) -> np.ndarray:
    """Return which pixels of a film (height, width) uint8 tell something, as uint8: neither clipped nor beside it."""
    return cv2.erode(((film > 3) & (film < 252)).astype(np.uint8), np.ones((5, 5), np.uint8))


def _telling(film: np.ndarray) -> np.ndarray:
    seen = telling(film)
    margin = len(film) // 32  # which a cropped copy may lack
    inner = np.zeros_like(seen)
    inner[margin:-margin, margin:-margin] = seen[margin:-margin, margin:-margin]
    return inner
