"""A made data set that is not MIAS: four views a patient, two sizes, 12-bit grey in 16, boxes and masks, no circles."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from mammo.datasets.film import Film, read_film

UID = "1.2.840.113619.2.5"
SIZES = ((260, 200), (240, 220))
SPACING_MM = (0.07, 0.1, None)
VIEWS = [(laterality, view) for laterality in ("left", "right") for view in ("CC", "MLO")]
WHITE = 4095


class Clinic:
    """Films of patients who do not exist; every second one has a finding on the left breast."""

    name = "clinic"
    licence = "made for tests"
    citation = "none"

    def __init__(self, root: str, patients: int = 24) -> None:
        self.root, self.patients = Path(root), patients

    def prepare(self) -> None:
        if (self.root / "films").is_dir():
            return
        (self.root / "films").mkdir(parents=True)
        for row in self.findings().itertuples():
            pixels, box = self._drawn(row.image_id, row.laterality, row.finding != "NORM")
            cv2.imwrite(str(row.path), pixels)
            if pd.notna(row.mask_path):
                mask = np.zeros(pixels.shape, np.uint8)
                mask[box[1] : box[3] + 1, box[0] : box[2] + 1] = 255
                cv2.imwrite(str(row.mask_path), mask)

    def findings(self) -> pd.DataFrame:
        rows = []
        for patient in range(self.patients):
            for number, (laterality, view) in enumerate(VIEWS):
                image_id = f"{UID}.{patient}" + ".1" * number  # the UID of one is that of another and ".1"
                row = {
                    "dataset": self.name, "image_id": image_id, "finding_id": 0, "patient": f"P{patient:03d}",
                    "path": str(self.root / "films" / f"{image_id}.png"), "laterality": laterality, "view": view,
                    "finding": "NORM", "severity": "normal", "severity_source": "birads", "vendor": "acme",
                    "spacing_mm": SPACING_MM[patient % 3],
                }  # fmt: skip
                if patient % 2 and laterality == "left":
                    x0, y0, x1, y1 = self._box(image_id)
                    row |= {"finding_id": 1, "finding": "MASS", "severity": "malignant"}
                    if patient % 4 == 1:
                        row |= {"x0_px": x0, "y0_px": y0, "x1_px": x1, "y1_px": y1}
                    else:
                        row |= {"mask_path": str(self.root / "films" / f"{image_id}.mask.png")}
                    if patient % 12 == 11:
                        row["severity"] = None
                rows.append(row)
        return pd.DataFrame(rows)

    def read(self, image_id: str) -> Film:
        return read_film(self.root / "films" / f"{image_id}.png")

    def digest(self, image_id: str) -> str | None:
        return None

    def _box(self, image_id: str) -> tuple[int, int, int, int]:
        height, _ = self._size(image_id)
        return 50, height // 2 - 14, 79, height // 2 + 9

    def _size(self, image_id: str) -> tuple[int, int]:
        return SIZES[sum(image_id.encode()) % 2]

    def _drawn(self, image_id: str, laterality: str, ill: bool) -> tuple[np.ndarray, tuple[int, int, int, int]]:
        """A half ellipse on a dark ground, brighter where its finding is; a right one is mirrored with its box."""
        height, width = self._size(image_id)
        rng = np.random.default_rng(list(image_id.encode()))
        down, across = np.mgrid[:height, :width]
        breast = (across / (0.7 * width)) ** 2 + ((down - height / 2) / (0.45 * height)) ** 2 <= 1
        grey = np.where(breast, 1800 + 200 * np.sin(down / 9) + rng.normal(0, 60, breast.shape), 40)
        box = self._box(image_id)
        if ill:
            grey[box[1] : box[3] + 1, box[0] : box[2] + 1] += 1500
        if laterality == "right":
            grey = grey[:, ::-1]
        return grey.clip(0, WHITE).astype(np.uint16), box
