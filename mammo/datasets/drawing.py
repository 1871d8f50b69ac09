"""The drawing of a phantom film: anatomy, texture, lesions and artefacts. The seed determines every pixel.

Lengths are in pixels of 0.2 mm, grey levels from 0 to 255. A breast is drawn with its chest wall at x = 0, and
mirrored for the films of right breasts. The file is long because it is one drawing; nothing else uses its functions.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from scipy import fft

from mammo.datasets.mias_info import SIDE_PX

Rng = np.random.Generator

# Radii of mini-MIAS's circles: median, and deviation of the logarithm; CALC by severity, as benign clusters are small
RADII = {"CALC B": (13, 0.55), "CALC M": (36, 0.5), "CIRC": (44, 0.5), "SPIC": (46, 0.55), "MISC": (40, 0.45)}
RADII |= {"ARCH": (57, 0.4), "ASYM": (46, 0.5)}
# Body of a lesion: radius and softness as shares of the circle's radius, and grey levels above the tissue
BODIES = {"CIRC": (0.83, 0.08, 34), "SPIC": (0.36, 0.1, 34), "MISC": (0.55, 0.16, 26), "ARCH": (0.15, 0.2, 5)}
BODIES |= {"ASYM": (0.66, 0.12, 24)}
WIDTHS = (400, 512, 650, 1000)  # of mini-MIAS's scans; SHARES holds how often each occurs, by tissue
SHARES = {"F": (0.04, 0.21, 0.55, 0.20), "G": (0.17, 0.41, 0.40, 0.02), "D": (0.25, 0.32, 0.41, 0.02)}


@dataclass(frozen=True)
class Finding:
    """One row of Info.txt; the circle is 0, 0, 0 until `place` sets it."""

    kind: str
    severity: str
    mark: str = ""  # "*": spread over the film; "-": has no circle in the file
    x: int = 0
    y: int = 0
    radius: int = 0


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


@lru_cache(maxsize=32)
def gain(rows: int, columns: int, slope: float) -> np.ndarray:
    """Return amplitudes (rows, columns // 2 + 1) float32 whose power falls with frequency ** -slope."""
    square = (fft.fftfreq(rows) ** 2)[:, None] + fft.rfftfreq(columns) ** 2
    square[0, 0] = np.inf
    return (square ** (-slope / 4)).astype(np.float32)


def noise(rng: Rng, height: int, width: int, slope: float) -> np.ndarray:
    """Return a field (height, width) float32, mean 0 and deviation 1, whose power falls with frequency ** -slope."""
    rows, columns = fft.next_fast_len(height, real=True), fft.next_fast_len(width, real=True)
    amplitude = gain(rows, columns, slope)
    white = rng.standard_normal((2, *amplitude.shape), dtype=np.float32)
    field = fft.irfft2((white[0] + 1j * white[1]) * amplitude, s=(rows, columns))[:height, :width]
    return (field - field.mean()) / field.std()


def ridges(field: np.ndarray, width: float) -> np.ndarray:
    """Return a field of values from 0 to 1 that is largest along the lines where `field` crosses zero."""
    return 1 / (1 + (field / width) ** 2)


def sigmoid(field: np.ndarray) -> np.ndarray:
    """Return the logistic function of each value."""
    return 0.5 + 0.5 * np.tanh(field / 2)


def strands(rng: Rng, breast: Breast, count: int) -> np.ndarray:
    """Return ducts, vessels and ligaments as random walks to the nipple, (1024, width) float32, 0 to about 1."""
    start = rng.uniform([-80, 60], [breast.nipple[0], SIDE_PX], (count, 2))
    ahead = np.array([breast.nipple[0] + 60, breast.nipple[1]]) - start
    turns = np.cumsum(rng.normal(0, 0.10, (count, 60)), axis=1) + rng.normal(0, 0.45, (count, 1))
    angle = np.arctan2(ahead[:, 1], ahead[:, 0])[:, None] + turns
    walks = start[:, None] + np.cumsum(7 * np.stack([np.cos(angle), np.sin(angle)], axis=-1), axis=1)
    canvas = np.zeros((2, SIDE_PX, breast.width), np.uint8)
    for walk in walks:
        layer, parts, grey = int(rng.random() < 0.2), int(rng.integers(3, 11)), 255 * rng.uniform(0.3, 1) ** 1.5
        for part in range(parts):  # faint at both ends
            points = np.int32(8 * walk[6 * part : 6 * part + 7])
            fade = np.sin(np.pi * (part + 0.5) / parts)
            cv2.polylines(canvas[layer], [points], False, int(grey * fade), 1 + 2 * layer, cv2.LINE_AA, 3)
    fine, broad = (cv2.GaussianBlur(np.float32(c), (0, 0), blur) for c, blur in zip(canvas, (1.2, 2.8), strict=True))
    return (fine + 0.6 * broad) / 255


def texture(rng: Rng, breast: Breast, depth: np.ndarray) -> np.ndarray:
    """Return the grey levels of gland, strands, texture and muscle above that of fat, (1024, width)."""
    y, x = np.mgrid[:SIDE_PX, : breast.width].astype(np.float32)
    nipple_x, nipple_y = breast.nipple
    coarse = noise(rng, SIDE_PX // 8, SIDE_PX // 8, 3.2)
    slow, bend = (
        cv2.resize(c, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)[:, : breast.width]
        for c in (coarse, cv2.GaussianBlur(coarse, (0, 0), 4))
    )
    distance, angle = cv2.cartToPolar(x - nipple_x - 60, y - nipple_y)  # fibres converge just in front of the nipple
    across, along = angle * 260 + 45 * bend, distance * 0.4 + 30 * bend
    strand, other = (
        cv2.remap(noise(rng, 512, 512, 3.0), across, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        for _ in range(2)
    )
    grain = noise(rng, SIDE_PX, breast.width, 3.1)

    reach = breast.extent * nipple_x
    behind, beside = (nipple_x - 20 - 0.55 * reach - x) / (0.6 * reach), (y - nipple_y + 25) / (0.5 * reach + 90)
    form = 1 - np.sqrt(behind**2 + beside**2) + 0.24 * slow + 0.15 * strand + 0.07 * grain
    inside = sigmoid((depth - 28) / 7)
    gland = sigmoid(form / 0.17) * inside
    fibres = ridges(strand - 0.3, 0.16) * sigmoid(3 * other) + ridges(other + 0.2, 0.12) * sigmoid(3 * slow)
    grey = breast.level * gland * (0.97 + 0.15 * strand + 0.1 * grain)
    lines = (52 - 0.4 * breast.level) * strands(rng, breast, 240) * sigmoid(2 * slow + 0.5)  # most visible in fat
    grey += inside * (7 * fibres * (0.8 + 0.5 * gland) + lines)
    grey += 5.5 * grain + 4 * slow
    muscle = sigmoid((breast.muscle[:, None] + 4 * bend - x) / 5)
    over = breast.chest - breast.fat + 4 * slow + 0.12 * (breast.muscle[:, None] - x)
    return grey * (1 - 0.6 * muscle) + muscle * over


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


def add_lesion(rng: Rng, grey: np.ndarray, finding: Finding) -> None:
    """Draw a mass, a distortion or an asymmetry into the grey levels (1024, width)."""
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
    body = sigmoid((core * edge - distance) / softness) * level * rng.uniform(0.8, 1.2) * (1.2 if worse else 1)
    if finding.kind == "CIRC":  # a ball is thickest in its middle
        body *= 0.45 + 0.6 * np.sqrt(np.clip(1 - (distance / (core * edge)) ** 2, 0, 1))
    body *= 1 + (0.3 if finding.kind in ("ASYM", "MISC") else 0.1) * noise(rng, part.shape[0], part.shape[1], 3.0)
    if finding.kind in ("SPIC", "ARCH"):
        count = int(rng.integers(24, 40) if worse else rng.integers(14, 24))
        spikes = spicules(rng, part, (middle_x, middle_y), radius, count)
        body += (30 + radius / 4) * spikes * np.clip(1.25 - distance, 0, 1)
    part += body * sigmoid((1.08 - distance) / 0.04)


def spicules(rng: Rng, part: np.ndarray, middle: tuple[int, int], radius: int, count: int) -> np.ndarray:
    """Return lines that radiate from the point `middle`, 0 to 1, in the shape of `part`."""
    canvas = np.zeros(part.shape, np.uint8)
    for turn in rng.uniform(0, 2 * np.pi, count):
        far = np.linspace(0.05, rng.uniform(0.6, 1.05), 8)
        bent = turn + far * rng.normal(0, 0.2)
        line = middle + radius * far[:, None] * np.stack([np.cos(bent), np.sin(bent)], axis=-1)
        cv2.polylines(canvas, [np.int32(8 * line)], False, int(rng.integers(90, 256)), 1, cv2.LINE_AA, 3)
    return cv2.GaussianBlur(np.float32(canvas), (0, 0), 0.8 + radius / 90) / 255


def add_specks(rng: Rng, grey: np.ndarray, points: np.ndarray, worse: bool, largest: float) -> None:
    """Draw calcifications at points (n, 2) into the grey levels: round and large, or fine and irregular if `worse`."""
    canvas = np.zeros(grey.shape, np.uint8)
    for point in points:
        if worse:
            end = point + rng.normal(0, 1.1, 2)
            cv2.line(canvas, np.int32(8 * point), np.int32(8 * end), int(rng.integers(120, 256)), 1, cv2.LINE_AA, 3)
        else:
            size = rng.uniform(0.5, 1) * largest
            cv2.circle(canvas, np.int32(8 * point), int(8 * size), int(rng.integers(150, 256)), -1, cv2.LINE_AA, 3)
    grey += cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), 0.6) * (0.4 if worse else 0.33)


def add_calcifications(rng: Rng, grey: np.ndarray, finding: Finding, breast: Breast, depth: np.ndarray) -> None:
    """Draw a cluster, or specks all over the breast, into the grey levels (1024, width)."""
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


def add_label(rng: Rng, grey: np.ndarray, at: int, side: int, plate: bool) -> None:
    """Draw the film's letters from column `at`, dark on a bright plate or faint on black, mirrored on some films."""
    label, ink = np.zeros((150, 130), np.uint8), int(rng.integers(50, 150))
    if plate:
        ink = 25
        cv2.rectangle(label, (20, 25), (100, 130), int(rng.integers(228, 246)), -1)
    for line, text in enumerate(("RL"[side - 1], str(rng.choice(["ML", "MLO", "OBL"])))):
        corner = (46 - line * (16 + 8 * (len(text) - 2)), 72 + 42 * line)
        cv2.putText(label, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 1.1, ink, 2, cv2.LINE_AA)
    turn = cv2.getRotationMatrix2D((65, 75), rng.normal(0, 4), 1)
    turn[1, 2] -= rng.integers(0, 60)
    label = cv2.warpAffine(label[:, ::-1] if rng.random() < 0.6 else label, turn, label.shape[::-1])
    part = grey[: label.shape[0], at : at + label.shape[1]]
    np.maximum(part, label[:, : part.shape[1]], out=part)


def add_artefacts(rng: Rng, grey: np.ndarray, breast: Breast, side: int) -> None:
    """Draw a label, a bright strip, tape and a scratch, each on a share of the films, and dust into the grey levels."""
    plate, label, strip, tape, scratch = rng.random(5) < (0.4, 0.75, 0.15, 0.12, 0.12)
    if label:
        add_label(rng, grey, max(breast.width - 120, int(breast.skin[:140].max()) + 12), side, plate)
    if strip:
        grey[:, breast.width - rng.integers(3, 30) :] = rng.integers(225, 246)
    if tape:
        grey[: rng.integers(2, 6)] = rng.integers(60, 230)
    if scratch:
        grey[rng.integers(0, 900) :, rng.integers(0, breast.width)] += 22
    dust = rng.random((rng.poisson(8), 2)) * grey.shape
    grey[tuple(dust.astype(int).T)] += rng.uniform(20, 90)


def scene(
    seed: int, patient: int, side: int, tissue: str, findings: list[Finding]
) -> tuple[Breast, np.ndarray, np.ndarray, list[Finding], tuple[Rng, Rng]]:
    """Return a breast, depth below its skin and grey levels (1024, width), findings, rngs of grain and artefacts."""
    breast = anatomy(seed, patient, side, tissue)
    rng, lesions, artefacts = np.random.default_rng([seed, patient, side, 1]).spawn(3)
    inside = (np.arange(breast.width) < breast.skin[:, None]).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    grey = breast.fat + texture(rng, breast, depth)
    placed = place(lesions, breast, depth, findings)
    for finding in placed:
        if finding.kind == "CALC":
            add_calcifications(lesions, grey, finding, breast, depth)
        else:
            add_lesion(lesions, grey, finding)
    return breast, depth, grey, placed, (rng, artefacts)


def draw(seed: int, patient: int, side: int, tissue: str, findings: list[Finding]) -> tuple[np.ndarray, list[Finding]]:
    """Draw a patient's right (side 1) or left (2) breast; return the film (1024, 1024) uint8 and its findings."""
    breast, depth, grey, placed, (rng, artefacts) = scene(seed, patient, side, tissue, findings)
    base = rng.lognormal(1.9, 0.6)
    grey = base + grey * (1 - np.exp(-((depth / 53) ** 1.3)))  # the breast thins out towards the skin
    grey = np.where(grey > 170, 170 + 62 * np.tanh((grey - 170) / 62), grey)  # film saturates towards white
    add_artefacts(artefacts, grey, breast, side)
    grey += 1.2 * rng.standard_normal(grey.shape, dtype=np.float32)
    film = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    left = (SIDE_PX - breast.width) // 2
    film[:, left : left + breast.width] = np.clip(grey, 0, 255)
    placed = [replace(finding, x=finding.x + left) for finding in placed]
    if side == 2:
        return film, placed
    return np.ascontiguousarray(film[:, ::-1]), [replace(finding, x=SIDE_PX - 1 - finding.x) for finding in placed]
