"""Rows that are alike, and the different values of a column."""

import numpy as np
import pandas as pd
import pytest

from mammo.tables.alike import different, places_among, rows_among, rows_of, unlike_parts


@pytest.mark.parametrize(
    "values",
    [np.array([3, 0, 3, 7, 1, 0, 2, 2]), np.array([-1, 5, -1]), np.array([10**12, 4, 4]), np.array(["b", "a", "b"]),
     np.array([0.5, -2.0, 0.5]), np.array([], int)],
)  # fmt: skip
def test_different_values_are_those_of_a_sort(values):
    known, place = np.unique(values, return_inverse=True)
    found = different(values)
    assert found[0].tolist() == known.tolist() and found[1].tolist() == place.tolist()


def test_places_of_words_are_those_of_a_list_and_others_have_none():
    among = pd.Series(["b", "a", "c"], dtype="string")
    for words in (pd.Series(["a", "x", "b", "a"]), pd.Series(["a", None, "b", "a"], dtype="string")):
        assert places_among(words, among).tolist() == [1, -1, 0, 1]


def test_rows_among_others_are_those_that_a_merge_finds():
    rng, keys = np.random.default_rng(0), ["image_id", "finding_id", "patch"]
    made = [
        pd.DataFrame({"image_id": pd.Series(rng.choice(list(names), 300), dtype="string"),
                      "finding_id": rng.integers(-2, 3, 300), "patch": rng.integers(0, 4, 300)})
        for names in ("abcde", "cdefgh")
    ]  # fmt: skip
    table, among = (one.astype({"finding_id": "Int64", "patch": "Int64"}) for one in made)
    first = among.assign(place=np.arange(300)).drop_duplicates(keys)
    expected = table.merge(first, how="left", on=keys)["place"].fillna(-1)
    found = rows_among(table, among, keys)
    assert found.tolist() == expected.tolist()
    assert (found == -1).any() and (found >= 0).any()


def test_rows_of_a_mask_are_those_that_pandas_takes():
    table = pd.DataFrame({"word": ["a", None, "b", "a"], "number": [1, 2, 3, 4], "score": [0.5, np.nan, 1, 2]})
    table, mask = table.astype({"number": "Int64"}).set_index("number", drop=False), np.array([True, True, False, True])
    pd.testing.assert_frame_equal(rows_of(table, mask), table[mask].reset_index(drop=True))


def test_rows_of_heads_are_told_once_unless_they_differ_in_a_cell_or_in_their_order():
    rows = pd.DataFrame({"image_id": ["a", "b", "c"], "patch": [0, 1, 0], "exam": [None, "x", "x"]}).astype(
        {"image_id": "string", "patch": "Int64", "exam": "string"}
    )
    other, less, turned = rows.assign(exam=["y", "x", "x"]).astype(rows.dtypes), rows[:2], rows[::-1]
    heads = {"one": rows, "same": rows, "other": other, "less": less, "turned": turned, "last": rows}
    table = pd.concat([part.assign(head=head, score=0.5 * n) for n, (head, part) in enumerate(heads.items())])
    found = unlike_parts(table, "head", list(rows))
    assert list(found) == ["one", "other", "less", "turned"]
    pd.testing.assert_frame_equal(found["turned"], turned.reset_index(drop=True))
