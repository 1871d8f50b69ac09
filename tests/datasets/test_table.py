"""A laboratory's own table becomes a findings table: what is known is said, everything else is asked for by row."""

import os
import re
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from mammo.api import settings_of
from mammo.config import Config, DataConfig
from mammo.datasets.label_words import resolved
from mammo.datasets.registry import DATASETS, open_dataset
from mammo.datasets.split import official_split
from mammo.datasets.table import Table
from mammo.errors import InputError
from mammo.tables.patients import mixed
from mammo.tables.spellings import recognise
from mammo.testing import check_dataset

HEIGHT, WIDTH = 60, 40
FILMS = [f"P{patient}_{side}_{view}.png" for patient in (1, 2) for side in "LR" for view in ("CC", "MLO")]


def picture(path, shape=(HEIGHT, WIDTH), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(1, 4096, shape).astype(np.uint16))


@pytest.fixture
def lab(tmp_path):
    """Eight films of two patients in the folder `films`, and a function that makes a data set of rows."""
    for seed, name in enumerate(FILMS):
        picture(tmp_path / "films" / name, seed=seed)

    def made(rows, name="films.csv", **settings):
        table = pd.DataFrame(rows)
        table.to_csv(tmp_path / name, sep=";", index=False, encoding="utf-8-sig")
        return Table(str(tmp_path / name), **settings)

    made.folder = tmp_path
    return made


def rows(count=2, **columns):
    """`count` rows: a path, a patient, and the columns that a test gives, as a list or one value for all."""
    given = {"path": [f"films/{name}" for name in FILMS[:count]], "patient": "P1"} | columns
    return pd.DataFrame(given, index=range(count))


def said(dataset, *words):
    dataset.findings()
    return any(all(word in note for word in words) for note in dataset.notes)


def test_a_labs_own_words_are_translated_and_said(lab):
    table = pd.DataFrame({
        "Datei": [f"films\\{name}" for name in FILMS],
        "Pat.-Nr.": ["007"] * 4 + ["NA"] * 4,
        "Seite": [name[3] for name in FILMS],
        "View": [f"{name[3]}-{name[5:-4]}" for name in FILMS],
        "Pathology": ["Gutartig", "MALIGNANT", "N", "BENIGN_WITHOUT_CALLBACK", "b", "M", "", "N/A"],
        "ACR": ["1", "B", "Level C", "DENSITY D", "2.0", "0", "5", ""],
        "split_group": ["Training", "trn", "train ", "dev", "validation", "Testing", "test", "TEST"],
        "Abstand": ["0,07"] * 8,
        "age": range(50, 58),
    })  # fmt: skip
    dataset = lab(table, columns={"patient": "pat-nr", "spacing": "Abstand"})
    found = dataset.findings()
    assert found["image_id"].tolist() == [name[:-4] for name in FILMS] and set(found["dataset"]) == {"films"}
    assert found["path"].tolist() == [str(lab.folder / "films" / name) for name in FILMS]
    assert found["patient"].tolist() == ["007"] * 4 + ["NA"] * 4
    assert found["laterality"].tolist() == ["left", "left", "right", "right"] * 2
    assert found["view"].tolist() == ["CC", "MLO"] * 4
    severity = ["benign", "malignant", "normal", "benign", "benign", "malignant", "", ""]
    assert found["severity"].fillna("").tolist() == severity
    assert found["finding_id"].tolist() == [1, 1, 0, 1, 1, 1, 0, 0]
    assert found["density"].fillna("").tolist() == ["A", "B", "C", "D", "B", "", "", ""]
    assert found["official_split"].tolist() == ["train"] * 3 + ["val"] * 2 + ["test"] * 3
    assert set(found["spacing_mm"]) == {0.07} and found["age"].tolist() == [str(age) for age in range(50, 58)]
    assert found["Pathology"][0] == "Gutartig"  # also as it was written, for a task of these words
    for words in (["Pat.-Nr. is patient", "Seite is laterality"], ["severity", "Gutartig is benign"], ["dev is val"],
                  ["density", "0 is missing"], ["kept", "age"], ["decimal commas"]):  # fmt: skip
        assert said(dataset, *words), words
    assert dataset.understood.translated["view"]["L-CC"] == "left CC" and "age" in dataset.understood.kept
    film = dataset.read("P1_L_CC")
    assert (film.laterality, film.view, film.spacing_mm) == ("left", "CC", 0.07) and film.pixels.dtype == np.uint16
    check_dataset(dataset)


@pytest.mark.parametrize(
    ("columns", "words", "expected"),
    [
        (["laterality"], ["L-MLO", "RCC"], [("left", "MLO"), ("right", "CC")]),
        (["view"], ["LMLO", "R_CC"], [("left", "MLO"), ("right", "CC")]),
        (["view"], ["CC L", "MLO_R"], [("left", "CC"), ("right", "MLO")]),
        (["laterality"], ["L MLO", "XCCL links"], [("left", "MLO"), ("left", "XCCL")]),
        (["view"], ["LM", "LML"], [("", "LM"), ("left", "ML")]),
        (["view"], ["Cranio-Caudal", "mlo"], [("", "CC"), ("", "MLO")]),
        (["laterality"], ["left breast", "Rechts"], [("left", ""), ("right", "")]),
        (["laterality"], ["U", "R"], [("", ""), ("right", "")]),
        (["laterality"], ["--", "R"], [("", ""), ("right", "")]),
    ],
)
def test_laterality_and_view_are_found_in_one_word_too(lab, columns, words, expected):
    found = lab(rows(**{columns[0]: words})).findings()
    assert list(zip(found["laterality"].fillna(""), found["view"].fillna(""), strict=True)) == expected


def test_a_label_of_any_words_is_kept_and_severity_is_not_guessed(lab):
    dataset = lab(rows(label=["krank", "gesund"], birads=["5", "1"], cancer=["1", "0"]))
    found = dataset.findings()
    assert found["severity"].isna().all() and found["label"].tolist() == ["krank", "gesund"]
    assert found["birads"].tolist() == ["5", "1"] and said(dataset, "label", "task.column=label")
    told = lab(rows(label=["krank", "gesund"]), values={"severity": {"krank": "malignant", "gesund": None}})
    assert told.findings()["severity"].fillna("").tolist() == ["malignant", ""]
    assert lab(rows(label=["cancer", "benign"])).findings()["severity"].tolist() == ["malignant", "benign"]
    assert lab(rows(tissue=["F", "D"])).findings()["density"].tolist() == ["F", "D"]


