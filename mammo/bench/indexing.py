"""A program that writes an archive like RSNA's with tiny films (`write FOLDER FILMS`), and indexes it (`index FOLDER`).

The latter prints one line of JSON: the seconds of a first `findings`, which reads the header of each film, and of a
second one, which finds the headers remembered.
"""

import csv
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian

from mammo.archives.rsna import KEPT, NEEDED, RSNA
from mammo.datasets.example import write_dicom

FILMS, PATIENTS = RSNA.published["images"], RSNA.published["patients"]
SIDE_PX = 16
UID = "1.2.826.0.1.3680043.8.498.1"  # below pydicom's own root
# Numbers of the first film and patient; all others have as many digits, so that one file becomes the next
FIRST, FIRST_PATIENT = 10**9, 200_000


def write(folder: Path, films: int) -> None:
    """Write `train.csv` and the films: one file, in which patient, side and the numbers of the film are replaced.

    Args:
        folder: A folder that does not exist.
        films: The number of films; patients are in proportion to those of the archive.
    """
    patients = max(films * PATIENTS // FILMS, 1)
    (folder / "train_images").mkdir(parents=True)
    old, rng = (str(FIRST), str(FIRST_PATIENT)), np.random.default_rng(0)
    content = {side: _film(folder / "one.dcm", side, *old) for side in "LR"}
    cancer, biopsy, birads = rng.random(patients) < 0.04, rng.random(patients) < 0.05, rng.integers(0, 4, patients)
    with (folder / "train.csv").open("w", newline="") as file:
        rows = csv.DictWriter(file, [*NEEDED, *KEPT, "invasive", "density"])
        rows.writeheader()
        for film in range(films):
            of = film * patients // films
            image, patient, side = FIRST + film, FIRST_PATIENT + of, "LR"[film % 2]
            ill = side == "L" and cancer[of]
            rows.writerow({
                "patient_id": patient, "image_id": image, "laterality": side, "view": ("CC", "MLO")[film // 2 % 2],
                "cancer": int(ill), "biopsy": int(ill or biopsy[of]), "BIRADS": ("", "0.0", "1.0", "2.0")[birads[of]],
                "site_id": 1 + of % 2, "age": 40 + of % 40, "implant": 0, "machine_id": 49, "density": "ABCD"[of % 4],
                "difficult_negative_case": False, "invasive": int(ill),
            })  # fmt: skip
            here = folder / "train_images" / str(patient)
            here.mkdir(exist_ok=True)
            data = (
                content[side]
                .replace(old[0].encode(), str(image).encode())
                .replace(old[1].encode(), str(patient).encode())
            )
            (here / f"{image}.dcm").write_bytes(data)


def _film(path: Path, side: str, image: str, patient: str) -> bytes:
    """Return the bytes of a film."""
    pixels = (np.arange(SIDE_PX**2, dtype=np.uint16) * 16 % 4096).reshape(SIDE_PX, SIDE_PX)
    facts: dict[str, Any] = {"PatientID": patient, "ImageLaterality": side, "ViewPosition": "MLO"}
    facts |= {"VOILUTFunction": "SIGMOID", "WindowCenter": [1500, 1000], "WindowWidth": [3000, 2000]}
    facts |= {"SOPInstanceUID": f"{UID}.{image}", "StudyInstanceUID": f"{UID}.{patient}"}
    write_dicom(path, pixels, ExplicitVRLittleEndian, **facts)
    content = path.read_bytes()
    path.unlink()
    return content


def index(folder: Path) -> float:
    """Return the seconds of the findings of the archive in a folder."""
    start = time.perf_counter()
    RSNA(root=str(folder)).findings()
    return time.perf_counter() - start


def main(work: str, folder: str, films: str = str(FILMS)) -> None:
    """Write or index the archive in a folder."""
    if work == "write":
        write(Path(folder), int(films))
    else:
        sys.stdout.write(json.dumps({"first": index(Path(folder)), "again": index(Path(folder))}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
