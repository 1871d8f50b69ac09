"""Claims about parsers that hold for whatever is drawn: a text or file gives a value with its invariants, or one line.

`python -m pytest -m slow tests/properties` draws many times as many.
"""

import tempfile
from contextlib import contextmanager
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mammo.errors import message_for_user

REFUSED = object()  # stands for a value where an input was refused in one line
TIMES = 25  # as many examples of each claim, where slow tests are asked for

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
lines = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12)  # as a person types them
numbers = st.one_of(
    st.integers(-2000, 2000).map(str),
    st.floats(-2000, 2000).map("{:.2f}".format),
    st.sampled_from(["", "0", "1e400", "-1e400", "nan", "inf", "1,5", "1.234,5", "1 000", "1e", "0x10", "1_0", "٣"]),
)


@st.composite
def damaged(draw, *wholes):
    """One of these contents, in which up to three places are cut out, overwritten or filled in."""
    content = draw(st.sampled_from(wholes))
    for _ in range(draw(st.integers(0, 3))):
        at, cut = draw(st.integers(0, len(content))), draw(st.sampled_from([0, 1, 4, 40, len(content)]))
        content = content[:at] + draw(st.binary(max_size=3)) + content[at + cut :]
    return content


def holds(count=40, also=(), **drawn):
    """Make a test of a claim about what is drawn: the same `count` examples each time, and `TIMES` as many if slow.

    What once was found is tried first: `also`, by name.
    """

    def decorated(claim):
        @pytest.mark.parametrize("times", [1, pytest.param(TIMES, marks=pytest.mark.slow)], ids=["few", "many"])
        def test(times):
            how = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
            known = reduce(lambda of, one: example(**one)(of), also, given(**drawn)(claim))
            settings(max_examples=count * times, derandomize=times == 1, **how)(known)()

        test.__name__, test.__doc__ = claim.__name__, claim.__doc__
        return test

    return decorated


def answer(parser, *given, **how):
    """Return the value of a parser, or `REFUSED` if its error is one line for a user; any other error is passed on."""
    try:
        return parser(*given, **how)
    except Exception as error:
        line = message_for_user(error)
        if line is None:
            raise
        assert len(line.splitlines()) == 1, line
        return REFUSED


cells = st.one_of(lines, numbers, st.sampled_from(["", "NA", "left", "train", "malignant", "#REF!", "1.0", "-", "?"]))


def columns(text):
    """Plausible cells by column, from `patient=P|Q; label=0|1`."""
    return {name: cells.split("|") for name, cells in (one.split("=") for one in text.split("; "))}


@st.composite
def near(draw, columns, changes=2):
    """A table of up to four rows of plausible cells, some of which are replaced by anything; a column may be absent."""
    names = [name for name in columns if draw(st.integers(0, 19)) < 19]
    first = {name: draw(st.integers(0, len(columns[name]) - 1)) for name in names}
    count = draw(st.sampled_from([2, 1, 3, 4, 0]))
    rows = [[columns[name][(at + row) % len(columns[name])] for name, at in first.items()] for row in range(count)]
    for _ in range(draw(st.integers(0, changes)) if rows and names else 0):
        rows[draw(st.integers(0, len(rows) - 1))][draw(st.integers(0, len(names) - 1))] = draw(cells)
    return names, rows


@contextmanager
def written(content, name="file"):
    """The path of a file with these bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        yield path
