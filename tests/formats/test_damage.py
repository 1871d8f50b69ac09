"""Damaged films: each is read or refused in one line, without a traceback or a hang."""

import pytest

from tests.formats.damage import read_all


def test_damaged_films_are_read_or_refused_in_a_line():
    found, slowest = read_all(98, say=lambda line: None)
    assert found["refused"] > 40 and found["read"] > 10 and slowest < 30


@pytest.mark.slow
def test_many_damaged_films_are_read_or_refused_in_a_line():
    found, slowest = read_all(1000, seed=1, say=lambda line: None)
    assert found["refused"] > 500 and found["read"] > 100 and slowest < 30
