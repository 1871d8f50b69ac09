"""Outputs of several devices hold each row once, in their order."""

import numpy as np
import pytest

from mammo.training.callbacks import merge


def batch(*rows):
    return {"row": np.array(rows), "features": np.array([[10.0 * row] for row in rows])}


def test_batches_of_two_devices_come_back_in_order_and_once():
    merged = merge([batch(0, 2), batch(4), batch(1, 3), batch(4)], 5)
    assert merged["features"].ravel().tolist() == [0, 10, 20, 30, 40]


def test_a_missing_row_is_an_error():
    with pytest.raises(RuntimeError, match="3 rows"):
        merge([batch(0, 2)], 3)
