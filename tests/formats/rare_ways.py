"""More legal ways to write the film of `ways`: turned by an orientation, in other depths, by other programs."""

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from tests.formats.ways import (
    BIG,
    IDENTITY,
    IMPLICIT,
    LS,
    SV1,
    X8,
    X10,
    X14,
    X16,
    X,
    by_gdcm,
    dicom,
    encode_ls,
    j2k,
    lut,
    packed,
    picture,
    rle,
    signed,
)

STORED = {  # by orientation: the pixels that are stored, of those that are seen
    2: lambda seen: seen[:, ::-1], 3: lambda seen: seen[::-1, ::-1], 4: lambda seen: seen[::-1], 5: np.transpose,
    6: np.rot90, 7: lambda seen: seen[::-1, ::-1].T, 8: lambda seen: np.rot90(seen, -1),
}  # fmt: skip
ONE = {"PhotometricInterpretation": "MONOCHROME1"}


def stored(seen, orientation):
    return np.ascontiguousarray(STORED[orientation](seen))


def exif(orientation, order):
    """The block of an orientation, of either byte order."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)


def png(seen, orientation):
    data, part = picture("png", stored(seen, orientation)), b"eXIf" + exif(orientation, "<")
    return data[:33] + struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) + data[33:]


def jpg(seen, orientation):
    data = picture("jpg", stored(seen, orientation), cv2.IMWRITE_JPEG_QUALITY, 98)
    part = b"Exif\0\0" + exif(orientation, ">")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part + data[2:]


def pillow(pixels, form, mode=None, **how):
    """The file that Pillow writes."""
    written, made = BytesIO(), Image.fromarray(pixels)
    (made.convert(mode) if mode else made).save(written, form, **how)
    return written.getvalue()


def tif(pixels, mode=None, tags=None, **how):
    return pillow(pixels, "TIFF", mode, tiffinfo=tags or {}, **how)


LOSSY = ("jpg turned by 5", "jpg turned by 6", "jpg, progressive", "jpg in colour", "jpg of inks", "tif of jpeg")
_WAYS = {
    12: {
        "one frame": dicom(X, NumberOfFrames=1),
        "planes of one sample": dicom(X, PlanarConfiguration=1),
        "both spacings": dicom(X, PixelSpacing=[0.1, 0.1]),
        "the preamble of a tiff": b"II*\0" + dicom(X)[4:],
        "rle, inverted": rle(4095 - X, **ONE),
        "big endian, inverted": dicom(4095 - X, syntax=BIG, **ONE),
        "signed, inverted, in a window": dicom(
            signed(4095 - X), PixelRepresentation=1, WindowCenter=0, WindowWidth=4096, **ONE
        ),
        "voi table, inverted": dicom(4095 - X, **ONE, **lut("VOILUTSequence", IDENTITY, depth=12)),
        "slopes in a list": dicom(X, RescaleSlope=[1, 2], RescaleIntercept=[0, 3]),
        "pgm with comments everywhere": b"P5\n# a\n160 # b\n#\n200\r\n4095\n" + X.astype(">u2").tobytes(),
    },
    10: {
        "10 bits jpeg-ls": packed(bytes(encode_ls(X10)), 10, LS),
        "10 bits jpeg2000": packed(j2k(X10, 10), 10),
        "10 bits jpeg lossless": by_gdcm(dicom(X10, 10), SV1),
        "10 bits implicit": dicom(X10, 10, IMPLICIT),
        "10 bits, inverted": dicom(1023 - X10, 10, **ONE),
        "png of 10 bits": picture("png", X10),
    },
    14: {
        "14 bits rle": rle(X14, 14),
        "14 bits jpeg-ls": packed(bytes(encode_ls(X14)), 14, LS),
        "14 bits, signed": dicom(signed(X14, 14), 14, PixelRepresentation=1),
    },
    16: {
        "16 bits jpeg-ls": packed(bytes(encode_ls(X16)), 16, LS),
        "16 bits jpeg2000": packed(j2k(X16, 16), 16),
        "16 bits, signed": dicom(signed(X16, 16), 16, PixelRepresentation=1),
        "16 bits in a window": dicom(X16, 16, WindowCenter=32768, WindowWidth=65536),
        "png of 16 bits turned by 6": png(X16, 6),
        "tif of 16 bits turned by 8": tif(stored(X16, 8), tags={274: 8}),
    },
    8: {
        **{f"png turned by {number}": png(X8, number) for number in STORED},
        "jpg turned by 5": jpg(X8, 5),
        "jpg turned by 6": jpg(X8, 6),
        "tif turned by 3": tif(stored(X8, 3), tags={274: 3}),
        "tif turned by 6, lzw": tif(stored(X8, 6), tags={274: 6}, compression="tiff_lzw"),
        "tif lzw of differences": tif(X8, tags={317: 2}, compression="tiff_lzw"),
        "tif with a palette": tif(X8, "P"),
        "tif with alpha": tif(X8, "LA"),
        "tif of 64 bits": tif(X8, big_tiff=True),
        "tif of jpeg": tif(X8, compression="jpeg", quality=98),
        "bmp in colour": pillow(X8, "BMP", "RGB"),
        "bmp with alpha": pillow(X8, "BMP", "RGBA"),
        "png of grey with alpha": pillow(X8, "PNG", "LA"),
        "jpg, progressive": pillow(X8, "JPEG", quality=98, progressive=True),
        "jpg in colour": pillow(X8, "JPEG", "RGB", quality=98),
        "jpg of inks": pillow(X8, "JPEG", "CMYK", quality=98),
    },
}
RARE = {name: (content, bits) for bits, of_depth in _WAYS.items() for name, content in of_depth.items()}
