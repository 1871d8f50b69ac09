"""The audit names what is on two sides, or would be; it ends with 1 then, and else says what it compared."""

import shutil

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from mammo.audit.hashes import read_film
from mammo.cli.main import app
from mammo.errors import InputError


def audited(*arguments):
    result = CliRunner().invoke(app, ["audit", *map(str, arguments)], catch_exceptions=False)
    return result.exit_code, result.stdout


def written(path, text):
    path.write_text(text)
    return path


@pytest.fixture
def films(phantom, tmp_path):
    """A folder of six films of three women, with their Info.txt."""
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("Info.txt", *(f"mdb{number:03d}.pgm" for number in range(1, 7))):
        shutil.copy(phantom.root / name, folder)
    return folder


def mirrored(film, copy):
    copy.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(copy), np.ascontiguousarray(read_film(film)[:, ::-1]))


def test_clean_films_say_what_was_compared_and_end_with_zero(films):
    code, said = audited(films)
    assert code == 0
    assert "compared: 6 films of 3 women; no sides; 15 pairs" in said and "no leak found" in said


def test_a_copy_without_a_side_would_leak_and_is_drawn(films, tmp_path):
    mirrored(films / "mdb001.pgm", films / "copy.jpg")
    code, said = audited(films, "--sheet", tmp_path / "sheet.png")
    assert code == 1
    assert "would leak under any split: copy.jpg (woman unknown) and mdb001.pgm (woman mias-001)" in said
    assert said.endswith(", mirrored\nleaks: 1\n")
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_films_of_unknown_women_are_not_taken_for_one_womans(films, tmp_path):
    (films / "Info.txt").unlink()
    mirrored(films / "mdb001.pgm", films / "copy.jpg")
    code, said = audited(films, "--sheet", tmp_path / "sheet.png")
    assert code == 1 and "copy.jpg (woman unknown) and mdb001.pgm (woman unknown)" in said


def test_two_films_of_the_same_pixels_of_one_woman_are_a_note(films, tmp_path):
    mirrored(films / "mdb001.pgm", films / "again" / "mdb002.png")
    code, said = audited(films, "--sheet", tmp_path / "sheet.png")
    assert code == 0
    assert "note: the same pixels in two films of one woman: again/mdb002.png (woman mias-001) and mdb001.pgm" in said
    assert not (tmp_path / "sheet.png").exists()


def test_a_copy_leaks_across_folders_and_is_counted_within_one(films, tmp_path):
    for side, names in {"train": ("mdb001", "mdb002"), "test": ("mdb003", "mdb004")}.items():
        (films / side).mkdir()
        for name in names:
            (films / f"{name}.pgm").rename(films / side / f"{name}.pgm")
    mirrored(films / "train" / "mdb001.pgm", films / "test" / "x.png")
    mirrored(films / "train" / "mdb002.pgm", films / "train" / "y.png")
    mirrored(films / "mdb005.pgm", films / "train" / "z.png")
    code, said = audited(films, "--sheet", tmp_path / "sheet.png")
    assert code == 1 and said.count("leak:") == 1
    assert "on two sides: test/x.png (test) and train/mdb001.pgm (train): correlation 1.000, mirrored" in said
    assert "note: 1 pairs of the same pixels within a side" in said
    assert "note: 1 pairs of the same pixels with a film that is on no side" in said


def test_a_woman_on_two_sides_is_named_with_her_films(films, tmp_path):
    rows = "".join(f"mdb00{number},{'test' if number == 4 else 'train'}\n" for number in range(1, 7))
    code, said = audited(films, "--split", written(tmp_path / "split.csv", "image_id,split\n" + rows))
    assert code == 1 and said.count("leak:") == 1
    assert "leak: woman mias-002 is on two sides: mdb003 (train), mdb004 (test)" in said


