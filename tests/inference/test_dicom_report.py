"""An answer goes back as a DICOM structured report that other programs read, and that says no more than its film."""

import re
import shutil
import subprocess
from io import BytesIO

import highdicom
import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.sr.codedict import codes
from typer.testing import CliRunner

from mammo.cli.main import app
from mammo.config import TaskConfig
from mammo.datasets.film import read_film
from mammo.errors import UnreadableFilm
from mammo.inference import dicom_codes as words
from mammo.inference.dicom_report import report_of
from mammo.inference.dicom_source import MAY_BE_EMPTY, Model, check_named, read_source, save
from mammo.inference.films import films_of
from mammo.inference.prediction import MARKS
from mammo.processes.resume import FINISHED
from mammo.run_folder import RunFolder
from tests.formats.ways import dicom, film

WHOLE = ("heads=[svm,knn]", "augment=none")
IDENTITY = {
    "SOPInstanceUID": "1.2.826.0.1.77.3", "StudyInstanceUID": "1.2.826.0.1.77.1",
    "SeriesInstanceUID": "1.2.826.0.1.77.2",
    "PatientName": "Müller^Änne", "SpecificCharacterSet": "ISO_IR 100", "PatientBirthDate": "19500101",
    "PatientSex": "F", "StudyDate": "20200102", "StudyTime": "101112", "AccessionNumber": "A7", "StudyID": "S1",
    "ReferringPhysicianName": "Doe^J", "StudyDescription": "screening", "PatientAge": "070Y",
}  # fmt: skip
REMOVED = {
    "SOPInstanceUID": "2.25.11", "StudyInstanceUID": "2.25.12", "SeriesInstanceUID": "2.25.13", "PatientID": "R5",
    "PatientName": "", "PatientIdentityRemoved": "YES", "DeidentificationMethod": "by hand",
    "LongitudinalTemporalInformationModified": "REMOVED",
}  # fmt: skip
MODEL = Model("mammo detection by compact", "ab" * 32)
ANSWER = {
    "head": "detector", "probabilities": {"normal": 0.25, "abnormal": 0.75}, "score": 1.5, "threshold": 0.5,
    "sensitivity": 0.875, "specificity": 0.625, "called": "abnormal", "laterality": "right", "reason": None,
}  # fmt: skip
PLACED = pd.DataFrame(
    [[40.0, 60.0, 30.0, 50.0, 50.0, 70.0, 0.5], [2.0, 3.0, -8.0, -7.0, 12.0, 13.0, 0.25]], columns=MARKS
)
VALIDATOR = shutil.which("dciodvfy")


def source_of(folder, **tags):
    """The header of a film in DICOM with some tags."""
    path = folder / "film.dcm"
    path.write_bytes(dicom(film(), **IDENTITY | tags))
    return read_source(path)


def again(made):
    """A report as another program reads it."""
    data = BytesIO()
    made.save_as(data, enforce_file_format=True)
    data.seek(0)
    return highdicom.sr.srread(data)


def reported(source, answer=ANSWER, marks=PLACED, model=MODEL, task=None):
    return again(report_of(source, [answer], marks, task or TaskConfig(), model, 1))


def texts(report):
    return {str(one.value) for one in report.iterall() if one.keyword == "TextValue"}


