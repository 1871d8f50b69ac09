"""The phantom: drawn films of drawn women, in exactly mini-MIAS's layout. Lengths in pixels of 0.2 mm, grey levels 0 to 255.

A film is drawn with its chest wall at x = 0 and mirrored for a right breast, the odd films, as on MIAS's.
"""

import tempfile
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from scipy import fft

from mammo import InputError
from mammo.data.images import pixel_digest, write_pgm
from mammo.data.mias import MIAS, SIDE_PX, home

VERSION = "v1"  # of the drawing: raise it with every change of a pixel, so that no old folder passes for a new one
HEADER = """SYNTHETIC FILMS, in the layout of the MIAS MiniMammographic Database.

Drawn by mammo.data.phantom: no woman was examined, and nothing here may be taken for a finding about patients.
Columns: film, tissue, class, severity, x, y (from the bottom left corner) and radius in pixels.
"""

# Women of mini-MIAS (its Info.txt), counted: tissue of those without a finding, and of those with one circled finding
PLAIN = {
    "NORM": "F15 G16 D22",
    "CALC B": "F2 G3 D2",
    "CALC M": "F3 G1 D2",
    "CIRC B": "F5 G4 D3",
    "CIRC M": "F1 G2",
    "SPIC B": "F2 G4 D5",
    "SPIC M": "F3 G3 D2",
    "MISC B": "F2 G3 D1",
    "MISC M": "F4 G2 D1",
    "ARCH B": "F4 G2 D2",
    "ARCH M": "F2 G4 D3",
    "ASYM B": "F1 G2 D3",
    "ASYM M": "F2 G2 D4",
}
# The other women of mini-MIAS: tissue: right breast | left breast; `-` is a finding without a circle, `*` one with NOTE 3
AWKWARD = [
    "F: | MISC B, MISC M",
    "D: | CALC M *",
    "G: CALC M | CALC B",
    "D: | CALC B, CALC B, CALC B",
    "F: CIRC B - |",
    "D: CALC M, CALC M | CALC B",
    "F: CIRC B, CIRC B |",
    "G: CALC M * |",
    "G: CIRC B | CIRC B",
    "F: CALC M * |",
    "F: CIRC B | ASYM M",
    "D: ARCH M | ARCH B",
    "F: | CIRC B, CIRC B",
    "F: CIRC M | CIRC B",
    "G: CALC M | CALC B",
    "D: CALC B, CALC B |",
    "D: CALC M, CALC M |",
]
DECK = 161  # women
# Radii of mini-MIAS's circles: median and spread of the logarithm; those of CALC apart, benign clusters are small
RADII = {"CALC B": (13, 0.55), "CALC M": (36, 0.5), "CIRC": (44, 0.5), "SPIC": (46, 0.55), "MISC": (40, 0.45)}
RADII |= {"ARCH": (57, 0.4), "ASYM": (46, 0.5)}
# Body of a lesion: its radius and softness as shares of the circle's, grey levels above the tissue
BODIES = {"CIRC": (0.82, 0.04, 30), "SPIC": (0.36, 0.1, 34), "MISC": (0.55, 0.16, 26), "ARCH": (0.15, 0.2, 5)}
BODIES |= {"ASYM": (0.66, 0.12, 24)}
WIDTHS = (400, 512, 650, 1000)  # of mini-MIAS's scans, and their shares by tissue
SHARES = {"F": (0.04, 0.21, 0.55, 0.20), "G": (0.17, 0.41, 0.40, 0.02), "D": (0.25, 0.32, 0.41, 0.02)}


@dataclass(frozen=True)
class Finding:
    """One row of Info.txt; the circle, where there is one, in the frame with the chest wall at x = 0."""

    kind: str
    severity: str
    mark: str = ""  # "*": spread over the film, "-": without a circle in the file
    x: int = 0
    y: int = 0
    radius: int = 0


@dataclass(frozen=True)
class Breast:
    """What is known of a breast before it is drawn."""

    tissue: str
    skin: np.ndarray  # (1024,) x of the skin, by row
    muscle: np.ndarray  # (1024,) x of the pectoral's edge, by row
    nipple: tuple[float, float]
    width: int  # of the scan
    fat: float  # grey level
    level: float  # of glandular tissue, above fat
    extent: float  # of glandular tissue, as a share of the breast


