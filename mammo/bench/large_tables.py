"""Time and memory of evaluate, compare and report by the number of rows of predictions."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from mammo.bench import machine
from mammo.bench.growth import SMALL
from mammo.reports.markdown import markdown
from mammo.run_tables import ROWS

LENGTHS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
EACH = 4  # images of a patient
PLAIN = csv.WriteOptions(quoting_style="none")


def measure(most: int, *, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure the commands on made tables of up to `most` rows, and on a run whose tables have so many.

    Raises:
        InputError: A command failed.
    """
    found = []
    with tempfile.TemporaryDirectory(prefix="mammo-bench-") as name:
        folder = Path(name)
        machine.ran(["train.py", *SMALL, "heads=logistic", f"hydra.run.dir={folder}/small"])
        for rows in (one for one in LENGTHS if one <= most):
            tables = [str(made(rows, folder / f"{seed}.csv", seed)) for seed in (1, 2)]
            run = str(grown(folder / "small", folder / "run", rows))
            commands = {"evaluate": ["evaluate", tables[0]], "compare": ["compare", *tables], "report": ["report", run]}
            for command, line in commands.items():
                before = os.times()
                seconds, peak, _ = machine.ran(["-m", "mammo", *line], watch=True)
                after = os.times()
                used = sum(getattr(after, one) - getattr(before, one) for one in ("children_user", "children_system"))
                found.append(
                    {"rows": rows, "command": command, "seconds": seconds, "processor": used, "peak_bytes": peak}
                )
                say(f"{rows:,} rows, {command}: {seconds:.1f} s, {used:.1f} s of a processor, {peak / 1e6:,.0f} MB")
    return found


def made(rows: int, path: Path, seed: int) -> Path:
    """Write a table of predictions of two classifiers' scores alike but for noise, by the seed; return its path."""
    rng, noise = np.random.default_rng(0), np.random.default_rng(seed)
    images = np.arange(rows)
    positive = rng.random(rows) < 0.2
    score = positive + rng.normal(size=rows) + rng.normal(size=rows // EACH + 1)[images // EACH]
    score = (score + noise.normal(0, 0.5, rows)).round(4)
    table = pa.table({
        "image_id": _named("f", images), "patient": _named("w", images // EACH),
        "label": pc.if_else(pa.array(positive), "malignant", "benign"),
        "score": score, "p_benign": (1 - 1 / (1 + np.exp(2 - score))).round(6),
        "p_malignant": (1 / (1 + np.exp(2 - score))).round(6),
    })  # fmt: skip
    csv.write_csv(table, path, PLAIN)
    return path


def grown(small: Path, run: Path, rows: int) -> Path:
    """Write a run folder with the tables of a small run, repeated until there are `rows` predictions; return it.

    The images and patients of each copy have names of their own.
    """
    shutil.rmtree(run, ignore_errors=True)
    left_out = ("checkpoints", "figures", "features*", "heads", ROWS)  # the numbers of rows are those of the small run
    shutil.copytree(small, run, ignore=shutil.ignore_patterns(*left_out))
    copies, rng = rows // csv.read_csv(small / "predictions.csv").num_rows + 1, np.random.default_rng(0)
    for name in ("predictions.csv", "samples.csv", "split.csv"):
        as_words = csv.ConvertOptions(column_types={"fold": pa.string(), "seed": pa.string()})
        table = csv.read_csv(small / name, convert_options=as_words)
        with csv.CSVWriter(run / name, table.schema, write_options=PLAIN) as file:
            for copy in range(copies):
                one = table
                for column in ("image_id", "patient"):
                    named = pc.binary_join_element_wise(table[column], str(copy), "-")
                    one = one.set_column(one.schema.get_field_index(column), column, named)
                if name == "predictions.csv":
                    score = table["score"].to_numpy() + rng.normal(0, 0.01, len(table)).round(6)
                    one = one.set_column(one.schema.get_field_index("score"), "score", pa.array(score))
                file.write_table(one)
    return run


def _named(letter: str, numbers: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise(letter, pc.cast(pa.array(numbers), pa.string()), "")


def tables(found: list[dict[str, Any]]) -> list[str]:
    """Return the table as lines of Markdown."""
    rows = [
        [f"{one['rows']:,}", one["command"], f"{one['seconds']:.1f}", f"{one['processor']:.1f}",
         f"{one['peak_bytes'] / 1e6:,.0f}"]
        for one in found
    ]  # fmt: skip
    return markdown(["rows", "command", "seconds", "seconds of a processor", "peak MB"], rows)
