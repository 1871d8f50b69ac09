"""The command that writes a finished run as a file or folder for others: export."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="the folder of a finished run")],
    model: Annotated[Path, typer.Argument(help="the ONNX file, or the folder, to write; it must not exist")],
    format: Annotated[
        str, typer.Option(help="onnx: a file with one head, which needs no torch; portable: a folder with all heads")
    ] = "onnx",
    head: Annotated[
        str | None, typer.Option(help="the head that goes along [default: softmax; of a portable folder: all]")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="of an ONNX file: float32 or int8 [default: as the run computed]")
    ] = None,
) -> None:
    """Write a run as an ONNX file or a portable folder.

    mammo predict takes either in the place of the run.

    For an ONNX file the run's test images are read again, and the file is compared with the run at every stage. It is
    not written if a probability differs by more than 0.001, or if a decision changes. With --precision float32 it is
    compared with the run in float32, and with int8 nothing is refused; the difference to the run's answers is told. A
    portable folder repeats the run's self-test; it answers as the run does, to the last digit.
    """
    from mammo.runs.export import export as write

    found = write(run, model, head, format, precision)
    said = ["the run has no self-test of these heads, so nothing was compared"] if found is None else found.lines()
    size = sum(one.stat().st_size for one in ([model] if model.is_file() else model.rglob("*")) if one.is_file())
    typer.echo("\n".join([*said, f"written: {model} ({size / 1e6:.1f} MB)"]))
