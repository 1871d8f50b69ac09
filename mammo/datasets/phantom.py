"""The phantom: synthetic films of patients who do not exist, in exactly the layout of mini-MIAS, or of a machine."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from mammo.datasets.download import whole_folder
from mammo.datasets.film import Film, pixel_digest, write_pgm, write_picture
from mammo.datasets.findings import read_findings
from mammo.datasets.mias import MIAS
from mammo.datasets.mias_info import SIDE_PX
from mammo.datasets.scanners import SCANNERS, machine_masks, stream, write_films
from mammo.drawing.films import breast_mask, draw, film_masks
from mammo.drawing.lesions import Finding
from mammo.errors import InputError
from mammo.files import whole
from mammo.paths import home
from mammo.wording import number_of

VERSION = "v1"  # of the drawing; raise it whenever a pixel changes, so that old folders are not used
HEADER = """SYNTHETIC FILMS, in the layout of the MIAS MiniMammographic Database.

Drawn by mammo.datasets.phantom: no woman was examined, and nothing here may be taken for a finding about patients.
Columns: film, tissue, class, severity, x, y (from the bottom left corner) and radius in pixels.
"""

# Counts of mini-MIAS's patients by tissue, from its Info.txt: those without a finding or with one that has a circle
PLAIN = {
    "NORM": "F15 G16 D22", "CALC B": "F2 G3 D2", "CALC M": "F3 G1 D2", "CIRC B": "F5 G4 D3", "CIRC M": "F1 G2",
    "SPIC B": "F2 G4 D5", "SPIC M": "F3 G3 D2", "MISC B": "F2 G3 D1", "MISC M": "F4 G2 D1",
    "ARCH B": "F4 G2 D2", "ARCH M": "F2 G4 D3", "ASYM B": "F1 G2 D3", "ASYM M": "F2 G2 D4",
}  # fmt: skip
# All other patients, as tissue: right breast | left breast. `-`: a finding without a circle; `*`: one with NOTE 3
AWKWARD = [
    "F: | MISC B, MISC M", "D: | CALC M *", "G: CALC M | CALC B", "D: | CALC B, CALC B, CALC B", "F: CIRC B - |",
    "D: CALC M, CALC M | CALC B", "F: CIRC B, CIRC B |", "G: CALC M * |", "G: CIRC B | CIRC B", "F: CALC M * |",
    "F: CIRC B | ASYM M", "D: ARCH M | ARCH B", "F: | CIRC B, CIRC B", "F: CIRC M | CIRC B", "G: CALC M | CALC B",
    "D: CALC B, CALC B |", "D: CALC M, CALC M |",
]  # fmt: skip
MOST = 1_000_000  # patients
DECK = 161  # patients of the two tables


def deal(seed: int, patients: int) -> list[tuple[str, list[Finding], list[Finding]]]:
    """Return tissue, right findings and left findings of each patient, without circles; 161 patients equal mini-MIAS.

    Classes are spread evenly over the 161. The patients of `AWKWARD` come second, fourth and so on, so that a small
    phantom has all kinds of rows. A larger number of patients only appends some.
    """
    dealt: list[tuple[str, list[Finding], list[Finding]]] = []
    for deck in range(-(-patients // DECK)):
        rng = np.random.default_rng([seed, 0, deck])
        cards: list[tuple[float, str]] = []
        for kind, tissues in PLAIN.items():
            group = [part[0] for part in tissues.split() for _ in range(int(part[1:]))]
            for place, tissue in enumerate(rng.permutation(group)):
                finding = "" if kind == "NORM" else kind
                sides = (finding, "") if rng.random() < 0.5 else ("", finding)
                cards.append(((place + rng.random()) / len(group), f"{tissue}: {sides[0]} | {sides[1]}"))
        order = [card for _, card in sorted(cards)]
        for place, card in enumerate(AWKWARD):
            order.insert(2 * place + 1, card)
        dealt += [read_card(card) for card in order]
    return dealt[:patients]


def read_card(card: str) -> tuple[str, list[Finding], list[Finding]]:
    """Return tissue, right and left findings from a line such as those in `AWKWARD`."""
    sides: list[list[Finding]] = [[], []]
    for side, rows in zip(sides, card[2:].split("|"), strict=True):
        for row in filter(str.strip, rows.split(",")):
            kind, severity, *mark = row.split()
            side.append(Finding(kind, severity, "".join(mark)))
    return card[0], sides[0], sides[1]


class Phantom(MIAS):
    """Synthetic films of patients who do not exist, for tests and demonstrations. Results on them mean nothing.

    - Any number of patients, at least 2, with two films each. For every 161 patients, the tissue, classes, severities
      and awkward rows are exactly those of mini-MIAS; the seed decides which patient has which.
    - A film depends only on the seed and its number, so a larger number of patients only appends films.
    - Patients are called `phantom-001`; with another seed than 0 it is in the name, `phantom_s1-001`. Names of images,
      and PatientIDs in DICOM headers, do not have it.
    - Each finding that has a circle has a mask of exactly what is drawn (`mammo.drawing.lesions`), in `masks/` beside
      the films. A folder that was drawn without masks gets them when it is opened, if it can be written to.
    - Circles lie within the breast; their radii follow those of mini-MIAS by class. Lesions are drawn by a few
      simple rules, so they are easier to learn than real ones.
    - `scanner=cr` and `scanner=dr` show other patients, drawn alike, as other machines do, in DICOM files (see
      `mammo.datasets.scanners`). Their data sets are called `phantom_cr` and `phantom_dr`.
    """

    name = "phantom"
    licence = "that of the program"
    citation = "Nothing to cite: the films are drawn by mammo.datasets.phantom"

    def __init__(
        self, *, root: str | None = None, patients: int = 60, film_seed: int = 0, scanner: str = "film"
    ) -> None:
        if not all(isinstance(value, int) for value in (patients, film_seed)):
            raise InputError(f"data.patients={patients}, data.film_seed={film_seed}: expected whole numbers")
        if patients < 2:
            raise InputError(f"data.patients={patients} is too small; a phantom has at least 2 patients")
        if patients > MOST:
            raise InputError(
                f"data.patients={patients} is too many; expected at most {MOST:,}, whose films have about 2 TB"
            )
        if film_seed < 0:
            raise InputError(f"data.film_seed={film_seed} is negative; expected 0 or larger")
        if scanner not in ("film", *SCANNERS):
            raise InputError(f"data.scanner={scanner} is unknown; expected one of film, {', '.join(SCANNERS)}")
        self.name = "phantom" if scanner == "film" else f"phantom_{scanner}"
        super().__init__(root=root or str(home() / f"{self.name}-{patients}-{film_seed}-{VERSION}"), download=False)
        self.patients, self.film_seed, self.scanner = patients, film_seed, scanner

    @property
    def people(self) -> str:
        """The word before a patient's number. It has the seed, as phantoms of two seeds show other patients."""
        return f"{self.name}_s{self.film_seed}" if self.film_seed else self.name

    @property
    def manifest_path(self) -> Path:
        """The path of a CSV with `image_id, sha256`; it lies beside the films, because it depends on the seed."""
        return self.root / "manifest.csv"

    @property
    def masks(self) -> Path:
        """The folder of the masks, `<image_id>-<finding_id>.png`: 255 on the finding, 0 elsewhere."""
        return self.root / "masks"

    @property
    def drawn(self) -> str:
        """The line of Info.txt that gives the version, patients and seed of the drawing."""
        machine = "" if self.scanner == "film" else f", scanner {self.scanner}"
        return f"Phantom {VERSION} of {self.patients} women, film_seed {self.film_seed}{machine}"

    def prepare(self) -> None:
        """Draw all films and masks into `root`, unless they are there; on an error, none remains.

        Raises:
            InputError: `root` holds other films or files.
        """
        info = self.root / "Info.txt"
        if info.is_file():
            if self.drawn not in info.read_text(errors="replace").splitlines():
                raise InputError(f"{self.root} is not {self.drawn}; name another folder, or leave data.root out")
            if not self.masks.is_dir():
                self._add_masks()
            return
        self.check_root()
        with whole_folder(self.root) as folder:
            self._write(folder)
            self._write_masks(folder / self.masks.name)

    def _add_masks(self) -> None:
        """Draw the masks of a folder that has films alone, if it can be written to."""
        with suppress(OSError), whole_folder(self.masks) as folder:
            self._write_masks(folder)

    def findings(self) -> pd.DataFrame:
        """Return the findings table of the films, which are drawn if they are not there."""
        self.prepare()
        if self.scanner == "film":
            table = super().findings()
        else:
            table = read_findings(self.root / "findings.csv")
            table["path"] = table["image_id"].map(lambda image_id: str(self.path(image_id))).astype("string")
            self.check_films(sorted(set(table["image_id"])))
        there = {path.name for path in self.masks.iterdir()} if self.masks.is_dir() else set[str]()
        names = table["image_id"] + "-" + table["finding_id"].astype("string") + ".png"
        table["mask_path"] = names.where(names.isin(there)).map(lambda name: str(self.masks / name), na_action="ignore")
        table["mask_path"] = table["mask_path"].astype("string")
        table["patient"] = table["patient"].str.replace(f"{self.name}-", f"{self.people}-", regex=False)
        return table

    def path(self, image_id: object) -> Path:
        """Return the path of a film."""
        return super().path(image_id) if self.scanner == "film" else self.root / f"{image_id}.dcm"

    def read(self, image_id: str) -> Film:
        """Return a film, after comparing it with the manifest; that of another machine states its own facts."""
        return super().read(image_id) if self.scanner == "film" else self.verified(image_id)

    def breast_mask(self, image_id: str) -> Path | None:
        """Return the path of the breast's true mask, which is drawn when it is first asked for; None of a machine."""
        path = self.root / "breasts" / f"{image_id}.png"
        if self.scanner != "film":
            return None
        if not path.is_file():
            patient, side = divmod(int(image_id.removeprefix("mdb")) - 1, 2)
            tissue, *_ = deal(self._seed, self.patients)[patient]
            mask = breast_mask(self._seed, patient + 1, side + 1, tissue)
            with suppress(OSError):
                path.parent.mkdir(exist_ok=True)
            with suppress(OSError), whole(path) as temporary:
                write_picture(temporary, mask.astype(np.uint8) * 255, ".png")
        return path if path.is_file() else None

    @property
    def _seed(self) -> int:
        """The seed of the patients, who are others on each machine."""
        return self.film_seed if self.scanner == "film" else stream(self.film_seed, self.scanner)

    def _write_masks(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for patient, (tissue, *breasts) in enumerate(deal(self._seed, self.patients), start=1):
            for side, findings in enumerate(breasts, start=1):
                if all(finding.mark for finding in findings):
                    continue
                drawing = self._seed, patient, side, tissue, findings
                if self.scanner == "film":
                    image_id, masks = film_name(patient, side), film_masks(*drawing)
                else:
                    image_id = f"{self.name}-{patient:03d}-{'RL'[side - 1]}"
                    masks = machine_masks(SCANNERS[self.scanner], *drawing)
                for number, (finding, mask) in enumerate(zip(findings, masks, strict=True), start=1):
                    path = folder / f"{image_id}-{number}.png"
                    if not finding.mark:
                        write_picture(path, mask.astype(np.uint8) * 255)

    def _write(self, folder: Path) -> None:
        lines, digests = [], ["image_id,sha256"]
        seed = self._seed
        dealt = deal(seed, self.patients)
        bar = track(dealt, f"drawing {number_of(2 * self.patients, 'film')}", console=Console(stderr=True))
        if self.scanner != "film":
            write_films(folder, self.scanner, seed, bar)
            (folder / "Info.txt").write_text(f"SYNTHETIC FILMS: no woman was examined.\n{self.drawn}\n")
            return
        for patient, (tissue, *breasts) in enumerate(bar, start=1):
            for side, findings in enumerate(breasts, start=1):
                image_id = film_name(patient, side)
                film, placed = draw(self.film_seed, patient, side, tissue, findings)
                write_pgm(folder / f"{image_id}.pgm", film)
                digests.append(f"{image_id},{pixel_digest(film)}")
                lines += [f"{image_id} {tissue} {row}" for row in map(info_row, placed)] or [
                    f"{image_id} {tissue} NORM "
                ]
        (folder / "manifest.csv").write_text("\n".join(digests) + "\n")
        (folder / "Info.txt").write_text("\n".join([HEADER, self.drawn, "", *lines]) + "\n")


def film_name(patient: int, side: int) -> str:
    """Return the `image_id` of a patient's right (side 1) or left (2) film, as mini-MIAS counts them."""
    return f"mdb{2 * patient - 2 + side:03d}"


def info_row(finding: Finding) -> str:
    """Return a finding as Info.txt writes it, with y counted from the bottom."""
    circle = {"*": " *NOTE 3* ", "-": ""}.get(finding.mark, f" {finding.x} {SIDE_PX - 1 - finding.y} {finding.radius}")
    return f"{finding.kind} {finding.severity}{circle}"
