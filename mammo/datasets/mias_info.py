"""mini-MIAS's Info.txt: its rows as findings, and how a copy of it differs from the original."""

import gzip
import hashlib
import lzma
import re
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mammo.errors import InputError

TISSUES = ("F", "G", "D")  # fatty, fatty-glandular, dense-glandular
FINDINGS = ("CALC", "CIRC", "SPIC", "MISC", "ARCH", "ASYM")
SEVERITIES = {"B": "benign", "M": "malignant"}
SIDE_PX = 1024
SPACING_MM = 0.2
ROW = re.compile(r"\s*mdb\d")  # a line of Info.txt that describes a film, even if its id is malformed
FILM = re.compile(r"(mdb\d{3,})\.pgm")
ORIGINAL = "78821d5ff471c27364d429424370b846a6e3fe06f470936776858103c05fbddd"  # SHA-256 of the original's bytes
FEW = 4  # changed films that a note describes


def laterality_of(number: int) -> str:
    """Return the breast that a film shows: odd numbers are right ones (note 1 of Info.txt)."""
    return "right" if number % 2 else "left"


def read_info(path: Path) -> tuple[str, bytes]:
    """Return the place and the content of an Info.txt, which may lie in mini-MIAS's archive.

    Raises:
        FileNotFoundError: The file does not exist.
        InputError: The archive has no Info.txt.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; name mini-MIAS's Info.txt, or its all-mias.tar.gz")
    try:
        if not tarfile.is_tarfile(path):
            return str(path), path.read_bytes()
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isreg() and Path(member.name).name == "Info.txt" and (file := tar.extractfile(member)):
                    return f"Info.txt in {path}", file.read()
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, ValueError) as error:
        raise InputError(f"{path} is a damaged archive ({error}); name a whole one, or its Info.txt") from None
    raise InputError(f"{path} has no Info.txt; name mini-MIAS's Info.txt, or its all-mias.tar.gz")


def decoded(content: bytes) -> str:
    """Return the text of an Info.txt; a byte order mark and foreign letters in its header do no harm."""
    return content.removeprefix(b"\xef\xbb\xbf").decode("ascii", errors="replace")


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
        "laterality": laterality_of(number),
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


def full_circle(row: dict[str, Any], width: int, height: int) -> tuple[float, float, float]:
    """Return the centre and radius of a circle of mini-MIAS in pixels of the upright film at full resolution.

    In mini-MIAS, circles of left breasts lie a pixel too far to the right and up, compared with the 57 of them in the
    archive's own table; this is mended. Those of right breasts do not.

    Args:
        row: A row with `x_px, y_px, radius_px` on the film of 1024 x 1024, and `laterality`.
        width, height: The size of the upright film.
    """
    shift = 1 if row["laterality"] == "left" else 0
    x = 4 * (row["x_px"] - shift + 0.5) + (width - 4 * SIDE_PX) / 2 - 0.5
    y = 4 * (row["y_px"] + shift + 0.5) + (height - 4 * SIDE_PX) / 2 - 0.5
    return x, y, 4 * row["radius_px"]


def rows_of(rows: list[dict[str, object]]) -> dict[str, str]:
    """Return what each film's rows say, as `F CIRC B 477 133 30; F CIRC B 500 168 26`; layout does not count."""
    said: dict[str, list[str]] = {}
    for row in rows:
        said.setdefault(str(row["image_id"]), []).append(_said(row))
    return {image_id: "; ".join(lines) for image_id, lines in said.items()}


def _said(row: dict[str, object]) -> str:
    """Return a row in the words of Info.txt, y counted from the bottom."""
    words = [row["density"], row["finding"]]
    if row["severity"] != "normal":
        words.append(str(row["severity"])[0].upper())
    if "x_px" in row:
        words += [int(row["x_px"]), SIDE_PX - 1 - int(row["y_px"]), int(row["radius_px"])]  # type: ignore[call-overload]
    return " ".join(map(str, words))


def fingerprint(said: str) -> str:
    """Return the digest of a film's rows that the manifest of the original holds."""
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def compared(content: bytes, rows: list[dict[str, object]], pinned: Mapping[str, str]) -> list[str]:
    """Say how an Info.txt differs from the original, in one line, or nothing.

    Args:
        content: The bytes of the file.
        rows: What `parse_info` makes of them.
        pinned: The digest of each film's rows in the original, as `fingerprint` gives it; empty compares nothing.
    """
    own = hashlib.sha256(content).hexdigest()
    if not pinned or own == ORIGINAL:
        return []
    here = rows_of(rows)
    changed = [one for one in here if one in pinned and fingerprint(here[one]) != pinned[one]]
    lacking, more = sorted(set(pinned) - set(here)), sorted(set(here) - set(pinned))
    if not (changed or lacking or more):
        return [f"Info.txt is another edition of the original, with the same rows (SHA-256 {own[:8]}...)"]
    were = {fingerprint(f"{tissue} NORM") for tissue in TISSUES}  # normal in the original, of another tissue
    normal = [one for one in changed if here[one].endswith("NORM") and pinned[one] not in were]
    others = [one for one in changed if one not in normal]
    said = [f"{_listed(normal)} {'is' if len(normal) == 1 else 'are'} NORM here"] if normal else []
    said += [f"{one} is `{here[one]}` here" for one in others[:FEW]]
    said += [f"the rows of {len(others) - FEW} more films differ"] if len(others) > FEW else []
    said += [f"it has no row of {_listed(lacking)}"] if lacking else []
    said += [f"it adds {_listed(more)}"] if more else []
    return [f"**Info.txt differs from the original: {'; '.join(said)}** (SHA-256 {own[:8]}...)"]


def _listed(names: list[str]) -> str:
    shown = names if len(names) <= FEW else [*names[:FEW], f"{len(names) - FEW} more films"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
