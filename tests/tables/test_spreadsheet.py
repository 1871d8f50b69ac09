"""A table is the same table in every way that programs save it, and a file that is none is told in one line."""

import gzip
import io
import lzma
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pytest

from mammo.datasets.film import write_pgm
from mammo.errors import InputError
from mammo.tables import spreadsheet
from mammo.tables.spreadsheet import read_spreadsheet

TABLE = pd.DataFrame(
    {"Pfad": ["a b/1.png", "ä,ö;2.png"], "Patient ID": ["007", "NA"], "Abstand": ["0.07", ""], "x": ["a|b", "c\td"]}
)


def text(separator=",", end="\n", **changes):
    return TABLE.assign(**changes).to_csv(sep=separator, index=False, lineterminator=end)


def workbook(**sheets):
    data = io.BytesIO()
    with pd.ExcelWriter(data) as writer:
        for name, sheet in (sheets or {"films": TABLE}).items():
            sheet.to_excel(writer, sheet_name=name, index=False)
    return data.getvalue()


def parquet():
    data = io.BytesIO()
    TABLE.to_parquet(data)
    return data.getvalue()


WAYS = {
    "comma": text().encode(),
    "semicolon": text(";").encode(),
    "tab": text("\t").encode(),
    "bar": text("|").encode(),
    "byte order mark": text(";").encode("utf-8-sig"),
    "UTF-16": text("\t").encode("utf-16"),
    "UTF-16 without a mark": text("\t").encode("utf-16-le"),
    "UTF-16 of other machines": text("\t").encode("utf-16-be"),
    "cp1252": text(";").encode("cp1252"),
    "CRLF": text(";", "\r\n").encode(),
    "CR": text(";", "\r").encode(),
    "sep=": ("sep=|\n" + text("|")).encode(),
    "empty last lines": (text() + "\n\n,,,\n").encode(),
    "columns that are empty": text(";").replace("x", "x;;").replace("\tb", ";;").encode(),
    "blanks": text(";").replace("Patient ID", '" Patient  ID "').replace("007", "  007 ").encode(),
    "blanks after separators": text(";").replace(";", "; ").replace("ä,ö; 2", "ä,ö;2").encode(),
    "line breaks at the end of a cell": text(";").replace("a b/1.png", '"a b/1.png\n"').encode(),
    "gzip": gzip.compress(text().encode()),
    "xz": lzma.compress(text().encode()),
    "XLSX": workbook(),
    "Parquet": parquet(),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_table_is_the_same_however_it_is_saved(way, tmp_path):
    path = tmp_path / f"films.{'csv.xz' if way == 'xz' else 'csv'}"  # the content decides, not the name
    path.write_bytes(WAYS[way])
    rows = read_spreadsheet(path).rows
    pd.testing.assert_frame_equal(rows.fillna("").reset_index(drop=True), TABLE.astype("string"))
    assert rows.index.tolist() == [2, 3]  # as a spreadsheet numbers them


def test_a_table_that_is_read_a_part_at_a_time_is_the_same(tmp_path, monkeypatch):
    """Parts of two rows: some shorter than the header, some blank, and one with a cell in quotes over two lines."""
    text = "path,patient,,x\n" + "a,p,,\n" * 3 + "\n\n\n\n" + ' b ,"p\nq",n,1\n' + ",,,\n" + "c,p,,2\n\n\n"
    (tmp_path / "films.csv").write_text(text)
    whole = read_spreadsheet(tmp_path / "films.csv")
    monkeypatch.setattr(spreadsheet, "AT_ONCE", 2)
    parts = read_spreadsheet(tmp_path / "films.csv")
    pd.testing.assert_frame_equal(parts.rows, whole.rows)
    assert parts.notes == whole.notes and whole.rows.index.tolist() == [2, 3, 4, 9, 11]


def test_numbers_and_dates_of_excel_are_those_that_are_shown(tmp_path):
    day = pd.Timestamp("2021-03-04")
    cells = {"id": [22678622.0, 7], "spacing": [0.07, 0.1], "day": [day, day], "flag": [True, None]}
    (tmp_path / "a.xlsx").write_bytes(workbook(one=pd.DataFrame(cells), two=TABLE))
    sheet = read_spreadsheet(tmp_path / "a.xlsx")
    assert sheet.rows.fillna("").to_numpy().tolist() == [
        ["22678622", "0.07", "2021-03-04", "true"],
        ["7", "0.1", "2021-03-04", ""],
    ]
    shares = pd.DataFrame({"share": [1, 0.9777, 7, 0.5]})
    with pd.ExcelWriter(tmp_path / "b.xlsx") as book:
        shares.to_excel(book, index=False)
        for cell, shown in (("A2", "0%"), ("A3", "0.00 %"), ("A4", '0"%"')):
            book.book.active[cell].number_format = shown
    assert read_spreadsheet(tmp_path / "b.xlsx").rows["share"].tolist() == ["1", "0.9777", "7", "0.5"]
    rows = read_spreadsheet(tmp_path / "b.xlsx", percents=True).rows
    assert rows["share"].tolist() == ["100%", "97.77%", "7", "0.5"]
    assert "one" in sheet.notes[0] and "two" in sheet.notes[0]
    pd.DataFrame({"words": [["MASS", "CALC"]], "n": np.array([1.5], "f4")}).to_parquet(tmp_path / "a.parquet")
    assert read_spreadsheet(tmp_path / "a.parquet").rows.to_numpy().tolist() == [['["MASS", "CALC"]', "1.5"]]


def test_blank_rows_keep_the_numbers_of_the_others_and_nameless_columns_are_said(tmp_path):
    (tmp_path / "a.csv").write_text("\npath;;patient\n;;\na;index;p\n\nb;;q\n")
    sheet = read_spreadsheet(tmp_path / "a.csv")
    assert sheet.rows.to_dict("index") == {4: {"path": "a", "patient": "p"}, 6: {"path": "b", "patient": "q"}}
    assert "column B" in sheet.notes[0] and "2 blank rows" in sheet.notes[1]


def pgm(path):
    write_pgm(path, np.zeros((8, 8), np.uint8))
    return path.read_bytes()


def archive(name):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr(name, "x")
    return data.getvalue()


NONE = {
    "nothing": (b"", "empty"),
    "empty lines": (b"\n\n ;;\n", "empty"),
    "old Excel": (b"\xd0\xcf\x11\xe0" + bytes(600), r"\.xls"),
    "a password": (b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"), "password"),
    "a ZIP": (archive("films.csv"), "ZIP"),
    "OpenDocument": (archive("mimetype"), "OpenDocument"),
    "Word": (archive("[Content_Types].xml"), "office"),
    "a damaged workbook": (workbook()[:-300], "damaged"),
    "a damaged Parquet file": (parquet()[:-90], "damaged"),
    "a web page": (b"\n<!DOCTYPE html><html>", "web page"),
    "a PNG": (b"\x89PNG\r\n\x1a\n", "PNG"),
    "a DICOM film": (bytes(128) + b"DICM", "DICOM"),
    "noise": (bytes(range(256)), "not text"),
    "half a gzip": (gzip.compress(text().encode())[:-9], "incomplete"),
    "a title": (b"Films of 2021\n\npath;patient\na;p\n", "row 1.*title.*row 3"),
    "a column twice": (b"path,patient,path\na,p,b\n", "column path is there twice"),
    "a comma too many": (b"path,patient\na,p\na,b,p\n", "row 3 has 3 fields"),
    "a cell too few": (b"path,patient\n\na\n", "row 3 has 1 field"),
    "an open quotation mark": (b'path,patient\n"a,p\nb,q\n', "quotation mark"),
}


@pytest.mark.parametrize("name", NONE)
def test_a_file_that_is_no_table_is_told_in_one_line(name, tmp_path):
    data, said = NONE[name]
    (tmp_path / "films.csv").write_bytes(data)
    with pytest.raises(InputError, match=rf"films\.csv.*{said}") as error:
        read_spreadsheet(tmp_path / "films.csv")
    assert "\n" not in str(error.value) and not str(error.value).endswith("; ")


def test_a_film_a_folder_and_a_missing_file_are_no_tables(tmp_path):
    pgm(tmp_path / "film.csv")
    for path, said in (("film.csv", "PGM"), (".", "folder"), ("none.csv", "no such file")):
        with pytest.raises(InputError, match=said):
            read_spreadsheet(tmp_path / path)


def test_lines_of_two_encodings_are_read_each_in_its_own(tmp_path):
    table = tmp_path / "table.csv"
    table.write_bytes(b"image_id,patient\na,M\xc3\xbcller\nb,M\xfcller\n")
    sheet = read_spreadsheet(table)
    assert sheet.rows["patient"].tolist() == ["Müller", "Müller"]
    assert len(sheet.notes) == 1 and "line 3 of the file" in sheet.notes[0] and "cp1252" in sheet.notes[0]


@pytest.mark.parametrize("encoding", ["gbk", "shift-jis", "cp1251", "cp1252"])
def test_letters_in_another_encoding_are_doubted_or_refused(encoding, tmp_path):
    word = {"gbk": "恶性", "shift-jis": "悪性", "cp1251": "злокачественный", "cp1252": "bösartig"}[encoding]
    (tmp_path / "a.csv").write_bytes(f"path,label\na,{word}\n".encode(encoding))
    try:
        notes = read_spreadsheet(tmp_path / "a.csv").notes
    except InputError as error:
        notes = [str(error)]
    assert len(notes) == 1 and "UTF-8" in notes[0]
    (tmp_path / "a.csv").write_text(f"path,label\na,{word}\n", encoding="utf-8")
    assert not read_spreadsheet(tmp_path / "a.csv").notes


def book(path, change):
    """A workbook of five rows and three columns, below two empty rows, and what a function of its sheet changes."""
    made = openpyxl.Workbook()
    for row in (["path", "patient", "label"], ["a", "P1", "ill"], *([one, None, None] for one in "bcd")):
        made.active.append(row)
    made.active.insert_rows(1, 2)
    change(made.active)
    made.save(path)
    return read_spreadsheet(path)


def test_merged_cells_of_a_column_give_their_value_to_all_rows(tmp_path):
    def merged(sheet):
        sheet.merge_cells("B4:B7")
        sheet.merge_cells("C4:C5")

    sheet = book(tmp_path / "a.xlsx", merged)
    assert sheet.rows["patient"].tolist() == ["P1"] * 4 and sheet.rows["label"].fillna("").tolist() == ["ill"] * 2 + [
        "", ""]  # fmt: skip
    assert "merged cells (row 4)" in sheet.notes[0]
    wide = book(tmp_path / "a.xlsx", lambda sheet: sheet.merge_cells("B4:C4"))
    assert wide.rows["label"].isna().all() and "span columns" in wide.notes[0]
    assert book(tmp_path / "a.xlsx", lambda sheet: sheet.merge_cells("B3:B4")).rows["patient"].isna().all()


def test_rows_columns_and_a_sheet_that_are_hidden_are_told(tmp_path):
    def hidden(sheet):
        sheet.row_dimensions[5].hidden = sheet.row_dimensions[1].hidden = sheet.column_dimensions["C"].hidden = True
        sheet.parent.create_sheet("more")
        sheet.sheet_state = "hidden"

    sheet = book(tmp_path / "a.xlsx", hidden)
    for said in (
        "Sheet, which is read, is hidden",
        "1 row is hidden in the spreadsheet, and read: row 5",
        "read: label",
    ):
        assert any(said in note for note in sheet.notes), said
    assert "2 sheets" in sheet.others and "hidden" not in sheet.others


def test_a_formula_without_a_value_is_refused_by_its_cell(tmp_path):
    def formula(sheet):
        sheet["C5"] = '=IF(C4="ill","ill","well")'

    with pytest.raises(InputError, match=r"a\.xlsx.*C5: a formula without a value"):
        book(tmp_path / "a.xlsx", formula)
    with zipfile.ZipFile(tmp_path / "a.xlsx") as made, zipfile.ZipFile(tmp_path / "b.xlsx", "w") as computed:
        for name in made.namelist():
            text = made.read(name).replace(b"<v></v>", b"<v/>").replace(b'<c r="C5">', b'<c r="C5" t="str">')
            computed.writestr(name, text)
    assert read_spreadsheet(tmp_path / "b.xlsx").rows["label"].isna().sum() == 3  # an empty text was computed
