"""The command line `mammo <verb>`, also `python -m mammo <verb>`: each family of verbs has a file beside this one."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from mammo.cli import audit, bench, data, reports
from mammo.errors import message_for_user

BAD_INPUT = 2
UsageError: Any = typer.BadParameter.__bases__[0]  # of click, which typer has inside itself or beside it


class Program(TyperGroup):
    """Ends every command on bad input with one line and status 2, be it the command's own or typer's."""

    def main(self, *words: Any, **more: Any) -> Any:
        """Run a command, and end the process with its status."""
        try:
            sys.exit(super().main(*words, **more | {"standalone_mode": False}))
        except typer.Abort:
            sys.exit(130)
        except UsageError as error:
            path = error.ctx.command_path if error.ctx else "mammo"
            said = f"{error.format_message().rstrip('.')}; see {path} --help"
        except Exception as error:
            if (line := message_for_user(error)) is None:
                raise
            said = line
        typer.echo(f"error: {' '.join(said.split())}", err=True)
        sys.exit(BAD_INPUT)


app = typer.Typer(
    cls=Program,
    help="Train, judge and audit classifiers of mammograms. Bad input ends every command with status 2.",
    add_completion=False,
    rich_markup_mode=None,  # rich's import is a quarter of the time that --help takes
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.add_typer(audit.app, name="audit")
app.add_typer(bench.app, name="bench")
for verb in (
    reports.report,
    reports.compare,
    reports.evaluate,
    reports.literature,
    reports.leak_study,
    reports.results,
):
    app.command()(verb)


@app.command(
    add_help_option=False,
    # Every word is Hydra's: none is an option of this command, and their order stays.
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False},
)
def train(context: typer.Context) -> None:
    """Train a classifier: the words that follow are those of `python train.py`, say model=inception -m seed=0,1."""
    from mammo.cli import train as program

    program.main(context.args)


def main() -> None:
    """Run the words of the process."""
    app(prog_name="mammo")
