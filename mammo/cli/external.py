"""The command that tests a finished run on other films: test."""

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer


def test(
    run: Annotated[Path, typer.Argument(help="the folder of a finished run")],
    words: Annotated[
        list[str] | None,
        typer.Argument(help="settings of the data, for example data=inbreast data.root=/films/inbreast"),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="a CSV file with image_id and split: its test part alone is tested"),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the test [default: outputs/<date>/<time>-test]")] = None,
) -> None:
    """Test a finished run on other films, with all that it has chosen; nothing is fitted or chosen here."""
    from mammo.cli.options import check_choices
    from mammo.paths import conf
    from mammo.run_folder import RunFolder
    from mammo.runs.checks import check_writable
    from mammo.runs.hydra_words import for_hydra

    check_choices(for_hydra(words or []), conf())
    folder = out or Path("outputs") / time.strftime("%Y-%m-%d/%H-%M-%S-test")
    check_writable(folder, "--out")

    from mammo.runs import (
        external_test,  # imports torch, which bad input should not wait for
        sweep,
    )

    tested = RunFolder(run)
    external_test.check_run(tested)
    data, parts = external_test.data_of(tested, words or []), external_test.parts_of(images)
    line = ["mammo", "test", str(run), *(words or []), *(["--images", str(images)] if images else [])]
    said = sweep.said(for_hydra(words or []))
    external_test.test(tested, data, folder, parts=parts, said=said, command=[shlex.quote(word) for word in line])
    typer.echo((folder / "report.md").read_text().partition("\n## ")[0])
    typer.echo(f"report {folder / 'report.md'}")
