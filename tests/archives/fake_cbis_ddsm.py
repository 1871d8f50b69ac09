"""A fake of CBIS-DDSM in its true names and columns, with invented values.

`python -m tests.archives.fake_cbis_ddsm FOLDER [classic or jpeg]` writes it. It has each awkward row that the real
tables or films have. The ids of the 31 women who are in training and test are the real ones, from the openly licensed
tables; nothing else is.
"""

import csv
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from pydicom.uid import ExplicitVRLittleEndian

from mammo.datasets.example import write_dicom
from tests.archives.films import mask as circular

FORMS = ("descriptive", "classic", "jpeg")
ROOT = "1.3.6.1.4.1.9590.100.1.2."
SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
IN_BOTH = """
00016 00041 00159 00394 00495 00510 00591 00601 00639 00652 00678 00723 00753 00882 00906 00924 00969 01108
01152 01179 01237 01307 01365 01467 01566 01605 01621 01635 01741 01803 01883
""".split()  # noqa: SIM905
DOUBLED = 29  # films of theirs that are in both
HEIGHT, WIDTH = 200, 150
HEADERS = {
    "mass": "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,mass "
    "margins,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path",
    "calc": "patient_id,breast density,left or right breast,image view,abnormality id,abnormality type,calc type,calc "
    "distribution,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path",
}
META = (
    "Series UID,Collection,3rd Party Analysis,Data Description URI,Subject ID,Study UID,Study Description,Study Date,"
    "Series Description,Manufacturer,Modality,SOP Class Name,SOP Class UID,Number of Images,File Size,File Location,"
    "Download Timestamp"
)
FULL, CROP, ROI = "full mammogram images", "cropped images", "ROI mask images"


@dataclass
class Film:
    """A film of the fake.

    Attributes:
        woman, side, view: As the tables have them.
        kind, part: mass or calc; train or test.
        seed: What its pixels are drawn from.
        rows: A row of the table each.
        missing: True if it is not on disk.
    """

    woman: str
    side: str
    view: str
    kind: str
    part: str
    seed: int
    rows: list["Row"]
    height: int = HEIGHT
    width: int = WIDTH
    missing: bool = False

    @property
    def name(self) -> str:
        return (
            f"{self.kind.title()}-{'Training' if self.part == 'train' else 'Test'}_{self.woman}_{self.side}_{self.view}"
        )


@dataclass
class Row:
    """A finding.

    Attributes:
        words: The two columns that differ between masses and calcifications.
        place: Left, top, right, bottom, or the x, y, radius of a circle.
        mask: What is odd about its mask: half, narrow, empty, grey, inverted, absent, lost or damaged.
        two: True if crop and mask lie in two series.
    """

    density: str
    words: tuple[str, str]
    assessment: str
    pathology: str
    subtlety: str
    place: tuple[float, ...]
    mask: str = ""
    two: bool = False


RECTANGLE = (60, 160, 100, 220)
B, M, W = "BENIGN", "MALIGNANT", "BENIGN_WITHOUT_CALLBACK"


