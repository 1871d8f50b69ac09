"""The command that serves a model to a browser and to programs: serve."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from mammo.errors import InputError


def serve(
    model: Annotated[Path, typer.Argument(help="a finished run, a portable folder, or an ONNX file")],
    host: Annotated[
        str, typer.Option(help="the address to listen at; another one than this machine's needs a token")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(help="the port; 0 takes a free one", min=0, max=65535)] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            help="the word that others must know; MAMMO_TOKEN keeps it out of the list of processes",
            envvar="MAMMO_TOKEN",
            show_envvar=False,
        ),
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="the head that answers [default: softmax; of a detector: both]")
    ] = None,
    megabytes: Annotated[float, typer.Option(help="the most of a request")] = 256,
    films: Annotated[int, typer.Option(help="the most films of a request")] = 32,
    megapixels: Annotated[float, typer.Option(help="the most of a film; it is not decoded above")] = 60,
    seconds: Annotated[float, typer.Option(help="the longest that a request may take")] = 120,
    queue: Annotated[int, typer.Option(help="the most requests that wait; others are told to come again")] = 32,
) -> None:
    """Serve a run: a page for a browser, an API for programs.

    Films are kept in memory until they are answered, and nowhere else; the log has no names.
    """
    try:
        import uvicorn  # noqa: F401
        from fastapi import FastAPI  # noqa: F401
        from python_multipart import multipart  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"mammo serve needs {error.name}, which is not installed: pip install 'mammo[serve]'"
        ) from None
    from mammo.serving.limits import Limits
    from mammo.serving.run import serve as start

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("mammo.serving").setLevel(logging.INFO)
    start(
        model, head=head, host=host, port=port, token=token, limits=Limits(megabytes, films, megapixels, seconds, queue)
    )
