"""mini-MIAS: 322 films of 161 women as PGM files, a text file of findings, and a manifest of the pixels."""

import csv
import os
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mammo.datasets import download
from mammo.datasets.film import Film, pixel_digest, read_film
from mammo.datasets.findings import findings_table
from mammo.datasets.mias_info import FILM, SIDE_PX, SPACING_MM, compared, decoded, laterality_of, parse_info
from mammo.errors import InputError, UnreadableFilm
from mammo.paths import home
from mammo.wording import number_of


class MIAS:
    """The mini-MIAS database (Suckling et al. 1994), 8 bit, 1024 x 1024, 0.2 mm per pixel, all MLO.

    - 322 films of 161 women: film 2k-1 is a woman's right breast, film 2k her left.
    - 207 normal films, 115 abnormal (63 of them benign only); 101 women have one abnormal breast, 7 two.
    - 330 rows in Info.txt: NORM 207, CALC 30, CIRC 25, ARCH 19, SPIC 19, MISC 15, ASYM 15; 69 benign,
      54 malignant. 119 of them have a circle, on 111 films.
    - Oddities: `mdb059` has no circle; `mdb216`, `mdb233` and `mdb245` have `*NOTE 3*` instead (calcifications
      spread over the film). `mdb226` has three rows, `mdb005 132 144 223 239 249` two; `mdb144` is benign and
      malignant. y counts from the bottom: it is flipped in `parse_info`, and nowhere else.
    - Copies go round whose Info.txt is edited: in the most widespread one, `mdb212` and `mdb214` are normal. Any
      Info.txt is used, and `notes` says which films' rows are not those of the original.
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
        self.notes: list[str] = []
        self._manifest: dict[str, dict[str, str]] = {}  # by column
        self._films: Path | None = None

    @property
    def manifest_path(self) -> Path:
        """The path of a CSV with `image_id, sha256`, the digest of each film's pixels, and `rows`, of its findings."""
        return Path(__file__).with_name("mias_sha256.csv")

    def manifest(self, column: str = "sha256") -> dict[str, str]:
        """Return the SHA-256 of each film's pixels by `image_id`, or its column `rows`, which may be empty."""
        if not self._manifest:
            with self.manifest_path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            columns = ("sha256", "rows")
            self._manifest = {one: {row["image_id"]: row[one] for row in rows if one in row} for one in columns}
        return self._manifest[column]

    def digest(self, image_id: str) -> str | None:
        """Return the SHA-256 of a film's pixels from the manifest."""
        return self.manifest()[image_id]

    @property
    def films(self) -> Path:
        """The folder of the films: the root, or one below it, as in the copies of others."""
        if self._films is None:
            places = (found for depth in ("", "*/", "*/*/") for found in sorted(self.root.glob(f"{depth}mdb001.pgm")))
            self._films = next((place.parent for place in places), None)
        return self._films or self.root

    def info(self) -> Path | None:
        """Return the path of Info.txt, which lies beside the films or above them; None if it is not there."""
        above = [one for one in (self.films, *self.films.parents) if self.root in (one, *one.parents)]
        return next((one / "Info.txt" for one in above if (one / "Info.txt").is_file()), None)

    def check_root(self) -> None:
        """Refuse a folder of other films, before anything is downloaded or drawn for it."""
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root} is a file; data.root names a folder")
        others = sorted(self.root.iterdir()) if self.root.is_dir() else []
        if others and self.info() is None:  # another process may just have finished it
            tars = [one for one in others if one.name in ("all-mias.tar", "all-mias.tar.gz")]
            raise InputError(
                f"{self.root} has no Info.txt but other files, {others[0].name} for example; "
                + (f"name the archive, data.archive={tars[0]}, and " if tars else "")
                + (
                    f"Info.txt is in {self.root.parent}: put it beside the films, or "
                    * (self.root.parent / "Info.txt").is_file()
                )
                + "name another folder by data.root, or leave it out"
            )

    def prepare(self) -> None:
        """Put the films into `root`: use the folder if it is there, else the archive on disk, else download it.

        Raises:
            FileNotFoundError: None of the three works; the message says where they were looked for and what to do.
        """
        if self.info() is not None:
            return
        if self.archive is not None:
            if self.archive.is_dir():
                raise InputError(f"{self.archive} is a folder, not an archive; name a folder of films by data.root")
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
        if other := download.what_else(target):  # it is not kept as the archive, so that a later run fetches it again
            target.unlink()
            raise InputError(f"{self.url} is {other}")
        download.extract(target, self.root, expected=expected_member)

    def findings(self) -> pd.DataFrame:
        """Return the findings table (see `mammo.datasets.findings`).

        Raises:
            FileNotFoundError: Info.txt or a film of the manifest is missing.
            InputError: Info.txt is malformed, or does not describe the films of the manifest.
        """
        if self.archive is not None:
            self.prepare()
        if (info := self.info()) is None:
            raise FileNotFoundError(
                f"no films in {self.root}: it has no Info.txt; run `python -m mammo data fetch {self.name}`"
            )
        rows = parse_info(decoded(content := info.read_bytes()), str(info), self.name)
        films, listed = set(self.manifest()), {str(row["image_id"]) for row in rows}
        if films != listed:
            odd = sorted(films ^ listed)
            raise InputError(
                f"{info}: {number_of(len(odd), 'film is', 'films are')} missing or unknown, {odd[0]} for example; "
                "use the original Info.txt"
            )
        self.check_films(sorted(films))
        self.notes[:] = compared(content, rows, self.manifest("rows"))
        return findings_table([{"dataset": self.name, "path": str(self.path(row["image_id"])), **row} for row in rows])

    def check_films(self, films: list[str]) -> None:
        """Raise FileNotFoundError if a film is not on disk."""
        if missing := [image_id for image_id in films if not self.path(image_id).is_file()]:
            raise FileNotFoundError(
                f"{len(missing)} of {len(films)} films are missing, the first is {self.path(missing[0])}; "
                f"delete {self.root} and fetch the films again"
            )

    def path(self, image_id: object) -> Path:
        """Return the path of a film."""
        return self.films / f"{image_id}.pgm"

    def read(self, image_id: str) -> Film:
        """Return a film, (1024, 1024) uint8, after comparing it with the manifest.

        Raises:
            InputError: The film is truncated or altered.
        """
        side = laterality_of(int(image_id[3:]))
        return replace(self.verified(image_id), spacing_mm=SPACING_MM, laterality=side, view="MLO")

    def verified(self, image_id: str) -> Film:
        """Return the film of a file, which is compared with the manifest."""
        path = self.path(image_id)
        try:
            film = read_film(path)
        except UnreadableFilm as error:  # the archive is known and whole, so this is not to be passed over
            raise InputError(str(error)) from error
        if pixel_digest(film.pixels) != self.manifest()[image_id]:
            raise InputError(f"{path}: pixels differ from the manifest; delete {self.root} and fetch the films again")
        return film


def expected_member(name: str) -> int | None:
    """Return the largest size in bytes of a member of the archive; None for a name that is not expected."""
    if name in ("Info.txt", "Licence.txt", "README", "README.txt"):
        return 100_000
    return SIDE_PX * SIDE_PX + 100 if FILM.fullmatch(name) else None
