"""From the stored values of a DICOM film to its grey levels: one table with an entry for each value that can be stored.

The order is that of DICOM (PS3.4 N.2): modality, window or VOI table, inversion, and at last the padding, which is
background. A table is exact and fast: a film of 12 bits has 4096 entries, whatever its size.
"""

import math
from dataclasses import dataclass

import numpy as np

from mammo.errors import UnreadableFilm
from mammo.formats.pixels import shown
from mammo.formats.tags import Tags

VOI = ("first", "none")


@dataclass(frozen=True)
class Levels:
    """The grey level of each stored value, from the smallest to the largest that the bits allow.

    Attributes:
        table: (2^bits,) uint8 or uint16.
        white: The grey level of white.
        notes: What the table does, one line each.
    """

    table: np.ndarray
    white: int
    notes: tuple[str, ...]


def levels_of(tags: Tags, bits: int, signed: bool, smallest: int = 0, voi: str = "first") -> Levels:
    """Return the table of a film.

    Args:
        tags: The header.
        bits: Bits of a stored value.
        signed: True if stored values are in two's complement.
        smallest: The smallest stored value that is no padding. If a signed film has none below 0, its black is 0.
        voi: `first` applies the first VOI table, or else the first window; `none` applies neither.

    Raises:
        UnreadableFilm: The photometric interpretation is unknown, or the modality table is damaged.
    """
    stored = np.arange(1 << bits, dtype=np.float64) - (1 << (bits - 1) if signed else 0)
    grey, positive, notes = _grey(tags, stored, signed and smallest >= 0, voi)
    depth = bits - positive
    white = next(one for one in ((1 << depth) - 1, (1 << bits) - 1, 65535) if one == 65535 or _fits(grey, one))
    table = np.rint(np.clip(grey, 0, 1) * white).astype(np.uint8 if white < 256 else np.uint16)
    if (padding := padding_of(tags, signed)) is not None:
        table[(stored >= padding[0]) & (stored <= padding[1])] = 0
    return Levels(table, white, (*notes, *_said(padding)))


def notes_of(tags: Tags, bits: int, signed: bool) -> tuple[str, ...]:
    """Return the notes of `levels_of` with its defaults, without its table, which takes a millisecond for 16 bits.

    Rescaling and windows rise or fall all the way, so the ends of the stored values tell the same as all of them.

    Raises:
        UnreadableFilm: As `levels_of` does.
    """
    if "ModalityLUTSequence" in tags or "VOILUTSequence" in tags:
        return levels_of(tags, bits, signed).notes
    half = 1 << (bits - 1)
    ends = np.array([-half, 0, half - 1] if signed else [0, 2 * half - 1], np.float64)
    return (*_grey(tags, ends, signed, "first")[2], *_said(padding_of(tags, signed)))


def _grey(tags: Tags, stored: np.ndarray, positive: bool, voi: str) -> tuple[np.ndarray, bool, list[str]]:
    """Return the grey of stored values in [0, 1], whether black is the value 0 of a signed film, and notes.

    Args:
        tags: The header.
        stored: Stored values in ascending order, the smallest and the largest among them.
        positive: True if the film is signed, and has no value below 0.
        voi: As in `levels_of`.
    """
    inverted = is_inverted(tags)
    with np.errstate(over="ignore"):  # what is beyond all numbers is refused, or clipped by a window
        values, notes = _modality(tags, stored)
        grey, fewer = None, False
        if voi == "first":
            grey, more = _voi(tags, values)
            notes += more
    if grey is None:
        can = values[stored >= 0] if positive else values
        fewer = len(can) < len(values)
        low, high = can.min(), can.max()
        if low == high:
            raise UnreadableFilm("its rescaling or modality table gives one grey level; expected several")
        grey = np.clip((values - low) / (high - low), 0, 1)
    if inverted:
        grey = 1 - grey
        notes.append("inverted: stored with white as the lowest level")
    return grey, fewer, notes


def _said(padding: tuple[int, int] | None) -> list[str]:
    return [] if padding is None else [f"padding {padding[0]} to {padding[1]} is background"]


def is_inverted(tags: Tags) -> bool:
    """Tell whether the lowest level is white: by MONOCHROME1, or PresentationLUTShape INVERSE, or both.

    Raises:
        UnreadableFilm: The photometric interpretation is another one.
    """
    kind = tags.text("PhotometricInterpretation").upper()
    if kind not in ("MONOCHROME1", "MONOCHROME2", ""):
        raise UnreadableFilm(
            f"its PhotometricInterpretation is {shown(kind)}; expected MONOCHROME1 or MONOCHROME2: a film is grey"
        )
    return kind == "MONOCHROME1" or tags.text("PresentationLUTShape").upper() == "INVERSE"


def _fits(grey: np.ndarray, white: int) -> bool:
    """Tell whether grey levels from 0 to `white` hold these values without rounding."""
    scaled = grey * white
    return bool(np.abs(scaled - np.rint(scaled)).max() < 1e-6)


