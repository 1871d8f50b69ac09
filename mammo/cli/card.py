"""The command that writes the model card of a finished run: card."""

from pathlib import Path
from typing import Annotated

import typer


def card(
    run: Annotated[Path, typer.Argument(help="the folder of a finished run")],
    out: Annotated[Path | None, typer.Option(help="new folder for the card [default: the folder of the run]")] = None,
    test: Annotated[list[Path] | None, typer.Option(help="an external test of the run; may be given again")] = None,
) -> None:
    """Write the model card of a finished run.

    It is Markdown and a page of HTML. It tells data, protocol, results with intervals, subgroups, limits, licences and
    digests, all from the files of the run.
    """
    from mammo.errors import content_of
    from mammo.files import check_own_folder
    from mammo.reports.card import model_card
    from mammo.run_folder import RunFolder
    from mammo.runs.checks import check_writable
    from mammo.runs.external_data import check_run

    folder = RunFolder(run)
    check_run(folder)
    where = out or run
    check_writable(where, "--out")
    if where.resolve() != run.resolve():
        check_own_folder(where, (), "--out")
    with content_of(run):
        written = model_card(folder, test or ())
    paths = written.save(where)
    typer.echo("\n".join(f"written: {path}" for path in paths))
