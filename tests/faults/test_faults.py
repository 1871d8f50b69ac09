"""A run meets a failing disk at each read, write and rename: it says so in one line, and its folder can go on.

`python -m pytest -m faults -n 0 -s tests/faults` injects at all of them; without the mark a small file is tried.
"""

import errno
import fcntl
import gc
import os
import shutil
import signal
import sys
import time
from collections import Counter
from importlib import import_module
from itertools import product

import numpy as np
import pytest
from safetensors.torch import save_file
from torch import ones

from mammo import files
from mammo.datasets import download
from mammo.datasets.download import whole_folder
from mammo.datasets.film import write_picture
from mammo.errors import InputError, message_for_user
from mammo.files import locked, take_name, whole, workshop, write_text
from mammo.preprocessing.cache import Store
from mammo.processes import resume
from mammo.processes.peers import BAD_INPUT, STOPPED
from tests.faults.failing import BROKEN, DENIED, FULL, WAYS, Failing

WORDS = [
    *("data=phantom", "data.patients=16", "split.shares=[0.5,0.25,0.25]", "data.workers=0", "model=compact"),
    *("model.image_size=32", "trainer.max_epochs=2", "heads=[lda]"),
]
PARTS = 4  # tests, so that several processes can share the work
LOADED = [  # by a run, and so by the process that all of these runs are forks of
    *("mammo.runs.train", "mammo.models.heads_io", "mammo.models.maps", "mammo.reports.run", "skops.io"),
    *("mammo.cli.train", "mammo.inference.self_test", "albumentations", "mammo.processes.checkpoint_io"),
]
SAME = ["predictions.csv", "metrics.json", "split.csv", "samples.csv", "features.csv", "selection.json", "curves.csv"]


