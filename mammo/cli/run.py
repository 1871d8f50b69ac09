"""The commands on one finished run that are for people: run share, run complete and run errors."""

from pathlib import Path
from typing import Annotated

import typer

from mammo.cli.verbs import Verbs

app = Verbs(help="Give a finished run away, or look at its errors.", no_args_is_help=True)


@app.command()
def share(
    runs: Annotated[list[Path], typer.Argument(help="folders of finished runs; several get the same digests")],
    out: Annotated[Path, typer.Option(help="the folder to write; it must not exist")],
) -> None:
    """Write a run folder that can be given away.

    Patients, exams and images have salted digests instead of names, and the salt is not kept. Paths, notes that name
    one, pictures of films, features and logs are left out. mammo report, compare and card give the same numbers.
    Weights that came from a file and did not change are left out too; their name and digest are told.
    """
    from mammo.run_folder import RunFolder
    from mammo.runs.share import share as write

    for made in write([RunFolder(run) for run in runs], out):
        typer.echo(f"written: {made.path}")


@app.command()
def complete(
    run: Annotated[Path, typer.Argument(help="a folder that mammo run share wrote")],
    trunk: Annotated[str, typer.Argument(help="the safetensors file that training began with, or imagenet")],
) -> None:
    """Put the weights that a shared run lacks back into it, so that it can predict."""
    from mammo.run_folder import RunFolder
    from mammo.runs.share import complete as write

    typer.echo(f"written: {write(RunFolder(run), trunk)}")


@app.command()
def errors(
    run: Annotated[Path, typer.Argument(help="the folder of a finished run, or of an external test")],
    head: Annotated[str | None, typer.Option(help="the head that answers [default: the network's own]")] = None,
    part: Annotated[str, typer.Option(help="train, val or test")] = "test",
    out: Annotated[
        Path | None, typer.Option(help="new folder to write to [default: errors in the folder of the run]")
    ] = None,
) -> None:
    """Write the false negatives and false positives of a run, with their names.

    errors.csv has a row for each, the furthest from the threshold first; errors.png shows the first films of each kind,
    if they are where the run found them. Both are for those who may see the films.
    """
    from mammo.errors import content_of
    from mammo.files import check_own_folder
    from mammo.run_folder import RunFolder
    from mammo.runs import mistakes
    from mammo.runs.checks import check_writable

    folder = RunFolder(run)
    where = out or run / "errors"
    check_writable(where, "--out")
    own = where.resolve() == (run / "errors").resolve()
    check_own_folder(where, mistakes.NAMES.values() if own else (), "--out")
    with content_of(run):
        table = mistakes.mistakes(folder, head, part)
    paths, lacking = mistakes.write(folder, table, where)
    kinds = table["kind"].value_counts(sort=False).items()
    said = ", ".join(f"{kind}: {count}" for kind, count in kinds) or "no error"
    typer.echo("\n".join([said, *(f"written: {path}" for path in paths)]))
    if lacking:
        typer.echo(f"no sheet of pictures: {lacking}")
