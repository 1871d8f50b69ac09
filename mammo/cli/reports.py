"""The commands on tables: report, compare, evaluate, literature, leak-study, detectors, collect and results."""

import re
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mammo.errors import InputError, content_of

Unit = StrEnum("Unit", ["image", "breast", "exam", "patient"])
PAIRED = "paired.md"  # the differences of several tables
Rule = StrEnum("Rule", ["mean", "max", "noisy_or"])


def report(
    paths: Annotated[list[Path], typer.Argument(help="run folders and sweep folders")],
) -> None:
    """Write the report of each run or sweep again, from its tables."""
    from mammo.reports import run
    from mammo.run_folder import RunFolder
    from mammo.tables.memory import keep_little

    keep_little()
    for path in paths:
        if path.is_file():
            raise InputError(f"{path} is a table, but report takes run folders; use mammo evaluate {path}")
        if (path / "multirun.yaml").is_file():
            from mammo.runs import sweep

            typer.echo(str(sweep.write(path)))
            continue
        with content_of(path):
            if RunFolder(path).external is None:
                run.write(path)
            else:
                from mammo.reports import external_test

                external_test.write(path)
        typer.echo(str(path / "report.md"))


def compare(
    paths: Annotated[list[Path], typer.Argument(help="two or more run folders, sweep folders or prediction tables")],
) -> None:
    """Compare several runs, with paired differences."""
    from mammo.reports import leaderboard
    from mammo.tables.memory import keep_little

    if len(paths) < 2:
        raise InputError(f"compare needs two paths or more, but found {paths[0]} alone; name another one")
    keep_little()
    typer.echo(leaderboard.side_by_side(paths))


def evaluate(
    tables: Annotated[list[Path], typer.Argument(help="tables of predictions (CSV); several are compared in pairs")],
    by: Annotated[str, typer.Option(help="column of the patient; row: each row is a patient of its own")] = "patient",
    positive: Annotated[str | None, typer.Option(help="which of two classes is positive")] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(help="names of the table's columns, say label=truth,score=prob,p_malignant=Cancer"),
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="call a sample positive above this score")] = None,
    unit: Annotated[Unit | None, typer.Option(help="evaluate images, breasts, exams or patients, not rows")] = None,
    rule: Annotated[
        Rule,
        typer.Option(help="the rows of one: their mean, the most alarming row, or that any is positive"),
    ] = Rule.mean,
    out: Annotated[
        Path | None, typer.Option(help="folder for the report, its numbers and figures; new, or of this table")
    ] = None,
) -> None:
    """Evaluate predictions of any program, by patient."""
    from mammo.files import check_own_folder, write_text
    from mammo.reports import experiments, external, leaderboard
    from mammo.runs.checks import check_writable
    from mammo.tables.memory import keep_little

    keep_little()
    how: dict[str, Any] = {"by": None if by == "row" else by, "positive": positive, "columns": named_columns(columns)}
    for table in tables:
        if table.is_dir():
            raise InputError(f"{table} is a folder, but evaluate takes tables of predictions; use mammo report {table}")
    experiments.check_each_once(tables)
    stems = [table.stem for table in tables]
    names = [stem if stems.count(stem) == 1 else f"{stem}-{at}" for at, stem in enumerate(stems, start=1)]
    if out is not None:
        check_writable(out, "--out")
        if len(tables) > 1:
            check_own_folder(out, [*names, PAIRED], "--out")
        for table, name in zip(tables, names, strict=True):
            external.check_free(out / name if len(tables) > 1 else out, table)
    found = [external.evaluate(one, **how, threshold=threshold, unit=unit, rule=rule) for one in tables]
    for table, name, one in zip(tables, names, found, strict=True):
        typer.echo(f"## {table}\n" * (len(found) > 1) + str(one))
        if out is not None:
            typer.echo(f"written: {one.save(out / name if len(found) > 1 else out)}")
    if len(found) > 1:
        differences = leaderboard.compared([one.external for one in found])
        typer.echo(differences)
        if out is not None:
            write_text(differences + "\n", out / PAIRED)


