"""A fake of RSNA's archive in its names and columns: invented patients, one for each oddity, and enough to train on.

By hand: `python -m tests.archives.fake_rsna FOLDER`.
"""

import sys
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless

from mammo.datasets.example import write_dicom
from tests.archives.films import write_text
from tests.archives.sketches import LEVELS, sketch
from tests.formats.ways import SV1, by_gdcm

HEADER = (
    "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,density,machine_id,"
    "difficult_negative_case"
)
# A woman of each oddity; the numbers are those of no real patient
ODD = """\
2,900006,9000000001,L,CC,61.0,0,0,0,,0,,29,False
2,900006,9000000002,L,MLO,61.0,0,0,0,,0,,29,False
1,900025,9000000003,R,MLO,58.0,1,1,1,0.0,0,B,49,False
1,900025,9000000004,R,MLO,58.0,1,1,1,0.0,0,B,49,False
1,900025,9000000005,R,CC,58.0,1,1,1,0.0,0,B,49,False
1,900025,9000000006,L,CC,58.0,0,0,0,1.0,0,B,49,False
1,900025,9000000007,L,MLO,58.0,0,0,0,1.0,0,B,49,False
1,900025,9000000008,L,MLO,58.0,0,0,0,1.0,0,B,49,False
1,900031,9000000009,L,ML,,0,1,0,0.0,1,D,49,True
1,900031,9000000010,L,AT,,0,1,0,0.0,1,D,49,True
1,900031,9000000011,L,LM,,0,1,0,0.0,1,D,49,True
1,900031,9000000012,L,LMO,,0,1,0,0.0,1,D,49,True
1,900044,9000000013,R,CC,70.0,0,0,0,0.0,0,A,21,False
1,900044,9000000014,R,MLO,70.0,0,0,0,0.0,0,A,21,False
2,900051,9000000015,L,MLO,44.0,0,0,0,2.0,0,,48,False
2,900051,9000000016,R,MLO,44.0,0,0,0,2.0,0,,48,False
1,900060,9000000017,L,CC,50.0,0,1,0,2.0,0,C,21,False
1,900070,9000000018,R,CC,66.0,1,1,0,,0,C,21,False
1,900070,9000000019,R,MLO,66.0,0,0,0,,0,C,21,False
"""
ZERO, MISSING, STRAY, STUB = "9000000012", "9000000016", "900090/9000000099", "999001/1"
ORDINARY = {"normal": "0,0,0,1.0", "benign": "0,1,0,0.0", "malignant": "1,1,0,0.0"}  # cancer, biopsy, invasive, BIRADS
EACH = 13  # ordinary women of each kind
WINDOWS = {"WindowCenter": [1800, 2400, 1200], "WindowWidth": [3000, 3600, 2000]}


def table() -> str:
    """Return the content of train.csv."""
    rows = [
        f"{1 + number % 2},{910000 + number},{9100000000 + 10 * number + at},{side},{view},{40 + number},"
        f"{ORDINARY[kind] if side == 'L' else ORDINARY['normal']},0,{'ABCD'[number % 4]},49,False"
        for number, kind in enumerate(list(ORDINARY) * EACH)
        for at, (side, view) in enumerate([("L", "CC"), ("L", "MLO"), ("R", "MLO")])
    ]
    return f"{HEADER}\n{ODD}" + "\n".join(rows) + "\n"


def write(folder: Path) -> Path:
    """Write the archive; return its folder."""
    write_text(folder / "train.csv", table())
    write_text(folder / "test.csv", "site_id,patient_id,image_id,laterality,view,age,implant,machine_id,prediction_id\n"
               "2,999001,1,L,CC,60.0,0,29,999001_L\n")  # fmt: skip
    write_text(folder / "sample_submission.csv", "prediction_id,cancer\n999001_L,0.02\n")
    for line in table().splitlines()[1:]:
        _, patient, image, side, _, _, cancer, biopsy, *_ = line.split(",")
        if image != MISSING:
            _film(folder / "train_images" / patient / f"{image}.dcm", int(image), side, ill="1" in (cancer, biopsy))
    for place, name in (("train_images", STRAY), ("test_images", STUB)):
        _film(folder / place / f"{name}.dcm", 5, "L", ill=False)
    return folder


def _film(path: Path, image: int, side: str, *, ill: bool) -> None:
    """Write a film as the archive has it; the oddities of pixels are those of single films."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = image % 1_000_000_000
    pixels, _ = sketch(number, "left" if side == "L" else "right", ill)
    facts = {"PatientID": path.parent.name, "ImagerPixelSpacing": [0.65, 0.65] if number % 2 else [1.0, 1.0]}
    facts |= {"ImageLaterality": side, "StudyInstanceUID": f"1.2.826.0.1.3680043.8.498.{path.parent.name}"}
    syntax = (JPEGLSLossless, JPEG2000Lossless, ExplicitVRLittleEndian)[number % 3]
    if number == 1:  # lossless JPEG with a list of windows
        write_dicom(path, pixels, ExplicitVRLittleEndian, **facts, **WINDOWS)
        path.write_bytes(by_gdcm(path.read_bytes(), SV1))
    elif number == 3:  # white is 0, and the header states 16 bits where the codestream has 14
        write_dicom(path, (1 << 14) - 1 - 4 * pixels, JPEG2000Lossless, inverted=True, bits=14, **facts)
        film = dcmread(path)
        film.BitsStored, film.HighBit = 16, 15
        film.save_as(path)
    elif str(image) == ZERO:
        write_dicom(path, 0 * pixels, ExplicitVRLittleEndian, **facts)
    elif number == 13:  # in the range of 8 bits, with a window of its own
        sigmoid = {"WindowCenter": 128, "WindowWidth": 200, "VOILUTFunction": "SIGMOID"}
        write_dicom(path, pixels // 16, ExplicitVRLittleEndian, **facts, **sigmoid)
    elif number == 17:  # some values above the stored bits
        pixels[:20, :3] += LEVELS + 1
        write_dicom(path, pixels, ExplicitVRLittleEndian, **facts)
    else:
        write_dicom(path, pixels, syntax, **facts, **WINDOWS)


if __name__ == "__main__":
    sys.stdout.write(f"{write(Path(sys.argv[1]))}\n")
