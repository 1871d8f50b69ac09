"""Counts in the lines of commands and reports have the words that belong to them."""

import pytest

from mammo.wording import number_of


@pytest.mark.parametrize(
    ("count", "words", "said"),
    [
        (0, ("film",), "0 films"),
        (1, ("film",), "1 film"),
        (2, ("box",), "2 boxes"),
        (53851, ("image",), "53,851 images"),
        (1, ("film is", "films are"), "1 film is"),
        (3, ("film is", "films are"), "3 films are"),
    ],
)
def test_one_thing_is_told_in_the_singular(count, words, said):
    assert number_of(count, *words) == said
