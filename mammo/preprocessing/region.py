"""Find the breast's region on a film, on a coarse picture of it. Nothing here depends on the scale of the grey levels.

Lengths without a unit are in pixels of the coarse picture, which are about 1 mm wide: 0.8 mm on mini-MIAS. The
constants leave the masks of mini-MIAS's 322 films as they were when films had 8 bits.
"""

import math

import cv2
import numpy as np

SIDE = 256  # longer side of the coarse picture
ABOVE_BASE = (12, 24, 48, 96)  # levels from the film's base to the breast's edge; 12 follows the skin on all MIAS films
BRIGHT_TISSUE = 128  # to its double is the level of bright tissue in 8 bits: it is 135 to 236 on MIAS
TOO_DARK = 90  # below this level of bright tissue, the film is taken to use a part of its levels only
DEEPEST_FRAME = 48  # 4 to 5 cm
STRIP = 13  # a region narrower than this is no breast
OPENING, CLOSING = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)) for side in (13, 15))


def find_region(pixels: np.ndarray, max_level: int) -> tuple[np.ndarray, list[str]] | None:
    """Return the breast's region in the coarse picture, (height, width) uint8 of 0 and 1, and what is odd about it.

    Args:
        pixels: (height, width) uint8 or uint16.
        max_level: The grey level of white. If tissue is far darker, as on a film of 12 bits that is stored in 16 and
            has no window, all levels are doubled until it is not.

    Returns:
        None if nothing looks like a breast.
    """
    height, width = pixels.shape
    size = max(round(SIDE * width / max(height, width)), 1), max(round(SIDE * height / max(height, width)), 1)
    coarse = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    frame = _frame(coarse)
    coarse[frame] = 0
    bright = _bright_tissue(coarse) * 255 / max_level
    if bright == 0 or coarse.min() == coarse.max():
        return None
    scale = 255 / max_level * (2 ** math.ceil(math.log2(BRIGHT_TISSUE / bright)) if bright < TOO_DARK else 1)
    if scale != 1:
        # The film is scaled before it is averaged, so that its twin of 8 bits, rounded alike, has the same region.
        coarse = cv2.resize(cv2.convertScaleAbs(pixels, alpha=scale), size, interpolation=cv2.INTER_AREA)
        coarse[frame] = 0
    coarse = cv2.medianBlur(coarse, 5)
    region = _above(coarse, _base(coarse))
    if region is None:
        return None
    columns = np.flatnonzero(region.any(axis=0))
    region = cv2.morphologyEx(region, cv2.MORPH_CLOSE, CLOSING)
    # Closing fills a black bar at the film's edge; `find_breast` sees to one of up to 4 pixels.
    if columns[0] > 4:
        region[:, : columns[0]] = 0
    if columns[-1] < region.shape[1] - 5:
        region[:, columns[-1] + 1 :] = 0
    region[frame] = 0
    region = _without_strips(region)
    return (region, _oddities(region, coarse, frame)) if region.any() else None


def _above(coarse: np.ndarray, base: int) -> np.ndarray | None:
    """Return the largest region above the film's base.

    If it spans the film, the background is not even; a higher threshold may tell it from the breast.
    """
    lowest = None
    for above in ABOVE_BASE:
        region = _largest(coarse > base + above)
        if region is None:
            break
        if not _spans(region):
            return region
        lowest = region if lowest is None else lowest
    return lowest


def _largest(bright: np.ndarray) -> np.ndarray | None:
    """Return the largest region after thin bridges to labels and borders are cut."""
    opened = cv2.morphologyEx(bright.astype(np.uint8), cv2.MORPH_OPEN, OPENING)
    regions, labels, stats, _ = cv2.connectedComponentsWithStats(opened)
    return (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8) if regions > 1 else None


