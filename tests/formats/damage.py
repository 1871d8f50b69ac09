"""Random damage to the bytes of a file: flipped, removed, inserted, zeroed and doubled, mostly in its header.

`python -m tests.formats.damage 2000` reads as many damaged films of all kinds and prints what became of them.
"""

import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from mammo.datasets.film import read_film
from mammo.errors import UnreadableFilm
from mammo.formats.header import read_header


def damaged(content, rng):
    """The content with one to five faults."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        size = max(len(data), 1)
        reach = size if rng.random() < 0.5 else min(size, 1500)
        at, length = int(rng.integers(reach)), int(rng.integers(1, 1 + min(size, 64)))
        how = rng.integers(7)
        if how == 0:
            data[at : at + 1] = bytes([int(rng.integers(256))])
        elif how == 1 and at < len(data):
            data[at] ^= 1 << int(rng.integers(8))
        elif how == 2:
            data = data[: int(rng.integers(size))]
        elif how == 3:
            data[at:at] = rng.bytes(length)
        elif how == 4:
            data[at : at + length] = bytes(length)
        elif how == 5:
            del data[at : at + length]
        else:
            data[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"])
    return bytes(data)


def read_all(count, seed=0, say=print):
    """Read `count` damaged films; return how many were read and refused, and the slowest in seconds."""
    from tests.formats.ways import WAYS

    found, slowest = Counter(), 0.0
    names = list(WAYS)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            path = Path(folder, "film")
            path.write_bytes(damaged(WAYS[names[number % len(names)]][0], rng))
            say(f"{number} {names[number % len(names)]}")
            start = time.monotonic()
            header = read_header(path)
            try:
                read_film(path)
                found["read"] += 1
                assert header.refused is None, (number, header.refused)
            except UnreadableFilm as error:
                assert str(error).startswith(str(path)) and "\n" not in str(error)
                found["refused"] += 1
                found["refused by the header"] += header.refused is not None
            slowest = max(slowest, time.monotonic() - start)
    return found, slowest


if __name__ == "__main__":
    found, slowest = read_all(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0, say=lambda line: None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(dict(found), f"the slowest took {slowest:.2f} s; at most {peak} MB")
