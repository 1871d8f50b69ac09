"""mini-MIAS: 322 films of 161 women as PGM files, a text file of findings, and a manifest of the pixels."""

import csv
import os
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mammo.datasets import download
from mammo.datasets.film import Film, pixel_digest, read_film
from mammo.datasets.findings import findings_table
from mammo.errors import InputError, UnreadableFilm
from mammo.paths import home

TISSUES = ("F", "G", "D")  # fatty, fatty-glandular, dense-glandular
FINDINGS = ("CALC", "CIRC", "SPIC", "MISC", "ARCH", "ASYM")
SEVERITIES = {"B": "benign", "M": "malignant"}
SIDE_PX = 1024
SPACING_MM = 0.2
ROW = re.compile(r"\s*mdb\d")  # a line of Info.txt that describes a film, even if its id is malformed
FILM = re.compile(r"(mdb\d{3,})\.pgm")


class MIAS:
    """The mini-MIAS database (Suckling et al. 1994), 8 bit, 1024 x 1024, 0.2 mm per pixel, all MLO.

    - 322 films of 161 women: film 2k-1 is a woman's right breast, film 2k her left.
    - 207 normal films, 115 abnormal (63 of them benign only); 101 women have one abnormal breast, 7 two.
    - 330 rows in Info.txt: NORM 207, CALC 30, CIRC 25, ARCH 19, SPIC 19, MISC 15, ASYM 15; 69 benign,
      54 malignant. 119 of them have a circle, on 111 films.
    - Oddities: `mdb059` has no circle; `mdb216`, `mdb233` and `mdb245` have `*NOTE 3*` instead (calcifications
      spread over the film). `mdb226` has three rows, `mdb005 132 144 223 239 249` two; `mdb144` is benign and
      malignant. y counts from the bottom: it is flipped in `parse_info`, and nowhere else.
    - No official split.

    Source: http://peipa.essex.ac.uk/info/mias.html
    """

    name = "mias"
    licence = "research only, not to be sold"
    citation = (
        "J. Suckling et al., The Mammographic Image Analysis Society digital mammogram database, "
        "Excerpta Medica International Congress Series 1069 (1994) 375-378"
    )
    url = "http://peipa.essex.ac.uk/pix/mias/all-mias.tar.gz"

    def __init__(self, *, root: str | None = None, archive: str | None = None, download: bool = True) -> None:
        self.root = Path(root).expanduser() if root else home() / "mias"
        named = archive or os.environ.get("MAMMO_MIAS_ARCHIVE")
        self.archive = Path(named).expanduser() if named else None
        self.download = download
        self._manifest: dict[str, str] = {}

    @property
    def manifest_path(self) -> Path:
        """The path of a CSV with `image_id, sha256`, the digest of each film's pixels."""
        return Path(__file__).with_name("mias_sha256.csv")

    def manifest(self) -> dict[str, str]:
        """Return the SHA-256 of each film's pixels by `image_id`."""
        if not self._manifest:
            with self.manifest_path.open(newline="") as file:
                self._manifest = {row["image_id"]: row["sha256"] for row in csv.DictReader(file)}
        return self._manifest

    def digest(self, image_id: str) -> str | None:
        """Return the SHA-256 of a film's pixels from the manifest."""
        return self.manifest()[image_id]

    def check_root(self) -> None:
        """Refuse a folder of other films, before anything is downloaded or drawn for it."""
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root} is a file; data.root names a folder")
        others = sorted(self.root.iterdir()) if self.root.is_dir() else []
        if others and not (self.root / "Info.txt").is_file():  # another process may just have finished it
            raise InputError(
                f"{self.root} has no Info.txt but other files, {others[0].name} for example; name another folder by "
                "data.root, or leave it out"
            )

    def prepare(self) -> None:
        """Put the films into `root`: use the folder if it is there, else the archive on disk, else download it.

        Raises:
            FileNotFoundError: None of the three works; the message says where they were looked for and what to do.
        """
        if (self.root / "Info.txt").is_file():
            return
        if self.archive is not None:
            if not self.archive.is_file():
                raise FileNotFoundError(f"no archive at {self.archive}; mend data.archive or MAMMO_MIAS_ARCHIVE")
            return download.extract(self.archive, self.root, expected=expected_member)
        self.check_root()
        target = self.root.with_name("all-mias.tar.gz")
        try:
            if not (self.download or target.is_file()):
                raise OSError(f"{self.url} is not used, because data.download=false")
            download.fetch(self.url, target)
        except OSError as error:
            raise FileNotFoundError(
                f"no mini-MIAS films: folder {self.root} has no Info.txt; no archive named, none at {target}; "
                f"download: {error}. Either name the archive by data.archive=<path to all-mias.tar.gz> or "
                "MAMMO_MIAS_ARCHIVE, or run `python -m mammo data fetch` with a network connection"
            ) from error
        download.extract(target, self.root, expected=expected_member)

    def findings(self) -> pd.DataFrame:
        """Return the findings table (see `mammo.datasets.findings`).

        Raises:
            FileNotFoundError: Info.txt or a film of the manifest is missing.
            InputError: Info.txt is malformed, or does not describe the films of the manifest.
        """
        info = self.root / "Info.txt"
        if self.archive is not None:
            self.prepare()
        if not info.is_file():
            raise FileNotFoundError(
                f"no films in {self.root}: it has no Info.txt; run `python -m mammo data fetch {self.name}`"
            )
        rows = parse_info(info.read_text(encoding="ascii", errors="replace"), str(info), self.name)
        films, listed = set(self.manifest()), {str(row["image_id"]) for row in rows}
        if films != listed:
            odd = sorted(films ^ listed)
            raise InputError(f"{info}: {len(odd)} films are in only one of it and the manifest: {odd[0]}, ...")
        missing = [image_id for image_id in sorted(films) if not self.path(image_id).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(films)} films are missing, the first is {self.path(missing[0])}; "
                f"delete {self.root} and fetch the films again"
            )
        return findings_table([{"dataset": self.name, "path": str(self.path(row["image_id"])), **row} for row in rows])

    def path(self, image_id: object) -> Path:
        """Return the path of a film."""
        return self.root / f"{image_id}.pgm"

    def read(self, image_id: str) -> Film:
        """Return a film, (1024, 1024) uint8, after comparing it with the manifest.

        Raises:
            InputError: The film is truncated or altered.
        """
        path = self.path(image_id)
        try:
            film = read_film(path)
        except UnreadableFilm as error:  # the archive is known and whole, so this is not to be passed over
            raise InputError(str(error)) from error
        if pixel_digest(film.pixels) != self.manifest()[image_id]:
            raise InputError(f"{path}: pixels differ from the manifest; delete {self.root} and fetch the films again")
        return replace(film, spacing_mm=SPACING_MM, laterality=_laterality(int(image_id[3:])), view="MLO")


