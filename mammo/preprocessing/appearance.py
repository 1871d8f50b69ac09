"""The appearance of a film in a few numbers, which do not depend on its format, its bits of a level or its side.

They tell a mammogram from other pictures: a breast is one smooth shape before a dark, even background, bright inside
and darker towards the skin. Shares are from 0 to 1. Grey is 0 at the film's dark end, 1 at the breast's bright end.
"""

from collections.abc import Callable

import cv2
import numpy as np

from mammo.datasets.film import Film
from mammo.preprocessing.breast import Breast

SIDE = 256  # longer side of the coarse picture
MOST_LEVELS, MOST_PX = 256, 512  # beyond which more levels or pixels make no picture stranger
# Each number in words; the scale on which films spread evenly (`log`, `root` or `as it is`); and the least spread
# between films on that scale: films of one scanner agree to the digit in some numbers, and a difference that no eye
# would see is then no reason.
NUMBERS = {
    "film_shape": ("the film's height divided by its width", "log", 0.15),
    "breast_share": ("the share of the film that is breast", "as it is", 0.03),
    "breast_shape": ("the breast's height divided by its width", "log", 0.10),
    "box_filled": ("the share of its box that the breast fills", "as it is", 0.03),
    "hollow": ("the share of its convex hull that the breast leaves open", "root", 0.05),
    "off_wall": ("the share of the breast's height that is not at the chest wall", "root", 0.10),
    "margin": ("the share of the film's width before the chest wall", "as it is", 0.02),
    "outside": ("the grey beside the breast", "root", 0.05),
    "outside_spread": ("the spread of grey beside the breast", "root", 0.05),
    "mean": ("the mean grey of the breast", "as it is", 0.03),
    "spread": ("the spread of grey in the breast", "as it is", 0.02),
    "dark": ("the share of dark tissue", "root", 0.05),
    "bright": ("the share of bright tissue", "root", 0.05),
    "skin": ("the grey below the skin as a share of the grey deep inside", "as it is", 0.05),
    "edges": ("the steepness of grey in the breast", "as it is", 0.005),
    "grain": ("the share of this steepness that smoothing removes", "as it is", 0.03),
    "levels": ("the number of grey levels of the breast, 256 at most", "log", 0.25),
    "detail_px": ("the breast's longer side in pixels, 512 at most", "log", 0.10),
}
LEAST_SPREAD = np.array([spread for _, _, spread in NUMBERS.values()])
SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "log": lambda x: np.log(np.maximum(x, 1e-6)),
    "root": lambda x: np.sqrt(np.maximum(x, 0)),
    "as it is": np.array,
}


def on_scale(numbers: np.ndarray) -> np.ndarray:
    """Return `NUMBERS` (n, numbers) on the scales on which films spread evenly."""
    columns = zip(numbers.T, NUMBERS.values(), strict=True)
    return np.stack([SCALES[scale](column) for column, (_, scale, _) in columns], axis=1)


def appearance(film: Film, breast: Breast) -> np.ndarray:
    """Return the `NUMBERS` of a film, (numbers,) float64.

    Args:
        film: The film.
        breast: The breast on it.
    """
    levels = cv2.flip(film.pixels, 0) if film.upside_down else film.pixels
    levels = cv2.flip(levels, 1) if breast.mirrored else levels
    height, width = levels.shape
    top, bottom, right = breast.box
    scale = SIDE / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    coarse = cv2.resize(levels, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    whole = np.zeros(levels.shape, np.uint8)
    whole[:, breast.chest_px :] = breast.mask
    mask = cv2.resize(whole, size, interpolation=cv2.INTER_NEAREST) > 0
    mask = mask if mask.any() else np.ones_like(mask)
    low, white = np.percentile(coarse, 1), np.percentile(coarse[mask], 99.5)
    grey = np.clip((coarse - low) / max(white - low, 1e-6), 0, 1)
    inside, outside = grey[mask], grey[~mask]
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    deep = depth > 0.5 * depth.max()
    rim = mask & (depth <= max(0.12 * depth.max(), 1.5))
    outline = np.concatenate(cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0])
    hull = cv2.fillConvexPoly(np.zeros(mask.shape, np.uint8), cv2.convexHull(outline), 1)
    core = cv2.erode(mask.astype(np.uint8), np.ones((5, 5))) > 0
    rough, smooth = (_steepness(one)[core if core.any() else mask].mean() for one in (grey, cv2.blur(grey, (5, 5))))
    shown = levels[top:bottom, breast.chest_px : breast.chest_px + right][breast.mask[top:bottom, :right]]
    return np.array(
        [
            height / width,
            mask.mean(),
            (bottom - top) / right,
            np.count_nonzero(breast.mask) / ((bottom - top) * right),
            1 - mask.sum() / hull.sum(),
            1 - breast.mask[top:bottom, : max(right // 20, 1)].mean(),
            breast.chest_px / width,
            outside.mean() if len(outside) else 0.0,
            outside.std() if len(outside) else 0.0,
            inside.mean(),
            inside.std(),
            (inside < 0.25).mean(),
            (inside > 0.75).mean(),
            grey[rim].mean() / max(grey[deep].mean(), 0.05) if rim.any() else 1.0,
            rough,
            max(1 - smooth / max(rough, 1e-6), 0.0),
            min(np.count_nonzero(np.bincount(shown)), MOST_LEVELS),
            min(max(bottom - top, right), MOST_PX),
        ]
    )


def _steepness(grey: np.ndarray) -> np.ndarray:
    """Return the length of the gradient of grey at each pixel, (height, width) float32."""
    return np.hypot(*(cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, scale=0.125) for dx in (0, 1)))
