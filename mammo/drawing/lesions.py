"""The lesions that a phantom film shows: where they lie, how they are drawn, and their extents.

Lengths are in pixels of 0.2 mm, grey levels from 0 to 255. A breast has its chest wall at x = 0.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from mammo.drawing.anatomy import SIDE_PX, Breast
from mammo.drawing.noise import Rng, noise, sigmoid

# Radii of mini-MIAS's circles: median, and deviation of the logarithm; CALC by severity, as benign clusters are small
RADII = {"CALC B": (13, 0.55), "CALC M": (36, 0.5), "CIRC": (44, 0.5), "SPIC": (46, 0.55), "MISC": (40, 0.45)}
RADII |= {"ARCH": (57, 0.4), "ASYM": (46, 0.5)}
# Body of a lesion: radius and softness as shares of the circle's radius, and grey levels above the tissue
BODIES = {"CIRC": (0.83, 0.08, 34), "SPIC": (0.36, 0.1, 34), "MISC": (0.55, 0.16, 26), "ARCH": (0.15, 0.2, 5)}
BODIES |= {"ASYM": (0.66, 0.12, 24)}
SPICULE = 6  # grey levels that a spicule adds where it belongs to the extent of its lesion


@dataclass(frozen=True)
class Finding:
    """One row of Info.txt; the circle is 0, 0, 0 until `place` sets it."""

    kind: str
    severity: str
    mark: str = ""  # "*": spread over the film; "-": has no circle in the file
    x: int = 0
    y: int = 0
    radius: int = 0


def place(rng: Rng, breast: Breast, depth: np.ndarray, findings: list[Finding]) -> list[Finding]:
    """Return the findings with circles in the breast, off the muscle and apart from each other, if there is room."""
    placed: list[Finding] = []
    for finding in findings:
        middle, spread = RADII.get(f"{finding.kind} {finding.severity}") or RADII[finding.kind]
        radius = int(np.clip(middle * np.exp(spread * rng.standard_normal()), 4, 0.6 * depth.max()))
        x, y = rng.uniform([0, 150], [breast.width, SIDE_PX - 20], (400, 2)).astype(int).T
        room = np.minimum(depth[y, x] - 25, np.minimum(x, (x - breast.muscle[y]) * 0.9)) - 0.75 * radius
        for old in placed:
            room = np.minimum(room, np.hypot(x - old.x, y - old.y) - old.radius - radius)
        best = int((room > 0).argmax() if (room > 0).any() else room.argmax())
        placed.append(replace(finding, x=int(x[best]), y=int(y[best]), radius=radius))
    return placed


def add_lesion(rng: Rng, grey: np.ndarray, finding: Finding) -> np.ndarray:
    """Draw a mass, a distortion or an asymmetry into the grey levels (1024, width), and return its extent, bool.

    The extent is where the body has half of its height or more, with the spicules that add `SPICULE` levels or more; of
    a distortion, which has no body to speak of, the disc in which tissue is pulled.
    """
    radius, worse = finding.radius, finding.severity == "M"
    reach = int(1.3 * radius) + 3
    top, start = max(finding.y - reach, 0), max(finding.x - reach, 0)
    part = grey[top : finding.y + reach + 1, start : finding.x + reach + 1]
    down, right = np.mgrid[: part.shape[0], : part.shape[1]].astype(np.float32)
    middle_x, middle_y = finding.x - start, finding.y - top
    distance, angle = cv2.cartToPolar((right - middle_x) / radius, (down - middle_y) / radius)
    if finding.kind == "ARCH":  # tissue is pulled in
        pull = 1 + 0.9 * np.exp(-2.5 * distance**2)
        from_x, from_y = middle_x + (right - middle_x) * pull, middle_y + (down - middle_y) * pull
        part[:] = cv2.remap(part.copy(), from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    core, softness, level = BODIES[finding.kind]
    waves = np.arange(2, 8)
    height = rng.normal(0, 0.2 if worse else 0.07, 6) / waves**0.8
    edge = 1 + np.cos(angle[..., None] * waves + rng.uniform(0, 2 * np.pi, 6)) @ height
    inside = distance <= (1 if finding.kind == "ARCH" else core * edge)
    body = sigmoid((core * edge - distance) / softness) * level * rng.uniform(0.8, 1.2) * (1.2 if worse else 1)
    if finding.kind == "CIRC":  # a ball is thickest in its middle
        body *= 0.45 + 0.6 * np.sqrt(np.clip(1 - (distance / (core * edge)) ** 2, 0, 1))
    body *= 1 + (0.3 if finding.kind in ("ASYM", "MISC") else 0.1) * noise(rng, part.shape[0], part.shape[1], 3.0)
    if finding.kind in ("SPIC", "ARCH"):
        count = int(rng.integers(24, 40) if worse else rng.integers(14, 24))
        spikes = spicules(rng, part, (middle_x, middle_y), radius, count)
        spikes = (30 + radius / 4) * spikes * np.clip(1.25 - distance, 0, 1)
        inside |= (spikes >= SPICULE) & (finding.kind == "SPIC")
        body += spikes
    part += body * sigmoid((1.08 - distance) / 0.04)
    extent = np.zeros(grey.shape, bool)
    extent[top : top + part.shape[0], start : start + part.shape[1]] = inside & (distance <= 1.08)
    return extent


def spicules(rng: Rng, part: np.ndarray, middle: tuple[int, int], radius: int, count: int) -> np.ndarray:
    """Return lines that radiate from the point `middle`, 0 to 1, in the shape of `part`."""
    canvas = np.zeros(part.shape, np.uint8)
    for turn in rng.uniform(0, 2 * np.pi, count):
        far = np.linspace(0.05, rng.uniform(0.6, 1.05), 8)
        bent = turn + far * rng.normal(0, 0.2)
        line = middle + radius * far[:, None] * np.stack([np.cos(bent), np.sin(bent)], axis=-1)
        cv2.polylines(canvas, [np.int32(8 * line)], False, int(rng.integers(90, 256)), 1, cv2.LINE_AA, 3)
    return cv2.GaussianBlur(np.float32(canvas), (0, 0), 0.8 + radius / 90) / 255


def add_specks(rng: Rng, grey: np.ndarray, points: np.ndarray, worse: bool, largest: float) -> np.ndarray:
    """Draw calcifications at points (n, 2) into the grey levels: round and large, or fine and irregular if `worse`.

    Returns:
        The convex hull of all that is drawn, as readers outline a cluster, bool in the shape of `grey`.
    """
    canvas = np.zeros(grey.shape, np.uint8)
    for point in points:
        if worse:
            end = point + rng.normal(0, 1.1, 2)
            cv2.line(canvas, np.int32(8 * point), np.int32(8 * end), int(rng.integers(120, 256)), 1, cv2.LINE_AA, 3)
        else:
            size = rng.uniform(0.5, 1) * largest
            cv2.circle(canvas, np.int32(8 * point), int(8 * size), int(rng.integers(150, 256)), -1, cv2.LINE_AA, 3)
    grey += cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), 0.6) * (0.4 if worse else 0.33)
    hull = np.zeros(grey.shape, np.uint8)
    if (drawn := cv2.findNonZero(canvas)) is not None:
        cv2.fillConvexPoly(hull, cv2.convexHull(drawn), 1)
    return hull > 0


def add_calcifications(rng: Rng, grey: np.ndarray, finding: Finding, breast: Breast, depth: np.ndarray) -> np.ndarray:
    """Draw a cluster, or specks all over the breast, into the grey levels (1024, width), and return its extent."""
    worse = finding.severity == "M"
    if finding.mark == "*":
        y, x = ((depth > 45) & (np.arange(breast.width) > breast.muscle[:, None] + 20)).nonzero()
        chosen = rng.integers(0, len(x), rng.integers(80, 160))
        return add_specks(rng, grey, np.stack([x[chosen], y[chosen]], axis=-1), worse, 1.6)
    count = rng.integers(12, 40) if worse else rng.integers(2, 3 + finding.radius // 3)
    points = rng.normal(0, 0.4, (count, 2))
    points *= np.minimum(1, 0.8 / np.hypot(*points.T))[:, None]
    points = points * finding.radius + np.array([finding.x, finding.y])
    return add_specks(rng, grey, points, worse, min(2.6, 0.35 * finding.radius))


def add_findings(
    rng: Rng, grey: np.ndarray, findings: list[Finding], breast: Breast, depth: np.ndarray
) -> tuple[list[Finding], list[np.ndarray]]:
    """Draw findings into the grey levels (1024, width); return them with their circles, and their extents on it."""
    placed, extents = place(rng, breast, depth, findings), []
    for finding in placed:
        if finding.kind == "CALC":
            extents.append(add_calcifications(rng, grey, finding, breast, depth))
        else:
            extents.append(add_lesion(rng, grey, finding))
    return placed, [extent & (depth > 0) for extent in extents]
