"""The time and the memory that an audit of films will need, from their number and from a few of them."""

import os
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from mammo.auditing.compared import Compared, kept_for
from mammo.auditing.duplicates import correlation, has_texture
from mammo.auditing.hashes import RECORD, key_of, read_grey, record, unhashed
from mammo.auditing.nearest import ALL_PAIRS, NEAREST
from mammo.errors import UnreadableFilm
from mammo.processes.workers import shared_out

LEAST = 1000  # new films from which on a sample of films is worth its time
SAMPLE = 32
LONG_S = 30  # from which on the time of a search for parts is told
# By `mammo bench audit`, which compares hashes; the table, headers and records of films need room, too
LOOK_S = 1e-3  # for a film and a core, to compare hashes
PARTS_S = 2.0  # for a film and a core, to look for parts of it in the others: 362 films of two cores took 410 s
MEMORY = 3e8, 3000  # bytes, and bytes for a film


def forecast(paths: Sequence[Path], sources: Sequence[Path]) -> str | None:
    """Return a line about the time, memory and disk of an audit; None if there are few new films, or none to read.

    Args:
        paths: The files of the films.
        sources: The folder or table that each film comes from.
    """
    missing = unhashed(paths, sources)
    known = set(Compared.read(kept_for(sources)).key.tolist())
    new = sum(key_of(path) not in known for path in paths)
    if new < LEAST:
        return None
    sample = [paths[row] for row in np.linspace(0, len(paths) - 1, SAMPLE).astype(int)]
    start = time.perf_counter()
    made = [one for one in shared_out(lambda path: record(read_grey(path)), sample, alone=True)
            if not isinstance(one, UnreadableFilm)]  # fmt: skip
    hashing = (time.perf_counter() - start) / SAMPLE
    if len(made) < 2:
        return None
    start = time.perf_counter()
    for one in made:
        has_texture(one["thumb"])
    texture = (time.perf_counter() - start) / len(made)
    start = time.perf_counter()
    for one, other in pairwise(made):
        correlation(one["thumb"], other["thumb"])
    aligning = (time.perf_counter() - start) / (len(made) - 1)
    few = len(paths) <= ALL_PAIRS  # of few films about 1 % of the pairs are near; of many each has its nearest
    pairs = 0.01 * new * len(paths) if few else NEAREST * new
    comparing = (new * (texture + LOOK_S) + pairs * aligning) / (os.cpu_count() or 1)
    memory, disk = MEMORY[0] + MEMORY[1] * len(paths), RECORD.itemsize * len(missing)
    return (
        f"{len(paths):,} films: hashing {len(missing):,} of them takes about {_span(hashing * len(missing))}, "
        f"comparing {new:,} with all takes {_span(comparing)} at most; {memory / 1e9:.1f} GB of memory, and "
        f"{disk / 1e9:.1f} GB more below MAMMO_HOME"
    )


def forecast_of_parts(films: int) -> str | None:
    """Return a line about the time that a search for parts of so many films will need; None if it is short."""
    seconds = PARTS_S * films / (os.cpu_count() or 1)
    if seconds < LONG_S:
        return None
    return f"{films:,} films: looking for parts of films takes about {_span(seconds)}; --no-parts leaves it out"


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"
