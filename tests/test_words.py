"""The words of the project: docstrings begin as sentences do, and links of the documents lead somewhere."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FORBIDDEN = {"Of", "What", "How", "Whether", "That", "Those", "As"}
LINK = re.compile(r"\]\(([^)\s]+)\)")


def first_words(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            yield re.split(r"\W", text, maxsplit=1)[0]


def test_docstrings_begin_as_sentences_do():
    files = sorted([*(ROOT / "mammo").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), ROOT / "train.py"])
    assert [str(path.relative_to(ROOT)) for path in files if FORBIDDEN & set(first_words(path))] == []


def anchors(path):
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_local_links_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for link in LINK.findall(page.read_text()):
            if "://" in link:
                continue
            target, _, anchor = link.partition("#")
            place = (page.parent / target).resolve() if target else page
            assert place.exists(), f"{page.name}: {link}"
            if anchor and place.suffix == ".md":
                assert anchor in anchors(place), f"{page.name}: {link}"
