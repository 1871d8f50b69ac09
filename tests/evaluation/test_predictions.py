"""A predictions table: its identities, its parts, and what is none."""

import gzip
import lzma

import numpy as np
import pandas as pd
import pytest

from mammo.errors import InputError
from mammo.evaluation import predictions as predictions_module
from mammo.evaluation.predictions import Predictions, by_head, head_table, originals, read_predictions
from tests.evaluation.tables import predictions

CLASSES = ["normal", "abnormal"]


def test_a_table_comes_back_as_it_was_written_whatever_its_ids_look_like(tmp_path):
    rows = predictions(3).query("head == 'svm'").assign(image_id=["1.2", "1", "1.2.3", "1.2.p3", "01", "1.2.c1"])
    table = head_table(rows, "svm", rows["score"].to_numpy(), rows[["p_normal", "p_abnormal"]].to_numpy(), CLASSES,
                       fold=1, seed=2)  # fmt: skip
    table.to_csv(tmp_path / "predictions.csv", index=False)
    found, classes = read_predictions(tmp_path / "predictions.csv")
    assert classes == CLASSES and found["image_id"].tolist() == rows["image_id"].tolist()
    assert found["finding_id"].tolist() == rows["finding_id"].tolist() and set(found["fold"]) == {"1"}
    assert found["score"].to_numpy(np.float32).tolist() == rows["score"].to_numpy(np.float32).tolist()
    assert not Predictions.of(found, classes).samples.duplicated().any()


def test_copies_of_the_training_part_are_no_samples_unless_they_were_dealt_as_such():
    table = predictions(6)
    both = pd.concat([table, table[table["split"] == "train"].assign(copy=1)])
    assert len(originals(both)) == len(table)
    dealt = pd.concat([both, table[table["split"] == "test"].assign(copy=1)])
    assert len(originals(dealt)) == len(dealt)
    assert len(by_head(both, CLASSES, "train")["svm"]) == (table.query("head == 'svm'")["split"] == "train").sum()


def test_each_head_has_its_own_patients_in_the_order_of_its_own_rows():
    table = pd.concat(
        [rows.sample(frac=1, random_state=at) for at, (_, rows) in enumerate(predictions(6).groupby("head"))]
    )
    for head, one in by_head(table, CLASSES, "test").items():
        rows = table[(table["head"] == head) & (table["split"] == "test")]
        assert one.patients.tolist() == rows["patient"].tolist() and len(set(one.patients)) > 1


@pytest.mark.parametrize("end", ["", ".xz", ".gz"])
def test_a_compressed_table_is_read_as_the_plain_one(tmp_path, end):
    table = predictions(3)
    table.to_csv(tmp_path / "plain.csv", index=False)
    table.to_csv(tmp_path / f"table.csv{end}", index=False)
    found, classes = read_predictions(tmp_path / f"table.csv{end}", tested=True)
    assert classes == CLASSES and found.equals(read_predictions(tmp_path / "plain.csv")[0])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"label": "odd"}, "label 'odd' has no column p_odd"),
        ({"patch": None}, "missing patch$"),
        ({"finding_id": "first"}, "expected a table of predictions as CSV"),
        ({"split": "val"}, "split=test"),
    ],
)
def test_what_is_no_table_of_predictions_is_one_line(tmp_path, change, match):
    table = predictions(3)
    for column, value in change.items():
        table = table.drop(columns=column) if value is None else table.assign(**{column: value})
    table.to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(InputError, match=match):
        read_predictions(tmp_path / "table.csv", tested=True)


def test_a_table_that_a_spreadsheet_saved_with_semicolons_is_told(tmp_path):
    predictions(3).to_csv(tmp_path / "p.csv", index=False, sep=";", decimal=",")
    with pytest.raises(InputError, match="score; saved with other separators"):
        read_predictions(tmp_path / "p.csv")


def test_neither_a_picture_nor_nothing_is_a_table(tmp_path):
    cut = [
        (f"cut.csv.{end}", of.compress(b"image_id,finding_id\n" * 99)[:-9]) for end, of in (("xz", lzma), ("gz", gzip))
    ]
    for name, content in (
        ("picture.png", b"\x89PNG"),
        ("empty.csv", b""),
        ("a.csv.xz", b"?"),
        ("a.csv.gz", b"?"),
        ("b.csv.gz", b"\x1f\x8b\x08" + bytes(13)),  # a header, and no packed data
        *cut,
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="expected a table of predictions as CSV"):
            read_predictions(tmp_path / name)
    with pytest.raises(InputError, match=r"no predictions at .*none\.csv"):
        read_predictions(tmp_path / "none.csv")


def test_arrow_reads_a_large_table_as_pandas_reads_it(tmp_path, monkeypatch):
    table = predictions(8).assign(fold="", patient=lambda t: "00" + t["patient"].astype(str))
    table.to_csv(tmp_path / "predictions.csv", index=False)
    small, _ = read_predictions(tmp_path / "predictions.csv")
    monkeypatch.setattr(predictions_module, "LARGE", 0)
    large, _ = read_predictions(tmp_path / "predictions.csv")
    pd.testing.assert_frame_equal(large, small, check_exact=True)
    assert large["patient"].str.startswith("00").all()
