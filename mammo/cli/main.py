"""The commands beside training: `python -m mammo <verb>`, also installed as `mammo`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mammo.errors import InputError

if TYPE_CHECKING:
    from mammo.datasets.mias import MIAS

app = typer.Typer(help="Beside train.py: data, audits, reports.", no_args_is_help=True, add_completion=False)
data_app = typer.Typer(help="Fetch, verify or summarise a data set; show or clear caches.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Name = Annotated[str, typer.Argument(help="mias or phantom")]
Settings = Annotated[
    list[str] | None, typer.Argument(help="its settings as in conf/data, say archive=all-mias.tar.gz or women=40")
]


def _opened(name: str, settings: list[str] | None) -> "MIAS":
    import yaml

    from mammo.datasets.registry import open_dataset

    pairs = [setting.partition("=") for setting in settings or []]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise InputError(f"'{wrong[0]}' is no setting; expected key=value, say archive=all-mias.tar.gz")
    return open_dataset(name, **{key: yaml.safe_load(value) for key, _, value in pairs})


@data_app.command()
def fetch(name: Name = "mias", settings: Settings = None) -> None:
    """Bring the films to disk: from an archive that is named, else by download; the phantom's are drawn."""
    dataset = _opened(name, settings)
    dataset.prepare()
    typer.echo(f"{len(dataset.index()['image_id'].unique())} films in {dataset.root}")


@data_app.command()
def verify(name: Name = "mias", settings: Settings = None) -> None:
    """Compare every film on disk with the manifest of pixels; list all that differ."""
    dataset = _opened(name, settings)
    digests, wrong = dataset.manifest(), []
    for image_id in sorted(digests):
        try:
            dataset.read(image_id, digests)
        except InputError as error:
            wrong.append(str(error))
    if wrong:
        raise InputError("\n".join([*wrong, f"{len(wrong)} of {len(digests)} films are missing or altered"]))
    dataset.index()
    typer.echo(f"{len(digests)} films in {dataset.root} match the manifest, and Info.txt describes them")


@data_app.command()
def summary(
    name: Name = "mias",
    settings: Settings = None,
    picture: Annotated[Path | None, typer.Option(help="PNG to write [default: <name>-films.png]")] = None,
) -> None:
    """Count classes, tissue, severity and women; draw sample films with their circles."""
    from mammo import figures
    from mammo.datasets import summary as summaries

    dataset = _opened(name, settings)
    table = dataset.index()
    for title, counts in summaries.counts(table).items():
        typer.echo(f"{title + ':':19}" + ", ".join(f"{count} {value}" for value, count in counts.items()))
    path = picture or Path(f"{name}-films.png")
    figures.save(summaries.picture(dataset, table), path)
    typer.echo(f"{'picture:':19}{path}")


@data_app.command("cache")
def cache_(
    clear: Annotated[bool, typer.Option("--clear", help="remove all of it")] = False,
    limit: Annotated[str | None, typer.Option(help="keep at most so much, say 5GB: what was used last stays")] = None,
) -> None:
    """Show what is cached of films, trunks, GANs and audits, and where; all of it can be made again."""
    from mammo.paths import home
    from mammo.preprocessing import cache

    if clear:
        cache.clear(home())
    if limit is not None:
        cache.bound(home(), cache.parse_bytes(limit))
    for kind, (files, size) in cache.sizes(home()).items():
        typer.echo(f"{kind + ':':8}{size / 1e6:10,.1f} MB in {files:,} files  {home() / kind}")


@app.command()
def report(
    paths: Annotated[list[Path], typer.Argument(help="run folders, sweep folders or tables of predictions")],
    unit: Annotated[str | None, typer.Option(help="of one table of predictions: film, or woman")] = None,
    rule: Annotated[str, typer.Option(help="from its samples to a film or woman: mean, or max")] = "mean",
) -> None:
    """Write one run's or sweep's report again from its tables; or set several side by side, with paired differences."""
    from mammo.reports import leaderboard
    from mammo.reports import run as reports
    from mammo.runs import sweep

    path = paths[0]
    if unit is not None and not (len(paths) == 1 and path.is_file()):
        raise InputError("--unit is of one table of predictions: a run's report has films and women in any case")
    if len(paths) > 1:
        typer.echo(leaderboard.side_by_side(paths))
    elif path.is_file():
        typer.echo(reports.from_predictions(path, unit, rule))
    elif (path / "multirun.yaml").is_file():
        typer.echo(str(sweep.write(path)))
    else:
        reports.write(path)
        typer.echo(str(path / "report.md"))


@app.command()
def literature(
    paths: Annotated[
        list[Path], typer.Argument(help="sweep folders with runs of conf/experiment and --to, or a folder of tables")
    ],
    to: Annotated[Path | None, typer.Option(help="folder of tables to write, or to add to")] = None,
) -> None:
    """Print the systems of the literature, run in their manner, beside what their authors claim."""
    from mammo.reports import literature as tables

    if to is not None:
        tables.collect(paths, to)
    elif len(paths) > 1:
        raise InputError("several sweeps make one table in a folder: name it, --to <folder>")
    typer.echo("\n".join(tables.table(to or paths[0])))


