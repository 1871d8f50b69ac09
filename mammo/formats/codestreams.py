"""The codestreams of packed pixel data: RLE, JPEG, JPEG-LS and JPEG 2000, each checked before and after its decoder.

GDCM decodes JPEG (lossy of 8 and 12 bits, and lossless), CharLS JPEG-LS, and OpenJPEG JPEG 2000 with its
high-throughput form. All of them are in the core installation.
"""

import struct
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from mammo.errors import UnreadableFilm
from mammo.formats.silence import heard
from mammo.wording import number_of

EARLY = "its codestream ends early; fetch the file again"
DAMAGED = "its codestream is damaged; fetch the file again"
_SOF = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}  # frame headers of JPEG
_LOSSLESS, _LS = 0xC3, 0xF7
_MOST_TILES = 65535  # of JPEG 2000, by its standard


def _decoder(module: str, package: str, what: str) -> Any:
    """Import a decoder; one that is missing costs only the films that need it."""
    try:
        return import_module(module)
    except ImportError:
        raise UnreadableFilm(f"its pixels are {what}, and the decoder is missing; pip install {package}") from None


def rle(data: bytes, rows: int, columns: int, samples: int) -> np.ndarray:
    """Decode DICOM's RLE: a segment for each byte of a value, the most significant first; return (rows * columns,)."""
    if len(data) < 64:
        raise UnreadableFilm(EARLY)
    count, *offsets = struct.unpack("<16I", data[:64])
    if count != samples:
        raise UnreadableFilm(
            f"its RLE has {number_of(count, 'segment')}, not the {samples} of its BitsAllocated; {DAMAGED}"
        )
    ends = [*offsets[1:count], len(data)]
    planes = []
    for start, end in zip(offsets[:count], ends, strict=True):
        if not 64 <= start < end <= len(data):
            raise UnreadableFilm(DAMAGED if end <= len(data) else EARLY)
        planes.append(_unpacked(data[start:end], rows * columns))
    if samples == 1:
        return planes[0]
    values = np.empty((rows * columns, 2), np.uint8)
    values[:, 0], values[:, 1] = planes[1], planes[0]
    return values.view("<u2").ravel()


def _unpacked(data: bytes, length: int) -> np.ndarray:
    """Return the `length` bytes that a segment of RLE holds."""
    found, at = bytearray(), 0
    extend = found.extend
    try:
        while True:  # up to the end of the segment: there is a turn for each run, so little is looked at
            count = data[at] + 1
            if count < 129:
                extend(data[at + 1 : at + 1 + count])
                at += count + 1
            elif count > 129:
                extend(data[at + 1 : at + 2] * (258 - count))
                at += 2
                if len(found) > length + 128:  # only a bomb goes on
                    break
            else:
                at += 1
    except IndexError:
        pass
    if len(found) < length:
        raise UnreadableFilm(EARLY)
    return np.frombuffer(found, np.uint8, length)  # a run may go on into the padding


def jpeg(data: bytes, rows: int, columns: int) -> tuple[np.ndarray, int]:
    """Decode a JPEG or JPEG-LS of one component; return (rows * columns,) and its bits."""
    kind, precision, at = 0, 0, 0
    for marker, start, segment in _segments(data):
        if marker in _SOF and len(segment) >= 6:
            kind = marker
            precision, height, width, components = struct.unpack(">BHHB", segment[:6])
            _check_frame(height, width, components, precision, rows, columns)
        at = start
        if marker == 0xDA:
            break
    else:
        raise UnreadableFilm(EARLY)
    if not kind:
        raise UnreadableFilm(DAMAGED)
    if data.find(b"\xff\xd9", at) < 0:
        raise UnreadableFilm(EARLY)
    if kind == _LS:
        jpeg_ls = _decoder("jpeg_ls", "pyjpegls", "JPEG-LS")
        try:
            decoded = bytes(jpeg_ls.decode_pixel_data(data)[0])
        except Exception:  # CharLS raises ValueError, RuntimeError and others
            raise UnreadableFilm(DAMAGED) from None
    elif kind == _LOSSLESS:
        decoded = _by_gdcm(data, "1.2.840.10008.1.2.4.57", rows, columns, precision)
    elif kind in (0xC0, 0xC1, 0xC2):
        syntax = "1.2.840.10008.1.2.4.50" if precision == 8 else "1.2.840.10008.1.2.4.51"
        decoded = _by_gdcm(data, syntax, rows, columns, precision)
    else:
        raise UnreadableFilm("its JPEG is of a kind that no decoder reads; save it as JPEG 2000 or without compression")
    return _values(decoded, rows, columns, precision)


