"""A DICOM file of a drawn film."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

DIGITAL_MAMMOGRAM = "1.2.840.10008.5.1.4.1.1.1.2"  # SOP class: digital mammogram, for presentation
BITS = 12


def write_dicom(
    path: Path, pixels: np.ndarray, syntax: str, *, inverted: bool = False, bits: int = BITS, **tags: Any
) -> None:
    """Write a film as a digital mammogram for presentation.

    Args:
        path: The file.
        pixels: (height, width) uint16, or uint8 for a file of 8 bits.
        syntax: The transfer syntax, uncompressed or lossless.
        inverted: True writes MONOCHROME1, whose lowest level is white.
        bits: The bits that a level uses; 8 for uint8.
        **tags: Further elements of the header by keyword; None leaves an element out.
    """
    allocated = pixels.dtype.itemsize * 8
    bits = min(bits, allocated)
    meta: Any = FileMetaDataset()
    header: Any = Dataset()
    meta.MediaStorageSOPClassUID = DIGITAL_MAMMOGRAM
    meta.MediaStorageSOPInstanceUID = tags.get("SOPInstanceUID") or generate_uid()
    meta.TransferSyntaxUID, header.file_meta = ExplicitVRLittleEndian, meta
    facts = {
        "SOPClassUID": DIGITAL_MAMMOGRAM, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID, "Modality": "MG",
        "PresentationIntentType": "FOR PRESENTATION", "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "PhotometricInterpretation": "MONOCHROME1" if inverted else "MONOCHROME2", "SamplesPerPixel": 1,
        "BitsAllocated": allocated, "BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": 0,
        "Rows": pixels.shape[0], "Columns": pixels.shape[1], "ImagerPixelSpacing": [0.2, 0.2],
    }  # fmt: skip
    for name, value in (facts | tags).items():
        if value is not None:
            setattr(header, name, value)
    content = np.ascontiguousarray(pixels, f"<u{allocated // 8}").tobytes()
    header.PixelData = content + b"\0" * (len(content) % 2)
    if syntax != ExplicitVRLittleEndian:
        header.compress(syntax, generate_instance_uid=False)
    header.save_as(path, enforce_file_format=True)