def _modality(tags: Tags, stored: np.ndarray) -> tuple[np.ndarray, list[str]]:
    if items := tags.items("ModalityLUTSequence"):
        table = _lut(items[0], negative=stored[0] < 0)
        if table is None:
            raise UnreadableFilm("its ModalityLUTSequence is damaged; fetch the file again")
        return _looked_up(table, stored), ["modality table applied"]
    slope, intercept = tags.real("RescaleSlope"), tags.real("RescaleIntercept")
    slope, intercept = 1.0 if slope is None else slope, 0.0 if intercept is None else intercept
    if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0:
        return stored, ["RescaleSlope or RescaleIntercept is not usable; left out"]
    if (slope, intercept) == (1, 0):
        return stored, []
    turned = ": an inversion" if slope < 0 else ""
    values = stored * slope + intercept
    if not math.isfinite(values.max() - values.min()):
        raise UnreadableFilm(
            f"its RescaleSlope {slope:g} and RescaleIntercept {intercept:g} give infinite values; correct them"
        )
    return values, [f"rescaled by {slope:g} and {intercept:+g}{turned}"]


def _voi(tags: Tags, values: np.ndarray) -> tuple[np.ndarray | None, list[str]]:
    """Return the grey levels in [0, 1] by the first VOI table, or else by the first window; None without either."""
    items = tags.items("VOILUTSequence")
    if not items:
        return _windowed(tags, values)
    table = _lut(items[0], negative=values.min() < 0)
    if table is None or table[0].max() <= 0:
        grey, notes = _windowed(tags, values)
        return grey, ["VOILUTSequence is not usable; left out", *notes]
    entries, _, depth = table
    used = int(entries.max()).bit_length()  # some state 16 bits and fill 12, and some state 8
    used -= entries.max() == 1 << depth  # white, rounded up
    notes = []
    if used > depth:
        notes.append(f"the VOI table states {depth} bits, but its entries have {used}, which are taken")
    window = "; the window is not" if tags.texts("WindowCenter") else ""
    return _looked_up(table, values) / ((1 << used) - 1), [*notes, f"VOI table applied{window}"]


def _windowed(tags: Tags, values: np.ndarray) -> tuple[np.ndarray | None, list[str]]:
    """Return the grey levels in [0, 1] by the first window; None without a usable one."""
    notes: list[str] = []
    centre, width = tags.real("WindowCenter"), tags.real("WindowWidth")
    if centre is None and width is None:
        return None, notes
    kind = tags.text("VOILUTFunction").upper() or "LINEAR"
    if kind not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        notes.append(f"VOILUTFunction {shown(kind)} is unknown; taken as LINEAR")
        kind = "LINEAR"
    least = 1 if kind == "LINEAR" else 0  # a LINEAR window of width 1 leaves two levels
    if centre is None or width is None or not math.isfinite(centre) or not least < width < math.inf:
        asked = shown(f"{tags.text('WindowCenter')}/{tags.text('WindowWidth')}")
        return None, [*notes, f"window {asked} is not usable; left out"]
    if kind == "SIGMOID":
        grey = 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    else:  # PS3.3 C.11.2.1.2.1 and C.11.2.1.3.2
        exact = kind == "LINEAR_EXACT"
        grey = np.clip((values - centre) / width + 0.5 if exact else (values - centre + 0.5) / (width - 1) + 0.5, 0, 1)
    return grey, [*notes, f"window {centre:g}/{width:g} ({kind}) applied"]


def padding_of(tags: Tags, signed: bool) -> tuple[int, int] | None:
    """Return the smallest and largest stored value that stand for padding; None without any."""
    first, last = tags.whole("PixelPaddingValue"), tags.whole("PixelPaddingRangeLimit")
    if first is None:
        return None
    ends = [first, first if last is None else last]
    if signed:
        ends = [one - (1 << 16) if one >= 1 << 15 else one for one in ends]
    return min(ends), max(ends)


Lut = tuple[np.ndarray, int, int]  # entries, the value of the first entry, and bits of an entry


def _lut(item: Tags, negative: bool) -> Lut | None:
    """Return a modality or VOI table; None if it is damaged.

    Args:
        item: The item of the sequence.
        negative: True if the values to look up can be negative, so that the first one may be.
    """
    descriptor = item.wholes("LUTDescriptor")
    if len(descriptor) != 3:
        return None
    entries, first, depth = descriptor
    entries = entries or 1 << 16
    data, vr, little = item.raw("LUTData")
    if first >= 1 << 15 and (negative or item.raw("LUTDescriptor")[1] == "SS"):
        first -= 1 << 16
    if not 1 <= depth <= 16:
        return None
    if len(data) >= 2 * entries:
        table = np.frombuffer(data, "<u2" if little else ">u2", entries)
    elif len(data) >= entries and depth <= 8:  # two entries in a word
        table = np.frombuffer(data, np.uint8)
        if not little and vr == "OW":
            table = table[: len(table) // 2 * 2].reshape(-1, 2)[:, ::-1].ravel()
        table = table[:entries]
    else:
        return None
    return table.astype(np.float64), first, depth


def _looked_up(lut: Lut, values: np.ndarray) -> np.ndarray:
    entries, first, _ = lut
    return entries[np.clip(np.rint(values) - first, 0, len(entries) - 1).astype(np.int64)]
