"""Quick sketches of films, for the fakes of archives that need a hundred of them: half an ellipse on the dark."""

import cv2
import numpy as np

HEIGHT, WIDTH = 160, 128
LEVELS = 4095


def sketch(number: int, laterality: str, bright: bool = False) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Return a film, (160, 128) uint16 of 12 bits, and the circle of its lesion: x, y, radius in pixels.

    Args:
        number: The film; the same number is the same film.
        laterality: `left` or `right`: a right breast hangs from the right edge of the film.
        bright: True draws the lesion; False leaves its place as it is.
    """
    rng = np.random.default_rng(number)
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    reach, middle = rng.uniform(0.6, 0.85) * WIDTH, rng.uniform(0.45, 0.55) * HEIGHT
    depth = 1 - (across / reach) ** 2 - ((down - middle) / (0.44 * HEIGHT)) ** 2
    tissue = cv2.resize(rng.random((9, 7)), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    grey = np.where(depth > 0, 1000 + 900 * tissue + 400 * depth, 20) + rng.normal(0, 30, depth.shape)
    x, y, radius = int(rng.uniform(0.2, 0.4) * reach), int(middle + rng.uniform(-25, 25)), int(rng.integers(7, 12))
    if bright:
        grey += 1400 * np.exp(-(((across - x) ** 2 + (down - y) ** 2) / (0.6 * radius) ** 2))
    if laterality == "right":
        grey, x = grey[:, ::-1], WIDTH - 1 - x
    return grey.clip(0, LEVELS).astype(np.uint16), (x, y, radius)
