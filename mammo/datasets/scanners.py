"""The phantom as other machines show it: the same drawing, exposed on a CR plate or a digital detector, as DICOM.

Lengths are in millimetres unless a name ends in `_px`; shares of white are from 0 to 1.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, generate_uid

from mammo.datasets.dicom_file import write_dicom
from mammo.datasets.film import pixel_digest
from mammo.datasets.findings import findings_table
from mammo.datasets.mias_info import SEVERITIES, SIDE_PX, SPACING_MM
from mammo.drawing.anatomy import Breast
from mammo.drawing.films import extents_of, scene
from mammo.drawing.lesions import Finding
from mammo.drawing.noise import Rng


@dataclass(frozen=True)
class Scanner:
    """The properties of a machine that make its films look different.

    Attributes:
        number: Of the machine, from which its patients are drawn.
        spacing_mm: Side of a pixel.
        bits: Bits of a grey level.
        inverted: True writes MONOCHROME1, whose lowest level is white.
        syntax: The transfer syntax of its files.
        plates_mm: The widths of its image plates; the smallest one is taken on which the breast fits.
        contrast: The drawn levels above fat that become middle grey, as a machine finds them on each film; and the
            levels that it takes to lighten it clearly.
        span: The shares of white of the darkest and the brightest tissue, above air.
        skin_mm: The depth below the skin at which the breast has lost its darkness; film needs 10.
        detail: The gain of detail, and the size below which something is detail.
        fog: The share of white of air.
        blur_mm: The deviation of the machine's blur.
        grain: The deviation of grain as a share of white, and its blur in pixels.
        lines: The deviation between columns as a share of white, as laser read-out leaves it.
    """

    number: int
    spacing_mm: float
    bits: int
    inverted: bool
    syntax: str
    plates_mm: tuple[float, ...]
    contrast: tuple[float, float]
    span: tuple[float, float]
    skin_mm: float
    detail: tuple[float, float]
    fog: float
    blur_mm: float
    grain: tuple[float, float]
    lines: float


SCANNERS = {
    "cr": Scanner(
        number=1, spacing_mm=0.175, bits=10, inverted=True, syntax=ExplicitVRLittleEndian, plates_mm=(140, 205),
        contrast=(14, 60), span=(0, 0.95), skin_mm=6, detail=(0.9, 3), fog=0.09, blur_mm=0.17, grain=(0.022, 0.7),
        lines=0.004,
    ),
    "dr": Scanner(
        number=2, spacing_mm=0.14, bits=12, inverted=False, syntax=JPEGLSLossless, plates_mm=(140, 205),
        contrast=(28, 28), span=(0.18, 0.95), skin_mm=3, detail=(0.35, 6), fog=0, blur_mm=0, grain=(0.012, 0), lines=0,
    ),
}  # fmt: skip


def stream(seed: int, scanner: str) -> int:
    """Return the seed of a machine's patients, so that machines of one `film_seed` show different ones."""
    return int(np.random.SeedSequence([seed, SCANNERS[scanner].number]).generate_state(1, np.uint64)[0])


