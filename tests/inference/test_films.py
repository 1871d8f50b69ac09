"""Films of several sources are told apart, whatever their sources call them."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from mammo.cli.main import app
from mammo.inference.build import build_predictor
from mammo.inference.films import films_of
from mammo.inference.predict import predict
from mammo.run_folder import RunFolder
from tests.formats import ways


@pytest.fixture
def sources(tmp_path):
    """Two tables that call different films of one patient 1, and a file that has that name."""
    made = []
    for table, film in (("a.csv", "x/left.png"), ("b.csv", "y/left.png")):
        (tmp_path / film).parent.mkdir()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30), np.uint8)).save(tmp_path / film)
        pd.DataFrame({"path": [film], "image_id": ["1"], "patient": ["P"]}).to_csv(tmp_path / table, index=False)
        made.append(tmp_path / table)
    Image.fromarray(np.zeros((40, 30), np.uint8)).save(tmp_path / "1.png")
    return made, tmp_path / "1.png"


def test_two_films_of_one_name_are_named_by_their_paths_with_a_note(sources):
    tables, file = sources
    found = films_of(tables)
    assert found.rows["image_id"].tolist() == ["x_left", "y_left"]
    assert any("2 films have an image_id of another film, such as 1" in note for note in found.notes)
    three = films_of([*tables, file])
    assert three.rows["image_id"].is_unique and len(three.rows) == 3
    alone = films_of(tables[:1])
    assert alone.rows["image_id"].tolist() == ["1"] and not any("image_id" in note for note in alone.notes)


def test_a_name_by_path_that_a_third_film_has_gives_way_to_the_whole_path(sources, tmp_path):
    tables, file = sources
    pd.DataFrame({"path": [file.name], "image_id": ["x_left"]}).to_csv(tmp_path / "c.csv", index=False)
    found = films_of([*tables, tmp_path / "c.csv"]).rows["image_id"].tolist()
    assert found == [str(tmp_path / "x/left.png"), str(tmp_path / "y/left.png"), "x_left"]


@pytest.fixture(scope="module")
def run(shared_job):
    folder, _ = shared_job("heads=[svm,knn]", "augment=none")
    (folder / "finished.json").write_text('{"digest": "", "metrics": {}}')
    return RunFolder(folder)


def test_their_patient_has_a_row_and_each_has_a_picture(run, phantom, tmp_path):
    films = phantom.findings().drop_duplicates("image_id")["path"].tolist()[:2]
    for number, film in enumerate(films):
        table = pd.DataFrame({"path": [film], "image_id": ["1"], "patient": ["P"]})
        table.to_csv(tmp_path / f"{number}.csv", index=False)
    tables = [tmp_path / "0.csv", tmp_path / "1.csv"]
    answers = predict(build_predictor(run, "svm"), films_of(tables), force=True)
    assert [(row["unit"], row["films"]) for row in answers.rows] == [("image", 1), ("image", 1), ("patient", 2)]
    pd.DataFrame({"path": films, "image_id": ["a/1", "b/1"]}).to_csv(tmp_path / "both.csv", index=False)
    for name, given in (("tables", tables), ("both", [tmp_path / "both.csv"])):
        words = ["explain", run.path, *given, "--head", "svm", "--out", tmp_path / name]
        result = CliRunner().invoke(app, [*map(str, words)])
        assert result.exit_code == 0 and len(list((tmp_path / name).glob("*.png"))) == 2, result.output


def test_a_word_for_no_patient_is_unknown_in_a_table_and_in_a_header_and_a_note_says_so(tmp_path):
    for number in (1, 2):
        uids = {"StudyInstanceUID": f"1.2.{number}", "SOPInstanceUID": f"1.2.3.{number}"}
        (tmp_path / f"{number}.dcm").write_bytes(ways.dicom(ways.film(), PatientID="ANONYMOUS", **uids))
    found = films_of([tmp_path / "1.dcm", tmp_path / "2.dcm"])
    assert found.rows["patient"].isna().all() and any("such as ANONYMOUS" in note for note in found.notes)
    table = tmp_path / "films.csv"
    pd.DataFrame({"path": ["1.dcm", "2.dcm"], "patient": ["unknown", "P1"]}).to_csv(table, index=False)
    found = films_of([table])
    assert found.rows["patient"].fillna("").tolist() == ["", "P1"]
    assert any("such as unknown" in note for note in found.notes)


@pytest.mark.parametrize(("patients", "said"), [
    (["P2", "p2", "P3"], ["P2 and p2: one patient?"]),
    (["1", "001", "7", "07"], ["1 and 001 (and 1 other group): one patient?"]),
    (["P1", "P2", "unknown"], []),
])  # fmt: skip
def test_patients_of_almost_one_name_are_told_as_they_are_answered_apart(tmp_path, patients, said):
    paths = [f"{place}.dcm" for place in range(len(patients))]
    for place, path in enumerate(paths):
        (tmp_path / path).write_bytes(ways.dicom(ways.X, SOPInstanceUID=f"1.2.{place}"))
    pd.DataFrame({"path": paths, "patient": patients}).to_csv(tmp_path / "films.csv", index=False)
    found = [note for note in films_of([tmp_path / "films.csv"]).notes if "one patient?" in note]
    assert len(found) == len(said) and all(one.startswith(words) for one, words in zip(found, said, strict=True))
