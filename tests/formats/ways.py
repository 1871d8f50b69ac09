"""One drawn film, written in many legal ways: `WAYS` gives the bytes of each, and the bits of a level."""

import struct
import tempfile
import zlib
from functools import cache
from io import BytesIO
from pathlib import Path

import cv2
import gdcm
import numpy as np
from jpeg_ls.CharLS import encode_array as encode_ls
from openjpeg.utils import encode_array as encode_j2k
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from mammo.drawing.films import draw

MG = "1.2.840.10008.5.1.4.1.1.1.2"
IMPLICIT, EXPLICIT, BIG, DEFLATED = (UID(f"1.2.840.10008.1.2{end}") for end in ("", ".1", ".2", ".1.99"))
ENCAPSULATED = UID("1.2.840.10008.1.2.1.98")
RLE, BASELINE, LOSSLESS, SV1, LS, J2K, J2K_LOSSY = (
    UID(f"1.2.840.10008.1.2.{end}") for end in ("5", "4.50", "4.57", "4.70", "4.80", "4.90", "4.91")
)


@cache
def drawn():
    """The film's levels, (200, 160), from 0 to 256."""
    grey = cv2.resize(draw(0, 3, 1, "G", [])[0], (160, 200), interpolation=cv2.INTER_AREA).astype(np.float64)
    return grey + np.random.default_rng(0).random(grey.shape)


@cache
def film(bits=12):
    """The film with levels of these bits that all carry something."""
    return np.rint(drawn() / 256 * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def dicom(stored, bits=12, syntax=EXPLICIT, data=None, meta=True, **tags):
    """The bytes of a DICOM file with these stored values; a tag of None is left out."""
    head, ds = FileMetaDataset(), Dataset()
    head.MediaStorageSOPClassUID, head.MediaStorageSOPInstanceUID = MG, "1.2.3"
    head.TransferSyntaxUID, ds.file_meta = syntax, head
    allocated = tags.get("BitsAllocated", 8 if bits <= 8 else 16)
    fields = {
        "SOPClassUID": MG, "SOPInstanceUID": "1.2.3", "Modality": "MG", "PatientID": "P1", "PatientName": "X^Y",
        "ImageLaterality": "R", "ViewPosition": "MLO", "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1, "BitsAllocated": allocated, "BitsStored": bits, "HighBit": bits - 1,
        "PixelRepresentation": 0, "Rows": stored.shape[0], "Columns": stored.shape[1],
        "ImagerPixelSpacing": [0.2, 0.2],
    } | tags  # fmt: skip
    with disable_value_validation():
        for name, value in fields.items():
            if value is not None:
                setattr(ds, name, value)
    order = ">" if syntax == BIG else "<"
    if data is None:
        data = stored.astype(f"{order}u{allocated // 8}").tobytes()
        data += b"\0" * (len(data) % 2)
    ds.PixelData = data
    ds["PixelData"].VR = "OB" if allocated == 8 and syntax == EXPLICIT else "OW"
    ds["PixelData"].is_undefined_length = syntax not in (IMPLICIT, EXPLICIT, BIG, DEFLATED)
    written = BytesIO()
    ds.save_as(written, enforce_file_format=True)
    content = written.getvalue()
    return content if meta else content[144 + struct.unpack_from("<I", content, 140)[0] :]


def packed(codestream, bits=12, syntax=J2K, fragments=1, table=True, **tags):
    data = encapsulate([codestream], fragments_per_frame=fragments, has_bot=table)
    return dicom(film(bits), bits, syntax, data, **tags)


def rle(stored, bits=12, **tags):
    """DICOM's RLE in its plainest form: literal runs of at most 128 bytes."""
    planes = [stored >> 8, stored & 255] if bits > 8 else [stored]
    segments = []
    for plane in planes:
        line = plane.astype(np.uint8).tobytes()
        runs = [line[at : at + 128] for at in range(0, len(line), 128)]
        segment = b"".join(
            bytes([257 - len(run), run[0]]) if len(set(run)) == 1 < len(run) else bytes([len(run) - 1]) + run
            for run in runs
        )
        segments.append(segment + b"\0" * (len(segment) % 2))
    offsets = [64 + sum(map(len, segments[:place])) for place in range(len(segments))]
    frame = struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(offsets))) + b"".join(segments)
    return packed(frame, bits, RLE, **tags)