def jpeg2000(data: bytes, rows: int, columns: int) -> tuple[np.ndarray, int, bool]:
    """Decode a JPEG 2000, or its high-throughput form, of one component.

    Returns:
        (rows * columns,), its bits, and True if it says that its values are signed.
    """
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 43:
        raise UnreadableFilm(EARLY)
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", data, start + 8)
    components, depth, step_x, step_y = struct.unpack_from(">HBBB", data, start + 40)
    precision = (depth & 127) + 1
    _check_frame(bottom - top, right - left, components, precision, rows, columns)
    tiles = -(-columns // max(tile_width, 1)) * -(-rows // max(tile_height, 1))
    if (step_x, step_y) != (1, 1) or not tile_width or not tile_height or tiles > _MOST_TILES:
        raise UnreadableFilm(DAMAGED)
    _check_tiles(data, start + 2, rows, columns)
    openjpeg = _decoder("openjpeg", "pylibjpeg-openjpeg", "JPEG 2000")
    try:
        decoded = bytes(openjpeg.decode_pixel_data(data, version=2))
    except Exception:  # the decoder raises RuntimeError, and others on damage
        raise UnreadableFilm(DAMAGED) from None
    return *_values(decoded, rows, columns, precision), depth >= 128


def _check_tiles(data: bytes, at: int, rows: int, columns: int) -> None:
    """Refuse a codestream in which a part of a tile is missing; the parts state their lengths."""
    at = _first_tile(data, at, rows, columns)
    while len(data) >= at + 12 and data[at : at + 2] == b"\xff\x90":
        length = struct.unpack_from(">I", data, at + 6)[0]
        if not length:  # the last part, up to the end
            if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
                raise UnreadableFilm(EARLY)
            return
        if length < 12:
            raise UnreadableFilm(DAMAGED)
        at += length
    if at > len(data):
        raise UnreadableFilm(EARLY)
    if at < len(data) - 1 and data[at : at + 2] != b"\xff\xd9":
        raise UnreadableFilm(DAMAGED)


def _first_tile(data: bytes, at: int, rows: int, columns: int) -> int:
    """Return where the first part of a tile begins, behind the segments of the header from `at` on."""
    while True:
        if len(data) < at + 4:
            raise UnreadableFilm(EARLY)
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == 0xFF90:
            return at
        if marker < 0xFF00 or length < 2:
            raise UnreadableFilm(DAMAGED)
        if marker == 0xFF52 and data[at + 4] & 1:  # precincts, of which tiny ones would fill the memory
            sizes = data[at + 14 : at + 2 + length] or b"\xff"
            across, down = sizes[-1] & 15, sizes[-1] >> 4
            if (columns >> across) * (rows >> down) > 1 << 20:
                raise UnreadableFilm(DAMAGED)
        at += 2 + length


def _check_frame(height: int, width: int, components: int, precision: int, rows: int, columns: int) -> None:
    if (height, width) != (rows, columns):
        raise UnreadableFilm(f"its codestream has {height} x {width} pixels, its header {rows} x {columns}; {DAMAGED}")
    if components != 1:
        raise UnreadableFilm(f"its codestream has {components} colours; expected 1: a film is grey")
    if not 2 <= precision <= 16:
        raise UnreadableFilm(f"its codestream has levels of {precision} bits; expected 2 to 16")


def _segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield marker, end and content of each segment of a JPEG, up to its first scan."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise UnreadableFilm(DAMAGED)
        if data[at + 1] == 0xFF:  # filling
            at += 1
            continue
        length = struct.unpack_from(">H", data, at + 2)[0]
        end = at + 2 + length
        if length < 2:
            raise UnreadableFilm(DAMAGED)
        yield data[at + 1], end, data[at + 4 : end]
        at = end


def _by_gdcm(data: bytes, syntax: str, rows: int, columns: int, precision: int) -> bytes:
    gdcm = _decoder("gdcm", "python-gdcm", "JPEG")
    gdcm.Trace.WarningOff()  # it would write to the terminal
    gdcm.Trace.ErrorOff()
    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(data)
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    grey = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    image.SetPixelFormat(gdcm.PixelFormat(1, 8 if precision <= 8 else 16, precision, precision - 1, 0))
    try:
        with heard() as complaints:
            decoded = image.GetBuffer().encode("utf-8", "surrogateescape")
    except Exception:  # its binding raises whatever the decoder threw
        raise UnreadableFilm(DAMAGED) from None
    if complaints.damage:
        raise UnreadableFilm(DAMAGED)
    return decoded


def _values(decoded: bytes, rows: int, columns: int, precision: int) -> tuple[np.ndarray, int]:
    form = np.dtype(np.uint8 if precision <= 8 else "<u2")
    if len(decoded) != rows * columns * form.itemsize:
        raise UnreadableFilm(DAMAGED)
    return np.frombuffer(decoded, form), precision
