"""The cache gives back what it was given, forgives a torn file, is made once, and can be emptied."""

import multiprocessing
import threading
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from mammo.auditing.compared import Compared
from mammo.cli.main import app
from mammo.errors import InputError
from mammo.preprocessing.cache import KINDS, Store, bound, clear, digest, parse_bytes, sizes


def test_arrays_come_back_bit_by_bit_in_their_own_type(tmp_path):
    store = Store(tmp_path / "trunk")
    stored = {"a": torch.randn(3, 2), "b": torch.randn(4).bfloat16(), "none": torch.zeros(0, 5)}
    store.store(stored)
    found = store.load(["a", "b", "c", "none"])
    assert set(found) == {"a", "b", "none"}
    assert all(torch.equal(found[key], stored[key]) and found[key].dtype == stored[key].dtype for key in stored)


def test_what_is_read_is_a_map_of_the_file_and_whoever_writes_to_it_spoils_his_own(tmp_path):
    store = Store(tmp_path)
    store.store({"a": torch.arange(100_000, dtype=torch.uint8)})
    (path,) = tmp_path.glob("*.safetensors")
    mine = store.load(["a"])["a"]
    assert str(path) in Path("/proc/self/maps").read_text()
    mine.fill_(7)
    assert torch.equal(store.load(["a"])["a"], torch.arange(100_000, dtype=torch.uint8))


def test_a_torn_file_costs_its_own_arrays_and_no_more(tmp_path):
    store = Store(tmp_path)
    store.store({"a": torch.ones(2)})
    (whole,) = tmp_path.glob("*.safetensors")
    store.store({"b": torch.ones(2)})
    (torn,) = set(tmp_path.glob("*.safetensors")) - {whole}
    torn.write_bytes(torn.read_bytes()[:20])
    assert set(store.load(["a", "b"])) == {"a"}
    assert not torn.exists()


def test_no_temporary_file_is_left_by_a_write_that_fails_either(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.store({"a": torch.ones(2)})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(InputError, match=r"No space left on device\); free space"):
        store.store({"b": torch.ones(2)})
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]
    assert set(store.load(["a", "b"])) == {"a"}


def test_arrays_that_somebody_removed_meanwhile_are_told_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"1 cached arrays .*MAMMO_HOME"):
        Store(tmp_path).load_all(["a"])


def test_arrays_that_another_machine_stores_are_waited_for(tmp_path):
    threading.Timer(0.7, Store(tmp_path).store, [{"a": torch.ones(2)}]).start()
    assert set(Store(tmp_path).load_all(["a"], patience_s=30)) == {"a"}
    assert not list(tmp_path.glob("*.tmp"))


def test_a_digest_depends_on_every_fact_and_not_on_their_order():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})


def build(folder, start, made):
    """Do as every user of a store: look, wait, look again, make what is lacking."""
    store = Store(folder)
    start.wait()
    if "a" not in store.load(["a"]):
        with store.building():
            if "a" not in store.load(["a"]):
                time.sleep(0.2)
                store.store({"a": torch.ones(2)})
                made.put(1)
    assert set(store.load_all(["a"])) == {"a"}


def test_two_jobs_that_build_one_cache_at_once_make_it_once(tmp_path):
    context = multiprocessing.get_context("fork")
    start, made = context.Event(), context.Queue()
    jobs = [context.Process(target=build, args=(tmp_path, start, made)) for _ in range(2)]
    for job in jobs:
        job.start()
    start.set()
    for job in jobs:
        job.join(30)
    assert [job.exitcode for job in jobs] == [0, 0]
    assert made.get(timeout=5) == 1 and made.empty()
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_whoever_dies_while_building_leaves_no_lock(tmp_path):
    context = multiprocessing.get_context("fork")

    def hold(ready):
        with Store(tmp_path).building():
            ready.set()
            time.sleep(60)

    ready = context.Event()
    job = context.Process(target=hold, args=(ready,))
    job.start()
    assert ready.wait(30)
    job.kill()
    job.join(30)
    with Store(tmp_path).building():  # else this waits for ever
        Store(tmp_path).store({"a": torch.ones(2)})
    assert set(Store(tmp_path).load(["a"])) == {"a"}


def filled(home):
    (home / "mias").mkdir()
    (home / "mias" / "mdb001.pgm").write_bytes(b"film")
    (home / "hashes").mkdir()
    Compared.none().write(home / "hashes" / "pairs.npz")
    for kind in KINDS[:3]:
        Store(home / kind / "some").store({"a": torch.zeros(1000, dtype=torch.uint8)})
    return home


def test_clearing_removes_every_cache_and_no_film(tmp_path):
    home = filled(tmp_path)
    assert all(sizes(home)[kind][0] == 1 and sizes(home)[kind][1] > 1000 for kind in KINDS[:3])
    clear(home)
    assert set(sizes(home).values()) == {(0, 0)}
    assert (home / "mias" / "mdb001.pgm").read_bytes() == b"film"


def test_a_bound_keeps_what_was_used_last(tmp_path):
    home = filled(tmp_path)
    time.sleep(0.02)
    in_a_process(Store(home / "trunks" / "some").load, ["a"])
    bound(home, 1500)
    assert {kind for kind, (files, _) in sizes(home).items() if files} == {"trunks"}
    bound(home, 0)
    assert set(sizes(home).values()) == {(0, 0)} and (home / "mias" / "mdb001.pgm").exists()


def in_a_process(work, *given):
    job = multiprocessing.get_context("fork").Process(target=work, args=given)
    job.start()
    job.join(30)
    assert job.exitcode == 0


def test_what_a_living_process_uses_is_not_removed(tmp_path):
    home, context = filled(tmp_path), multiprocessing.get_context("fork")
    ready, end = context.Event(), context.Event()

    def use():
        Store(home / "trunks" / "some").load(["a"])
        ready.set()
        end.wait(60)

    job = context.Process(target=use)
    job.start()
    assert ready.wait(30)
    assert bound(home, 0) == clear(home) == [home / "trunks" / "some"]
    assert {kind for kind, (files, _) in sizes(home).items() if files} == {"trunks"}
    assert bound(home, 10**6) == []
    end.set()
    job.join(30)
    assert bound(home, 0) == clear(home) == [] and set(sizes(home).values()) == {(0, 0)}


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("500MB", 500_000_000), ("2.5 GB", 2_500_000_000), ("7k", 7000)])
def test_sizes_are_read_as_they_are_said(text, size):
    assert parse_bytes(text) == size


def test_the_command_shows_bounds_and_clears(tmp_path, monkeypatch):
    monkeypatch.setenv("MAMMO_HOME", str(filled(tmp_path)))

    def said(*arguments):
        return CliRunner().invoke(app, ["data", "cache", *arguments], catch_exceptions=False).output

    assert "0.0 MB in 1 file " in said() and f"{tmp_path / 'crops'}" in said()
    assert "in 1 file " in said("--limit", "1.5kB") and sum(files for files, _ in sizes(tmp_path).values()) == 1
    assert "in 1 file " not in said("--clear")
    assert "much" in said("--limit", "much")
