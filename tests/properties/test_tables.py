"""Tables of other people: any bytes and cells, in CSV, XLSX and Parquet; ours are read as they were written."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume
from hypothesis import strategies as st

from mammo.auditing.claim_table import read_claims
from mammo.auditing.splits import read_split
from mammo.datasets import findings as known
from mammo.datasets.geometry import BOX
from mammo.datasets.label_words import words_of
from mammo.datasets.split import read_split_table
from mammo.datasets.table import Table
from mammo.errors import InputError
from mammo.evaluation.external import read_external
from mammo.evaluation.predictions import head_table, read_predictions
from mammo.files import write_table
from mammo.tables.numbers import to_numbers
from mammo.tables.patients import alike
from mammo.tables.spellings import NAMES, WORDS, recognise, side_and_view, translations
from mammo.tables.spreadsheet import read_spreadsheet
from tests.properties import REFUSED, answer, cells, columns, holds, lines, near, numbers, written

pytestmark = pytest.mark.slow

PIECES = [
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r\n",
    b'"',
    b"a",
    b"patient",
    b"1,5",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"sep=;\n",
    b"\xe4",
    b"\0",
    b"PK\3\4",
    b"PAR1",
    b"\x1f\x8b\x08\0\0\0\0\0",
    b"\x0b",
    b"#N/A",
]
contents = st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))


def csv_of(table, separator=",", encoding="utf-8"):
    names, rows = table
    return pd.DataFrame(rows, columns=names).to_csv(index=False, sep=separator).encode(encoding)


@holds(
    40,
    also=[{"content": b"\x1f\x8b\x08" + bytes(14), "name": "a.csv"}],
    content=contents,
    name=st.sampled_from(["a.csv", "a.gz", "a.xz", "a.xlsx"]),
)
def test_any_bytes_are_a_table_of_stripped_text_or_a_line(content, name):
    with written(content, name) as path:
        found = answer(read_spreadsheet, path)
    if found is not REFUSED:
        table = found.rows
        assert list(table) == list(dict.fromkeys(table)) and all(one == " ".join(one.split()) != "" for one in table)
        for column in table:
            told = table[column].dropna()
            assert (told == told.str.strip()).all() and (told != "").all()
        assert not table.isna().all(axis=1).any() or table.empty


plain = st.text(
    st.characters(categories=["L", "N", "P"], max_codepoint=255, exclude_characters='",;|'), min_size=1, max_size=6
)


@holds(
    20,
    rows=st.lists(st.tuples(plain, plain), min_size=1, max_size=4),
    way=st.sampled_from([",", ";", "\t", "|", "utf-16", "utf-8-sig", "xlsx", "parquet"]),
)
def test_a_table_is_the_same_in_every_form_in_which_it_is_saved(rows, way):
    assume(not any(one[0] in "=-+@" for row in rows for one in row))  # a formula of a workbook has no value here
    table, saved = pd.DataFrame(rows, columns=["patient", "path"]), io.BytesIO()
    if way == "xlsx":
        table.to_excel(saved, index=False)
    elif way == "parquet":
        table.to_parquet(saved, index=False)
    else:
        sep, encoding = (way, "utf-8") if len(way) == 1 else (",", way)
        saved.write(table.to_csv(index=False, sep=sep).encode(encoding))
    with written(saved.getvalue()) as path:
        found = read_spreadsheet(path).rows
    assert found.to_numpy().tolist() == table.to_numpy().tolist() and list(found.index) == list(range(2, len(rows) + 2))


@holds(40, words=st.lists(st.one_of(numbers, lines), min_size=1, max_size=4))
def test_words_are_finite_numbers_or_a_line(words):
    def refuse(wrong, why):
        if any(wrong):
            raise InputError(why)

    given = pd.Series(words, dtype="string").replace("", pd.NA)
    found = answer(to_numbers, given, "x", refuse, [])
    if found is not REFUSED:
        assert np.isfinite(found[given.notna().to_numpy()]).all() and np.isnan(found[given.isna().to_numpy()]).all()


@holds(30, ours=st.sampled_from([*WORDS, "density"]), words=st.lists(st.one_of(lines, cells), max_size=4))
def test_words_of_labels_and_sides_are_ours_or_not_known(ours, words):
    allowed = {*WORDS.get(ours, {}), "", None, *"ABCDFG"} if ours in ("density", "laterality") else None
    for word, meant in translations(ours, words).items():
        assert word in words and (allowed is None or meant in allowed)
        assert not meant or translations(ours, [meant])[meant] == meant  # ours are words of their own
    for word in words:
        pair = side_and_view(word)
        assert pair is None or pair[0] in ("left", "right")
    said = words_of(pd.Series(words, dtype="string")).dropna()
    assert list(words_of(said)) == list(said)


@holds(
    names=st.lists(
        st.one_of(lines, st.sampled_from([one for two in NAMES.values() for one in " ".join(two).split()])),
        unique=True,
        max_size=6,
    )
)
def test_each_column_is_taken_once(names):
    found = answer(recognise, "films.csv", names, {})
    assert found is REFUSED or (len(set(found.values())) == len(found) and set(found.values()) <= set(names))


@holds(names=st.lists(lines, unique=True, max_size=5))
def test_patients_that_are_alike_are_of_the_table_and_stay_so_with_blanks_and_capitals(names):
    assert all(set(group) <= set(names) and len(group) > 1 for group in alike(names))
    for one in names:
        assert alike([one, f" {one} "]) == [(one, f" {one} ")]


FINDINGS = columns(
    "dataset=d; image_id=a|b|NA|c; finding_id=0|1|2.0; path=a.pgm; patient=P|None; severity=benign||malignant; "
    "x_px=1.5; y_px=2; radius_px=|3; spacing_mm=0.2|; own=1|x; contour_px=|1,2 3,4 5,1; laterality=left|; "
    "official_split=train"
)


@holds(12, table=near(FINDINGS))
def test_a_findings_table_has_its_types_or_is_a_line(table):
    with written(csv_of(table)) as path:
        found = answer(known.read_findings, path)
    if found is not REFUSED:
        assert {one: str(found[one].dtype) for one in known.COLUMNS} == known.COLUMNS
        with written(b"", "again.csv") as path:
            write_table(found, path)
            again = known.read_findings(path)
        pd.testing.assert_frame_equal(again[list(known.COLUMNS)], found[list(known.COLUMNS)])


LAB = columns(
    "patient=P1|p1|2; side=L|right; view=MLO|cc; density=A|ACR b|3; finding=mass|; severity=benign|m|; "
    "split=train|; spacing=0.07|[0.1, 0.1]; contour=|(1,2) (3,4) (5,1)|[[1, 2], [7, 3], [4, 5]]; own=x|#REF!"
)
BOXED = LAB | columns("contour=; x0=1; y0=2; x1=4|9; y1=8; x=3; y=4; radius=2|")


@holds(
    12,
    table=st.one_of(near(LAB), near(BOXED)),
    apart=st.booleans(),
    rest=st.fixed_dictionaries(
        {},
        optional={
            "label_of": st.sampled_from(["breast", "patient"]),
            "origin": st.just("bottom"),
            "values": st.just({"severity": {"krank": "malignant"}}),
            "patient_from": st.sampled_from(["(P)", "(.)", "("]),
        },
    ),
)
def test_any_rows_of_a_laboratory_are_findings_or_a_line(table, apart, rest):
    names, rows = table
    content = b"P5\n9 8\n255\n" + bytes(range(72))
    with written(content, "P0.pgm") as film:
        for at in range(1, len(rows)):
            film.with_name(f"P{at}.pgm").write_bytes(content)
        given = pd.DataFrame(rows, columns=names).assign(path=[f"P{at // (1 + apart)}.pgm" for at in range(len(rows))])
        path = film.with_name("films.csv")
        given.to_csv(path, index=False)
        found = answer(lambda: Table(str(path), **rest).findings())
    if found is not REFUSED:
        assert set(found["laterality"].dropna()) <= {"left", "right"} and found["patient"].notna().all()
        assert set(found["severity"].dropna()) <= {"normal", "benign", "malignant"}
        placed = found.dropna(subset=BOX)
        assert ((placed["x0_px"] >= 0) & (placed["x1_px"] <= 9) & (placed["x0_px"] < placed["x1_px"])).all()
        assert ((placed["y0_px"] >= 0) & (placed["y1_px"] <= 8) & (placed["y0_px"] < placed["y1_px"])).all()


SPLIT = columns("image_id=a|b|1; patient=P|Q|; split=train|test|VAL; fold=0; n=9|; accuracy=97.77|88,8 %; auc=0.9")


@holds(20, table=near(SPLIT))
def test_a_split_and_a_table_of_claims_are_rows_or_a_line(table):
    with written(csv_of(table)) as path:
        rows, splits, claims = answer(read_split, path), answer(read_split_table, str(path)), answer(read_claims, path)
    assert rows is REFUSED or rows[0][["image_id", "split"]].notna().all(axis=None)
    assert splits is REFUSED or (set(splits) <= set(known.PARTS) and splits.index.is_unique)
    assert claims is REFUSED or len(claims[0]) == len(table[1])


PREDICTIONS = columns(
    "patient=P|Q|R|S; label=0|1; score=0.5|1|-2; image_id=a|b|c|d; patch=0; split=test|Test; head=svm; "
    "laterality=left|R; own="
)
SHARES = {name: of for name, of in PREDICTIONS.items() if name != "score"} | columns("p_0=0.2|1; p_1=0.8|0")


@holds(30, table=st.one_of(near(PREDICTIONS), near(SHARES)))
def test_predictions_of_others_are_numbers_of_known_classes_or_a_line(table):
    with written(csv_of(table)) as path:
        found = answer(read_external, path)
    if found is not REFUSED:
        assert set(found.table["label"]) <= set(found.classes) and len(found.classes) >= 2
        assert found.table["patient"].notna().all()
        shares = found.table[[f"p_{one}" for one in found.classes]].to_numpy(float)
        assert np.isnan(shares).all() or ((shares >= 0) & (shares <= 1)).all()


@holds(
    20,
    rows=st.lists(
        st.tuples(plain, st.booleans(), st.floats(0, 1, width=32), st.floats(-1e6, 1e6, width=32)),
        min_size=1,
        max_size=4,
    ),
)
def test_predictions_are_read_as_they_were_written(rows):
    said = pd.DataFrame(
        {
            "image_id": range(len(rows)),
            "finding_id": 0,
            "patch": 0,
            "copy": 0,
            "patient": [one[0] for one in rows],
            "split": "test",
            "label": [("normal", "abnormal")[one[1]] for one in rows],
        }
    )
    share, score = (np.array([one[at] for one in rows], np.float32) for at in (2, 3))
    made = head_table(said, "svm", score, np.stack([1 - share, share], 1), ["normal", "abnormal"], fold=None, seed=0)
    with written(b"", "predictions.csv") as path:
        write_table(made, path)
        found, classes = read_predictions(path, tested=True)
    assert classes == ["normal", "abnormal"] and list(found["patient"]) == list(said["patient"])
    assert np.array_equal(found["score"].to_numpy(np.float32), score)
    assert np.array_equal(found["p_abnormal"].to_numpy(np.float32), share)


@holds(20, content=contents)
def test_any_bytes_in_the_place_of_predictions_are_a_line(content):
    for name in ("predictions.csv", "predictions.csv.gz", "predictions.csv.xz"):
        with written(content, name) as path:
            assert answer(read_predictions, path) is REFUSED
