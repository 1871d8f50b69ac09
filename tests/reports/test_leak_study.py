"""The leak study: a leak beside its honest counterpart, with the same patients drawn for both."""

import json

import pandas as pd
import pytest

from mammo.errors import InputError
from mammo.reports import leak_study
from mammo.reports.experiments import read_experiments
from tests.evaluation.tables import predictions, run_folder


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of the recipe, the split by image, and the paper's split without its counterpart."""
    tmp_path = tmp_path_factory.mktemp("swept")
    for name, strength in (("honest", 0.0), ("image", 3.0), ("paper", 1.0)):
        for fold in (0, 1):
            table = predictions(60, fold=fold, strength=strength, noise=fold)
            crossing = [] if name == "honest" else ["p001"]
            said = {"model": "a, b", "leak_study": name, "data.fold": fold}
            run_folder(tmp_path / f"{name}{fold}", table, said, crossing=crossing)
    names = [f"{name}{fold}" for name in ("honest", "image", "paper") for fold in (0, 1)]
    (tmp_path / "jobs.json").write_text(json.dumps(names))
    return tmp_path


@pytest.fixture(scope="module")
def experiments(swept):
    return read_experiments([swept])


@pytest.fixture(scope="module")
def found(experiments):
    return leak_study.results(experiments)


def test_each_leak_stands_beside_its_counterpart_and_one_without_is_left_out(found):
    assert [(r.turn.leaky, r.turn.on_train, r.head) for r in found] == [
        ("image", False, "softmax"), ("image", False, "svm"), ("honest", True, "softmax"), ("honest", True, "svm"),
    ]  # fmt: skip
    image = found[0]
    assert (
        image.values["leaky"]["auroc"].value > 0.9
        and image.values["honest counterpart"]["auroc"].low < 0.5 < image.values["honest counterpart"]["auroc"].high
    )
    assert image.values["gained"]["auroc"].value == pytest.approx(
        image.values["leaky"]["auroc"].value - image.values["honest counterpart"]["auroc"].value
    )
    assert image.values["gained"]["auroc"].low > 0.2


def test_tested_on_the_training_images_is_the_training_part_of_the_recipe(experiments, found):
    (honest,) = [one for one in experiments if one.leak_study == "honest"]
    (result,) = [r for r in found if r.turn.on_train and r.head == "softmax"]
    trained = honest.tested("softmax", "train")
    assert result.n == f"{len(trained.samples.drop_duplicates())} of {len(set(trained.patients))} patients"
    assert result.values["leaky"]["accuracy"].value == pytest.approx(trained.right.mean())


def test_table_and_figure_are_written_with_the_leaks_of_each_run(swept):
    text = leak_study.write(swept).read_text()
    assert "- leak_study=honest: none found." in text and "- leak_study=image: patients have images in" in text
    table = pd.read_csv(swept / "leak_study.csv")
    assert set(table["run"]) == {"leaky", "honest counterpart", "gained", "majority"}
    assert (swept / "leak_study.png").is_file()


def test_a_counterpart_that_leaks_is_refused(tmp_path):
    for name in ("honest", "image"):
        run_folder(tmp_path / name, predictions(60), {"leak_study": name}, crossing=["p001"])
    (tmp_path / "jobs.json").write_text(json.dumps(["honest", "image"]))
    with pytest.raises(InputError, match=r"leak_study=honest .* leaks: patients have images"):
        leak_study.results(read_experiments([tmp_path]))


@pytest.mark.slow
def test_the_collected_predictions_give_the_same_study(swept, experiments, found, tmp_path):
    leak_study.collect(swept, tmp_path / "tables")
    again = leak_study.read(tmp_path / "tables")
    assert leak_study.text(leak_study.results(again), again) == leak_study.text(found, experiments)
    assert [one.leaks for one in again] == [one.leaks for one in experiments]
    kept = pd.read_csv(tmp_path / "tables" / "predictions.csv.xz")
    assert set(kept["head"]) == {"softmax", "svm", "majority"}
    splits = {run: set(rows["split"]) for run, rows in kept.groupby("run")}
    assert splits["leak_study=honest"] == {"train", "test"} and splits["leak_study=image"] == {"test"}


@pytest.mark.slow
def test_copies_that_are_tested_are_collected_and_those_of_an_expanded_training_split_are_not(tmp_path):
    table = predictions(60, strength=1.0)
    copied = pd.concat([table, table.assign(copy=1)])
    for name, rows in (
        ("honest", table), ("expand", copied[(copied["split"] == "train") | (copied["copy"] == 0)]),
        ("augment_first", copied), ("all", copied),
    ):  # fmt: skip
        run_folder(tmp_path / name, rows, {"leak_study": name}, crossing=["p001"] * (name in ("augment_first", "all")))
    (tmp_path / "jobs.json").write_text(json.dumps(["honest", "expand", "augment_first", "all"]))
    leak_study.collect(tmp_path, tmp_path / "tables")
    one, two = (leak_study.results(leak_study.read(folder)) for folder in (tmp_path, tmp_path / "tables"))
    assert leak_study.as_table(one, "").equals(leak_study.as_table(two, ""))
    kept = pd.read_csv(tmp_path / "tables" / "predictions.csv.xz")
    assert {run for run, rows in kept.groupby("run") if rows["copy"].any()} == {
        "leak_study=augment_first", "leak_study=all",
    }  # fmt: skip


def test_a_sweep_without_a_pair_is_refused(tmp_path):
    run_folder(tmp_path / "image", predictions(60), {"leak_study": "image"})
    (tmp_path / "jobs.json").write_text(json.dumps(["image"]))
    with pytest.raises(InputError, match="sweep=leak_study"):
        leak_study.collect(tmp_path, tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def test_a_table_of_metrics_gives_the_same_table_again(swept, found, tmp_path):
    path = leak_study.write(swept).with_suffix(".csv")
    again = leak_study.from_table(path)
    assert leak_study.table(again) == leak_study.table(found)
    (tmp_path / "other.csv").write_text("leak,run\nnone,leaky\n")
    with pytest.raises(InputError, match=r"other\.csv: .*no "):
        leak_study.from_table(tmp_path / "other.csv")
