"""A fake of CMMD in its names and columns: invented women, one for each oddity, and enough to train on.

By hand: `python -m tests.archives.fake_cmmd FOLDER`.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from mammo.datasets.example import write_dicom
from tests.archives.films import write_text
from tests.archives.sketches import sketch

COLUMNS = ["ID1", "LeftRight", "Age", "number", "abnormality", "classification", "subtype"]
# A breast of each oddity; the women do not exist
ODD = [
    ("D1-9001", "R", 51, 2, "mass", "Benign", ""),  # her left breast has films, and no row
    ("D1-9002", "L", 47, 2, "both", "Malignant", ""),
    ("D1-9002", "R", 47, 2, "calcification", "Benign", ""),
    ("D2-9003", "L", 63, 2, "mass", "Malignant", "Luminal A"),  # the MLO comes first; 16 bits
    ("D1-9004", "R", 58, 2, "mass", "Benign", ""),  # a right breast in 1-1 and 1-2
    ("D1-9005", "L", 39, 2, "calcification", "Malignant", "triple negative"),  # one header names no side
    ("D1-9006", "R", 60, 2, "mass", "Malignant", ""),  # no film
    ("D1-9007", "L", 44, 2, "mass", "Benign", ""),  # one film
    ("D1-9008", "R", 71, 2, "both", "Benign", ""),  # no folder of her own: PatientID alone names her
    ("D1.5-9002", "R", 47, 2, "calcification", "Benign", ""),  # how a re-pack names a woman's second breast
]  # fmt: skip
FILMS = {  # side and view of 1-1, 1-2, ...
    "D1-9001": ["L CC", "L MLO", "R CC", "R MLO"],
    "D1-9002": ["L CC", "L MLO", "R CC", "R MLO"],
    "D2-9003": ["L MLO", "L CC"],
    "D1-9004": ["R MLO", "R CC"],
    "D1-9005": ["L CC", "- MLO"],
    "D1-9007": ["L CC"],
    "D1-9008": ["R CC", "R MLO"],
}
EACH = 14  # ordinary women of each class
VIEWS = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}


def table() -> pd.DataFrame:
    """Return the clinical table."""
    ordinary = [
        (f"D1-{9100 + number}", "LR"[number // 2 % 2], 40 + number, 2, ("mass", "calcification")[number % 4 // 2],
         ("Benign", "Malignant")[number % 2], "")
        for number in range(2 * EACH)
    ]  # fmt: skip
    return pd.DataFrame([*ODD, *ordinary], columns=COLUMNS)


def write(folder: Path) -> Path:
    """Write the archive; return its folder."""
    (folder / "CMMD").mkdir(parents=True)
    rows = table()
    rows.to_excel(folder / "CMMD_clinicaldata_revision.xlsx", index=False)
    write_text(folder / "metadata.csv", "Subject ID,File Location\nD1-9001,.\\CMMD\\D1-9001\\07-18-2010-11111\n")
    ill = {(one.ID1, one.LeftRight) for one in rows.itertuples() if one.classification == "Malignant"}
    films = FILMS | {one.ID1: [f"{one.LeftRight} CC", f"{one.LeftRight} MLO"] for one in rows[len(ODD) :].itertuples()}
    for patient, of in films.items():
        series = folder / "CMMD" / patient / f"07-18-2010-{patient[3:]}1" / "1.000000-22222"
        series = folder / "CMMD" / "1.3.6.1.4.1.14519.5.2.1.9008" if patient == "D1-9008" else series
        series.mkdir(parents=True)
        for number, words in enumerate(of, start=1):
            side, view = words.split()
            _film(series / f"1-{number}.dcm", patient, side, view, number, ill=(patient, side) in ill)
    write_text(folder / "CMMD" / "D1-9001" / "._1-1.dcm", "of a Mac")
    _film(folder / "CMMD" / "test.dcm", "QC", "L", "CC", 1, ill=False)
    return folder


def _film(path: Path, patient: str, side: str, view: str, number: int, *, ill: bool) -> None:
    seed = 10 * int("".join(filter(str.isdigit, patient)) or 7) + number
    pixels, _ = sketch(seed, "right" if side == "R" else "left", ill)
    wide = patient == "D2-9003"  # 16 bits
    code, view_of = Dataset(), VIEWS[view]
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = view_of[0], "SCT", view_of[1]
    window = (32768, 65536) if wide else (128, 256)
    facts = {
        "PatientID": patient, "ImageLaterality": None if side == "-" else side, "ViewCodeSequence": [code],
        "ImagerPixelSpacing": [0.094090909, 0.094090909], "Manufacturer": "", "VOILUTFunction": "SIGMOID",
        "WindowCenter": window[0], "WindowWidth": window[1],
        "PatientOrientation": ["P", "L"] if side == "R" else ["A", "R"],
    }  # fmt: skip
    stored = pixels * 16 if wide else (pixels // 16).astype(np.uint8)
    write_dicom(path, stored, ExplicitVRLittleEndian, bits=16 if wide else 8, **facts)


if __name__ == "__main__":
    sys.stdout.write(f"{write(Path(sys.argv[1]))}\n")
