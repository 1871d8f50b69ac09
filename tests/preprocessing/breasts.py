"""Films with the artefacts of scanners and digital devices, and digests of the breasts that are found."""

import hashlib

import cv2
import numpy as np

WHITE = 4095


def tissue(height=1024, width=820, skin=400) -> tuple[np.ndarray, np.ndarray]:
    """A breast at the film's left edge that thins out towards the skin, float in [0, 1], and where it is."""
    y, x = np.mgrid[:height, :width]
    depth = 1 - np.hypot(x / skin, (y - height / 2) / (0.44 * height))
    grey = np.where(depth > 0, 0.25 + 0.35 * np.clip(3 * depth, 0, 1) + 0.03 * np.sin(x / 9) * np.cos(y / 14), 0)
    return grey, depth > 0


def _edges(grey, px, *sides):
    for side in sides:
        at = {"left": np.s_[:, :px], "right": np.s_[:, -px:], "top": np.s_[:px], "bottom": np.s_[-px:]}[side]
        grey[at] = 1
    return grey


def _turned(grey, border):
    height, width = grey.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 2.5, 0.93)
    return cv2.warpAffine(grey, turn, (width, height), borderValue=border)


def _text(grey):
    canvas = np.zeros(grey.shape, np.uint8)
    cv2.putText(canvas, "R MLO", (520, 120), cv2.FONT_HERSHEY_SIMPLEX, 2.5, 255, 9)
    return np.where(canvas > 0, 1.0, grey)


def _within(grey, beyond):
    inner = np.full(grey.shape, beyond)
    inner[90:-90, 60:-90] = grey[90:-90, 60:-90]
    return inner


def _wedge(grey):
    return cv2.fillPoly(grey, [np.int32([(0, 1024), (220, 1024), (0, 880)])], 1.0)


ALL = ("left", "right", "top", "bottom")
NOISE = np.random.default_rng(0).normal(size=(1024, 820))
ARTEFACTS = {
    "frame of 1 px": lambda grey: _edges(grey, 1, *ALL),
    "frame": lambda grey: _edges(grey, 7, *ALL),
    "thick frame": lambda grey: _edges(grey, 60, *ALL),
    "white bar at the chest wall": lambda grey: _edges(grey, 40, "left"),
    "white bar opposite": lambda grey: _edges(grey, 40, "right"),
    "white bar above": lambda grey: _edges(grey, 40, "top"),
    "white collimator": lambda grey: _within(grey, 1.0),
    "black collimator": lambda grey: _within(np.maximum(grey, 0.04), 0.0),
    "slanted white collimator": lambda grey: _turned(grey, 1.0),
    "slanted black collimator": lambda grey: _turned(np.maximum(grey, 0.04), 0.0),
    "white corner": _wedge,
    "background of 300": lambda grey: 0.073 + 0.9 * grey,
    "background of 1200": lambda grey: 0.3 + 0.7 * grey,
    "noise": lambda grey: np.abs(0.05 + 0.9 * grey + 0.03 * NOISE),
    "gradient": lambda grey: 0.9 * grey + np.linspace(0, 0.1, 1024)[:, None],
    "label": _text,
    "black bar at the chest wall": lambda grey: np.where(np.arange(820) < 26, 0, grey),
    "padding": lambda grey: np.pad(grey, 200),
    "wide": lambda grey: np.pad(grey, ((0, 0), (0, 900))),
    "light at the film's edge": lambda grey: np.maximum(grey, 0.2 * np.exp(-np.arange(820) / 25)),
    "narrow window": lambda grey: 2.5 * (grey - 0.12),
    "burnt out": lambda grey: 8 * (grey - 0.12),
    "root": np.sqrt,
    "square": np.square,
}


def levels(grey) -> np.ndarray:
    """Grey levels of 12 bits in uint16."""
    return np.rint(WHITE * np.clip(grey, 0, 1)).astype(np.uint16)


def on_film(breast) -> np.ndarray:
    """The breast's mask in the pixels of the film as it is stored."""
    mask = np.zeros(breast.film_shape, bool)
    mask[:, breast.chest_px :] = breast.mask
    mask = mask[:, ::-1] if breast.mirrored else mask
    return mask[::-1] if breast.upside_down else mask


def overlap(one, other) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())


def breast_digest(breast) -> str:
    """Sixteen digits that tell apart masks, pixels, boxes, and chest walls."""
    facts = f"{breast.box} {breast.mirrored} {breast.chest_px} {breast.pixels.shape} {breast.pixels.dtype}"
    parts = facts.encode(), np.packbits(breast.mask).tobytes(), breast.pixels.tobytes()
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]
