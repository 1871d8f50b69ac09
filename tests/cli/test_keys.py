"""Every key is explained to the user, with what it allows; the reference pages are those that the code writes."""

import subprocess
import sys

import pytest
from omegaconf import OmegaConf
from typer.testing import CliRunner

from mammo import __version__
from mammo.cli import keys, train
from mammo.cli.main import app
from mammo.config import Config
from tests.conftest import CONF, composed

ROOT = CONF.parent
GROUPS = {group.name: group for group in keys.groups()}
KEYS = {key.name: key for group in GROUPS.values() for key in group.keys}


def leaves(section, prefix=""):
    for name, value in section.items():
        one = f"{prefix}{name}"
        yield from leaves(value, f"{one}.") if one in GROUPS and GROUPS[one].keys else [(one, value)]


def test_every_key_is_explained_and_no_other():
    assert set(KEYS) == {name for name, _ in leaves(Config().as_dict())}
    assert [name for name, key in KEYS.items() if len(key.explanation) < 10 or key.explanation.endswith(".")] == []


def test_no_explanation_has_a_word_for_the_linter():
    assert [name for name, key in KEYS.items() if "noqa" in key.explanation] == []


def test_a_default_is_written_as_the_command_line_takes_it():
    said = OmegaConf.from_dotlist([f"{name}={key.default}" for name, key in KEYS.items()])
    assert dict(leaves(OmegaConf.to_container(said))) == dict(leaves(Config().as_dict()))


def test_what_is_said_of_defaults_is_true_of_a_run_without_words():
    chosen = dict(leaves(OmegaConf.to_container(composed(), resolve=True)))
    given = {"task.classes", "source"}  # by an option
    assert {name for name, value in leaves(Config().as_dict()) if chosen[name] != value} <= given


def test_explanations_name_the_rows_of_each_table():
    from mammo.datasets.registry import DATASETS
    from mammo.models.backbones import BACKBONES
    from mammo.models.heads import HEADS
    from mammo.models.losses import LOSSES
    from mammo.preprocessing.augment import METHODS
    from mammo.preprocessing.crops import CROPS

    tables = {"heads": HEADS, "loss.name": LOSSES, "augment.method": METHODS, "crop.name": CROPS, "data.name": DATASETS}
    for name, table in tables.items():
        assert all(row in KEYS[name].explanation for row in table), name
    options = {group.name: set(group.options) for group in GROUPS.values()}
    assert set(BACKBONES) == options["model"]
    assert options["split"] == set(KEYS["split.name"].explanation.replace(",", "").split()) & options["split"]


def test_every_option_is_explained():
    explained = {group.name: group.options for group in GROUPS.values() if group.options}
    assert set(explained) == {path.name for path in CONF.iterdir() if path.is_dir()}
    assert [text for options in explained.values() for text in options.values() if len(text) < 4] == []
    assert explained["experiment"]["shi2019"] == "Shi et al. 2019: CNN"


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_says_each_key_on_one_line_and_each_option(capsys, monkeypatch, flag):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    train.main(["model=compact", flag])
    lines = capsys.readouterr().out.splitlines()
    starts = [line.split("=")[0].strip() for line in lines if not line.startswith("   ")]
    assert [name for name in KEYS if starts.count(name) != 1] == []
    assert max(map(len, lines)) <= 120
    text = " ".join(" ".join(lines).split())
    assert all(option in text for group in GROUPS.values() for option in group.options)
    assert "data.batch_size=16 " in text and "(a whole number, 1 or larger)" in text


def test_help_needs_no_torch():
    code = "import sys\nfrom mammo.cli import train\ntrain.main(['--help'])\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)


@pytest.mark.slow
def test_hydras_own_flags_still_work():
    line = [sys.executable, "train.py", "--cfg", "job", "--package", "crop", "crop=lesion"]
    done = subprocess.run(line, check=True, cwd=ROOT, capture_output=True, text=True)
    assert "name: lesion" in done.stdout


def test_the_program_tells_its_version():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"{__version__}\n")


def test_help_names_each_verb_in_a_whole_sentence():
    output = CliRunner().invoke(app, ["--help"]).output
    verbs = output.partition("Commands:")[2]
    assert "..." not in verbs and "mammo train --help" in output


@pytest.mark.parametrize("page", ["configuration.md", "command-line.md"])
def test_the_reference_pages_are_those_that_the_code_writes(page, tmp_path):
    result = CliRunner().invoke(app, ["reference", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert (tmp_path / page).read_text() == (ROOT / "docs" / "reference" / page).read_text(), (
        "the code has changed; run: python -m mammo reference"
    )


def test_an_option_of_two_words_is_listed_with_both_and_one_of_a_single_word_with_it():
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text()
    assert "| `--parts`, `--no-parts` |" in page and "| `--all` |" in page
    assert page.count("--no-") == 1  # all others are off unless named, so a second word would do nothing