def expose(
    scanner: Scanner, seed: int, patient: int, side: int, tissue: str, findings: list[Finding]
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Draw a patient's right (side 1) or left (2) breast as a machine shows it.

    Returns:
        The levels, (height, width) uint16, white being the largest, and a row of the findings table for each finding.
    """
    breast, depth, grey, placed, (rng, artefacts) = scene(seed, patient, side, tissue, findings)
    (middle, softness), (low, high), (gain, size) = scanner.contrast, scanner.span, scanner.detail
    dense = 1 / (1 + np.exp((breast.fat + middle - grey.astype(np.float32)) / softness))
    dense += gain * (dense - cv2.GaussianBlur(dense, (0, 0), size / SPACING_MM))
    thick = 1 - np.exp(-((depth * np.float32(SPACING_MM / scanner.skin_mm)) ** np.float32(1.2)))
    shown = (low + (high - low) * dense) * thick
    factor = SPACING_MM / scanner.spacing_mm
    height, width, across = size_of(scanner, breast)
    levels = np.full((height, width), scanner.fog, np.float32)
    levels[:, :across] += cv2.resize(shown, (across, height), interpolation=cv2.INTER_CUBIC)
    if scanner.blur_mm:
        levels = cv2.GaussianBlur(levels, (0, 0), scanner.blur_mm / scanner.spacing_mm)
    levels += _grain(rng, scanner, levels)
    if side == 1:
        levels = np.ascontiguousarray(levels[:, ::-1])
    _add_letters(artefacts, levels, side, soft=scanner.fog > 0)
    stored = np.rint(levels.clip(0, 1) * (2**scanner.bits - 1)).astype(np.uint16)
    rows = []
    for number, finding in enumerate(placed, start=1):
        severity = SEVERITIES[finding.severity]
        row: dict[str, Any] = {"finding_id": number, "finding": finding.kind, "severity": severity}
        if not finding.mark:
            x = (finding.x + 0.5) * factor - 0.5
            y = (finding.y + 0.5) * factor - 0.5
            row |= {"x_px": width - 1 - x if side == 1 else x, "y_px": y, "radius_px": finding.radius * factor}
        rows.append(row)
    return stored, rows


def size_of(scanner: Scanner, breast: Breast) -> tuple[int, int, int]:
    """Return height and width of a machine's picture of a breast, and the width of the drawing on it, in pixels."""
    plate_mm = next(one for one in scanner.plates_mm if one >= breast.width * SPACING_MM)
    factor = SPACING_MM / scanner.spacing_mm
    return round(SIDE_PX * factor), round(plate_mm / scanner.spacing_mm), round(breast.width * factor)


def machine_masks(
    scanner: Scanner, seed: int, patient: int, side: int, tissue: str, findings: list[Finding]
) -> list[np.ndarray]:
    """Return the extent of each finding on the picture of `expose`, (height, width) bool, scaled as the picture is."""
    breast, extents = extents_of(seed, patient, side, tissue, findings)
    height, width, across = size_of(scanner, breast)
    masks = np.zeros((len(extents), height, width), bool)
    for mask, extent in zip(masks, extents, strict=True):
        scaled = cv2.resize(extent.astype(np.float32), (across, height), interpolation=cv2.INTER_LINEAR)
        mask[:, :across] = scaled >= 0.5
    return list(masks[..., ::-1] if side == 1 else masks)


def _grain(rng: Rng, scanner: Scanner, levels: np.ndarray) -> np.ndarray:
    """Return noise that is stronger where few rays arrive, (height, width) float32."""
    deviation, blur_px = scanner.grain
    noise = rng.standard_normal(levels.shape, dtype=np.float32)
    if blur_px:
        noise = cv2.GaussianBlur(noise, (0, 0), blur_px) * (2 * np.sqrt(np.pi) * blur_px)  # its deviation is 1 again
    noise *= deviation * np.sqrt(0.3 + levels)
    if not scanner.fog:
        noise[levels < 1 / 512] = 0  # the detector's program blackens air
    if scanner.lines:
        noise += scanner.lines * rng.standard_normal(levels.shape[1], dtype=np.float32)
    return noise


def _add_letters(rng: Rng, levels: np.ndarray, side: int, soft: bool) -> None:
    """Draw side and view into the air beside the breast: lead letters, which are soft, or those of a program."""
    text, high = f"{'RL'[side - 1]}MLO", levels.shape[0] // 34
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, levels.shape[0] / 1100
    (wide, _), _ = cv2.getTextSize(text, font, scale, 2)
    x = levels.shape[1] - wide - high if side == 2 else high
    y = high * int(rng.integers(2, 4))
    ink = np.zeros(levels.shape, np.uint8)
    cv2.putText(ink, text, (x, y), font, scale, 230, 3, cv2.LINE_AA)
    if soft:
        ink = cv2.GaussianBlur(ink, (0, 0), 1.2)
    np.maximum(levels, ink / np.float32(255), out=levels)


def write_films(folder: Path, name: str, seed: int, dealt: Iterable[tuple[str, list[Finding], list[Finding]]]) -> None:
    """Draw and write the films of a machine's patients as DICOM, with `findings.csv` and `manifest.csv` beside them."""
    scanner, table, digests = SCANNERS[name], list[dict[str, Any]](), ["image_id,sha256"]
    for number, (tissue, *breasts) in enumerate(dealt, start=1):
        patient = f"phantom_{name}-{number:03d}"
        exam = generate_uid(entropy_srcs=[patient, str(seed)])
        for side, findings in enumerate(breasts, start=1):
            levels, rows = expose(scanner, seed, number, side, tissue, findings)
            image_id = f"{patient}-{'RL'[side - 1]}"
            white = 2**scanner.bits - 1
            write_dicom(
                folder / f"{image_id}.dcm", white - levels if scanner.inverted else levels, scanner.syntax,
                inverted=scanner.inverted, bits=scanner.bits, PatientID=patient, StudyInstanceUID=exam,
                ImageLaterality="RL"[side - 1], ViewPosition="MLO", ImagerPixelSpacing=[scanner.spacing_mm] * 2,
                Manufacturer="mammo", ManufacturerModelName=f"phantom {name}",
            )  # fmt: skip
            digests.append(f"{image_id},{pixel_digest(levels)}")
            facts: dict[str, Any] = {"dataset": f"phantom_{name}", "image_id": image_id, "path": f"{image_id}.dcm"}
            facts |= {"patient": patient, "view": "MLO", "spacing_mm": scanner.spacing_mm}
            facts |= {"laterality": ("right", "left")[side - 1], "density": tissue, "severity_source": "unstated"}
            table += [facts | row for row in rows or [{"finding_id": 0, "finding": "NORM", "severity": "normal"}]]
    findings_table(table).to_csv(folder / "findings.csv", index=False)
    (folder / "manifest.csv").write_text("\n".join(digests) + "\n")
