"""What is audited is read from tables, folders and splits; what cannot be used is one line."""

import numpy as np
import pandas as pd
import pytest

from mammo.audit.sources import find_films, place, read_split
from mammo.errors import InputError
from mammo.datasets.film import write_pgm


def folder_of(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_pgm(root / name, np.zeros((4, 4), np.uint8))
    return root


def written(path, text):
    path.write_text(text)
    return path


def test_a_folders_name_is_the_side_of_its_films(tmp_path):
    films = find_films(folder_of(tmp_path, "Train/a.pgm", "data/VALID/benign/b.pgm", "test/c.pgm", "d.pgm"))
    assert dict(zip(films["name"], films["side"].fillna("none"), strict=True)) == {
        "Train/a.pgm": "train",
        "data/VALID/benign/b.pgm": "val",
        "test/c.pgm": "test",
        "d.pgm": "none",
    }


def test_an_info_file_names_the_women(phantom):
    films = find_films(phantom.root)
    assert len(films) == 32 and films["patient"].nunique() == 16


def test_a_tables_paths_are_relative_to_it_and_its_official_split_is_the_side(tmp_path):
    text = (
        "dataset,image_id,finding_id,path,patient,severity,official_split\n"
        "own,a,1,films/a.png,w1,benign,train\nown,a,2,films/a.png,w1,malignant,train\nown,b,0,films/b.png,w2,normal,test\n"
    )
    films = find_films(written(tmp_path / "films.csv", text))
    assert films["path"].tolist() == [str(tmp_path / "films/a.png"), str(tmp_path / "films/b.png")]
    assert films[["name", "patient", "side"]].to_numpy().tolist() == [["a", "w1", "train"], ["b", "w2", "test"]]


def test_a_split_names_films_by_stem_or_by_path_and_tells_their_women(tmp_path):
    films = find_films(folder_of(tmp_path / "films", "x/a.pgm", "y/a.pgm", "y/b.pgm"))
    rows = read_split(
        written(tmp_path / "split.csv", "image_id,patient,split\nx/a,w1,train\ny/a.pgm,w2,test\nb,w2,valid\n")
    )
    placed = place(films, rows)
    assert placed["side"].tolist() == ["train", "test", "val"]
    assert placed["patient"].tolist() == ["w1", "w2", "w2"]


def test_a_sample_id_tells_film_finding_and_copy(tmp_path):
    text = "sample_id,split\nmdb001.1.c3,train\nmdb002,test\nmdb003.2,val\nmdb004.c1,test\n"
    rows = read_split(written(tmp_path / "samples.csv", text)).astype(object).fillna("")
    assert rows[["image_id", "finding", "copy"]].to_numpy().tolist() == [
        ["mdb001", "1", "3"],
        ["mdb002", "", ""],
        ["mdb003", "2", ""],
        ["mdb004", "", "1"],
    ]


def test_a_run_folder_stands_for_its_split(tmp_path):
    written(tmp_path / "split.csv", "image_id,patient,split\nmdb001,mias-001,train\n")
    assert read_split(tmp_path)["side"].tolist() == ["train"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,part\na,train\n", "expected the columns split and image_id or sample_id, found image_id, part"),
        ("image_id,split\na,learn\n", "split 'learn' is unknown; expected one of train"),
        ("image_id,split\na,train\n,test\n", "row 3 has no image_id"),
        ("image_id,split\na,\n", "row 2 has no split"),
        ("image_id,fold,split\na,0,train\na,1,test\n", "expected one fold, found 2"),
        ("", "expected a split as CSV"),
        ("image_id,split\na,b,c,d\ne\n1,2,3,4,5,6\n", "expected a split as CSV"),
    ],
)
def test_a_bad_split_is_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        read_split(written(tmp_path / "split.csv", text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,label\na,1\n", "unknown columns .'label'"),
        ("dataset,image_id,finding_id,path,patient,severity\nown,a,one,a.png,w,normal\n", "'one'"),
        ("dataset,image_id,finding_id,path,patient,severity\nown,a,0,a.png,w,odd\n", "a has severity 'odd'"),
        ("dataset,image_id,finding_id,path,patient,severity\n", "no film"),
        ("", "expected a findings table"),
    ],
)
def test_a_bad_table_is_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        find_films(written(tmp_path / "films.csv", text))
    assert "\n" not in str(error.value)


def test_what_holds_no_films_says_so(tmp_path):
    with pytest.raises(InputError, match="expected films"):
        find_films(tmp_path)
    with pytest.raises(InputError, match="nowhere: expected a findings table"):
        find_films(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"expected one side in its path, found \['test', 'train'\]"):
        find_films(folder_of(tmp_path, "train/test/a.pgm"))


def test_a_split_of_other_films_says_so():
    films = pd.DataFrame({"name": ["a.pgm"], "image_id": ["a"], "patient": [None], "side": [None]}, dtype="string")
    rows = pd.DataFrame({"image_id": ["z"], "patient": [None], "side": ["train"]}, dtype="string")
    with pytest.raises(InputError, match=r"names none of the 1 films: expected image_ids such as a, found z"):
        place(films, rows)
