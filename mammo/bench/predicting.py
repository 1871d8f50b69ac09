"""The time and memory of predicting: each model beside the bare runtime that computes it, in turns in one process."""

import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from mammo.bench import machine
from mammo.datasets.small_films import write_small_films
from mammo.errors import InputError
from mammo.inference.classifier import ClassifierPredictor
from mammo.inference.exported import OnnxPredictor
from mammo.reports.markdown import markdown
from mammo.runs.predictor import predictor_of

BARE_START = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
pixels = numpy.zeros([1, *map(int, sys.argv[2].split(","))], sys.argv[3])
session.run(None, {"pixels": pixels})
"""
KEYS = ("mammo", "bare", "mammo_cpu", "bare_cpu")  # seconds a film by the clock, and those of the processors
COLUMNS = ["model", "work", "mammo, ms a film", "bare, ms a film", "ratio", "ratio by processor", "films a second"]
STARTS = ["model", "from the command to the answer", "mammo, s", "bare, s", "mammo, MB"]
Work = Callable[[], object]


def measure(paths: Sequence[Path], *, films: int, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Predict drawn films by each model, and give the same squares to bare onnxruntime or PyTorch in turns.

    Args:
        paths: Run folders, portable folders or ONNX files of classifiers.
        films: The number of films that are predicted together.
        rounds: The number of rounds.
        say: Takes a line about each model.

    Raises:
        InputError: A model cannot be opened, or is no classifier.
    """
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="mammo-bench-") as folder:
        drawn = write_small_films(Path(folder))
        for path in paths:
            found[str(path)] = _measured(path, Path(folder), drawn, films, rounds)
            say(f"{path}: measured")
    return {"films": films, "models": found}


def _measured(
    path: Path, folder: Path, drawn: Sequence[dict[str, Any]], films: int, rounds: int
) -> dict[str, dict[str, list[float]]]:
    """Return the seconds of each work in each round, and the memory of a start in bytes."""
    ask: Any = predictor_of(path)
    if (kind := ask.config.task.kind) != "classification":
        raise InputError(f"{path} has task.kind={kind}, which has no bare counterpart; name classifiers")

    def look(one: dict[str, Any]) -> Any:
        facts = {name: one[name] for name in ("laterality", "spacing_mm")}
        return ask.see(ask.read(folder / one["file"]), name=one["file"], **facts)

    seen = list(itertools.islice(itertools.cycle([look(one) for one in drawn]), films))
    bare = _bare_onnx(ask) if isinstance(ask, OnnxPredictor) else partial(_bare_torch, ask)
    samples = [sample for film in seen for sample in film.pixels]
    blocks = [np.stack(samples[at : at + ask.rows]) for at in range(0, len(samples), ask.rows)]
    works: dict[str, tuple[Work, Work | None, int]] = {
        "reading and cutting": (lambda: [look(one) for one in drawn], None, len(drawn)),
        "one film": (lambda: list(ask.answers(seen[:1])), lambda: bare(seen[0].pixels), 1),
        f"{films} films": (lambda: list(ask.answers(seen)), lambda: [bare(block) for block in blocks], films),
    }
    seconds = _timed(works, rounds)
    words = ["-m", "mammo", "predict", str(path.resolve()), str(folder / drawn[0]["file"]), "--force"]
    started: dict[str, list[float]] = {"mammo": [machine.ran(words)[0] for _ in range(rounds)], "bare": []}
    if path.is_file():
        of = [",".join(map(str, samples[0].shape)), str(samples[0].dtype)]
        started["bare"] = [machine.ran(["-c", BARE_START, str(path.resolve()), *of])[0] for _ in range(rounds)]
    started["bytes"] = [float(machine.ran(words, watch=True)[1])]
    return seconds | {"start": started}


def _timed(works: dict[str, tuple[Work, Work | None, int]], rounds: int) -> dict[str, dict[str, list[float]]]:
    """Do each work of ours and the bare one in turns; return the seconds a film of each round, see `KEYS`."""
    seconds: dict[str, dict[str, list[float]]] = {name: {key: [] for key in KEYS} for name in works}
    for number in range(rounds + 1):
        for name, (ours, theirs, films) in works.items():
            for who, work in (("mammo", ours), ("bare", theirs)):
                if work is None:
                    continue
                start, spent = time.perf_counter(), time.process_time()
                work()
                if number > 0:  # the first round is not counted
                    seconds[name][who].append((time.perf_counter() - start) / films)
                    seconds[name][f"{who}_cpu"].append((time.process_time() - spent) / films)
    return seconds


def _bare_onnx(ask: OnnxPredictor) -> Callable[[np.ndarray], object]:
    """Return what gives squares to a session of its own."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(ask.run.path), providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"pixels": pixels})


def _bare_torch(ask: ClassifierPredictor, pixels: np.ndarray) -> object:
    """Give squares to the network in the precision of the run."""
    import torch

    squares = torch.from_numpy(np.repeat(pixels, ask.flips, axis=0).reshape(-1, 1, *pixels.shape[2:]))
    with ask.computing():
        return ask.network.head(ask.network.features(squares, len(pixels)))


def tables(found: dict[str, Any]) -> list[str]:
    """Return the tables as lines of Markdown; times are medians of all rounds."""
    rows, starts = [], []
    for path, works in found["models"].items():
        model = Path(path).name
        for name, of in works.items():
            ours, theirs = (median(of[who]) if of[who] else None for who in ("mammo", "bare"))
            bare = "" if theirs is None else f"{theirs * 1000:.1f}"
            if name == "start":
                shown = "" if theirs is None else f"{theirs:.2f}"
                starts.append([model, "one film", f"{ours:.2f}", shown, f"{of['bytes'][0] / 1e6:.0f}"])
            elif ours is not None:
                ratio = "" if theirs is None else f"{ours / theirs:.2f}"
                spent = "" if theirs is None else f"{median(of['mammo_cpu']) / median(of['bare_cpu']):.2f}"
                rows.append([model, name, f"{ours * 1000:.1f}", bare, ratio, spent, f"{1 / ours:.1f}"])
    return [*markdown(COLUMNS, rows), "", *markdown(STARTS, starts)]