@pytest.mark.parametrize("error", [FULL, DENIED])
@pytest.mark.parametrize("at", range(3))
def test_a_file_is_the_old_one_or_the_new_one_whatever_fails(tmp_path, at, error):
    """Writing opens a temporary file and renames it; the third is beyond."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    found = None
    with Failing(tmp_path, at=at, error=error).at_work() as disk:
        try:
            write_text("new", path)
        except OSError as raised:
            found = raised.errno
    assert found == (error if at == 0 or (at == 1 and error == DENIED) else None)
    assert path.read_bytes() == (b"new" if found is None else b"old")
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]
    assert [one.split()[0] for one in disk.done][:2][: at + 1] == ["write", "rename"][: at + 1]


def test_an_error_names_what_is_made_and_the_variable_of_its_folder(tmp_path, monkeypatch):
    """A temporary name tells nobody anything, and a disk that is full gives no name at all."""
    monkeypatch.setenv("MAMMO_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    made = tmp_path / "home" / "films"
    for at, (error, said) in product(range(2), ((FULL, "free space"), (DENIED, "MAMMO_HOME"))):
        disk = Failing(tmp_path, at=at, error=error)
        with disk.at_work(), pytest.raises(OSError, match=os.strerror(error)) as one, workshop(made) as folder:
            write_picture(folder / "a.png", np.zeros((2, 2), np.uint8))
        line = message_for_user(one.value)
        assert line.startswith(f"{made}: ") and said in line
    wrapped = RuntimeError("odd")
    wrapped.__cause__ = one.value
    assert message_for_user(wrapped) == line and message_for_user(RuntimeError("odd")) is None
    assert message_for_user(OSError(FULL, os.strerror(FULL)), "a file of the run x").startswith(
        "a file of the run x: No"
    )


@pytest.mark.parametrize("links", [True, False])
def test_what_another_process_has_made_meanwhile_is_not_replaced(tmp_path, monkeypatch, links):
    def refused(*_):
        raise OSError(errno.EPERM, "no links")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    theirs, folder = tmp_path / "a.csv", tmp_path / "model"
    folder.mkdir()
    for one in (theirs, folder / "a"):
        one.write_text("theirs")
    with pytest.raises(InputError, match=r"a\.csv was made by another"), whole(theirs, new=True) as made:
        made.write_text("ours")
    for target in (folder, theirs):
        with pytest.raises(InputError, match=f"{target.name} was made by another"), workshop(target) as room:
            (room / "made").mkdir()
            (room / "made" / "b").touch()
            take_name(room / "made", target)
    with whole(tmp_path / "b.csv", new=True) as made:
        made.write_text("ours")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.csv", "b.csv", "model"]
    assert theirs.read_text() == (folder / "a").read_text() == "theirs" and not (folder / "b").exists()


def test_a_folder_that_cannot_take_its_name_is_no_folder_of_others(tmp_path):
    disk = Failing(tmp_path, at=2)
    with disk.at_work(), pytest.raises(OSError, match="output error"), whole_folder(tmp_path / "films"):
        pass
    assert disk.done[2].startswith("rename") and not any(tmp_path.iterdir())


@pytest.mark.parametrize("error", [BROKEN, DENIED])
def test_a_disk_that_fails_costs_no_block_of_a_cache_and_a_damaged_one_is_removed(tmp_path, error):
    whole, damaged = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file({"a": ones(1)}, whole)
    damaged.write_bytes(b"x")
    with Failing(tmp_path, at=1, error=error).at_work():  # the lock that readers share is asked for before
        assert Store(tmp_path).load(["a"]) == {}
    assert whole.exists() and not damaged.exists()
    assert list(Store(tmp_path).load(["a"])) == ["a"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_it_is_as_if_nobody_else_were_there(tmp_path, monkeypatch, number):
    def none(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    monkeypatch.setattr(download, "_receive", lambda _, file, *more: file.write(b"films"))
    store = Store(tmp_path / "store")
    with resume.held(tmp_path), locked(tmp_path / "lock") as free, store.building():
        assert free and list(store.shares(0, 2, {0, 1})) == [0, 1]
    assert download.fetch("http://nowhere", tmp_path / "films.tar").read_bytes() == b"films"


def test_a_lock_that_hangs_is_named(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(fcntl, "flock", lambda *_: time.sleep(0.2))
    monkeypatch.setattr(files, "TELL_S", 0.05)
    for lock, hold in (("lock", lambda: locked(tmp_path / "lock")), (".lock", lambda: resume.held(tmp_path))):
        with hold():
            pass
        assert f"the lock of {tmp_path / lock} is not given" in caplog.text


def in_a_child(words, log, *folders, **fault):
    """Run the command in a fork of this process, which has imported it; return its status and what it did."""
    done = log.with_suffix(".done")
    done.write_text("")
    child = os.fork()
    if child == 0:
        status = 70
        try:
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            from mammo.cli import train

            os.environ["MAMMO_HOME"] = str(folders[1])
            signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell ignores it
            disk = Failing(*folders, **fault)
            try:
                with disk.at_work():
                    train.main([*words, f"hydra.run.dir={folders[0]}"])
                status = 0
            except SystemExit as ended:
                status = ended.code or 0
            except BaseException:
                import traceback

                traceback.print_exc()
            done.write_text("\n".join(disk.done))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), done.read_text().splitlines()


def differs(folder, whole):
    """Return the files of a run that are not those of another, without the line of the command in its report."""

    def content(path):
        found = path.read_bytes().splitlines() if path.is_file() else None
        return [line for line in found or [] if b"resume" not in line and b"Command" not in line], found is None

    names = [*SAME, "report.md", *(str(path.relative_to(whole)) for path in whole.glob("figures/*"))]
    return [name for name in names if content(folder / name) != content(whole / name)]


def first_of_each(done):
    """Return the numbers of operations: each, but of equal ones in a row the first."""
    return [at for at, what in enumerate(done) if not at or what != done[at - 1]]


def fault_of(status, said, cut, whole, home):
    """Return what is wrong with a run that ended with a status and a log; empty for one line, or a whole folder."""
    lines = [line for line in said.splitlines() if "rror" in line or line.startswith("stopped")]
    wrong = [f"status {status}"] * (status not in (0, BAD_INPUT, STOPPED)) + ["traceback"] * ("Traceback" in said)
    wrong += [f"{len(lines)} lines: {lines}"] * (status != 0 and len(lines) != 1)
    if status == 0:
        wrong += [*differs(cut, whole), *(path.name for of in (cut, home) for path in of.rglob("*.tmp"))]
    return wrong


@pytest.mark.faults
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("begun", "stops"), [(0, 0), (1, 0), (0, 1)], ids=["new", "going on", "Ctrl-C"])
def test_a_run_goes_on_after_a_fault_at_every_read_write_and_rename(
    begun, stops, part, phantom, self_tested, tmp_path, capfd, monkeypatch
):
    for name in LOADED:
        import_module(name)  # once, for all forks
    gc.freeze()  # or each fork would copy what its collector looks at
    words, start = [*WORDS, f"data.root={phantom.root}"], time.monotonic()
    whole, before, cut, home, log = (tmp_path / name for name in ("whole", "before", "run", "home", "log.txt"))
    status, done = in_a_child(words, log, cut, home)
    assert status == 0, log.read_text()
    shutil.copytree(cut, whole)
    going_on = [*words, "ckpt_path=last"]
    if begun:  # by a run whose disk was full after its first epoch
        at = next(number for number, what in enumerate(done) if what.startswith("rename") and "last.ckpt" in what) + 1
        shutil.rmtree(cut)
        assert in_a_child(words, log, cut, home, at=at, error=FULL)[0] == 2
        for folder in (cut, home):
            shutil.copytree(folder, before / folder.name)

    def fresh():
        for folder in (cut, home):
            shutil.rmtree(folder, ignore_errors=True)
            if begun:
                shutil.copytree(before / folder.name, folder)

    if begun:
        words = going_on
        fresh()
        status, done = in_a_child(words, log, cut, home)
        assert fault_of(status, log.read_text(), cut, whole, home) == []
        done = done[: done.index("rename run/curves.csv") + 1]  # from here on it is as a new one
    faults, counts = [], Counter()
    step = PARTS * int(os.environ.get("MAMMO_FAULTS_STEP", "1"))
    for at in first_of_each(done)[part::step]:
        for error in (None,) if stops else WAYS[done[at].split()[0]]:
            fresh()
            status, did = in_a_child(words, log, cut, home, at=at, error=error)
            how = os.strerror(error) if error else "Ctrl-C"
            said, what = log.read_text(), f"{(did[at:] or done[at:])[0]}: {how}"
            wrong = fault_of(status, said, cut, whole, home)
            if status:
                again, _ = in_a_child(going_on, log, cut, home)
                wrong += [f"going on: {one}" for one in fault_of(again, log.read_text(), cut, whole, home)]
                wrong += [f"going on ended with {again}: {log.read_text()[-300:]}"] * (again != 0)
            wrong += [f"status {status}"] * (status not in ((0, STOPPED) if stops else (0, BAD_INPUT)))
            counts[how, "went through" if status == 0 else "one line"] += 1
            with capfd.disabled():
                print(
                    f"{at:3d} {what}: status {status} {said.strip().rpartition(chr(10))[2][-150:]} {wrong or ''}",
                    flush=True,
                )
            if wrong:
                faults.append((what, wrong, said[-600:]))
    with capfd.disabled():
        print(f"{len(done)} operations, {counts.total()} faults, {time.monotonic() - start:.0f} s: {dict(counts)}")
    assert faults == []
