"""Time and memory of the audit by the number of films, and how many planted copies it finds among them."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mammo.bench import machine
from mammo.bench.comparing import KINDS, PATIENTS
from mammo.reports.markdown import markdown

PROGRAM = ["-m", "mammo.bench.comparing"]
ADDED = 100  # files, to an audit of many


def measure(*, films: list[int], files: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the comparison of hashes for several numbers of films, and whole audits of files.

    Args:
        films: The numbers of films.
        files: The number of files; 0 for none.
        say: Prints a line.

    Raises:
        InputError: A command failed.
    """
    machine.ran(["-m", "mammo", "data", "fetch", "phantom", "--patients", str(PATIENTS)])
    found: dict[str, Any] = {"compared": [], "audits": []}
    for number in films:
        _, peak, text = machine.ran([*PROGRAM, "compare", str(number)], watch=True)
        found["compared"].append(json.loads(text.splitlines()[-1]) | {"peak_bytes": peak})
        say(f"{number:,} films, {peak / 1e6:,.0f} MB: {text.splitlines()[-1]}")
    with tempfile.TemporaryDirectory(prefix="mammo-bench-") as folder:
        env = machine.own_home(Path(folder))
        line = ["-m", "mammo", "audit", "films", f"{folder}/films"]
        for what, start, end in (("first", 0, files), ("again", 0, 0), (f"{ADDED} added", files, files + ADDED)):
            if not files:
                break
            machine.ran([*PROGRAM, "write", f"{folder}/films", str(start), str(end)])
            seconds, peak, _ = machine.ran(line, env, watch=True)
            found["audits"].append({"files": max(end, files), "what": what, "seconds": seconds, "peak_bytes": peak})
            say(f"{files:,} files, {what}: {seconds:.1f} s, {peak / 1e6:,.0f} MB")
    return found


def tables(found: dict[str, Any]) -> list[str]:
    """Return the tables as lines of Markdown."""

    def share(row: dict[str, Any], kind: str) -> str:
        return f"{row['proposed'][kind]:,} of {row['planted'][kind]:,}"

    compared = []
    for row in found["compared"]:
        seconds = row["seconds"]
        cells = [f"{row['films']:,}", *(f"{seconds[of]:.1f}" for of in ("all", "cores", "new"))]
        cells += [f"{row['peak_bytes'] / 1e6:,.0f}", f"{row['pairs']:,}", f"{1000 * seconds['aligning']:.1f}"]
        cells += [share(row, kind) for kind in KINDS]
        compared.append(cells)
    audits = [
        [f"{row['files']:,}", row["what"], f"{row['seconds']:.1f}", f"{row['peak_bytes'] / 1e6:,.0f}"]
        for row in found["audits"]
    ]
    columns = [
        "films",
        "seconds",
        "core seconds",
        "seconds for 1 % new",
        "peak MB",
        "pairs to align",
        "ms to align one",
    ]
    return [
        "Hashes of films compared; of the planted copies, those that are paired with their film.", "",
        *markdown([*columns, *KINDS], compared), "",
        "`mammo audit films` of files of 256 x 256 pixels.", "",
        *markdown(["files", "audit", "seconds", "peak MB"], audits),
    ]  # fmt: skip
