"""Tables hold each sample once, in the order of its row, whatever device it came from."""

import numpy as np
import pandas as pd
import pytest

from mammo.errors import InputError
from mammo.tables import merge, read_predictions, write_json


def batch(*rows):
    return {"row": np.array(rows), "features": np.array([[10.0 * row] for row in rows])}


def test_batches_of_two_devices_come_back_in_order_and_once():
    merged = merge([batch(0, 2), batch(4), batch(1, 3), batch(4)], 5)
    assert merged["features"].ravel().tolist() == [0, 10, 20, 30, 40]


def test_a_missing_row_is_an_error():
    with pytest.raises(RuntimeError, match="expected predictions of 3 rows"):
        merge([batch(0, 2)], 3)


def test_a_table_with_an_unknown_label_is_refused(tmp_path):
    columns = ["sample_id", "image_id", "patient", "split", "fold", "seed", "head", "label", "score", "p_a", "p_b"]
    row = ["x", "x", "p", "test", "", 0, "svm", "c", 0.5, 0.4, 0.6]
    pd.DataFrame([row], columns=columns).to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(InputError, match="label 'c' has no column p_c"):
        read_predictions(tmp_path / "predictions.csv")


def test_nan_never_reaches_a_json_file_and_the_file_before_stays_whole(tmp_path):
    write_json({"a": 1}, tmp_path / "m.json")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json({"a": float("nan")}, tmp_path / "m.json")
    assert (tmp_path / "m.json").read_text() == '{\n "a": 1\n}\n'


def test_what_is_no_table_of_predictions_is_one_line(tmp_path):
    for name, content in (("picture.png", b"\x89PNG"), ("empty.csv", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="expected a table of predictions as CSV"):
            read_predictions(tmp_path / name)