def deal(seed: int, women: int) -> list[tuple[str, list[Finding], list[Finding]]]:
    """Tissue and findings without circles, right and left, of each woman: every 161 women make mini-MIAS's table.

    Classes are spread evenly over the 161, and the awkward women come second, fourth, ..., so that few women have all
    sorts. More women only append.
    """
    dealt: list[tuple[str, list[Finding], list[Finding]]] = []
    for deck in range(-(-women // DECK)):
        rng = np.random.default_rng([seed, 0, deck])
        cards: list[tuple[float, str]] = []
        for kind, tissues in PLAIN.items():
            group = [part[0] for part in tissues.split() for _ in range(int(part[1:]))]
            for place, tissue in enumerate(rng.permutation(group)):
                finding = "" if kind == "NORM" else kind
                sides = (finding, "") if rng.random() < 0.5 else ("", finding)
                cards.append(((place + rng.random()) / len(group), f"{tissue}: {sides[0]} | {sides[1]}"))
        order = [card for _, card in sorted(cards)]
        for place, card in enumerate(AWKWARD):
            order.insert(2 * place + 1, card)
        dealt += [read_card(card) for card in order]
    return dealt[:women]


def read_card(card: str) -> tuple[str, list[Finding], list[Finding]]:
    """Tissue, right and left findings from a line such as those of `AWKWARD`."""
    right, left = ([Finding(*row.split()) for row in side.split(",") if row.strip()] for side in card[2:].split("|"))
    return card[0], right, left


def anatomy(seed: int, woman: int, side: int, tissue: str) -> Breast:
    """One of a woman's two breasts: hers, with small differences."""
    hers, own = np.random.default_rng([seed, woman]), np.random.default_rng([seed, woman, side])
    scan = int(hers.choice(4, p=SHARES[tissue]))
    width = WIDTHS[scan] + int(hers.integers(0, 3))
    fat = {"F": 138, "G": 124, "D": 117}[tissue] + 9 * hers.standard_normal() + 2 * own.standard_normal()
    mean, spread, low, high = {"F": (26, 6, 0.3, 0.55), "G": (52, 8, 0.5, 0.8), "D": (70, 9, 0.6, 0.95)}[tissue]
    level, extent = mean + spread * hers.standard_normal(), hers.uniform(low, high)
    shape = hers.uniform([0.82, 470, 880, 0.28, 1.2, 0.5, 300], [0.94, 640, 1000, 0.58, 2.4, 0.85, 620])
    shape[:4] += np.array([0, 30, 110, 0.16]) * max(scan - 1, 0)  # wide scans show large breasts, which reach the edges
    reach, middle, foot, top, hollow, across, down = shape * (1 + 0.02 * own.standard_normal(7))
    y = np.arange(SIDE_PX)
    above = np.sin(np.pi / 2 * np.clip(y / middle, 0, 1)) ** hollow
    below = np.sqrt(1 - np.clip((y - middle) / (foot - middle), 0, 1) ** 2.2)
    skin = width * min(reach, 0.95) * np.where(y < middle, top + (1 - top) * above, below)
    muscle = across * skin[0] * (1 - np.clip(y / down, 0, 1) ** own.uniform(0.9, 1.5)) - 60 * (y > down)
    nipple = (float(skin[int(middle)]), float(middle))
    skin += np.exp(-(((y - middle - 12) / 15) ** 2)) * own.uniform(0, 14)
    return Breast(tissue, skin, muscle, nipple, width, fat, level, extent)


@lru_cache(maxsize=32)
def gain(rows: int, columns: int, slope: float) -> np.ndarray:
    """Amplitudes, (rows, columns // 2 + 1) float32, whose power falls with frequency ** -slope."""
    square = (fft.fftfreq(rows) ** 2)[:, None] + fft.rfftfreq(columns) ** 2
    square[0, 0] = np.inf
    return (square ** (-slope / 4)).astype(np.float32)


def noise(rng: np.random.Generator, height: int, width: int, slope: float) -> np.ndarray:
    """A field of (height, width) float32, mean 0 and deviation 1, whose power falls with frequency ** -slope."""
    rows, columns = fft.next_fast_len(height, real=True), fft.next_fast_len(width, real=True)
    amplitude = gain(rows, columns, slope)
    white = rng.standard_normal((2, *amplitude.shape), dtype=np.float32)
    field = fft.irfft2((white[0] + 1j * white[1]) * amplitude, s=(rows, columns))[:height, :width]
    return (field - field.mean()) / field.std()


def ridges(field: np.ndarray, width: float) -> np.ndarray:
    """Lines, 0 to 1, where a field crosses zero."""
    return 1 / (1 + (field / width) ** 2)


def sigmoid(field: np.ndarray) -> np.ndarray:
    """From 0 to 1, half at 0."""
    return 0.5 + 0.5 * np.tanh(field / 2)


def strands(rng: np.random.Generator, breast: Breast, count: int) -> np.ndarray:
    """Ducts, vessels and ligaments, (1024, width) float32, 0 to 1: random walks that head for the nipple."""
    start = rng.uniform([-80, 60], [breast.nipple[0], SIDE_PX], (count, 2))
    ahead = np.array([breast.nipple[0] + 60, breast.nipple[1]]) - start
    turns = np.cumsum(rng.normal(0, 0.10, (count, 60)), axis=1) + rng.normal(0, 0.45, (count, 1))
    angle = np.arctan2(ahead[:, 1], ahead[:, 0])[:, None] + turns
    walks = start[:, None] + np.cumsum(7 * np.stack([np.cos(angle), np.sin(angle)], axis=-1), axis=1)
    canvas = np.zeros((2, SIDE_PX, breast.width), np.uint8)
    for walk in walks:
        layer = int(rng.random() < 0.25)
        points = np.int32(8 * walk[: rng.integers(10, 61)])
        grey = int(255 * rng.uniform(0.15, 1) ** 1.5)
        cv2.polylines(canvas[layer], [points], False, grey, 1 + 2 * layer, cv2.LINE_AA, 3)
    fine, broad = (cv2.GaussianBlur(layer.astype(np.float32), (0, 0), s) for layer, s in zip(canvas, (0.9, 2.2), strict=True))
    return (fine + 0.8 * broad) / 255


def texture(rng: np.random.Generator, breast: Breast, depth: np.ndarray) -> np.ndarray:
    """Grey levels above the fat's, (1024, width): glandular tissue, strands towards the nipple, texture, muscle."""
    y, x = np.mgrid[:SIDE_PX, : breast.width].astype(np.float32)
    nipple_x, nipple_y = breast.nipple
    coarse = noise(rng, SIDE_PX // 8, SIDE_PX // 8, 3.2)
    slow = cv2.resize(coarse, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)[:, : breast.width]
    distance, angle = cv2.cartToPolar(x - nipple_x - 60, y - nipple_y)  # fibres meet a little in front of the nipple
    across, along = angle * 260 + 40 * slow, distance * 0.45 + 25 * slow
    strand, other = (
        cv2.remap(noise(rng, 512, 512, 2.8), across, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP) for _ in "ab"
    )
    grain = noise(rng, SIDE_PX, breast.width, 2.9)

    reach = breast.extent * nipple_x
    behind, beside = (nipple_x - 20 - 0.55 * reach - x) / (0.6 * reach), (y - nipple_y + 25) / (0.5 * reach + 90)
    form = 1 - np.sqrt(behind**2 + beside**2) + 0.3 * slow + 0.16 * strand + 0.1 * grain
    inside = sigmoid((depth - 28) / 7)
    gland = sigmoid(form / 0.12) * inside
    fibres = ridges(strand - 0.3, 0.14) * sigmoid(3 * other) + ridges(other + 0.2, 0.1) * sigmoid(3 * grain)
    grey = breast.level * gland * (0.92 + 0.17 * strand + 0.09 * grain)
    grey += inside * (9 * fibres * (0.3 + gland) + 18 * strands(rng, breast, 170) + 4 * grain + 3 * slow)
    muscle = sigmoid((breast.muscle[:, None] + 6 * slow - x) / 5)
    return grey * (1 - 0.75 * muscle) + muscle * (196 - breast.fat + 5 * slow + 0.1 * (breast.muscle[:, None] - x))


def place(rng: np.random.Generator, breast: Breast, depth: np.ndarray, findings: list[Finding]) -> list[Finding]:
    """The findings with their circles: within the breast, off the muscle, apart from each other."""
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


def add_lesion(rng: np.random.Generator, grey: np.ndarray, finding: Finding, radius: int) -> None:
    """Draws a finding into the grey levels (1024, width)."""
    reach = int(1.3 * radius) + 3
    rows, columns = (slice(max(at - reach, 0), at + reach + 1) for at in (finding.y, finding.x))
    part = grey[rows, columns]
    y, x = np.mgrid[rows, columns][:, : part.shape[0], : part.shape[1]].astype(np.float32)
    distance, angle = cv2.cartToPolar((x - finding.x) / radius, (y - finding.y) / radius)
    worse = finding.severity == "M"
    waves = np.arange(2, 8)
    phase, height = rng.uniform(0, 2 * np.pi, 6), rng.normal(0, 0.22 if worse else 0.1, 6) / waves**0.5
    core, softness, level = BODIES[finding.kind]
    edge = core * (1 + sum(h * np.cos(k * angle + p) for k, h, p in zip(waves, height, phase, strict=True)))
    grain = noise(rng, *part.shape, 3.0)
    if finding.kind == "ARCH":  # tissue pulled in
        pull = 1 + 0.9 * np.exp(-2.5 * distance**2)
        corner = columns.start, rows.start
        pulled = [np.float32(at + (c - at) * pull - o) for at, c, o in zip((finding.x, finding.y), (x, y), corner, strict=True)]
        part[:] = cv2.remap(part.copy(), *pulled, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    body = sigmoid((edge - distance) / softness) * level * rng.uniform(0.8, 1.2) * (1.2 if worse else 1)
    body *= 1 + (0.3 if finding.kind in ("ASYM", "MISC") else 0.1) * grain
    if finding.kind in ("SPIC", "ARCH"):
        canvas = np.zeros(part.shape, np.uint8)
        for turn in rng.uniform(0, 2 * np.pi, rng.integers(24, 40) if worse else rng.integers(14, 24)):
            far = np.linspace(0.05, rng.uniform(0.6, 1.05), 8)
            bend = turn + far * rng.normal(0, 0.2)
            spoke = np.stack([finding.x - columns.start + radius * far * np.cos(bend), finding.y - rows.start + radius * far * np.sin(bend)], -1)
            cv2.polylines(canvas, [np.int32(8 * spoke)], False, int(rng.integers(90, 256)), 1, cv2.LINE_AA, 3)
        spokes = cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), 0.8 + radius / 90) / 255
        body += (30 + radius / 4) * spokes * np.clip(1.25 - distance, 0, 1)
    part += body * sigmoid((1.08 - distance) / 0.04)


def add_specks(rng: np.random.Generator, grey: np.ndarray, points: np.ndarray, worse: bool, largest: float) -> None:
    """Draws calcifications at points (n, 2) into the grey levels: round and large, or fine and irregular."""
    canvas = np.zeros(grey.shape, np.uint8)
    for point in points:
        if worse:
            end = point + rng.normal(0, 1.1, 2)
            cv2.line(canvas, np.int32(8 * point), np.int32(8 * end), int(rng.integers(120, 256)), 1, cv2.LINE_AA, 3)
        else:
            size = rng.uniform(0.5, 1) * largest
            cv2.circle(canvas, np.int32(8 * point), int(8 * size), int(rng.integers(150, 256)), -1, cv2.LINE_AA, 3)
    grey += cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), 0.6) * (0.4 if worse else 0.33)