def _laterality(number: int) -> str:
    return "right" if number % 2 else "left"


def expected_member(name: str) -> int | None:
    """Return the largest size in bytes of a member of the archive; None for a name that is not expected."""
    if name in ("Info.txt", "Licence.txt", "README", "README.txt"):
        return 100_000
    return SIDE_PX * SIDE_PX + 100 if FILM.fullmatch(name) else None


def parse_info(text: str, source: str = "Info.txt", dataset: str = "mias") -> list[dict[str, object]]:
    """Return the rows of a findings table from the text of Info.txt, without `dataset` and `path`.

    In the file y counts from the bottom, in the rows from the top. Density is the file's letter.
    `dataset` begins the names of the patients.

    Raises:
        InputError: A row is malformed; the message gives its line number.
    """
    rows: list[dict[str, object]] = []
    seen: dict[str, list[object]] = {}  # the severities of a film's rows so far
    for number, line in enumerate(text.splitlines(), start=1):
        if not ROW.match(line):
            continue
        fields = line.split()
        try:
            row = _parse_row(fields, dataset)
        except ValueError as error:
            raise InputError(
                f"{source}, line {number}: {error}; expected `id tissue NORM`, "
                f"or `id tissue class severity [x y radius | *NOTE 3*]`, found `{line.strip()}`"
            ) from None
        severities = seen.setdefault(fields[0], [])
        severities.append(row["severity"])
        if "normal" not in severities:
            row["finding_id"] = len(severities)
        elif len(severities) > 1:
            raise InputError(f"{source}, line {number}: film {fields[0]} is normal and has another row; expected one")
        rows.append(row)
    if not rows:
        raise InputError(f"{source}: no row that describes a film; expected lines such as `mdb003 D NORM`")
    return rows


def _parse_row(fields: list[str], dataset: str) -> dict[str, object]:
    image_id, tissue, finding, *rest = fields if len(fields) > 2 else [*fields, "", "", ""][:3]
    if not FILM.fullmatch(f"{image_id}.pgm"):
        raise ValueError(f"'{image_id}' is not the id of a film")
    number = int(image_id.removeprefix("mdb"))
    if tissue not in TISSUES:
        raise ValueError(f"tissue '{tissue}' is none of {', '.join(TISSUES)}")
    row: dict[str, object] = {
        "image_id": image_id,
        "finding_id": 0,
        "patient": f"{dataset}-{(number + 1) // 2:03d}",
        "laterality": _laterality(number),
        "view": "MLO",
        "density": tissue,
        "finding": finding,
        "severity": "normal",
        "severity_source": "unstated",
        "spacing_mm": SPACING_MM,
    }
    if finding == "NORM":
        if rest:
            raise ValueError("a normal film has further fields")
        return row
    if finding not in FINDINGS:
        raise ValueError(f"class '{finding}' is none of NORM, {', '.join(FINDINGS)}")
    severity, *circle = rest or [""]
    if severity not in SEVERITIES:
        raise ValueError(f"severity '{severity}' is none of {', '.join(SEVERITIES)}")
    row["severity"] = SEVERITIES[severity]
    if circle and circle != ["*NOTE", "3*"]:
        if len(circle) != 3 or not all(field.isdecimal() for field in circle):
            raise ValueError("a circle is three whole numbers")
        x, y, radius = map(int, circle)
        if not (0 <= x < SIDE_PX and 0 <= y < SIDE_PX and 0 < radius < SIDE_PX):
            raise ValueError(f"the circle lies outside the film of {SIDE_PX} x {SIDE_PX} pixels")
        row |= {"x_px": float(x), "y_px": float(SIDE_PX - 1 - y), "radius_px": float(radius)}
    return row
