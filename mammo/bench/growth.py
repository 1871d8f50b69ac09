"""Time and memory as films grow: whole runs against the number of films, tables against the number of rows."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mammo import figures
from mammo.bench import machine
from mammo.bench.protocol import EVERY_S, pss_bytes
from mammo.errors import InputError
from mammo.paths import home
from mammo.reports.markdown import markdown

FILMS = (322, 1000, 3220)
ROWS = (1_000, 10_000, 100_000, 1_000_000)
# A network whose own time does not hide that of films, tables, heads and report.
SMALL = ["data=phantom", "model=compact", "model.image_size=64", "data.batch_size=16", "trainer.max_epochs=2"]


def measure(overrides: list[str], *, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure a first and a second run on phantoms of several sizes; tables, split and audit of several lengths.

    Raises:
        InputError: A run failed.
    """
    found: dict[str, Any] = {"films": [], "rows": []}
    for films in FILMS:
        data = ["phantom", "--women", str(films // 2)]
        subprocess.run([sys.executable, "-m", "mammo", "data", "fetch", *data], check=True, stdout=subprocess.DEVNULL)
        with tempfile.TemporaryDirectory(prefix="mammo-bench-") as folder:
            for cached in (False, True):
                cache = [sys.executable, "-m", "mammo", "data", "cache", *([] if cached else ["--clear"])]
                lines = [*SMALL, f"data.women={films // 2}", *overrides, f"hydra.run.dir={folder}/run"]
                own = _own_home(Path(folder))
                subprocess.run(cache, check=True, env=own, stdout=subprocess.DEVNULL)
                seconds, peak = watched([sys.executable, "train.py", *lines], own)
                found["films"].append({"films": films, "cached": cached, "seconds": seconds, "peak_bytes": peak})
                say(f"{films} films, {'again' if cached else 'first'}: {seconds:.1f} s, {peak / 1e6:,.0f} MB")
    for rows in ROWS:
        seconds, peak = watched([sys.executable, "-m", "mammo.bench.tables", str(rows)], dict(os.environ))
        found["rows"].append({"rows": rows, "seconds": seconds, "peak_bytes": peak})
        say(f"{rows:,} rows: {seconds:.1f} s, {peak / 1e6:,.0f} MB")
    return found


def _own_home(folder: Path) -> dict[str, str]:
    """Return the environment of a run whose caches are its own and whose films are everybody's."""
    (folder / "home").mkdir(exist_ok=True)
    for films in home().glob("phantom-*"):
        if not (folder / "home" / films.name).exists():
            (folder / "home" / films.name).symlink_to(films.resolve())
    return os.environ | {"MAMMO_HOME": str(folder / "home")}


def watched(command: list[str], env: dict[str, str]) -> tuple[float, int]:
    """Return the seconds that a command takes, and its largest proportional set size in bytes, children included.

    Looking ten times a second costs the command a few per cent of its time.

    Raises:
        InputError: It failed.
    """
    start, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=machine.checkout(), env=env, stdout=said, stderr=said)
        while process.poll() is None:
            peak = max(peak, pss_bytes(process.pid))
            time.sleep(EVERY_S)
        if process.returncode:
            said.seek(0)
            raise InputError(f"bench: {' '.join(command)}: {said.read().strip()[-300:]}")
    return time.perf_counter() - start, peak


def tables(found: dict[str, Any]) -> list[str]:
    """Return the tables as lines of Markdown."""

    def measured(row: dict[str, Any]) -> list[str]:
        return [f"{row['seconds']:.1f}", f"{row['peak_bytes'] / 1e6:,.0f}"]

    films = [[f"{row['films']:,}", "again" if row["cached"] else "first", *measured(row)] for row in found["films"]]
    rows = [[f"{row['rows']:,}", *measured(row)] for row in found["rows"]]
    return [
        f"`train.py {' '.join(SMALL)}`, drawing of the phantom not counted.", "",
        *markdown(["films", "run", "seconds", "peak MB"], films), "",
        "Findings table read and checked, split by patient, split audited.", "",
        *markdown(["rows", "seconds", "peak MB"], rows),
    ]  # fmt: skip


def draw(found: dict[str, Any], to: Path) -> None:
    """Draw `growth.png`: seconds and memory against films, and against rows."""
    to.mkdir(parents=True, exist_ok=True)
    series = {
        ("films", "first run"): [row for row in found["films"] if not row["cached"]],
        ("films", "again, from caches"): [row for row in found["films"] if row["cached"]],
        ("rows", "tables"): found["rows"],
    }
    lines = []
    for (of, name), rows in series.items():
        megabytes = [row["peak_bytes"] / 1e6 for row in rows]
        lines.append((of, name, [row[of] for row in rows], [row["seconds"] for row in rows], megabytes))
    figures.save(figures.growth(lines), to / "growth.png")
