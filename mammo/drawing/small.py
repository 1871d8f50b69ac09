"""A small film for tests of an installation: half an ellipse of tissue, of no patient, drawn in milliseconds.

Lengths are in pixels of `SPACING_MM`, grey levels from 0 to `WHITE`.
"""

import numpy as np

from mammo.drawing.noise import noise, sigmoid

HEIGHT, WIDTH = 240, 160
SPACING_MM, WHITE = 0.4, 4095  # of 12 bits
MIDDLE = HEIGHT / 2
DEEP, TALL = 125.0, 105.0  # half axes of the breast: 50 mm from the chest wall to the nipple, and 84 mm high


def draw_small(seed: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Return a film (240, 160) uint16 with the chest wall on the left, and x and y of a bright spot in its breast."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    depth = 1 - np.hypot(x / DEEP, (y - MIDDLE) / TALL)  # 0 on the skin, 1 at the chest wall
    spot_x, spot_y = rng.uniform([40, MIDDLE - 30], [70, MIDDLE + 30])
    spot = np.exp(-((x - spot_x) ** 2 + (y - spot_y) ** 2) / (2 * 6**2))
    tissue = 0.35 + 0.07 * noise(rng, HEIGHT, WIDTH, 3.0) + 0.3 * depth + 0.25 * spot
    grey = 0.02 + sigmoid(depth / 0.02) * tissue
    return np.round(WHITE * np.clip(grey, 0, 1)).astype(np.uint16), (round(float(spot_x), 1), round(float(spot_y), 1))
