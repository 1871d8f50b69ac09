"""Measure speed and memory on this machine.

It compares networks with a bare PyTorch loop and with Keras, runs with and without caches, data sets of several
sizes, and the cutting of films with their bare decoder; predicting with the bare runtime; and it counts what runs
refuse as unlike their films.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mammo.cli.verbs import Verbs
from mammo.errors import InputError

app = Verbs(help=__doc__)
Overrides = Annotated[list[str] | None, typer.Argument(help="settings of the runs, in the words of train.py")]
Names = Annotated[str, typer.Option("--models", help="names of backbones, separated by commas, or all")]
Batch = Annotated[int, typer.Option(min=1, help="the number of images in a step")]
Rounds = Annotated[int, typer.Option(min=1, help="the number of rounds; each measures everything once")]
Steps = Annotated[int, typer.Option(min=1, help="the number of steps in a round; medians are over all rounds")]


def _own(context: typer.Context, to: Path) -> Path:
    """Refuse a folder with a file of the measurement's name that no measurement has written."""
    from mammo.files import read_json

    name = context.info_name
    there = [path for path in (to / f"{name}.{end}" for end in ("json", "md", "png")) if path.exists()]
    facts = read_json(there[0]) if there and there[0].suffix == ".json" else None
    if there and not (isinstance(facts, dict) and "machine" in facts):
        raise InputError(f"{there[0]} is of no mammo bench {name}; name another folder with --to")
    return to


To = Annotated[Path, typer.Option(help="folder for the tables and figures", callback=_own)]
BENCH = Path("bench")


@app.command()
def models(
    overrides: Overrides = None,
    names: Names = "vgg16,inception",
    kinds: Annotated[
        str, typer.Option("--devices", help="devices, separated by commas; those that this machine lacks are left out")
    ] = "cpu,cuda",
    batch: Batch = 16,
    rounds: Rounds = 3,
    steps: Steps = 3,
    compiled: Annotated[bool, typer.Option("--compile", help="measure model.compile=true too")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="measure the default precision and format only")] = False,
    keras_python: Annotated[
        str | None, typer.Option(help="a Python interpreter with keras and tensorflow, to measure Keras too")
    ] = None,
    to: To = BENCH,
) -> None:
    """Compare the speed of backbones with a bare PyTorch loop, and with Keras."""
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
    """Measure on a CPU where the time of a training step goes."""
    from mammo.bench import profile as bench
    from mammo.bench.models import known

    found = bench.measure(names=known(names), batch=batch, steps=steps)
    _end("profile", bench.tables(found), found, to)


@app.command()
def runs(overrides: Overrides = None, rounds: Rounds = 3, to: To = BENCH) -> None:
    """Measure whole commands: the time that caches save, and the time until a program answers."""
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


@app.command()
def tables(
    rows: Annotated[int, typer.Option(min=1_000, help="the largest number of rows of predictions")] = 10_000_000,
    to: To = BENCH,
) -> None:
    """Measure how time and memory of evaluate, compare and report grow with the rows of predictions."""
    from mammo.bench import large_tables as bench

    found = bench.measure(rows, say=typer.echo)
    _end("tables", bench.tables(found), {"tables": found}, to)


@app.command()
def data(
    films: Annotated[int, typer.Option(min=2, help="the number of films that are drawn")] = 24,
    megapixels: Annotated[float, typer.Option(min=0.1, help="the size of a film in millions of pixels")] = 12,
    form: Annotated[str, typer.Option("--format", help="j2k or rle (DICOM), png16 or pgm")] = "j2k",
    rounds: Rounds = 3,
    index: Annotated[int, typer.Option(min=0, help="the number of films of a large archive; 0: none")] = 54_706,
    rows: Annotated[int, typer.Option(min=0, help="the number of rows of a large table; 0: none")] = 1_000_000,
    to: To = BENCH,
) -> None:
    """Measure how fast films are read, decoded and cut, an archive is indexed, and a table checked and split."""
    from mammo.bench import data as bench

    found = bench.measure(
        films=films, megapixels=megapixels, form=form, rounds=rounds, index=index, rows=rows, say=typer.echo
    )
    _end("data", bench.tables(found), found, to)


@app.command()
def loading(
    overrides: Overrides = None,
    samples: Annotated[str, typer.Option(help="numbers of samples, separated by commas")] = "1000,10000,100000,1000000",
    rounds: Rounds = 10,
    to: To = BENCH,
) -> None:
    """Measure how fast samples are loaded, and the memory, by their number, on a made set that is in the cache."""
    from mammo.bench import loading as bench
    from mammo.bench.machine import sizes_of

    found = bench.measure(overrides or [], samples=sizes_of(samples, "--samples"), rounds=rounds, say=typer.echo)
    _end("loading", bench.tables(found), found, to)


@app.command()
def audit(
    films: Annotated[
        str, typer.Option(help="numbers of films whose hashes are compared, separated by commas")
    ] = "1000,10000,100000,1000000",
    files: Annotated[int, typer.Option(min=0, help="the number of files that are audited; 0: none")] = 10_000,
    to: To = BENCH,
) -> None:
    """Measure how time and memory of an audit grow with the number of films, and how many planted copies it finds."""
    from mammo.bench import auditing as bench
    from mammo.bench.machine import sizes_of

    found = bench.measure(films=sizes_of(films, "--films"), files=files, say=typer.echo)
    _end("audit", bench.tables(found), found, to)


@app.command()
def unlike(
    runs: Annotated[list[Path], typer.Argument(help="finished runs that differ in their patients, as folds do")],
    patients: Annotated[int, typer.Option(min=0, help="the number of drawn patients of each machine; 0: none")] = 20,
    also: Annotated[
        list[Path] | None, typer.Option(help="a folder of other pictures or films; may be repeated")
    ] = None,
    to: To = BENCH,
) -> None:
    """Measure how well runs refuse what is no mammogram, and how often they refuse their own test films."""
    from mammo.bench import unlike as bench

    found = bench.measure(runs, patients=patients, also=also or [], say=typer.echo)
    _end("unlike", bench.tables(found), found, to)


@app.command()
def predict(
    models: Annotated[list[Path], typer.Argument(help="run folders, portable folders or ONNX files of classifiers")],
    films: Annotated[int, typer.Option(min=1, help="the number of films that are predicted together")] = 64,
    rounds: Rounds = 3,
    to: To = BENCH,
) -> None:
    """Measure the time and memory of predicting, beside bare onnxruntime and bare PyTorch."""
    from mammo.bench import predicting as bench

    found = bench.measure(models, films=films, rounds=rounds, say=typer.echo)
    _end("predict", bench.tables(found), found, to)


def _end(name: str, lines: list[str], found: dict[str, Any], to: Path) -> None:
    from mammo.bench import machine

    machine.write(name, lines, {"machine": machine.describe(sys.argv[1:])} | found, to)
    typer.echo("\n" + "\n".join(lines) + f"\n\n{to / name}.md, {to / name}.json")
