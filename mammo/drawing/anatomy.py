"""The anatomy of the breasts that a phantom film shows. Lengths are in pixels of 0.2 mm, grey levels from 0 to 255."""

from dataclasses import dataclass

import cv2
import numpy as np

SIDE_PX = 1024  # the side of a film, as in mini-MIAS
WIDTHS = (400, 512, 650, 1000)  # of mini-MIAS's scans; SHARES holds how often each occurs, by tissue
SHARES = {"F": (0.04, 0.21, 0.55, 0.20), "G": (0.17, 0.41, 0.40, 0.02), "D": (0.25, 0.32, 0.41, 0.02)}


@dataclass(frozen=True)
class Breast:
    """The anatomy of a breast to draw; x counts from the chest wall."""

    tissue: str
    skin: np.ndarray  # (1024,) x of the skin in each row
    muscle: np.ndarray  # (1024,) x of the edge of the pectoral muscle in each row
    nipple: tuple[float, float]
    width: int  # of the scan, in pixels
    fat: float  # grey level of fat
    level: float  # grey levels of glandular tissue above fat
    extent: float  # of glandular tissue, as a share of the breast
    chest: float  # grey level of the muscle


def anatomy(seed: int, patient: int, side: int, tissue: str) -> Breast:
    """Return one of a patient's two breasts, which differ slightly."""
    hers, own = np.random.default_rng([seed, patient]), np.random.default_rng([seed, patient, side])
    scan = int(hers.choice(4, p=SHARES[tissue]))
    width = WIDTHS[scan] + int(hers.integers(0, 3))
    fat = {"F": 125, "G": 123, "D": 118}[tissue] + 9 * hers.standard_normal() + 2 * own.standard_normal()
    mean, spread, low, high = {"F": (26, 6, 0.3, 0.55), "G": (52, 8, 0.5, 0.8), "D": (70, 9, 0.6, 0.95)}[tissue]
    level, extent = mean + spread * hers.standard_normal(), hers.uniform(low, high)
    chest = 188 + 10 * hers.standard_normal()
    shape = hers.uniform([0.82, 470, 880, 0.28, 1.2, 0.45, 280], [0.94, 640, 1000, 0.58, 2.4, 0.8, 600])
    shape[:4] += np.array([0, 30, 110, 0.16]) * max(scan - 1, 0)  # wide scans show large breasts, which reach the edges
    reach, middle, foot, top, hollow, across, down = shape * (1 + 0.02 * own.standard_normal(7))
    y = np.arange(SIDE_PX)
    above = np.sin(np.pi / 2 * np.clip(y / middle, 0, 1)) ** hollow
    below = np.sqrt(1 - np.clip((y - middle) / (foot - middle), 0, 1) ** 2.2)
    skin = width * min(reach, 0.95) * np.where(y < middle, top + (1 - top) * above, below)
    muscle = across * skin[0] * (1 - np.clip(y / down, 0, 1) ** own.uniform(0.9, 1.5)) - 60 * (y > down)
    nipple = (float(skin[int(middle)]), float(middle))
    skin += np.exp(-(((y - middle - 12) / 15) ** 2)) * own.uniform(0, 14)
    return Breast(tissue, skin, muscle, nipple, width, fat, level, extent, chest)


def depth_of(breast: Breast) -> np.ndarray:
    """Return the distance of each pixel to the skin, (1024, width) float32; 0 outside the breast."""
    inside = (np.arange(breast.width) < breast.skin[:, None]).astype(np.uint8)
    return cv2.distanceTransform(inside, cv2.DIST_L2, 5)