def test_other_programs_read_the_answer_the_decision_and_the_model(tmp_path):
    report = reported(source_of(tmp_path))
    (group,) = report.content.get_image_measurement_groups()
    numbers = {one.name: one.value for one in group.get_measurements()}
    assert numbers == {
        words.probability_code("normal"): 0.25, words.probability_code("abnormal"): 0.75, words.SCORE: 1.5,
        words.THRESHOLD: 0.5, words.SENSITIVITY: 0.875, words.SPECIFICITY: 0.625,
    }  # fmt: skip
    assert [one.value for one in group.get_qualitative_evaluations(words.CALLED)] == [codes.SCT.Abnormal]
    assert [one.topographical_modifier for one in group.finding_sites] == [None]
    assert [(one.value, one.laterality) for one in group.finding_sites] == [(codes.SCT.Breast, codes.SCT.Right)]
    assert not group.get_qualitative_evaluations(words.UNLIKE)
    (forced,) = reported(source_of(tmp_path), ANSWER | {"reason": "forced"}).content.get_image_measurement_groups()
    assert [one.value for one in forced.get_qualitative_evaluations(words.UNLIKE)] == [codes.SCT.Yes]
    (image,) = group.source_images
    assert image.referenced_sop_instance_uid == IDENTITY["SOPInstanceUID"]
    assert {MODEL.name, MODEL.digest, "head=detector", "Not for diagnostic use."} <= texts(report)
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == (
        "COMPLETE", "UNVERIFIED", "PRELIMINARY"
    )  # fmt: skip
    (evidence,) = report.CurrentRequestedProcedureEvidenceSequence
    assert evidence.StudyInstanceUID == report.StudyInstanceUID == IDENTITY["StudyInstanceUID"]
    for name in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "AccessionNumber",
        "StudyID",
    ):
        assert report[name].value == source_of(tmp_path)[name].value
    assert report.PatientName == "Müller^Änne"


def test_a_mark_is_a_region_in_the_images_own_coordinates(tmp_path):
    groups = reported(source_of(tmp_path)).content.get_planar_roi_measurement_groups()
    assert [one.tracking_identifier for one in groups] == ["mark 1", "mark 2"]
    height, width = film().shape
    for group, mark in zip(groups, PLACED.to_dict("records"), strict=True):
        assert group.finding_type == words.MARK and group.roi.graphic_type.value == "POLYLINE"
        points = group.roi.value
        assert np.array_equal(points[0], points[-1]) and (points >= 0).all() and (points <= (width, height)).all()
        if mark["x0_px"] > 0:  # the middle of a pixel is half a pixel from its corner
            assert np.allclose((points[0] + points[2]) / 2, [mark["x_px"] + 0.5, mark["y_px"] + 0.5])
            assert np.allclose(points[2] - points[0], 20)
        assert [one.value for one in group.get_measurements(words.MARK_SCORE)] == [mark["score"]]
    assert not reported(source_of(tmp_path), marks=None).content.get_planar_roi_measurement_groups()


def test_a_film_without_identity_stays_so_and_nothing_is_added(tmp_path):
    path = tmp_path / "film.dcm"
    path.write_bytes(dicom(film(), **REMOVED))
    before = pydicom.dcmread(path)
    report = reported(read_source(path))
    assert report.PatientIdentityRemoved == "YES" and report.DeidentificationMethod == "by hand"
    assert report.LongitudinalTemporalInformationModified == "REMOVED"
    for name in MAY_BE_EMPTY:
        assert str(report[name].value or "") == str(before.get(name, ""))
    names = {str(one.value) for one in report.iterall() if one.VR == "UI" and one.value}
    told = {name for name in names if name not in str(before) and not name.startswith("1.2.840.10008.")}
    assert told and all(re.fullmatch(r"2\.25\.\d{25,39}", name) for name in told)  # a hash each
    patient = [one for one in report if one.tag.group == 0x10 and one.value]
    assert [one.keyword for one in patient] == ["PatientID"]
    assert "InstitutionName" not in report and "OperatorsName" not in report


def test_names_of_objects_follow_from_film_model_and_answer_alone(tmp_path):
    source = source_of(tmp_path)
    first, other_answer = reported(source), reported(source, ANSWER | {"score": 2.0})
    other_model = reported(source, model=Model(MODEL.name, "cd" * 32))
    assert reported(source).SOPInstanceUID == first.SOPInstanceUID
    assert len({first.SOPInstanceUID, other_answer.SOPInstanceUID, other_model.SOPInstanceUID}) == 3
    assert first.SeriesInstanceUID == other_answer.SeriesInstanceUID != other_model.SeriesInstanceUID
    path = save(first, tmp_path)
    assert path.name == f"{first.SOPInstanceUID}.dcm"
    path.write_bytes(b"sent")
    assert save(first, tmp_path) == path and path.read_bytes() == b"sent"


