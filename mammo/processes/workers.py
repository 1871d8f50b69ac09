"""Processes that share out the films of a data set, since the decoders of DICOM hold Python's lock while they decode.

Each process holds one film at a time, so the memory does not grow with the number of films.
"""

import logging
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, TypeVar

import cv2

from mammo.errors import UnreadableFilm
from mammo.processes.peers import START, STOP, end_with, neighbours

FEW = 8  # films for which no process is started
MOST = 16  # processes, so that a machine of many cores does not hold a film on each of them
AHEAD = 2  # films per process that are asked for before the first one is answered

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
_at_work: list[Callable[[Any], Any]] = []  # in a worker: what it does with an item


class _NoPool(OSError):
    """Other processes cannot be started."""


def shared_out(
    work: Callable[[Item], Result], items: Sequence[Item], *, alone: bool = False
) -> Iterator[Result | UnreadableFilm]:
    """Yield the result of each item in the order of the items, or the `UnreadableFilm` that `work` raised.

    Other errors are raised. An item whose process dies, in a decoder for example, is unreadable too.

    Args:
        work: The work on one item. It runs in a copy of this process: only its result, which is pickled, comes back.
        items: The items.
        alone: True if the other processes of this job wait meanwhile, so that their cores are free.
    """
    workers = min(_cores(alone=alone), MOST, len(items))
    if workers < 2 or len(items) < FEW or START != "fork" or multiprocessing.current_process().daemon:
        yield from map(partial(_attempt, work), items)
        return
    left = deque(items)
    while left:
        try:
            for result in _from_pool(work, left, workers):
                yield result
                left.popleft()
        except _NoPool as error:
            log.info("note   one process reads the films, because others cannot be started (%s)", error.strerror)
            yield from map(partial(_attempt, work), list(left))
            return
        except BrokenProcessPool:  # one of the films at work was the cause
            for _ in range(min(workers * AHEAD, len(left))):
                try:
                    (result,) = _from_pool(work, [left[0]], 1)
                except BrokenProcessPool:
                    result = UnreadableFilm("the process that read it died; a decoder failed, or memory was short")
                yield result
                left.popleft()


def _from_pool(work: Callable[[Any], Any], items: Sequence[Any], workers: int) -> Iterator[Any]:
    """Yield the results of new processes, in order."""
    context = multiprocessing.get_context("fork")
    entry = (work, os.getpid())  # handed over by the fork, so that `work` need not be pickled
    try:
        pool = ProcessPoolExecutor(workers, context, _enter, entry)
    except OSError as error:  # no room for its semaphores in /dev/shm, for example
        raise _NoPool(error.errno, error.strerror) from None
    asked: deque[Future[Any]] = deque()
    rest = iter(list(items))
    try:
        while True:
            while len(asked) < workers * AHEAD and (item := next(rest, None)) is not None:
                try:
                    asked.append(pool.submit(_answer, item))
                except OSError as error:  # a limit on processes
                    raise _NoPool(error.errno, error.strerror) from None
            if not asked:
                return
            yield asked.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _enter(work: Callable[[Any], Any], parent: int) -> None:
    """Prepare a worker: it ends with its parent, leaves signals to it, and computes on one core."""
    help_out(parent)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a pool ends its workers by it
    _at_work[:] = [work]


def help_out(parent: int, *_: object) -> None:
    """Prepare a forked process: it ends with its parent, ignores signals to stop, and computes on one core.

    A fork does not copy OpenCV's threads, but locks that they hold at that moment stay locked: on a machine of many
    cores, one of some thousand forked processes waited for ever in its first OpenCV call.
    """
    end_with(parent)
    for number in (*STOP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(0)  # not 1: OpenCV would wait for the threads that are not there


def _answer(item: Any) -> Any:
    return _attempt(_at_work[0], item)


def _attempt(work: Callable[[Item], Result], item: Item) -> Result | UnreadableFilm:
    try:
        return work(item)
    except UnreadableFilm as error:
        return UnreadableFilm(str(error))


def _cores(*, alone: bool = False) -> int:
    """Return the number of cores that this process may use: its share of those of its job on this machine, or all.

    Under Slurm the job may have fewer cores than the machine, whether or not Slurm binds processes to them.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = int(os.environ.get("SLURM_CPUS_ON_NODE") or cores)
    return max(min(cores, given if alone else given // neighbours()), 1)