def by_gdcm(content, syntax):
    """The file in another transfer syntax, as GDCM writes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "film.dcm")
        path.write_bytes(content)
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFile(reader.GetFile())
        writer.SetFileName(str(path))
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return path.read_bytes()


def j2k(stored, bits=12, **how):
    return bytes(encode_j2k(stored, bits_stored=bits, use_mct=False, **how))


def lut(keyword, entries, first=0, depth=16, vr="US", data=None):
    """The tag of a modality or VOI table."""
    item = Dataset()
    with disable_value_validation():
        item.add_new(0x00283002, vr, [len(entries) % 65536, first, depth])
        item.add_new(0x00283006, "OW" if data is not None else "US", list(map(int, entries)) if data is None else data)
    if keyword.startswith("Modality"):
        item.ModalityLUTType = "US"
    return {keyword: [item]}


def pgm(bits=12, comment=b""):
    stored = film(bits)
    head = b"P5\n" + comment + b"%d %d\n%d\n" % (*stored.shape[::-1], 2**bits - 1)
    return head + stored.astype(">u1" if bits == 8 else ">u2").tobytes()


def picture(suffix, pixels, *settings):
    return cv2.imencode(f".{suffix}", pixels, list(settings))[1].tobytes()


def tiff(pixels, order="<", inverse=False, strips=4):
    """A TIFF without compression in several strips, of either byte order, with white as 0 if `inverse`."""
    height, width = pixels.shape
    size = pixels.itemsize
    pixels = (np.iinfo(pixels.dtype).max - pixels) if inverse else pixels
    data = pixels.astype(f"{order}u{size}").tobytes()
    rows = -(-height // strips)
    starts = [8 + at * width * size for at in range(0, height, rows)]
    counts = [min(rows, height - at) * width * size for at in range(0, height, rows)]
    tables = 8 + len(data)
    fields = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8 * size), (259, 3, 1, 1),
        (262, 3, 1, 0 if inverse else 1),
        (273, 4, len(starts), tables if strips > 1 else starts[0]), (277, 3, 1, 1), (278, 4, 1, rows),
        (279, 4, len(starts), tables + 4 * len(starts) if strips > 1 else counts[0]),
    ]  # fmt: skip
    at = tables + 8 * len(starts)
    text = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at) + data
    text += struct.pack(f"{order}{2 * len(starts)}I", *starts, *counts) + struct.pack(f"{order}H", len(fields))
    for tag, kind, count, value in fields:
        wide = f"{order}HHI" + ("Hxx" if kind == 3 else "I")
        text += struct.pack(wide, tag, kind, count, value)
    return text + b"\0\0\0\0"


def png_palette():
    """A PNG whose palette is grey."""
    pixels = film(8)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 3, 0, 0, 0)),
        (b"PLTE", bytes(value for level in range(256) for value in (level,) * 3)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(text)) + kind + text + struct.pack(">I", zlib.crc32(kind + text)) for kind, text in parts
    )


def icon():
    item = Dataset()
    item.Rows = item.Columns = 8
    item.SamplesPerPixel, item.PhotometricInterpretation, item.BitsAllocated = 1, "MONOCHROME1", 8
    item.PixelData = bytes(64)
    item["PixelData"].VR = "OB"
    return item


def signed(stored, bits=12):
    """Two's complement of the values less the half of their range."""
    return (stored.astype(np.int64) - (1 << (bits - 1))) & ((1 << bits) - 1)


X, X8, X10, X14, X16 = film(12), film(8), film(10), film(14), film(16)
HALF = {"WindowCenter": 2048, "WindowWidth": 4096}
IDENTITY = np.arange(4096)
LOSSY = {"jpeg baseline": 0.02, "jpeg2000 lossy": 0.01, "picture jpg": 0.02}  # the largest difference of grey


