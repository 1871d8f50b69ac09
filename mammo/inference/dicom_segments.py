"""Regions found on DICOM films, as DICOM segmentation objects (PS3.3 A.51) of one segment in the film's own pixels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from highdicom import AlgorithmIdentificationSequence, seg
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from mammo.cells import printable
from mammo.errors import UnreadableFilm
from mammo.inference import dicom_codes as words
from mammo.inference.answers import WARNING, Answers
from mammo.inference.dicom_source import (
    BROKEN,
    MAKER,
    SERIES,
    Model,
    carry,
    check_named,
    names_of,
    one_line,
    read_source,
    save,
    scheme,
    silent,
    uid_of,
)
from mammo.wording import number_of

SEGMENTS = {  # category and kind of what a run finds, by `segmentation.target`
    "lesion": (codes.SCT.MorphologicallyAbnormalStructure, words.REGION),
    "breast": (codes.SCT.AnatomicalStructure, codes.SCT.Breast),
}


def write_segments(answers: Answers, paths: Sequence[str], folder: Path) -> list[str]:
    """Write a segmentation for each film with a region that is a DICOM file; return notes.

    Args:
        answers: The answers for films.
        paths: The paths of the films.
        folder: The folder to write into; a segmentation that is there already stays as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model, notes, written = Model.of(answers.run), list[str](), 0
    rows = {row["path"]: [row] for row in answers.rows if row["unit"] == "image"}
    target = answers.run.config.segmentation.target
    for number, path in enumerate((one for one in paths if printable(one) in answers.outlines), start=1):
        shown = printable(path)
        region = answers.outlines[shown].on_film()
        try:
            if not region.any():
                raise UnreadableFilm("no region was found")
            check_named(path, rows.get(shown, []))
            with silent():
                save(segments_of(read_source(path), region, target, model, number), folder)
            written += 1
        except UnreadableFilm as error:
            notes.append(f"{shown}: no DICOM segmentation, as {error}")
    return [*notes, f"{number_of(written, 'DICOM segmentation is', 'DICOM segmentations are')} in {folder}"]


def segments_of(source: Dataset, region: np.ndarray, target: str, model: Model, number: int) -> Dataset:
    """Return the segmentation of a film.

    Args:
        source: The header of the film, as `read_source` returns it.
        region: (height, width) bool in the pixels of the film, not empty.
        target: What was sought, `segmentation.target`.
        model: The model.
        number: The number of the segmentation in its series, from 1.

    Raises:
        UnreadableFilm: The header does not allow a segmentation.
    """
    category, kind = SEGMENTS[target]
    try:
        described = seg.SegmentDescription(
            segment_number=1,
            segment_label=f"{target} found",
            segmented_property_category=category,
            segmented_property_type=kind,
            algorithm_type=seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=AlgorithmIdentificationSequence(
                model.name, codes.DCM.ArtificialIntelligence, model.digest, MAKER, {"use": WARNING}
            ),
            tracking_uid=uid_of(source.SOPInstanceUID, model.digest, target),
            tracking_id=f"{target} found",
            anatomic_regions=[codes.SCT.Breast],
        )
        made = seg.Segmentation(
            source_images=[source],
            pixel_array=region[None],
            segmentation_type=seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[described],
            series_number=SERIES + 1,
            instance_number=number,
            content_label="FOUND",
            content_description=f"{target} found by {model.name}"[:64],
            specific_character_set="ISO_IR 192",
            coding_schemes=scheme(),
            **names_of(source, "segmentation", model, np.packbits(region).tobytes().hex()),
            **model.equipment,
        )
    except BROKEN as error:
        raise UnreadableFilm(f"its header does not allow one ({one_line(error)})") from None
    made.PatientOrientation = source.get("PatientOrientation") or None
    carry(source, made)
    return made
