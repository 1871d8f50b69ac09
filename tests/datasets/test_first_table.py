"""A first table of a folder lists its films once, says what it passed over, and holds no name of a patient."""

import shlex

import cv2
import numpy as np
import pandas as pd
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from typer.testing import CliRunner

from mammo.cli.main import app
from mammo.datasets.first_table import first_table
from mammo.datasets.table import Table
from mammo.errors import InputError
from mammo.formats.header import read_header
from mammo.runs.compose import config_of

MG = "1.2.840.10008.5.1.4.1.1.1.2"
PIXELS = np.random.default_rng(0).integers(1, 4096, (30, 20)).astype("<u2")


def dicom(path, **tags):
    meta, film = FileMetaDataset(), Dataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MG, generate_uid()
    meta.TransferSyntaxUID, film.file_meta = ExplicitVRLittleEndian, meta
    facts = {"SOPClassUID": MG, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID, "Modality": "MG", "PatientID": "007",
             "PatientName": "Secret^Name", "StudyInstanceUID": "1.2.3", "ImageLaterality": "R", "ViewPosition": "MLO",
             "PhotometricInterpretation": "MONOCHROME2", "SamplesPerPixel": 1, "BitsAllocated": 16, "BitsStored": 12,
             "HighBit": 11, "PixelRepresentation": 0, "Rows": 30, "Columns": 20,
             "ImagerPixelSpacing": [0.1, 0.1]}  # fmt: skip
    for name, value in (facts | tags).items():
        setattr(film, name, value)
    film.PixelData = PIXELS.tobytes()
    film.save_as(path, enforce_file_format=True)


@pytest.fixture
def folder(tmp_path):
    films = tmp_path / "films"
    (films / "inner").mkdir(parents=True)
    dicom(films / "IM_0001")
    dicom(films / "inner" / "ct.dcm", Modality="CT")
    cv2.imwrite(str(films / "inner" / "P2_L.png"), PIXELS)
    (films / "inner" / "._P2_L.png").write_bytes(b"\0\5\26\7")
    (films / ".ipynb_checkpoints").mkdir()
    cv2.imwrite(str(films / ".ipynb_checkpoints" / "P3.png"), PIXELS)
    (films / "notes.txt").write_text("none")
    (films / "inner" / "back").symlink_to(films)
    (tmp_path / "disk").mkdir()
    cv2.imwrite(str(tmp_path / "disk" / "P4_R.png"), PIXELS)
    (films / "linked").symlink_to(tmp_path / "disk")
    return films


def test_every_film_has_a_row_with_what_its_header_tells(folder):
    made = first_table(folder)
    assert made.rows["path"].tolist() == ["IM_0001", "inner/P2_L.png", "linked/P4_R.png"]
    assert made.rows.iloc[0].tolist()[1:6] == ["007", "right", "MLO", "1.2.3", 0.1]
    assert made.rows["patient"].isna().tolist() == [False, True, True] and "2 of 3" in made.notes[0]
    assert [path.rsplit("/", 1)[1] for path in made.passed_over] == ["ct.dcm"] and made.hidden == 2
    named = first_table(folder, r"(?P<patient>P\d)_|(IM)")
    assert named.rows["patient"].fillna("").tolist() == ["", "P2", "P4"]
    assert first_table(folder, r"(z*)P|IM").rows["patient"].isna().all()


def test_the_command_writes_a_table_that_can_be_read_and_overwrites_none(folder, tmp_path):
    run = CliRunner().invoke(
        app, ["data", "init", str(folder), "--out", str(tmp_path / "t.csv"), "--patient-from", "(IM|P)"]
    )
    assert run.exit_code == 0 and "ct.dcm" in run.output and "3 films of 2 patients, 1 file passed over" in run.output
    written = (tmp_path / "t.csv").read_text()
    assert "Secret" not in written + run.output and written.startswith(
        "path,patient,laterality,view,exam,spacing_mm,label"
    )
    found = Table(str(tmp_path / "t.csv")).findings()
    assert found["image_id"].tolist() == ["IM_0001", "P2_L", "P4_R"] and found["laterality"][0] == "right"
    again = CliRunner().invoke(app, ["data", "init", str(folder), "--out", str(tmp_path / "t.csv")])
    assert again.exit_code == 2 and "t.csv exists" in again.stderr
    assert (tmp_path / "t.csv").read_text() == written


