"""The corpus of the fuzz job, with what it once found: each input gives a value or one line."""

import pytest

from tests import fuzz


@pytest.mark.parametrize("reader", ["films", "tables", "infos", pytest.param("models", marks=pytest.mark.slow)])
def test_each_input_of_the_corpus_is_read_or_refused_in_a_line(reader):
    files = sorted((fuzz.CORPUS / reader).iterdir())
    assert len(files) > 2 and sum(path.stat().st_size for path in files) < 20_000
    for path in files:
        fuzz.READERS[reader](path.read_bytes())


def test_the_corpus_is_small_and_most_of_it_can_be_read():
    from mammo.formats.header import read_header

    films = [read_header(path) for path in sorted((fuzz.CORPUS / "films").iterdir())]
    assert sum(one.refused is None for one in films) > 15
    assert all(one.height * one.width <= 120 for one in films if one.refused is None)  # drawn, and no film
