"""A new film is read as the run read its own, and a window that differs is told."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mammo.datasets.film import Film
from mammo.inference.classifier import ClassifierPredictor
from mammo.run_folder import RunFolder
from mammo.run_tables import windowed
from tests.formats.ways import WAYS

WINDOW = ("window 2048/4096 (LINEAR) applied",)


def predictor(voi, trained):
    """A predictor of a run with these settings and notes of films."""
    made = object.__new__(ClassifierPredictor)
    made.config = SimpleNamespace(data=SimpleNamespace(voi=voi))
    notes = pd.DataFrame({"notes": pd.Series(trained, dtype="string")})
    run = SimpleNamespace(portable=False, films=notes, samples=pd.DataFrame({"spacing_mm": [0.2, 0.1]}))
    made.of_films = RunFolder.of_films.fget(run)
    return made


@pytest.mark.parametrize("voi", ["first", "none"])
def test_a_film_is_read_with_the_window_of_the_run(tmp_path, voi):
    (tmp_path / "film").write_bytes(WAYS["window"][0])
    assert windowed(predictor(voi, []).read(tmp_path / "film").notes) == (voi == "first")


@pytest.mark.parametrize(
    ("voi", "trained", "notes", "told"),
    [
        ("none", [""], WINDOW, True),
        ("none", [""], (), False),
        ("first", [WINDOW[0], f"inverted; {WINDOW[0]}"], (), True),
        ("first", [WINDOW[0], ""], (), False),
        ("first", [WINDOW[0]], WINDOW, False),
        ("first", [], (), False),
    ],
)
def test_another_window_than_that_of_the_run_is_told(voi, trained, notes, told):
    film = Film(np.zeros((4, 4), np.uint8), 255, notes=notes)
    assert bool(predictor(voi, trained).window_note(film)) == told
