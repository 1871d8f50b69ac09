"""The commands of the documents are valid: training lines compose, other commands and their options exist.

Nothing is run here but the audit of a claim, which takes no time.
"""

import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from omegaconf import OmegaConf

from mammo.cli.main import app
from mammo.cli.options import check_choices
from mammo.config import Config
from mammo.runs import sweep
from mammo.runs.hydra_words import for_hydra
from tests.conftest import CONF, composed

ROOT = CONF.parent
OTHERS = {  # no test can check what they say
    *("pip", "python3", ".venv/bin/pip", "keras/bin/pip", "source", "tensorboard", "ruff", "mypy"),
    *("case", "[", "curl", "export", "scontrol"),
}
DOCS = sorted(page for page in (ROOT / "docs").rglob("*.md") if "results" not in page.relative_to(ROOT).parts)
PAGES = [ROOT / "README.md", *DOCS]
BLOCK = re.compile(r"^```(?:sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PYTEST = {"-m", "-n", "-s", "0", "faults", "gpu", "kills", "slow", "slurm"}


def lines(page):
    """The commands of a page's blocks, as words."""
    for block in BLOCK.findall(page.read_text()):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            words = shlex.split(line, comments=True)
            while "&&" in words:
                yield words[: words.index("&&")]
                words = words[words.index("&&") + 1 :]
            if words:
                yield words


COMMANDS = [(page.relative_to(ROOT), words) for page in PAGES for words in lines(page)]


def after(words, *start):
    """The words after a sequence of words; None where it is not there."""
    for at in range(len(words) - len(start) + 1):
        if words[at : at + len(start)] == list(start):
            return words[at + len(start) :]
    return None


def kind(words):
    """The program that a line starts, and the words for it."""
    if words[0] in OTHERS:
        return "other", words
    for name, start in (
        ("train", ["train.py"]),
        ("train", ["mammo", "train"]),
        ("mammo", ["-m", "mammo"]),
        ("pytest", ["-m", "pytest"]),
    ):
        if (rest := after(words, *start)) is not None:
            return name, rest
    if words[0] == "mammo":
        return "mammo", words[1:]
    if words[:2] == ["python", "-m"] and find_spec(words[2]):
        return "script", words[2:]
    if words[0] == "python" and (ROOT / words[1]).is_file():
        return "script", words[1:]
    raise AssertionError(f"an unknown program: {words[0]}; add it to OTHERS if no test can check it")


def of(name):
    return {(page, tuple(rest)) for page, words in COMMANDS for found, rest in [kind(words)] if found == name}


def test_every_line_starts_a_known_program():
    assert {kind(words)[0] for _, words in COMMANDS} >= {"train", "mammo", "pytest", "script", "other"}


def first_of(overrides):
    """Each override with the first of its values; options by a pattern are left out."""
    parser = OverridesParser.create()
    for line in overrides:
        override = parser.parse_override(line)
        value = override.value()
        if line.startswith("hydra") or isinstance(value, Glob):
            continue
        key, _, _ = line.partition("=")
        yield f"{key}={next(override.sweep_string_iterator())}" if override.is_sweep_override() else line


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["values", "whole"])
def test_every_training_line_composes(whole):
    """Its options are there, and its keys and values fit; lines that need files of a user are run by test_how_to.

    Each option of a group composes by test_train and test_experiments; here all that a line chooses at once does,
    where slow tests are asked for.
    """
    checked = set()
    sweep.register()
    for page, words in sorted(of("train")):
        flags, _ = get_args_parser().parse_known_args(words)
        overrides = tuple(for_hydra(flags.overrides))
        if flags.config_dir or "--help" in words or any(word.startswith("resume=") for word in words):
            continue
        if overrides in checked:
            continue
        checked.add(overrides)
        check_choices([word for word in words if word.startswith(("-", "hydra")) or "=" in word], CONF)
        given = [word for word in first_of(overrides) if whole or not (CONF / word.partition("=")[0]).is_dir()]
        try:
            Config.of(OmegaConf.to_container(composed(*given), resolve=True))
        except Exception as error:
            raise AssertionError(f"{page}: {' '.join(words)}") from error
    assert len(checked) > 20


