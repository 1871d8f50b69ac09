"""Names that others gave stay text in a spreadsheet and in a terminal; mammo reads its own tables as they were."""

import io
import logging

import pandas as pd
import pytest
from typer.testing import CliRunner

from mammo.cells import as_written, cell, cell_of_path, for_people
from mammo.cli.main import app
from mammo.evaluation.external import read_external
from mammo.files import write_table

DANGEROUS = ["=cmd|'/C calc'!A0", "+x", "-x", "@SUM(1)", "-1+2", "\uff1d1", "a;=b", ";@x", "'=a", "''-a", "=1;=2"]
PLAIN = ["", "mdb001", "-1.5", "+3", "-1e-05", ".5", "-", "+", "a;-5", "O'Brien", "a=b", "softmax; knn", "'a"]


def runs(text):
    """True if a spreadsheet takes a part of a text for a formula; a number or a sign alone is none."""
    number = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+@-]"
    parts = pd.Series(text.split(";"))
    return bool((parts.str.match("[=+@\uff1d-]") & ~parts.str.fullmatch(number)).any())


@pytest.mark.parametrize("text", DANGEROUS + PLAIN)
def test_no_text_is_run_by_a_spreadsheet_and_each_is_read_as_it_was(text):
    assert not runs(cell(text)) and (cell(text) == text) == (text in PLAIN)
    read = as_written(pd.DataFrame({cell(text): [cell(text)]}, dtype="string"))
    assert list(read) == [text] == read.iloc[0].tolist()


def test_a_path_still_names_its_file(tmp_path):
    (tmp_path / "=2+2.dcm").touch()
    assert not runs(cell_of_path("=2+2.dcm")) and (tmp_path / cell_of_path("=2+2.dcm")).samefile(tmp_path / "=2+2.dcm")
    assert cell_of_path("films/=2+2.dcm") == "films/=2+2.dcm"


def test_a_table_for_people_is_evaluated_with_its_own_names(tmp_path):
    rows = [{"image_id": f"=2+{n}", "patient": f"-p{n}", "label": n % 2, "score": -n / 8} for n in range(6)]
    table = pd.DataFrame(rows).astype({"image_id": object, "patient": object})
    write_table(for_people(table), tmp_path / "t.csv")
    text = (tmp_path / "t.csv").read_text()
    assert not any(map(runs, text.replace("\n", ",").split(","))) and ",-0.625\n" in text
    read = read_external(tmp_path / "t.csv").table
    assert list(read["image_id"]) == list(table["image_id"]) and list(read["patient"]) == list(table["patient"])


def test_no_order_to_a_terminal_comes_out_of_a_table(tmp_path):
    odd = "odd\x9b2J\u202eclass"
    rows = [f"{n},{n},{odd if n % 2 else 'normal'},{n / 9}" for n in range(8)]
    (tmp_path / "t.csv").write_text("\n".join(["image_id,patient,label,score", *rows]))
    said = CliRunner().invoke(app, ["evaluate", str(tmp_path / "t.csv"), "--positive", odd]).output
    assert "odd?2J?class" in said and all(one.isprintable() or one == "\n" for one in said)
    said = CliRunner().invoke(app, ["evaluate", str(tmp_path / "t.csv")]).output
    assert "error" in said and all(one.isprintable() or one == "\n" for one in said)


def test_no_order_to_a_terminal_comes_out_of_a_log(monkeypatch):
    monkeypatch.setattr(logging, "_logRecordFactory", logging.LogRecord)
    CliRunner().invoke(app, ["--version"])  # every command cleans the log
    said, log, odd = io.StringIO(), logging.getLogger("mammo.test"), "odd\x1b[2J\nclass"
    monkeypatch.setattr(log, "handlers", [logging.StreamHandler(said)])
    log.warning("films  %s, %d of %s", odd, 2, ValueError(odd))
    log.warning("of two\nlines\x9b")
    try:
        raise ValueError(odd)
    except ValueError as error:
        log.error("error: %(of)s", {"of": odd}, exc_info=error)
    lines = said.getvalue().splitlines()
    assert lines[:3] == ["films  odd?[2J?class, 2 of odd?[2J?class", "of two", "lines?"]
    assert lines[-2:] == ["ValueError: odd?[2J", "class"] and all(map(str.isprintable, lines))


@pytest.mark.parametrize(
    "words",
    [
        ["data", "init", ".", "--out", "t.xlsx"], ["collect", ".", "--head", "svm", "--to", "t.parquet"],
        ["data", "check", "t.csv", "--picture", "t.jpg"], ["audit", "films", ".", "--sheet", "t.jpg"],
    ],
)  # fmt: skip
def test_a_file_is_not_named_like_another_kind(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2 and "ends in ." in result.output and not list(tmp_path.iterdir())
