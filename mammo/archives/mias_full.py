"""MIAS at full resolution: 322 films of 161 women as PGM files, labelled by mini-MIAS's Info.txt."""

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import cv2
import pandas as pd

from mammo.archives.archive import FEW, Archive
from mammo.datasets.film import Film
from mammo.datasets.mias import MIAS
from mammo.datasets.mias_info import compared, decoded, full_circle, parse_info, read_info
from mammo.errors import InputError
from mammo.formats.header import Header
from mammo.paths import home

FILM = re.compile(r"mdb(\d{3})[lr]([smlx])\.pgm", re.IGNORECASE)
SIZES = {"s": (1600, 4320), "m": (2048, 4320), "l": (2600, 4320), "x": (4000, 5200)}  # width, height of 0.05 mm pixels
SPACING_MM = 0.05


class FullMIAS(Archive):
    """The MIAS database (Suckling et al. 1994), 8 bit, 0.05 mm per pixel, all MLO: the films of mini-MIAS.

    - 322 films of 161 women. `mdb001lm.pgm`: the number, a letter that is l for odd numbers and r for even ones, and
      the size: s 1600, m 2048 and l 2600 pixels wide and 4320 high, x 4000 wide and 5200 high.
    - Odd numbers are right breasts and even numbers left ones, as mini-MIAS's Info.txt says; the letter says the
      opposite, and does not count.
    - Films lie on their side in the files. `read` turns odd ones a quarter to the left and even ones to the right, so
      that they stand as in mini-MIAS; places in the findings table are those of the turned film.
    - The archive's own table is in a PDF, which is not read. Labels and circles are those of mini-MIAS's Info.txt:
      its films are these at a quarter of the size, centred in 1024 x 1024. Carried over, its circles lie within 2
      pixels (0.1 mm) of the 117 in the PDF. Info.txt has one more each for `mdb212` and `mdb214`.
    - Patients are named as in mini-MIAS: a union of both keeps each woman together. Severities: their basis is not
      stated. No official split.

    Args:
        root: The folder of the films, or one above it.
        archive: The path of mini-MIAS's Info.txt, or of its all-mias.tar.gz. None: an Info.txt below `root`, or else
            the archive that MAMMO_MIAS_ARCHIVE names, or else the mini-MIAS below `MAMMO_HOME`.

    Sources: https://doi.org/10.17863/CAM.105113 (films, README); Info.txt of mini-MIAS (sides, labels, circles).
    """

    name = "mias_full"
    licence = "CC BY 2.0 UK; labels: those of mini-MIAS, for research only"
    citation = MIAS.citation
    source = (
        "The films are at https://doi.org/10.17863/CAM.105113 (CC BY 2.0 UK, 1.5 GB); unpack the folder MIASDBv1.21, "
        "and put mini-MIAS's Info.txt beside the films, or name it, data.archive=<Info.txt or all-mias.tar.gz>."
    )
    table = "Info.txt"
    published: ClassVar = {"images": 322, "patients": 161}

    def __init__(self, *, root: str | None = None, archive: str | None = None) -> None:
        super().__init__(root=root)
        self.archive = Path(archive).expanduser() if archive else None

    def prepare(self) -> None:
        """Find the films and Info.txt on disk; raise FileNotFoundError if one of them is not there."""
        self._files()
        self._info()

    def rows(self) -> list[dict[str, object]]:
        """Return the rows of Info.txt, with places on the films of full resolution."""
        files, (where, content) = self._files(), self._info()
        self.notes.append(f"labels and circles are those of mini-MIAS's Info.txt ({where})")
        heads = dict(zip(files, self.headers(pd.Series([str(one) for one in files.values()])), strict=True))
        other = [number for number, head in heads.items() if not _is_original(files[number], head)]
        odd = {"films that do not lie on their side, in the shape of their size letter, are left out": other}
        made, rows = [], [row | {"dataset": self.name} for row in parse_info(decoded(content), where)]
        for row in rows:
            if (number := _number(row)) not in files:  # it is said elsewhere
                made.append(row | {"image_id": f"mias_full-mdb{number}", "path": str(self.root / f"mdb{number}.pgm")})
            elif number not in other:
                made.append(_on_film(row, files[number], heads[number], odd))
        odd["films without a row in Info.txt are left out"] = list(set(files) - set(map(_number, rows)))
        self.notes += compared(content, rows, MIAS().manifest("rows"))
        for what, films in odd.items():
            if films:
                self.notes.append(f"**{what} ({len(films)}): {', '.join(sorted(films)[:FEW])}**")
        return made

    def read(self, image_id: str) -> Film:
        """Return a film turned upright, as it hangs in mini-MIAS."""
        film = super().read(image_id)
        turn = cv2.ROTATE_90_COUNTERCLOCKWISE if film.laterality == "right" else cv2.ROTATE_90_CLOCKWISE
        return replace(film, pixels=cv2.rotate(film.pixels, turn), notes=(*film.notes, "turned upright by a quarter"))

    def digest(self, image_id: str) -> str | None:
        """Return a digest of the file, which differs from that of a data set which does not turn it."""
        own = super().digest(image_id)
        return own and hashlib.sha256(f"{own} upright".encode()).hexdigest()

    def _files(self) -> dict[str, Path]:
        """Return the path of each film by its number."""
        found: dict[str, Path] = {}
        for path in sorted(Path(one) for folder in self._folders() for one in os.scandir(folder)):
            if named := FILM.fullmatch(path.name):
                if other := found.get(named[1]):
                    raise InputError(f"{other} and {path} are both film {named[1]}; leave one of them in the folder")
                found[named[1]] = path
        if not found:
            self.find("mdb001lm.pgm")  # its error says where it looked, and where to get the archive
        return found

    def _info(self) -> tuple[str, bytes]:
        """Return the place and the content of Info.txt."""
        path = self.archive
        if path is None:
            beside = [folder / self.table for folder in self._folders()]
            others = [Path(os.environ.get("MAMMO_MIAS_ARCHIVE", "")), home() / "mias" / self.table]
            path = next(filter(Path.is_file, [*beside, *others]), None) or self.find(self.table)  # which raises
        return read_info(path)


def _number(row: dict[str, Any]) -> str:
    return str(row["image_id"]).removeprefix("mdb")


def _is_original(path: Path, head: Header) -> bool:
    """Return True if a film has the shape of its letter, in any scale, or cannot be read, which is said later."""
    width, height = SIZES[path.stem[-1].lower()]
    return not head.width or abs(head.height / head.width * height / width - 1) < 0.01


def _on_film(row: dict[str, Any], path: Path, head: Header, odd: dict[str, list[str]]) -> dict[str, Any]:
    """Return a row of mini-MIAS for its film at full resolution; a circle that lies beside the film goes to `odd`."""
    width, height = SIZES[path.stem[-1].lower()]
    scale = (head.width or height) / height
    made = row | {"image_id": f"mias_full-{path.stem.lower()}", "path": str(path), "spacing_mm": SPACING_MM / scale}
    if "x_px" in row:
        x, y, radius = full_circle(row, width, height)
        made |= {"x_px": (x + 0.5) * scale - 0.5, "y_px": (y + 0.5) * scale - 0.5, "radius_px": radius * scale}
        if not (0 <= x < width and 0 <= y < height):
            odd.setdefault("circles that lie beside their film are left out", []).append(_number(row))
            made |= dict.fromkeys(("x_px", "y_px", "radius_px"))
    return made
