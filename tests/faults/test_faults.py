"""A run meets a failing disk at each read, write and rename: it says so in one line, and its folder can go on.

`python -m pytest -m faults -n 0 -s tests/faults` injects at all of them; without the mark a small file is tried.
"""

import os
import shutil
import sys
from importlib import import_module

import pytest

from mammo.files import write_text
from tests.faults.failing import BROKEN, FULL, Failing

WORDS = [
    *("data=phantom", "data.patients=16", "split.shares=[0.5,0.25,0.25]", "data.workers=0", "model=compact"),
    *("model.image_size=64", "trainer.max_epochs=1", "heads=[lda]"),
]
SAME = ["predictions.csv", "metrics.json", "split.csv", "samples.csv", "features.csv"]


@pytest.mark.parametrize("at", range(3))
def test_a_file_is_the_old_one_or_the_new_one_whatever_fails(tmp_path, at):
    """Writing opens a temporary file and renames it; the third is beyond."""
    path = tmp_path / "a.txt"
    path.write_text("old")
    found = None
    with Failing(tmp_path, at).at_work() as disk:
        try:
            write_text("new", path)
        except OSError as error:
            found = error.errno
    assert found == (FULL, BROKEN, None)[at]
    assert path.read_bytes() == (b"new" if found is None else b"old")
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]
    assert [one.split()[0] for one in disk.done][:2][: at + 1] == ["write", "rename"][: at + 1]


def in_a_child(folder, words, log, at=None):
    """Run the command in a fork of this process, which has imported it; return its status and what it did."""
    done = log.with_suffix(".done")
    child = os.fork()
    if child == 0:
        status = 70
        try:
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            from mammo.cli import train

            disk = Failing(folder, at)
            try:
                with disk.at_work():
                    train.main([*words])
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


@pytest.mark.faults
def test_a_run_goes_on_after_a_fault_at_every_read_write_and_rename(tmp_path, capfd):
    import_module("mammo.runs.train")  # once, for all forks
    whole = tmp_path / "whole"
    status, done = in_a_child(whole, [*WORDS, f"hydra.run.dir={whole}"], tmp_path / "whole.log")
    assert status == 0, (tmp_path / "whole.log").read_text()
    expected = {name: (whole / name).read_bytes() for name in SAME}
    step, faults = int(os.environ.get("MAMMO_FAULTS_STEP", "1")), []
    for at in range(0, len(done), step):
        folder, log = tmp_path / "cut", tmp_path / "cut.log"
        shutil.rmtree(folder, ignore_errors=True)
        words = [*WORDS, f"hydra.run.dir={folder}"]
        status, _ = in_a_child(folder, words, log, at)
        said = log.read_text()
        wrong = [] if status in (0, 2) else [f"status {status}"]
        wrong += ["traceback"] * ("Traceback" in said)
        again, _ = in_a_child(folder, [*words, "ckpt_path=last"], log)
        wrong += [f"going on ended with {again}: {log.read_text()[-300:]}"] * (again != 0)
        wrong += [name for name in SAME if again == 0 and (folder / name).read_bytes() != expected[name]]
        if again == 0:
            wrong += [path.name for path in folder.rglob("*.tmp")]
        with capfd.disabled():
            print(f"{at:3d} {done[at]}: status {status}{'; ' if wrong else ''}{'; '.join(wrong)}", flush=True)
        if wrong:
            faults.append((done[at], wrong, said[-600:]))
    assert faults == []
