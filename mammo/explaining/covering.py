"""Cover a region of a picture, so that an answer can be asked for without what it shows."""

import cv2
import numpy as np

FINE_PX = 32  # side of the picture, in units of the blur's reach, on which the levels around a region are smoothed


def covered(pixels: np.ndarray, region: np.ndarray, breast: np.ndarray) -> np.ndarray:
    """Return a picture whose region shows the level of the breast around it.

    The level of a pixel is the mean of the breast's other pixels, with the weights of a Gaussian as wide as half of the
    region's half side. So no edge and no black patch is made, but the region has no texture.

    Args:
        pixels: (height, width) uint8 or uint16.
        region: (height, width) bool. Where it is beyond the breast, nothing changes.
        breast: (height, width) bool.
    """
    inside = region & breast
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return pixels
    reach = max(rows[-1] - rows[0], columns[-1] - columns[0], 1) // 2 + 1
    part = tuple(slice(max(at[0] - reach, 0), at[-1] + reach + 1) for at in (rows, columns))
    known = (breast & ~region)[part].astype(np.float32)
    levels = pixels[part].astype(np.float32) * known
    height, width = known.shape
    small = max(round(width * FINE_PX / reach), 1), max(round(height * FINE_PX / reach), 1)
    if reach > FINE_PX:
        levels, known = (cv2.resize(one, small, interpolation=cv2.INTER_AREA) for one in (levels, known))
    sigma = min(reach, FINE_PX) / 2
    levels, known = (cv2.GaussianBlur(one, (0, 0), sigma) for one in (levels, known))
    filled = cv2.resize(levels / np.maximum(known, 1e-6), (width, height), interpolation=cv2.INTER_LINEAR)
    made = pixels.copy()
    made[part][inside[part]] = np.rint(filled).clip(0, np.iinfo(pixels.dtype).max)[inside[part]].astype(pixels.dtype)
    return made


def disc(shape: tuple[int, ...], x_px: float, y_px: float, radius_px: float) -> np.ndarray:
    """Return a disc, (height, width) bool."""
    down, across = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((across - x_px) ** 2 + (down - y_px) ** 2 <= radius_px**2)