def test_classes_have_standard_codes_where_there_are_some():
    severity, density = TaskConfig(), TaskConfig(name="acr_density", column="density")
    assert words.class_code("malignant", severity) == codes.SCT.Malignant
    assert words.class_code("D", density) == codes.SCT.ExtremelyDense
    mine = words.class_code("D", TaskConfig(name="density", column="density"))  # dense of mini-MIAS is another word
    assert (mine.scheme_designator, mine.meaning) == ("99MAMMO", "D")
    long = words.probability_code("é" * 80)
    assert len(long.value) <= 16 and len(long.meaning) <= 64 and long.value != words.probability_code("x").value


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"StudyInstanceUID": None}, "StudyInstanceUID"),
        ({"SOPInstanceUID": "1.2.x"}, "SOPInstanceUID"),
        ({"PatientSex": "female"}, "female"),
        ({"StudyTime": "10:11:12"}, "10:11:12"),
    ],
)
def test_a_header_to_which_nothing_can_refer_is_left_out(tmp_path, tags, reason):
    with pytest.raises(UnreadableFilm, match=reason):
        reported(source_of(tmp_path, **tags))


@pytest.mark.parametrize(
    ("given", "odd"),
    [
        ({"laterality": "right"}, "laterality"), ({"patient": "OTHER"}, "patient"),
        ({"laterality": "right", "patient": "OTHER"}, "laterality and patient"), ({"view": "CC"}, None),
        ({"patient": "p-001"}, None), ({"patient": None, "laterality": None}, None),
    ],
)  # fmt: skip
def test_a_film_whose_header_tells_another_side_or_patient_than_was_given_has_no_report(tmp_path, given, odd):
    source_of(tmp_path, ImageLaterality="L", PatientID="P1", ViewPosition="MLO")
    row, path = {"laterality": "left", "view": "MLO", "patient": "P1"} | given, str(tmp_path / "film.dcm")
    if odd is None:
        check_named(path, [row])
    else:
        with pytest.raises(UnreadableFilm, match=f"another {odd} than"):
            check_named(path, [row])
    pd.DataFrame([row | {"path": path}]).to_csv(tmp_path / "films.csv", index=False)
    notes = [note for note in films_of([tmp_path / "films.csv"]).notes if "differs from that of the header" in note]
    assert len(notes) == (len(odd.split(" and ")) if odd else "view" in given)


@pytest.mark.skipif(VALIDATOR is None, reason="dciodvfy of dicom3tools is not installed")
@pytest.mark.parametrize("tags", [{}, REMOVED, {"PatientName": "山田^太郎", "SpecificCharacterSet": "ISO_IR 192"}])
def test_a_validator_finds_no_error(tmp_path, tags):
    path = save(report_of(source_of(tmp_path, **tags), [ANSWER], PLACED, TaskConfig(), MODEL, 1), tmp_path)
    said = subprocess.run([VALIDATOR, "-new", path], capture_output=True, text=True, check=False).stderr
    assert "ComprehensiveSR" in said and "Error" not in said


@pytest.mark.slow
def test_predict_writes_a_report_for_each_dicom_film_and_says_which_have_none(shared_job, phantom, tmp_path, recwarn):
    folder, _ = shared_job(*WHOLE)
    (folder / FINISHED).write_text('{"digest": "", "metrics": {}}')
    plain = phantom.findings()["path"].iloc[0]
    path = tmp_path / "Müller.dcm"
    path.write_bytes(dicom(read_film(plain).pixels, bits=8, **IDENTITY | {"PatientName": "Solitaire"}))
    said = ["predict", str(folder), str(path), str(plain), "--force", "--dicom-sr", str(tmp_path / "sr")]
    done = CliRunner().invoke(app, said)
    assert done.exit_code == 0, done.output
    assert f"{plain}: no DICOM report, as it is no DICOM file" in done.output and "1 DICOM report is" in done.output
    assert "Solitaire" not in done.output and not [one for one in recwarn if "Solitaire" in str(one.message)]
    (made,) = (tmp_path / "sr").iterdir()
    report = highdicom.sr.srread(made)
    (group,) = report.content.get_image_measurement_groups()
    run = RunFolder(folder)
    assert run.digest in texts(report) and report.PatientID == "P1"
    chances = [one.value for one in group.get_measurements() if "Probability of" in one.name.meaning]
    assert len(chances) == 2 and abs(sum(chances) - 1) < 1e-6
