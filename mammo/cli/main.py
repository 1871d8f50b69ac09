"""The command line `mammo <verb>`, also `python -m mammo <verb>`: each family of verbs has a file beside this one."""

import sys

import typer

from mammo.cli import audit, bench, data, reports
from mammo.errors import message_for_user

BAD_INPUT = 2
app = typer.Typer(
    help="Train, judge and audit classifiers of mammograms. Bad input ends every command with status 2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.add_typer(audit.app, name="audit")
app.add_typer(bench.app, name="bench")
for verb in (reports.report, reports.compare, reports.evaluate, reports.literature):
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
    """Run a command; bad input ends it with one line and status 2, as typer's own errors do."""
    try:
        app()
    except Exception as error:
        if (said := message_for_user(error)) is None:
            raise
        typer.echo(f"error: {said}", err=True)
        sys.exit(BAD_INPUT)


if __name__ == "__main__":
    main()
