"""The drawing of a phantom film: texture, lesions and artefacts. The seed determines every pixel.

Lengths are in pixels of 0.2 mm, grey levels from 0 to 255. A breast is drawn with its chest wall at x = 0, and
mirrored for the films of right breasts.
"""

from dataclasses import replace

import cv2
import numpy as np

from mammo.drawing.anatomy import SIDE_PX, Breast, anatomy, depth_of
from mammo.drawing.lesions import Finding, add_findings
from mammo.drawing.noise import Rng, noise, ridges, sigmoid


def strands(rng: Rng, breast: Breast) -> np.ndarray:
    """Return 240 ducts, vessels and ligaments as random walks to the nipple, (1024, width) float32, 0 to about 1."""
    start = rng.uniform([-80, 60], [breast.nipple[0], SIDE_PX], (240, 2))
    ahead = np.array([breast.nipple[0] + 60, breast.nipple[1]]) - start
    turns = np.cumsum(rng.normal(0, 0.10, (240, 60)), axis=1) + rng.normal(0, 0.45, (240, 1))
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
    lines = (52 - 0.4 * breast.level) * strands(rng, breast) * sigmoid(2 * slow + 0.5)  # most visible in fat
    grey += inside * (7 * fibres * (0.8 + 0.5 * gland) + lines)
    grey += 5.5 * grain + 4 * slow
    muscle = sigmoid((breast.muscle[:, None] + 4 * bend - x) / 5)
    over = breast.chest - breast.fat + 4 * slow + 0.12 * (breast.muscle[:, None] - x)
    return grey * (1 - 0.6 * muscle) + muscle * over


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


def streams(seed: int, patient: int, side: int) -> list[Rng]:
    """Return the rngs of a breast: of its tissue, its lesions, and the film's artefacts."""
    return np.random.default_rng([seed, patient, side, 1]).spawn(3)


def scene(
    seed: int, patient: int, side: int, tissue: str, findings: list[Finding]
) -> tuple[Breast, np.ndarray, np.ndarray, list[Finding], tuple[Rng, Rng]]:
    """Return a breast, depth below its skin and grey levels (1024, width), findings, rngs of grain and artefacts."""
    breast = anatomy(seed, patient, side, tissue)
    rng, lesions, artefacts = streams(seed, patient, side)
    depth = depth_of(breast)
    grey = breast.fat + texture(rng, breast, depth)
    placed, _ = add_findings(lesions, grey, findings, breast, depth)
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


def film_masks(seed: int, patient: int, side: int, tissue: str, findings: list[Finding]) -> list[np.ndarray]:
    """Return the extent of each finding on the film of `draw`, (1024, 1024) bool, without drawing the film."""
    breast, extents = extents_of(seed, patient, side, tissue, findings)
    left = (SIDE_PX - breast.width) // 2
    masks = np.zeros((len(extents), SIDE_PX, SIDE_PX), bool)
    for mask, extent in zip(masks, extents, strict=True):
        mask[:, left : left + breast.width] = extent
    return list(masks[..., ::-1] if side == 1 else masks)


def breast_mask(seed: int, patient: int, side: int, tissue: str) -> np.ndarray:
    """Return the breast on the film of `draw`, muscle included, (1024, 1024) bool, without drawing the film."""
    breast = anatomy(seed, patient, side, tissue)
    left, mask = (SIDE_PX - breast.width) // 2, np.zeros((SIDE_PX, SIDE_PX), bool)
    mask[:, left : left + breast.width] = np.arange(breast.width) < breast.skin[:, None]
    return mask[:, ::-1] if side == 1 else mask


def extents_of(
    seed: int, patient: int, side: int, tissue: str, findings: list[Finding]
) -> tuple[Breast, list[np.ndarray]]:
    """Return the breast of `scene` and the extents of its findings, (1024, width) bool, which no tissue decides."""
    breast = anatomy(seed, patient, side, tissue)
    blank = np.zeros((SIDE_PX, breast.width), np.float32)
    _, lesions, _ = streams(seed, patient, side)
    return breast, add_findings(lesions, blank, findings, breast, depth_of(breast))[1]
