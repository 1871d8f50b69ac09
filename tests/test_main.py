"""The commands beside training work on what is there, and say on one line, with status 2, what is not."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from mammo.cli import train
from mammo.cli.main import app
from tests.conftest import CONF
from tests.evaluation.tables import predictions, run_folder

RESULTS = CONF.parent / "docs" / "results"


def ended(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


def said(*words):
    status, output = ended(*words)
    assert status == 0, output
    return output


def test_fetch_draws_the_phantom_and_verify_names_every_film_that_differs(tmp_path):
    words = ["phantom", "--root", tmp_path / "films", "--patients", 2]
    assert "4 films in" in said("data", "fetch", *words)
    assert "4 films in" in said("data", "verify", *words)
    for film in ("mdb002", "mdb003"):
        path = tmp_path / "films" / f"{film}.pgm"
        path.write_bytes(path.read_bytes()[:-7])
    status, output = ended("data", "verify", *words)
    assert status == 2 and "mdb002.pgm" in output and "mdb003.pgm" in output
    assert output.splitlines()[-1].startswith("error: 2 of 4 films")


def test_summary_counts_and_draws(phantom, tmp_path):
    picture = tmp_path / "films.png"
    output = said("data", "summary", "phantom", "--root", phantom.root, "--patients", 16, "--picture", picture)
    assert "32 images, 16 patients" in output
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.realdata
def test_the_real_films_are_counted_as_they_are(mias, tmp_path):
    output = said("data", "summary", "mias", "--root", mias.root, "--picture", tmp_path / "films.png")
    for line in (
        "322 images, 161 patients, 330 rows, 119 places",
        "207 normal, 63 benign, 52 malignant",
        "53 no abnormal image, 101 one, 7 more",
    ):
        assert line in output


def test_a_claim_is_audited_and_an_impossible_one_ends_with_1():
    assert "Possible only as truncated" in said("audit", "claim", "n=225", "accuracy=97.77", "sensitivity=95.83")
    status, output = ended("audit", "claim", "n=225", "accuracy=97.5")
    assert status == 1 and output.startswith("Impossible")


def test_a_table_of_predictions_is_evaluated_by_its_rows_or_by_unit(monkeypatch):
    table = RESULTS / "vgg_malignancy.csv"
    assert "auroc" in said("evaluate", table, "--unit", "patient", "--rule", "max")
    monkeypatch.setattr("mammo.reports.literature.table", lambda folder: [f"of {folder.name}"])  # see tests/reports
    assert said("literature", RESULTS / "literature") == "of literature\n"


def test_a_leak_study_is_printed_again_from_the_tables_that_were_kept_of_it(tmp_path):
    run_folder(tmp_path / "sweep" / "honest", predictions(60), {"leak_study": "honest"})
    (tmp_path / "sweep" / "jobs.json").write_text('["honest"]')
    printed = said("leak-study", tmp_path / "sweep", "--to", tmp_path / "tables" / "honest")
    assert "| tested on the training images | softmax |" in printed
    assert printed == said("leak-study", tmp_path / "tables" / "honest") == said("leak-study", tmp_path / "sweep")


def test_the_tables_of_pages_are_written_and_the_changed_pages_are_named(tmp_path):
    (tmp_path / "numbers.csv").write_text("a,b\n1,2\n")
    (tmp_path / "page.md").write_text("<!-- table: csv numbers.csv -->\n<!-- /table -->\n")
    assert said("results", tmp_path) == f"{tmp_path / 'page.md'} changed\n"
    assert said("results", tmp_path) == f"{tmp_path}: no page changed\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "Missing command"),
        ("nope", "nope"),
        ("data summary nobody", "data.name=nobody is unknown; expected one of mias, phantom"),
        ("data summary no_lab.Films", "data._target_=no_lab.Films: cannot be imported"),
        ("data fetch mias --patients 3", "data.patients=3 does nothing with data=mias"),
        ("data verify phantom --root nowhere", "data fetch phantom"),
        ("data cache --limit many", "many"),
        ("report nowhere", "nowhere"),
        ("report README.md", "use mammo evaluate README.md"),
        ("compare nowhere", "nowhere"),
        ("compare nowhere elsewhere", "nowhere: expected a run folder"),
        ("compare run sweep/../run", "run is named more than once"),
        ("evaluate docs", "use mammo report docs"),
        ("evaluate docs/results/vgg_whole.csv --rule median", "median"),
        ("evaluate docs/results/vgg_whole.csv --unit breast", "breast"),
        ("literature a b", "--to"),
        ("leak-study nowhere", "nowhere: expected a run folder"),
        ("results nowhere", "nowhere: no page with a table"),
        ("audit films nowhere", "nowhere"),
        ("audit claim n=225", "expected one of accuracy"),
        ("bench speed", "speed"),
    ],
)
def test_bad_input_is_one_line_and_status_2(words, message, monkeypatch):
    monkeypatch.chdir(CONF.parent)
    status, output = ended(*words.split())
    assert status == 2 and output.startswith("error: ") and message in output
    assert output.count("\n") == 1


def test_the_words_of_train_are_passed_on_untouched(monkeypatch):
    passed = []
    monkeypatch.setattr(train, "main", passed.append)
    words = ["model=inception", "-m", "+trainer.x=true", "seed=0,1", "--help", "resume=a b"]
    said("train", *words)
    assert passed == [words]


def test_a_program_ends_with_2():
    program = [sys.executable, "-m", "mammo", "train", "model=nope"]
    process = subprocess.run(program, check=False, capture_output=True, text=True, cwd=CONF.parent)
    assert (
        process.returncode == 2 and process.stderr.startswith("error: model=nope") and process.stderr.count("\n") == 1
    )
