"""The reference pages that are written from the code: the keys of the configuration and the command line."""

import inspect
from collections.abc import Iterable, Iterator
from enum import EnumType
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from mammo.errors import InputError

WRITTEN = "This page is written by `python -m mammo reference`; change the code, not the page."


def reference(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="folder to write the pages to")] = Path("docs/reference"),
) -> None:
    """Write the reference pages of keys and commands from the code."""
    from mammo.files import write_text

    pages = {"configuration.md": configuration(), "command-line.md": command_line(context.find_root().command)}
    for path in (folder / name for name in pages):
        if path.is_file() and WRITTEN not in path.read_text():
            raise InputError(f"{path} is no page of this command; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        write_text(text, folder / name)
        typer.echo(str(folder / name))


def configuration() -> str:
    """Return the page of all keys, with their defaults, allowed values and explanations."""
    from mammo.cli.keys import groups

    lines = [
        "# Configuration",
        "",
        "Here you find every key of a run: what it means, its default and its allowed values.",
        "",
        "```sh",
        "python train.py data=phantom model=compact crop=lesion trainer.max_epochs=5",
        "```",
        "",
        "A word such as `crop=lesion` chooses an option of a group. A word such as `trainer.max_epochs=5` sets one",
        "key. An option may give its keys other values than the defaults below; a key that you set yourself wins.",
        "`python train.py --help` prints the same in a terminal, and `--cfg job` prints the values of one run.",
        WRITTEN,
    ]
    for group in groups():
        lines += ["", f"## {group.name or 'Keys without a group'}", "", group.explanation]
        if group.options:
            lines += ["", f"Default: `{group.name}={group.default}`.", ""]
            lines += _table(("option", "what it is"), ((f"`{one}`", text) for one, text in group.options.items()))
        if group.keys:
            rows = (
                (f"`{key.name}`", f"`{key.default}`", key.allowed or "as explained", key.explanation)
                for key in group.keys
            )
            lines += ["", *_table(("key", "default", "allowed values", "explanation"), rows)]
    return "\n".join([*lines, ""])


def command_line(program: Any) -> str:
    """Return the page of all commands, each with its arguments and options.

    Args:
        program: The top command, which contains all others.
    """
    lines = [
        "# Command line",
        "",
        "Here you find every command with its arguments and options.",
        "",
        "```sh",
        "python -m mammo --help",
        "```",
        "",
        "After an installation, `mammo` is the same as `python -m mammo`. Each command explains itself with `--help`.",
        "On bad input every command ends with status 2 and one line that says what is wrong.",
        WRITTEN,
    ]
    for path, command in commands("mammo", program):
        text = " ".join((command.help or "").split())
        lines += ["", f"## {path}", "", text]
        if rows := [_row(*one) for one in parameters(command)]:
            lines += ["", *_table(("argument or option", "default", "explanation"), rows)]
        if path == "mammo train":
            lines += ["", "The page [configuration](configuration.md) explains the words."]
    return "\n".join([*lines, ""])


def commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield a command and all commands below it, each with the words that call it."""
    yield path, command
    for name, one in sorted(getattr(command, "commands", {}).items()):
        yield from commands(f"{path} {name}", one)


def parameters(command: Any) -> Iterator[tuple[str, Any, Any, type]]:
    """Yield each argument or option of a command as its function declares it: name, typer's declaration, default, type.

    The objects that typer makes of the function differ from version to version; the function does not.
    """
    for name, one in inspect.signature(command.callback).parameters.items() if command.callback else ():
        for said in getattr(one.annotation, "__metadata__", ()):
            yield name, said, one.default, one.annotation.__origin__


def _row(name: str, said: Any, default: Any, kind: type) -> tuple[str, str, str]:
    """Return the cells of an argument or option: its name, its default and its help."""
    shown = _shown(name, said, kind) if isinstance(said, typer.models.OptionInfo) else name
    enums: list[Any] = [part for part in (kind, *get_args(kind)) if isinstance(part, EnumType)]
    choices = [one.value for part in enums for one in part]
    words = [said.help or "", f"({' or '.join(choices)})" if choices else ""]
    if default is inspect.Parameter.empty:
        written = "required"
    else:
        written = "" if default is None or default is False else f"`{default}`"
    return f"`{shown}`", written, " ".join(filter(None, words))


def _shown(name: str, said: Any, kind: type) -> str:
    """Return the name of an option on the command line; typer adds the opposite of a switch without one of its own."""
    if str(said.default).startswith("--"):  # typer keeps the first name there
        return str(said.default)
    if said.param_decls:
        return str(said.param_decls[0])
    plain = f"--{name.replace('_', '-')}"
    return f"{plain}`, `--no-{plain[2:]}" if bool in (kind, *get_args(kind)) else plain


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a Markdown table; bars and angle brackets inside a cell are shown as they are."""
    cells = [header, tuple("---" for _ in header), *rows]
    return [f"| {' | '.join(cell.replace('|', '&#124;').replace('<', '&lt;') for cell in row)} |" for row in cells]
