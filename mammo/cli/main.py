"""The command line `mammo <verb>` or `python -m mammo <verb>`; each family of verbs has a file beside this one."""

import logging
import sys
from contextlib import redirect_stdout
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mammo import __version__
from mammo.cells import LogLine, in_terminal
from mammo.cli import (
    audit,
    bench,
    card,
    data,
    explain,
    export,
    external,
    predict,
    recalibrate,
    reference,
    reports,
    run,
    serve,
)
from mammo.cli.prepare import prepare
from mammo.cli.verbs import Verbs
from mammo.errors import is_interrupt, message_for_user
from mammo.processes.garbage import collect_seldom

BAD_INPUT = 2
INTERRUPTED = 130  # exit status after Ctrl-C; a run that trains ends with 143, as it can go on
# The class of click's usage errors. Some versions of typer contain click, and others import it.
UsageError: Any = typer.BadParameter.__bases__[0]


class Terminal:
    """A stream whose text gives a terminal no order, whatever films, models and tables of others say."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text as `in_terminal` returns it."""
        return int(self._stream.write(in_terminal(text)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Program(TyperGroup):
    """A group whose commands end on bad input with one line and status 2, whether typer or the command found it."""

    def main(self, *words: Any, **more: Any) -> Any:
        """Run a command, and end the process with its status."""
        logging.setLogRecordFactory(LogLine)
        try:
            with redirect_stdout(Terminal(sys.stdout)):
                status = super().main(*words, **more | {"standalone_mode": False})
            if status == INTERRUPTED:  # which some versions of typer make of Ctrl-C
                raise KeyboardInterrupt
            sys.exit(status)
        except (typer.Abort, KeyboardInterrupt):
            typer.echo("stopped", err=True)
            sys.exit(INTERRUPTED)
        except UsageError as error:
            path = error.ctx.command_path if error.ctx else "mammo"
            said = f"{error.format_message().rstrip('.')}; see {path} --help"
        except Exception as error:
            if is_interrupt(error):
                typer.echo("stopped", err=True)
                sys.exit(INTERRUPTED)
            if (line := message_for_user(error)) is None:
                raise
            said = line
        typer.echo(in_terminal(f"error: {' '.join(said.split())}"), err=True)
        sys.exit(BAD_INPUT)


app = Verbs(
    cls=Program,
    help="Train, judge and audit classifiers of mammograms. `mammo train --help` explains every key of a run. "
    "On bad input every command ends with status 2.",
    add_completion=False,
    rich_markup_mode=None,  # rich's import is a quarter of the time that --help takes
    pretty_exceptions_enable=False,
)
data.app.command()(prepare)
app.add_typer(data.app, name="data")
app.add_typer(audit.app, name="audit")
app.add_typer(bench.app, name="bench")
app.add_typer(run.app, name="run")
TABLES = (reports.literature, reports.leak_study, reports.detectors, reports.collect, reports.results)
for verb in (
    external.test,
    predict.predict,
    recalibrate.recalibrate,
    explain.explain,
    export.export,
    card.card,
    serve.serve,
    reports.report,
    reports.compare,
    reports.evaluate,
    *TABLES,
    reference.reference,
):
    app.command()(verb)


def _print_version(*, asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Handle the options that stand before a verb."""


@app.command(
    add_help_option=False,
    # All words go to Hydra in their order; none is an option of this command.
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False},
)
def train(context: typer.Context) -> None:
    """Train a classifier; see mammo train --help for every key.

    It takes the words of `python train.py`, for example model=inception -m seed=0,1.
    """
    from mammo.processes.peers import end_when_told

    end_when_told()  # before the imports, which take a second
    from mammo.cli import train as program

    program.main(context.args)


def main() -> None:
    """Run the command line of the process."""
    collect_seldom()
    app(prog_name="mammo")
