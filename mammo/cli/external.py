"""The command that tests a finished run on other films: test."""

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
    """Test a finished run on other films; nothing is fitted there."""
    from mammo.cli.options import check_choices
    from mammo.paths import conf
    from mammo.run_folder import RunFolder
    from mammo.runs.checks import check_writable
    from mammo.runs.external_data import check_run, data_of, parts_of, said_in
    from mammo.runs.hydra_words import for_hydra

    tested, given = RunFolder(run), words or []
    check_run(tested)
    check_choices(for_hydra(given), conf())
    data, parts = data_of(tested, given), parts_of(images)
    folder = out or Path("outputs") / time.strftime("%Y-%m-%d/%H-%M-%S-test")
    check_writable(folder, "--out")

    from mammo.runs import external_test  # imports torch, which bad input should not wait for

    line = ["mammo", "test", str(run), *given, *(["--images", str(images)] if images else [])]
    external_test.test(tested, data, folder, parts=parts, said=said_in(given), command=line)
    typer.echo((folder / "report.md").read_text().partition("\n## ")[0])
    typer.echo(f"report {folder / 'report.md'}")
