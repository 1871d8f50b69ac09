"""The DICOM film that an answer is about: its header, which an object of our own repeats, and names for that object.

Patient and study are those of the film, as it says them, and nothing is added: what is empty or missing there is empty
here. Names of our objects are hashes of those of the film and of the model, so they tell nothing of anybody.
"""

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import AlgorithmIdentification, FindingSite
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from mammo import __version__
from mammo.errors import UnreadableFilm
from mammo.files import whole
from mammo.formats.header import read_header
from mammo.formats.pixels import opened
from mammo.formats.tags import is_dicom, quiet
from mammo.inference.answers import WARNING
from mammo.inference.dicom_codes import SCHEME, SIDES
from mammo.inference.films import contradicted
from mammo.run_folder import RunFolder

UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
MAY_BE_EMPTY = (  # that every object has, and that may be empty in it
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
DATES = "LongitudinalTemporalInformationModified"  # of de-identification, highdicom copies all else
MAKER = "mammo"
SERIES = 9001  # the series number of reports; that of segmentations is one more
BROKEN = (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, OSError)  # raised for odd headers


@dataclass(frozen=True)
class Model:
    """The model that answers, as DICOM names it."""

    name: str
    digest: str

    @classmethod
    def of(cls, run: RunFolder) -> "Model":
        """Return the name and the digest of a run."""
        return cls(f"{MAKER} {run.config.task.name} by {run.config.network}"[:64], run.digest)

    def algorithm(self, head: str) -> AlgorithmIdentification:
        """Return the identification of the model, with the head that answers."""
        return AlgorithmIdentification(self.name, self.digest, parameters=[f"head={head}", WARNING])

    @property
    def equipment(self) -> dict[str, Any]:
        """The device that makes an object."""
        return {
            "manufacturer": MAKER,
            "manufacturer_model_name": self.name,
            "software_versions": __version__,
            "device_serial_number": self.digest[:64],
        }


def read_source(path: Path | str) -> Dataset:
    """Return the header of a DICOM film, in which what may be empty is there.

    Raises:
        UnreadableFilm: It is no DICOM file, or lacks what an object that refers to it needs.
    """
    with opened(Path(path)) as file:
        if not is_dicom(file):
            raise UnreadableFilm("it is no DICOM file")
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    except (InvalidDicomError, *BROKEN) as error:
        raise UnreadableFilm(f"its header cannot be read ({error})") from None
    for keyword in UIDS:
        if not UID(str(header.get(keyword, ""))).is_valid:
            raise UnreadableFilm(f"it has no valid {keyword}, to which an object could refer")
    for keyword in MAY_BE_EMPTY:
        if header.get(keyword) is None:
            setattr(header, keyword, "")
    return header


def carry(source: Dataset, made: Dataset) -> None:
    """Copy what a film says of its de-identification, if highdicom does not."""
    if DATES in source:
        made[DATES] = source[DATES]


def site(laterality: str | None) -> FindingSite:
    """Return the breast as a place, with its side if that is known."""
    return FindingSite(codes.SCT.Breast, laterality=None if laterality is None else SIDES.get(laterality))


def scheme() -> list[CodingSchemeIdentificationItem]:
    """Return what 99MAMMO is."""
    return [CodingSchemeIdentificationItem(SCHEME, name="Words of mammo", responsible_organization=MAKER)]


def uid_of(*facts: object) -> str:
    """Return a UID that only these facts give, below 2.25, the root of numbers without an owner (PS3.5 B.2)."""
    found = hashlib.sha256("\0".join(map(str, facts)).encode()).digest()
    return f"2.25.{int.from_bytes(found[:16], 'big')}"


def save(made: Dataset, folder: Path) -> Path:
    """Write an object into a folder, under its UID, unless it is there; the same UID is the same answer.

    Raises:
        UnreadableFilm: A value that it has from the film cannot be written.
    """
    path, data = folder / f"{made.SOPInstanceUID}.dcm", BytesIO()
    if path.exists():
        return path
    try:
        made.save_as(data, enforce_file_format=True)
    except BROKEN as error:
        raise UnreadableFilm(f"its header has a value that cannot be written ({one_line(error)})") from None
    with whole(path) as temporary:
        temporary.write_bytes(data.getvalue())
    return path


@contextmanager
def silent() -> Iterator[None]:
    """Keep warnings of pydicom and highdicom from the terminal; some have the patient's name."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def one_line(error: Exception) -> str:
    """Return the words of an error on one line."""
    return " ".join(str(error).split())


def names_of(source: Dataset, kind: str, model: Model, answer: Mapping[str, Any] | str) -> dict[str, Any]:
    """Return the names and numbers of an object: all of a kind by one model of a study are in one series."""
    return {
        "series_instance_uid": uid_of("series", kind, source.StudyInstanceUID, model.digest),
        "sop_instance_uid": uid_of(kind, source.SOPInstanceUID, model.digest, answer),
    }


def check_named(path: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a film whose header tells another side or patient than its row: an archive would file it wrongly.

    Raises:
        UnreadableFilm: It does.
    """
    odd = {name for row in rows for name in contradicted(row, read_header(path))} - {"view"}
    if odd:
        raise UnreadableFilm(
            f"the header tells another {' and '.join(sorted(odd))} than was given for the film; mend the one that is "
            "wrong, or leave the column out"
        )
