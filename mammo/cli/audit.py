"""Audit films, splits and published claims. The exit status is 0 (nothing found), 1 (found) or 2 (could not look)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mammo.cli.verbs import Verbs
from mammo.errors import InputError
from mammo.wording import number_of

if TYPE_CHECKING:
    from mammo.auditing.sources import Films

app = Verbs(
    help="Find leaks in films and splits; check published claims.\n\nThe exit status is 0 (nothing found), 1 (found) "
    "or 2 (could not look)."
)
Source = Annotated[str, typer.Argument(help="a folder of films, a table of films or findings, or a data set's name")]
FOUND, UNREADABLE = 1, 2


def _located(source: str) -> Path:
    """Return the path of a table or a folder of films; for the name of a data set, the folder of its films."""
    from mammo.cli.data import opened
    from mammo.datasets.registry import DATASETS

    if source not in DATASETS or Path(source).exists():
        return Path(source)
    dataset = opened(source)
    dataset.findings()  # if films are missing, its error says how to fetch them
    return dataset.root  # type: ignore[attr-defined]


@app.command()
def films(
    source: Source,
    words: Annotated[
        list[str] | None, typer.Argument(help="settings of a table, for example data.columns.patient=PatientID")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="a CSV file with image_id, patient and split, or a run folder")
    ] = None,
    sides: Annotated[
        str, typer.Option(help="parts of the split by the names of folders, for example full=train,old=none")
    ] = "",
    patient: Annotated[
        str | None,
        typer.Option(help="regular expression that finds the patient in a film's name, for example '([^/_]+)_'"),
    ] = None,
    parts: Annotated[
        bool | None,
        typer.Option(help="look for crops, and copies turned by any angle; by default among at most 2,000 films"),
    ] = None,
    sheet: Annotated[Path, typer.Option(help="PNG to write: a picture of the pairs that leak")] = Path("leaks.png"),
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="hash one shard of the films, say 3/64, and end; an audit then uses it"),
    ] = None,
) -> None:
    """Find patients, images and pixels that are in two parts of a split, or could be after a random split."""
    from mammo.auditing.audit import MOST_PARTS, SHEET, audit_of
    from mammo.auditing.forecast import forecast, forecast_of_parts
    from mammo.auditing.hashes import hash_shard
    from mammo.auditing.sides import read_sides
    from mammo.auditing.sources import find_films
    from mammo.auditing.splits import read_split
    from mammo.cli.prepare import shard_of
    from mammo.datasets.registry import DATASETS
    from mammo.files import check_own_picture

    if not source or not sheet.name:
        raise InputError("the name of the films or of the sheet is empty; is a variable of the shell not set?")
    check_own_picture(sheet, SHEET, "--sheet")
    own = shard_of(shard)
    named = read_sides(sides)
    if words or (source in DATASETS and not Path(source).exists()):
        if named:
            raise InputError(f"--sides names folders, but {source} is a table or a data set; give a split by --split")
        of = _films_of_dataset(source, words or [])
    else:
        of = find_films(Path(source), named, sheet)
    paths, sources = [Path(path) for path in of.table["path"]], of.source_of_each()
    if own is not None:
        mine, hashed, reasons = hash_shard(paths, sources, own)
        typer.echo(
            f"shard {shard}: {mine:,} of {number_of(len(paths), 'film')}: {hashed:,} hashed, "
            f"{mine - hashed - len(reasons):,} were there, {len(reasons):,} unreadable"
        )
        _end([f"not looked at: {reason}" for reason in reasons], found=False)
        return
    shown = parts if parts is not None else len(paths) <= MOST_PARTS
    for line in (forecast(paths, sources), forecast_of_parts(len(paths)) if shown else None):
        if line:
            typer.echo(line, err=True)
    rows, unread = (None, []) if split is None else read_split(split)
    of.doubts += unread
    found = audit_of(of, rows, patient, parts=parts)
    typer.echo("\n".join(found.lines()))  # before the sheet is drawn: a leak is told, whatever becomes of the picture
    if found.pairs:
        try:
            typer.echo(f"sheet: {found.draw(sheet)}")
        except OSError as error:
            typer.echo(f"sheet: {sheet} cannot be written ({error.strerror or error}); name another file by --sheet")
    _end([], found=bool(found.leaks), unreadable=bool(found.unreadable))


def _films_of_dataset(source: str, words: list[str]) -> "Films":
    """Return the films that the settings of a table or of a data set choose."""
    from mammo.auditing.sources import films_of
    from mammo.cli.data import config_of_source
    from mammo.datasets.base import choose_images
    from mammo.datasets.registry import open_dataset

    config = config_of_source(source, words)
    dataset = open_dataset(config.data)
    dataset.prepare()
    return films_of(dataset, choose_images(dataset, config.data))


@app.command()
def split(
    path: Annotated[
        Path, typer.Argument(help="a CSV file with image_id, patient, split [finding_id, copy], or a run folder")
    ],
    patient: Annotated[
        str | None,
        typer.Option(help="regular expression that finds the patient in an image_id, for example '([^/_]+)_'"),
    ] = None,
) -> None:
    """Find patients, images and findings that are in two parts of a split, from their names alone."""
    from mammo.auditing.audit import audit_split

    found = audit_split(path, patient)
    _end(list(found.lines()), found=bool(found.leaks))


@app.command()
def signatures(
    source: Annotated[str, typer.Argument(help="a table of films, or a data set's name")],
    words: Annotated[
        list[str] | None, typer.Argument(help="settings, for example task=malignancy data.columns.patient=PatientID")
    ] = None,
) -> None:
    """Find whether a label can be told without tissue: from image size, file size, header, border or burnt-in text."""
    import pandas as pd

    from mammo.auditing.signatures import find_signatures
    from mammo.auditing.sources import films_of
    from mammo.cli.data import config_of_source
    from mammo.datasets.labels import Labels, check_task
    from mammo.datasets.registry import open_dataset
    from mammo.training.prepare import choose

    config = config_of_source(source, words or [])
    dataset = open_dataset(config.data)
    dataset.prepare()
    config, chosen = choose(dataset, config)
    labels = Labels.from_config(config.task)
    check_task(labels, chosen.findings, config.task.kind)
    of = labels.of_images(chosen.findings.assign(label=labels.label(chosen.findings))).dropna(subset="label")
    known = dict(zip(of["image_id"], of["label"], strict=True))
    films = films_of(dataset, chosen).table
    films = films.assign(label=films["image_id"].map(known)).dropna(subset=["label", "patient"])
    found = find_signatures(pd.DataFrame(films[["path", "patient", "label"]]), labels.classes[-1])
    _end(list(found.lines()), found=found.found, unreadable=bool(found.unreadable))


@app.command()
def claim(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="numbers such as n=225 accuracy=97.77 recall=95.83 train=54,43 test=153,72"),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="a table (CSV, XLSX or Parquet) with a claim in each row, in the same words")
    ] = None,
) -> None:
    """Check the arithmetic of a published claim. The exit status is 1 if no reading of its numbers is possible."""
    from mammo.auditing import claim_table
    from mammo.auditing.claim_report import audit
    from mammo.errors import InputError

    if bool(words) == (table is not None):
        raise InputError("expected the numbers of a claim, such as n=225 accuracy=97.77, or --table claims.csv")
    if table is not None:
        rows, notes = claim_table.read_claims(table)
        verdicts = {row.verdict for row in rows}
        found, bad = claim_table.IMPOSSIBLE in verdicts, claim_table.BAD in verdicts
        _end([*claim_table.lines(rows), *notes], found=found, unreadable=bad)
        return
    possible, text = audit(words or [])
    _end([text], found=not possible)


@app.command()
def benchmark(
    source: Source,
    copies: Annotated[int, typer.Option(help="the number of altered copies to plant")] = 200,
    parts: Annotated[
        bool,
        typer.Option(
            "--parts", help="plant crops, copies turned by any angle and squeezed breasts, so many of each, instead"
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="the seed that chooses the films and their changes")] = 0,
) -> None:
    """Plant altered copies among films, and count how many the audit finds. The exit status is 1 if it errs."""
    from mammo.auditing import benchmark as of_copies
    from mammo.auditing import benchmark_parts as of_parts

    lines, failures = (of_parts if parts else of_copies).benchmark(_located(source), copies, seed)
    _end([*lines, *failures], found=bool(failures))


def _end(lines: list[str], *, found: bool, unreadable: bool = False) -> None:
    if lines:
        typer.echo("\n".join(lines))
    if found or unreadable:
        raise typer.Exit(FOUND if found else UNREADABLE)