def named_columns(words: list[str] | None) -> dict[str, str]:
    """Return the columns that `label=truth,score=prob` names: from the names used here to the table's own."""
    pairs = [word.partition("=") for one in words or [] if one for word in one.split(",")]
    if odd := [name for name, separator, _ in pairs if not separator]:
        raise InputError(f"--columns {odd[0]}: expected <name here>=<name in the table>, say label=truth,score=prob")
    names = [name.strip() for name, _, _ in pairs]
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise InputError(f"--columns names a column for {twice[0]} twice; name one")
    return {name: theirs.strip() for name, (_, _, theirs) in zip(names, pairs, strict=True)}


def literature(
    paths: Annotated[
        list[Path], typer.Argument(help="a folder of tables; with --to, sweep folders with runs of experiments")
    ],
    to: Annotated[Path | None, typer.Option(help="the folder of tables to write, or to add to")] = None,
) -> None:
    """Print systems of the literature beside their authors' claims."""
    from mammo.reports import literature as tables

    if to is not None:
        tables.collect(paths, to)
    elif len(paths) > 1:
        raise InputError(f"found {len(paths)} folders, which make one table; name the folder for it with --to <folder>")
    typer.echo("\n".join(tables.table(to or paths[0])))


def leak_study(
    path: Annotated[Path, typer.Argument(help="a sweep folder of sweep=leak_study, or a folder of its tables")],
    to: Annotated[Path | None, typer.Option(help="folder of tables to write, enough to print the study again")] = None,
) -> None:
    """Print the leak study: each leak beside its honest counterpart."""
    from mammo.reports import leak_study as tables

    if to is not None:
        tables.collect(path, to)
    experiments = tables.read(to or path)
    typer.echo("\n".join(tables.text(tables.results(experiments), experiments)))


def detectors(
    path: Annotated[Path, typer.Argument(help="a sweep folder of task=detection, or a folder of its tables")],
    to: Annotated[
        Path | None, typer.Option(help="folder of tables to write, enough to print the numbers again")
    ] = None,
    chosen_on: Annotated[
        str,
        typer.Option(help="with --to: the seeds on which the recipe was chosen, say 0,1,2; a column of their own"),
    ] = "",
) -> None:
    """Print the numbers of a detector over folds and seeds."""
    from mammo.reports import detector_results as tables

    sweep = not (path / tables.PREDICTIONS).is_file()
    if sweep and to is None:
        raise InputError(f"{path}: expected a folder with {tables.PREDICTIONS}; of a sweep, write one by --to <folder>")
    if chosen_on and not (to is not None and re.fullmatch(r"\d+(,\d+)*", chosen_on)):
        raise InputError(f"--chosen-on {chosen_on}: expected seeds such as 0,1,2, and the folder of tables by --to")
    if to is not None:
        tables.collect(path, to, [int(seed) for seed in chosen_on.split(",") if seed])
    typer.echo("\n".join(tables.table(to or path)))


def collect(
    sweep: Annotated[Path, typer.Argument(help="the folder of a sweep over folds and seeds")],
    to: Annotated[Path, typer.Option(help="the table to write, which must not exist, say malignancy.csv.xz")],
    head: Annotated[str, typer.Option(help="the head whose predictions are kept, beside the baselines")],
) -> None:
    """Write the test predictions of a sweep as one table.

    `evaluate` and `compare` take it, and pages of results.
    """
    from mammo.reports import best

    best.collect(sweep, to, head)
    typer.echo(str(to))


def results(
    folder: Annotated[Path, typer.Argument(help="folder of pages, with the tables that they name beside them")] = Path(
        "docs/results"
    ),
) -> None:
    """Write the tables of the results pages again."""
    from mammo.reports import pages

    changed = pages.fill(folder)
    typer.echo("\n".join(f"{folder / name} changed" for name in changed) or f"{folder}: no page changed")
