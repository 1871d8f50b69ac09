"""A fake INbreast, true names and columns, invented values: `python -m tests.archives.fake_inbreast FOLDER`."""

import sys
from hashlib import md5
from pathlib import Path

import numpy as np
from openpyxl import Workbook
from pydicom.uid import ExplicitVRLittleEndian

from mammo.datasets.example import write_dicom
from tests.archives.films import write_text
from tests.archives.sketches import sketch

TREE = Path("INbreast Release 1.0")
HEADER = ["Patient ID", "Patient age", "Laterality", "View", "Acquisition date", "File Name", "ACR", "Bi-Rads"]
FURTHER = ["Mass ", "Micros", "Distortion", "Asymmetry", "Findings Notes (in Portuguese)", "Lesion Annotation Status"]
SPACING_MM = 0.7
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple Computer//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
"""
BOMB = """<?xml version="1.0"?>
<!DOCTYPE plist [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>
<plist version="1.0"><dict><key>Images</key><array><string>&c;</string></array></dict></plist>
"""
ONE, TWO, THREE = "0123456789abcdef", "fedcba9876543210", "00000000000000aa"


def contour(x: float, y: float, radius: float, points: int = 16) -> list[tuple[float, float]]:
    """Return the points of a circle."""
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return [(x + radius * np.cos(one), y + radius * np.sin(one)) for one in turn]


# number, woman, side, view of the table, exam, ACR, BI-RADS, then the regions: name, points, number of points if it is
# another one; None for a film without a file of regions, text for a file that is none
AWKWARD: list[tuple] = [
    (90000012, ONE, "R", "CC", "201001", "4", "2", None),
    # ML in the name; three points for four, one of them below the film; a calcification beyond the film
    (90000034, ONE, "R", "MLO", "201001", "4", "4a ", [
        ("Assymetry", [(70.5, 100.0), (90.0, 101.0), (80.0, 175.0)], 4),
        ("Calcification", [(3400.0, 90.0)]),
    ]),
    # ACR of padding blanks; a mass with its spiculated region; a region without a name
    (90000056, TWO, "L", "CC", "200802", "          ", "6", [
        ("Spiculated Region", contour(40, 80, 20)),
        ("Mass", contour(42, 78, 8)),
        (None, contour(60, 40, 5)),
    ]),
    (90000078, TWO, "L", "MLO", "200802", "1", "1", None),
    # another exam of the woman: a cluster with calcifications in it, and one of two points outside
    (90000090, TWO, "L", "CC", "201002", "2", " 5", [
        ("Cluster", contour(40, 80, 15)),
        ("Calcification", [(41.0, 79.0)]),
        ("Calcification", [(38.0, 82.0)]),
        ("Calcification", [(60.0, 50.0), (62.0, 54.0)]),
    ]),
    (90000091, TWO, "L", "MLO", "201002", "'", "3", [
        ("Espiculated Region", contour(40, 80, 10)),
        ("Distortion", contour(0, 60, 10)),
        ("Calcifications", [(50.0, 90.0), (56.0, 90.0), (62.0, 90.0)]),
    ]),
    (90000100, THREE, "R", "CC", "200901", "3", "1", [("Point 1", [(90.0, 80.0)])]),
    (90000101, THREE, "R", "MLO", "200901", "3", "2 ", "<plist><dict><key>Images</key>"),
    (90000102, THREE, "R", "CC", "200902", "3.0", "2.0", [("Unnamed", [])]),
    (90000105, THREE, "R", "MLO", "200902", "3", "5", BOMB),
    (90000106, THREE, "L", "CC", "200902", "3", "4b", [("Mass", contour(40, 80, 8))]),
]  # fmt: skip
LOST, UNLISTED = 90000103, 90000104
TOLD_OTHERWISE = 90000106  # the table says that it is of the right breast


def ordinary(patients: int) -> list[tuple]:
    """Return two films each of women whose breast is of BI-RADS 1, 2 or 5 in turns; the last two have a mass."""
    rows = []
    for patient in range(patients):
        side, birads = "LR"[patient // 3 % 2], ("1", "2", "5")[patient % 3]
        woman = md5(f"woman {patient}".encode()).hexdigest()[:16]
        for number, view in enumerate(("CC", "MLO"), 91000000 + 2 * patient):
            x, y, radius = sketch(number, "left" if side == "L" else "right")[1]
            marks = None if birads == "1" else [("Mass", contour(x, y, radius))]
            rows.append((number, woman, side, view, "201001", "1234"[patient % 4], birads, marks))
    return rows


def write(folder: Path, patients: int = 36) -> Path:
    """Write the archive with INbreast.csv; return its folder."""
    root = Path(folder) / TREE
    lines = [";".join(HEADER)]
    (root / "AllDICOMs").mkdir(parents=True)
    for number, woman, side, view, date, acr, birads, marks in [*AWKWARD, *ordinary(patients)]:
        said = "R" if number == TOLD_OTHERWISE else side
        lines.append(f"removed;removed;{said};{view};{date};{number};{acr};{birads}")
        _write_film(root, number, woman, side, view, bright=birads in ("5", "6"))
        if marks is not None:
            write_text(root / "AllXML" / f"{number}.xml", marks if isinstance(marks, str) else plist(marks))
    lines.append(f"removed;removed;L;MLO;200902;{LOST};3;2")
    _write_film(root, UNLISTED, THREE, "L", "MLO")
    write_text(root / "INbreast.csv", "\n".join(lines) + "\n")
    write_text(root / "AllDICOMs" / "Thumbs.db", "")
    return root


def write_workbook(root: Path) -> None:
    """Replace INbreast.csv by INbreast.xlsx, as INbreast.xls is saved: numbers, a footer, more columns."""
    lines = [line.split(";") for line in (root / "INbreast.csv").read_text().splitlines()[1:]]
    book = Workbook()
    book.active.append([*HEADER, *FURTHER])
    for line in lines:
        birads = line[7].strip()
        mass = "X" if birads in ("5", "6") else ""
        status = "No annotation (normal)" if birads == "1" else "Annotated"
        book.active.append([*line[:5], float(line[5]), *line[6:8], mass, "", "", "", "nota inventada", status])
    book.active.append([])
    book.active.append([None] * 7 + ["Total"])
    book.active.append([None] * 8 + ["12", "34"])
    book.save(root / "INbreast.xlsx")
    (root / "INbreast.csv").unlink()


def plist(marks: list[tuple]) -> str:
    """Return a property list as OsiriX exports it."""
    rois = ""
    for index, (name, points, *stated) in enumerate(marks):
        px = "".join(f"<string>({x:.6f}, {y:.6f})</string>" for x, y in points)
        rois += (
            "<dict><key>Area</key><real>0.1</real><key>Center</key><string>(1.0, 2.0, 0.0)</string>"
            f"<key>IndexInImage</key><integer>{index}</integer><key>Mean</key><real>5.5</real>"
            + (f"<key>Name</key><string>{name}</string>" if name is not None else "")
            + f"<key>NumberOfPoints</key><integer>{(stated or [len(points)])[0]}</integer>"
            f"<key>Point_mm</key><array/><key>Point_px</key><array>{px}</array>"
            "<key>Total</key><real>9</real><key>Type</key><integer>15</integer></dict>\n"
        )
    return (
        f'{HEAD}<plist version="1.0"><dict><key>Images</key><array><dict><key>ImageIndex</key><integer>0</integer>'
        f"<key>NumberOfROIs</key><integer>{len(marks)}</integer><key>ROIs</key><array>\n{rois}</array></dict></array>"
        "</dict></plist>\n"
    )


def _write_film(root: Path, number: int, woman: str, side: str, view: str, bright: bool = False) -> None:
    """Write a film of 12 bits whose header has no patient, side or view, and here and there no spacing."""
    pixels, _ = sketch(number, "left" if side == "L" else "right", bright)
    shown = "ML" if view == "MLO" else view
    write_dicom(
        root / "AllDICOMs" / f"{number}_{woman}_MG_{side}_{shown}_ANON.dcm", pixels, ExplicitVRLittleEndian,
        ImagerPixelSpacing=None if number == 90000012 else [SPACING_MM] * 2, StudyInstanceUID=None,
    )  # fmt: skip


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
