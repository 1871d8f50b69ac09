"""Films are hashed once; a film that changed is hashed again, and one that cannot be read is named."""

import os

import cv2
import numpy as np
import pytest

from mammo.auditing import hashes
from mammo.auditing.hashes import cache_of, read_grey, records


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abc":
        cv2.imwrite(str(tmp_path / f"{name}.png"), rng.integers(0, 256, (300, 280), np.uint8))
    return sorted(tmp_path.glob("*.png"))


@pytest.fixture
def read(monkeypatch):
    """The films that were read."""
    seen = []
    monkeypatch.setattr(hashes, "read_grey", lambda path: seen.append(path.stem) or read_grey(path))
    return seen


def test_a_second_run_reads_no_film(paths, read, tmp_path):
    cache = cache_of(tmp_path)
    first, _ = records(paths, cache)
    assert sorted(read) == ["a", "b", "c"]
    assert (records(paths, cache)[0] == first).all()
    assert (records(paths[::-1], cache)[0] == first[::-1]).all()
    assert len(read) == 3


def test_a_film_that_changed_is_read_again_and_the_others_are_not(paths, read, tmp_path):
    cache = tmp_path / "records.npy"
    records(paths[:2], cache)
    read.clear()
    paths[0].write_bytes(paths[1].read_bytes())
    os.utime(paths[0], ns=(1, 1))
    again, _ = records(paths, cache)
    assert sorted(read) == ["a", "c"]
    assert (again["thumb"][0] == again["thumb"][1]).all()


def test_records_cut_short_are_made_again(paths, tmp_path):
    cache = tmp_path / "records.npy"
    first = records(paths, cache)[0].copy()
    for text in (cache.read_bytes()[:1000], b"nonsense", b""):
        cache.write_bytes(text)
        assert (records(paths, cache)[0] == first).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "c.png", "records.npy"]


def test_levels_of_sixteen_bits_are_scaled_to_eight(tmp_path):
    film = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "film.tif"), film * 16 + 500)
    assert np.corrcoef(read_grey(tmp_path / "film.tif").ravel(), film.ravel())[0, 1] > 0.99


def test_what_is_no_film_is_named_and_the_others_are_kept(paths, read, tmp_path):
    bad, cache = tmp_path / "bad.pgm", tmp_path / "records.npy"
    for content in (b"", b"no image", b"P5\n64 64\n255\nshort"):
        bad.write_bytes(content)
        found, reasons = records([paths[0], bad, *paths[1:], tmp_path / "gone.pgm"], cache)
        assert len(found) == 3 and sorted(reasons) == [1, 4]
        assert "bad.pgm: " in reasons[1] and "gone.pgm: it cannot be read" in reasons[4]
    assert [one for one in read if len(one) == 1] == ["a", "b", "c"]


def test_what_was_hashed_before_the_user_stops_is_kept(paths, monkeypatch, tmp_path):
    def stopped(path):
        if path.stem == "c":
            raise KeyboardInterrupt
        return read_grey(path)

    cache = tmp_path / "records.npy"
    monkeypatch.setattr(hashes, "read_grey", stopped)
    with pytest.raises(KeyboardInterrupt):
        records(paths, cache)
    assert len(np.load(cache)) == 2
