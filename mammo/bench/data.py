"""Films a second: headers, the bare decoder, and decoding with cutting; and the memory, which films do not increase.

Also the seconds for a large archive to be indexed, and for a large table to be checked and split.
"""

import json
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from mammo.bench import machine
from mammo.datasets.phantom import Phantom
from mammo.errors import InputError
from mammo.reports.markdown import markdown

SHAPE = (16, 13)  # height to width of a film
NAMED = {
    "headers": "headers, first time",
    "again": "headers, remembered",
    "decode": "the bare decoder, a process on each core",
    "cut": "decoding and cutting",
}


def measure(
    *, films: int, megapixels: float, form: str, rounds: int, index: int, rows: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Draw films in a temporary folder, and measure all work on them in turns.

    Args:
        films: The number of films.
        megapixels: Size of a film in millions of pixels.
        form: One of `films.FORMATS`.
        rounds: The number of rounds; each measures all work on films once.
        index: The number of tiny films of an archive that is indexed; 0 leaves it out.
        rows: The number of rows of a table that is checked and split; 0 leaves it out.
        say: Takes lines about what was measured.

    Raises:
        InputError: The format is unknown, or a process failed.
    """
    from mammo.bench.films import FORMATS, write_film

    if form not in FORMATS:
        raise InputError(f"--format {form} is unknown; expected one of {', '.join(FORMATS)}")
    side = (megapixels * 1e6 / (SHAPE[0] * SHAPE[1])) ** 0.5
    height, width = (round(side * one) for one in SHAPE)
    suffix = {"j2k": ".dcm", "rle": ".dcm", "png16": ".png", "pgm": ".pgm"}[form]
    found: dict[str, Any] = {"films": films, "shape": [height, width], "format": form, "work": {}}
    with tempfile.TemporaryDirectory(prefix="mammo-bench-") as given:
        folder = Path(given)
        (folder / "films").mkdir()
        phantom = Phantom(patients=max(-(-films // 2), 2), root=str(folder / "phantom"))
        phantom.prepare()
        for image_id in sorted(phantom.manifest())[:films]:
            large = cv2.resize(phantom.read(image_id).pixels, (width, height), interpolation=cv2.INTER_CUBIC)
            write_film(folder / "films" / f"{image_id}{suffix}", large, form)
        say(f"{films} films of {height} x {width} pixels are written as {form}")
        works = list(NAMED)
        for number in range(rounds):
            home = folder / f"home-{number}"
            for work in works:
                one = _ran(work, folder, home)
                found["work"].setdefault(work, []).append(one)
                say(f"round {number + 1}, {NAMED[work]}: {films / one['seconds']:.2f} films a second")
        found["peak_bytes"] = {work: _ran(work, folder, folder / "watched", watch=True)["peak"] for work in works[-2:]}
        if index:
            archive, env = str(folder / "archive"), os.environ | {"MAMMO_HOME": str(folder / "home-index")}
            machine.ran(["-m", "mammo.bench.indexing", "write", archive, str(index)])
            _, _, text = machine.ran(["-m", "mammo.bench.indexing", "index", archive], env)
            found["index"] = {"films": index, **json.loads(text.splitlines()[-1])}
            say(_of_index(found["index"]))
    if rows:
        _, peak, text = machine.ran(["-m", "mammo.bench.tables", str(rows)], watch=True)
        found["table"] = {"rows": rows, "peak_bytes": peak, **json.loads(text.splitlines()[-1])}
        say(_of_table(found["table"]))
    return found


def _ran(work: str, folder: Path, home: Path, *, watch: bool = False) -> dict[str, Any]:
    """Run one work in a process of its own; `peak` is the largest memory in bytes, if it was watched."""
    env = os.environ | {"MAMMO_HOME": str(home)}
    arguments = ["-m", "mammo.bench.films", work, str(folder / "films"), str(home)]
    _, peak, text = machine.ran(arguments, env, watch=watch)
    return {**json.loads(text.splitlines()[-1]), "peak": peak}


def tables(found: dict[str, Any]) -> list[str]:
    """Return the tables as lines of Markdown."""
    height, width = found["shape"]
    medians = {
        work: {key: statistics.median(one[key] for one in runs) for key in ("seconds", "cpu_seconds")}
        for work, runs in found["work"].items()
    }
    rows = []
    for work, of in medians.items():
        speed = found["films"] / of["seconds"]
        shown = [f"{speed:,.0f}" if speed > 100 else f"{speed:.2f}", f"{of['cpu_seconds'] / found['films']:.3f}"]
        peak = found["peak_bytes"].get(work)
        rows.append([NAMED[work], *shown, f"{peak / 1e6:,.0f}" if peak else ""])
    ratio = {key: medians["cut"][key] / medians["decode"][key] for key in ("seconds", "cpu_seconds")}
    return [
        f"{found['films']} drawn films of {height} x {width} pixels, written as {found['format']}; medians.", "",
        *markdown(["work", "films a second", "processor seconds a film", "peak MB"], rows), "",
        f"Decoding and cutting take {ratio['seconds']:.2f} of the bare decoder's time, and {ratio['cpu_seconds']:.2f} "
        "of its processor time.", "",
        *([f"{_of_index(found['index'])}.", ""] if "index" in found else []),
        *([f"{_of_table(found['table'])}."] if "table" in found else []),
    ]  # fmt: skip


def _of_index(found: dict[str, Any]) -> str:
    return (
        f"An archive like RSNA's with {found['films']:,} tiny films is indexed in {found['first']:.1f} s, and again, "
        f"with its headers remembered, in {found['again']:.1f} s"
    )


def _of_table(found: dict[str, Any]) -> str:
    return (
        f"A table of {found['rows']:,} rows is read and checked in {found['reading']:.1f} s, split by patient in "
        f"{found['splitting']:.1f} s, and its split is audited in {found['auditing']:.1f} s, in at most "
        f"{found['peak_bytes'] / 1e6:,.0f} MB"
    )