def awkward() -> list[Film]:
    """The women of whom each is there for a trap; the test lists what is expected of each of their rows."""
    small = (30, 40, 60, 80)
    calc, na = ("PUNCTATE-PLEOMORPHIC", "N/A"), ("N/A", "N/A")
    margins = [("ROUND", "CIRCUMSCRIBED", M), ("IRREGULAR", "SPICULATED-ILL_DEFINED", B), ("LYMPH_NODE", "N/A", W),
               ("OVAL", "CIRCUMSCRIBED-OBSCURED", B), ("FOCAL_ASYMMETRIC_DENSITY", "ILL_DEFINED", B),
               ("ASYMMETRIC_BREAST_TISSUE", "N/A", M)]  # fmt: skip
    masks = ["", "half", "narrow", "empty", "grey", "inverted", "absent"]
    arch = Row("0", ("ARCHITECTURAL_DISTORTION", "N/A"), "0", M, "0", small, two=True)
    oval = Row("2", ("OVAL", "OBSCURED"), "4", M, "3", small)
    masses = [
        Row("1", (shape, edge), "4", truth, "5", (30 + 9 * at, 40, 60 + 9 * at, 80))
        for at, (shape, edge, truth) in enumerate(margins)
    ]
    amorphous = Row("2", ("AMORPHOUS", "CLUSTERED"), "3", W, "2", small)
    odd = [replace(oval, mask="damaged"), replace(oval, density="3", mask="lost")]
    seven = [Row("4", calc, "4", B, "3", RECTANGLE, one) for one in masks]
    return [
        # one film in both tables of one part; density 0 in one of them; crop and mask in two series
        Film("P_90016", "LEFT", "CC", "mass", "test", 16, [arch]),
        Film("P_90016", "LEFT", "CC", "calc", "test", 16, [Row("3", calc, "4", B, "3", small)]),
        # the same view, but other pixels
        Film("P_90017", "LEFT", "MLO", "mass", "train", 17, [Row("2", na, "5", B, "4", small)]),
        Film("P_90017", "LEFT", "MLO", "calc", "train", 170, [amorphous]),
        # six masses in a film, benign and malignant
        Film("P_90018", "LEFT", "CC", "mass", "train", 18, masses),
        # seven masks
        Film("P_90035", "LEFT", "CC", "calc", "train", 35, seven, 400, 300),
        Film("P_90036", "LEFT", "CC", "mass", "test", 36, [oval], missing=True),
        # densities that disagree; a damaged mask; a series that holds the crop alone
        Film("P_90037", "LEFT", "CC", "mass", "test", 37, odd),
    ]  # fmt: skip


def _leaky() -> list[Film]:
    """The women who are in training and test, 29 of them with the same film."""
    films = []
    for at, number in enumerate(IN_BOTH):
        parts = ("test", "train") if at < 18 else ("train", "test")
        truth, side = (M if at % 2 else B), "LEFT" if at % 3 else "RIGHT"
        for kind, part in zip(("mass", "calc"), parts, strict=True):
            same = at < DOUBLED or kind == "mass"
            view = "CC" if same else "MLO"
            films.append(_plain(f"P_{number}", side, view, kind, part, 100 + at + (0 if same else 500), truth))
    return films