def test_every_other_command_and_its_options_exist():
    for page, words in sorted(of("mammo")):
        command, rest, path = typer.main.get_command(app), list(words), "mammo"
        while rest and rest[0] in getattr(command, "commands", {}):
            path = f"{path} {rest[0]}"
            command = command.commands[rest.pop(0)]
        if "--help" in rest or "--version" in rest:
            continue
        assert not hasattr(command, "commands"), f"{page}: {' '.join(words)}: no such command"
        try:
            command.make_context(path, rest)
        except Exception as error:
            raise AssertionError(f"{page}: {path} {' '.join(rest)}: {error}") from error


def test_tests_and_scripts_that_are_named_are_there():
    for page, words in of("pytest"):
        assert all(word in PYTEST or (ROOT / word).exists() for word in words), page
    for page in PAGES:
        for named in re.findall(r"`((?:tests|mammo|conf)/[\w/.]+)`", page.read_text()):
            assert (ROOT / named).exists(), f"{page.name}: {named}"


def test_every_how_to_says_what_tests_it():
    silent = [page.name for page in PAGES if page.parent.name == "how-to" and "tests/" not in page.read_text()]
    assert silent == []


def test_the_audits_of_claims_are_as_they_are_shown(tmp_path):
    from mammo.auditing import claim_table
    from mammo.auditing.claim_report import audit

    page = ROOT / "docs/how-to/audit-claim.md"
    first, weighted, *_ = (after(words, "claim") for words in lines(page) if "claim" in words)
    assert f"```text\n{audit(first)[1]}\n```" in page.read_text()
    assert f"```text\n{audit(weighted)[1]}\n```" in page.read_text()
    table = tmp_path / "claims.csv"
    table.write_text(re.search(r"```text\n(authors,.*?)```", page.read_text(), re.DOTALL)[1])
    rows, notes = claim_table.read_claims(table)
    printed = "\n".join([*claim_table.lines(rows), *notes])
    assert f"```text\n{printed}\n```" in page.read_text()


def made(words):
    """The folder or file that a line of a page writes, if it says so."""
    named = [word.split("=", 1)[1] for word in words if word.startswith(("hydra.run.dir=", "hydra.sweep.dir="))]
    for start in (["--out"], ["data", "example"]):
        named += (after(words, *start) or [])[:1]
    return [one for one in named if not one.isupper()]


def test_a_folder_that_several_pages_make_is_the_same_on_each_and_they_say_so():
    """Pages are followed in any order; a second run of the same name would destroy that of another page."""
    makers = {}
    for page, words in COMMANDS:
        for one in made(words):
            makers.setdefault(one, {}).setdefault(tuple(kind(words)[1]), set()).add(page)
    for one in ("judged", "pictures"):  # written again by each line
        makers.pop(one)
    assert {one: lines for one, lines in makers.items() if len(lines) > 1} == {}
    sharing = {page for lines in makers.values() for pages in lines.values() if len(pages) > 1 for page in pages}
    said = "Leave a line out if another page has made its folder already"
    silent = [str(page) for page in sharing if said not in " ".join((ROOT / page).read_text().split())]
    assert sorted(silent) == ["README.md"]  # it is a summary, and the page on serving says it


@pytest.mark.parametrize("word", ["women", "woman", "twin", "verdict", "the dial"])
def test_the_pages_keep_to_the_words_of_the_glossary(word):
    about_mias = {"mini-mias.md", "protocols.md", "configuration.md"}
    users = {page.name for page in PAGES if re.search(rf"\b{word}\b", page.read_text())}
    assert users <= (about_mias if word in ("women", "woman") else set())


def test_the_pages_are_linked_from_their_index():
    index = (ROOT / "docs/README.md").read_text()
    assert [page.name for page in PAGES if page.name != "README.md" and Path(page).name not in index] == []


def test_the_readme_can_be_read_in_one_sitting():
    assert (ROOT / "README.md").read_text().count("\n") <= 150