def _frame(small: np.ndarray) -> np.ndarray:
    """Return where white frames, bars and collimator edges are, (height, width) bool.

    They are white, end at once, where burnt-out tissue fades, are not as deep as a breast, and reach from one edge of
    the film to the opposite one or cut off a lower corner. An upper corner may be burnt-out muscle.
    """
    white = int(small.max())
    _, labels = cv2.connectedComponents((small >= 0.9 * white).astype(np.uint8))
    frame = np.zeros(small.shape, bool)
    top, bottom, left, right = (set(edge.tolist()) for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    for number in ((top & bottom) | (left & right) | (bottom & (left | right))) - {0}:
        part = (labels == number).astype(np.uint8)
        near = cv2.dilate(part, np.ones((3, 3)))
        ring = cv2.dilate(part, np.ones((7, 7))) > near
        deep = cv2.distanceTransform(part, cv2.DIST_L2, 3).max() > DEEPEST_FRAME
        if not deep and ring.any() and np.median(small[ring]) < 0.75 * white:
            frame |= near > 0
    return frame


def _bright_tissue(small: np.ndarray) -> float:
    """Return the level of bright tissue; 0 if there is no tissue.

    Otsu's threshold on roots of grey levels tells tissue from background even where a label is 16 times as bright.
    """
    roots = np.sqrt(small / max(int(small.max()), 1)) * 255
    threshold, _ = cv2.threshold(roots.astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    tissue = _largest(roots > threshold)
    return 0.0 if tissue is None else float(np.percentile(small[tissue > 0], 90))


def _base(coarse: np.ndarray) -> int:
    """Return the film's base, the grey of its background; if no base is visible, the background is black.

    A base above 15 must be even, or else it is dark tissue; it is 14 at most on MIAS.
    """
    counts = np.bincount(coarse[coarse > 0], minlength=256)
    dark, least = 50, counts[1:50].sum() / 2
    if counts[1:50].sum() <= 0.05 * coarse.size:  # a base that is this bright fills a tenth of the film
        dark, least = max(int(cv2.threshold(coarse, 0, 255, cv2.THRESH_OTSU)[0]), 2), 0.1 * coarse.size
    base = int(counts[1:dark].argmax()) + 1
    even = counts[max(base - 3, 1) : base + 4].sum() > least
    return base if even or (base < 16 and dark == 50) else 0


def _spans(region: np.ndarray) -> bool:
    """Return True if a region covers both ends of the film's upper or lower edge, as no breast does."""
    return bool((region[0, 0] and region[0, -1]) or (region[-1, 0] and region[-1, -1]))


def _without_strips(region: np.ndarray) -> np.ndarray:
    """Return the region without narrow strips above and below the breast: light that fell in at the film's edge.

    A breast, too, is narrow where it ends, but not for long: on MIAS for 8 rows at most.
    """
    wide = np.flatnonzero(region.sum(axis=1) >= STRIP)
    if len(wide):
        first, last = wide[0], wide[-1] + 1
        rows = np.flatnonzero(region.any(axis=1))
        if first - rows[0] > STRIP:
            region[:first] = 0
        if rows[-1] + 1 - last > STRIP:
            region[last:] = 0
    return region


def _oddities(region: np.ndarray, coarse: np.ndarray, frame: np.ndarray) -> list[str]:
    """Return what is unusual about the region of a breast, one line each; nothing on MIAS."""
    beside = ~frame & (region == 0)
    share = region.sum() / max(np.count_nonzero(~frame), 1)
    outline = np.concatenate(cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0])
    hull = cv2.fillConvexPoly(np.zeros_like(region), cv2.convexHull(outline), 1)
    rows, columns = (np.flatnonzero(coarse.any(axis=axis)) for axis in (1, 0))
    edges = (region[rows[0]], region[rows[-1]], region[:, columns[0]], region[:, columns[-1]])
    odd = []
    if not 0.03 <= share <= 0.95:
        odd.append(f"the breast covers {share:.0%} of the film")
    if _spans(region):
        odd.append("the breast covers both ends of the film's upper or lower edge")
    if beside.any() and np.median(coarse[beside]) > 0.25 * np.median(coarse[region > 0]):  # at most 0.09 on MIAS
        odd.append("the background is bright beside the breast; are the grey levels inverted?")
    if region.sum() < 0.75 * hull.sum():  # at least 0.84 on MIAS
        odd.append("the breast's outline is hollow; are the grey levels inverted?")
    if not any(edge.any() for edge in edges):
        odd.append("the breast touches no edge of the film")
    return odd
