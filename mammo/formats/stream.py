"""The pixel data of a DICOM film, decoded strictly: plain, RLE, JPEG, JPEG-LS or JPEG 2000.

The codestream decides its decoder. Its own header must agree with the film's before a decoder sees it, and its end
must be there after: a decoder alone would fill what is missing with grey.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from pydicom import config
from pydicom.uid import UID

from mammo.errors import UnreadableFilm
from mammo.formats import codestreams
from mammo.formats.levels import padding_of
from mammo.formats.pixels import check_bytes, check_size, shown
from mammo.formats.tags import Tags
from mammo.wording import number_of

PLAIN = {
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
    "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
}
ENCAPSULATED = "1.2.840.10008.1.2.1.98"  # in fragments, as packed pixels are, but not packed
PACKED = {
    ENCAPSULATED: "Encapsulated Uncompressed Explicit VR Little Endian",
    "1.2.840.10008.1.2.5": "RLE Lossless",
    "1.2.840.10008.1.2.4.50": "JPEG Baseline",
    "1.2.840.10008.1.2.4.51": "JPEG Extended",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless SV1",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Near-lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 Lossless RPCL",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
}
LOSSY = {f"1.2.840.10008.1.2.4.{end}" for end in (50, 51, 81, 91, 203)}
_EARLY = "its pixel data end early; fetch the file again"
_MOST_MASKED = 0.001  # the share of values above BitsStored from which on a film is refused if masking breaks it


@dataclass(frozen=True)
class Layout:
    """The form of the stored values: size in pixels, and bits by the tags of the same names."""

    rows: int
    columns: int
    allocated: int
    stored: int
    high: int
    signed: bool

    @property
    def size(self) -> int:
        """The bytes of all pixels."""
        return self.rows * self.columns * self.allocated // 8


@dataclass(frozen=True)
class Stored:
    """The stored values of a film.

    Attributes:
        codes: (rows, columns) uint8 or uint16, counted from the smallest value that can be stored, so that 0 is -2048
            for signed values of 12 bits. The code above all, 2^bits, is padding by bits that are not stored.
        bits: The bits of a value.
        signed: True if the values are in two's complement.
        notes: What was passed over or decided, one line each.
    """

    codes: np.ndarray
    bits: int
    signed: bool
    notes: tuple[str, ...] = ()


def layout_of(tags: Tags) -> Layout:
    """Return the layout of a film. Tags that a film can do without have the value that they must have.

    Raises:
        UnreadableFilm: The size or the bits are none that a film has, or the transfer syntax is unknown.
    """
    if tags.syntax and tags.syntax not in PLAIN | PACKED:
        raise UnreadableFilm(
            f"its transfer syntax is {syntax_name(tags.syntax)}, for which no decoder is known; save it as JPEG 2000 "
            "or without compression"
        )
    rows, columns = tags.whole("Rows"), tags.whole("Columns")
    check_size(rows, columns)
    allocated = tags.whole("BitsAllocated") or 16
    stored = tags.whole("BitsStored") or allocated
    high = tags.whole("HighBit")
    high = stored - 1 if high is None else high
    if allocated not in (8, 16) or not 2 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise UnreadableFilm(
            f"its BitsAllocated, BitsStored and HighBit are {allocated}, {stored} and {high}; expected 8 or 16 "
            "bits, at most as many stored, and the highest of them within"
        )
    return Layout(int(rows or 0), int(columns or 0), allocated, stored, high, tags.whole("PixelRepresentation") == 1)


def syntax_name(uid: str) -> str:
    """Return the name of a transfer syntax with its UID."""
    name = (PLAIN | PACKED).get(uid) or UID(uid, config.IGNORE).name
    return shown(uid) if name == uid else f"{name} ({uid})"


def has_pixels(file: BinaryIO) -> bool:
    """Tell whether a file, as `read_tags` left it, stands at its pixels."""
    place = file.tell()
    tag = file.read(4)
    file.seek(place)
    return tag in (b"\xe0\x7f\x10\0", b"\x7f\xe0\0\x10")


def read_codes(file: BinaryIO, tags: Tags, layout: Layout, *, mask: bool) -> Stored:
    """Read the pixels of a file that stands at them.

    Args:
        file: The file.
        tags: Its header.
        layout: Its layout.
        mask: True for a mask, which has no padding.

    Raises:
        UnreadableFilm: The pixels are damaged or incomplete, their bits are not those of the header, or a decoder is
            not installed.
    """
    values, precision, signed, notes = _values_of(file, tags, layout)
    values = values.reshape(layout.rows, layout.columns)
    if signed and not layout.signed:
        layout = replace(layout, signed=_smoother_signed(values, min(layout.stored, precision)))
        read_as = "signed" if layout.signed else "unsigned"
        notes.append(f"its codestream is signed, but PixelRepresentation is not; read as {read_as}, which is smoother")
    padding = None if mask or tags.has_overlay else padding_of(tags, layout.signed)
    codes, bits, masked, torn = _codes(values, precision, layout, tags.syntax in LOSSY, padding)
    if masked and not tags.has_overlay:
        share = f"{100 * masked / codes.size:.3g} % of the values use bits above BitsStored"
        if torn and not mask and masked > _MOST_MASKED * codes.size:
            raise UnreadableFilm(
                f"{share} ({layout.stored}), and without these bits white would become black; correct BitsStored and "
                "HighBit"
            )
        notes.append(f"{share}, which are masked")
    return Stored(codes, bits, layout.signed, tuple(notes))


def _values_of(file: BinaryIO, tags: Tags, layout: Layout) -> tuple[np.ndarray, int, bool, list[str]]:
    """Return the values, their number of bits, whether a codestream says that they are signed, and notes."""
    little, length, wide = _element(file)
    notes, signed = [], False
    if length == 0xFFFFFFFF:
        if tags.syntax in PLAIN:
            raise UnreadableFilm(
                f"its pixels are compressed, but its header says that they are not (transfer syntax "
                f"{syntax_name(tags.syntax)}); fetch the file again"
            )
        check_bytes(layout.size)
        parts = list(_fragments(file))
        data = b"".join(parts)
        length = len(data) if tags.syntax == ENCAPSULATED else 0
        if not length:
            values, precision, signed = _decoded(data, layout)
            if several := sum(part[:8] == parts[0][:8] for part in parts[1:]):  # they begin as the first does
                notes.append(f"its pixel data hold {number_of(1 + several, 'codestream')}; the first is read")
            return values, precision, signed, notes
    else:
        if tags.syntax in PACKED:
            raise UnreadableFilm(
                f"its pixels are not compressed, but its header says that they are (transfer syntax "
                f"{syntax_name(tags.syntax)}); fetch the file again"
            )
        data = file.read(layout.size + 1)
        if layout.allocated == 8 and not little and wide:
            data = np.frombuffer(data[: len(data) // 2 * 2], "<u2").byteswap().tobytes() + data[len(data) // 2 * 2 :]
    if length >= layout.size + layout.size // layout.rows:
        notes.append(f"its pixel data have {length:,} bytes, more than the {layout.size:,} of Rows x Columns")
    return *_plain(data, length, little, layout), signed, notes


def _smoother_signed(values: np.ndarray, bits: int) -> bool:
    """Tell whether values are smoother in two's complement: the wrong reading tears a picture at half of its levels."""
    low = values & values.dtype.type((1 << bits) - 1)
    return _steps(low ^ low.dtype.type(1 << (bits - 1))) < _steps(low)


