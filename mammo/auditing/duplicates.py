"""Films with the same pixels: perceptual hashes propose pairs, and the correlation of aligned pixels decides."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from mammo.auditing.hashes import SIDE, SYMMETRIES, Records, turned

# Of 256 bits. Altered copies of mini-MIAS films differ by 56 or less; 164 of 51,681 pairs of other films are this near.
NEAR_BITS = 64
# Correlation after alignment from which two films have the same pixels. On mini-MIAS altered copies reach at least
# 0.88, most of them 0.95, and distinct films at most 0.65 (`mammo audit benchmark mias` prints both).
SAME = 0.78
# Side, iterations, and the correlation below which a pair is rejected at this side. Copies of real films reach 0.84 at
# a quarter of the resolution and 0.78 at half of it; nine of ten pairs with near hashes are rejected there.
_LEVELS = ((SIDE // 4, 30, 0.70), (SIDE // 2, 15, 0.65), (SIDE, 10, -1.0))
_BLOCK = 512  # films that are compared with all others at once


@dataclass(frozen=True)
class Pairs:
    """Pairs of films that the hashes proposed.

    Attributes:
        first: (pairs,) row numbers of the first films.
        second: (pairs,) row numbers of the second films, each larger than its `first`.
        symmetry: (pairs,) positions in `SYMMETRIES`: the turn that makes the second film like the first.
        correlation: (pairs,) after alignment, at most 1; NaN if a lower resolution sufficed to reject the pair.
    """

    first: np.ndarray
    second: np.ndarray
    symmetry: np.ndarray
    correlation: np.ndarray

    def same(self) -> Iterator[tuple[int, int, str, float]]:
        """Yield first, second, symmetry and correlation of the pairs with the same pixels, the clearest first."""
        for pair in np.argsort(-self.correlation, kind="stable"):
            if self.correlation[pair] >= SAME:
                how = SYMMETRIES[self.symmetry[pair]]
                yield int(self.first[pair]), int(self.second[pair]), how, float(self.correlation[pair])


def find_pairs(records: Records, groups: np.ndarray | None = None, among: np.ndarray | None = None) -> Pairs:
    """Propose pairs of films by hash and decide by pixels.

    Args:
        records: The records of the films, from `mammo.auditing.hashes.records`.
        groups: (films,) the group of each film; only films of two groups are compared. None compares all.
        among: (films,) bool, false for a film that is not compared, such as a blank one; None compares all.
    """
    first, second, symmetry = propose(records["hashes"])
    if among is not None:
        kept = among[first] & among[second]
        first, second, symmetry = first[kept], second[kept], symmetry[kept]
    if groups is not None:
        across = groups[first] != groups[second]
        first, second, symmetry = first[across], second[across], symmetry[across]

    def decide(pair: int) -> float:
        one, other = records["thumb"][first[pair]], records["thumb"][second[pair]]
        return correlation(one, turned(other, int(symmetry[pair])))

    with ThreadPoolExecutor() as pool:
        bar = track(
            pool.map(decide, range(len(first))), "aligning pairs", total=len(first), console=Console(stderr=True)
        )
        decided = np.fromiter(bar, float, len(first))
    return Pairs(first, second, symmetry, decided)


def propose(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs whose hashes differ by at most `NEAR_BITS` under some symmetry, each with its nearest symmetry.

    Args:
        hashes: (films, symmetries, words) uint64.

    Returns:
        First film, second film, symmetry, each (pairs,).
    """
    found = []
    for start in range(0, len(hashes), _BLOCK):
        straight = hashes[start : start + _BLOCK, 0]  # (block, words)
        others = hashes[start:]
        nearest = np.full((len(straight), len(others)), 255, np.uint8)
        which = np.zeros_like(nearest)
        for symmetry in range(hashes.shape[1]):
            bits = sum(
                np.bitwise_count(straight[:, None, word] ^ others[None, :, symmetry, word]).astype(np.uint16)
                for word in range(hashes.shape[2])
            )
            nearer = bits < nearest
            np.copyto(nearest, bits, where=nearer, casting="unsafe")
            which[nearer] = symmetry
        rows, columns = np.nonzero(np.triu(nearest <= NEAR_BITS, 1))
        found.append((rows + start, columns + start, which[rows, columns]))
    first, second, symmetries = (np.concatenate(part) for part in zip(*found, strict=True))
    return first, second, symmetries


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
