"""Films are shared out to processes: in order, each once, and one that kills its process ends nothing."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from mammo import errors
from mammo.errors import InputError, UnreadableFilm, message_for_user
from mammo.processes import workers
from mammo.processes.workers import AHEAD, FEW, shared_out

ITEMS = list(range(FEW + 5))


pytestmark = pytest.mark.usefixtures("two_cores")


def test_results_come_in_order_from_other_processes():
    found = list(shared_out(lambda item: (item, os.getpid()), ITEMS))
    assert [item for item, _ in found] == ITEMS
    assert len({process for _, process in found} - {os.getpid()}) <= 2 and os.getpid() not in dict(found).values()


@pytest.mark.parametrize("fails", ["ProcessPoolExecutor", "ProcessPoolExecutor.submit"])
def test_where_no_process_can_be_started_this_one_does_the_work(monkeypatch, caplog, fails):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"mammo.processes.workers.{fails}", full)
    with caplog.at_level("INFO"):
        assert list(shared_out(abs, range(-20, 0))) == list(range(20, 0, -1))
    assert "No space left" in caplog.text


def test_shared_memory_that_is_too_small_is_one_line_that_names_it(monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    unable = RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")
    killed = RuntimeError("DataLoader worker is killed by signal: Bus error. It might be out of shared memory")
    assert message_for_user(unable) == message_for_user(killed) == errors.NO_SHARED
    monkeypatch.setattr(errors, "_shared_is_full", lambda: True)
    assert message_for_user(full) == errors.NO_SHARED and "data.workers=0" in errors.NO_SHARED
    monkeypatch.setattr(errors, "_shared_is_full", lambda: False)
    assert message_for_user(full).startswith("a file: No space")


def test_few_items_stay_in_this_process():
    assert set(shared_out(lambda _: os.getpid(), ITEMS[: FEW - 1])) == {os.getpid()}


@pytest.mark.parametrize("items", [ITEMS, ITEMS[:3]])
def test_what_is_unreadable_is_told_and_the_rest_goes_on(items):
    def work(item):
        if item == 1:
            raise UnreadableFilm("one is torn")
        return item

    found = list(shared_out(work, items))
    assert str(found.pop(1)) == "one is torn" and found == [item for item in items if item != 1]


@pytest.mark.parametrize("items", [ITEMS, ITEMS[:3]])
def test_another_error_is_raised(items):
    def work(item):
        raise InputError(f"{item} is altered")

    with pytest.raises(InputError, match="0 is altered"):
        list(shared_out(work, items))


@pytest.mark.slow
def test_an_item_that_kills_its_process_is_unreadable_and_no_other_is():
    def work(item):
        if item in (3, 9):
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    found = list(shared_out(work, ITEMS))
    assert [item for item in ITEMS if isinstance(found[item], UnreadableFilm)] == [3, 9]
    assert "died" in str(found[3]) and found[4] == 4


def test_at_most_a_few_items_are_ahead_of_the_one_that_is_looked_at(tmp_path):
    def work(item):
        (tmp_path / str(item)).touch()

    answers = shared_out(work, ITEMS)
    next(answers)
    time.sleep(0.2)
    assert len(list(tmp_path.iterdir())) <= 2 * AHEAD
    answers.close()


KILLED = r"""
import os, signal, sys, time
from mammo.processes import workers
workers._cores = lambda **_: 2
print(os.getpid(), flush=True)
def work(item):
    os.write(1, f"{os.getpid()}\n".encode())
    time.sleep(60)
list(workers.shared_out(work, range(9)))
"""


def test_the_processes_end_with_a_parent_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) as parent:
        parent.stdout.readline()
        processes = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
    end = time.monotonic() + 10
    while any(Path(f"/proc/{one}").exists() for one in processes):
        assert time.monotonic() < end, "a worker outlives its parent"
        time.sleep(0.02)


def test_a_forked_process_computes_without_the_threads_that_it_does_not_have():
    cv2.setNumThreads(4)
    try:
        cv2.medianBlur(np.zeros((256, 256), np.uint8), 5)  # starts OpenCV's threads
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork"), workers.help_out, (os.getpid(),)) as pool:
            assert pool.submit(cv2.getNumThreads).result(30) == 1
    finally:
        cv2.setNumThreads(1)


@pytest.mark.parametrize(
    ("variables", "cores"),
    [
        ({}, 8),
        ({"SLURM_CPUS_ON_NODE": "2"}, 2),  # a job of an array that Slurm does not bind to its cores
        ({"SLURM_CPUS_ON_NODE": "32"}, 8),  # one that it binds
        (
            {
                "TORCHELASTIC_RUN_ID": "1",
                "RANK": "0",
                "WORLD_SIZE": "4",
                "GROUP_WORLD_SIZE": "1",
                "LOCAL_WORLD_SIZE": "4",
            },
            2,
        ),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "0"}, 4),
        ({"SLURM_STEP_NUM_TASKS": "99", "SLURM_STEP_NUM_NODES": "1", "SLURM_PROCID": "0"}, 1),
    ],
)
def test_the_processes_of_a_job_share_the_cores_of_a_machine(monkeypatch, variables, cores):
    monkeypatch.undo()  # of the two cores above
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: set(range(8)))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert workers._cores() == cores
    assert workers._cores(alone=True) == min(int(variables.get("SLURM_CPUS_ON_NODE", 8)), 8)