def _steps(levels: np.ndarray) -> int:
    """Return the sum of the differences of pixels beside each other."""
    step = max((1 << 20) // levels.shape[1], 1)  # in parts: each is converted to 4 bytes
    parts = (levels[start : start + step].astype(np.int32) for start in range(0, levels.shape[0], step))
    return sum(int(np.abs(np.diff(part, axis=1)).sum(dtype=np.int64)) for part in parts)


def _plain(data: bytes, length: int, little: bool, layout: Layout) -> tuple[np.ndarray, int]:
    """Return the values of pixels that are not packed, in a row, and the bits of one."""
    if len(data) < layout.size or length < layout.size:
        raise UnreadableFilm(f"its pixel data have {min(length, len(data)):,} of {layout.size:,} bytes; {_EARLY}")
    form = np.dtype(f"{'<' if little else '>'}u{layout.allocated // 8}")
    values = np.frombuffer(data, form, layout.rows * layout.columns).astype(form.newbyteorder("="), copy=False)
    return values, layout.allocated


def _codes(
    values: np.ndarray, precision: int, layout: Layout, lossy: bool, padding: tuple[int, int] | None
) -> tuple[np.ndarray, int, int, bool]:
    """Take the stored bits of each value, and count from the smallest value that they can hold.

    Returns:
        The codes; their bits; the number of values that had more bits and are no padding, 0 if they are lossy; and True
        if the picture is smoother with these bits: they are no overlay, but belong to it.
    """
    masked, torn = 0, False
    bits = min(layout.stored, precision)
    mask = (1 << bits) - 1
    if precision > layout.high and layout.high >= layout.stored:
        values, padding = values >> (layout.high + 1 - layout.stored), None
    numbers = values.view(f"i{values.itemsize}") if layout.signed else values
    beyond = None if padding is None else _beyond(numbers, bits, layout.signed, padding)
    if lossy and not layout.signed:
        values = np.minimum(values, values.dtype.type(mask))  # a lossy codec overshoots: bits above are no overlay
    elif bits < 8 * values.itemsize and (layout.signed or values.max() > mask):
        low = values & values.dtype.type(mask)
        above = values != low
        if layout.signed and above.any():  # the sign may go on into the bits above
            above &= (numbers < -(1 << (bits - 1))) | (numbers >= 0)
        if beyond is not None:
            above &= ~beyond
            numbers = np.where(beyond, low, values).view(numbers.dtype)
        if masked := int(np.count_nonzero(above)):
            half = low.dtype.type(layout.signed << (bits - 1))
            torn = _steps(low ^ half) > _steps(numbers)
        values = low
    codes = values ^ values.dtype.type(1 << (bits - 1)) if layout.signed else values
    if beyond is not None:
        codes = np.where(beyond, codes.dtype.type(1 << bits), codes)
    return codes, bits, masked, torn


def _beyond(numbers: np.ndarray, bits: int, signed: bool, padding: tuple[int, int]) -> np.ndarray | None:
    """Return where pixels are padding that the stored bits cannot hold, such as 0xFFFF for 12 bits; None if nowhere."""
    least = -(1 << (bits - 1)) if signed else 0
    most = least + (1 << bits) - 1
    if least <= padding[0] and padding[1] <= most:
        return None
    found = (numbers >= padding[0]) & (numbers <= padding[1]) & ((numbers < least) | (numbers > most))
    return found if found.any() else None


def _element(file: BinaryIO) -> tuple[bool, int, bool]:
    """Read the head of the pixel data: True for little endian, the length in bytes, and True for words of 16 bits."""
    head = file.read(8).ljust(8, b"\0")
    little = head[:2] == b"\xe0\x7f"
    order = "<" if little else ">"
    if head[4:6] in (b"OW", b"OB", b"UN"):
        return little, struct.unpack(f"{order}I", file.read(4).ljust(4, b"\0"))[0], head[4:6] == b"OW"
    if head[4:6] in (b"US", b"SS"):
        return little, struct.unpack(f"{order}H", head[6:])[0], True
    return little, struct.unpack(f"{order}I", head[4:])[0], True


def _fragments(file: BinaryIO) -> Iterator[bytes]:
    """Yield the fragments of packed pixel data, without the table of offsets that comes first."""
    first, total = True, 0
    while len(head := file.read(8)) == 8 and head[:4] == b"\xfe\xff\x00\xe0":
        length = struct.unpack_from("<I", head, 4)[0]
        total += length
        check_bytes(total)
        if len(data := file.read(length)) < length:
            raise UnreadableFilm(_EARLY)
        if not first:
            yield data
        first = False


def _decoded(data: bytes, layout: Layout) -> tuple[np.ndarray, int, bool]:
    """Decode a codestream; return the values in a row, the bits of one, and True if it says that they are signed."""
    if data[:2] == b"\xff\xd8":
        return *codestreams.jpeg(data, layout.rows, layout.columns), False
    if data[:4] == b"\xff\x4f\xff\x51" or data[4:8] == b"jP  ":
        return codestreams.jpeg2000(data, layout.rows, layout.columns)
    return codestreams.rle(data, layout.rows, layout.columns, layout.allocated // 8), layout.allocated, False
