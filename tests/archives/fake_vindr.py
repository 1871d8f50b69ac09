"""A fake VinDr-Mammo, true names and columns, invented values: `python -m tests.archives.fake_vindr FOLDER`."""

import sys
import warnings
from hashlib import md5
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from mammo.datasets.example import write_dicom
from tests.archives.films import write_text
from tests.archives.sketches import HEIGHT, LEVELS, WIDTH, sketch

TREE = Path("physionet.org/files/vindr-mammo/1.0.0")
OF_IMAGE = "study_id,series_id,laterality,image_id,view_position,height,width,breast_birads,breast_density"
BREASTS = f"{OF_IMAGE},split"
FINDINGS = f"{OF_IMAGE},finding_categories,finding_birads,xmin,ymin,xmax,ymax,split"
METADATA = "SOP Instance UID,Rows,Columns,Patient's Age,Manufacturer,Manufacturer's Model Name,Pixel Spacing"
SPACING_MM = 0.7
# Awkward films: number, exam, side, view, BI-RADS and density of the breast, part; then the categories, BI-RADS and box
# of each row in the table of findings, which may have none of the film
NOTHING = ("['No Finding']", "", "", "", "", "")
AWKWARD = [
    # two categories in a box that begins left of the film; a sign without BI-RADS that ends below it
    (1, 1, "L", "CC", "4", "C", "training", [
        ("['Suspicious Calcification', 'Mass']", "BI-RADS 4", "-3.2", "60.5", "30.25", "90.0"),
        ("['Skin Thickening']", "", "40.0", "100.0", "80.0", "163.7"),
    ]),
    (2, 1, "L", "MLO", "4", "C", "training", [NOTHING]),
    (3, 1, "R", "CC", "1", "C", "training", [NOTHING]),
    (4, 1, "R", "MLO", "1", "C", "training", [NOTHING]),
    # BI-RADS 5 with a box on one film; that film has a milder finding too
    (5, 2, "L", "CC", "5", "B", "training", [
        ("['Mass']", "BI-RADS 5", "20.0", "60.0", "50.0", "95.0"),
        ("['Asymmetry']", "BI-RADS 3", "60.0", "20.0", "80.0", "40.0"),
    ]),
    (6, 2, "L", "MLO", "5", "B", "training", [NOTHING]),
    # BI-RADS 2: no box, and yet not normal
    (7, 2, "R", "CC", "2", "B", "training", [NOTHING]),
    (8, 2, "R", "MLO", "2", "B", "training", [NOTHING]),
    # BI-RADS 5 with a box of BI-RADS 4 on one film, whose first category has no word of ours
    (9, 3, "L", "CC", "5", "D", "test", [
        ("['Nipple Retraction', 'Architectural Distortion']", "BI-RADS 4", "20.0", "60.0", "50.0", "95.0"),
    ]),
    (10, 3, "L", "MLO", "5", "D", "test", [("['Mass']", "BI-RADS 5", "20.0", "60.0", "50.0", "95.0")]),
    (11, 3, "R", "CC", "3", "D", "test", [("['Focal Asymmetry']", "BI-RADS 3", "70.0", "60.0", "99.0", "95.0")]),
    (12, 3, "R", "MLO", "3", "D", "test", []),
    # signs without BI-RADS in breasts of BI-RADS 2 and 1; one box in two rows
    (13, 4, "L", "CC", "2", "A", "test", [("['Suspicious Lymph Node']", "", "5.0", "5.0", "25.0", "25.0")]),
    (14, 4, "L", "MLO", "2", "A", "test", [
        ("['Global Asymmetry']", "BI-RADS 3", "20.0", "60.0", "50.0", "95.0"),
        ("['Mass']", "BI-RADS 4", "20.0", "60.0", "50.0", "95.0"),
    ]),
    (15, 4, "R", "CC", "1", "A", "test", [("['Nipple Retraction']", "", "80.0", "70.0", "99.0", "90.0")]),
    (16, 4, "R", "MLO", "1", "A", "test", [NOTHING]),
    # a box off the film, one that ends before it begins, a category that does not exist; a breast with one film only
    (17, 5, "L", "CC", "5", "C", "training", [
        ("['Mass']", "BI-RADS 5", "200.0", "60.0", "230.0", "95.0"),
        ("['Spiculated Mass']", "BI-RADS 5", "50.0", "60.0", "20.0", "95.0"),
    ]),
    (18, 5, "L", "MLO", "5", "C", "training", [("['Asymmetry']", "BI-RADS 5", "20.0", "60.0", "50.0", "95.0")]),
    (19, 5, "R", "CC", "1", "C", "training", []),
    # a film that is not on disk, and one of raw data
    (20, 6, "L", "CC", "1", "B", "training", [NOTHING]),
    (21, 6, "L", "MLO", "1", "B", "training", [NOTHING]),
    (22, 6, "R", "CC", "1", "B", "training", [NOTHING]),
    (23, 6, "R", "MLO", "1", "B", "training", [NOTHING]),
]  # fmt: skip
LOST, RAW = 20, 21
INVERTED = {1, 5, 10}


