"""The keys of the configuration with their explanations, and the options of each group, as text for users.

The explanations are the comments of `mammo/config.py`, of `mammo/crop_config.py` and of the files in `conf/`; they are
not repeated anywhere else.
"""

import ast
import dataclasses
import inspect
import io
import shutil
import textwrap
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from mammo import config
from mammo.paths import conf

ALLOWED = {  # the values that the type of a field allows; for Any, the comment of the field says it
    "str": "text",
    "str | None": "text or null",
    "bool": "true or false",
    "int": "a whole number",
    "int | None": "null, or a whole number",
    "float": "a number",
    "float | None": "null, or a number",
    "list[float] | None": "null, or a list of numbers",
    "list[int]": "a list of whole numbers",
    "list[str]": "a list of words",
    "list[str] | None": "null, or a list of names",
    "Any": "",
}
EXAMPLES = {
    "python train.py data=phantom model=compact crop=lesion": "try everything on drawn films, without a download",
    "python train.py model=inception trainer.devices=2": "train Inception-v3 on two devices",
    "python train.py experiment=behery2023_vgg16": "repeat the paper's experiment, with its leaks",
    "python train.py -m sweep=folds repeats=3 model=vgg16,inception heads=all": "compare two networks over folds",
    "python train.py resume=outputs/2026-01-31/12-00-00": "go on with a run or sweep that was stopped",
}
USE = """Train, judge and report one classifier of mammograms.

  python train.py [group=option ...] [key=value ...]       one run
  python train.py -m [group=option,option ...] [...]       a sweep: every combination of the values
  python train.py resume=<folder of a run or sweep>        go on with a run or sweep that was stopped

Other words: --cfg job prints the composed configuration, --config-dir <folder> adds options of your own,
--hydra-help explains all flags of Hydra. `mammo train` takes the same words.
"""


@dataclass(frozen=True)
class Key:
    """A key of the command line.

    Attributes:
        name: The name with its group, say `data.batch_size`.
        default: The default value, as it is written in YAML.
        allowed: The allowed values, in words.
        explanation: A phrase or two, without a full stop.
    """

    name: str
    default: str
    allowed: str
    explanation: str


@dataclass(frozen=True)
class Group:
    """A group of keys, of options, or of both.

    Attributes:
        name: The name; empty for the keys without a group.
        explanation: One or more sentences.
        keys: Its keys, in the order of the dataclass.
        options: Each option with its explanation; empty if the group has keys only.
        default: The option that is used if the command line names none.
    """

    name: str
    explanation: str
    keys: list[Key]
    options: dict[str, str]
    default: str


OPTIONS_ONLY = {  # groups without keys of their own
    "protocol": "Three settings at once: split, crop and augment.",
    "sweep": "Many runs and one table at the end; needs -m.",
    "experiment": "A system of the literature, in the manner of its source, or a best recipe for mini-MIAS. "
    "Each changes several groups.",
    "leak_study": "One run of sweep=leak_study: a leak, or an honest counterpart.",
}


def groups() -> list[Group]:
    """Return the groups of the configuration with their keys and options; the keys without a group come last."""
    chosen = defaults()
    found = [
        Group(name, " ".join(kind.__doc__.split()), _keys(kind, f"{name}."), _options(name), chosen.get(name, ""))
        for name, kind in config.GROUPS.items()
    ]
    found += [Group(name, text, [], _options(name), chosen.get(name, "null")) for name, text in OPTIONS_ONLY.items()]
    rest = [key for key in _keys(config.Config, "") if key.name not in config.GROUPS]
    return [*found, Group("", "Keys of the whole run.", rest, {}, "")]


def defaults() -> dict[str, str]:
    """Return the option of each group that `conf/config.yaml` chooses; `null` if it chooses none."""
    loaded: Any = OmegaConf.to_container(OmegaConf.load(conf() / "config.yaml"))
    chosen = [entry for entry in loaded["defaults"] if isinstance(entry, dict)]
    return {group: _yaml(option) for entry in chosen for group, option in entry.items()}


def help_text() -> str:
    """Return what `python train.py --help` prints: every key on one line, the options of each group, and examples."""
    lines = [USE, "Examples:", *(f"  {line}\n      {why}" for line, why in EXAMPLES.items())]
    for group in groups():
        lines += ["", f"{group.name or 'without a group'}: {group.explanation}"]
        if group.options:
            lines.append(f"  {group.name}=  {', '.join(group.options)} [default: {group.default}]")
        for key in group.keys:
            allowed = f" ({key.allowed})" if key.allowed else ""
            lines.append(f"  {key.name + '=' + key.default:<32}  {key.explanation}{allowed}")
    width = max(80, min(shutil.get_terminal_size((120, 24)).columns, 120))
    return "\n".join(
        textwrap.fill(line, width, subsequent_indent=" " * 36, break_on_hyphens=False)
        for line in "\n".join(lines).split("\n")
    )


def _keys(kind: Any, prefix: str) -> list[Key]:
    """Return the keys of a dataclass, each explained by the comment above or beside its field."""
    text = inspect.getsource(kind)
    comments = {
        token.start[0]: (token.string.lstrip("# "), token.line.lstrip().startswith("#"))
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and not token.string.startswith("# noqa")
    }
    tree: Any = ast.parse(text).body[0]
    found, known = [], {one.name: one for one in dataclasses.fields(kind)}
    for node in (node for node in tree.body if isinstance(node, ast.AnnAssign)):
        words: list[str] = []
        first = node.lineno - 1
        while first in comments and comments[first][1]:
            words.insert(0, comments[first][0])
            first -= 1
        words += [comments[line][0] for line in range(node.lineno, (node.end_lineno or 0) + 1) if line in comments]
        one = known[ast.unparse(node.target)]
        if not dataclasses.is_dataclass(one.type):
            allowed = _allowed(one, ast.unparse(node.annotation))
            found.append(Key(prefix + one.name, _default(one), allowed, " ".join(words)))
    return found


def _default(one: Any) -> str:
    missing = one.default_factory is dataclasses.MISSING
    return _yaml(one.default if missing else one.default_factory())


def _allowed(one: Any, annotation: str) -> str:
    words = one.metadata.get("expected", ALLOWED[annotation])
    return f"null, or {words}" if annotation.endswith("None") and "null" not in words else words


def _yaml(value: Any) -> str:
    """Return a value as the command line takes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value).replace(" ", "")


def _options(group: str) -> dict[str, str]:
    """Return the options of a group, each with the first comment of its file; experiments with authors and method."""
    explained = _whose if group == "experiment" else _first_comment
    return {path.stem: explained(path) for path in sorted((conf() / group).glob("*.yaml"))}


def _whose(path: Path) -> str:
    """Return the authors and the method of a system of the literature; of another experiment, its first comment."""
    lines = [line.strip().partition(": ") for line in path.read_text().splitlines()]
    source = {key: value for key, _, value in lines if key in ("authors", "method")}
    return f"{source['authors']}: {source['method']}" if source else _first_comment(path)


def _first_comment(path: Path) -> str:
    """Return the first paragraph of a file's comments, without the lines that only Hydra or a shell reads."""
    lines: list[str] = []
    for line in path.read_text().splitlines():
        words = line.lstrip("# ")
        if not line.startswith("#") or (lines and not words):
            break
        if words and not words.startswith(("@package", "python train.py")):
            lines.append(words)
    return " ".join(lines)
