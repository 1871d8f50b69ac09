"""The commands beside training work on what is there, and say what is not."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mammo.cli.main import app
from mammo.errors import InputError


def said(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_fetch_draws_the_phantom_and_verify_finds_it_whole(tmp_path):
    settings = [f"root={tmp_path / 'films'}", "women=2"]
    assert "4 films in" in said("data", "fetch", "phantom", *settings)
    assert "4 films in" in said("data", "verify", "phantom", *settings)


def test_verify_names_every_film_that_differs(tmp_path):
    settings = [f"root={tmp_path / 'films'}", "women=2"]
    said("data", "fetch", "phantom", *settings)
    for film in ("mdb002", "mdb003"):
        path = tmp_path / "films" / f"{film}.pgm"
        path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"(?s)mdb002\.pgm.*mdb003\.pgm.*2 of 4 films"):
        said("data", "verify", "phantom", *settings)


def test_summary_counts_and_draws(phantom, tmp_path):
    picture = tmp_path / "films.png"
    output = said("data", "summary", "phantom", f"root={phantom.root}", "--picture", picture)
    assert "32 films, 16 women" in output
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.realdata
def test_the_real_films_are_counted_as_they_are(mias, tmp_path):
    output = said("data", "summary", "mias", f"root={mias.root}", "--picture", tmp_path / "films.png")
    for line in (
        "322 films, 161 women, 330 rows, 119 circles",
        "207 normal, 63 benign, 52 malignant",
        "53 no abnormal breast, 101 one, 7 both",
    ):
        assert line in output


def test_a_claim_is_audited_and_an_impossible_one_ends_with_1():
    assert "Possible only as truncated" in said("audit", "--claim", "n=225", "accuracy=97.77", "sensitivity=95.83")
    result = CliRunner().invoke(app, ["audit", "--claim", "n=225", "accuracy=97.5"])
    assert result.exit_code == 1 and result.output.startswith("Impossible")


def test_the_readme_shows_what_the_audit_of_a_claim_says():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    command, shown = re.search(r"mammo (audit --claim .+)\n```\n\n```text\n((?:.+\n)+)```", readme).groups()
    assert said(*command.split()) == shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "summary", "nobody"], "expected one of mias, phantom"),
        (["data", "verify", "mias", "archive"], "expected key=value"),
        (["report", "nowhere"], "no predictions at nowhere"),
        (["report", "nowhere", "--unit", "image"], "--unit is of one table of predictions"),
        (["audit"], "expected a findings table, a folder of films"),
        (["audit", "--claim", "n=225"], "expected one of accuracy"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message):
    with pytest.raises(InputError, match=message):
        said(*arguments)


def test_what_is_not_there_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m mammo data fetch mias"):
        said("data", "summary", "mias", f"root={tmp_path}")
