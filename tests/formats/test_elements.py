"""A plain header is read without pydicom, and tells the same: of every way to write a film, whole and damaged."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from mammo.errors import UnreadableFilm
from mammo.formats import tags
from mammo.formats.header import read_header
from mammo.formats.levels import levels_of, notes_of
from mammo.formats.stream import layout_of
from mammo.formats.tags import read_tags
from tests.formats import ways
from tests.formats.damage import damaged
from tests.formats.ways import WAYS, X

DICOM = {name: content for name, (content, *_) in WAYS.items() if b"DICM" in content[:132]}


def both(path, monkeypatch):
    """The header as it is read, and by pydicom alone."""
    with monkeypatch.context() as patch:
        patch.setattr(tags, "elements_of", lambda *_: None)
        slow = read_header(path)
    return read_header(path), slow


@pytest.mark.parametrize(
    "name", [name if at % 3 == 0 else pytest.param(name, marks=pytest.mark.slow) for at, name in enumerate(DICOM)]
)
def test_a_header_is_that_of_pydicom_whole_and_damaged(name, tmp_path, monkeypatch):
    path = tmp_path / "film.dcm"
    for number in range(6):
        rng = np.random.default_rng([number, len(name)])
        head = damaged(DICOM[name][132:900], rng) if number else DICOM[name][132:900]
        path.write_bytes(DICOM[name][:132] + head + DICOM[name][900:])
        quick, slow = both(path, monkeypatch)
        assert quick == slow, number


@pytest.mark.parametrize("undefined", [False, True])
def test_sequences_are_passed_over_and_read_whatever_their_length(undefined, tmp_path, monkeypatch):
    """The view is in a sequence in a sequence; another one before it is skipped."""
    code, modifier = Dataset(), Dataset()
    modifier.CodeValue, modifier.CodeMeaning = "R-102D6", "Magnification"
    code.CodeValue, code.CodeMeaning = "399368009", "medio-lateral oblique"
    code.ViewModifierCodeSequence, other = Sequence([modifier]), Sequence([Dataset(), Dataset()])
    other[0].CodeMeaning = "before"
    path = tmp_path / "film.dcm"
    given = {"ViewPosition": None, "ViewCodeSequence": Sequence([code]), "AnatomicRegionSequence": other}
    film = ways.dicom(X, **given)
    if undefined:
        from pydicom import dcmread, dcmwrite

        path.write_bytes(film)
        whole = dcmread(path)
        for each in (whole, *whole.ViewCodeSequence, *whole.AnatomicRegionSequence):
            each.is_undefined_length_sequence_item = True
            for element in each:
                element.is_undefined_length = element.VR == "SQ"
        dcmwrite(path, whole)
        film = path.read_bytes()
        assert film.count(b"\xff\xff\xff\xff") >= 5
    path.write_bytes(film)
    quick, slow = both(path, monkeypatch)
    assert quick == slow and quick.view == "MLO" and "a magnification view" in quick.notes
    monkeypatch.setattr(tags, "dcmread", None)  # pydicom is not asked
    assert read_header(path) == quick


def test_pydicom_is_not_asked_for_a_plain_header(tmp_path, monkeypatch):
    path = tmp_path / "film.dcm"
    path.write_bytes(ways.dicom(X))
    monkeypatch.setattr(tags, "dcmread", None)
    assert read_header(path).refused is None and read_header(path).patient == "P1"


@pytest.mark.parametrize("name", DICOM)
def test_the_notes_of_a_header_are_those_of_the_table_of_levels(name, tmp_path):
    path = tmp_path / "film.dcm"
    path.write_bytes(DICOM[name])
    with path.open("rb") as file:
        found, _ = read_tags(file)
        layout = layout_of(found)
        try:
            expected = levels_of(found, layout.stored, layout.signed).notes
        except UnreadableFilm as error:
            with pytest.raises(UnreadableFilm, match=str(error)):
                notes_of(found, layout.stored, layout.signed)
        else:
            assert notes_of(found, layout.stored, layout.signed) == expected