def add_findings(rng: np.random.Generator, grey: np.ndarray, breast: Breast, depth: np.ndarray, findings: list[Finding]) -> None:
    """Draws a film's findings into its grey levels (1024, width)."""
    for finding in findings:
        worse = finding.severity == "M"
        if finding.mark == "*":
            rows, columns = ((depth > 45) & (np.arange(breast.width) > breast.muscle[:, None] + 20)).nonzero()
            points = np.stack([columns, rows], -1)[rng.integers(0, len(rows), rng.integers(80, 160))].astype(float)
            add_specks(rng, grey, points, worse, 1.6)
        elif finding.kind == "CALC":
            count = rng.integers(12, 40) if worse else rng.integers(2, 3 + finding.radius // 3)
            off = rng.normal(0, 0.4, (count, 2))
            off *= np.minimum(1, 0.8 / np.hypot(*off.T))[:, None] * finding.radius
            add_specks(rng, grey, off + (finding.x, finding.y), worse, min(2.6, 0.35 * finding.radius))
        else:
            add_lesion(rng, grey, finding, finding.radius)


def add_artefacts(rng: np.random.Generator, grey: np.ndarray, breast: Breast, side: int) -> None:
    """Draws plates, letters, strips, scratches and dust, each on its share of films, where the breast is not."""
    outer = max(breast.width - 120, int(breast.skin[:140].max()) + 12)
    plate, faint, strip, tape, scratch = rng.random(5) < (0.4, 0.6, 0.15, 0.12, 0.12)
    mark = np.zeros((150, 130), np.uint8)
    ink = 235
    if plate:
        cv2.rectangle(mark, (20, 25), (100, 130), int(rng.integers(228, 246)), -1)
        ink = 25
    elif faint:
        ink = int(rng.integers(50, 150))
    if plate or faint:
        for line, text in enumerate((" LR"[-side] if False else "RL"[side - 1], rng.choice(["ML", "MLO", "OBL"]))):
            cv2.putText(mark, str(text), (42 - 14 * line, 70 + 45 * line), cv2.FONT_HERSHEY_DUPLEX, 1.1, ink, 2, cv2.LINE_AA)
        if rng.random() < 0.6:
            mark = mark[:, ::-1]
        turn = cv2.getRotationMatrix2D((65, 75), rng.normal(0, 4), 1)
        turn[1, 2] -= rng.integers(0, 60)
        mark = cv2.warpAffine(mark, turn, mark.shape[::-1])
        part = grey[: len(mark), outer : outer + mark.shape[1]]
        np.maximum(part, mark[:, : part.shape[1]], out=part)
    if strip:
        grey[:, breast.width - rng.integers(3, 30) :] = rng.integers(150, 246)
    if tape:
        grey[: rng.integers(2, 6)] = rng.integers(60, 230)
    if scratch:
        grey[rng.integers(0, 900) :, rng.integers(0, breast.width)] += 22
    y, x = rng.integers(0, SIDE_PX, rng.poisson(6)), rng.integers(0, breast.width)
    grey[y, (x + 7 * y) % breast.width] += rng.uniform(20, 90)


def draw(seed: int, woman: int, side: int, tissue: str, findings: list[Finding]) -> tuple[np.ndarray, list[Finding]]:
    """A film, (1024, 1024) uint8, of a woman's right (1) or left (2) breast, and its findings with circles."""
    breast = anatomy(seed, woman, side, tissue)
    rng, lesions, artefacts = np.random.default_rng([seed, woman, side, 1]).spawn(3)
    inside = (np.arange(breast.width) < breast.skin[:, None]).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    grey = breast.fat + texture(rng, breast, depth)
    placed = place(lesions, breast, depth, findings)
    add_findings(lesions, grey, breast, depth, placed)
    base = rng.uniform(3, 16)
    grey = base + grey * (1 - np.exp(-((depth / 46) ** 1.35)))  # the breast thins out towards the skin
    grey = np.where(grey > 170, 170 + 62 * np.tanh((grey - 170) / 62), grey)  # the film's shoulder
    add_artefacts(artefacts, grey, breast, side)
    grey += 1.5 * rng.standard_normal(grey.shape, dtype=np.float32)
    film = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    left = (SIDE_PX - breast.width) // 2
    film[:, left : left + breast.width] = np.clip(grey, 1, 255)
    placed = [replace(finding, x=finding.x + left) for finding in placed]
    if side == 2:
        return film, placed
    return np.ascontiguousarray(film[:, ::-1]), [replace(finding, x=SIDE_PX - 1 - finding.x) for finding in placed]
