"""Among many films the near pairs are found without comparing all; films that are added are compared alone."""

import json

import numpy as np
import pytest

from mammo.auditing import duplicates, forecast, nearest
from mammo.auditing.compared import Compared, kept_for
from mammo.auditing.duplicates import correlation, find_pairs
from mammo.auditing.hashes import SYMMETRIES, read_grey, record, records, turned
from mammo.auditing.nearest import NEAR_BITS, NEAREST, propose
from mammo.bench import auditing as bench
from mammo.bench import comparing


@pytest.fixture(scope="module")
def described(phantom):
    films = [read_grey(path) for path in sorted(phantom.root.glob("*.pgm"))]
    made = np.array([record(film, f"{row}".encode()) for row, film in enumerate(films)])
    again = [record(turned(films[row], row), f"copy{row}".encode()) for row in range(len(SYMMETRIES))]
    return np.array([*again[:4], *made, *again[4:]])  # copies before and behind their films


@pytest.fixture
def aligned(monkeypatch):
    """The pairs of thumbnails that are aligned."""
    seen = []
    monkeypatch.setattr(duplicates, "correlation", lambda *both: seen.append(both) or correlation(*both))
    return seen


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "correlation")
               for name in ("first", "second", "symmetry", "correlation", "textured"))  # fmt: skip


def random_hashes(films, copies, rng):
    """Hashes as unlike as real ones, where those of the first `copies` films are repeated at the end, some bits off."""
    hashes = rng.integers(0, 2**64, (films, 8, 4), np.uint64)
    hashes[-copies:] = hashes[:copies] ^ (np.uint64(1) << rng.integers(0, 64, (copies, 8, 4), np.uint64))
    return hashes


@pytest.mark.parametrize("all_pairs", [8192, 100])
def test_every_near_pair_of_hashes_is_proposed_once_with_its_nearest_symmetry(monkeypatch, all_pairs):
    monkeypatch.setattr(nearest, "ALL_PAIRS", all_pairs)
    hashes = random_hashes(1200, 100, np.random.default_rng(0))
    hashes[-1, 0], hashes[-1, 5] = hashes[500, 0] ^ hashes[501, 0], hashes[99, 0]
    first, second, symmetry = propose(hashes)
    assert list(zip(first, second, strict=True)) == [(film, 1100 + film) for film in range(100)]
    assert symmetry.tolist() == [0] * 99 + [5]
    distance = np.bitwise_count(hashes[first[0], 0] ^ hashes[second[0], symmetry[0]]).sum()
    assert distance <= NEAR_BITS


def test_few_and_many_films_have_the_same_copies_turned_alike(described, monkeypatch):
    few = list(find_pairs(described).same())
    monkeypatch.setattr(nearest, "ALL_PAIRS", 10)
    assert list(find_pairs(described).same()) == few and {how for _, _, how, _ in few} == set(SYMMETRIES)


def test_of_many_films_each_is_paired_with_its_nearest_ones_alone(monkeypatch):
    monkeypatch.setattr(nearest, "ALL_PAIRS", 10)
    bits = np.random.default_rng(0).random((40, 8, 256)) < 0.5
    bits[:, 0, :216] = bits[0, 0, :216]
    bits[:, 0, 216:] = np.tri(40, 40, -1)  # film i differs from film j by |i - j| bits, none of them in a key
    hashes = np.packbits(bits, axis=2).view(np.uint64)
    first, second, _ = propose(hashes)
    assert (second - first).max() == NEAREST  # those at the ends have neighbours on one side alone
    assert len(first) == len(set(zip(first.tolist(), second.tolist(), strict=True)))


def test_of_many_films_with_the_same_hashes_each_is_paired_with_the_first(monkeypatch):
    monkeypatch.setattr(nearest, "ALL_PAIRS", 10)
    hashes = np.repeat(np.random.default_rng(0).integers(0, 2**64, (2, 8, 4), np.uint64), 300, axis=0)
    first, second, _ = propose(hashes)
    assert first.tolist() == [0] * 299 + [300] * 299 and len(set(second.tolist())) == 598
    new = np.arange(600) == 0
    assert [part.tolist() for part in propose(hashes, new)] == [[0], [1], [0]]  # an old film stands for the old ones


