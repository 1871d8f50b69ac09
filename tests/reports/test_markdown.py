"""Names that others gave make no HTML, no link, no cell and no line of their own in a report."""

from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt

import mammo
from mammo.reports import markdown
from mammo.reports.markdown import harmless, page

ALIVE = [
    "<script>alert(1)</script>", "\\<script>", "\\\\\\<b onclick=x>", "<!-- x", "<?x", "a`b`<img src=x>", "\\`<i>`",
    "<javascript:alert(1)>", "[x](javascript:alert(1))", "![x](javascript:alert(1))", "[x\\](data:x)",
    "[x](//there.example/x.png)", "[x](<https://x>)", "[x](&#106;avascript:x)", "[x][y]", "[y]: javascript:alert(1)",
    "[x](\n/there)", "a\n# b", "a\r\n\n<b>", "a\u2028b", "\x1b[2J\x9b", "a|b", "a\\|b", "a\\", "\\\\|",
]  # fmt: skip
OURS = [
    "# a by b", "![roc](figures/roc.png)", "![a (b)](a (b).png)", "- [0-svm](0-svm/report.md)",
    "`a` **b** 0.5 (0.4 to 0.6), p <0.001, shares=[0.5,0.5] (a)",
    "Command: `python train.py split.shares=[0.5,0.25,0.25] data.values.severity.<50=benign`",
]  # fmt: skip


def kinds(text):
    """The kinds of all tokens of Markdown in which HTML is allowed, and any link."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    parser.validateLink = lambda _: True
    return [child.type for one in parser.parse(text) for child in (one, *(one.children or ()))]


def lines_with(name):
    """Lines of a report in which a name stands in a list, in a paragraph and in a table."""
    return [f"- {name}.", "", f"Positive means {name}.", "", *markdown.markdown(["a", name], [[name, "b"]])]


@pytest.mark.parametrize("text", ALIVE)
def test_a_name_makes_no_html_no_link_no_cell_and_no_line(text):
    said, known = (page(lines_with(one)) for one in (text, "x"))
    found, usual = kinds(said), kinds(known)
    assert not {"html_inline", "html_block", "link_open", "image"} & set(found)
    for kind in ("td_open", "th_open", "heading_open", "list_item_open"):
        assert found.count(kind) == usual.count(kind)
    assert said.count("\n") == known.count("\n") and all(map(str.isprintable, said.split("\n")))
    assert page(said.split("\n")) == said, "what is harmless is not changed again"


@pytest.mark.parametrize("line", OURS)
def test_lines_of_reports_stay_as_they_are(line):
    assert harmless(line) == line


def test_an_evaluation_of_a_table_of_somebody_else_is_harmless(tmp_path):
    odd = "<script>x</script>|[x](javascript:x)\x1b[2J"
    rows = [{"image_id": n, "patient": n, "label": odd if n % 2 else "normal", "score": n / 9} for n in range(8)]
    found = mammo.evaluate(pd.DataFrame(rows), positive=odd)
    text = (found.save(tmp_path / "out") / "report.md").read_text()
    assert "script" in text and not {"html_inline", "html_block", "link_open"} & set(kinds(text)) and "\x1b" not in text


def test_every_report_is_written_as_a_page():
    folder = Path(markdown.__file__).parent
    assert [path.name for path in folder.glob("*.py") if 'write_text("\\n".join' in path.read_text()] == []