def _ordinary() -> list[Film]:
    """Women of one part each, so that training, validation and test have what they need."""
    return [
        _plain(f"P_{91000 + at}", ("LEFT", "RIGHT")[at % 2], ("CC", "MLO")[at // 2 % 2], ("mass", "calc")[at % 2],
               ("test", "train")[at % 3 == 0], 200 + at, (B, M, W, M)[at % 4])
        for at in range(16)
    ]  # fmt: skip


def _plain(woman: str, side: str, view: str, kind: str, part: str, seed: int, truth: str) -> Film:
    rng = np.random.default_rng([1, seed])
    x, y, radius = (int(one) for one in rng.uniform([35, 60, 8], [70, 140, 16]))
    words = [("OVAL", "CIRCUMSCRIBED"), ("IRREGULAR", "SPICULATED"), ("LOBULATED", "OBSCURED")][seed % 3]
    words = words if kind == "mass" else ("PLEOMORPHIC", "CLUSTERED")
    x = x if side == "LEFT" else WIDTH - x
    density, subtlety = str(1 + seed % 500 // 2 % 4), str(1 + seed % 5)
    return Film(woman, side, view, kind, part, seed, [Row(density, words, "4", truth, subtlety, (x, y, radius))])


def _pixels(film: Film) -> np.ndarray:
    """Draw a film, (height, width) uint16: a half ellipse with a texture of its own, and a bright blob per finding."""
    rng = np.random.default_rng([2, film.seed])
    height, width = film.height, film.width
    size = (width, height)
    grain = sum(
        cv2.resize(rng.standard_normal((height // step, width // step)), size, interpolation=cv2.INTER_CUBIC) * share
        for step, share in ((2, 2.0), (4, 3.0), (10, 5.0), (25, 8.0))
    )
    breast = np.zeros((height, width), np.float32)
    reach = (int(width * rng.uniform(0.6, 0.8)), int(height * rng.uniform(0.38, 0.45)))
    cv2.ellipse(breast, (0, int(height * rng.uniform(0.47, 0.53))), reach, 0, -90, 90, 1.0, -1)
    breast = cv2.GaussianBlur(breast, (0, 0), 2)
    if film.side == "RIGHT":
        breast = breast[:, ::-1]
    level = 110 + grain
    for row in film.rows:
        blob = cv2.GaussianBlur(_drawn(film, row).astype(np.float32), (0, 0), 4)
        level = level + (0.35 if row.pathology == M else 0.2) * blob
    return (np.clip(breast * level, 0, 255) * 257).astype(np.uint16)


def _drawn(film: Film, row: Row) -> np.ndarray:
    """Return the mask of a finding as it should be."""
    if len(row.place) == 3:
        return circular(row.place, height=film.height, width=film.width)
    left, top, right, bottom = row.place
    drawn = np.zeros((film.height, film.width), np.uint8)
    drawn[top:bottom, left:right] = 255
    return drawn


def _mask(film: Film, row: Row) -> np.ndarray:
    """Return the mask of a finding as it lies on disk."""
    drawn = _drawn(film, row)
    if row.mask == "half":
        return drawn[::2, ::2]
    return {
        "narrow": drawn[:, :280], "empty": 0 * drawn, "grey": cv2.blur(drawn, (3, 3)), "inverted": 255 - drawn,
    }.get(row.mask, drawn)  # fmt: skip


@dataclass
class _Tree:
    """The files of one form, as they are written."""

    folder: Path
    form: str
    number: int = 10010
    meta: list[list[str]] = field(default_factory=list)
    info: list[list[str]] = field(default_factory=list)

    def uid(self) -> str:
        self.number += 1
        return f"{ROOT}{self.number}"

    def series(
        self, subject: str, description: str, pictures: list[np.ndarray], film: Film, cut: int = 0
    ) -> tuple[str, str]:
        """Write the pictures of one series, without their last `cut` bytes; return the UIDs of study and series."""
        study, series = self.uid(), self.uid()
        if self.form == "classic":
            place = f"CBIS-DDSM/{subject}/{study}/{series}"
        elif self.form == "jpeg":
            place = f"jpeg/{series}"
        else:
            dated = "08-29-2017-DDSM-" + "NA-" * (self.number % 4 < 2)
            place = f"CBIS-DDSM/{subject}/{dated}{study[-5:]}/1.000000-{description}-{series[-5:]}"
        folder = self.folder / ("manifest-1600000000000" if self.form == "descriptive" else "") / place
        folder.mkdir(parents=True)
        self.meta.append([series, "CBIS-DDSM", "", "", subject, study, "", "08-29-2017", description, "", "MG",
                          "Secondary Capture Image Storage", SECONDARY, str(len(pictures)), "1 MB",
                          ".\\" + place.replace("/", "\\"), "2020-01-01T00:00:00"])  # fmt: skip
        for at, picture in enumerate(pictures):
            tags = {"SOPClassUID": SECONDARY, "PresentationIntentType": None, "ImagerPixelSpacing": None,
                    "PatientID": subject, "PatientName": subject, "PatientOrientation": film.view,
                    "Laterality": film.side[0], "BodyPartExamined": "BREAST", "SeriesDescription": description,
                    "StudyInstanceUID": study, "SeriesInstanceUID": series}  # fmt: skip
            if self.form == "jpeg":
                path = folder / f"{at + 1}-{self.number * 7 % 300:03d}.jpg"
                cv2.imwrite(str(path), (picture >> 8).astype(np.uint8) if picture.dtype == np.uint16 else picture)
                nameless = "" if self.number % 5 == 0 else description
                self.info.append([f"CBIS-DDSM/dicom/{series}/{path.stem}.dcm", f"CBIS-DDSM/jpeg/{series}/{path.name}",
                                  subject, series, nameless])  # fmt: skip
            else:
                path = folder / (f"1-{at + 1}.dcm" if self.form == "descriptive" else f"{at:06d}.dcm")
                write_dicom(path, picture, ExplicitVRLittleEndian, bits=16, **tags)
                if self.number % 9 == 0:
                    path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
            path.write_bytes(path.read_bytes()[: -cut or None])
        return study, series

    def row(self, film: Film, row: Row, number: int, pixels: np.ndarray) -> tuple[str, str]:
        """Write crop and mask of a finding; return their paths as the tables have them."""
        drawn = _drawn(film, row)
        down, across = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
        crop = pixels[max(down[0] - 6, 0) : down[-1] + 7, max(across[0] - 6, 0) : across[-1] + 7]
        pictures = {"crop": crop, "mask": _mask(film, row)}
        if row.mask in ("lost", "absent"):
            del pictures["mask"]
        subject = f"{film.name}_{number}"
        if row.mask == "absent":
            return tuple(f"{subject}/{self.uid()}/{self.uid()}/00000{at}.dcm" for at in (1, 0))
        if row.two:
            ids = [
                self.series(subject, text, [pictures[which]], film) for which, text in (("crop", CROP), ("mask", ROI))
            ]
            return tuple(f"{subject}/{study}/{series}/000000.dcm" for study, series in ids)
        order = ["crop", "mask"] if film.kind == "calc" or self.number % 2 else ["mask", "crop"]
        cut = 400 if row.mask == "damaged" else 0
        ids = self.series(subject, ROI, [pictures[which] for which in order if which in pictures], film, cut)
        crop_at = 1 if film.kind == "calc" else 0  # what the tables say, which the disk need not follow
        return tuple(f"{subject}/{'/'.join(ids)}/00000{at}.dcm" for at in (crop_at, 1 - crop_at))


def write(folder: Path, form: str = "descriptive", films: list[Film] | None = None) -> Path:
    """Write the fake in one of the `FORMS` into a folder, all films or some, and return the folder."""
    tree = _Tree(Path(folder), form)
    lines: dict[str, list[str]] = {}
    drawn: dict[int, np.ndarray] = {}
    for film in films or [*awkward(), *_leaky(), *_ordinary()]:
        if film.seed not in drawn:
            drawn[film.seed] = _pixels(film)
        pixels = drawn[film.seed]
        if film.missing:
            path = f"{film.name}/{tree.uid()}/{tree.uid()}/000000.dcm"
        else:
            path = f"{film.name}/{'/'.join(tree.series(film.name, FULL, [pixels], film))}/000000.dcm"
        table = lines.setdefault(f"{film.kind}_case_description_{film.part}_set.csv", [HEADERS[film.kind]])
        for number, row in enumerate(film.rows, start=1):
            crop, mask = tree.row(film, row, number, pixels)
            paths = [path, f'"{crop}\n"', mask] if film.kind == "calc" else [path, crop, f'"{mask}\n"']
            kind = {"mass": "mass", "calc": "calcification"}[film.kind]
            table.append(",".join([film.woman, row.density, film.side, film.view, str(number), kind, *row.words,
                                   row.assessment, row.pathology, row.subtlety, *paths]))  # fmt: skip
    beside = tree.folder / "csv" if form == "jpeg" else tree.folder
    beside.mkdir(exist_ok=True, parents=True)
    for name, rows in lines.items():
        (beside / name).write_text("\n".join(rows) + "\n", newline="")
    if form == "descriptive":
        _csv(tree.folder / "manifest-1600000000000" / "metadata.csv", META.split(","), tree.meta)
    if form == "jpeg":
        info = ["file_path", "image_path", "PatientID", "SeriesInstanceUID", "SeriesDescription"]
        _csv(beside / "dicom_info.csv", info, tree.info)
        _csv(beside / "meta.csv", ["SeriesInstanceUID", "PatientID"], [[one[0], one[4]] for one in tree.meta])
    return tree.folder


def _csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


if __name__ == "__main__":
    write(Path(sys.argv[1]), *sys.argv[2:])
