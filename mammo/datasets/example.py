"""An example of a lab's own films: phantom films as DICOM, PNG and TIFF, with a table as a spreadsheet saves it."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from mammo.datasets.dicom_file import BITS, write_dicom
from mammo.datasets.film import write_picture
from mammo.datasets.phantom import Phantom
from mammo.errors import InputError

WORDS = {"normal": "gesund", "benign": "gutartig", "malignant": "bösartig"}
HEADER = ["PatientenNr", "Datei", "Seite", "Projektion", "Befund", "x", "y", "Radius", "Alter"]
# Kinds of files, in turns: suffix, transfer syntax of a DICOM file, MONOCHROME1
KINDS = [
    (".dcm", ExplicitVRLittleEndian, False),
    (".dcm", JPEG2000Lossless, False),
    (".dcm", RLELossless, True),
    (".png", None, False),
    (".dcm", JPEGLSLossless, False),
    (".tif", None, False),
]


def write_example(folder: Path, patients: int = 20, seed: int = 0) -> Path:
    """Write phantom films as a lab has them, and `films.csv` beside them: semicolons, a byte order mark, German words.

    The films have 12 bits. The table has a row per finding, or per image without one.

    Args:
        folder: A folder that does not exist, or is empty.
        patients: The number of patients, two films each.
        seed: The seed of the drawing.

    Returns:
        The path of the table.

    Raises:
        InputError: The folder has files.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is not empty; name a new folder, and nothing of yours is touched")
    phantom = Phantom(patients=patients, film_seed=seed)
    phantom.prepare()
    findings = phantom.findings()
    (folder / "films").mkdir(parents=True)
    names = {}
    for number, (image_id, rows) in enumerate(findings.groupby("image_id", sort=False)):
        row, (suffix, syntax, inverted) = rows.iloc[0], KINDS[number % len(KINDS)]
        side = str(row["laterality"])[0].upper()
        patient = f"P{number // 2 + 1:03d}"
        name = f"films/{patient}_{side}_MLO{suffix}"
        pixels = phantom.read(str(image_id)).pixels.astype(np.uint16) * (2**BITS // 256)
        path = folder / name
        if syntax is None:
            write_picture(path, pixels)
        else:
            exam = f"1.2.826.0.1.3680043.8.498.{number // 2 + 1}"  # below pydicom's own root
            tags = {"PatientID": patient, "StudyInstanceUID": exam, "ImageLaterality": side, "ViewPosition": "MLO"}
            write_dicom(path, 2**BITS - 1 - pixels if inverted else pixels, syntax, inverted=inverted, **tags)  # type: ignore[arg-type]
        names[image_id] = (patient, name, side, 40 + number // 2 * 7 % 40)
    table = folder / "films.csv"
    with table.open("w", encoding="utf-8-sig", newline="") as file:
        lines = csv.writer(file, delimiter=";")
        lines.writerow(HEADER)
        for _, row in findings.iterrows():
            patient, name, side, age = names[row["image_id"]]
            place = ["" if pd.isna(row[one]) else int(row[one]) for one in ("x_px", "y_px", "radius_px")]
            lines.writerow([patient, name, side, "MLO", WORDS[row["severity"]], *place, age])
    return table
