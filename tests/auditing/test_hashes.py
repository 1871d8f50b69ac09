"""Films are hashed once; a film that changed is hashed again, and one that cannot be read is named."""

import mmap
import multiprocessing
import os
import time

import cv2
import numpy as np
import pytest

from mammo.auditing import hashes
from mammo.auditing.hashes import Records, cache_of, hash_shard, read_grey, records, records_of, unhashed


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


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in ("key", "hashes", "thumb"))


def reverse(of):
    return Records(of.key[::-1], of.hashes[::-1], of.thumb[::-1])


def test_a_second_run_reads_no_film(paths, read, tmp_path):
    cache = cache_of(tmp_path)
    first, _ = records(paths, cache)
    assert sorted(read) == ["a", "b", "c"]
    assert same(records(paths, cache)[0], first)
    assert same(records(paths[::-1], cache)[0], reverse(first))
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


def test_a_film_that_was_replaced_by_one_of_its_size_and_time_is_read_again(paths, read, tmp_path):
    cache = tmp_path / "records.npy"
    for number, path in enumerate(paths):
        (tmp_path / f"{path.stem}.bmp").write_bytes(cv2.imencode(".bmp", np.full((9, 9), number, np.uint8))[1])
    one, other, third = (path.with_suffix(".bmp") for path in paths)
    for path in (one, other, third):
        os.utime(path, ns=(1, 1))
    first, _ = records([one], cache)
    other.replace(one)
    assert records([one], cache)[0]["thumb"][0][0, 0] != first["thumb"][0][0, 0]
    one.write_bytes(third.read_bytes())
    os.utime(one, ns=(1, 1))
    assert records([one], cache)[0]["thumb"][0][0, 0] == 2 and len(read) == 3


def test_records_cut_short_are_made_again(paths, tmp_path):
    cache = tmp_path / "records.npy"
    first = records(paths)[0]
    assert same(records(paths, cache)[0], first)
    for text in (cache.read_bytes()[:1000], b"nonsense", b""):
        cache.unlink()  # others may have mapped it
        cache.write_bytes(text)
        assert same(records(paths, cache)[0], first)
    left = ["a.png", "b.png", "c.png", "records.lock", "records.npy"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left


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


def test_a_disk_that_is_full_is_said_to_be_so_by_whoever_finds_it(paths, monkeypatch, tmp_path):
    def cut(*given, **how):
        raise OSError("65536 requested and 300 written")  # of NumPy, without a number

    monkeypatch.setattr(hashes.np, "save", cut)
    described, _ = records(paths, tmp_path / "cache.npy")
    assert (
        len(described) == len(paths)
        and f"{tmp_path}: 65536 requested and 300 written, as on a full disk; name" in described.unkept
    )


def test_records_are_kept_as_they_come_and_half_a_block_does_no_harm(paths, read, monkeypatch, tmp_path):
    cache, kept = tmp_path / "records.npy", []
    monkeypatch.setattr(hashes, "AT_ONCE", 1)

    def one_by_one(work, rows, **_):
        for row in rows:
            kept.append(len(np.load(cache)) if cache.is_file() else 0)  # what a kill would leave
            yield work(row)

    monkeypatch.setattr(hashes, "shared_out", one_by_one)
    records(paths[:2], cache)
    with cache.open("ab") as file:
        file.write(b"half a record")
    read.clear()
    assert same(records(paths, cache)[0], records(paths)[0])
    assert read[0] == "c" and kept[:3] == [0, 1, 2] and len(np.load(cache)) == 3


def test_of_two_processes_one_hashes_with_all_cores_and_the_other_waits_for_its_records(paths, monkeypatch, tmp_path):
    cache, log = tmp_path / "records.npy", tmp_path / "log"
    fork = multiprocessing.get_context("fork")
    inside = fork.Event()
    share = hashes.shared_out

    def watched(work, rows, *, alone):
        assert alone
        inside.set()
        time.sleep(0.5 if rows else 0)  # the other comes meanwhile
        with log.open("a") as file:
            file.write("".join(f"{row}\n" for row in rows))
        return share(work, rows, alone=alone)

    monkeypatch.setattr(hashes, "shared_out", watched)
    first = fork.Process(target=records, args=(paths, cache))
    first.start()
    assert inside.wait(20)
    found, reasons = records(paths, cache)
    first.join(20)
    assert first.exitcode == 0 and sorted(log.read_text().split()) == ["0", "1", "2"]
    assert len(found) == 3 and not reasons


def test_shards_hash_each_film_once_and_an_audit_finds_their_records(paths, read, tmp_path):
    paths, sources = [*paths, tmp_path / "gone.png"], [tmp_path] * 4
    whole, reasons = records(paths)
    read.clear()
    assert [hash_shard(paths, sources, (number, 2))[:2] for number in (1, 0)] == [(2, 1), (2, 2)]
    assert sorted(read) == ["a", "b", "c", "gone"] and unhashed(paths, sources) == [paths[3]]
    read.clear()
    found, again = records_of(paths, sources)
    assert same(found, whole) and again == reasons and read == ["gone"]
    assert hash_shard(paths[:3], sources[:3], (0, 3)) == (1, 0, [])  # what another shard hashed is there


def test_a_shard_that_was_killed_hashes_the_rest(paths, read, monkeypatch, tmp_path):
    """It dies without a word while it hashes its second film."""
    monkeypatch.setattr(hashes, "AT_ONCE", 1)

    def killed():
        monkeypatch.setattr(hashes, "read_grey", lambda path: os._exit(9) if path.stem == "b" else read_grey(path))
        hash_shard(paths, [tmp_path] * 3, (0, 1))

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join(20)
    assert process.exitcode == 9
    assert hash_shard(paths, [tmp_path] * 3, (0, 1)) == (3, 2, []) and read == ["b", "c"]


def test_thumbnails_stay_in_the_file_until_they_are_looked_at(paths, tmp_path):
    """The records of 4,000 films had 800 MB in memory while they were made."""
    found, _ = records(paths, tmp_path / "records.npy")
    again, _ = records_of([*paths, *paths], [tmp_path] * 3 + [tmp_path / "other"] * 3)
    for of in (found, again):
        assert all(_mapped(thumb) for thumb in of.thumb)


def _mapped(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)
