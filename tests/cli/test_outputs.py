"""No command replaces a file of another origin: a folder or a picture must be new, or one that it wrote itself."""

import json

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from typer.testing import CliRunner

from mammo.cli.main import app
from mammo.files import check_own_folder


def ended(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.output


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def tables(tmp_path):
    """Two tables of predictions with one name, in two folders."""
    rows = [{"image_id": n, "patient": n, "label": n % 2, "score": (n * 7 % 10) / 10} for n in range(20)]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pd.DataFrame(rows).to_csv(tmp_path / name / "predictions.csv", index=False)
    return [tmp_path / name / "predictions.csv" for name in ("a", "b")]


def test_an_evaluation_replaces_itself_and_nothing_else(tables, tmp_path):
    one, other = tables
    out = tmp_path / "judged"
    assert ended("evaluate", one, "--out", out)[0] == 0
    (out / "reliability.png").write_bytes(b"of the former evaluation")
    (out / "roc_old.png").write_bytes(b"of the former evaluation")
    assert ended("evaluate", one, "--out", out, "--threshold", 0.5)[0] == 0
    assert "roc_old" not in (out / "report.md").read_text()
    kept = contents(out)
    status, said = ended("evaluate", other, "--out", out)
    assert status == 2 and "metrics.json of something else" in said and "--out" in said
    assert contents(out) == kept


@pytest.mark.parametrize(
    "names", [["metrics.json"], ["report.md"], ["provenance.json", "metrics.json", "predictions.csv"], ["notes.txt"]]
)
def test_a_folder_of_another_origin_is_refused_before_anything_is_computed(names, tables, tmp_path):
    out = tmp_path / "model"
    out.mkdir()
    for name in names:
        (out / name).write_text(json.dumps({"n": 1}))
    kept = contents(out)
    for words in (["evaluate", tables[0]], ["evaluate", *tables], ["run", "errors", tmp_path / "none"]):
        status, said = ended(*words, "--out", out)
        assert status == 2 and "name a new folder with --out" in said and contents(out) == kept, said
    with pytest.raises(ValueError, match="name a new folder with --to"):
        check_own_folder(out, ["metrics.json", "*.csv"], "--to", "predictions.csv")


def test_a_picture_of_another_origin_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").mkdir()
    for name in ("films-check.png", "films/a.png", "mias-films.png"):
        plt.imsave(tmp_path / name, [[0.0, 1.0]])
    kept = contents(tmp_path)
    for words in (
        ["data", "check", "films.csv"], ["audit", "films", "films", "--sheet", "films/a.png"],
        ["data", "summary", "mias"], ["data", "check", "films.csv", "--picture", "films/a.png"],
    ):  # fmt: skip
        status, said = ended(*words)
        assert status == 2 and "is no picture of mammo" in said, said
    assert contents(tmp_path) == kept


def test_a_page_or_a_measurement_of_another_origin_is_refused(tmp_path):
    for name in ("configuration.md", "profile.md", "models.json"):
        (tmp_path / name).write_text("{}")
    kept = contents(tmp_path)
    for words in (["reference"], ["bench", "profile", "--to"], ["bench", "models", "--to"]):
        status, said = ended(*words, tmp_path)
        assert status == 2 and "name another folder" in said, said
    assert contents(tmp_path) == kept
