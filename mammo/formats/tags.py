"""The header of a DICOM file, read leniently: only the tags that are used, each as text or numbers.

No value passes pydicom's validation, so a fault in one tag, used or not, is no fault of the film. The name and the
birth date of the patient are not among the tags, so they are never read.
"""

import itertools
import logging
import math
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from typing import BinaryIO

from pydicom import dcmread
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from mammo.errors import UnreadableFilm
from mammo.formats.elements import MOST, elements_of
from mammo.formats.pixels import MOST_BYTES, check_bytes
from mammo.formats.silence import whole_at_fork

DEFLATED = "1.2.840.10008.1.2.1.99"
NUMBERS = {1: "B", 2: "H", 4: "I"}  # bytes of a whole number, and its format
USED = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "PatientID", "Modality", "BodyPartExamined",
    "SpecificCharacterSet", "PresentationIntentType", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation",
    "PresentationLUTShape", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "PixelAspectRatio", "QualityControlImage",
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence",
    "PixelSpacing", "PixelSpacingCalibrationType", "ImagerPixelSpacing", "NominalScannedPixelSpacing",
    "EstimatedRadiographicMagnificationFactor", "DistanceSourceToDetector", "DistanceSourceToPatient",
    "ImageLaterality", "Laterality", "FrameLaterality", "ViewPosition", "ViewCodeSequence",
    "ViewModifierCodeSequence", "BreastImplantPresent", "PartialView",
    "PatientOrientation", "AcquisitionDate", "AcquisitionTime",
    "AcquisitionDateTime", "OrganDose", "Manufacturer", "ManufacturerModelName", "KVP",
    "ImageType", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
_GROUPS = USED[-2:]
_MACROS = [
    "PixelMeasuresSequence", "FrameVOILUTSequence", "PixelValueTransformationSequence", "FrameAnatomySequence",
    "PatientOrientationInFrameSequence",
]  # fmt: skip
_OVERLAYS = range(0x60000102, 0x60200102, 0x20000)  # OverlayBitPosition of the sixteen overlays that a film may have
_TAGS = [*(Tag(keyword) for keyword in USED), *map(Tag, _OVERLAYS)]
_WANTED = frozenset(map(int, _TAGS))
_tag = cache(tag_for_keyword)
_LOCK = threading.Lock()
whole_at_fork(_LOCK)


class Tags:
    """The values of one data set, or of one item of a sequence."""

    def __init__(self, dataset: Dataset, syntax: str = "") -> None:
        self._dataset = dataset
        self._elements = {int(tag): element for tag, element in dataset.items()}  # not converted
        self.syntax = syntax  # the UID of the transfer syntax; empty if the file does not state it

    def __contains__(self, keyword: str) -> bool:
        return _tag(keyword) in self._elements

    @property
    def has_overlay(self) -> bool:
        """True if bits of the pixels that are not stored hold an overlay; at position 0 it has data of its own."""
        found = (self._elements[tag].value for tag in _OVERLAYS if tag in self._elements)
        return any(position not in (0, b"\0\0") for position in found)

    def raw(self, keyword: str) -> tuple[bytes, str, bool]:
        """Return a value's bytes, its VR (empty if the file does not state it), and True for little endian."""
        element = self._elements.get(_tag(keyword))  # type: ignore[arg-type]
        if isinstance(element, RawDataElement):
            return element.value or b"", element.VR or "", element.is_little_endian
        value = getattr(element, "value", None)
        text = "" if value is None else str(value) if isinstance(value, str) else "\\".join(map(str, _listed(value)))
        return text.encode("latin-1", "replace"), "LO", True

    def texts(self, keyword: str) -> list[str]:
        """Return the values of a text; an absent one has none."""
        text = self.raw(keyword)[0].decode("latin-1")
        return [one.strip(" \0\t\r\n") for one in text.split("\\")] if text.strip(" \0") else []

    def text(self, keyword: str) -> str:
        """Return the first value of a text, or an empty one."""
        return next(iter(self.texts(keyword)), "")

    def decoded(self, keyword: str) -> str:
        """Return the first value of a text in the file's SpecificCharacterSet; in Latin-1 if it is unknown or wrong."""
        data, named = self.raw(keyword)[0], self.texts("SpecificCharacterSet")
        try:
            if named in ([], ["ISO_IR 100"]):
                return data.decode("latin-1").partition("\\")[0].strip(" \0\t\r\n")
            with quiet():
                encodings = convert_encodings(named or "")
                text = decode_bytes(data, encodings, set()) if len(encodings) > 1 else data.decode(encodings[0])
        except Exception:  # LookupError, UnicodeError, and what pydicom raises of a set that it does not know
            text = data.decode("latin-1")
        return text.partition("\\")[0].strip(" \0\t\r\n")

    def reals(self, keyword: str) -> list[float]:
        """Return the values of decimal numbers; NaN stands for one that is no number."""
        return [_real(text) for text in self.texts(keyword)]

    def real(self, keyword: str) -> float | None:
        """Return the first value of a decimal number; None if it is absent, and NaN if it is no number."""
        return next(iter(self.reals(keyword)), None)

    def wholes(self, keyword: str) -> list[int]:
        """Return the values of whole numbers, without sign, in whatever VR they are written."""
        data, vr, little = self.raw(keyword)
        if vr in ("IS", "DS", "LO", "SH", "CS") or keyword == "NumberOfFrames":
            return [int(value) for value in self.reals(keyword) if math.isfinite(value)]
        size = 4 if vr in ("UL", "SL") else 2
        form = f"{'<' if little else '>'}{len(data) // size}{NUMBERS[size]}"
        return list(struct.unpack_from(form, data))

    def whole(self, keyword: str) -> int | None:
        """Return the first value of a whole number; None if it is absent."""
        return next(iter(self.wholes(keyword)), None)

    def items(self, keyword: str) -> list["Tags"]:
        """Return the items of a sequence; one that cannot be read has none."""
        if keyword not in self:
            return []
        try:
            with quiet():
                return [Tags(item) for item in self._dataset[_tag(keyword)].value]  # type: ignore[index]
        except Exception:  # pydicom parses it here, and damage raises whatever it likes
            return []

    def of_one_frame(self) -> "Tags":
        """Return these tags with what the functional groups of a single frame add to them."""
        if (self.whole("NumberOfFrames") or 1) > 1 or not any(group in self for group in _GROUPS):
            return self
        found = Dataset()
        for group, macro in itertools.product(_GROUPS, _MACROS):
            for item in self.items(group)[:1]:
                for values in item.items(macro)[:1]:
                    found.update(values._dataset)
        found.update(self._dataset)
        return Tags(found, self.syntax)


