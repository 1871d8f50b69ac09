"""The report of a detector: its tables in words, its numbers in metrics.json, and detectors side by side."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from mammo import figures
from mammo.errors import InputError
from mammo.evaluation.detection import NAMES, evaluate_marks
from mammo.evaluation.lesion_windows import BRIGHTNESS, DRAWINGS, HEAT, areas
from mammo.reports import detection, detection_figures, leaderboard
from mammo.reports import run as report
from mammo.reports.experiments import read_experiments
from mammo.run_folder import RunFolder
from tests.evaluation.marks import HEADS, detecting, numbered, write_marks
from tests.evaluation.tables import predictions, run_folder
from tests.evaluation.test_lesion_windows import windows


def made(folder, patients=60, *, settings=None, fold=None, **how):
    table = predictions(patients, fold=fold)
    return RunFolder(detecting(run_folder(folder, table, settings), table, **how))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made(tmp_path_factory.mktemp("detector") / "run", unplaced=["mdb006", "mdb012"])


@pytest.fixture(scope="module")
def written(run):
    return detection.write(run)


def table_of(lines, first):
    """The rows of the first table after a line, as cells by the first one."""
    rows = [line for line in lines[lines.index(first) :] if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    end = next((at for at, row in enumerate(cells[2:], 2) if len(row) != len(cells[0])), len(cells))
    return cells[0], {row[0]: row[1:] for row in cells[2:end]}


def test_the_report_says_the_rule_what_was_judged_and_what_was_left_out(run, written):
    text = "\n".join(written.lines)
    assert text.count(detection.RULE) == 1 and "4.8 mm" in detection.RULE
    tested = detection.judged(run)["test"]["detector"]
    counts = "20 normal images, and 18 abnormal images with 18 lesions"
    assert f"Test: {len(tested.images)} images of 20 patients: {counts}." in text
    assert "2 abnormal images are left out with their marks" in text and "(mdb006, mdb012)" in text
    assert all(f"- {head}: a baseline" in text for head in HEADS[1:])


def test_the_table_has_each_head_and_its_numbers_are_those_of_the_judged_marks(run, written):
    header, rows = table_of(written.lines, "## Where the lesions are")
    assert header[1:] == list(HEADS)
    values = {head: evaluate_marks([one]) for head, one in detection.judged(run)["test"].items()}
    at = {
        "lesions found at 1/8 false mark per image": "froc_0.125",
        "lesions found at 4 false marks per normal image": "froc_normal_4",
        "CPM": "cpm",
        "abnormal images whose first mark hits": "first_mark",
        "localisation ROC, area": "localisation_roc",
    }
    for said, name in at.items():
        assert rows[said] == [str(values[head][name]) for head in HEADS]
    assert len(rows) == len(NAMES)


def test_metrics_json_and_the_flat_numbers_have_each_split_head_and_number(written):
    facts = written.facts["detection"]
    json.dumps(facts, allow_nan=False)
    for split in ("val", "test"):
        assert set(facts[split]) == set(HEADS) and list(facts[split]["detector"]) == NAMES
        for name, one in facts[split]["detector"].items():
            assert written.flat[f"{split}/detector/{name}"] == one["value"]
            assert one["low"] <= one["value"] <= one["high"]
    assert "train" not in facts and facts["n"]["test"]["unplaced"] == 2
    assert facts["differences"]["detector - brightest_blob"]["cpm"]["low"] > 0


def test_differences_are_the_detectors_minus_each_baselines_and_subgroups_are_of_the_detector(written):
    _, rows = table_of(written.lines, "### Detector minus baselines")
    assert list(rows) == [f"detector - {head}" for head in HEADS[1:]]
    assert all(cells[3].startswith("+0.") for cells in rows.values())  # CPM
    _, rows = table_of(written.lines, "### Lesions found by subgroup: detector")
    assert {"finding CALC", "density F", "severity benign"} <= set(rows)
    assert sum(name.startswith("lesion radius") for name in rows) == 3
    assert int(rows["finding CALC"][0]) + int(rows["finding CIRC"][0]) == 18
    assert not any("subgroup: position_prior" in line for line in written.lines)


def test_lesion_windows_have_a_section_and_their_numbers_those_of_all_test_windows(tmp_path, written):
    one, table = made(tmp_path / "run"), windows()
    table.drop(columns="positive").to_csv(one.path / "windows.csv", index=False)
    found, values = detection.write(one), areas(table)
    header, rows = table_of(found.lines, "### Lesion windows")
    assert header == ["AUROC", "heat", "brightness", "heat minus brightness"] and len(rows) == len(DRAWINGS)
    for cells, of in zip(rows.values(), values.values(), strict=True):
        assert cells[:2] == [str(of[HEAT]), str(of[BRIGHTNESS])] and cells[2][0] in "+-"
    numbers = found.facts["detection"]["windows"]
    assert numbers["n"] == {"normal": 30, "abnormal": 30, "patients": 30}
    assert numbers["as_drawn"]["difference"] == values["as_drawn"]["difference"].as_json()
    assert "### Lesion windows" not in written.lines and "windows" not in written.facts["detection"]


def test_a_part_without_a_lesion_or_a_normal_film_is_undefined_in_words(tmp_path):
    one = made(tmp_path / "run")
    pd.read_csv(one.path / "lesions.csv").head(0).to_csv(one.path / "lesions.csv", index=False)
    found = detection.write(one)
    assert all(cells == ["undefined"] * 4 for cells in table_of(found.lines, "## Where the lesions are")[1].values())
    assert found.flat == {} and not (one.path / "figures/froc.png").exists()
    assert "no lesion" in found.facts["detection"]["test"]["detector"]["cpm"]["reason"]


def test_the_tables_are_read_with_their_types(tmp_path):
    """A name of digits stays a name, NA is a word, and an empty cell of numbers is missing."""
    columns = "image_id,finding_id,patient,split,x_px,y_px,radius_px,spacing_mm,finding,severity,density,dataset"
    boxes = "x0_px,y0_px,x1_px,y1_px"
    (tmp_path / "lesions.csv").write_text(f"{columns},{boxes}\n007,1,012,test,1.5,2,,0.2,NA,benign,1,x,,,,\n")
    (tmp_path / "candidates.csv").write_text(
        "image_id,patient,split,head,x_px,y_px,x0_px,y0_px,x1_px,y1_px,score\n007,012,test,detector,1,2,0,0,9,9,0.25\n"
    )
    row = RunFolder(tmp_path).lesions.iloc[0]
    assert (row["image_id"], row["patient"], row["finding"], row["density"]) == ("007", "012", "NA", "1")
    assert np.isnan(row["radius_px"]) and row["x_px"] == 1.5
    assert RunFolder(tmp_path).candidates.iloc[0][["image_id", "patient", "score"]].tolist() == ["007", "012", 0.25]
    assert RunFolder(tmp_path).detects and not RunFolder(tmp_path / "no").detects


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (lambda table: (table["head"] != "detector") | (table["image_id"] != "mdb006"), "no mark of detector, mdb006"),
        (lambda table: table["head"] != HEADS[-1], f"120 of 120 images have no mark of {HEADS[-1]}"),
    ],
)
def test_marks_that_lack_a_head_on_a_film_are_refused(tmp_path, kept, said):
    run = made(tmp_path / "cut")
    marks = run.candidates
    marks[kept(marks)].to_csv(run.path / "candidates.csv", index=False)
    with pytest.raises(InputError, match=rf"candidates\.csv: .*{said}"):
        detection.judged(run)


@pytest.fixture(scope="module")
def whole(shared_job):
    return shared_job("crop=whole")[0]


@pytest.mark.slow
def test_a_finished_run_with_candidates_has_the_section_and_one_without_has_not(whole, phantom, tmp_path, drawn):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    assert "## Where the lesions are" not in (folder / "report.md").read_text()
    findings = phantom.findings()
    placed = findings[findings["x_px"].notna() & findings["image_id"].isin(RunFolder(folder).split["image_id"])]
    write_marks(folder, RunFolder(folder).samples, numbered(placed))
    flat = report.write(folder)
    text, known = (folder / "report.md").read_text(), RunFolder(folder).numbers
    assert text.index("## Where the lesions are") < text.index("## Test: metrics")
    assert "![froc](figures/froc.png)" in text and (folder / "figures/froc.png").stat().st_size > 10_000
    assert flat["test/detector/froc_1"] == known["detection"]["test"]["detector"]["froc_1"]["value"]
    assert "test/softmax/auroc" in flat and known["test"].keys() >= {"softmax", "majority"}
    assert "detection" not in RunFolder(whole).numbers


def test_the_curves_have_bands_for_detectors_and_lines_for_baselines(run, drawn):
    shown = detection_figures.froc(detection.judged(run)["test"])
    assert len(shown.axes) == 2
    for axis in shown.axes:
        assert [line.get_label() for line in axis.lines] == list(HEADS) and len(axis.collections) == 1
        assert len({(line.get_color(), str(line.get_linestyle())) for line in axis.lines}) == len(HEADS)
        assert axis.get_xscale() == "log" and axis.get_xlim() == (1 / 8, 8)
    figures.save(shown, run.path / "froc.png")


@pytest.mark.slow
def test_two_runs_side_by_side_have_their_detectors_and_the_paired_difference(tmp_path):
    strong = made(tmp_path / "strong", settings={"model": "strong"}, distance=4.0)
    weak = made(tmp_path / "weak", settings={"model": "weak"}, distance=0.0, seed=1)
    lines = leaderboard.side_by_side([strong.path, weak.path]).splitlines()
    header, rows = table_of(lines, "The same detectors, first minus second, on the same patients:")
    assert list(rows) == ["model=strong - model=weak (detector)"]  # baselines see the same
    at = header.index("CPM") - 1
    low = float(rows["model=strong - model=weak (detector)"][at].partition("(")[2].split()[0])
    assert low > 0
    start = lines.index("## Where the lesions are")
    assert sum(line.startswith(("| model=strong |", "| model=weak |")) for line in lines[start:]) == 2 * len(HEADS)


def test_runs_that_mark_nothing_have_no_such_section(tmp_path):
    plain = run_folder(tmp_path / "plain", predictions(60))
    assert "Where the lesions are" not in leaderboard.side_by_side([plain])


@pytest.mark.slow
def test_detectors_of_other_lesions_are_refused_and_a_leaderboard_of_folds_averages_them(tmp_path):
    first = made(tmp_path / "a", settings={"model": "a"})
    other = made(tmp_path / "b", settings={"model": "b"}, unplaced=["mdb006"])
    with pytest.raises(InputError, match="cannot be paired: 1 images are in one of them only, the first of mdb006"):
        leaderboard.side_by_side([first.path, other.path])
    lines = detection.side_by_side(read_experiments([first.path, other.path]), refuse=False)
    assert "There are no paired differences of detectors" in lines[-2] and "mdb006" in lines[-2]
    sweep = tmp_path / "sweep"
    folds = [made(sweep / f"fold{fold}", fold=fold, seed=fold) for fold in (0, 1)]
    (sweep / "jobs.json").write_text(json.dumps([one.path.name for one in folds]))
    leaderboard.write(sweep)
    text = (sweep / "leaderboard.md").read_text()
    values = [evaluate_marks([detection.judged(one)["test"]["detector"]])["cpm"].value for one in folds]
    _, rows = table_of(text.splitlines(), "## Where the lesions are")
    assert f"{np.mean(values):.3f} (" in text[text.index("## Where the lesions are") :] and rows


def test_the_positive_images_are_those_that_are_not_of_the_first_class(run):
    labels = run.samples.set_index("image_id")["label"]
    images = detection.judged(run)["test"]["detector"].images.set_index("image_id")
    assert (images["positive"] == (labels[images.index] == "abnormal")).all()
