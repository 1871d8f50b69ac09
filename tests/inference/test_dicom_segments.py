"""A region goes back as a DICOM segmentation in the pixels of its film, which other programs read."""

import subprocess
from io import BytesIO

import highdicom
import numpy as np
import pytest
from pydicom.sr.codedict import codes
from typer.testing import CliRunner

from mammo.cli.main import app
from mammo.config import Config
from mammo.errors import UnreadableFilm
from mammo.inference.answers import Answers
from mammo.inference.dicom_segments import segments_of, write_segments
from mammo.inference.dicom_source import save
from mammo.inference.prediction import Outline
from mammo.preprocessing.masks import Placed
from tests.formats.ways import dicom, film
from tests.inference.test_dicom_report import IDENTITY, MODEL, REMOVED, VALIDATOR, source_of

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = film().shape


def region():
    made = np.zeros((HEIGHT, WIDTH), bool)
    made[30:60, 20:37] = True
    made[31, 90] = True
    return made


def again(made):
    """A segmentation as another program reads it."""
    data = BytesIO()
    made.save_as(data, enforce_file_format=True)
    data.seek(0)
    return highdicom.seg.segread(data)


@pytest.mark.parametrize("target", ["lesion", "breast"])
def test_other_programs_read_the_region_its_kind_and_the_model(tmp_path, target):
    found = again(segments_of(source_of(tmp_path), region(), target, MODEL, 1))
    pixels = found.get_pixels_by_source_instance([IDENTITY["SOPInstanceUID"]])
    assert np.array_equal(pixels[0, :, :, 0], region())
    (segment,) = found.SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == (
        "Breast" if target == "breast" else "Region found as suspicious"
    )
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (MODEL.name, MODEL.digest)
    assert segment.AnatomicRegionSequence[0].CodeValue == codes.SCT.Breast.value
    for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDate", "AccessionNumber"):
        assert found[name].value == source_of(tmp_path)[name].value


def test_a_film_without_identity_stays_so(tmp_path):
    found = again(segments_of(source_of(tmp_path, **REMOVED, PatientBirthDate=""), region(), "lesion", MODEL, 1))
    assert found.PatientIdentityRemoved == "YES" and not found.PatientName and not found.PatientBirthDate


@pytest.mark.skipif(VALIDATOR is None, reason="dciodvfy of dicom3tools is not installed")
@pytest.mark.parametrize("tags", [{}, REMOVED])
def test_a_validator_finds_no_error(tmp_path, tags):
    path = save(segments_of(source_of(tmp_path, **tags), region(), "lesion", MODEL, 1), tmp_path)
    said = subprocess.run([VALIDATOR, "-new", path], capture_output=True, text=True, check=False).stderr
    assert "Segmentation" in said and "Error" not in said


def test_films_that_are_not_dicom_or_have_no_region_are_told(tmp_path):
    paths = [tmp_path / name for name in ("a.dcm", "b.dcm", "c.png")]
    for path in paths[:2]:
        path.write_bytes(dicom(film(), **IDENTITY))
    paths[2].write_bytes(b"no film")
    place = Placed(WIDTH - 1.0, 0.0, -1.0, 1.0)  # the film was mirrored
    square = np.zeros((HEIGHT, HEIGHT), np.uint8)
    square[10:20, 5:9] = 255
    shown = [square, square * 0, square]
    outlines = [Outline(one, place, (HEIGHT, WIDTH), 0.5) for one in shown]
    answers = Answers(Run(), ["normal", "abnormal"])
    answers.outlines = dict(zip(map(str, paths), outlines, strict=True))
    notes = write_segments(answers, list(answers.outlines), tmp_path / "seg")
    assert ["no region" in notes[0], "no DICOM file" in notes[1], "1 DICOM segmentation is" in notes[2]] == [True] * 3
    (made,) = (tmp_path / "seg").iterdir()
    found = np.argwhere(highdicom.seg.segread(made).get_pixels_by_source_instance([IDENTITY["SOPInstanceUID"]])[0])
    assert found[:, :2].min(0).tolist() == [10, WIDTH - 9] and found[:, :2].max(0).tolist() == [19, WIDTH - 6]


class Run:
    """A run that is named."""

    config, digest = Config(), "ab" * 32


def test_a_header_that_allows_none_is_left_out(tmp_path):
    with pytest.raises(UnreadableFilm, match="header"):
        segments_of(source_of(tmp_path, PatientSex="female"), region(), "lesion", MODEL, 1)


def test_a_classifier_has_no_regions(shared_job, tmp_path):
    folder, _ = shared_job("heads=[svm,knn]", "augment=none")
    (folder / "finished.json").write_text('{"digest": "", "metrics": {}}')
    said = CliRunner().invoke(app, ["predict", str(folder), "film.dcm", "--dicom-seg", str(tmp_path)])
    assert said.exit_code == 2 and "dicom-seg" in said.output
