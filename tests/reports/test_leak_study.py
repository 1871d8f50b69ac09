"""The leak study: a leak beside its twin, drawn by the same women."""

import json

import pandas as pd
import pytest

from mammo.errors import InputError
from mammo.reports import leak_study
from mammo.reports.experiments import read_systems
from tests.evaluation.tables import predictions, run_folder


@pytest.fixture
def swept(tmp_path):
    """The recipe, films dealt, and the paper's split without its twin."""
    for name, strength in (("honest", 0.0), ("image", 3.0), ("paper", 1.0)):
        for fold in (0, 1):
            table = predictions(60, fold=fold, strength=strength, noise=fold)
            crossing = [] if name == "honest" else ["p001"]
            run_folder(
                tmp_path / f"{name}{fold}", table, [f"leak_study={name}", f"data.fold={fold}"], crossing=crossing
            )
    names = [f"{name}{fold}" for name in ("honest", "image", "paper") for fold in (0, 1)]
    (tmp_path / "jobs.json").write_text(json.dumps(names))
    return tmp_path


def test_each_leak_stands_beside_its_twin_and_one_without_a_twin_is_left_out(swept):
    found = leak_study.results(read_systems([swept]))
    assert [(r.turn.leaky, r.turn.on_train, r.head) for r in found] == [
        ("image", False, "softmax"), ("image", False, "svm"), ("honest", True, "softmax"), ("honest", True, "svm"),
    ]  # fmt: skip
    film = found[0]
    assert film.leaky["auroc"].value > 0.9 and film.honest["auroc"].low < 0.5 < film.honest["auroc"].high
    assert film.gained.value == pytest.approx(film.leaky["auroc"].value - film.honest["auroc"].value)
    assert film.gained.low > 0.2


def test_tested_on_the_training_films_is_the_training_part_of_the_recipe(swept):
    (system,) = [system for system in read_systems([swept]) if system.leak_study == "honest"]
    (found,) = [r for r in leak_study.results(read_systems([swept])) if r.turn.on_train and r.head == "softmax"]
    trained = system.tested("softmax", "train")
    assert found.n == f"{len(set(trained.samples))} of {len(set(trained.patients))} women"
    assert found.leaky["accuracy"].value == pytest.approx(trained.right.mean())


def test_table_and_figure_are_written_with_the_leaks_of_each_side(swept):
    text = leak_study.write(swept).read_text()
    assert "- leak_study=honest: none found." in text and "- leak_study=film: women have films on two sides" in text
    table = pd.read_csv(swept / "leak_study.csv")
    assert set(table["side"]) == {"leaky", "honest twin", "gained", "majority"}
    assert (swept / "leak_study.png").is_file()


def test_a_twin_that_leaks_is_refused(tmp_path):
    for name in ("honest", "image"):
        run_folder(tmp_path / name, predictions(60), [f"leak_study={name}"], crossing=["p001"])
    (tmp_path / "jobs.json").write_text(json.dumps(["honest", "image"]))
    with pytest.raises(InputError, match="leak_study=honest is to be the honest twin and leaks: women have films"):
        leak_study.results(read_systems([tmp_path]))
