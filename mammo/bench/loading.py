"""Time and memory of loading samples from the cache, by their number, for a made set whose films are never read.

As a program it writes the cache of such a set (`write SAMPLES`), or loads from it and answers as `protocol.serve` does.
"""

import contextlib
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader

from mammo.bench import machine
from mammo.bench.protocol import Action, Measured, pss_bytes, serve, timed
from mammo.bench.tables import made
from mammo.bench.trainer_loop import LOADED, epochs_of
from mammo.config import Config
from mammo.datasets.film import Film
from mammo.preprocessing.appearance import NUMBERS as APPEARANCE
from mammo.preprocessing.cutting import Facts, names_of, places_of
from mammo.preprocessing.squares import NUMBERS, Ask
from mammo.processes.peers import START
from mammo.reports.markdown import markdown
from mammo.training.cutter import cutter_of
from mammo.training.datamodule import MammogramDataModule
from mammo.training.prepare import choose, prepare, split_of

SIDE_PX = 96  # of 32 pixels, 10,000 squares lie in the processor's own memory, and a million do not
SETTINGS = ["data=phantom", "model=compact", f"model.image_size={SIDE_PX}", "data.batch_size=64", "crop=whole"]
BLOCK = 16_384  # samples that are written together
REFERENCE = 10_000  # samples: the rate that those of other sizes are compared with
STEPS = 3  # of a round, each of `LOADED` batches


class Made:
    """A data set of images that are never read: two of each patient, a third of them with a finding."""

    name, licence, citation = "made", "none", "none"

    def __init__(self, images: int) -> None:
        self.images = images

    def prepare(self) -> None:
        """Do nothing."""

    def findings(self) -> pd.DataFrame:
        """Return the findings table; no finding has a place."""
        return made(self.images).drop(columns=["x_px", "y_px", "radius_px"])

    def read(self, image_id: str) -> Film:
        """Refuse to read: all is in the cache."""
        raise RuntimeError(f"{image_id} is not in the cache")

    def digest(self, image_id: str) -> str:
        """Return a name of the pixels."""
        return image_id


def write(samples: int, config: Config) -> None:
    """Write a square of noise for each image of a made set into the cache, as cutting its films would."""
    dataset, rng = Made(samples), np.random.default_rng(0)
    cutter = cutter_of(dataset, config)
    config, chosen = choose(dataset, config)
    facts = json.dumps(asdict(Facts(SIDE_PX, SIDE_PX, 255, [], [0.0] * len(APPEARANCE)))).encode()
    said, numbers = torch.frombuffer(bytearray(facts), dtype=torch.uint8), torch.zeros(1, len(NUMBERS)).double()
    films = places_of(chosen.findings)
    for start in range(0, len(films), BLOCK):
        block = films[start : start + BLOCK]
        cutter.known = {film[0]: film[0] for film in block}
        squares = torch.from_numpy(rng.integers(0, 255, (len(block), 1, cutter.stored, cutter.stored), np.uint8))
        arrays: dict[str, torch.Tensor] = {}
        for film, square in zip(block, squares, strict=True):
            arrays |= zip(names_of(cutter.key(film, Ask("whole"))), (square, numbers, said), strict=True)
        assert cutter.store is not None
        cutter.store.store(arrays)


def build(settings: dict[str, Any]) -> dict[str, Action]:
    """Return the actions: `load` times steps of batches, epoch after epoch; `begin` gives the seconds before the first.

    Args:
        settings: `samples`, their number; `home`, where the cache lies; and `config`, the configuration of a run.
    """
    os.environ["MAMMO_HOME"] = settings["home"]
    config, dataset, start = Config.of(settings["config"]), Made(settings["samples"]), time.process_time()
    config, chosen = choose(dataset, config)
    prepared = prepare(dataset, chosen.findings, split_of(chosen.findings, config), config)
    data = MammogramDataModule(prepared, config.data, config.seed)
    loader = DataLoader(
        prepared.train,
        batch_size=config.data.batch_size,
        sampler=epochs_of(data),
        num_workers=1,
        collate_fn=prepared.train.collate,
        multiprocessing_context=START,
    )
    batches, spent = iter(loader), time.process_time() - start
    return {
        "begin": lambda _: [spent],
        "load": lambda count: timed(lambda: list(itertools.islice(batches, LOADED)), count),
    }


