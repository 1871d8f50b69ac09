"""A large plain CSV table is read by Arrow as the careful reader reads it, and any other is left to that one."""

import pandas as pd
import pytest

from mammo.tables import plain_csv, spreadsheet
from mammo.tables.alike import by_word, differs, row_numbers
from mammo.tables.spreadsheet import read_spreadsheet

PLAIN = {
    "plain": "patient,label,score\nw1,well,0.25\nw2,ill, 0.5 \n007,,1e-3\n",
    "quoted": '"patient";"label"\n"w1";"well"\n"w2";"ill, very"\nw3;""\n',
    "Windows": "patient\tlabel\r\nMüller\twell\r\nNA\till\r\n",
    "no end": "patient,label\nw1,well\nw2,ill",
    "blank rows at the end": "patient,label\nw1,well\nw2,ill\n,\n , \n",
    "a blank row inside": "patient,label\nw1,well\n,\nw2,ill\n,\n",
    "an empty line inside": "patient,label\nw1,well\n\nw2,ill\n\n",
}
ODD = {
    "a field too many": "patient,label\nw1,well,ill\n",
    "a field too few": "patient,label\nw1\nw2,ill\n",
    "a mark inside": 'patient,label\nw1,5" wide\n',
    "a mark that stands for itself": 'patient,label\nw1,"a ""b"""\n',
    "a line break in a cell": 'patient,label\n"w\r\n1",well\n',
    "another line break in a cell": 'patient,label\n"w\r1",well\n',
    "an open mark": 'patient,label\nw1,"well\n',
    "one name twice": "patient,patient\nw1,well\n",
    "no name": "patient,\nw1,well\n",
    "another encoding": "patient,label\nM\xfcller,well\n",
    "no text": "patient,label\nw\x01,well\n",
    "Excel's line": "sep=;\npatient;label\nw1;well\n",
}


def table_of(path, text, monkeypatch, large):
    path.write_bytes(text.encode("latin-1" if "\xfcller,w" in text else "utf-8"))
    monkeypatch.setattr(plain_csv, "LARGE", 0 if large else 1 << 60)
    return read_spreadsheet(path)


@pytest.mark.parametrize("kind", PLAIN)
def test_arrow_reads_a_plain_table_as_the_careful_reader_does(kind, tmp_path, monkeypatch):
    careful = table_of(tmp_path / "t.csv", PLAIN[kind], monkeypatch, large=False)
    monkeypatch.setattr(spreadsheet, "_csv", None)  # which nobody may ask
    quick = table_of(tmp_path / "t.csv", PLAIN[kind], monkeypatch, large=True)
    pd.testing.assert_frame_equal(quick.rows, careful.rows)
    assert quick.notes == careful.notes == ["1 blank row is passed over"] * ("inside" in kind)


@pytest.mark.parametrize("kind", ODD)
def test_a_table_with_anything_uncommon_is_left_to_the_careful_reader(kind, monkeypatch):
    monkeypatch.setattr(plain_csv, "LARGE", 0)
    data = ODD[kind].encode("latin-1")
    assert plain_csv.plain_csv(data, spreadsheet.SEPARATORS) is None


def test_marks_are_told_apart_wherever_the_bytes_are_cut(monkeypatch):
    for cut in range(1, 12):
        monkeypatch.setattr(plain_csv, "AT_ONCE", 1000 + cut)
        monkeypatch.setattr(plain_csv, "LARGE", 0)
        text = "a,b\n" + '"x","y"\n' * 500
        assert len(plain_csv.plain_csv(text.encode(), spreadsheet.SEPARATORS)["a"]) == 500


def test_rows_have_one_number_if_they_are_equal_in_all_columns():
    table = pd.DataFrame({"a": ["x", "x", "y", None, None], "b": [1, 1, 1, 2, 2]})
    assert row_numbers(table, ["a", "b"]).tolist() == [0, 0, 1, 2, 2]
    assert row_numbers(table, ["b"], row_numbers(table, ["a"])).tolist() == [0, 0, 1, 2, 2]
    assert differs(pd.Series([1, 1, 1, 2, 3]), row_numbers(table, ["a"])).tolist() == [False] * 3 + [True] * 2
    assert not differs(pd.Series([1, None, 1, 2, 2]), row_numbers(table, ["a"])).any()
    assert by_word(table["a"], lambda words: words.str.upper()).fillna("-").tolist() == ["X", "X", "Y", "-", "-"]
