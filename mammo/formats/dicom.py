"""Mammograms in DICOM: what is refused by its tags, the facts of a film, and its pixels.

Everything that a tag can refuse is refused before a pixel is decoded, with the tag and the reason.
"""

import re
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from mammo.errors import UnreadableFilm
from mammo.formats.levels import is_inverted, levels_of, padding_of
from mammo.formats.pixels import Pixels, check_content, shown
from mammo.formats.stream import Stored, has_pixels, layout_of, read_codes
from mammo.formats.tags import Tags, positive, read_tags
from mammo.wording import number_of

_CLASSES = "1.2.840.10008.5.1.4.1.1."
DIRECTORY = "1.2.840.10008.1.3.10"
NO_FILMS = {"11.": "a presentation state", "88.": "a structured report", "66.4": "a segmentation", "104.1": "a PDF"}
TOMOSYNTHESIS = {f"{_CLASSES}13.1.{end}" for end in (3, 4, 5)}
MAMMOGRAM = {f"{_CLASSES}1.2"}
FOR_PROCESSING = {f"{_CLASSES}1.{end}.1" for end in (1, 2, 3)}
VIEWS = {  # codes of SNOMED RT and CT, and the words of their meanings (CID 4014)
    "CC": ("R-10242", "399162004", "cranio-caudal"),
    "MLO": ("R-10226", "399368009", "medio-lateral oblique"),
    "ML": ("R-10224", "399260004", "medio-lateral", "medial-lateral"),
    "LM": ("R-10228", "399352003", "latero-medial"),
    "LMO": ("R-10230", "399099002", "latero-medial oblique"),
    "FB": ("R-10244", "399196006", "caudo-cranial", "caudo-cranial (from below)"),
    "SIO": ("R-102D0", "399188001", "superolateral to inferomedial oblique"),
    "ISO": ("R-40AAA", "441555000", "inferomedial to superolateral oblique"),
    "XCC": ("cranio-caudal exaggerated",),
    "XCCL": ("R-1024A", "399192008", "cranio-caudal exaggerated laterally"),
    "XCCM": ("R-1024B", "399101009", "cranio-caudal exaggerated medially"),
}
_VIEW_OF = {"".join(filter(str.isalnum, word.upper())): view for view, words in VIEWS.items() for word in words}
LEAST_MM, MOST_MM = 0.01, 1.0  # the side of a pixel; beyond, it has another unit
_SQUARE = 0.01  # the largest relative difference of a pixel's sides


@dataclass(frozen=True)
class Facts:
    """The facts of one film, without its pixels; the meanings are those of `Film` and `Header`."""

    spacing_mm: float | None
    laterality: str | None
    view: str | None
    upside_down: bool
    notes: tuple[str, ...]


def read(file: BinaryIO, *, voi: str = "first", mask: bool = False) -> tuple[Pixels, Facts]:
    """Read a film.

    Args:
        file: An open file, at its start.
        voi: `first` or `none`: the VOI table or window to apply.
        mask: True for a mask: its stored values as they are; it may be of one level.

    Raises:
        UnreadableFilm: It is no film, or is damaged.
    """
    tags, file = read_tags(file)
    refuse(tags, has_pixels(file))
    layout = layout_of(tags)
    facts = facts_of(tags)
    stored = read_codes(file, tags, layout, mask=mask)
    facts = replace(facts, notes=(*stored.notes, *facts.notes))
    if mask:
        codes, zero = stored.codes, stored.codes.dtype.type(1 << (stored.bits - 1))
        return Pixels(codes ^ zero if stored.signed else codes, (1 << stored.bits) - 1), facts
    check_content(stored.codes)
    return pixels_of(tags, stored, voi), facts


