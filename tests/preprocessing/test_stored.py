"""Squares that lie in the cache's files are read when they are asked for, and are those that were cut."""

import os

import numpy as np
import pytest
import torch

from mammo.errors import InputError
from mammo.preprocessing import stored
from mammo.preprocessing.cache import Store
from mammo.preprocessing.stored import StoredSquares, in_files, joined, taken

FORM = {np.uint8: torch.uint8, np.uint16: torch.uint16}


@pytest.fixture(params=FORM)
def squares(tmp_path, request):
    """Squares in two files of a store, as arrays, and as parts of the mapped files."""
    rng = np.random.default_rng(0)
    made = {f"{number:02d}": rng.integers(0, 255, (2, 6, 6)).astype(request.param) for number in range(10)}
    store = Store(tmp_path, mapped=True)
    for some in (list(made)[:4], list(made)[4:]):
        numbers = {f"{name}.numbers": torch.rand(2, 3, dtype=torch.float64) for name in some}
        store.store({name: torch.from_numpy(made[name]) for name in some} | numbers)
    found = store.load(list(made))
    return [one for name in made for one in made[name]], [one for name in made for one in found[name]]


def test_squares_in_files_are_those_that_were_stored(squares):
    made, mapped = squares
    kept = in_files(mapped)
    assert isinstance(kept, StoredSquares) and len(kept) == 20 and len(kept.files) == 2
    for some in (kept, joined([in_files(mapped[:7]), in_files(mapped[7:])]), taken(kept, np.arange(20))):
        assert isinstance(some, StoredSquares)
        assert all(
            np.array_equal(one, other) and one.dtype == other.dtype for one, other in zip(some, made, strict=True)
        )
    assert all(map(np.array_equal, taken(kept, np.array([9, 3])), (made[9], made[3])))
    kept.read_ahead(np.array([19, 0, 3]))


def test_who_writes_to_a_square_spoils_his_own(squares):
    kept = in_files(squares[1])
    kept[5][:] = 0
    assert np.array_equal(kept[5], squares[0][5])


@pytest.mark.parametrize("spoil", [lambda of: [of[0], of[1].copy()], lambda of: [of[0], of[1][:3]], lambda of: []])
def test_squares_that_are_not_alike_in_files_stay_as_they_are(squares, spoil):
    given = spoil(squares[1])
    assert in_files(given) is given
    assert all(one is other for one, other in zip(joined([given, given]), [*given, *given], strict=True))


def test_a_file_that_is_removed_or_cut_meanwhile_is_told(squares):
    kept = in_files(squares[1])
    last = kept.files[kept.file[-1]]
    os.truncate(last, 100)
    with pytest.raises(InputError, match=f"{last.name} is shorter"):
        _ = kept[19]
    stored._opened.cache_clear()
    last.unlink()
    with pytest.raises(InputError, match=f"{last.name} was removed"):
        _ = kept[19]