def measure(overrides: list[str], *, samples: list[int], rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure made sets of several sizes: how fast samples are loaded, in turns, and the memory over an epoch.

    Args:
        overrides: Settings, in the words of train.py.
        samples: The sizes.
        rounds: The number of rounds; each measures every size once.
        say: Takes lines about what was measured.

    Raises:
        InputError: A setting is wrong, or a process failed.
    """
    config = machine.configuration([*SETTINGS, *overrides])
    with tempfile.TemporaryDirectory(prefix="mammo-bench-") as given, contextlib.ExitStack() as started:
        folder, found = Path(given), dict[int, dict[str, Any]]()
        processes = dict[int, Measured]()
        for count in samples:
            own = folder / str(count)
            line = ["-m", "mammo.bench.loading", "write", str(count), *overrides]
            machine.ran(line, os.environ | {"MAMMO_HOME": str(own)})
            size = sum(path.stat().st_size for path in own.rglob("*.safetensors"))
            settings = {"samples": count, "config": config.as_dict(), "home": str(own)}
            log = folder / f"{count}.log"
            processes[count] = started.enter_context(
                contextlib.closing(Measured("loading", settings, python=sys.executable, log=log))
            )
            (seconds,), peak = processes[count].ask("begin", 1), processes[count].peak_bytes
            found[count] = {"cache_bytes": size, "start_seconds": seconds, "start_bytes": peak, "steps": []}
            begun = f"begun in {seconds:.1f} processor seconds with {peak / 1e6:,.0f} MB"
            say(f"{count:,} samples: {size / 1e6:,.0f} MB; {begun}")
        for number, count in itertools.product(range(rounds), samples):
            found[count]["steps"] += processes[count].ask("load", STEPS)
            loaded = speed(found[count], config.data.batch_size)
            say(f"round {number + 1}, {count:,} samples: {loaded:,.0f} samples a second")
        for count, process in processes.items():
            before, start = pss_bytes(process.process.pid), time.perf_counter()
            process.ask("load", -(-count // (config.data.batch_size * LOADED)))
            after = pss_bytes(process.process.pid)
            found[count] |= {"before_bytes": before, "after_bytes": after, "all_seconds": time.perf_counter() - start}
            say(f"{count:,} samples: {before / 1e6:,.0f} MB, and {after / 1e6:,.0f} MB after all were loaded")
    return {"sizes": found, "batch_size": config.data.batch_size}


def speed(found: dict[str, Any], batch_size: int) -> float:
    """Return the median number of samples that are loaded in a second."""
    return LOADED * batch_size / statistics.median(found["steps"])


def tables(found: dict[str, Any]) -> list[str]:
    """Return the table as lines of Markdown."""
    batch, rows = found["batch_size"], []
    reference = speed(found["sizes"].get(REFERENCE) or next(iter(found["sizes"].values())), batch)
    for count, one in found["sizes"].items():
        sizes = (one[key] / 1e6 for key in ("cache_bytes", "start_bytes", "before_bytes", "after_bytes"))
        cache, start, before, after = (f"{size:,.0f}" for size in sizes)
        loaded = speed(one, batch)
        rows.append([f"{count:,}", cache, f"{one['start_seconds']:.1f}", start, f"{loaded:,.0f}",
                     f"{loaded / reference:.2f}", before, after])  # fmt: skip
    header = [
        "samples",
        "cache, MB",
        "processor seconds to begin",
        "peak MB",
        "loaded a second",
        f"of that of {REFERENCE:,}",
    ]
    return [
        "A made set is begun with a warm cache and loaded by one process.", "",
        *markdown([*header, "MB before all are loaded", "and after"], rows),
    ]  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(int(sys.argv[2]), machine.configuration([*SETTINGS, *sys.argv[3:]]))
    else:
        serve(build)
