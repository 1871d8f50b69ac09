"""Values of files: computed once, kept as they come, and forgotten when the file or the code changes."""

import os
from pathlib import Path

import pytest

from mammo.errors import UnreadableFilm
from mammo.formats import remembered
from mammo.formats.remembered import Remembered


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    for number in range(7):
        (tmp_path / f"{number}").write_text(str(number))
    return [str(tmp_path / f"{number}") for number in range(7)]


def length(path):
    return [Path(path).stat().st_size]


def asked(_path):
    raise AssertionError("it was computed again")


def test_a_value_is_computed_once(files):
    first = Remembered("lengths", "1").values([*files, files[0]], length, "Counting")
    assert first == {path: [1] for path in files}
    assert Remembered("lengths", "1").values(files[::-1], asked, "Counting") == first


def test_another_version_name_or_file_makes_it_again(files):
    Remembered("lengths", "1").values(files, length, "Counting")
    Path(files[3]).write_text("longer")
    assert Remembered("lengths", "1").values(files, length, "Counting")[files[3]] == [6]
    assert not Remembered("lengths", "2").recall(files) and not Remembered("widths", "1").recall(files)


def test_a_file_in_the_place_of_another_of_its_size_and_time_is_another(files):
    Remembered("lengths", "1").values(files[:2], length, "Counting")
    facts = Path(files[0]).stat()
    os.utime(files[5], ns=(facts.st_atime_ns, facts.st_mtime_ns))
    Path(files[5]).replace(files[0])
    assert list(Remembered("lengths", "1").recall(files[:2])) == files[1:2]


def test_what_was_computed_before_an_interruption_is_kept(files, monkeypatch):
    monkeypatch.setattr(remembered, "AT_ONCE", 2)

    def stopped(path):
        if path == files[5]:
            raise KeyboardInterrupt
        return length(path)

    with pytest.raises(KeyboardInterrupt):
        Remembered("lengths", "1").values(files, stopped, "Counting")
    assert list(Remembered("lengths", "1").recall(files)) == files[:5]


def test_a_file_that_cannot_be_read_is_told_and_tried_again(files):
    def refused(path):
        raise UnreadableFilm("no film")

    found = Remembered("lengths", "1").values(files[:1], refused, "Counting")
    assert isinstance(found[files[0]], UnreadableFilm)
    assert Remembered("lengths", "1").values(files[:1], length, "Counting") == {files[0]: [1]}


def test_a_file_that_is_not_there_is_not_kept(files):
    Remembered("lengths", "1").values(["nowhere"], lambda path: 0, "Counting")
    assert not Remembered("lengths", "1").recall(["nowhere"])
