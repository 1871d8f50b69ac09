"""The command that fits a finished run to another hospital: recalibrate."""

from pathlib import Path
from typing import Annotated

import typer


def recalibrate(
    run: Annotated[Path, typer.Argument(help="the folder of a finished run")],
    films: Annotated[
        Path,
        typer.Argument(
            help="a table of labelled films as data=table reads it; or predictions of this run with a label for each"
        ),
    ],
    words: Annotated[
        list[str] | None, typer.Argument(help="settings of the table, for example data.columns.patient=PatientID")
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="model folder to write, which mammo predict takes; it must not exist")],
    sensitivity: Annotated[
        float | None, typer.Option(help="sensitivity that the threshold has to reach [default: the rule of the run]")
    ] = None,
    prevalence: Annotated[
        float | None, typer.Option(help="share of positive patients where it will be used [default: as in the films]")
    ] = None,
    half_width: Annotated[
        float, typer.Option(help="half the width of an interval, for which the number of further films is told")
    ] = 0.05,
) -> None:
    """Fit a run to your own labelled films.

    Threshold and probabilities are chosen anew; the network and the heads stay as they are.
    """
    from mammo.errors import InputError
    from mammo.runs.checks import check_writable

    for name, number in (("sensitivity", sensitivity), ("prevalence", prevalence), ("half-width", half_width)):
        if number is not None and not 0 < number < 1:
            raise InputError(f"--{name} {number}: expected a share above 0 and below 1, such as 0.9 for 90 %")
    check_writable(out.parent, "--out")

    from mammo.runs.recalibrate import recalibrate as write  # imports torch, which bad input should not wait for

    settings = words or ()
    write(run, films, out=out, sensitivity=sensitivity, prevalence=prevalence, half_width=half_width, settings=settings)
    typer.echo((out / "recalibration.md").read_text())
    typer.echo(f"written: {out}; use it as a run, mammo predict {out} FILMS")
