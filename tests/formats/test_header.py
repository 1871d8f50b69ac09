"""Headers: read without pixels, in parallel, remembered, and never of a file that has changed."""

import multiprocessing
import os
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from mammo.datasets.film import file_digest, read_film, read_mask
from mammo.errors import UnreadableFilm
from mammo.formats import header
from mammo.formats.header import read_header, read_headers
from mammo.paths import home
from tests.formats import ways
from tests.formats.ways import WAYS, X


@pytest.fixture
def films(tmp_path, monkeypatch):
    """Twelve films, some of which are none, and an index of their own."""
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    for number, name in enumerate(
        ["explicit", "jpeg2000", "png", "tiff lzw", "pgm", "bmp", "picture jpg"] + ["window"] * 3
    ):
        (tmp_path / f"{number}").write_bytes(WAYS[name][0])
    (tmp_path / "10").write_bytes(b"<html>")
    (tmp_path / "11").write_bytes(ways.dicom(X, Modality="CT"))
    return [tmp_path / f"{number}" for number in range(12)]


def test_a_header_tells_what_the_film_will(films):
    for path in films[:10]:
        found, film = read_header(path), read_film(path)
        assert (found.height, found.width) == film.pixels.shape and found.refused is None
        assert (found.spacing_mm, found.laterality, found.view) == (film.spacing_mm, film.laterality, film.view)
        assert set(found.notes) <= set(film.notes)
    first = read_header(films[0])
    assert (first.format, first.bits, first.patient) == ("DICOM", 12, "P1")
    assert [read_header(path).format for path in films[2:7]] == ["PNG", "TIFF", "PGM", "BMP", "JPEG"]
    assert "web page" in read_header(films[10]).refused and "'CT'" in read_header(films[11]).refused


def test_a_refused_film_keeps_its_spacing_as_a_row_without_one_would_stop_a_crop_in_millimetres(tmp_path):
    (tmp_path / "raw").write_bytes(ways.dicom(X, PresentationIntentType="FOR PROCESSING"))
    (tmp_path / "oblong").write_bytes(ways.dicom(X, ImagerPixelSpacing=[0.1, 0.2]))
    raw, oblong = read_header(tmp_path / "raw"), read_header(tmp_path / "oblong")
    assert "raw detector data" in raw.refused and raw.spacing_mm == 0.2
    assert "not square" in oblong.refused and oblong.spacing_mm is None


def test_a_header_of_no_file_or_a_folder_has_its_reason(tmp_path):
    assert read_header(tmp_path / "nowhere").refused and read_header(tmp_path).refused


def test_a_remembered_header_is_the_same_and_the_file_is_not_opened(films, monkeypatch):
    first = read_headers(films)
    assert first == list(map(read_header, films))
    monkeypatch.setattr(header, "read_header", None)
    assert read_headers(reversed(films)) == first[::-1]


def test_a_changed_file_is_read_again(films):
    before = read_headers(films[:1])[0]
    films[0].write_bytes(WAYS["monochrome1"][0])
    assert read_headers(films[:1])[0].notes != before.notes
    os.utime(films[0], ns=(1, 1))
    assert read_headers(films[:1])[0].notes != before.notes


def test_a_path_from_here_is_returned_as_it_was_given(films, monkeypatch):
    read_headers(films)
    monkeypatch.chdir(films[0].parent)
    assert [one.path for one in read_headers(["3", "0"])] == ["3", "0"]


def test_nothing_is_kept_that_is_not_to_be(films):
    read_headers(films, remember=False)
    assert not (home() / "headers").exists()


@pytest.mark.parametrize("damage", [b"no database", b""])
def test_a_damaged_index_is_made_again(films, damage):
    first = read_headers(films)
    index = home() / "headers" / "headers.sqlite"
    index.write_bytes(damage)
    assert read_headers(films) == first and read_headers(films) == first
    assert sqlite3.connect(index).execute("SELECT count(*) FROM facts").fetchone() == (12,)


def test_an_index_that_cannot_be_written_costs_only_time(films, monkeypatch):
    (home().parent / "file").write_bytes(b"")
    monkeypatch.setenv("MAMMO_HOME", str(home().parent / "file"))
    assert len(read_headers(films)) == 12


@pytest.mark.usefixtures("two_cores")
def test_several_processes_read_many(films, monkeypatch):
    monkeypatch.setattr(header, "MANY", 2)
    monkeypatch.setattr(header, "AT_ONCE", 1)
    assert read_headers(films) == list(map(read_header, films))


@pytest.mark.slow
@pytest.mark.usefixtures("two_cores")
def test_one_film_whose_process_dies_is_refused_and_the_others_are_read(tmp_path, monkeypatch):
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    paths, one = [f"{tmp_path}/{number}" for number in range(93)], header.read_header
    for path in paths:
        Path(path).write_bytes(WAYS["pgm"][0])
    monkeypatch.setattr(header, "MANY", 90)
    monkeypatch.setattr(header, "AT_ONCE", 10)
    monkeypatch.setattr(header, "read_header", lambda path: os._exit(1) if path == paths[44] else one(path))
    found = read_headers(paths)
    assert "died" in found[44].refused and found[:44] + found[45:] == list(map(one, paths[:44] + paths[45:]))


def test_a_process_that_may_start_no_other_reads_many_too(films, monkeypatch):
    monkeypatch.setattr(header, "MANY", 2)
    monkeypatch.setattr(header, "AT_ONCE", 1)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(read_headers, (films,)) == list(map(read_header, films))


@pytest.mark.parametrize("before", [False, True])
def test_no_other_user_reads_the_index(films, before):
    index = home() / "headers" / "headers.sqlite"
    if before:
        index.parent.mkdir(parents=True)
        sqlite3.connect(index).close()
        index.touch()
        index.chmod(0o644)
    read_headers(films)
    assert index.stat().st_mode & 0o777 == 0o600


def test_headers_are_read_again_when_the_reading_of_films_has_changed(films, monkeypatch):
    read_headers(films)
    monkeypatch.setattr(header, "READING_VERSION", header.READING_VERSION + 1)
    monkeypatch.setattr(header, "read_header", lambda path: header.Header(str(path), "read again"))
    assert {one.format for one in read_headers(films)} == {"read again"}


def test_a_pipe_and_a_device_are_refused_before_they_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    for name in ("pipe.dcm", "device.png"):
        assert "pipe or a device" in read_header(tmp_path / name).refused
        for read in (read_film, read_mask, file_digest):
            with pytest.raises(UnreadableFilm, match=f"{name}.*pipe or a device"):
                read(tmp_path / name)


def test_several_threads_may_ask_at_once(films):
    found = []
    threads = [threading.Thread(target=lambda: found.append(read_headers(films))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(one == found[0] for one in found)


def test_no_pixel_is_decoded(films, monkeypatch):
    monkeypatch.setattr(np, "frombuffer", None)
    assert read_header(films[1]).refused is None
