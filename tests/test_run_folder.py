"""The run folder: it opens without reading, and what is missing is one line."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from mammo import run_tables
from mammo.datasets.findings import SAMPLE
from mammo.errors import InputError
from mammo.files import read_json, write_json
from mammo.run_folder import RunFolder
from mammo.run_tables import NEEDS
from tests.evaluation.tables import predictions, run_folder

FILES = (
    "provenance",
    "config",
    "selection",
    "numbers",
    "leaks",
    "report",
    "split",
    "split_audit",
    "samples",
    "checkpoint",
)


@pytest.mark.parametrize("what", FILES)
def test_a_folder_that_is_no_run_is_one_line_and_nothing_is_read_before_it_is_asked_for(tmp_path, what):
    run = RunFolder(tmp_path)
    with pytest.raises(InputError, match=f"in {tmp_path}") as caught:
        getattr(run, what)
    assert "\n" not in str(caught.value)


def test_a_run_of_another_version_is_one_line_that_names_what_is_missing(tmp_path):
    run = RunFolder(run_folder(tmp_path / "run", predictions(6)))
    known = run.provenance
    for key in ("config", "crop"):
        (run.path / "provenance.json").write_text(json.dumps({k: v for k, v in known.items() if k != key}))
        with pytest.raises(InputError, match=rf"provenance\.json lacks {key}"):
            _ = run.config
    (run.path / "provenance.json").write_text("{")
    with pytest.raises(InputError, match="expected JSON"):
        _ = run.config


def test_features_come_back_with_the_names_of_their_rows(tmp_path):
    rows = predictions(3).query("head == 'svm'").assign(copy=[0, 0, 1, 2, 0, 0], image_id="1.2.840")
    RunFolder(tmp_path).write_features(np.eye(6), rows)
    features, named = RunFolder(tmp_path).features()
    assert features.dtype == np.float32 and (features == np.eye(6)).all()
    assert list(named) == ["image_id", "finding_id", "patch", "copy", "patient", "split", "label"]
    assert named["copy"].tolist() == [0, 0, 1, 2, 0, 0] and set(named["image_id"]) == {"1.2.840"}


@pytest.mark.slow  # as the third step of test_layers' light modules
def test_a_run_is_opened_and_reported_without_torch():
    code = (
        "import sys, mammo.run_folder, mammo.reports.run; print([m for m in ('torch', 'sklearn') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_nan_never_reaches_a_json_file_and_the_file_before_stays_whole(tmp_path):
    write_json({"a": 1}, tmp_path / "m.json")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json({"a": float("nan")}, tmp_path / "m.json")
    assert read_json(tmp_path / "m.json") == {"a": 1}


@pytest.mark.parametrize("change", [lambda table: table[:-1], lambda table: pd.concat([table, table[:1]])])
@pytest.mark.parametrize("name", ["samples", "split", "lesions", "candidates", "windows", "segments", "films"])
def test_a_table_that_lost_or_won_rows_since_it_was_written_is_refused(tmp_path, name, change):
    table = pd.DataFrame({"image_id": ["a", "b", "c"], "patient": "1"})
    RunFolder(tmp_path).write_rows(f"{name}.csv", table)
    change(table).to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(InputError, match=rf"{name}\.csv has [24] rows, but was written with 3; .* copy it again"):
        getattr(RunFolder(tmp_path), name)


@pytest.mark.parametrize("name", ["samples", "split", "windows", "explained"])
def test_a_table_without_a_column_or_with_text_for_a_number_is_one_line(tmp_path, name):
    words, numbers = NEEDS[f"{name}.csv"]
    whole = pd.DataFrame({"image_id": ["a", "b"]}).assign(**dict.fromkeys(words, "x"), **dict.fromkeys(numbers, 1))
    for column in (*words, *numbers):
        whole.drop(columns=column).to_csv(tmp_path / f"{name}.csv", index=False)
        with pytest.raises(InputError, match=rf"{name}\.csv: expected the columns .*; missing {column}$"):
            getattr(RunFolder(tmp_path), name)
    for column in {*words, *numbers} - set(SAMPLE):
        odd = whole.astype({column: object})
        odd.loc[1, column] = None if column in words else "foo"
        odd.to_csv(tmp_path / f"{name}.csv", index=False)
        with pytest.raises(InputError, match=rf"{name}\.csv: row 3: {column} .*is (missing|foo); expected a"):
            getattr(RunFolder(tmp_path), name)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("score", "foo", "row 4: score .* is foo; expected a finite number"),
        ("p_abnormal", "0,5", "row 4: p_abnormal .* is 0,5; expected a finite number"),
        ("p_normal", "1.5", "row 4: p_normal .* is 1.5; expected a probability from 0 to 1"),
        ("finding_id", "inf", "expected a table of predictions"),
        ("patch", "0.5", "expected a table of predictions"),
        ("copy", "1" * 30, "expected a table of predictions"),
    ],
)
def test_an_odd_cell_of_the_predictions_is_one_line(tmp_path, column, value, said):
    table = predictions(6).astype({column: object})
    table.loc[table.index[2], column] = value
    table.to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(InputError, match=said) as caught:
        RunFolder(tmp_path).predictions()
    assert "\n" not in str(caught.value)


def test_a_table_is_read_with_the_types_of_its_identities(tmp_path):
    table = pd.DataFrame({"image_id": ["007", "1e5"], "finding_id": [0, 3], "patch": [0, 0], "label": ["a", "b"]})
    table = table.assign(patient="01", radius_px=[None, 2.5], spacing_mm=0.2, contrast=0.0)
    table.to_csv(tmp_path / "samples.csv", index=False)
    found = RunFolder(tmp_path).samples
    assert found["image_id"].tolist() == ["007", "1e5"] and found["patient"].tolist() == ["01", "01"]
    assert found["radius_px"].isna().tolist() == [True, False]


def test_a_report_reads_of_many_samples_what_it_shows_and_of_few_the_same(tmp_path, monkeypatch):
    samples = predictions(20).query("head == 'svm'").drop(columns=["head", "score", "p_normal", "p_abnormal"])
    more = {"density": "F", "exam": [None, "00"] * 20, "dataset": "mias", "severity_source": "unstated", "black": 0.5}
    measured = {"radius_px": [None, 12.25] * 20, "spacing_mm": 0.2, "contrast": np.linspace(0, 1, 40)}
    run = RunFolder(tmp_path)
    run.write_rows("samples.csv", samples.assign(**more, **measured))
    run.write_rows("split.csv", samples[["image_id", "patient", "split"]])
    few, of_few = run.reported, run.split
    monkeypatch.setattr(run_tables, "LARGE", 0)
    many = run.reported
    pd.testing.assert_frame_equal(many, few[many.columns], check_exact=True)
    pd.testing.assert_frame_equal(run.split, of_few)
    assert {*few} - {*many} == {"black"} and many["exam"].tolist()[1] == "00"
    write_json({"samples.csv": 41}, tmp_path / "rows.json")
    with pytest.raises(InputError, match=r"samples\.csv has 40 rows, but was written with 41"):
        _ = run.reported
