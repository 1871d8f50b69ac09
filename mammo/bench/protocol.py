"""The protocol of measured processes: one line of JSON asks for steps, one line answers with the seconds of each.

Only the standard library is imported here, so that a Python without this project's packages can run it.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

FIRST = 4  # batches that are not counted, while loader workers start and fill their queues
EVERY_S = 0.1  # between two measurements of the memory
Action = Callable[[int], list[float]]


def serve(build: Callable[[dict[str, Any]], dict[str, Action]]) -> None:
    """Build the actions from the first argument of this process, then answer requests until the input ends.

    All other output of the process goes to standard error.

    Args:
        build: Makes actions by name from the settings; an action takes a number of steps and returns seconds for each.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    actions = build(json.loads(sys.argv[1]))
    answers.write(json.dumps(sorted(actions)) + "\n")
    for line in sys.stdin:
        name, count = json.loads(line)
        answers.write(json.dumps(actions[name](count)) + "\n")


def uncounted(device: str) -> int:
    """Return the number of batches not to count; on a GPU every core has a worker with two batches in its queue."""
    return FIRST if device == "cpu" else max(FIRST, 2 * (os.cpu_count() or 1))


def timed(step: Callable[[], object], count: int, wait: Callable[[], object] | None = None) -> list[float]:
    """Return the seconds of each of `count` steps, or only their mean if a device runs behind (`wait` waits for it)."""
    step()  # the first step is slower
    if wait is not None:
        wait()
    ends = [time.perf_counter()]
    for _ in range(count):
        step()
        ends.append(time.perf_counter())
    if wait is not None:
        wait()
        return [(time.perf_counter() - ends[0]) / count]
    return [end - start for start, end in pairwise(ends)]


@contextlib.contextmanager
def peak_of(pid: int) -> Iterator[list[int]]:
    """Watch the memory of a process and its children; the list ends with the largest proportional set size in bytes."""
    peaks, done = [0], threading.Event()

    def look() -> None:
        while not done.wait(EVERY_S):
            peaks.append(max(peaks[-1], pss_bytes(pid)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


class Measured:
    """A measured process that runs `serve`, seen from outside.

    Attributes:
        actions: The names of its actions.
        peak_bytes: The largest proportional set size, with children, while it was built and watched; 0 if the system
            gives none. Watching slows the process down, so it is not watched while it is timed.

    Args:
        module: A module of this package that calls `serve`.
        settings: The settings for its `build`.
        python: The interpreter.
        log: The file for its standard error.
    """

    def __init__(self, module: str, settings: dict[str, Any], *, python: str, log: Path) -> None:
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if module == "keras_loop" else {}  # Keras would use a GPU unasked
        command = [python, "-m", f"mammo.bench.{module}", json.dumps(settings)]
        with log.open("a") as errors:
            self.process: Any = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                cwd=Path(__file__).parents[2], env=os.environ | hidden,
            )  # fmt: skip
        self.log = log
        with peak_of(self.process.pid) as peaks:
            self.actions: list[str] = self._answer()
        self.peak_bytes = peaks[-1]

    def watch(self, name: str, count: int) -> None:
        """Take `count` steps of an action while its memory is watched."""
        with peak_of(self.process.pid) as peaks:
            self.ask(name, count)
        self.peak_bytes = max(self.peak_bytes, peaks[-1])

    def ask(self, name: str, count: int) -> list[float]:
        """Take `count` steps of an action and return the seconds of each."""
        self.process.stdin.write(json.dumps([name, count]) + "\n")
        self.process.stdin.flush()
        return list(self._answer())

    def _answer(self) -> Any:
        if not (line := self.process.stdout.readline()):
            lines = self.log.read_text().strip().splitlines()
            raise RuntimeError(f"{self.log.stem} ended: {lines[-1] if lines else 'it printed nothing'}")
        return json.loads(line)

    def close(self) -> None:
        """End the process; kill it if it has not ended after a minute."""
        try:
            self.process.communicate(timeout=60)  # this closes its input, which ends it
        except subprocess.TimeoutExpired:
            self.process.kill()


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process and its descendants; a shared page is divided among its users."""
    total = 0
    for one in [pid, *_descendants(pid)]:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _descendants(int(child))
