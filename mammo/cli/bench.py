"""Measure speed and memory: beside a bare PyTorch loop and Keras, with and without caches, and as films grow."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help=__doc__)
Overrides = Annotated[list[str] | None, typer.Argument(help="of the runs' configuration, as of train.py")]
Names = Annotated[str, typer.Option("--models", help="backbones, joined by commas, or all")]
Batch = Annotated[int, typer.Option(min=1, help="images a step")]
Rounds = Annotated[int, typer.Option(min=1, help="how often all take their turn")]
Steps = Annotated[int, typer.Option(min=1, help="of each turn; medians are over the steps of all rounds")]
To = Annotated[Path, typer.Option(help="folder for the tables and figures")]
BENCH = Path("bench")


@app.command()
def models(
    overrides: Overrides = None,
    names: Names = "vgg16,inception",
    kinds: Annotated[str, typer.Option("--devices", help="of these those that are there")] = "cpu,cuda",
    batch: Batch = 16,
    rounds: Rounds = 3,
    steps: Steps = 3,
    compiled: Annotated[bool, typer.Option("--compile", help="measure model.compile=true too")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="no other precision or format than the default")] = False,
    keras_python: Annotated[
        str | None, typer.Option(help="beside Keras: an interpreter that has keras and tensorflow")
    ] = None,
    to: To = BENCH,
) -> None:
    """Measure backbones beside the bare loop, and beside Keras."""
    from mammo.bench import models as bench

    found = bench.measure(
        overrides or [],
        names=bench.known(names),
        kinds=kinds.split(","),
        batch=batch,
        rounds=rounds,
        steps=steps,
        compiled=compiled,
        quick=quick,
        keras_python=keras_python,
        say=typer.echo,
    )
    _end("models", bench.tables(found), found, to)


@app.command()
def profile(names: Names = "vgg16,inception", batch: Batch = 16, steps: Steps = 3, to: To = BENCH) -> None:
    """Measure where the time of a training step goes, on a CPU."""
    from mammo.bench import profile as bench
    from mammo.bench.models import known

    found = bench.measure(names=known(names), batch=batch, steps=steps)
    _end("profile", bench.tables(found), found, to)


@app.command()
def runs(overrides: Overrides = None, rounds: Rounds = 3, to: To = BENCH) -> None:
    """Measure whole commands: what caches save, and how soon a program answers."""
    from mammo.bench import runs as bench

    found = bench.measure(overrides or [], rounds=rounds, say=typer.echo)
    _end("runs", bench.tables(found), found, to)


@app.command()
def growth(overrides: Overrides = None, to: To = BENCH) -> None:
    """Measure how time and memory grow with films and with rows."""
    from mammo.bench import growth as bench

    found = bench.measure(overrides or [], say=typer.echo)
    bench.draw(found, to)
    _end("growth", bench.tables(found), found, to)


def _end(name: str, lines: list[str], found: dict[str, Any], to: Path) -> None:
    from mammo.bench import machine

    machine.write(name, lines, {"machine": machine.describe(sys.argv[1:])} | found, to)
    typer.echo("\n" + "\n".join(lines) + f"\n\n{to / name}.md, {to / name}.json")