def study(number: int) -> str:
    """Return the name of an exam, 32 hexadecimal digits."""
    return md5(f"exam {number}".encode()).hexdigest()


def image(number: int) -> str:
    """Return the name of an image."""
    return md5(f"image {number}".encode()).hexdigest()


def ordinary(patients: int) -> list[tuple]:
    """Return the films of exams whose left breast is normal, benign or malignant in turns; a third is the test part."""
    rows, number = [], 100
    for patient in range(patients):
        birads, part = ("1", "2", "5")[patient % 3], "test" if patient % 9 < 3 else "training"
        for side in "LR":
            for view in ("CC", "MLO"):
                number += 1
                ill = side == "L" and birads == "5"
                x, y, radius = sketch(number, "left")[1]
                box = (
                    "['Mass']",
                    "BI-RADS 5",
                    *(f"{edge:.1f}" for edge in (x - radius, y - radius, x + radius, y + radius)),
                )
                own = birads if side == "L" else "1"
                rows.append(
                    (number, 10 + patient, side, view, own, "ABCD"[patient % 4], part, [box if ill else NOTHING])
                )
    return rows


def write(folder: Path, patients: int = 27) -> Path:
    """Write the archive as wget leaves it; return the folder of its tables."""
    root = Path(folder) / TREE
    breasts, findings, about = [BREASTS], [FINDINGS], [METADATA]
    for number, exam, side, view, birads, density, part, rows in [*AWKWARD, *ordinary(patients)]:
        series = md5(f"series {exam}".encode()).hexdigest()
        of_image = (
            f"{study(exam)},{series},{side},{image(number)},{view},{HEIGHT},{WIDTH},BI-RADS {birads},DENSITY {density}"
        )
        breasts.append(f"{of_image},{part}")
        for categories, own, *box in rows:
            quoted = f'"{categories}"' if "," in categories else categories
            findings.append(",".join([of_image, quoted, own, *box, part]))
        if number != 2:
            about.append(f"{image(number)},{HEIGHT},{WIDTH},{'053Y' if number % 2 else ''},ACME,Model {exam % 2},")
        if number != LOST:
            _write_film(root / "images" / study(exam) / f"{image(number)}.dicom", number, side, view, exam)
    findings.append(findings[1].replace(image(1), image(99)))  # of an image that is not in the other table
    write_text(root / "breast-level_annotations.csv", "\n".join(breasts) + "\n")
    write_text(root / "finding_annotations.csv", "\n".join(findings) + "\n")
    write_text(root / "metadata.csv", "\n".join(about) + "\n")
    write_text(root / "LICENSE.txt", "invented\n")
    return root


def _write_film(path: Path, number: int, side: str, view: str, exam: int) -> None:
    """Write a film with the elements that the authors kept, and with the SOP class that they made up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    laterality = "left" if side == "L" else "right"
    ill = number in (5, 10, 18) or (number > 100 and side == "L" and (exam - 10) % 3 == 2)
    pixels, _ = sketch(number, laterality, bright=ill)
    inverted = number in INVERTED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom doubts UIDs that are hexadecimal digits
        write_dicom(
            path, LEVELS - pixels if inverted else pixels, ExplicitVRLittleEndian, inverted=inverted, SOPClassUID=None,
            SOPInstanceUID=image(number), StudyInstanceUID=study(exam), ImageLaterality=side, ViewPosition=view,
            ImagerPixelSpacing=[SPACING_MM] * 2, WindowCenter=["2047", "1800"], WindowWidth=["4095", "3600"],
            PresentationIntentType="FOR PROCESSING" if number == RAW else "FOR PRESENTATION",
        )  # fmt: skip
        film = dcmread(path)
        film.file_meta.MediaStorageSOPClassUID = film.file_meta.ImplementationClassUID = "1.2.3.4"
        film.save_as(path)


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
