"""A page of HTML from Markdown: one file that needs nothing else, for light and dark, wide and narrow screens."""

from collections.abc import Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token

STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --back: #ffffff; --soft: #f3f5f7; --line: #c9d0d8; --link: #0b57a4 }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e8ec; --back: #14181d; --soft: #1e242b; --line: #414b56; --link: #82b8f0 }
}
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem clamp(0.8rem, 4vw, 2.5rem) 4rem; max-width: 76rem; background: var(--back);
  color: var(--text); font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere }
h1 { font-size: clamp(1.4rem, 4vw, 2rem); line-height: 1.25 }
h2 { margin-top: 2.5rem; padding-bottom: 0.25rem; border-bottom: 1px solid var(--line); font-size: 1.3rem }
p, ul { max-width: 50rem }
ul { padding-left: 1.2rem }
li { margin: 0.25rem 0 }
a { color: var(--link) }
code { padding: 0 0.2em; background: var(--soft); font-size: 0.9em }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; max-width: none; padding: 0; list-style: none }
.table { max-width: 100%; margin: 1rem 0; overflow-x: auto; border: 1px solid var(--line); border-radius: 4px;
  background: linear-gradient(to left, var(--back) 40%, transparent) right / 3rem 100% no-repeat local,
    linear-gradient(to left, var(--line), transparent) right / 1.2rem 100% no-repeat scroll }
.table:focus-visible, a:focus-visible { outline: 2px solid var(--link); outline-offset: 2px }
table { width: 100%; border-collapse: collapse; font-size: 0.9rem; overflow-wrap: normal }
th, td { min-width: 5.5rem; padding: 0.35rem 0.6rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top }
td { font-variant-numeric: tabular-nums }
td code { overflow-wrap: anywhere }
thead th { background: var(--soft) }
tbody th { min-width: 8rem; font-weight: 500 }
tbody tr:last-child > * { border-bottom: 0 }
@media print { nav { display: none } .table { overflow: visible } }
"""


def page(text: str) -> str:
    """Return a page of HTML from Markdown with one heading of the first level; HTML inside the text is shown as text.

    Sections are listed at the top. A table can be scrolled sideways, with the keyboard too. Its first row and its first
    column are its heads.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    first, *sections = [tokens[at + 1].content for at, one in enumerate(tokens) if one.type == "heading_open"]
    render = parser.renderer.render
    title = "".join(one.content for one in parser.parseInline(first)[0].children or ())
    cut = next((at for at, one in enumerate(tokens) if one.tag == "h2"), len(tokens))
    body = [render(_arranged(part), parser.options, {}) for part in (tokens[:cut], tokens[cut:])]
    links = "".join(f'<li><a href="#{_anchor(name)}">{escape(name)}</a></li>' for name in sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'{body[0]}<nav aria-label="Sections"><ul>{links}</ul></nav>\n{body[1]}</main>\n</body>\n</html>\n'
    )


def _arranged(tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens with anchors of headings, frames around tables, and heads of their columns and rows."""
    made: list[Token] = []
    section, first = "", False
    for at, one in enumerate(tokens):
        if one.type == "heading_open" and one.tag == "h2":
            section = tokens[at + 1].content
            one.attrSet("id", _anchor(section))
        if one.type == "table_open":
            label = escape(f"Table of: {section}")
            made.append(_raw(f'<div class="table" role="region" tabindex="0" aria-label="{label}">\n'))
        if one.type == "th_open":
            one.attrSet("scope", "col")
        if one.type in ("td_open", "td_close") and first:
            one.tag = "th"
            if one.type == "td_open":
                one.attrSet("scope", "row")
        first = one.type == "tr_open" or (first and one.type != "td_close")
        made.append(one)
        if one.type == "table_close":
            made.append(_raw("</div>\n"))
    return made


def _raw(content: str) -> Token:
    return Token("html_block", "", 0, content=content)


def _anchor(heading: str) -> str:
    return "-".join("".join(one if one.isalnum() else " " for one in heading.lower()).split())
