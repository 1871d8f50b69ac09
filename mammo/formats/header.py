"""The header of a film, read without its pixels, in parallel for many files, and remembered.

Lengths are in millimetres. The patient's name and birth date are never read.
"""

import itertools
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mammo.errors import UnreadableFilm
from mammo.formats import READING_VERSION, dicom, pictures
from mammo.formats.levels import notes_of
from mammo.formats.pixels import opened, whole_of
from mammo.formats.remembered import Remembered
from mammo.formats.stream import has_pixels, layout_of
from mammo.formats.tags import Tags, is_dicom, positive, read_tags
from mammo.processes.workers import shared_out

VERSION = 9  # raise it if this file changes a header; a change of the reading of films raises READING_VERSION
MANY = 400  # files from which on several processes read: they take half a second to start
AT_ONCE = 50  # files that a process answers at once, which takes a tenth of the time of one by one


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
        patient, exam, acquisition: PatientID, StudyInstanceUID, SOPInstanceUID; None if they are not stated.
        taken: Date and time of the acquisition to the second, `20190102 101112`; None without both.
        dose: OrganDose in dGy; None if it is not stated.
        scanner: Manufacturer and ManufacturerModelName; None if neither is stated.
        photometric: PhotometricInterpretation; None if it is not stated.
        kvp: Peak voltage of the tube in kV; None if it is not stated.
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
    acquisition: str | None = None
    taken: str | None = None
    dose: float | None = None
    scanner: str | None = None
    photometric: str | None = None
    kvp: float | None = None
    notes: tuple[str, ...] = ()
    refused: str | None = None


_TIME = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d) (\d\d):?(\d\d):?(\d\d)", re.ASCII)  # with the marks of old files, too
FIELDS = {one.name for one in fields(Header)}


def read_header(source: Path | str | bytes) -> Header:
    """Read the header of a film; a file that is none has the reason in `refused`.

    Args:
        source: The file, or its content, whose header has no path.
    """
    path = "" if isinstance(source, bytes) else str(source)
    try:
        with opened(source) as file:
            if is_dicom(file):
                return _dicom(path, *read_tags(file))
            frame = pictures.frame_of(whole_of(file))
            return Header(path, frame.format, frame.height, frame.width, frame.bits, notes=frame.notes)
    except UnreadableFilm as error:
        return Header(path, refused=str(error))


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
        "acquisition": _plain(tags.text("SOPInstanceUID")),
        "taken": _taken(tags),
        "dose": positive(tags.real("OrganDose")),
        "scanner": _plain(f"{tags.decoded('Manufacturer')} {tags.decoded('ManufacturerModelName')}"),
        "photometric": _plain(tags.text("PhotometricInterpretation")),
        "kvp": positive(tags.real("KVP")),
        "height": tags.whole("Rows") or 0,
        "width": tags.whole("Columns") or 0,
        "bits": tags.whole("BitsStored") or 0,
    }
    with suppress(UnreadableFilm):  # of a refused film too, so that it alone stands in the way of no crop in mm
        known["spacing_mm"] = dicom.spacing_of(tags)[0]
    try:
        dicom.refuse(tags, has_pixels(file))  # type: ignore[arg-type]
        layout, facts = layout_of(tags), dicom.facts_of(tags)
        known["bits"] = layout.stored
        known["notes"] = (*notes_of(tags, layout.stored, layout.signed), *facts.notes)
    except UnreadableFilm as error:
        known["refused"] = str(error)
    return Header(path, "DICOM", **known)  # type: ignore[arg-type]


def _taken(tags: Tags) -> str | None:
    """Return date and time to the second; those of AcquisitionDateTime if the others do not tell them."""
    both = tags.text("AcquisitionDateTime")
    for stated in (f"{tags.text('AcquisitionDate')} {tags.text('AcquisitionTime')}", f"{both[:8]} {both[8:]}"):
        found = _TIME.match(stated)
        if found and (time := "".join(found.groups()[3:])).strip("0"):  # midnight stands for an unknown time
            return f"{''.join(found.groups()[:3])} {time}"
    return None


def _plain(text: str | None) -> str | None:
    """Return a text on one line and without control characters, which a terminal would obey; None if it is empty."""
    text = text or ""
    if not text.isprintable():
        text = "".join(one if one.isprintable() else " " for one in text)
    return " ".join(text.split()) or None


def read_headers(paths: Iterable[Path | str], remember: bool = True) -> list[Header]:
    """Read the headers of films, in the order of `paths`.

    Args:
        paths: The files. Many are read by several processes.
        remember: True keeps the headers below `MAMMO_HOME`, and takes those that are kept of unchanged files, see
            `remembered.state_of`.
    """
    names = [str(path) for path in paths]
    memory = Remembered("headers", f"{READING_VERSION} {VERSION}") if remember else None
    kept = {} if memory is None else memory.recall(dict.fromkeys(names))
    known = {name: _header(name, facts) for name, facts in kept.items() if set(facts) == FIELDS}
    missing = [name for name in dict.fromkeys(names) if name not in known]
    found = dict(zip(missing, _read(missing), strict=True))
    if memory is not None:
        memory.keep({name: vars(one) for name, one in found.items()})  # asdict copies, which takes longer than JSON
    known |= found
    return [known[name] for name in names]


def _read(paths: list[str]) -> list[Header]:
    if len(paths) < MANY:
        return list(map(read_header, paths))
    found: list[Header] = []
    several = len(paths) // AT_ONCE  # parts of nearly the same length, none of them short
    ends = [len(paths) * number // several for number in range(several + 1)]
    parts = [paths[start:end] for start, end in itertools.pairwise(ends)]
    for part, some in zip(parts, shared_out(lambda part: list(map(read_header, part)), parts), strict=True):
        if not isinstance(some, UnreadableFilm):
            found += some
            continue
        for path, one in zip(part, shared_out(read_header, part), strict=True):  # a process died; of which film?
            found.append(Header(path, refused=str(one)) if isinstance(one, UnreadableFilm) else one)
    return found


def _header(name: str, facts: dict[str, Any]) -> Header:
    return Header(**facts | {"path": name, "notes": tuple(facts["notes"])})
