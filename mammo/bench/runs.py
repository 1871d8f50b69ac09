"""The time of whole commands: the gain from caches, and the start of programs."""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from mammo.bench import machine
from mammo.reports.markdown import markdown

FROZEN = ["model.trainable=head", "model.pool=avg", "early_stopping.patience=null", "trainer.max_epochs=30"]
RUNS = {
    "30 epochs, cache empty": FROZEN,
    "30 epochs, no cache": [*FROZEN, "data.cache=false"],
    "the same again": FROZEN,
    "30 epochs, augment=none, cache empty of it": [*FROZEN, "augment=none"],
    "another head": [*FROZEN, "heads=svm_linear"],
    "another seed": [*FROZEN, "seed=1"],
    "five folds, all heads": ["-m", "sweep=folds", "heads=all"],
    "the same again, another seed": ["-m", "data.fold=0,1,2,3,4", "heads=all", "seed=1"],
}
START = {
    "train.py --help": ["train.py", "--help"],
    "mammo --help": ["-m", "mammo", "--help"],
    "import mammo": ["-c", "import mammo"],
}
COLUMNS = ["train.py", "seconds", "of these imports", "samples computed once", "times as fast as no cache", "command"]


def measure(overrides: list[str], *, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Time the commands of `RUNS`, one after the other on caches that are empty at first, and then those of `START`.

    Args:
        overrides: Overrides of every run; `model.weights=` must name weights that can be frozen.
        rounds: The number of starts of each command of `START`, at least three.
        say: Is called with each line.

    Raises:
        InputError: A run failed; the message has the end of its output.
    """
    runs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="mammo-bench-") as folder:
        env = machine.own_home(Path(folder))
        for number, (name, line) in enumerate(RUNS.items()):
            folders = [f"hydra.run.dir={folder}/{number}", f"hydra.sweep.dir={folder}/{number}"]
            seconds, _, text = machine.ran(["train.py", *line, *overrides, *folders], env)
            imports = sum(map(float, re.findall(r"^time .*: imports ([\d.]+)", text, re.MULTILINE)))
            computed = sum(map(int, re.findall(r"^frozen .* (\d+) to compute once", text, re.MULTILINE)))
            runs[name] = {"command": " ".join([*line, *overrides]), "seconds": seconds}
            runs[name] |= {"imports": imports, "computed": computed}
            say(f"{name}: {seconds:.1f} s, {computed} samples computed once")
    started = {name: [machine.ran(line)[0] for _ in range(max(rounds, 3))] for name, line in START.items()}
    return {"runs": runs, "start": started}


def tables(found: dict[str, Any]) -> list[str]:
    """Return the tables as lines of Markdown."""
    uncached = found["runs"]["30 epochs, no cache"]["seconds"]
    rows = [
        [name, f"{run['seconds']:.1f}", f"{run['imports']:.1f}", f"{run['computed']:,}",
         f"{uncached / run['seconds']:.1f}" if "-m" not in run["command"].split() else "", f"`{run['command']}`"]
        for name, run in found["runs"].items()
    ]  # fmt: skip
    started = [[name, f"{median(seconds):.2f}"] for name, seconds in found["start"].items()]
    return [*markdown(COLUMNS, rows), "", *markdown(["start", "seconds, median"], started)]
