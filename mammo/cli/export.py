"""The command that writes a finished run as one file: export."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="the folder of a finished run")],
    model: Annotated[Path, typer.Argument(help="the ONNX file to write; it must not exist")],
    head: Annotated[str | None, typer.Option(help="the head that answers [default: softmax]")] = None,
) -> None:
    """Write a finished run and one head as an ONNX file, which mammo predict takes in the place of the run.

    The run's test images are read again, and the file is compared with the run at every stage. It is not written if a
    probability differs by more than 0.001, or if a decision changes.
    """
    from mammo.runs.export import export as write

    parity = write(run, model, head)
    typer.echo("\n".join([*parity.lines(), f"written: {model} ({model.stat().st_size / 1e6:.1f} MB)"]))
