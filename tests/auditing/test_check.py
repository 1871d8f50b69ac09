"""A first look at a lab's films: what is in them, what is wrong with each, and what is drawn."""

import shlex

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mammo.auditing.check import check
from mammo.cli.data import config_of_source
from mammo.cli.main import app
from mammo.datasets.example import write_example
from mammo.datasets.film import read_film
from mammo.datasets.table import Table
from mammo.figures import BLUE, RED


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Eight films of four patients in all kinds of files, with a table in German."""
    return write_example(tmp_path_factory.mktemp("example") / "lab", patients=4)


@pytest.fixture
def mine(lab, tmp_path):
    """A copy of the table that a test may damage, beside the films; of three patients, or of all."""
    rows = pd.read_csv(lab, sep=";", encoding="utf-8-sig", dtype=str)
    rows["Datei"] = [str(lab.parent / path) for path in rows["Datei"]]

    def write(change, patients=3):
        changed = change(rows[rows["PatientenNr"] <= f"P{patients:03d}"])
        changed.to_csv(tmp_path / "mine.csv", sep=";", index=False, encoding="utf-8-sig")
        dataset = Table(str(tmp_path / "mine.csv"), columns={"patient": "PatientenNr"})
        findings = dataset.findings()
        return check(dataset, findings, dataset.notes)

    return write


def test_every_kind_of_file_of_the_example_is_one_film_of_twelve_bits(lab):
    rows = pd.read_csv(lab, sep=";", encoding="utf-8-sig").drop_duplicates("Datei")
    films = [read_film(lab.parent / path) for path in rows["Datei"]]
    assert {path.rpartition(".")[2] for path in rows["Datei"]} == {"dcm", "png", "tif"}
    assert {film.max_level for film in films} == {4095}
    # The frame beside the film is black in each, so an inverted one is turned back.
    assert max(float(film.grey()[512, [0, -1]].min()) for film in films) < 0.1


def test_nothing_is_wrong_with_the_example_and_its_places_are_drawn_in_red(mine, drawn):
    found = mine(lambda rows: rows)
    assert found.faults == [] and found.facts["images"][0].startswith("6 of 3 patients")
    lines = [line for axis in found.sheet.axes for line in axis.lines]
    assert {line.get_color() for line in lines} == {BLUE, RED}
    assert sum(line.get_color() == BLUE for line in lines) >= 6


def test_each_film_that_cannot_be_used_is_named_with_its_reason(mine, lab, tmp_path):
    torn = tmp_path / "torn.dcm"
    torn.write_bytes((lab.parent / "films/P001_R_MLO.dcm").read_bytes()[:-5000])

    def damage(rows):
        return rows.assign(Datei=rows["Datei"].mask(rows.index == 0, str(torn)).mask(rows.index == 1, "nowhere.png"))

    found = mine(damage)
    assert len(found.faults) == 2
    assert any("torn.dcm" in fault for fault in found.faults) and any("nowhere.png" in fault for fault in found.faults)
    assert any(line.startswith("fault: ") for line in found.lines())


def test_a_mask_of_more_than_half_a_film_is_taken_for_inverted(mine, tmp_path):
    def masked(rows):
        size = cv2.imread(rows["Datei"][3], cv2.IMREAD_UNCHANGED).shape
        mask = np.full(size, 255, np.uint8)
        mask[:99, :99] = 0
        cv2.imwrite(str(tmp_path / "mask.png"), mask)
        return rows.assign(x=pd.NA, y=pd.NA, Radius=pd.NA, mask=pd.Series({3: str(tmp_path / "mask.png")}))

    assert [fault for fault in mine(masked).faults if "is it inverted?" in fault]


def test_a_circle_and_a_box_that_do_not_touch_are_named(mine):
    def boxed(left):
        edges = dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), (left, 20, left + 50, 90), strict=True))
        placed = {"x": "30", "y": "50", "Radius": "11"} | {key: str(value) for key, value in edges.items()}
        return lambda rows: rows.iloc[[1]].assign(Befund="bösartig", **placed)

    assert mine(boxed(40)).faults == []
    (fault,) = mine(boxed(42)).faults
    assert "the circle and the box of a finding do not touch" in fault


def test_places_off_the_breast_or_narrower_than_a_pixel_and_masks_of_grey_levels_are_told(mine, tmp_path):
    def circles(x, y, radius):
        return lambda rows: rows.iloc[[1]].assign(Befund="bösartig", x=x, y=y, Radius=radius)

    (line,) = mine(circles("1020", "3", "2")).facts["breast"]
    assert "1 of 1 place lies off the breast, that of " in line and "at x 1020, y 3" in line
    inside = mine(circles("436", "514", "2"))
    assert "breast" not in inside.facts and inside.faults == []
    assert "the circle of a finding is narrower than a pixel" in mine(circles("436", "514", "0.3")).faults[0]

    def masked(rows):
        mask = np.zeros(cv2.imread(rows["Datei"][3], cv2.IMREAD_UNCHANGED).shape, np.uint8)
        cv2.circle(mask, (60, 60), 12, 255, -1)
        cv2.imwrite(str(tmp_path / "mask.png"), cv2.GaussianBlur(mask, (0, 0), 3))
        return rows.assign(x=pd.NA, y=pd.NA, Radius=pd.NA, mask=pd.Series({3: str(tmp_path / "mask.png")}))

    assert any("its mask has grey levels" in note for note in mine(masked).facts["notes"])


def test_one_film_under_two_names_is_found_by_its_pixels(mine, tmp_path):
    def doubled(rows):
        pixels = cv2.imread(rows["Datei"][3], cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(tmp_path / "again.tif"), pixels)
        return pd.concat([rows, rows.iloc[[3]].assign(Datei=str(tmp_path / "again.tif"), PatientenNr="P099")])

    (fault,) = mine(doubled).faults
    assert "again" in fault and "same pixels" in fault


def test_a_mask_of_the_films_size_is_drawn_where_it_is(mine, tmp_path, drawn):
    mask = np.zeros((1024, 1024), np.uint8)
    mask[300:400, 200:500] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)

    def masked(rows):
        first = rows.iloc[[1]].assign(Maske=str(tmp_path / "mask.png"), x="", y="", Radius="")
        return first.rename(columns={"Maske": "mask_path"})

    found = mine(masked)
    (red,) = [line for axis in found.sheet.axes for line in axis.lines if line.get_color() == RED]
    x, y = (np.array(values) * 1024 / 480 for values in red.get_data())
    assert np.allclose([x.min(), x.max(), y.min(), y.max()], [200, 499, 300, 399], atol=1)


def test_the_command_ends_with_0_where_nothing_is_wrong_and_with_2_where_the_table_cannot_be_used(lab, tmp_path):
    picture = tmp_path / "sheet.png"
    words = ["data", "check", str(lab), "data.columns.patient=PatientenNr", "--picture", str(picture)]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0 and "no fault found" in ended.output and picture.is_file()
    assert CliRunner().invoke(app, [*words[:3], "data.columns.patient=null"]).exit_code == 2


def test_an_example_is_not_written_over_files(lab):
    assert CliRunner().invoke(app, ["data", "example", str(lab.parent)]).exit_code == 2


def test_the_line_that_looks_at_an_example_can_be_pasted_whatever_the_folder_is_called(tmp_path, monkeypatch):
    monkeypatch.setattr("mammo.datasets.example.write_example", lambda folder, *_: folder / "films.csv")
    said = CliRunner().invoke(app, ["data", "example", str(tmp_path / "my lab, 2024")]).output
    assert shlex.split(said.split("`")[1]) == ["mammo", "data", "check", str(tmp_path / "my lab, 2024" / "films.csv")]


def test_an_example_that_cannot_be_written_is_refused_before_anything_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("mammo.datasets.phantom.Phantom.prepare", lambda _: pytest.fail("it draws"))
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["data", "example", str(tmp_path / "file" / "lab")])
    assert result.exit_code == 2 and "file is a file; name another folder" in result.output


def test_a_missing_film_and_one_under_two_names_are_faults_and_so_is_no_film(mine, lab, tmp_path):
    (tmp_path / "page.png").write_bytes(b"<html>")
    (tmp_path / "link.png").symlink_to(lab.parent / "films" / "P001_L_MLO.png")

    def changed(rows):
        linked = next(one for one in rows["Datei"] if one.endswith(".png"))
        (tmp_path / "link.png").unlink()
        (tmp_path / "link.png").symlink_to(linked)
        hers = rows.index[rows["Datei"] == linked][0]
        more = rows.loc[[0, 0, hers]].assign(
            Datei=["nowhere.png", str(tmp_path / "page.png"), str(tmp_path / "link.png")]
        )
        return pd.concat([rows, more])

    found = mine(changed)
    assert len(found.faults) == 3
    for words in ("nowhere.png does not exist", "page.png: it is a web page", "are one file"):
        assert sum(words in one for one in found.faults) == 1


@pytest.mark.slow
def test_the_source_is_a_data_set_by_name_or_class_and_else_a_table_of_any_name(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "phantom").mkdir()
    assert config_of_source("phantom", []).data.name == "phantom"
    assert config_of_source("tests.lab.Lab", []).data._target_ == "tests.lab.Lab"
    for name in ("fi,lms.csv", "films.csv", "films"):
        config = config_of_source(name, ["data.columns.patient=PatientenNr"])
        assert (config.data.name, config.data.table) == ("table", name)


@pytest.mark.slow
def test_names_of_patients_that_are_alike_are_on_the_terminal(lab, tmp_path):
    rows = pd.read_csv(lab, sep=";", encoding="utf-8-sig", dtype=str)
    rows["Datei"] = [str(lab.parent / path) for path in rows["Datei"]]
    rows["PatientenNr"] = rows["PatientenNr"].mask(rows["Datei"].duplicated() | (rows.index == 0), "p002")
    rows = rows.drop_duplicates("Datei").head(6)
    rows.to_csv(tmp_path / "mine.csv", index=False)
    ended = CliRunner().invoke(app, ["data", "check", str(tmp_path / "mine.csv"), "data.columns.patient=PatientenNr",
                                     "--picture", str(tmp_path / "sheet.png")])  # fmt: skip
    assert "alike:      p002 and P002" in ended.output or "alike:      P002 and p002" in ended.output, ended.output


def test_a_laterality_that_neither_header_nor_picture_confirms_is_a_fault(mine):
    def turned(rows):
        return rows.assign(Seite=rows["Seite"].mask(rows["Datei"] == rows["Datei"][0], "L"))

    (fault,) = mine(turned).faults
    assert fault.startswith("P001_R_MLO: the laterality")


@pytest.mark.slow
def test_a_patient_of_the_table_who_is_another_in_the_header_is_a_fault_by_rows(mine):
    def changed(rows):
        first = rows["Datei"] == rows["Datei"][0]
        return rows.assign(PatientenNr=rows["PatientenNr"].mask(first, "P002"))

    found = mine(changed, patients=4)
    assert found.faults and all("PatientID" in fault and "P002" not in fault for fault in found.faults)
    assert any("PatientID" in note for note in found.facts["table"])


@pytest.mark.slow
def test_the_task_that_is_given_is_checked_and_its_images_are_counted(lab, tmp_path):
    words = ["data", "check", str(lab), "data.columns.patient=PatientenNr", "--picture", str(tmp_path / "sheet.png")]
    task = ["task=label", "task.column=Befund"]
    ended = CliRunner().invoke(app, [*words, *task, "task.positive=[gutartig]"])
    assert ended.exit_code == 0 and "classes:" in ended.output and "of gutartig" in ended.output
    for wrong in (["task=label"], [*task, "task.positive=[kronk]"]):
        ended = CliRunner().invoke(app, [*words, *wrong])
        assert ended.exit_code == 2 and ended.stderr.count("\n") == 1 and "task." in ended.stderr


@pytest.mark.parametrize(
    ("source", "word", "told"),
    [
        ("tabelle", "seed=0", ["no data set", "phantom"]),
        ("lab", "task=lable", ["task=lable is unknown", "label"]),
        ("lab", "data.spacing_mm=0,2", ["write 0.2"]),
        ("lab", "malignancy", ["malignancy is no setting; write key=value"]),
        ("lab", "data.values=krank", ["data.values.severity.krank=malignant"]),
    ],
)
def test_a_wrong_word_ends_the_check_with_one_line_that_says_what_to_write(lab, source, word, told):
    ended = CliRunner().invoke(app, ["data", "check", str(lab) if source == "lab" else source, word])
    assert ended.exit_code == 2 and ended.stderr.count("\n") == 1
    assert all(one in ended.stderr for one in told)


def test_one_thing_is_not_in_the_plural(mine):
    found = mine(lambda rows: rows[rows["x"].notna()].iloc[:1])
    assert found.facts["images"] == ["1 of 1 patient (1 each) in 1 exam"] and found.facts["places"] == ["1 circle"]