def read_tags(file: BinaryIO) -> tuple[Tags, BinaryIO]:
    """Read the header of a DICOM file.

    Returns:
        The tags, and the file (inflated where it was deflated), which stands at the pixels, or at its end without any.

    Raises:
        UnreadableFilm: The header is damaged. The message says nothing of the file's content.
    """
    if file.read(4) == b"DICM":  # the preamble is cut off
        file = BytesIO(bytes(128) + b"DICM" + file.read(MOST_BYTES))
    file.seek(0)
    if (quick := elements_of(file.read(MOST), _WANTED)) is not None:
        elements, syntax, pixels = quick
        file.seek(pixels)
        return Tags(Dataset(dict(elements)), syntax).of_one_frame(), file
    file.seek(0)
    file = _inflated(file)
    if len(file.read(133)) < 133:
        raise UnreadableFilm("it is too short: nothing follows its first 132 bytes; fetch the file again")
    file.seek(0)
    try:
        with quiet():
            dataset = dcmread(file, stop_before_pixels=True, force=True, specific_tags=_TAGS)
            syntax = str(dataset.file_meta.get("TransferSyntaxUID") or "").strip(" \0")
            stored = str(dataset.file_meta.get("MediaStorageSOPClassUID") or "").strip(" \0")
            if "SOPClassUID" not in dataset and stored:
                dataset.SOPClassUID = stored
    except Exception as error:  # pydicom parses damaged bytes here, and they raise whatever they like
        raise UnreadableFilm(f"its DICOM header is damaged ({type(error).__name__}); fetch the file again") from None
    return Tags(dataset, syntax).of_one_frame(), file


def is_dicom(file: BinaryIO) -> bool:
    """Tell whether a file at its start is DICOM, with or without its preamble; it is left at its start."""
    head = file.read(132)
    file.seek(0)
    if b"DICM" in (head[128:132], head[:4]):
        return True
    if head[:3] == b"\0\x08\0":  # big endian, which has VRs
        return head[4:6].isalpha()
    group, element = struct.unpack_from("<HH", head.ljust(4, b"\0"))
    known = (group == 2 and element in (0, 1, 2, 0x10)) or (group == 8 and element <= 0x70)
    length = struct.unpack_from("<I", head.ljust(8, b"\0"), 4)[0]
    return known and (head[4:6].isalpha() or length < 1 << 16)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom's warnings and log lines from the terminal, in one thread at a time."""
    logger = logging.getLogger("pydicom")
    with _LOCK, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            logger.setLevel(level)


def _inflated(file: BinaryIO) -> BinaryIO:
    """Return a deflated file as one that is not, and another file as it is."""
    head = file.read(1 << 12)
    file.seek(0)
    if DEFLATED.encode() not in head or head[132:140] != b"\2\0\0\0UL\4\0":
        return file
    start = 144 + struct.unpack_from("<I", head, 140)[0]
    meta = file.read(start).replace(DEFLATED.encode(), b"1.2.840.10008.1.2.1\0\0\0")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(file.read(MOST_BYTES), MOST_BYTES + 1)
    except zlib.error:
        raise UnreadableFilm("its deflated content is damaged; fetch the file again") from None
    check_bytes(len(data))
    if not inflater.eof:
        raise UnreadableFilm("its deflated content ends early; fetch the file again")
    return BytesIO(meta + data)


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue" else [value]  # type: ignore[call-overload]


def positive(number: float | None) -> float | None:
    """Return a finite number above 0; None for any other."""
    return number if number is not None and math.isfinite(number) and number > 0 else None


def _real(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return math.nan
