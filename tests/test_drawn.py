"""A figure is drawn once: what shows the same is kept, and anything that differs is drawn again."""

import numpy as np
import pandas as pd
import pytest

from mammo import drawn, figures
from mammo.evaluation.curves import GRID, Band


@pytest.fixture
def calls(monkeypatch):
    """The titles of the figures that were drawn."""
    found = []

    def draw(shown, title):
        found.append(title)
        return figures.confusion(np.eye(2, dtype=int), ["a", "b"], title)

    monkeypatch.setattr(figures, "confusion_of", draw, raising=False)
    return found


def test_a_figure_that_shows_the_same_is_not_drawn_again(calls, tmp_path):
    shown = {"svm": [Band(GRID, GRID, GRID, GRID), None], "table": pd.DataFrame({"epoch": [1, 2]}), "n": np.int64(3)}
    for title in ("one", "one", "two"):
        drawn.once(tmp_path / "figure.png", "confusion_of", shown, title)
    before = (tmp_path / "figure.png").read_bytes()
    assert calls == ["one", "two"]
    drawn.once(tmp_path / "figure.png", "confusion_of", shown | {"n": 4}, "two")
    drawn.once(
        tmp_path / "figure.png", "confusion_of", shown | {"svm": [Band(GRID, GRID, GRID, GRID + 1), None]}, "two"
    )
    assert calls == ["one", "two", "two", "two"] and before.startswith(b"\x89PNG")


def test_a_figure_that_is_gone_or_another_one_is_drawn(calls, tmp_path):
    for content in (None, b"\x89PNG"):
        if content:
            (tmp_path / "figure.png").write_bytes(content)
        drawn.once(tmp_path / "figure.png", "confusion_of", 1, "one")
    assert calls == ["one", "one"]