def test_a_folder_without_films_and_a_pattern_that_is_none_are_refused(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for words, named in (((tmp_path / "none",), "no such folder"), ((tmp_path / "empty",), "none of its 0 files"),
                         ((folder, "P"), "brackets"), ((folder, "("), "regular expression")):  # fmt: skip
        with pytest.raises(InputError, match=named):
            first_table(*words)


def test_facts_of_dicom_headers_come_into_the_findings(folder, tmp_path):
    dicom(folder / "b.dcm", ImageLaterality="L")
    pd.DataFrame({"path": ["films/IM_0001", "films/b.dcm"], "patient": "P", "side": ["L", ""]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    dataset = Table(str(tmp_path / "t.csv"))
    found = dataset.findings()
    assert found["laterality"].tolist() == ["left", "left"] and set(found["spacing_mm"]) == {0.1}
    assert dataset.understood.disagreements == {"laterality": ["IM_0001"]}
    assert dataset.read("IM_0001").laterality == "left" and not any("Secret" in note for note in dataset.notes)


def test_the_next_steps_that_are_printed_can_be_pasted(folder, tmp_path):
    out = tmp_path / "new (ü), it's" / "a=b,c.csv"
    run = CliRunner().invoke(app, ["data", "init", str(folder), "--out", str(out)])
    assert run.exit_code == 0 and out.is_file()
    check, train = (shlex.split(line.partition(": ")[2]) for line in run.output.splitlines()[-2:])
    assert check == ["mammo", "data", "check", str(out)] and train[:2] == ["mammo", "train"]
    config = config_of(train[2:], {})
    assert config.data.table == str(out) and (config.task.name, config.task.column) == ("label", "label")
    (tmp_path / "file").touch()
    run = CliRunner().invoke(app, ["data", "init", str(folder), "--out", str(tmp_path / "file" / "t.csv")])
    assert run.exit_code == 2 and "is a file" in run.stderr


def test_text_of_a_header_is_plain_and_no_formula(tmp_path):
    tell = {"a": {"PatientID": "Käthe"}, "b": {"PatientID": "=1+1", "ViewPosition": "-MLO"},
            "c": {"PatientID": "A\x1b[2J\n7"}, "=d": {"PatientID": "Käthe"}}  # fmt: skip
    for name, tags in tell.items():
        dicom(tmp_path / f"{name}.dcm", SpecificCharacterSet="ISO_IR 192", **tags)
    dicom(tmp_path / "e.dcm", SpecificCharacterSet="", PatientID="K")
    made = first_table(tmp_path)
    rows = made.rows.set_index("path")
    assert rows["patient"].fillna("").to_dict() == {
        "a.dcm": "Käthe", "b.dcm": "", "c.dcm": "A [2J 7", "=d.dcm": "Käthe", "e.dcm": "K",
    }  # fmt: skip
    assert pd.isna(rows.loc["b.dcm", "view"]) and sum("left empty" in note for note in made.notes) == 2
    run = CliRunner().invoke(app, ["data", "init", str(tmp_path)])
    assert "5 films of 3 patients and 1 without a patient" in run.output
    assert "fill in patient, look:" in run.output
    of_folder = CliRunner().invoke(app, ["data", "check", str(tmp_path)])
    assert of_folder.exit_code == 2 and f"mammo data check {tmp_path / 'films.csv'}" in of_folder.output
    assert (tmp_path / "films.csv").read_text().count("\n./=d.dcm,") == 1


@pytest.mark.parametrize(
    ("charset", "data", "patient"),
    [
        ("ISO_IR 192", "Käthe".encode(), "Käthe"),
        ("ISO_IR 100", "Käthe".encode("latin-1"), "Käthe"),
        ("ISO_IR 192", "Käthe".encode("latin-1"), "Käthe"),  # it is not what it says
        ("NO SUCH", "Käthe".encode("latin-1"), "Käthe"),
        ("ISO_IR 144", "Катя".encode("iso8859-5"), "Катя"),
    ],
)
def test_a_patient_id_is_read_in_the_character_set_of_its_file(tmp_path, charset, data, patient):
    dicom(tmp_path / "a.dcm", PatientID="x" * len(data), SpecificCharacterSet="ISO_IR 100")
    content = (tmp_path / "a.dcm").read_bytes().replace(b"x" * len(data), data)
    (tmp_path / "b.dcm").write_bytes(content.replace(b"ISO_IR 100", charset.ljust(10).encode()))
    assert read_header(tmp_path / "b.dcm").patient == patient


def test_a_patient_id_may_change_its_character_set(tmp_path):
    dicom(tmp_path / "a.dcm", PatientID="No7山田", SpecificCharacterSet=["", "ISO 2022 IR 87"])
    assert b"\x1b$B" in (tmp_path / "a.dcm").read_bytes()
    assert read_header(tmp_path / "a.dcm").patient == "No7山田"


def test_a_stub_is_too_short(tmp_path):
    (tmp_path / "stub").write_bytes(bytes(128) + b"DICM")
    assert "too short" in read_header(tmp_path / "stub").refused