def test_a_woman_is_known_from_the_folder_where_the_split_names_paths(films, tmp_path):
    (films / "x").mkdir()
    (films / "mdb003.pgm").rename(films / "x" / "mdb003.pgm")
    split = written(tmp_path / "split.csv", "image_id,split\nx/mdb003,train\nmdb004.pgm,test\n")
    code, said = audited(films, "--split", split)
    assert code == 1 and "woman mias-002 is on two sides: x/mdb003 (train), mdb004.pgm (test)" in said


def test_a_split_by_woman_is_clean(films, tmp_path):
    rows = "".join(f"mdb00{number},{'test' if number > 4 else 'train'}\n" for number in range(1, 7))
    code, said = audited(films, "--split", written(tmp_path / "split.csv", "image_id,split\n" + rows))
    assert code == 0 and "6 films of 3 women; 2 test, 4 train" in said


def test_women_of_a_table_are_held_to_its_official_split(films):
    rows = ["own,a,0,mdb001.pgm,w1,normal,train", "own,b,0,mdb002.pgm,w1,normal,test"]
    head = "dataset,image_id,finding_id,path,patient,severity,official_split"
    code, said = audited(written(films / "table.csv", "\n".join([head, *rows])))
    assert code == 1 and "woman w1 is on two sides: a (train), b (test)" in said


@pytest.mark.parametrize(
    ("rows", "leak"),
    [
        ("mdb001.c1,train\nmdb001.c2,test", "augmented copies of film mdb001 on two sides: test, train"),
        ("mdb001.1.c1,train\nmdb001.1,test", "augmented copies of finding 1 of film mdb001 on two sides: test, train"),
        ("mdb001.1,train\nmdb001.1,val", "crops of finding 1 of film mdb001 on two sides: train, val"),
        ("mdb001.1,train\nmdb001.2,val", "crops of film mdb001 on two sides: train, val"),
        ("mdb001,train\nmdb001,val", "film mdb001 on two sides: train, val"),
    ],
)
def test_one_film_or_finding_on_two_sides_is_told_by_its_samples_alone(tmp_path, rows, leak):
    code, said = audited("--split", written(tmp_path / "samples.csv", f"sample_id,split\n{rows}\nmdb009,test\n"))
    assert code == 1 and said.count("leak:") == 1 and f"leak: {leak}\n" in said


def test_a_film_on_two_sides_leaks_its_copy_on_either(films, tmp_path):
    mirrored(films / "mdb001.pgm", films / "copy.png")
    split = written(tmp_path / "split.csv", "image_id,split\nmdb001,train\nmdb001,test\ncopy,train\nx,val\n")
    code, said = audited(films, "--split", split, "--sheet", tmp_path / "sheet.png")
    assert code == 1 and "copy.png (train) and mdb001.pgm (test+train)" in said
    assert "note: 1 films of the split are not there, the first is x\nnote: 5 films are not in the split\n" in said


def test_an_audit_of_nothing_says_what_it_takes():
    with pytest.raises(InputError, match="expected a findings table, a folder of films, a data set or --split"):
        audited()


@pytest.mark.realdata
def test_the_real_films_are_322_and_distinct(mias):
    code, said = audited(mias.root)
    assert code == 0 and "322 films of 161 women; no sides; 51,681 pairs" in said


@pytest.mark.realdata
def test_every_planted_copy_is_found_among_the_real_films(mias):
    code, said = audited(mias.root, "--planted", 200)
    assert code == 0
    for line in ("planted: 200", "found: 200", "false pairs: 0"):
        assert f"{line}\n" in said


def test_planted_copies_of_the_phantom_are_found_and_counted(phantom):
    code, said = audited(phantom.root, "--planted", 40)
    assert code == 0 and "planted: 40\nfound: 40\nfalse pairs: 0\n" in said
    with pytest.raises(InputError, match="expected at least 1 copy"):
        audited(phantom.root, "--planted", 0)
    with pytest.raises(InputError, match="--planted takes no --split"):
        audited(phantom.root, "--planted", 1, "--split", "split.csv")
