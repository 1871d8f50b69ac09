"""Numbers again from tables: `mammo report`, `compare`, `evaluate`, `literature`, `leak-study`, `results`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mammo.errors import InputError

Unit = StrEnum("Unit", ["image", "patient"])
Rule = StrEnum("Rule", ["mean", "max"])


def report(
    paths: Annotated[list[Path], typer.Argument(help="run folders and sweep folders")],
) -> None:
    """Write the metrics, figures and report of each run or sweep again, from its tables."""
    from mammo.reports import run
    from mammo.runs import sweep

    for path in paths:
        if path.is_file():
            raise InputError(f"{path} is a table, and a report is of a run folder; use mammo evaluate {path}")
        if (path / "multirun.yaml").is_file():
            typer.echo(str(sweep.write(path)))
        else:
            run.write(path)
            typer.echo(str(path / "report.md"))


def compare(
    paths: Annotated[list[Path], typer.Argument(help="two or more run folders, sweep folders or prediction tables")],
) -> None:
    """Set several runs side by side, with paired differences."""
    from mammo.reports import leaderboard

    if len(paths) < 2:
        raise InputError(f"a comparison needs two or more, found {paths[0]} alone; name another beside it")
    typer.echo(leaderboard.side_by_side(paths))


def evaluate(
    table: Annotated[Path, typer.Argument(help="a table of predictions (CSV)")],
    unit: Annotated[Unit | None, typer.Option(help="[default: the table's own rows]")] = None,
    rule: Annotated[Rule, typer.Option(help="from rows to an image or patient")] = Rule.mean,
) -> None:
    """Evaluate anybody's table of predictions, with intervals by patient."""
    from mammo.reports import run

    if table.is_dir():
        raise InputError(f"{table} is a folder, and evaluate takes one table of predictions; use mammo report {table}")
    typer.echo(run.from_predictions(table, unit, rule))


def literature(
    paths: Annotated[
        list[Path], typer.Argument(help="sweep folders with runs of conf/experiment and --to, or a folder of tables")
    ],
    to: Annotated[Path | None, typer.Option(help="folder of tables to write or to add to")] = None,
) -> None:
    """Print the systems of the literature as run here, beside the claims of their authors."""
    from mammo.reports import literature as tables

    if to is not None:
        tables.collect(paths, to)
    elif len(paths) > 1:
        raise InputError("several sweeps make one table in a folder; name it with --to <folder>")
    typer.echo("\n".join(tables.table(to or paths[0])))


def leak_study(
    path: Annotated[Path, typer.Argument(help="a sweep folder of sweep=leak_study, or a folder of its tables")],
    to: Annotated[Path | None, typer.Option(help="folder of tables to write, enough to print the study again")] = None,
) -> None:
    """Print the leak study: each leak beside the honest counterpart that differs from it in that one thing."""
    from mammo.reports import leak_study as tables

    if to is not None:
        tables.collect(path, to)
    experiments = tables.read(to or path)
    typer.echo("\n".join(tables.text(tables.results(experiments), experiments)))


def results(
    folder: Annotated[Path, typer.Argument(help="folder of pages, with the tables that they name beside them")] = Path(
        "docs/results"
    ),
) -> None:
    """Compute the tables of the pages of results again, from the predictions beside them."""
    from mammo.reports import pages

    changed = pages.fill(folder)
    typer.echo("\n".join(f"{folder / name} changed" for name in changed) or f"{folder}: no page changed")
