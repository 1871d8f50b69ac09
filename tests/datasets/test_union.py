"""Several data sets are one: joined, told apart, never mixed where their words mean different things."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from mammo.auditing.check import check
from mammo.cli.data import config_of_source
from mammo.config import Config
from mammo.datasets.base import choose_images, load_findings
from mammo.datasets.labels import find_task
from mammo.datasets.registry import DATASETS, open_dataset
from mammo.datasets.split import split_images
from mammo.datasets.table import Table
from mammo.datasets.union import Union
from mammo.errors import InputError
from mammo.evaluation.aggregate import by_unit, with_places
from mammo.runs.compose import config_of
from mammo.targets import settings_of
from mammo.testing import check_dataset
from mammo.training.prepare import choose

ROWS = {
    "path": ["a.png", "b.png", "c.png"], "patient": ["P1", "P1", "P2"], "laterality": ["left", "right", "left"],
    "severity": ["normal", "malignant", "benign"],
}  # fmt: skip


@pytest.fixture
def lab(tmp_path):
    """Write tables of three films in folders of their own; columns are changed by the call."""

    def write(folder, name="films", **columns):
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        for film in "abcd":
            pixels = np.random.default_rng([len(folder), *folder.encode(), *film.encode()]).integers(0, 255, (40, 30))
            cv2.imwrite(str(place / f"{film}.png"), pixels.astype(np.uint8))
        rows = columns if len(columns.get("path", ())) == 4 else ROWS | columns
        pd.DataFrame(rows).to_csv(place / f"{name}.csv", index=False)
        return {"name": "table", "table": str(place / f"{name}.csv")}

    return write


def said(union):
    union.findings()
    return "\n".join(union.notes)


def test_the_tables_of_the_parts_are_joined_and_each_image_is_read_by_its_part(lab, phantom):
    parts = [{"name": "phantom", "root": str(phantom.root), "patients": 16}, lab("x", age=[40, 50, 60])]
    union = Union(parts)
    table = load_findings(union)
    assert union.name == "phantom+films" and set(table["dataset"]) == {"phantom", "films"}
    assert len(table) == len(phantom.findings()) + 3
    assert table.groupby("dataset")["age"].count().to_dict() == {"films": 3, "phantom": 0}
    assert union.licence == f"phantom: {phantom.licence}; films: unstated"
    assert union.digest("mdb001") == phantom.digest("mdb001")
    assert (union.read("mdb001").pixels == phantom.read("mdb001").pixels).all()
    assert union.read("a").pixels.shape == (40, 30) and union.digest("a") != union.digest("b")
    assert "films: other columns are kept as they are: age" in said(union)


def test_parts_of_one_name_and_images_of_one_name_are_told_apart(lab):
    union = Union([lab("x"), lab("y", patient=["Q1", "Q2", "Q3"]), lab("z", "others", severity="normal")])
    check_dataset(union)
    table = union.findings()
    assert list(union.members) == ["films-1", "films-2", "others"]
    assert table["image_id"].tolist() == [f"{name}-{film}" for name in union.members for film in "abc"]
    assert (union.read("films-1-a").pixels != union.read("films-2-a").pixels).any()
    assert "films-1 is part 1 of data.parts\nfilms-2 is part 2 of data.parts" in said(union)


def test_only_the_parts_whose_images_clash_are_renamed(lab):
    union = Union([lab("x"), lab("y", "more"), lab("z", "apart", image_id=["u", "v", "w"])])
    renamed = ["films-a", "films-b", "films-c", "more-a", "more-b", "more-c"]
    assert union.findings()["image_id"].tolist() == [*renamed, *"uvw"]
    assert "images of films and more begin with the name of their data set" in said(union)


def test_a_patient_of_two_data_sets_stays_in_one_part_and_her_exams_stay_apart(lab):
    """P1 and P2 have exams of one name in both, P3 has none in either, P4 has one in the first."""
    rows = {"path": [f"{film}.png" for film in "abcd"], "patient": ["P1", "P2", "P3", "P4"], "laterality": "left",
            "severity": ["normal", "benign"] * 2}  # fmt: skip
    one = lab("x", "one", **rows, exam=["2020", "2020", None, "2021"])
    union = Union([one, lab("y", "two", **rows, exam=["2020", "2020", None, None])])
    table = union.findings()
    exams = ["one-2020", "one-2020", "one", "one-2021", "two-2020", "two-2020", "two", "two"]
    assert table["exam"].tolist() == exams
    assert "**4 patients have the same name in one and two: each is taken as one patient" in said(union)
    for seed in range(5):
        split = split_images(table, name="patient", seed=seed, shares=[0.5, 0.25, 0.25])
        assert split.groupby("patient")["split"].nunique().eq(1).all()
    predictions = table[["image_id", "patient"]].assign(
        finding_id=0, patch=0, copy=0, split="test", fold="", seed=0, head="softmax", label=["normal", "abnormal"] * 4,
        score=0.0, p_normal=0.5, p_abnormal=0.5,
    )  # fmt: skip
    placed, task = with_places(predictions, table), find_task("abnormality")
    of = {unit: len(by_unit(placed, task, unit, "mean")[0]) for unit in ("breast", "exam", "patient")}
    assert of == {"breast": 8, "exam": 8, "patient": 4}


def test_an_image_without_an_exam_is_of_its_patients_only_one_in_its_own_data_set(lab):
    one = lab("x", "one", exam=["2020", None, "2020"], view=["CC", "MLO", "CC"])
    union = Union([one, lab("y", "two", exam=["2019", "2021", None])])
    assert union.findings()["exam"].tolist() == ["one-2020", "one-2020", "one-2020", "two-2019", "two-2021", "two"]
    assert "1 image of one has no exam" in said(union)


def test_patients_whose_names_are_almost_the_same_in_two_data_sets_are_counted_and_not_named(lab):
    union = Union([lab("x", patient=["7", "7", "8"]), lab("y", "more", patient=["007", "A", "B"])])
    assert "1 name of a patient is almost the same" in said(union) and "007" not in said(union)
    assert union.understood.doubts() == ["7 and 007: one patient? They are taken as different"]


@pytest.mark.slow
def test_two_scales_of_density_never_share_a_letter(lab):
    parts = [lab("x", density=["F", "G", "D"]), lab("y", "more", density=["A", "D", "D"])]
    union = Union(parts)
    assert union.findings()["density"].tolist() == ["fatty", "fatty-glandular", "dense-glandular", "A", "D", "D"]
    assert "density of films: F is fatty" in said(union)
    with pytest.raises(InputError, match=r"density of films is F, G or D and that of more A to D"):
        choose(Union(parts), config_of(["data=union", "task=density"], {"data": {"parts": parts}}))
    one_scale = Union([parts[0], lab("z", "third", density=["F", "F", None])])
    assert one_scale.findings()["density"].fillna("").tolist() == ["F", "G", "D", "F", "F", ""]


def test_pathology_and_birads_are_not_pooled_unless_both_are_named_for_the_union(lab, monkeypatch):
    """The file of inbreast names both for inbreast alone; that permits nothing across archives."""

    class Birads(Table):
        def __init__(self, root=None):
            super().__init__(lab("birads", "inbreast", severity_source=["birads"] * 3)["table"])
            self.root = root

    monkeypatch.setitem(DATASETS, "inbreast", Birads)
    parts = ["inbreast", lab("x", "biopsies", severity_source=["pathology", "pathology", None])]

    def labels_under(*words):
        config = config_of(["data=union", "task=malignancy", *words], {"data": {"parts": parts}})
        return choose(open_dataset(config.data), config)[1].findings["severity"].notna().sum()

    named = r"\(biopsies\) and 3 on BI-RADS.*\(inbreast\).*severity_source=\[pathology,birads,unstated\]"
    for words in ([], ["data.severity_source=birads,unstated"]):
        with pytest.raises(InputError, match=named if not words else "severity_source"):
            labels_under(*words)
    assert labels_under("data.severity_source=pathology") == 2
    assert labels_under("data.severity_source=[pathology,birads]") == 5


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        (None, "two data sets or more"),
        ("mias", "two data sets or more"),
        (["mias"], "two data sets or more"),
        (["mias", "mias"], "parts 1 and 2 are the same data set, mias"),
        (["phantom", {"name": "phantom", "patients": 60}], "parts 1 and 2 are the same"),
        (["mias", {"name": "union", "parts": ["phantom", "cmmd"]}], "part 2 is itself a union"),
        (["mias", {"name": "phantom", "batch_size": 8}], r"phantom has batch_size=8.*set data\.batch_size"),
        (["mias", {"name": "table", "tabel": "a.csv"}], r"table: data\.tabel is no setting; did you mean data\.table"),
        (["mias", {"name": "table"}], r"table: data\.table is missing"),
        (["mias", {"name": "phantom", "archive": "x"}], r"phantom: data\.archive=x does nothing with data=phantom"),
        (["mias", {"table": "a.csv"}], r"part 2 is .*expected a name"),
        (["mias", "ddsm"], r"data\.name=ddsm is unknown"),
        (["mias", 3], "part 2 is 3; expected a name"),
    ],
)
def test_parts_that_make_no_union_are_refused_in_one_line(parts, named):
    with pytest.raises(InputError, match=named) as error:
        open_dataset(Config.of({"data": {"name": "union", "parts": parts}}).data)
    assert "\n" not in str(error.value)


def test_a_union_of_opened_data_sets_is_made_again_from_its_settings(lab, phantom):
    opened = [phantom, Table(lab("x")["table"])]
    union = Union(opened)
    settings = settings_of(union, DATASETS, "films")
    again = open_dataset(Config.of({"data": settings}).data)
    assert settings["name"] == "union" and again.findings().equals(union.findings())
    with pytest.raises(InputError, match="itself a union"):
        Union([union, phantom])
    with pytest.raises(InputError, match="the same data set"):
        Union([phantom, phantom])


def test_a_file_of_settings_names_a_union(lab, tmp_path):
    from mammo.cli.train import checked

    folder = tmp_path / "conf"
    (folder / "data").mkdir(parents=True)
    tables = [lab("x")["table"], lab("y")["table"]]
    text = "name: union\nparts:\n" + "".join(f"  - name: table\n    table: {one}\n" for one in tables)
    (folder / "data" / "both.yaml").write_text(text)
    line = ["--config-dir", str(folder), "data=both", "model=compact"]
    assert checked(line) == line
    (folder / "data" / "both.yaml").write_text(text.replace("table:", "tabel:"))
    with pytest.raises(InputError, match=r"did you mean data\.table"):
        checked(line)


def test_the_faults_of_tables_are_told_with_the_names_of_the_union(lab):
    parts = [lab("x"), lab("y", "more", path=["a.png", "gone.png", "again.png"], patient="P1")]
    Path(parts[1]["table"]).with_name("again.png").symlink_to("a.png")
    tables = ",".join(f"{{name: table, table: {part['table']}}}" for part in parts)
    config = config_of_source("union", [f"data.parts=[{tables}]"])
    union = open_dataset(config.data)
    chosen = choose_images(union, config.data)
    found = check(union, chosen.findings, chosen.notes)
    assert found.facts["data sets"] == ["3 films, 3 more"]
    assert any(fault.startswith("more-gone: ") and "does not exist" in fault for fault in found.faults)
    assert "more-a, more-again are one file" in found.faults
    assert {Path(path).name for path in union.understood.headers} == {
        "a.png",
        "b.png",
        "c.png",
        "again.png",
        "gone.png",
    }
