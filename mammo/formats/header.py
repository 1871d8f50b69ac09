"""The header of a film, read without its pixels, in parallel for many files, and remembered.

Lengths are in millimetres. The patient's name and birth date are never read.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from mammo.errors import UnreadableFilm
from mammo.formats import READING_VERSION, dicom, pictures
from mammo.formats.levels import levels_of
from mammo.formats.pixels import opened, whole_of
from mammo.formats.stream import has_pixels, layout_of
from mammo.formats.tags import Tags, is_dicom, read_tags
from mammo.paths import home
from mammo.processes.workers import shared_out

VERSION = 4  # raise it if this file changes a header; a change of the reading of films raises READING_VERSION
MANY = 400  # files from which on several processes read: they take half a second to start
_TABLE = "CREATE TABLE IF NOT EXISTS headers (path TEXT PRIMARY KEY, state TEXT NOT NULL, header TEXT NOT NULL)"


@dataclass(frozen=True)
class Header:
    """The facts that a film's file states, before its pixels are decoded.

    Attributes:
        path: The file.
        format: DICOM, PNG, ...; empty if it is none that is read.
        height, width, bits: The size in pixels, and the bits of a stored level; 0 if unknown.
        spacing_mm: Side of a pixel; None if unknown.
        laterality: `left`, `right` or None.
        view: MLO, CC or another, or None.
        patient, exam: PatientID and StudyInstanceUID; None if they are not stated.
        notes: What will be done with the pixels, and guesses about them, one line each.
        refused: The reason why the file cannot be used as a film; None if none is known before decoding.
    """

    path: str
    format: str = ""
    height: int = 0
    width: int = 0
    bits: int = 0
    spacing_mm: float | None = None
    laterality: str | None = None
    view: str | None = None
    patient: str | None = None
    exam: str | None = None
    notes: tuple[str, ...] = ()
    refused: str | None = None


def read_header(path: Path | str) -> Header:
    """Read the header of a film; a file that is none has the reason in `refused`."""
    try:
        with opened(Path(path)) as file:
            if is_dicom(file):
                return _dicom(str(path), *read_tags(file))
            frame = pictures.frame_of(whole_of(file))
            return Header(str(path), frame.format, frame.height, frame.width, frame.bits, notes=frame.notes)
    except UnreadableFilm as error:
        return Header(str(path), refused=str(error))


def begins_as_film(path: Path) -> bool:
    """Tell by its first bytes if a file is a picture or DICOM; True too for one that cannot be opened."""
    try:
        with opened(path) as file:
            return is_dicom(file) or pictures.is_picture(file.read(132))
    except UnreadableFilm:
        return True


def _dicom(path: str, tags: Tags, file: object) -> Header:
    """Return the header of a DICOM file whose tags are read; one that is refused keeps what is known of it."""
    known: dict[str, object] = {
        "laterality": dicom.laterality_of(tags),
        "view": _plain(dicom.view_of(tags)),
        "patient": _plain(tags.decoded("PatientID")),
        "exam": _plain(tags.text("StudyInstanceUID")),
        "height": tags.whole("Rows") or 0,
        "width": tags.whole("Columns") or 0,
        "bits": tags.whole("BitsStored") or 0,
    }
    try:
        dicom.refuse(tags, has_pixels(file))  # type: ignore[arg-type]
        layout, facts = layout_of(tags), dicom.facts_of(tags)
        known |= {"bits": layout.stored, "spacing_mm": facts.spacing_mm}
        known["notes"] = (*levels_of(tags, layout.stored, layout.signed).notes, *facts.notes)
    except UnreadableFilm as error:
        known["refused"] = str(error)
    return Header(path, "DICOM", **known)  # type: ignore[arg-type]


def _plain(text: str | None) -> str | None:
    """Return a text on one line and without control characters, which a terminal would obey; None if it is empty."""
    return " ".join("".join(one if one.isprintable() else " " for one in text or "").split()) or None


def read_headers(paths: Iterable[Path | str], remember: bool = True) -> list[Header]:
    """Read the headers of films, in the order of `paths`.

    Args:
        paths: The files. Many are read by several processes.
        remember: True keeps the headers below `MAMMO_HOME`, and takes those that are kept of unchanged files: same
            path, size and time.
    """
    names = [str(path) for path in paths]
    states = {name: _state(name) for name in names}
    known = _remembered(states) if remember else {}
    missing = [name for name in states if name not in known]
    found = _read(missing)
    if remember and found:
        _remember(found, states)
    known |= zip(missing, found, strict=True)
    return [known[name] for name in names]


def _read(paths: list[str]) -> list[Header]:
    if len(paths) < MANY:
        return list(map(read_header, paths))
    return [
        Header(path, refused=str(one)) if isinstance(one, UnreadableFilm) else one
        for path, one in zip(paths, shared_out(read_header, paths), strict=True)
    ]


def _state(path: str) -> str:
    """Return what an unchanged file keeps: its size and time, and the version of this reader."""
    try:
        facts = Path(path).stat()
    except OSError:
        return ""
    return f"{READING_VERSION} {VERSION} {facts.st_size} {facts.st_mtime_ns}"


def _index_path() -> Path:
    return home() / "headers" / "headers.sqlite"


def _index() -> sqlite3.Connection:
    path = _index_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):  # it holds PatientIDs: nobody else may read it
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    if not os.access(path, os.R_OK | os.W_OK):  # another user's
        raise PermissionError(path)
    index = sqlite3.connect(path, timeout=30)
    index.execute(_TABLE)
    return index


def _remembered(states: dict[str, str]) -> dict[str, Header]:
    """Return the headers of unchanged files that are kept; a damaged index is removed, and none is."""
    found: dict[str, Header] = {}
    keys = {str(Path(name).absolute()): name for name in states}
    try:
        with closing(_index()) as index:
            for part in _parts(list(keys)):
                marks = ",".join("?" * len(part))
                for key, state, text in index.execute(
                    f"SELECT path, state, header FROM headers WHERE path IN ({marks})", part
                ):
                    name = keys[key]
                    if state == states[name]:
                        found[name] = _header(name, text)
    except (sqlite3.Error, OSError, ValueError, TypeError) as error:
        if not isinstance(error, OSError) and "locked" not in str(error):
            with suppress(OSError):
                _index_path().unlink(missing_ok=True)
        return {}
    return found


def _remember(headers: Sequence[Header], states: dict[str, str]) -> None:
    """Keep headers; if they cannot be kept, the next run reads them again."""
    rows = [
        (str(Path(one.path).absolute()), states[one.path], json.dumps(asdict(one)))
        for one in headers
        if states[one.path]
    ]
    try:
        with closing(_index()) as index, index:
            index.executemany("INSERT OR REPLACE INTO headers VALUES (?, ?, ?)", rows)
    except (sqlite3.Error, OSError):
        return


def _header(name: str, text: str) -> Header:
    facts = json.loads(text)
    if set(facts) != {one.name for one in fields(Header)}:
        raise ValueError("the headers of another version")
    return Header(**facts | {"path": name, "notes": tuple(facts["notes"])})


def _parts(keys: list[str]) -> list[list[str]]:
    return [keys[start : start + 500] for start in range(0, len(keys), 500)]