def pixels_of(tags: Tags, stored: Stored, voi: str) -> Pixels:
    """Return the grey levels of stored values."""
    codes, bits, signed = stored.codes, stored.bits, stored.signed
    least, most = int(codes.min()), int(codes.max())
    zero = 1 << (bits - 1) if signed else 0  # the code of the stored value 0
    smallest, padding = least - zero, padding_of(tags, signed)
    if signed and padding is not None and padding[0] <= smallest <= padding[1]:
        smallest = int(codes.min(where=codes > padding[1] + zero, initial=most)) - zero
    levels = levels_of(tags, bits, signed, smallest, voi)
    if voi == "first" and np.ptp(levels.table[least : most + 1]) == 0:
        levels = levels_of(tags, bits, signed, smallest, "none")
        notes: tuple[str, ...] = (*levels.notes, "the window or VOI table left one grey level; left out")
    else:
        notes = levels.notes
    table = np.append(levels.table, levels.table.dtype.type(0))  # padding by bits that are not stored
    if table.dtype == codes.dtype and np.array_equal(table[: most + 1], np.arange(most + 1)):
        pixels = codes
    else:  # in parts: NumPy makes indices of 8 bytes
        pixels = np.empty(codes.shape, table.dtype)
        step = max((1 << 20) // codes.shape[1], 1)
        for start in range(0, codes.shape[0], step):
            np.take(table, codes[start : start + step], out=pixels[start : start + step], mode="clip")
    check_content(pixels)
    return Pixels(pixels, levels.white, notes)


def refuse(tags: Tags, has_data: bool) -> None:
    """Refuse by its tags what is no film of one mammogram.

    Raises:
        UnreadableFilm: With the tag, its value and the reason.
    """
    kind, modality = tags.text("SOPClassUID"), tags.text("Modality").upper()
    if kind == DIRECTORY:
        raise UnreadableFilm("it is a DICOMDIR, an index of files; give the films themselves")
    for end, what in NO_FILMS.items():
        if kind.startswith(_CLASSES + end):
            raise UnreadableFilm(f"it is {what} (SOPClassUID {shown(kind)}), not a film")
    frames = frames_of(tags)
    if frames > 1 or (kind in TOMOSYNTHESIS and not _synthetic(tags)):
        what = "tomosynthesis" if kind in TOMOSYNTHESIS or modality == "MG" else "an object"
        raise UnreadableFilm(
            f"it is {what} of {number_of(frames, 'frame')} (NumberOfFrames); give the (synthetic) 2D film"
        )
    if kind in FOR_PROCESSING or "PROCESSING" in tags.text("PresentationIntentType").upper():
        raise UnreadableFilm("it holds raw detector data (FOR PROCESSING); give the film FOR PRESENTATION")
    if tags.text("QualityControlImage").upper() == "YES":
        raise UnreadableFilm("it is an image for quality control, such as of a test object (QualityControlImage YES)")
    _refuse_modality(kind, modality, tags.text("BodyPartExamined").upper())
    if not has_data:
        raise UnreadableFilm("it has no pixels (no PixelData)")
    if (samples := tags.whole("SamplesPerPixel")) not in (None, 1):
        colours = shown(tags.text("PhotometricInterpretation"))
        raise UnreadableFilm(f"it is in colour (SamplesPerPixel {samples}, {colours}); expected a grey film")
    is_inverted(tags)


def _synthetic(tags: Tags) -> bool:
    """Tell whether a film was computed from tomosynthesis: it may be stored as tomosynthesis of one frame."""
    return "GENERATED_2D" in map(str.upper, tags.texts("ImageType"))


def _refuse_modality(kind: str, modality: str, part: str) -> None:
    if modality == "MG" or (not modality and kind in MAMMOGRAM):
        return
    if modality in ("CR", "DX") and part == "BREAST":
        return
    body = f" and its BodyPartExamined {shown(part)}" if modality in ("CR", "DX") else ""
    raise UnreadableFilm(f"its Modality is {shown(modality)}{body}; expected MG, or CR or DX of the BREAST")


def frames_of(tags: Tags) -> int:
    """Return the number of frames; 1 if it is not stated."""
    return tags.whole("NumberOfFrames") or 1


def facts_of(tags: Tags) -> Facts:
    """Return the facts of a film.

    Raises:
        UnreadableFilm: Its pixels are not square.
    """
    spacing_mm, notes = spacing_of(tags)
    if not tags.syntax:
        notes.append("the transfer syntax is not stated; taken by the form of the file")
    if _synthetic(tags):
        notes.append("computed from tomosynthesis (ImageType GENERATED_2D)")
    if "PhotometricInterpretation" not in tags:
        notes.append("PhotometricInterpretation is not stated; MONOCHROME2 is assumed")
    codes = [*tags.items("ViewModifierCodeSequence")]
    for view in tags.items("ViewCodeSequence"):
        codes += view.items("ViewModifierCodeSequence")
    if any("MAGNIF" in code.text("CodeMeaning").upper() for code in codes):
        notes.append("a magnification view")
    if tags.text("BreastImplantPresent").upper() == "YES":
        notes.append("a breast with an implant (BreastImplantPresent)")
    if tags.text("PartialView").upper() == "YES":
        notes.append("a part of the breast (PartialView)")
    if "BitsStored" not in tags:
        notes.append("BitsStored is not stated; all bits of BitsAllocated are taken")
    sides = _sides(tags)
    if {"left", "right"} <= set(sides.values()):
        said = ", ".join(f"{keyword} is {side or 'both'}" for keyword, side in sides.items())
        notes.append(f"the tags of the side contradict each other ({said}); the first counts")
    return Facts(spacing_mm, laterality_of(tags), view_of(tags), _upside_down(tags), tuple(notes))


def spacing_of(tags: Tags) -> tuple[float | None, list[str]]:
    """Return the side of a pixel in the breast, in mm, and notes about it.

    PixelSpacing counts; but if it is that of the detector and not said to be calibrated, or is absent, it is
    ImagerPixelSpacing divided by the magnification; then NominalScannedPixelSpacing.

    Raises:
        UnreadableFilm: The two sides of a pixel differ by more than 1 %.
    """
    notes: list[str] = []
    aspect = [positive(one) for one in tags.reals("PixelAspectRatio")]
    if len(aspect) == 2 and None not in aspect:
        _check_square("PixelAspectRatio", aspect[0], aspect[1])
    own, imager, scanned = (
        _spacing(tags, keyword, notes)
        for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
    )
    calibrated = bool(tags.text("PixelSpacingCalibrationType")) or own != imager
    if own is not None and calibrated:
        return own, notes
    if imager is None:
        return scanned, notes
    factor = positive(tags.real("EstimatedRadiographicMagnificationFactor"))
    detector, patient = (positive(tags.real(f"DistanceSourceTo{end}")) for end in ("Detector", "Patient"))
    if factor is None and detector is not None and patient is not None:
        factor = detector / patient
    if factor is None or not 1 <= factor < 10:
        return imager, notes
    if factor > 1:
        notes.append(f"spacing {imager:g} mm at the detector, divided by the magnification {factor:.4g}")
    if factor >= 1.4:
        notes.append("a magnification view")
    return imager / factor, notes


def _spacing(tags: Tags, keyword: str, notes: list[str]) -> float | None:
    sides = tags.reals(keyword)
    if not sides:
        return None
    usable = [positive(side) for side in sides[:2]]
    down, across = usable[0], usable[-1]
    if down is None or across is None or not LEAST_MM <= down <= MOST_MM:
        notes.append(f"{keyword} {shown(chr(92).join(tags.texts(keyword)))} is not usable; left out")
        return None
    _check_square(keyword, down, across)
    return down


def _check_square(keyword: str, down: float | None, across: float | None) -> None:
    if down and across and abs(down - across) > _SQUARE * min(down, across):
        raise UnreadableFilm(
            f"its pixels are not square ({keyword} {down:g} x {across:g}); resample it to square pixels"
        )


_SIDE_OF = {"L": "left", "R": "right", "LEFT": "left", "RIGHT": "right"}


def laterality_of(tags: Tags) -> str | None:
    """Return `left` or `right` by the first of the three tags that is filled; None for both or neither."""
    return next(iter(_sides(tags).values()), None)


def _sides(tags: Tags) -> dict[str, str | None]:
    """Return what each of the three tags of the side tells that is filled: `left`, `right`, or None for both."""
    texts = {one: tags.text(one).upper() for one in ("ImageLaterality", "Laterality", "FrameLaterality")}
    return {one: _SIDE_OF.get(text) for one, text in texts.items() if text}


def view_of(tags: Tags) -> str | None:
    """Return the view by ViewPosition, else by ViewCodeSequence, else by a CC or MLO in PatientOrientation."""
    if text := tags.text("ViewPosition").upper():
        bare = re.sub(r"^(LEFT|RIGHT|L|R)[\W_]*", "", text)  # LMLO is MLO of the left breast
        return _view_of(text) or (bare if text not in VIEWS and bare in VIEWS else text)
    for code in tags.items("ViewCodeSequence"):
        if view := _view_of(code.text("CodeMeaning")) or _view_of(code.text("CodeValue")):
            return view
    return next((one for one in map(str.upper, tags.texts("PatientOrientation")) if one in ("CC", "MLO")), None)


def _view_of(words: str) -> str | None:
    return _VIEW_OF.get("".join(filter(str.isalnum, words.upper())))


def _upside_down(tags: Tags) -> bool:
    """Tell whether the rows run towards the head, by the second value of PatientOrientation."""
    return any(one.upper().startswith("H") for one in tags.texts("PatientOrientation")[1:2])
