"""Pages of results: their tables are those of the committed predictions, and a mark that names no table is refused."""

import shutil

import pytest

from mammo.errors import InputError
from mammo.reports import leak_study, pages
from tests.conftest import CONF
from tests.evaluation.tables import predictions, run_folder

RESULTS = CONF.parent / "docs" / "results"
MARK = "# Title\n\n{}\n<!-- table: {} -->\nstale\n<!-- /table -->\nafter\n"


def emptied(folder, names):
    """Copy the results to a folder, with these pages alone and their tables empty."""
    shutil.copytree(RESULTS, folder, ignore=shutil.ignore_patterns("*.md", "*.png"))
    for name in names:
        (folder / name).write_text(pages.MARKED.sub(r"\1\4", (RESULTS / name).read_text()))
    return folder


COMMITTED = sorted(page.name for page in RESULTS.glob("*.md") if pages.BEGIN in page.read_text())
LONG = ["best-detectors.md", "best.md", "detector.md", "leak-study.md", "literature.md", "whole-films.md"]
QUICK = [name for name in COMMITTED if name not in LONG]


@pytest.mark.parametrize("names", [QUICK, pytest.param(LONG, marks=pytest.mark.slow)], ids=", ".join)
def test_the_pages_are_what_the_command_writes_from_the_committed_predictions(tmp_path, names):
    folder = emptied(tmp_path / "results", names)
    assert pages.fill(folder) == names
    for name in names:
        assert (folder / name).read_bytes() == (RESULTS / name).read_bytes(), f"{name}: run python -m mammo results"


def test_every_page_is_in_the_index_and_begins_with_its_commands():
    index = (RESULTS / "README.md").read_text()
    for page in RESULTS.glob("*.md"):
        title, _, rest = page.read_text().partition("\n\n")
        assert title.startswith("# ") and "\npython -m mammo results" in rest
        if page.name != "README.md":
            assert f"({page.name})" in index and rest.startswith("```sh\n"), page.name


def test_the_results_are_small():
    assert sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()) < 8e6


def test_a_table_is_written_between_its_marks_and_nothing_else_changes(tmp_path):
    (tmp_path / "some.csv").write_text('a,b\n1.50,"x, y"\n,z\n')
    (tmp_path / "page.md").write_text(MARK.format("prose | 1", "csv some.csv"))
    (tmp_path / "other.md").write_text("prose alone")
    assert pages.fill(tmp_path) == ["page.md"] and pages.fill(tmp_path) == []
    table = "| a | b |\n| --- | --- |\n| 1.50 | x, y |\n|  | z |"
    expected = MARK.format("prose | 1", "csv some.csv").replace("stale", table)
    assert (tmp_path / "page.md").read_text() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MARK.format("", "tsv some.csv"), "no kind tsv; expected one of csv"),
        (MARK.format("", "csv other.csv"), "no other.csv in"),
        (MARK.format("", "csv"), "expected one path, found 0"),
        (MARK.format("", "folds"), "expected one path, found 0"),
        (MARK.format("", "csv some.csv some.csv"), "expected one path, found 2"),
        ("<!-- table: csv some.csv -->\n", "needs a line <!-- /table -->"),
        ("<!-- table: csv some.csv -->\n" + MARK.format("", "csv some.csv"), "needs a line <!-- /table -->"),
        ("prose", "no page with a table"),
    ],
)
def test_a_mark_that_names_no_table_is_refused_and_nothing_is_written(tmp_path, text, message):
    (tmp_path / "some.csv").write_text("a,b\n1,2\n")
    (tmp_path / "page.md").write_text(text)
    if text != "prose":
        (tmp_path / "a.md").write_text(MARK.format("", "csv some.csv"))
    with pytest.raises(InputError, match=message) as found:
        pages.fill(tmp_path)
    assert "\n" not in str(found.value)
    assert "stale" in (tmp_path / "a.md").read_text() if text != "prose" else True


def test_a_leak_study_is_a_picture_and_a_table_and_its_leaks_are_told(tmp_path):
    for name in ("honest", "image"):
        run_folder(tmp_path / name, predictions(60), {"leak_study": name}, crossing=["p001"] * (name == "image"))
    (tmp_path / "jobs.json").write_text('["honest", "image"]')
    leak_study.collect(tmp_path, tmp_path / "pages" / "study" / "lab")
    marks = [MARK.format("", f"{kind} study/lab") for kind in ("leak_study", "leaks")]
    (tmp_path / "pages" / "page.md").write_text("".join(marks))
    assert pages.fill(tmp_path / "pages") == ["page.md"]
    text = (tmp_path / "pages" / "page.md").read_text()
    assert "](study_lab.png)\n\n| leak | head |" in text and (tmp_path / "pages" / "study_lab.png").is_file()
    assert "| split by image, not by patient | softmax |" in text
    assert "| `image` | split=patient, crop=whole, augment=none | patients have images in two splits" in text


@pytest.mark.slow
def test_single_splits_and_folds_are_computed_from_tables_of_predictions(tmp_path):
    table = predictions()
    table.to_csv(tmp_path / "run.csv.xz", index=False)
    for name in ("one", "two"):
        predictions(fold=0, strength=2.0).to_csv(tmp_path / f"{name}.csv", index=False)
    (tmp_path / "runs.csv").write_text("command,predictions,one_liner,leaks\ncrop=lesion,run.csv.xz,0.700,none\n")
    lines = pages.single_splits(tmp_path / "runs.csv")
    tested = table[(table["split"] == "test") & (table["head"] == "svm")]
    right = ((tested["p_abnormal"] > 0.5) == (tested["label"] == "abnormal")).mean()
    cells = [cell.strip() for cell in lines[-1].strip("|").split("|")]
    assert cells[:2] == ["`crop=lesion` ([predictions](run.csv.xz))", "20 of 10 patients"]
    assert cells[4].startswith(f"{right:.3f} (") and cells[-2:] == ["0.700", "none"]
    both = [tmp_path / "one.csv", tmp_path / "two.csv"]
    assert "| one | softmax | " in "\n".join(pages.folds(both))
    assert "| one - two (svm) | " in "\n".join(pages.paired(both))