@pytest.mark.parametrize("all_pairs", [8192, pytest.param(10, marks=pytest.mark.slow)])
def test_films_that_are_added_are_compared_alone_and_the_result_is_that_of_all_at_once(
    described, aligned, tmp_path, monkeypatch, all_pairs
):
    monkeypatch.setattr(nearest, "ALL_PAIRS", all_pairs)
    monkeypatch.setattr(nearest, "NEAREST", 40)  # else more pairs are kept than of all at once
    kept, some = tmp_path / "pairs.npz", np.arange(len(described)) % 3 != 1
    at_once = find_pairs(described)
    aligned.clear()
    find_pairs(described[some], kept=kept)
    before, number = len(aligned), int((some[at_once.first] & some[at_once.second]).sum())
    assert 0 < before == number < len(at_once.first)
    assert same(find_pairs(described, kept=kept), at_once) and len(aligned) == len(at_once.first)
    aligned.clear()
    assert same(find_pairs(described, kept=kept), at_once) and not aligned
    assert same(find_pairs(described[some], kept=kept), find_pairs(described[some])) and len(aligned) == number
    aligned.clear()
    assert same(find_pairs(described[::-1], kept=kept), find_pairs(described[::-1]))  # another film is the first


def test_what_was_aligned_before_the_user_stops_is_kept(described, monkeypatch, tmp_path):
    kept, whole = tmp_path / "pairs.npz", find_pairs(described)
    seen = []

    def stopped(one, other):
        if len(seen) == 5:
            raise KeyboardInterrupt
        seen.append(one)
        return correlation(one, other)

    monkeypatch.setattr(duplicates, "ThreadPoolExecutor", InOrder)
    monkeypatch.setattr(duplicates, "correlation", stopped)
    with pytest.raises(KeyboardInterrupt):
        find_pairs(described, kept=kept)
    assert Compared.read(kept).decided.sum() == 5
    seen[:] = [None] * 6
    assert same(find_pairs(described, kept=kept), whole) and len(seen) == len(whole.first) - 5 + 6


class InOrder:
    """A pool of one thread, this one."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    map = staticmethod(map)


def test_only_films_of_two_groups_are_aligned_and_other_groups_need_the_rest_alone(described, aligned, tmp_path):
    kept, whole = tmp_path / "pairs.npz", find_pairs(described)
    aligned.clear()
    for groups in (np.arange(len(described)) % 2, np.arange(len(described)) % 3, np.arange(len(described))):
        found = find_pairs(described, groups, kept)
        asked = groups[whole.first] != groups[whole.second]
        assert np.array_equal(found.correlation, whole.correlation[asked], equal_nan=True)
    assert len(aligned) == len(whole.first)


def test_time_and_memory_are_told_before_many_films_are_audited_and_not_again(phantom, monkeypatch, tmp_path):
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    paths = sorted(phantom.root.glob("*.pgm"))[:8]
    sources = [phantom.root] * len(paths)
    assert forecast.forecast(paths, sources) is None
    monkeypatch.setattr(forecast.os, "cpu_count", lambda: 2)
    assert forecast.forecast_of_parts(20) is None and "about 6 min; --no-parts" in forecast.forecast_of_parts(362)
    monkeypatch.setattr(forecast, "LEAST", 8)
    said = forecast.forecast(paths, sources)
    assert said.startswith(
        "8 films: hashing 8 of them takes about 1 min, comparing 8 with all takes 1 min at most; 0.3"
    )
    find_pairs(records(paths[:4])[0], kept=kept_for(sources))
    assert forecast.forecast(paths, sources) is None


def test_a_bench_compares_made_films_finds_the_planted_copies_and_is_told(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    monkeypatch.setattr(comparing, "PATIENTS", 3)
    monkeypatch.setattr(comparing, "PLANTED", 0.2)
    comparing.main("compare", "40")
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["planted"] == found["proposed"] == found["proposed_new"] and sum(found["planted"].values()) == 8
    comparing.main("write", str(tmp_path / "films"), "0", "2")
    assert len(list((tmp_path / "films").iterdir())) == 2
    audits = [{"files": 9, "what": "first", "seconds": 2.0, "peak_bytes": 3e6}]
    text = "\n".join(bench.tables({"compared": [found | {"peak_bytes": 2e6}], "audits": audits}))
    assert "| 9 | first | 2.0 | 3 |" in text
    (head,), (row,) = ([line for line in text.splitlines() if line.startswith(of)] for of in ("| films |", "| 40 |"))
    assert head.count("|") == row.count("|")


def test_the_hashes_of_a_made_film_are_those_of_its_thumbnail(monkeypatch, tmp_path):
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path))
    monkeypatch.setattr(comparing, "PATIENTS", 3)
    made = comparing.Made()
    of_thumbs = np.array([record(made.thumb(film))["hashes"] for film in range(5)])
    assert np.bitwise_count(made.hashes(5) ^ of_thumbs).sum(axis=2).max() < NEAR_BITS / 4  # thumbnails are rounded