OWN = {  # words of a column, the meanings that the user gives to them, and what is found
    "opposite signs": ("severity", ["1", "-1"], {1: "malignant", -1: "normal"}, ["malignant", "normal"]),
    "signs alone": ("severity", ["+", "-"], {"+": "malignant", "-": "normal"}, ["malignant", "normal"]),
    "below and above": ("density", ["<50", "> 50"], {"<50": "A", ">50": "D"}, ["A", "D"]),
    "decimals": ("score", ["1.5", "15"], {"1.5": "low", "15": "high"}, ["low", "high"]),
    "capitals": ("score", ["k", "K"], {"k": "low", "K": "high"}, ["low", "high"]),
    "another spelling": ("severity", ["Krank.", "GE-SUND"], {"krank": "malignant", "gesund": "normal"},
                         ["malignant", "normal"]),
    "words for nothing": ("severity", ["None", "?"], {"none": "normal", "?": "benign"}, ["normal", "benign"]),
    "nothing": ("severity", ["none", "offen"], {"none": None, "offen": None}, ["", ""]),
    "a word of ours": ("severity", ["b", "m"], {"b": "malignant"}, ["malignant", "malignant"]),
    "a side and view": ("view", ["LML", "CC"], {"LML": "LM"}, ["LM", "CC"]),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_a_meaning_that_is_given_to_a_word_is_that_of_the_word_as_it_is_written(lab, name):
    column, words, given, found = OWN[name]
    dataset = lab(rows(**{column: words}), values={column: given})
    assert dataset.findings()[column].fillna("").tolist() == found
    assert found == ["", ""] or said(dataset, column, f"{words[0]} is {found[0]}")


UNUSED = {  # meanings for the columns Zustand (severity), Alter and Nr (patient); the beginning and the end of the note
    "misspelt": ({"Zustand": {"krnk": "benign"}}, ["**data.values.severity: ", "Zustand has the word krnk**"]),
    "own column": ({"alter": {"alt": "o", "jung": "y"}}, ["**data.values.Alter: ", "has the word alt, jung**"]),
    "of another table": ({"severity": {"b": "benign", "m": None}}, ["data.values.severity: ", "has the word m"]),
    "patients": ({"patient": {"P1": "P2"}}, ["**data.values.patient does nothing", "Nr is taken as written**"]),
    "all used": ({"ZUSTAND": {"B.": "benign", "n": "normal"}, "Alter": {"60": "old"}}, []),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSED)
def test_a_meaning_of_a_word_that_no_row_has_is_noted(lab, name):
    given, note = UNUSED[name]
    table = rows(2, Zustand=["b", "n"], Alter=[60, 40]).rename(columns={"patient": "Nr"})
    dataset = lab(table, columns={"patient": "Nr", "severity": "Zustand"}, values=given)
    assert dataset.findings()["severity"].tolist() == ["benign", "normal"]
    found = [one for one in dataset.notes if "data.values" in one]
    assert len(found) == bool(note) and all(one.startswith(note[0]) and one.endswith(note[1]) for one in found)


@pytest.mark.parametrize(
    "word", ["M+", "m -", "malignant?", "cancer-", "?benign", "(M)", "malignant*", "non-malignant"]
)
def test_a_word_beside_which_a_mark_stands_is_asked_for(lab, word):
    with pytest.raises(InputError, match=r"row 2: .*not known"):
        lab(rows(severity=[word, "benign"])).findings()
    with pytest.raises(InputError, match=r"row 3: .*not known: A\?"):  # two of these words would be one otherwise
        lab(rows(density=["A-", "A?"]), values={"density": {"A-": "B", "A": "A"}}).findings()
    assert lab(rows(label=[word, "benign"])).findings()["severity"].isna().all()  # it is no severity
    with pytest.raises(InputError, match=r"column label has words that are not known"):  # if it is named as one
        lab(rows(label=[word, "benign"]), columns={"severity": "label"}).findings()
    with pytest.raises(InputError, match=r"row 3: .*known: -;"):  # it is a word beside a +
        lab(rows(severity=["+", "-"]), values={"severity": {"+": "malignant"}}).findings()


@pytest.mark.parametrize("name", [FILMS[0].lower(), FILMS[0][:-4], f"D:\\x\\{FILMS[0][:-4]}.dcm"])
def test_a_film_that_is_there_under_almost_its_name_is_told(lab, name):
    near = f"{lab.folder / 'films' / FILMS[0]} is there: capitals, endings and folders count"
    settings = {"root": str(lab.folder / "films")}
    with pytest.raises(InputError, match=re.escape(near)):
        lab(rows(path=[name, name]), **settings).findings()
    assert said(lab(rows(path=[name, FILMS[1]]), **settings), near)
    assert not said(lab(rows(path=["gone.png", FILMS[1]]), **settings), "is there:")


def test_two_spellings_that_are_given_two_meanings_stay_apart(lab):
    given = {"severity": {"k o": "malignant", "k.o": "normal"}}
    assert lab(rows(severity=["k o", "K.O"]), values=given).findings()["severity"].tolist() == ["malignant", "normal"]
    with pytest.raises(InputError, match=r"row 3: .*ko"):
        lab(rows(severity=["k o", "ko"]), values=given).findings()
    with pytest.raises(InputError, match=r"data\.values\.label\.ill"):
        lab(rows(label=["ill", "b"]), values={"severity": {"ill": "benign"}, "label": {"ill": "normal"}})


def test_the_patient_is_found_in_the_path(lab):
    table = rows(8).drop(columns="patient")
    for pattern in (r"(P\d+)_", r"films/(?P<patient>P\d)_(L|R)", r"P(\d)"):
        found = lab(table, patient_from=pattern).findings()
        assert found["patient"].nunique() == 2
    with pytest.raises(InputError, match=r"films\.csv: rows 2, 3, 4 and 5 more: .*data\.patient_from"):
        lab(table, patient_from=r"(Q\d)").findings()
    with pytest.raises(InputError, match=r"rows 2, 3, 4 and 5 more: .*finds no patient"):
        lab(table, patient_from=r"(z*)P").findings()
    for pattern, why in ((r"P\d", "brackets"), (r"(P", "regular expression")):
        with pytest.raises(InputError, match=rf"data\.patient_from.*{why}"):
            lab(table, patient_from=pattern)


def test_patients_whose_names_are_alike_are_named_and_not_merged(lab):
    names = ["7", "007", "p2", "P2", "0998a", "0998b", "22678622.0", " x "]
    dataset = lab(rows(8, patient=names))
    assert dataset.findings()["patient"].tolist() == ["7", "007", "p2", "P2", "0998a", "0998b", "22678622", "x"]
    assert dataset.understood.alike == [("7", "007"), ("p2", "P2"), ("0998a", "0998b")]
    assert said(dataset, "3 patients", "rows 2 and 3") and "p2 and P2" in dataset.understood.doubts()[1]


def test_no_note_or_error_spells_a_patient(lab):
    table = rows(3, patient=["Maria Muster", "maria muster", "Eva Muster"], severity=["malignant", "", "benign"])
    dataset = lab(table, label_of="patient")
    dataset.findings()
    assert not any("muster" in note.casefold() for note in dataset.notes)
    for wrong in (table.assign(severity=["normal", "", "benign"], patient="Muster"),
                  table.assign(path=f"films/{FILMS[0]}"), table.assign(image_id="a")):  # fmt: skip
        with pytest.raises(InputError) as error:
            lab(wrong, label_of="patient").findings()
        assert "muster" not in str(error.value).casefold()


def test_paths_are_found_as_people_write_them(lab, monkeypatch):
    monkeypatch.setenv("HOME", str(lab.folder))
    (lab.folder / "films" / FILMS[3]).rename(lab.folder / "films" / FILMS[3].replace("png", "PNG"))
    (lab.folder / "with blank").mkdir()
    picture(lab.folder / "with blank" / "a b.png")
    names = [f"films/{FILMS[0]}", f".\\films\\{FILMS[1]}", str(lab.folder / "films" / FILMS[2]), f"films/{FILMS[3]}",
             f"~/films/{FILMS[4]}", "with blank/a b.png", "films/none.png", f"films/{FILMS[7]}"]  # fmt: skip
    dataset = lab(rows(8, path=names))
    found = dataset.findings()
    assert [Path(path).is_file() for path in found["path"]] == [True] * 6 + [False, True]
    assert dataset.understood.missing == [str(lab.folder / "films" / "none.png")]
    assert said(dataset, "1 of 8 films", "row 8")
    assert dataset.digest("none") is None and dataset.digest("a b") == dataset.digest("a b")
    with pytest.raises(InputError, match=r"none\.png"):
        dataset.read("none")
    elsewhere = lab(rows(2, path=FILMS[:2]), root=str(lab.folder / "films"))
    assert elsewhere.findings()["image_id"].tolist() == [FILMS[0][:-4], FILMS[1][:-4]]
    with pytest.raises(InputError, match=r"none of its 2 films.*data\.root"):
        lab(rows(2, path=["a.png", "b.png"])).findings()


def test_names_of_images_are_the_stems_or_else_the_paths(lab):
    for folder in ("a", "b"):
        picture(lab.folder / "films" / folder / "000000.png", seed=ord(folder))
    table = rows(2, path=["films/a/000000.png", "films/b/000000.png"])
    assert lab(table).findings()["image_id"].tolist() == ["a_000000", "b_000000"]
    uids = ["1.2.840.1.1", "1.2.840.1.2"]
    assert lab(table.assign(ImageID=uids)).findings()["image_id"].tolist() == uids


def test_findings_of_a_film_are_numbered_and_copies_of_rows_are_left_out(lab):
    name = f"films/{FILMS[0]}"
    table = rows(4, path=[name, name, name, f"films/{FILMS[1]}"], x=[3, 9, 9, ""], y=[4, 8, 8, ""],
                 radius=[2, 3, 3, ""], pixel_spacing=["0.07\\0.07", "", "", ""],
                 finding=["Mass", "cyst", "cyst", "normal"])  # fmt: skip
    dataset = lab(table)
    found = dataset.findings()
    assert found["finding_id"].tolist() == [1, 2, 0] and found["finding"].tolist() == ["MASS", "cyst", "NORM"]
    assert found["spacing_mm"].tolist()[:2] == [0.07, 0.07] and pd.isna(found["spacing_mm"][2])
    assert said(dataset, "1 row is an exact copy")


PLACES = {
    "circle": ({"x": "10", "y": "20", "radius": "5"}, [10, 20, 5]),
    "box": ({"xmin": "10", "ymin": "20", "xmax": "14", "ymax": "30"}, [12, 25, 5]),
    "corners": ({"x1": "10", "y1": "20", "x2": "14", "y2": "30"}, [12, 25, 5]),
    "contour": ({"contour": "[[10, 20], [20, 20], [20, 30], [10, 30]]"}, [15, 25, 50**0.5]),
    "contour with points": ({"contour": "10.0,20 20.,20 20,30 10,.3e2"}, [15, 25, 50**0.5]),
    "contour in words": ({"contour": "10 20 20 20 20 30 10 30"}, [15, 25, 50**0.5]),
}


@pytest.mark.parametrize("kind", PLACES)
def test_places_are_those_of_the_table_whatever_gives_them(lab, kind):
    from mammo.datasets.geometry import geometry

    columns, expected = PLACES[kind]
    place = geometry(lab(rows(2, **columns)).findings().iloc[0])
    assert [place.x_px, place.y_px, place.radius_px] == pytest.approx(expected, abs=1e-3)
    below = geometry(lab(rows(2, **columns), origin="bottom").findings().iloc[0])
    last = HEIGHT if "xmin" in columns or "x1" in columns else HEIGHT - 1  # a box has edges, a point is a pixel
    assert [below.x_px, below.y_px] == pytest.approx([expected[0], last - expected[1]], abs=1e-3)
    for one in (place, below):  # a contour is turned with its circle, so its own shape lies where that says
        x, y = np.reshape(one.contour, (-1, 2)).T if one.contour else ([one.x_px], [one.y_px])
        assert [(min(x) + max(x)) / 2, (min(y) + max(y)) / 2] == pytest.approx([one.x_px, one.y_px], abs=1e-3)
    assert bool(place.contour) == kind.startswith("contour")
    if below.contour:  # its box lies around the line that was turned
        x, y = np.reshape(below.contour, (-1, 2)).T
        assert below.box == pytest.approx((min(x), min(y), max(x), max(y)), abs=1e-2)


DECIMALS = {
    "commas of other lengths": (["12,500", "13,25"], ["10,125", "9,125"], [12.5, 13.25]),
    "commas below one": (["12,500", "13,250"], ["0,125", "9,125"], [12.5, 13.25]),
    "points in all": (["12.500", "13.125"], ["10", "9"], [12.5, 13.125]),
    "points of another length elsewhere": (["12.500", "13"], ["10.5", "9"], [12.5, 13]),
    "many decimals": (["12.123456", "13"], ["10", "9"], [12.123456, 13]),
}


@pytest.mark.parametrize("name", DECIMALS)
def test_true_decimals_of_pixels_are_read(lab, name):
    x, y, found = DECIMALS[name]
    assert lab(rows(x=x, y=y, spacing="0,070")).findings()["x_px"].tolist() == found


def mask(path, shape, box):
    pixels = np.zeros(shape, np.uint8)
    pixels[box[1] : box[3], box[0] : box[2]] = 255
    cv2.imwrite(str(path), pixels)


def test_a_mask_of_another_size_leaves_its_scaled_box_or_nothing(lab):
    mask(lab.folder / "same.png", (60, 40), (4, 6, 10, 12))
    mask(lab.folder / "half.png", (30, 20), (2, 3, 5, 6))
    mask(lab.folder / "other.png", (56, 40), (4, 6, 10, 12))
    dataset = lab(rows(3, mask=["same.png", "half.png", "other.png"]))
    found = dataset.findings()
    assert found["mask_path"].notna().tolist() == [True, False, False]
    assert found.loc[1, ["x0_px", "y0_px", "x1_px", "y1_px"]].tolist() == [4, 6, 10, 12]
    assert found["finding_id"].tolist() == [1, 1, 0]
    assert said(dataset, "1 mask has", "row", "3", "scaled") and said(dataset, "1 mask has", "4", "not used")
    check_dataset(dataset)


def test_labels_are_carried_only_where_they_describe_a_breast_or_patient(lab):
    table = rows(4, laterality=["L", "L", "R", ""], severity=["malignant", "", "normal", ""], Befund=["a", "", "b", ""])
    found = lab(table).findings()
    assert found["severity"].fillna("").tolist() == ["malignant", "", "normal", ""]
    dataset = lab(table, label_of="breast", label_columns=["Befund"])
    found = dataset.findings()
    assert found["severity"].fillna("").tolist() == ["malignant", "malignant", "normal", ""]
    assert found["Befund"].fillna("").tolist() == ["a", "a", "b", ""] and found["finding_id"].tolist() == [1, 1, 0, 0]
    assert said(dataset, "breasts", "1 image carries") and said(dataset, "not carried to 1 image")
    found = lab(table[:2], label_of="patient").findings()
    assert found["severity"].tolist() == ["malignant"] * 2 and found["severity_source"].fillna("").tolist() == [
        "", "patient_label"]  # fmt: skip
    exams = table[:2].assign(severity=["malignant", "normal"], study=["2019", "2021"])  # a breast may become ill
    assert lab(exams, label_of="breast").findings()["severity"].tolist() == ["malignant", "normal"]
    with pytest.raises(InputError, match=r"row 4: severity .*same patient"):
        lab(table, label_of="patient").findings()


def test_visits_of_one_patient_and_patients_that_look_like_dates_are_told_without_a_name(lab):
    rows = {"path": [f"films/{name}" for name in FILMS[:4]], "patient": ["P1_2019", "P1_2021", "1-Mar", "7"]}
    found = lab(rows)
    assert said(found, "1 patient is spelt in several", "rows 2 and 3") and said(found, "1 patient looks", "row 4")
    assert found.understood.alike == [("P1_2019", "P1_2021")] and not said(found, "Mar")


WRONG = {
    "path of nothing": ({"path": ["", f"films/{FILMS[1]}"]}, "row 2: .*path"),
    "folder": ({"path": ["films", f"films/{FILMS[1]}"]}, "row 2: .*folder"),
    "no patient": ({"patient": ["P1", ""]}, "row 3: .*patient"),
    "a word for no patient": ({"patient": ["Unknown", "P1"]}, "row 2: .*patient is Unknown, .*give each row"),
    "marks for no patient": ({"patient": ["-", "N/A"]}, "rows 2, 3: .*patient is -, N/A,"),
    "rounded patient": ({"patient": ["P1", "2.27E+07"]}, "row 3: patient .*rounded"),
    "rounded to one digit": ({"patient": ["P1", "1E+17"]}, "row 3: patient .*rounded"),
    "marks of thousands": ({"xmin": ["1,520", "1,530"], "ymin": "1,100", "xmax": "2,034", "ymax": "2,100"},
                           "rows 2, 3: xmin is 1,520, .*1520 or 1.520"),
    "thousands with points": ({"x": ["1.020", "200"], "y": "5"}, r"row 2: x is 1\.020, .*1020 or 1\.0200"),
    "a finding that is normal": ({"finding": "mass", "severity": ["benign", "normal"]}, "row 3: .*severity is normal"),
    "a finding of answers": ({"finding": ["1", "0"]}, r"row 3: .*known: 0; .*data\.values\.finding\.0="),
    "formula": ({"patient": ["#REF!", "P1"]}, "row 2: .*formula"),
    "side": ({"side": ["oben", "L"]}, r"row 2: column side .*oben; .*data\.values\.laterality\.oben="),
    "severity": ({"pathology": ["krank", "B"]}, r"row 2: .*data\.values\.severity\.krank="),
    "severity in signs": ({"severity": ["+", "-"]}, r"rows 2, 3: .*known: \+, -;"),
    "a sign beside an empty cell": ({"severity": ["+", ""]}, r"row 2: .*known: \+; .*data\.values\.severity"),
    "severity in numbers": ({"severity": ["0", "1"]}, r"rows 2, 3: .*data\.values\.severity\.0="),
    "split": ({"split": ["fold1", "test"]}, r"row 2: .*data\.values\.split\.fold1="),
    "density": ({"density": ["fatty", "A"]}, r"row 2: .*data\.values\.density\.fatty="),
    "sides": ({"side": ["L", "L"], "view": ["RCC", "LCC"]}, "row 2: column view .*column side"),
    "one film, two patients": ({"path": f"films/{FILMS[0]}", "patient": ["a", "b"]}, "row 3: patient"),
    "one film, two views": ({"path": f"films/{FILMS[0]}", "view": ["CC", "ML"]}, "row 3: view"),
    "one name, two films": ({"image_id": "a"}, "rows 2, 3: .*image_id"),
    "a name is missing": ({"image_id": ["a", ""]}, "row 3: .*image_id"),
    "normal and not": ({"path": f"films/{FILMS[0]}", "severity": ["normal", "benign"]}, "row 2: .*no finding"),
    "normal with a place": ({"severity": "normal", "x": [3, ""], "y": [4, ""]}, "row 2: .*normal"),
    "x in words": ({"x": ["far", ""], "y": [1, ""]}, "row 2: x is far"),
    "half a point": ({"x": [3, ""], "y": ""}, "row 2: .*missing"),
    "point outside": ({"x": [40, ""], "y": [4, ""]}, "row 2: the point .*40 x 60.*origin"),
    "negative": ({"x": [-1, ""], "y": [4, ""]}, "row 2: the point"),
    "box outside": ({"xmin": 1, "ymin": 1, "xmax": [9, 41], "ymax": 9}, "row 3: the box .*40 x 60"),
    "box turned": ({"xmin": 1, "ymin": [1, 9], "xmax": 9, "ymax": [9, 1]}, "row 3: the box"),
    "radius": ({"x": 1, "y": 1, "radius": [0, 3]}, "row 2: radius"),
    "oblong pixels": ({"spacing": ["0.07\\0.08", ""]}, "row 2: .*square"),
    "points in fractions": ({"x": ["0.4", "1"], "y": ["0.5", "0.9"]}, "rows 2, 3: .*fractions"),
    "boxes in fractions": ({"xmin": ["0", ""], "ymin": ["0.1", ""], "xmax": ["1", ""], "ymax": ["0.9", ""]},
                           "row 2: .*fractions"),
    "a radius beyond the film": ({"x": ["5", "5"], "y": ["5", "5"], "radius": ["21", "20"]}, "row 2: .*radius"),
    "spacing in micrometres": ({"spacing": ["70", "0.07"]}, "row 2: spacing"),
    "contour": ({"contour": ["1 2 3 4 5", ""]}, "row 2: contour"),
    "contour of several lines": ({"contour": ["", "[[[1,2],[3,4],[5,1]],[[7,8],[9,9],[8,7]]]"]},
                                 r"row 3: contour has several lines.*write \[\[60, 100\]"),
    "contour without an area": ({"contour": ["", "[[1, 2], [3, 2], [9, 2]]"]}, "row 3: the contour has no area"),
    "contour along a line": ({"contour": ["", "[[1, 2], [3, 4], [9, 10]]"]}, "row 3: the contour has no area"),
    "contour of two loops": ({"contour": ["", "9 9 29 29 29 9 9 29"]}, "row 3: contour crosses itself"),
    "contour drawn twice": ({"contour": ["", "1 1 21 1 21 21 1 21 " * 2]}, "row 3: contour crosses itself"),
    "contour and circle": ({"contour": "1 2 3 4 5 1", "x": ["", 3], "y": ["", 4]}, "row 3: contour and a circle"),
    "contour with decimal commas": ({"contour": ["", "1,5 2,5 3,5 4,5 5,5 6,5"]}, "row 3: contour .*decimal"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("largest", "films", "side", "said"),
    [(100, 3, 600, "per cent"), (101, 3, 600, None), (100, 2, 600, None), (100, 3, None, None)],
)
def test_boxes_in_per_cent_of_large_films_are_refused(lab, monkeypatch, largest, films, side, said):
    from mammo.datasets import table as module
    from mammo.formats.header import Header

    def headers(paths):
        return [Header(str(one), "PNG", 800 if side else None, side, 12, 0.1) for one in paths]

    monkeypatch.setattr(module, "read_headers", headers)
    table = lab(rows(films, xmin=10, ymin=20, xmax=50, ymax=largest))
    if said is None:
        assert table.findings()["x1_px"].notna().all()
        return
    with pytest.raises(InputError, match=rf"rows 2, 3, 4: all boxes .*{said}.*times its width"):
        table.findings()


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_used_is_refused_by_its_row(lab, name):
    columns, named = WRONG[name]
    with pytest.raises(InputError, match=rf"films\.csv: {named}") as error:
        lab(rows(2, **columns)).findings()
    assert "\n" not in str(error.value)


SETTINGS = {
    "no path": ({"place": "a", "patient": "b"}, {}, "data.columns.path="),
    "no patient": ({"path": "a", "woman": "b"}, {}, "data.columns.patient=.*data.patient_from"),
    "two patients": ({"path": "a", "patient": "b", "PatientID": "c"}, {}, "data.columns.patient=patient or "),
    "corner or centre, in short": ({"path": "a", "patient": "b", "x": 1, "y": 1, "w": 3, "h": 3}, {}, "corner"),
    "corner or centre of a box": ({"path": "a", "patient": "b", "x": 1, "y": 1, "box_w": 3, "box_h": 3}, {}, "corner"),
    "corner or centre in German": ({"path": "a", "patient": "b", "x": 1, "y": 1, "Breite": 3, "Höhe": 3}, {}, "corner"),
    "corner or centre": ({"path": "a", "patient": "b", "x": 1, "y": 1, "width": 3, "height": 3}, {}, "corner"),
    "a case or a patient": ({"path": "a", "case_id": "1", "patient_name": "x"}, {},
                            "data.columns.patient=case_id or data.columns.patient=patient_name"),
    "no such column": ({"path": "a", "patient": "b"}, {"columns": {"exam": "Exma"}}, "data.columns.exam=Exma"),
    "no such name": ({"path": "a", "patient": "b"}, {"columns": {"woman": "patient"}}, "data.columns.woman"),
    "no such place": ({"path": "a", "patient": "b"}, {"root": "/nowhere"}, "data.root=/nowhere"),
    "columns in a word": ({"path": "a", "patient": "b"}, {"columns": "patient"}, "data.columns=patient"),
    "values": ({"path": "a", "patient": "b"}, {"values": {"severity": {"krank": "malignant"}}}, "data.values.severity"),
    "values of no meaning": ({"path": "a", "patient": "b", "severity": "foo"},
                             {"values": {"severity": {"foo": "ill"}}}, r"data\.values\.severity\.foo=ill: .*malignant"),
    "values in a mapping": ({"path": "a", "patient": "b", "Ort": "x"},
                            {"values": {"Ort": {"x": {"y": "z"}}}}, r"data\.values\.Ort\.x="),
    "label_of": ({"path": "a", "patient": "b"}, {"label_of": "exam"}, "data.label_of=exam"),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_not_known_is_asked_for_before_a_film_is_looked_for(lab, name):
    row, settings, named = SETTINGS[name]
    with pytest.raises(InputError, match=named) as error:
        lab([row], **settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("names", [("image_width", "image_height"), ("view", "path_h"), ("patient_height", "w")])
def test_a_size_that_is_none_of_a_box_leaves_points(lab, names):
    found = lab(rows(2, x=5, y=6, **dict.fromkeys(names, "3"))).findings()
    assert found["x_px"].tolist() == [5, 5] and found["radius_px"].isna().all()


def test_a_column_that_is_recognised_may_be_left_out(lab):
    found = lab(rows(2, split=["0", "1"]), columns={"split": None}).findings()
    assert found["official_split"].isna().all() and found["split"].tolist() == ["0", "1"]


def test_a_sure_name_goes_before_a_likely_one():
    found = ["file_path", "image", "case", "patient_id", "label", "pathology", "x1", "y1", "x2", "y2", "exam_id"]
    assert recognise("t", found, {}) == {
        "path": "file_path", "patient": "patient_id", "severity": "pathology", "exam": "exam_id", "x0_px": "x1",
        "y0_px": "y1", "x1_px": "x2", "y1_px": "y2",
    }  # fmt: skip
    assert recognise("t", ["filename", "case", "patient"], {"patient": "case"}) == {
        "path": "filename",
        "patient": "case",
    }


def test_header_facts_fill_what_the_table_lacks_and_the_table_counts(lab, monkeypatch):
    from mammo.datasets import table as module
    from mammo.formats.header import Header

    def headers(paths, remember=True):
        return [Header(str(path), "DICOM", HEIGHT, WIDTH, 12, 0.1, "left", "CC", exam="1.2") for path in paths]

    monkeypatch.setattr(module, "read_headers", headers)
    dataset = lab(rows(2, laterality=["R", ""]))
    found = dataset.findings()
    assert found["laterality"].tolist() == ["right", "left"] and found["view"].tolist() == ["CC", "CC"]
    assert found["spacing_mm"].tolist() == [0.1, 0.1] and found["exam"].tolist() == ["1.2", "1.2"]
    assert said(dataset, "laterality of 1 image is taken") and said(dataset, "laterality of 1 image differs")
    assert dataset.understood.disagreements == {"laterality": [FILMS[0][:-4]]}


@pytest.mark.parametrize(("spacing", "noted", "far"), [("0.1", 0, 0), ("0.0997", 0, 0), ("0.103", 1, 0), ("0.7", 1, 1)])
def test_a_spacing_that_headers_contradict_is_noted_and_far_from_them_a_fault(lab, monkeypatch, spacing, noted, far):
    from mammo.auditing.check import check
    from mammo.datasets import table as module
    from mammo.formats.header import Header

    monkeypatch.setattr(
        module, "read_headers", lambda paths: [Header(str(one), "PNG", HEIGHT, WIDTH, 12, 0.1) for one in paths]
    )
    dataset = lab(rows(2, spacing=[spacing, ""]))
    assert said(dataset, "spacing_mm of 1 image differs", FILMS[0][:-4]) == bool(noted)
    faults = [one for one in check(dataset, dataset.findings(), []).faults if "spacing" in one]
    assert len(faults) == far and all("0.7 mm" in one and "0.1 mm" in one for one in faults)


def test_a_file_that_is_listed_twice_or_is_no_film_is_said(lab):
    (lab.folder / "films" / "hard.png").hardlink_to(lab.folder / "films" / FILMS[0])
    (lab.folder / "films" / "soft.png").symlink_to(lab.folder / "films" / FILMS[0])
    (lab.folder / "films" / "text.png").write_text("none")
    dataset = lab(rows(4, path=[f"films/{FILMS[0]}", "films/soft.png", "films/hard.png", "films/text.png"]))
    assert said(dataset, "1 of 4 films cannot be used")
    assert dataset.understood.listed_twice == [(FILMS[0][:-4], "soft", "hard")]
    paths = [f"films/{FILMS[1]}", f"films/{FILMS[0]}", "films/soft.png"]
    with pytest.raises(InputError, match=r"rows 3, 4: .*another path, for another patient"):
        lab(rows(3, path=paths, patient=["a", "a", "b"])).findings()


def test_a_digest_follows_the_file_and_all_that_decides_how_it_is_read(lab):
    made = [lab(rows(2)), lab(rows(2), voi="none"), lab(rows(2, laterality="L")), lab(rows(2, laterality="R"))]
    digests = [dataset.digest(name[:-4]) for dataset in made for name in FILMS[:2]]
    picture(lab.folder / "films" / FILMS[0], seed=99)
    digests.append(made[0].digest(FILMS[0][:-4]))
    path = lab.folder / "films" / FILMS[0]
    facts, content = path.stat(), bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)  # a film of the same size, with the time of the first one, as `cp -p` gives
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert len({*digests, made[0].digest(FILMS[0][:-4])}) == 10


def test_the_settings_of_a_table_make_it_again(lab):
    dataset = lab(rows(2, Nr=["1", "2"]), columns={"patient": "Nr"}, values={"Nr": {"x": "y"}}, label_of="breast")
    settings = settings_of(dataset, DATASETS, "films")
    assert settings["name"] == "table" and settings["columns"] == {"patient": "Nr"}
    again = open_dataset(Config.of({"data": settings}).data)
    assert isinstance(again, Table) and again.findings().equals(dataset.findings())
    with pytest.raises(InputError, match=r"data\.table"):
        open_dataset(DataConfig(name="table"))


def test_a_film_that_is_named_by_a_relative_and_an_absolute_path_is_one_film(lab, monkeypatch):
    monkeypatch.chdir(lab.folder)
    path = [f"films/{FILMS[0]}", str(lab.folder / "films" / FILMS[1]), f"films/{FILMS[2]}"]
    rows(3, path=path).to_csv("own.csv", index=False)
    assert Table("own.csv").findings()["image_id"].tolist() == [name[:-4] for name in FILMS[:3]]
    two = rows(2, path=[f"films/{FILMS[0]}", str(lab.folder / "films" / FILMS[0])], Befund=["a", "b"])
    two.to_csv("own.csv", index=False)
    assert Table("own.csv").findings()["image_id"].nunique() == 1


def test_places_from_below_are_left_out_where_the_height_of_the_film_is_unknown(lab):
    (lab.folder / "films" / "text.png").write_text("none")
    table = rows(4, path=[f"films/{FILMS[0]}", "films/text.png", "films/none.png", "films/none.png"],
                 x=[3, 4, 5, 6], y=10, radius=2)  # fmt: skip
    dataset = lab(table, origin="bottom")
    found = dataset.findings()
    assert found["y_px"].fillna(-1).tolist() == [HEIGHT - 1 - 10, -1, -1, -1] and found["x_px"].notna().sum() == 1
    assert said(dataset, "3 places", "row 3", "data.origin=bottom")


def test_one_bad_mask_loses_its_place_and_stops_nothing(lab):
    mask(lab.folder / "good.png", (60, 40), (4, 6, 10, 12))
    mask(lab.folder / "empty.png", (30, 20), (0, 0, 0, 0))
    (lab.folder / "text.png").write_text("none")
    path = [f"films/{FILMS[at]}" for at in (0, 1, 2, 3, 3)]
    dataset = lab(rows(5, path=path, mask=["good.png", "none.png", "text.png", "empty.png", "none.png"]))
    found = dataset.findings()
    assert found["mask_path"].notna().tolist() == [True] + [False] * 4 and found["x0_px"].isna().all()
    assert said(dataset, "4 masks", "row 3", "none.png")


def test_a_scaled_mask_and_one_of_the_size_of_its_film_have_the_same_box(lab):
    from mammo.datasets.geometry import geometry

    mask(lab.folder / "same.png", (60, 40), (4, 6, 10, 12))
    mask(lab.folder / "half.png", (30, 20), (2, 3, 5, 6))
    found = lab(rows(2, mask=["same.png", "half.png"])).findings()
    assert geometry(found.iloc[0]).box == geometry(found.iloc[1]).box == (4, 6, 10, 12)


def test_rows_of_a_film_that_differ_in_a_word_are_two_findings(lab):
    found = lab(rows(3, path=[f"films/{FILMS[at]}" for at in (0, 0, 1)], Befund=["krank", "gesund", "gesund"]))
    assert found.findings()["finding_id"].tolist() == [1, 2, 0]


def test_a_column_that_only_answers_is_no_finding(lab):
    dataset = lab(rows(3, lesion=["1", "0", "yes"]))
    found = dataset.findings()
    assert found["finding"].isna().all() and not found["finding_id"].any() and found["lesion"][1] == "0"
    assert said(dataset, "lesion (0, 1, yes) names no finding", "task.column=lesion")
    table = rows(2, finding=["1", "0"])
    assert lab(table, values={"finding": {"0": "NORM"}}).findings()["finding_id"].tolist() == [1, 0]
    assert lab(rows(lesion=["mass", "0"]), values={"finding": {"0": "NORM"}}).findings()["finding"][1] == "NORM"


def test_findings_and_severities_that_disagree_are_told_where_both_may_be_true(lab):
    dataset = lab(rows(finding=["none", "mass"], severity=["malignant", ""]))
    assert said(dataset, "there is no finding, row 2", "data.label_of")
    assert said(lab(rows(finding=["clip", "mass"], severity=["normal", ""])), "there is a finding, row 2")
    table = rows(3, laterality=["L", "L", "R"], finding=["none", "mass", "calc"], severity=["malignant", "", "normal"])
    dataset = lab(table, label_of="breast")
    assert dataset.findings()["severity"].tolist() == ["malignant", "malignant", "normal"]
    assert said(dataset, "there is a finding, row 4") and not said(dataset, "there is no finding")


def test_labels_that_are_not_carried_for_want_of_an_exam_are_told(lab):
    table = rows(4, laterality=["L", "L", "R", "R"], exam=["1", "", "1", "1"], severity=["malignant", "", "normal", ""])
    dataset = lab(table, label_of="breast")
    assert dataset.findings()["severity"].fillna("").tolist() == ["malignant", "", "normal", "normal"]
    assert said(dataset, "1 image has no exam, row 3")
    assert not said(lab(table.assign(exam=""), label_of="breast"), "no exam")


def test_none_in_a_column_of_findings_is_no_finding(lab):
    found = lab(rows(2, finding=["none", "mass"], view=["none", "CC"])).findings()
    assert found["finding"].tolist() == ["NORM", "MASS"] and found["finding_id"].tolist() == [0, 1]
    assert pd.isna(found["view"][0])


def test_the_column_of_the_task_is_carried_and_may_differ_within_a_breast(lab):
    table = rows(4, laterality=["L", "L", "R", "R"], Befund=["krank", "-", "gesund", ""],
                 severity=["malignant", "", "", ""], Alter=["50", "", "51", ""])  # fmt: skip
    dataset = lab(table, label_of="breast")
    assert dataset.findings()["Befund"].fillna("").tolist() == ["krank", "-", "gesund", ""]
    notes = list(dataset.notes)
    dataset.carry("Befund")
    found = dataset.findings()
    assert found["Befund"].tolist() == ["krank", "krank", "gesund", "gesund"] and found["Alter"].isna().sum() == 2
    assert len(dataset.notes) == len(notes)
    both = rows(3, path=[f"films/{FILMS[at]}" for at in (0, 0, 1)], laterality="L", Befund=["a", "b", ""],
                severity=["malignant", "benign", ""])  # fmt: skip
    dataset = lab(both, label_of="breast")
    dataset.carry("Befund")
    assert dataset.findings()["severity"].tolist() == ["malignant", "benign", "malignant"]
    assert dataset.findings()["Befund"].fillna("").tolist() == ["a", "b", ""] and said(dataset, "Befund", "1 image")
    with pytest.raises(InputError, match="row 3: Befund"):
        lab(both, label_of="breast", label_columns=["Befund"]).findings()


def test_a_run_carries_the_column_of_its_task(lab):
    from mammo.training.prepare import choose

    dataset = lab(rows(4, laterality=["L", "L", "R", "R"], Befund=["krank", "", "gesund", ""]), label_of="breast")
    config = Config.of({"task": {"name": "label", "column": "Befund", "classes": None, "positive": ["krank"]}})
    assert choose(dataset, config)[1].findings["Befund"].notna().all()


def test_exams_of_headers_are_not_mixed_with_those_of_the_table(lab, monkeypatch):
    from mammo.datasets import table as module
    from mammo.formats.header import Header

    def headers(paths, remember=True):
        return [Header(str(path), "DICOM", HEIGHT, WIDTH, 12, 0.1, "left", "CC", exam="1.2") for path in paths]

    monkeypatch.setattr(module, "read_headers", headers)
    found = lab(rows(3, patient=["a", "a", "b"], exam=["E1", "", ""])).findings()
    assert found["exam"].fillna("").tolist() == ["E1", "", "1.2"]


EXAMS = {
    "one date in two forms": (["2020-01-02", "02.01.2020"], True),
    "a date and a time": (["20200102", "2020-01-02 00:00:00"], True),
    "a day and a month that may be exchanged": (["2020-02-01", "02/01/2020"], True),
    "capitals and zeros": (["E01", "e1"], True),
    "two dates": (["02/01/2020", "01/02/2020"], False),
    "two times": (["2020-01-02 10:30", "2020-01-02 11:30"], False),
    "two numbers": (["1.2.3", "1.2.30"], False),
}


@pytest.mark.parametrize("name", EXAMS)
def test_exams_that_may_be_one_are_told_and_not_merged(lab, name):
    exams, doubted = EXAMS[name]
    dataset = lab(rows(3, exam=[*exams, exams[0]]))
    assert dataset.findings()["exam"].nunique() == 2 and said(dataset, "exams of 1 patient", "rows 2, 3") == doubted
    assert not said(lab(rows(2, exam=exams, patient=["P1", "P2"])), "exams of")


@pytest.mark.parametrize(
    ("ids", "lines", "note"),
    [
        ("AAAABBBB", [], False),
        ("AAAAAAAA", [], True),  # anonymised
        ("12345678", [], True),  # names of images
        ("A   B   ", [], False),
    ],
)
def test_patient_ids_of_headers_that_fit_no_patient_are_a_note(lab, ids, lines, note):
    table, told = pd.Series(["P1"] * 4 + ["P2"] * 4), pd.Series([None if one == " " else one for one in ids])
    found, notes = mixed(table, told)
    assert found == lines and bool(notes) == note


def test_some_patients_whose_header_tells_another_are_faults_by_rows():
    patients = pd.Series(["P1", "P1", "P2", "P2", "P3", "P3", "P4", "P4"], range(2, 10))
    found, notes = mixed(patients, pd.Series(list("AABBCDDD"), range(2, 10)))
    assert [line.partition(":")[0] for line in found] == ["rows 7, 8, 9", "rows 6, 7"] and len(notes) == 2
    assert not any(name in line for line in [*found, *notes] for name in ("P3", "P4", "'D'"))


def test_a_path_with_an_umlaut_in_two_characters_is_found_and_so_is_one_in_one(lab):
    forms = [unicodedata.normalize(form, f"films/Käthe {form}.png") for form in ("NFC", "NFD")]
    for seed, one in enumerate(forms):
        picture(lab.folder / one, seed=seed)
    for form in ("NFC", "NFD"):
        found = lab([{"path": unicodedata.normalize(form, one), "patient": "P1"} for one in forms]).findings()
        assert found["path"].tolist() == [str(lab.folder / one) for one in forms]


@pytest.mark.parametrize("name", ["Pat.-Nr.", "PatNr", "Patientin", "Patientennr.", "Patienten-Nr."])
def test_the_patient_is_known_by_its_german_names(name):
    assert recognise("t.csv", ["Datei", name], {})["patient"] == name


def test_aufnahme_is_the_view_if_its_words_are_views_and_validierung_is_val(lab):
    found = lab(rows(Aufnahme=["CC", "L-MLO"], split=["train", "Validierung"])).findings()
    assert found["view"].tolist() == ["CC", "MLO"] and found["official_split"].tolist() == ["train", "val"]
    found = lab(rows(Aufnahme=["1", "CC"])).findings()
    assert found["view"].isna().all() and found["Aufnahme"].tolist() == ["1", "CC"]
    assert lab(rows(Aufnahme=["1", "CC"]), columns={"view": "Aufnahme"}).findings()["view"].tolist() == ["1", "CC"]


def test_other_sheets_are_named_where_the_first_is_not_the_table(lab):
    with pd.ExcelWriter(lab.folder / "t.xlsx") as book:
        pd.DataFrame({"Notiz": ["x"]}).to_excel(book, sheet_name="Info", index=False)
        rows().to_excel(book, sheet_name="Filme", index=False)
    with pytest.raises(InputError, match=r"no column is the path.*Filme"):
        Table(str(lab.folder / "t.xlsx"))


def test_an_excel_number_that_has_lost_digits_is_no_patient(lab):
    for ids, lost in (([110101199003071234.0, 5], True), ([1101011990030710, 5], True), ([1101011990030712, 5], False)):
        rows(patient=ids).to_excel(lab.folder / "t.xlsx", index=False)
        if lost:
            with pytest.raises(InputError, match=r"row 2: patient was rounded"):
                Table(str(lab.folder / "t.xlsx")).findings()
        else:  # written by a program that keeps all digits
            assert Table(str(lab.folder / "t.xlsx")).findings()["patient"][0] == str(ids[0])


def test_an_empty_column_of_the_task_is_called_empty_and_a_split_without_test_is_said(lab):
    found = lab(rows(label="", split=["train", "val"])).findings()
    with pytest.raises(InputError, match="column label is empty"):
        resolved(Config.of({"task": {"name": "label", "column": "label", "classes": None}}).task, found)
    with pytest.raises(InputError, match="no test, only train, val"):
        official_split(found)
