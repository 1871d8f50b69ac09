"""Answers as DICOM structured reports of the template TID 1500 (Measurement Report, PS3.16): one for each film.

Coordinates of a region are those of the image itself: 0, 0 is the corner of its first pixel, top left (PS3.3 C.18.6),
while a point of ours is the middle of a pixel.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pandas as pd
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from mammo.cells import printable
from mammo.config import TaskConfig
from mammo.errors import UnreadableFilm
from mammo.inference import dicom_codes as words
from mammo.inference.answers import Answers
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
    site,
    uid_of,
)
from mammo.wording import number_of

HALF_PX = 0.5  # from the middle of the first pixel to the corner of the image
NUMBERS = {
    "score": words.SCORE,
    "threshold": words.THRESHOLD,
    "sensitivity": words.SENSITIVITY,
    "specificity": words.SPECIFICITY,
}


def write_reports(answers: Answers, paths: Sequence[str], folder: Path) -> list[str]:
    """Write a structured report for each film that was predicted and is a DICOM file; return notes.

    Args:
        answers: The answers for films.
        paths: The paths of the films; those of the answers may have other characters for odd ones.
        folder: The folder to write into; a report that is there already stays as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model, notes, written = Model.of(answers.run), list[str](), 0
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in answers.rows:
        if row["unit"] == "image" and row["status"] == "predicted":
            rows.setdefault(row["path"], []).append(row)
    for number, path in enumerate((one for one in paths if printable(one) in rows), start=1):
        shown, marks = printable(path), answers.marks
        own = None if marks is None else marks[marks["path"] == shown]
        try:
            check_named(path, rows[shown])
            with silent():
                source = read_source(path)
                save(report_of(source, rows[shown], own, answers.run.config.task, model, number), folder)
            written += 1
        except UnreadableFilm as error:
            notes.append(f"{shown}: no DICOM report, as {error}")
    return [*notes, f"{number_of(written, 'DICOM report is', 'DICOM reports are')} in {folder}"]


def report_of(
    source: Dataset,
    rows: Sequence[Mapping[str, Any]],
    marks: pd.DataFrame | None,
    task: TaskConfig,
    model: Model,
    number: int,
) -> Dataset:
    """Return the structured report of a film.

    Args:
        source: The header of the film, as `read_source` returns it.
        rows: The row of the film for each head, see `Answers.rows`.
        marks: The marks on the film, in its pixels; None of a run that marks nothing.
        task: The task of the run.
        model: The model.
        number: The number of the report in its series, from 1.

    Raises:
        UnreadableFilm: The header does not allow a report.
    """
    answer = [[row[key] for key in ("head", "probabilities", "score", "threshold", "reason")] for row in rows]
    names = names_of(source, "report", model, f"{answer} {[] if marks is None else marks.to_dict('records')}")
    try:
        groups = [_answer(source, row, task, model) for row in rows]
        groups += _marks(source, rows[0], marks, model) if marks is not None else []
        device = sr.DeviceObserverIdentifyingAttributes(
            uid_of("device", model.digest), name=model.name, manufacturer_name=MAKER, model_name=model.name,
            serial_number=model.digest[:64],
        )  # fmt: skip
        content = sr.MeasurementReport(
            sr.ObservationContext(observer_device_context=sr.ObserverContext(codes.DCM.Device, device)),
            procedure_reported=codes.SCT.Mammography,
            imaging_measurements=groups,
            title=codes.DCM.ImagingMeasurementReport,
        )
        made = sr.ComprehensiveSR(
            evidence=[source], content=content, series_number=SERIES, instance_number=number, is_complete=True,
            specific_character_set="ISO_IR 192", coding_schemes=scheme(), **names, **model.equipment,
        )  # fmt: skip
    except BROKEN as error:
        raise UnreadableFilm(f"its header does not allow one ({one_line(error)})") from None
    made.PreliminaryFlag = "PRELIMINARY"  # no person has looked at it
    carry(source, made)
    return made


def _answer(source: Dataset, row: Mapping[str, Any], task: TaskConfig, model: Model) -> Any:
    """Return the group of a head's answer for the whole film."""
    numbers = [(words.probability_code(name), value) for name, value in row["probabilities"].items()]
    numbers += [(code, row[key]) for key, code in NUMBERS.items() if row[key] is not None]
    name = uid_of(source.SOPInstanceUID, model.digest, row["head"])
    called = [sr.QualitativeEvaluation(words.CALLED, words.class_code(row["called"], task))]
    if row["reason"]:  # it was forced
        called.append(sr.QualitativeEvaluation(words.UNLIKE, codes.SCT.Yes))
    return sr.MeasurementsAndQualitativeEvaluations(
        sr.TrackingIdentifier(name, f"answer of {row['head']}"[:64]),
        algorithm_id=model.algorithm(row["head"]),
        finding_sites=[site(row["laterality"])],
        measurements=[sr.Measurement(code, float(value), codes.UCUM.NoUnits) for code, value in numbers],
        qualitative_evaluations=called,
        source_images=[sr.SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID)],
    )


def _marks(source: Dataset, row: Mapping[str, Any], marks: pd.DataFrame, model: Model) -> list[Any]:
    """Return a group for each mark, the hottest first, with its box as a region."""
    image = sr.SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID)
    groups = []
    for number, mark in enumerate(marks.to_dict("records"), start=1):
        region = sr.ImageRegion(hd.sr.GraphicTypeValues.POLYLINE, _outline(mark, source), image)
        name = uid_of(source.SOPInstanceUID, model.digest, row["head"], "mark", number)
        groups.append(
            sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                sr.TrackingIdentifier(name, f"mark {number}"),
                referenced_region=region,
                finding_type=words.MARK,
                algorithm_id=model.algorithm(row["head"]),
                finding_sites=[site(row["laterality"])],
                measurements=[sr.Measurement(words.MARK_SCORE, float(mark["score"]), codes.UCUM.NoUnits)],
            )
        )
    return groups


def _outline(mark: Mapping[str, Any], source: Dataset) -> np.ndarray:
    """Return the closed outline (5, 2) of a mark's box, column and row, within the image."""
    x0, x1 = (np.clip(mark[key] + HALF_PX, 0, source.Columns) for key in ("x0_px", "x1_px"))
    y0, y1 = (np.clip(mark[key] + HALF_PX, 0, source.Rows) for key in ("y0_px", "y1_px"))
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])