def _ways():
    """The ways by the bits of the film that they write."""
    return {
        12: {
            "implicit": dicom(X, syntax=IMPLICIT),
            "explicit": dicom(X),
            "big endian": dicom(X, syntax=BIG),
            "deflated": dicom(X, syntax=DEFLATED),
            "no preamble": dicom(X)[132:],
            "no preamble but its magic": dicom(X)[128:],
            "an icon before the pixels": dicom(X, IconImageSequence=[icon()]),
            "tags without a value": dicom(X, WindowCenter="", WindowWidth="", RescaleSlope=""),
            "jpeg-ls, signed": packed(bytes(encode_ls(signed(X).astype(np.uint16))), syntax=LS, PixelRepresentation=1),
            "jpeg lossless, signed": by_gdcm(dicom(signed(X), PixelRepresentation=1), SV1),
            "encapsulated, not packed": packed(X.tobytes(), syntax=ENCAPSULATED),
            "encapsulated, in fragments": packed(X.tobytes(), syntax=ENCAPSULATED, fragments=3),
            "rle with an overlay": rle((X | 0x8000).astype(np.uint16)),
            "two voi tables": dicom(
                X,
                VOILUTSequence=[
                    lut("VOILUTSequence", entries, 0, 12)["VOILUTSequence"][0] for entries in (IDENTITY, IDENTITY[::-1])
                ],
            ),
            "no meta, explicit": dicom(X, meta=False),
            "no meta, implicit": dicom(X, syntax=IMPLICIT, meta=False),
            "no meta, big endian": dicom(X, syntax=BIG, meta=False),
            "rle": rle(X),
            "rle in fragments": rle(X, fragments=3),
            "jpeg lossless": by_gdcm(dicom(X), LOSSLESS),
            "jpeg lossless sv1": by_gdcm(dicom(X), SV1),
            "jpeg-ls": packed(bytes(encode_ls(X)), syntax=LS),
            "jpeg-ls by gdcm": by_gdcm(dicom(X), LS),
            "jpeg2000": packed(j2k(X)),
            "jpeg2000 by gdcm": by_gdcm(dicom(X), J2K),
            "jpeg2000 in fragments": packed(j2k(X), fragments=4),
            "jpeg2000 without a table of offsets": packed(j2k(X), fragments=2, table=False),
            "jpeg2000 as a JP2": packed(j2k(X, codec_format=1)),
            "jpeg2000 lossy": packed(j2k(X, compression_ratios=[4]), syntax=J2K_LOSSY),
            "jpeg2000, signed": packed(j2k(X.astype(np.int16) - 2048), PixelRepresentation=1),
            "monochrome1": dicom(4095 - X, PhotometricInterpretation="MONOCHROME1"),
            "monochrome1 in lower case": dicom(4095 - X, PhotometricInterpretation="monochrome1 "),
            "monochrome1 and inverse": dicom(
                4095 - X, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"
            ),
            "inverse alone": dicom(4095 - X, PhotometricInterpretation=None, PresentationLUTShape="INVERSE"),
            "identity": dicom(X, PresentationLUTShape="IDENTITY"),
            "slope -1": dicom(4095 - X, RescaleSlope=-1, RescaleIntercept=4095),
            "slope -1 twice inverted": dicom(
                X, RescaleSlope=-1, RescaleIntercept=0, PhotometricInterpretation="MONOCHROME1"
            ),
            "slope 2.5": dicom(X, RescaleSlope="2.5", RescaleIntercept="-100"),
            "slope without intercept": dicom(X, RescaleSlope=3),
            "signed": dicom(signed(X), PixelRepresentation=1, RescaleIntercept=2048, RescaleSlope=1),
            "signed, not rescaled": dicom(signed(X), PixelRepresentation=1),
            "signed, and none below 0": dicom(X, 13, PixelRepresentation=1),
            "signed, sign extended": dicom(
                (X.astype(np.int64) - 2048) & 0xFFFF, PixelRepresentation=1, RescaleIntercept=2048, RescaleSlope=1
            ),
            "signed rle": rle(((X.astype(np.int64) - 2048) & 0xFFFF).astype(np.uint16), PixelRepresentation=1),
            "window": dicom(X, **HALF),
            "windows": dicom(X, WindowCenter=[2048, 100, 3000], WindowWidth=[4096, 50, 9]),
            "exact window": dicom(X, WindowCenter="2047.5", WindowWidth=4095, VOILUTFunction="LINEAR_EXACT"),
            "window of a rescaled film": dicom(
                X, RescaleSlope=2, RescaleIntercept=-4095, WindowCenter="0.5", WindowWidth=8191
            ),
            "window, inverted": dicom(4095 - X, PhotometricInterpretation="MONOCHROME1", **HALF),
            "window of a function in a list": dicom(X, VOILUTFunction=["LINEAR", "SIGMOID"], **HALF),
            "window of width 0": dicom(X, WindowCenter=2048, WindowWidth=0),
            "window in text": dicom(X, **HALF).replace(b"2048", b"auto"),
            "modality table": dicom(X, **lut("ModalityLUTSequence", IDENTITY)),
            "modality table, inverse": dicom(4095 - X, **lut("ModalityLUTSequence", IDENTITY[::-1])),
            "modality table, then a window": dicom(X, **lut("ModalityLUTSequence", IDENTITY), **HALF),
            "voi table": dicom(X, **lut("VOILUTSequence", IDENTITY, depth=12)),
            "voi table of 16 bits": dicom(X, **lut("VOILUTSequence", np.rint(IDENTITY * 65535 / 4095))),
            "voi table that fills 12 of 16 bits": dicom(X, **lut("VOILUTSequence", IDENTITY)),
            "voi table before a window": dicom(
                X, WindowCenter=9, WindowWidth=3, **lut("VOILUTSequence", IDENTITY, depth=12)
            ),
            "voi table from below 0": dicom(
                signed(X), PixelRepresentation=1, **lut("VOILUTSequence", IDENTITY, -2048, 12, "SS")
            ),
            "voi table from below 0, implicit": dicom(
                signed(X), syntax=IMPLICIT, PixelRepresentation=1, **lut("VOILUTSequence", IDENTITY, -2048, 12, "SS")
            ),
            "voi table as words": dicom(
                X, **lut("VOILUTSequence", IDENTITY, 0, 12, data=IDENTITY.astype("<u2").tobytes())
            ),
            "voi table as words, big endian": dicom(
                X, syntax=BIG, **lut("VOILUTSequence", IDENTITY, 0, 12, data=IDENTITY.astype(">u2").tobytes())
            ),
            "padding": dicom(np.where(X == 0, 4095, X), PixelPaddingValue=4095),
            "padding at 0": dicom(X, PixelPaddingValue=0),
            "padding of an inverted film": dicom(
                4095 - X, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=4095
            ),
            "high bit 15": dicom(X << 4, HighBit=15),
            "overlay in unused bits": dicom(X | 0x8000 | (np.indices(X.shape).sum(axis=0) % 2 << 12).astype(np.uint16)),
            "overlay below a high bit": dicom((X << 4) | 5, HighBit=15),
            "PixelData as a longer block": dicom(X, data=X.tobytes() + b"\0" * 400),
            "pgm": pgm(),
            "png": picture("png", X),
            "tiff of 12 bits in 16": tiff(X),
        },
        8: {
            "8 bits": dicom(X8, 8),
            "8 bits, big endian": dicom(X8, 8, BIG, X8.view("<u2").byteswap().tobytes()),
            "8 bits in 16": dicom(X8, 8, BitsAllocated=16),
            "8 bits rle": rle(X8, 8),
            "8 bits with a table of 16": dicom(X8, 8, **lut("VOILUTSequence", np.arange(256) * 257, 0, 16)),
            "8 bits with a table of bytes": dicom(
                X8, 8, **lut("VOILUTSequence", range(256), 0, 8, data=np.arange(256, dtype=np.uint8).tobytes())
            ),
            "jpeg baseline": packed(picture("jpg", X8, cv2.IMWRITE_JPEG_QUALITY, 98), 8, BASELINE),
            "8 bits jpeg-ls": packed(bytes(encode_ls(X8)), 8, LS),
            "pgm of 8 bits": pgm(8),
            "png of 8 bits": picture("png", X8),
            "png of colours": picture("png", cv2.merge([X8] * 3)),
            "png with alpha": picture("png", cv2.merge([X8, X8, X8, np.full_like(X8, 255)])),
            "png with a palette": png_palette(),
            "tiff packbits": picture("tif", X8, cv2.IMWRITE_TIFF_COMPRESSION, 32773),
            "tiff of one strip": tiff(X8, strips=1),
            "tiff with white as 0": tiff(X8, inverse=True),
            "bmp": picture("bmp", X8),
            "picture jpg": picture("jpg", X8, cv2.IMWRITE_JPEG_QUALITY, 98),
        },
        10: {
            "10 bits": dicom(X10, 10),
        },
        14: {
            "14 bits": dicom(X14, 14),
            "14 bits jpeg2000": packed(j2k(X14, 14), 14),
        },
        16: {
            "bits not stated": dicom(X16, 16, HighBit=None, PixelRepresentation=None, SamplesPerPixel=None),
            "16 bits": dicom(X16, 16),
            "16 bits rle": rle(X16, 16),
            "16 bits jpeg lossless": by_gdcm(dicom(X16, 16), SV1),
            "16 bits table of 65536": dicom(
                X16, 16, **lut("VOILUTSequence", range(65536), data=np.arange(65536).astype("<u2").tobytes())
            ),
            "16 bits table of 65536, implicit": dicom(X16, 16, IMPLICIT, **lut("VOILUTSequence", range(65536))),
            "pgm with a comment": pgm(16, b"# a scanner\n"),
            "png of 16 bits": picture("png", X16),
            "png of 16 bits and colours": picture("png", cv2.merge([X16] * 3)),
            "tiff lzw": picture("tif", X16, cv2.IMWRITE_TIFF_COMPRESSION, 5),
            "tiff deflate": picture("tif", X16, cv2.IMWRITE_TIFF_COMPRESSION, 8),
            "tiff in strips, big endian": tiff(X16, ">"),
            "tiff of 16 bits with white as 0": tiff(X16, inverse=True),
        },
    }


WAYS = {name: (content, bits) for bits, of_depth in _ways().items() for name, content in of_depth.items()}
