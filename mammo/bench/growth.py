"""Time and memory of whole runs by the number of films, and of tables by the number of rows."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mammo import figures
from mammo.bench import machine
from mammo.reports.markdown import markdown

FILMS = (322, 1000, 3220)
ROWS = (1_000, 10_000, 100_000, 1_000_000)
# The network is small, so that its own time does not hide that of films, tables, heads and the report.
SMALL = ["data=phantom", "model=compact", "model.image_size=64", "data.batch_size=16", "trainer.max_epochs=2"]


def measure(overrides: list[str], *, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure two runs on each of several sizes of phantom, and split and audit of tables of several lengths.

    Raises:
        InputError: A command failed.
    """
    found: dict[str, Any] = {"films": [], "rows": []}

    def add(kind: str, shown: str, line: list[str], env: dict[str, str] | None = None, **facts: object) -> None:
        seconds, peak, _ = machine.ran(line, env, watch=True)
        found[kind].append({**facts, "seconds": seconds, "peak_bytes": peak})
        say(f"{shown}: {seconds:.1f} s, {peak / 1e6:,.0f} MB")

    for films in FILMS:
        machine.ran(["-m", "mammo", "data", "fetch", "phantom", "--patients", str(films // 2)])
        with tempfile.TemporaryDirectory(prefix="mammo-bench-") as folder:
            line = ["train.py", *SMALL, f"data.patients={films // 2}", *overrides]
            env = machine.own_home(Path(folder))
            for cached in (False, True):
                shown = f"{films} films, {'again' if cached else 'first'}"
                add("films", shown, [*line, f"hydra.run.dir={folder}/{cached}"], env, films=films, cached=cached)
    for rows in ROWS:
        add("rows", f"{rows:,} rows", ["-m", "mammo.bench.tables", str(rows)], rows=rows)
    return found


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
    """Draw seconds and memory against films and rows into `growth.png` in the folder `to`."""
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
