"""Whole commands measured: what caches save, and how soon a program answers."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from mammo.bench import machine
from mammo.errors import InputError
from mammo.paths import home
from mammo.reports.markdown import markdown

FROZEN = ["model.trainable=head", "model.pool=avg", "early_stopping.patience=null", "trainer.max_epochs=30"]
START = {
    "train.py --help": ["train.py", "--help"],
    "mammo --help": ["-m", "mammo", "--help"],
    "import mammo": ["-c", "import mammo"],
}  # fmt: skip


def measure(overrides: list[str], *, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Run `train.py` on caches of their own, each line a run; then five folds with all heads; then what starts fast.

    Args:
        overrides: Of every run: `model.weights=` must name weights that can be frozen.
        rounds: How often what starts fast is started, three times at least.
        say: Is told each line.

    Raises:
        InputError: A run failed; says with what.
    """
    runs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="mammo-bench-") as folder:
        own = Path(folder, "home")
        own.mkdir()
        for films in home().glob("*"):
            if (films / "Info.txt").is_file():  # films are not fetched again
                (own / films.name).symlink_to(films.resolve())
        env = os.environ | {"MAMMO_HOME": str(own)}

        def train(name: str, *more: str) -> None:
            lines = [*more, *overrides, f"hydra.run.dir={folder}/run", f"hydra.sweep.dir={folder}/sweep"]
            command = [sys.executable, "train.py", *lines]
            start = time.perf_counter()
            ended = subprocess.run(
                command, cwd=machine.checkout(), env=env, capture_output=True, text=True, check=False
            )
            if ended.returncode:
                raise InputError(f"bench: train.py {' '.join(lines)}: {(ended.stdout + ended.stderr).strip()[-300:]}")
            runs[name] = {
                "command": " ".join([*more, *overrides]),
                "seconds": time.perf_counter() - start,
                "imports": sum(map(float, re.findall(r"^time .*: imports ([\d.]+)", ended.stdout, re.MULTILINE))),
                "computed": sum(map(int, re.findall(r"^trunk .* (\d+) to compute once", ended.stdout, re.MULTILINE))),
            }
            say(f"{name}: {runs[name]['seconds']:.1f} s, {runs[name]['computed']} samples computed once")

        train("30 epochs, cache empty", *FROZEN)
        train("30 epochs, no cache", *FROZEN, "data.cache=false")
        train("the same again", *FROZEN)
        train("30 epochs, augment=none, cache empty of it", *FROZEN, "augment=none")
        train("another head", *FROZEN, "heads=svm_linear")
        train("another seed", *FROZEN, "seed=1")
        train("five folds, all heads", "-m", "sweep=folds", "heads=all")
        train("the same again, another seed", "-m", "data.fold=0,1,2,3,4", "heads=all", "seed=1")
    return {"runs": runs, "start": {name: _seconds(command, max(rounds, 3)) for name, command in START.items()}}


def _seconds(arguments: list[str], rounds: int) -> list[float]:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=machine.checkout(), check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return seconds


def tables(found: dict[str, Any]) -> list[str]:
    """Return the tables as lines of Markdown."""
    uncached = found["runs"]["30 epochs, no cache"]["seconds"]
    rows = [
        [name, f"{run['seconds']:.1f}", f"{run['imports']:.1f}", f"{run['computed']:,}",
         f"{uncached / run['seconds']:.1f}" if "-m" not in run["command"].split() else "", f"`{run['command']}`"]
        for name, run in found["runs"].items()
    ]  # fmt: skip
    columns = [
        "train.py",
        "seconds",
        "of these imports",
        "samples computed once",
        "times as fast as no cache",
        "command",
    ]
    started = [[name, f"{median(seconds):.2f}"] for name, seconds in found["start"].items()]
    return [*markdown(columns, rows), "", *markdown(["start", "seconds, median"], started)]
