"""Progress of work on many films: a bar on a terminal, or else a line of the log now and then."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from mammo.processes import peers

log = logging.getLogger(__name__)

FEW = 100  # films below which nothing is shown
PART = 0.1  # share of the films after which a line comes
LEAST_S, MOST_S = 60.0, 600.0  # between two lines

Result = TypeVar("Result")


class Speed(ProgressColumn):
    """Shows films a second."""

    def render(self, task: Task) -> Text:
        """Return the speed as text; nothing before it is known."""
        return Text("" if task.speed is None else f"{task.speed:.1f} a second")


def watched(results: Iterable[Result], total: int, doing: str, *, few: int = FEW) -> Iterator[Result]:
    """Yield results while showing how far the work has come; only the first process of a job shows it.

    Args:
        results: The results, which are made when they are asked for.
        total: Their number.
        doing: The work in words, for example `Cutting films`.
        few: The number of results below which nothing is shown.
    """
    together = peers.peers()
    console = Console(stderr=True)
    if total < few or (together is not None and together.rank):
        yield from results
    elif console.is_terminal:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn(),
            TextColumn("to go"),
        )  # fmt: skip
        with Progress(*columns, console=console, transient=True) as bar:
            yield from bar.track(results, total, description=doing)
    else:
        yield from _logged(results, total, doing)


def _logged(results: Iterable[Result], total: int, doing: str) -> Iterator[Result]:
    """Yield results; log a line after each tenth of them, at most one a minute, and none for work of a minute."""
    begun = last = time.monotonic()
    said = 0
    for done, result in enumerate(results, 1):
        yield result
        now = time.monotonic()
        due = done - said >= PART * total or now - last >= MOST_S
        if due and now - last >= LEAST_S and done < total:
            speed = done / (now - begun)
            log.info("%s: %d of %d, %.1f a second, %s to go", doing, done, total, speed, span((total - done) / speed))
            last, said = now, done


def span(seconds: float) -> str:
    """Return a time in its two largest units, for example `2 h 05 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
