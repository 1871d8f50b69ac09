"""The speed of backbones at each precision, memory format and device, beside the bare loop and Keras."""

import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch

from mammo.bench import machine
from mammo.bench.protocol import Measured, uncounted
from mammo.errors import InputError
from mammo.models.backbones import BACKBONES, find_backbone
from mammo.processes import devices
from mammo.reports.markdown import markdown

FORMATS = {"channels_last": True, "contiguous": False}
STEPS = {"train": "training", "predict": "prediction"}
POLICIES = {"keras": "float32", "keras bfloat16": "mixed_bfloat16"}
COLUMNS = [
    "backbone", "device", "precision", "format", "loading", "training", "bare", "of bare", "bare, prepared", "of it",
    "of limit", "loaders", "features", "prediction", "bare prediction", "peak MB", "bare MB",
]  # fmt: skip


def measure(
    overrides: list[str],
    *,
    names: list[str],
    kinds: list[str],
    batch: int,
    rounds: int,
    steps: int,
    compiled: bool,
    quick: bool,
    keras_python: str | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure every available combination; its processes take turns, round by round.

    Args:
        overrides: Overrides of the configuration.
        names: Names of backbones.
        kinds: Devices, `cpu` and `cuda`; those that the machine lacks are left out.
        batch, rounds, steps, compiled, quick, keras_python: See `mammo bench models --help`.
        say: Is called with each row as text.
    """
    rows = []
    for name, device, precision, (shape, last), compile_ in _combinations(names, kinds, compiled, quick):
        patients = -(-batch * (steps + uncounted(device)) * 5 // 6) + 20  # each has 2 films, 60 % of films are in train
        chosen = [  # the bench sets these itself, so they cannot be overridden
            *("data=phantom", f"data.patients={patients}", f"data.batch_size={batch}"),
            *(f"model={name}", "model.weights=null", f"model.image_size={side(name)}", "model.trainable=all"),
            *(f"model.channels_last={last}", f"model.compile={compile_}"),
            *(f"trainer.accelerator={device}", f"trainer.precision={precision}"),
        ]
        taken = {line.partition("=")[0] for line in chosen} - {"model.image_size"}
        if wrong := [line for line in overrides if line.partition("=")[0] in taken]:
            raise InputError(
                f"bench: {wrong[0]} cannot be set, as the bench sets it for each row; leave it out, or see bench --help"
            )
        config = machine.configuration([*chosen, *overrides])
        given, size = {"config": config.as_dict()}, config.model.image_size
        keras = {"name": name, "side": size, "batch": batch}
        asked = {"mammo": ("trainer_loop", given), "bare": ("bare_loop", given | {"prepared": False})}
        asked["prepared"] = ("bare_loop", given | {"prepared": True})
        if keras_python and name in ("vgg16", "inception") and last and not compile_ and device == "cpu":
            asked |= {who: ("keras_loop", keras | {"policy": policy}) for who, policy in POLICIES.items()}
        row = {"backbone": name, "device": device, "precision": precision, "format": shape, "compiled": compile_}
        row |= {"batch": batch, "side": size} | _turns(asked, rounds, steps, keras_python)
        rows.append(row)
        say("  ".join(f"{column} {cell}" for column, cell in zip(COLUMNS, cells(row), strict=True) if cell))
    return {"rows": rows}


def _combinations(names: list[str], kinds: list[str], compiled: bool, quick: bool) -> Iterator[tuple[Any, ...]]:
    there = [device for device in ("cpu", "cuda") if device in kinds and (device == "cpu" or torch.cuda.is_available())]
    for name, device in itertools.product(names, there):
        precisions = ["bf16-mixed"] * devices.has_bfloat16(device) + ["32-true"]
        formats = list(FORMATS.items())
        if quick:
            precisions, formats = precisions[:1], formats[:1]
        yield from itertools.product([name], [device], precisions, formats, [False, True] if compiled else [False])


def side(name: str) -> int:
    """Return the side in pixels of the images that a backbone is measured on."""
    return 299 if find_backbone(name).aux_after else 224


def _turns(asked: dict[str, Any], rounds: int, steps: int, keras_python: str | None) -> dict[str, Any]:
    """Return the seconds of each step by process and action, and the peak memory of each process."""
    seconds: dict[str, dict[str, list[float]]] = {who: {} for who in asked}
    with tempfile.TemporaryDirectory(prefix="mammo-bench-") as folder:
        started = {}
        try:
            for who, (module, settings) in asked.items():
                python = keras_python if module == "keras_loop" and keras_python else sys.executable
                started[who] = Measured(module, settings, python=python, log=Path(folder, f"{module}.log"))
            for process in started.values():
                process.watch("train", 1)
            for _, action in itertools.product(range(rounds), ("load", "features", "predict", "limit", "train")):
                for who, process in started.items():
                    if action in process.actions:
                        seconds[who].setdefault(action, []).extend(process.ask(action, steps))
            peaks = {who: process.peak_bytes for who, process in started.items()}
        finally:
            for process in started.values():
                process.close()
    return {"seconds": seconds, "peak_bytes": peaks}


def rate(row: dict[str, Any], who: str, action: str) -> float | None:
    """Return images per second of the median step; None if the action was not measured."""
    seconds = row["seconds"].get(who, {}).get(action)
    return row["batch"] / median(seconds) if seconds else None


def cells(row: dict[str, Any]) -> list[str]:
    """Return the cells of a row of the table."""
    train, *bare = (rate(row, who, "train") or 0.0 for who in ("mammo", "bare", "prepared"))
    shape = row["format"] + (", compiled" if row["compiled"] else "")
    peaks = row["peak_bytes"]
    return [
        f"{row['backbone']} {row['side']}", row["device"], row["precision"], shape,
        _shown(rate(row, "mammo", "load")), _shown(train),
        *(cell for one in bare for cell in (_shown(one), f"{train / one:.2f}")),
        _ratio(train, rate(row, "bare", "limit")), _ratio(train, rate(row, "mammo", "load")),
        *(_shown(rate(row, *one)) for one in (("mammo", "features"), ("mammo", "predict"), ("bare", "predict"))),
        f"{peaks['mammo'] / 1e6:,.0f}", f"{peaks['bare'] / 1e6:,.0f}",
    ]  # fmt: skip


def _ratio(value: float, of: float | None) -> str:
    return "" if of is None else f"{value / of:.2f}"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def tables(found: dict[str, Any]) -> list[str]:
    """Return the tables as lines of Markdown: all combinations, then Keras's."""
    rows = found["rows"]
    said = (
        "Images a second, by the median step. `of limit` is the share of the rate at which the device multiplies large "
        "matrices; `loaders` is the number of cores that load as fast as it trains."
    )
    lines = [said, "", *markdown(COLUMNS, [cells(row) for row in rows])]
    if against := [row for row in rows if "keras" in row["seconds"]]:
        columns = ["backbone", "mammo, precision", "step", "mammo", *POLICIES, *(f"over {who}" for who in POLICIES)]
        table = []
        for row, action in itertools.product(against, STEPS):
            ours = rate(row, "mammo", action) or 0.0
            theirs = [rate(row, who, action) or 0.0 for who in POLICIES]
            who = [f"{row['backbone']} {row['side']}", row["precision"], STEPS[action]]
            table.append([*who, _shown(ours), *map(_shown, theirs), *(f"{ours / their:.2f}" for their in theirs)])
        lines += ["", "Beside Keras on TensorFlow, in the same rounds.", "", *markdown(columns, table)]
    return lines


def known(names: str) -> list[str]:
    """Return the backbones of a comma-separated list; `all` means every backbone."""
    return list(BACKBONES) if names == "all" else [name for name in names.split(",") if find_backbone(name)]
