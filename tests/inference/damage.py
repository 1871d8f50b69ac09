"""Damaged inputs of every kind, through the command line and the service: each gets a row with its reason.

`python -m tests.inference.damage RUN 2000` asks both about as many, and prints the counts, the time of the slowest
call and the most memory; `serve` or `predict` behind it asks this one alone. It stops at a traceback, a hang, a file
without a row, or 2 GB.
"""

import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from pathlib import Path

import httpx
import numpy as np

from tests.formats import ways
from tests.formats.damage import damaged
from tests.formats.ways import WAYS, X, dicom
from tests.serving.live import descendants, memory_mb, served

AT_ONCE, SENT, MOST_S, MOST_MB = 500, 16, 900, 2000
UNDEFINED = b"\xff\xff\xff\xff"


def _chunk(kind, text):
    return struct.pack(">I", len(text)) + kind + text + struct.pack(">I", zlib.crc32(kind + text))


def _zeros_png(side, depth=8, colour=0, rows=None):
    """A PNG of zeros, small on disk; of fewer rows than it says, if they are given."""
    samples = 3 if colour == 2 else 1
    pack = zlib.compressobj(9)
    row = bytes(1 + side * samples * depth // 8)
    data = b"".join(pack.compress(row) for _ in range(rows or side)) + pack.flush()
    head = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def nested(depth, sized=False):
    """A DICOM file whose sequences of the VOI tables lie in each other."""
    sequence = struct.pack("<HH", 0x0028, 0x3010)
    if sized:
        inner = b""
        for _ in range(depth):
            item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
            inner = sequence + b"SQ\0\0" + struct.pack("<I", len(item)) + item
    else:
        inner = (sequence + b"SQ\0\0" + UNDEFINED + struct.pack("<HH", 0xFFFE, 0xE000) + UNDEFINED) * depth
    content = dicom(X)
    at = content.index(struct.pack("<HH", 0x7FE0, 0x10))
    return content[:at] + inner + content[at:]


def _sized(tag, value):
    """A sound DICOM file with another value of a tag of two bytes."""
    content = bytearray(dicom(X))
    at = content.index(struct.pack("<HH", *tag) + b"US\2\0") + 8
    content[at : at + 2] = struct.pack("<H", value)
    return bytes(content)


def _long(tag, length):
    """A sound DICOM file whose pixels or a tag say another length."""
    content = bytearray(dicom(X))
    at = content.index(struct.pack("<HH", *tag))
    where, form = (at + 8, "<I") if tag[0] == 0x7FE0 else (at + 6, "<H")
    struct.pack_into(form, content, where, length)
    return bytes(content)


def contents(count, seed=0):
    """Yield `count` names and damaged contents: the odd kinds first, then damaged films of all `WAYS`."""
    rng = np.random.default_rng(seed)
    tiff = bytearray(ways.tiff(X))
    struct.pack_into("<I", tiff, 4, 4)  # its directory lies in its own header
    odd = {
        "empty": b"", "one byte": b"\0", "html": b"<html>moved</html>" * 9, "text": b"no film\n" * 90,
        "zip": b"PK\3\4" + rng.bytes(900), "gzip": b"\x1f\x8b\x08" + rng.bytes(900), "pdf": b"%PDF-1.7\n",
        "noise": rng.bytes(50_000), "zeros": bytes(50_000), "DICM alone": bytes(128) + b"DICM",
        "meta alone": dicom(X)[:400], "nested": nested(3000), "nested, sized": nested(800, sized=True),
        "a bomb of zeros": _zeros_png(14_000), "a larger bomb": _zeros_png(60_000, rows=9),
        "a bomb in colour": _zeros_png(9_000, 16, 2),
        "a tiff that leads to itself": bytes(tiff),
        "deflated bomb": dicom(X, syntax=ways.DEFLATED)[:-30] + zlib.compress(bytes(10**8)),
        **{f"Rows {n}": _sized((0x28, 0x10), n) for n in (0, 1, 201, 65535)},
        **{f"Columns {n}": _sized((0x28, 0x11), n) for n in (0, 1, 161, 65535)},
        **{f"BitsAllocated {n}": _sized((0x28, 0x100), n) for n in (0, 1, 12, 32, 64)},
        **{f"BitsStored {n}": _sized((0x28, 0x101), n) for n in (0, 1, 17, 255)},
        **{f"pixels of {n}": _long((0x7FE0, 0x10), n) for n in (0, 1, 63_999, 2**31, 2**32 - 2, 2**32 - 1)},
        **{f"PatientID of {n}": _long((0x10, 0x20), n) for n in (0, 1, 3, 40_000, 65535)},
    }  # fmt: skip
    names = list(WAYS)
    for number, (name, content) in enumerate([*odd.items()][:count]):
        yield f"{number:04} {name}", content
    for number in range(len(odd), count):
        name = names[number % len(names)]
        yield f"{number:04} {name.replace('/', '-')}", damaged(WAYS[name][0], np.random.default_rng([seed, number]))


def place_odd(folder):
    """Put what is no file among the films: folders, pipes, links; return the names that must have a row."""
    (folder / "a folder.dcm").mkdir()
    (folder / "another.dcm" / "deeper.png").mkdir(parents=True)
    os.mkfifo(folder / "pipe.dcm")
    (folder / "loop.dcm").symlink_to(folder / "loop.dcm")
    (folder / "nowhere.dcm").symlink_to(folder / "not there")
    (folder / "above.dcm").symlink_to(folder)
    (folder / "device.dcm").symlink_to("/dev/zero")
    with (folder / "sparse.dcm").open("wb") as file:
        file.write(dicom(X))
        file.truncate(6 << 30)
    with (folder / "sparse.pgm").open("wb") as file:
        file.write(b"P5 60000 60000 255 ")
        file.truncate(4 << 30)
    return {"pipe.dcm", "loop.dcm", "nowhere.dcm", "device.dcm", "sparse.dcm", "sparse.pgm"}


class Watch(threading.Thread):
    """Measures the most memory of a process and its descendants, in MB."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most, self.ended = pid, 0.0, threading.Event()

    def run(self):
        while not self.ended.wait(0.5):
            self.most = max(self.most, memory_mb(self.pid))


def by_command_line(run, folder, found):
    """Ask the command line about a folder; count what became of its files, and return seconds, MB, and paths."""
    words = [sys.executable, "-m", "mammo", "predict", str(run), str(folder), "--json", "--force"]
    begun = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        watch = Watch(process.pid)
        watch.start()
        try:
            out, errors = process.communicate(timeout=MOST_S)
        except subprocess.TimeoutExpired:
            for one in [*descendants(process.pid), process.pid]:
                os.kill(one, 9)
            raise
        watch.ended.set()
    assert "Traceback" not in errors and process.returncode in (0, 1, 2), errors
    rows = [row for row in json.loads(out)["predictions"] if row["unit"] == "image"]
    judge(rows, found)
    return time.monotonic() - begun, watch.most, {Path(row["path"]).name for row in rows}


def judge(rows, found):
    """Count the rows of films; one that is left out has a reason in a line."""
    for row in rows:
        found[row["status"]] += 1
        reason = row["reason"]
        assert row["status"] == "predicted" or (reason and "\n" not in reason and len(reason) < 500), row


def ask_predict(run, made):
    """Ask the command line about damaged inputs."""
    count = len(made)
    found, slowest, most = Counter(), 0.0, 0.0
    with tempfile.TemporaryDirectory() as temporary:
        for start in range(0, count, AT_ONCE):
            folder = Path(temporary, str(start))
            folder.mkdir()
            for name, content in made[start : start + AT_ONCE]:
                (folder / name).write_bytes(content)
            expected = {name for name, _ in made[start : start + AT_ONCE]} | (place_odd(folder) if not start else set())
            seconds, mb, paths = by_command_line(run, folder, found)
            assert paths == expected, paths ^ expected
            slowest, most = max(slowest, seconds), max(most, mb)
    print(f"mammo predict: {dict(found)}; the slowest call took {slowest:.1f} s; at most {most:.0f} MB", flush=True)
    assert most < MOST_MB


def ask_serve(run, made):
    """Ask the service about damaged inputs."""
    found, slowest = Counter(), 0.0
    with served(run) as (process, address, log), httpx.Client(base_url=address, timeout=MOST_S) as client:
        watch = Watch(process.pid)
        watch.start()
        for start in range(0, len(made), SENT):
            part = made[start : start + SENT]
            begun = time.monotonic()
            answer = client.post("/predict", files=[("films", one) for one in part], data={"force": "1"})
            slowest = max(slowest, time.monotonic() - begun)
            assert answer.status_code in (200, 422), (start, answer.status_code, answer.text[:300])
            rows = [row for row in answer.json()["predictions"] if row["unit"] == "image"]
            assert len(rows) == len(part)
            judge(rows, found)
        watch.ended.set()
        assert "Traceback" not in log.read_text() and "Error" not in log.read_text(), log.read_text()
    print(f"mammo serve: {dict(found)}; the slowest request took {slowest:.1f} s; at most {watch.most:.0f} MB")
    assert watch.most < MOST_MB


BOTH = {"predict": ask_predict, "serve": ask_serve}


def main(run, count, which=tuple(BOTH)):
    """Ask about `count` damaged inputs."""
    made = list(contents(count))
    for one in which:
        BOTH[one](run, made)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or tuple(BOTH))
