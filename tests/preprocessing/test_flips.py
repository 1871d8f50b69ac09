"""Flips of a square are its eight symmetries, the original first and its mirror image second."""

import numpy as np

from mammo.preprocessing.flips import FLIPS, flipped


def test_flips_are_the_eight_symmetries_and_the_first_two_are_the_horizontal_ones():
    square = np.arange(9, dtype=np.uint8).reshape(3, 3)
    made = [flipped(square, number) for number in range(FLIPS["eight"])]
    assert FLIPS["none"] == 1 and FLIPS["horizontal"] == 2
    assert np.array_equal(made[0], square) and np.array_equal(made[1], square[:, ::-1])
    assert len({one.tobytes() for one in made}) == 8
    for one in made:  # the middle stays, corners stay corners
        assert one[1, 1] == 4 and {one[0, 0], one[0, 2], one[2, 0], one[2, 2]} == {0, 2, 6, 8}
        assert one.flags["C_CONTIGUOUS"]