@app.command()
def audit(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            help="a findings table (CSV), a folder of films, or the name of a data set; "
            "with --claim: n=225 accuracy=97.77 sensitivity=95.83 train=54,43 ..."
        ),
    ] = None,
    claim: Annotated[bool, typer.Option("--claim", help="audit the arithmetic of a published claim")] = False,
    split: Annotated[
        Path | None, typer.Option(help="CSV of image_id or sample_id, patient, split, or a run folder")
    ] = None,
    sheet: Annotated[Path, typer.Option(help="PNG to write of the pairs that leak")] = Path("leaks.png"),
    planted: Annotated[int | None, typer.Option(help="plant so many altered copies, and count those found")] = None,
    seed: Annotated[int, typer.Option(help="of the planting")] = 0,
) -> None:
    """Find women, films, lesions and pixels that are on two sides of a split, or would be; or audit a claim.

    Exits with 1 if there are any, or if no counts of films can give the claim.
    """
    from mammo.audit import audit as audits
    from mammo.audit import benchmark as plantings
    from mammo.audit import claim_report

    words = words or []
    if claim:
        possible, text = claim_report.audit(words)
        typer.echo(text)
        raise typer.Exit(0 if possible else 1)
    if len(words) > 1:
        raise InputError(f"expected one table, folder or data set, found {' '.join(words)}; a claim needs --claim")
    source = words[0] if words else None
    if planted is not None and split is not None:
        raise InputError("--planted takes no --split, found both; leave one out")
    if planted is not None:
        lines, failures = plantings.benchmark(audits.locate(source), planted, seed)
        typer.echo("\n".join([*lines, *failures]))
    else:
        found = audits.audit(source, split)
        if found.pairs:
            found.draw(sheet)
        typer.echo("\n".join(found.lines()))
        failures = found.leaks
    if failures:
        raise typer.Exit(1)


@app.command()
def bench(
    what: Annotated[str, typer.Argument(help="models, profile, runs or growth")] = "models",
    overrides: Annotated[list[str] | None, typer.Argument(help="of the runs' configuration, as of train.py")] = None,
    names: Annotated[str, typer.Option("--models", help="backbones, joined by commas, or all")] = "vgg16,inception",
    kinds: Annotated[str, typer.Option("--devices", help="of these those that are there")] = "cpu,cuda",
    batch: Annotated[int, typer.Option(help="images a step")] = 16,
    rounds: Annotated[int, typer.Option(help="how often all take their turn")] = 3,
    steps: Annotated[int, typer.Option(help="of each turn; medians are over the steps of all rounds")] = 3,
    compiled: Annotated[bool, typer.Option("--compile", help="measure model.compile=true too")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="as it runs by default alone: no other precision or format")
    ] = False,
    against: Annotated[str | None, typer.Option(help="keras: beside Keras on TensorFlow")] = None,
    keras_python: Annotated[str | None, typer.Option(help="an interpreter that has both")] = None,
    to: Annotated[Path, typer.Option(help="folder for the tables and figures")] = Path("bench"),
) -> None:
    """Measure speed and memory: models beside a bare PyTorch loop, whole runs with and without caches, growth."""
    from mammo.bench import growth, machine, models, profile, runs

    if against not in (None, "keras") or (against is None) != (keras_python is None):
        raise InputError("beside Keras: --against keras --keras-python <an interpreter that has keras and tensorflow>")
    on = machine.describe(sys.argv[1:])
    if what == "models":
        found = models.measure(
            overrides or [],
            names=models.known(names),
            kinds=kinds.split(","),
            batch=batch,
            rounds=rounds,
            steps=steps,
            compiled=compiled,
            quick=quick,
            keras_python=keras_python,
            say=typer.echo,
        )
        lines = models.tables(found)
    elif what == "profile":
        found = profile.measure(names=models.known(names), batch=batch, steps=steps)
        lines = profile.tables(found)
    elif what == "runs":
        found = runs.measure(overrides or [], rounds=rounds, say=typer.echo)
        lines = runs.tables(found)
    elif what == "growth":
        found = growth.measure(overrides or [], say=typer.echo)
        lines = growth.tables(found)
        growth.draw(found, to)
    else:
        raise InputError(f"bench {what} is unknown; expected models, profile, runs or growth")
    machine.write(what, lines, {"machine": on} | found, to)
    typer.echo("\n" + "\n".join(lines) + f"\n\n{to / what}.md, {to / what}.json")


def main() -> None:
    """Runs a command; bad input ends it with one line."""
    try:
        app()
    except (InputError, FileNotFoundError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
