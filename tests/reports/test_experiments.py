"""Experiments: means over folds and seeds, by patient; what groups runs and what sets them apart."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from mammo import compare, evaluate
from mammo.cli.main import app
from mammo.errors import InputError
from mammo.evaluation.bootstrap import interval
from mammo.evaluation.experiments import mean, pooled_auroc
from mammo.reports.experiments import finished_runs, read_experiments
from tests.evaluation.tables import predictions, run_folder


def sweep(folder, seeds=(0, 1), folds=(0, 1), **kwargs):
    """A sweep of folds and seeds; returns its tables too."""
    tables = [predictions(seed=s, fold=f, noise=10 * s + f, **kwargs) for s in seeds for f in folds]
    names = []
    for number, table in enumerate(tables):
        names.append(f"job{number}")
        run_folder(folder / names[-1], table, {"sweep": "folds", "data.fold": 0, "seed": 0})
    (folder / "jobs.json").write_text(json.dumps(names))
    return tables


def test_jobs_of_a_sweep_that_read_other_pixels_of_the_same_films_are_refused(tmp_path):
    """Jobs on other data, those of another version of the program, and older runs are not compared."""
    sweep(tmp_path)
    other = {"job2": {"name": "mias", "root": "elsewhere"}, "job3": {}}

    def written(name, grey, preprocessing):
        path = tmp_path / name / "provenance.json"
        known = json.loads(path.read_text())
        known["config"]["data"] |= other.get(name, {})
        path.write_text(json.dumps(known | preprocessing))
        pd.DataFrame({"image_id": ["m1", "m2"], "mean": [0.5, grey]}).to_csv(tmp_path / name / "films.csv", index=False)

    for name, grey, cutting in (("job0", 0.5, 3), ("job1", 0.5001, 3), ("job2", 0.9, 3), ("job3", 0.9, 4)):
        written(name, grey, {"preprocessing": {"cutting": cutting}})
    assert len(read_experiments([tmp_path])[0].jobs) == len(finished(tmp_path)) == 4
    written("job1", 0.6, {"preprocessing": {"cutting": 3}})
    for read in (read_experiments, lambda paths: finished(*paths)):
        with pytest.raises(InputError, match=r"job1 read other films than .*job0: the pixels of 1 image differ, m2 "):
            read([tmp_path])


def finished(folder):
    for path in folder.glob("job?"):
        (path / "finished.json").touch()
    return finished_runs(folder)


def own_area(table, head="softmax"):
    rows = table[(table["head"] == head) & (table["split"] == "test")]
    return roc_auc_score(rows["label"] == "abnormal", rows["score"])


def test_the_mean_is_over_the_folds_own_areas_and_the_spreads_are_over_folds_and_seeds(tmp_path):
    tables = sweep(tmp_path)
    (experiment,) = read_experiments([tmp_path])
    areas = np.array([own_area(table) for table in tables]).reshape(2, 2)  # seed, fold
    found = mean(experiment, "softmax")["auroc"]
    assert found.value.value == pytest.approx(areas.mean())
    assert found.over_folds == pytest.approx(areas.std(axis=1, ddof=1).mean())
    assert found.over_seeds == pytest.approx(areas.mean(axis=1).std(ddof=1))
    assert (experiment.folds, experiment.seeds) == (2, 2)


def test_a_second_seed_of_the_same_answers_adds_no_certainty(tmp_path):
    once = predictions(fold=0)
    for name, tables in (("one", [once]), ("two", [once, once.assign(seed=1)])):
        pd.concat(tables).to_csv(tmp_path / f"{name}.csv", index=False)
    one, two = (
        mean(e, "softmax")["auroc"].value for e in read_experiments([tmp_path / "one.csv", tmp_path / "two.csv"])
    )
    assert (one.low, one.high) == pytest.approx((two.low, two.high))


def test_a_table_of_predictions_gives_what_its_sweep_gives(tmp_path):
    tables = sweep(tmp_path / "sweep")
    pd.concat(tables).to_csv(tmp_path / "table.csv", index=False)
    of_sweep, of_table = read_experiments([tmp_path / "sweep", tmp_path / "table.csv"])
    for head in of_sweep.heads:
        assert mean(of_sweep, head)["auroc"].value == mean(of_table, head)["auroc"].value
    assert pooled_auroc(of_sweep, "svm") == pooled_auroc(of_table, "svm")


def test_folds_are_pooled_only_after_calibration_and_when_no_image_is_tested_twice(tmp_path):
    folds = [predictions(60, fold=f, strength=2, noise=f) for f in (0, 1)]
    shifted = folds[1].assign(p_abnormal=lambda t: t["p_abnormal"] ** 3)
    shifted["p_normal"] = 1 - shifted["p_abnormal"]
    for name, second in (("plain", folds[1]), ("no_val", folds[1][folds[1]["split"] != "val"]), ("same", folds[0])):
        pd.concat([folds[0], second.assign(fold=1)]).to_csv(tmp_path / f"{name}.csv", index=False)
    plain, no_val, same = read_experiments([tmp_path / f"{name}.csv" for name in ("plain", "no_val", "same")])
    assert pooled_auroc(plain, "softmax").value > 0.7
    assert pooled_auroc(no_val, "softmax") is None and pooled_auroc(same, "softmax") is None


@pytest.mark.parametrize("again", ["one", "other/../one", "link", "one/predictions.csv", "hard.csv", "sweep", "part"])
def test_a_run_is_not_compared_with_itself_by_whatever_name(tmp_path, monkeypatch, again):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "other"):
        run_folder(tmp_path / name, predictions(noise=len(name)), {})
    (tmp_path / "link").symlink_to("one")
    (tmp_path / "hard.csv").hardlink_to("one/predictions.csv")
    for name, jobs in {"sweep": ["../other", "../one"], "part": ["../one"]}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "jobs.json").write_text(json.dumps(jobs))
    for paths in (["one", again], [again, "other/predictions.csv", "one"]):
        with pytest.raises(InputError, match="is named more than once"):
            compare(*paths)
    assert "is named more than once" in CliRunner().invoke(app, ["compare", "one", again]).output


def test_a_table_is_not_evaluated_twice_at_once(tmp_path):
    predictions().to_csv(tmp_path / "one.csv", index=False)
    (tmp_path / "two.csv").symlink_to("one.csv")
    result = CliRunner().invoke(app, ["evaluate", str(tmp_path / "one.csv"), str(tmp_path / "two.csv")])
    assert result.exit_code == 2 and "is named more than once" in result.output
    with pytest.raises(InputError, match="more than once"):
        compare(*[evaluate(tmp_path / "one.csv")] * 2)


def test_runs_that_differ_in_more_than_fold_and_seed_are_experiments_of_their_own(tmp_path):
    for number, model in enumerate(("vgg16", "vgg16", "inception")):
        table = predictions(seed=number)
        run_folder(tmp_path / f"job{number}", table, {"model": model, "seed": number}, model={"name": model})
    (tmp_path / "jobs.json").write_text(json.dumps([f"job{n}" for n in range(3)]))
    found = read_experiments([tmp_path])
    assert [(one.label, len(one.jobs)) for one in found] == [("model=inception", 1), ("model=vgg16", 2)]


def test_tables_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    paths = [tmp_path / run / "predictions.csv" for run in ("first", "second")]
    for path in paths:
        path.parent.mkdir()
        predictions().to_csv(path, index=False)
    first, second = read_experiments(paths)
    assert first.label == "predictions" and second.label == f"{paths[1]}: predictions"


def test_leaks_are_told_once_for_all_folds(tmp_path):
    for fold, crossing in ((0, ["p1"]), (1, ["p1", "p2"])):
        run_folder(tmp_path / f"job{fold}", predictions(fold=fold), crossing=crossing, split={"name": "image"})
    (tmp_path / "jobs.json").write_text(json.dumps(["job0", "job1"]))
    (experiment,) = read_experiments([tmp_path])
    assert [(leak.kind, leak.n) for leak in experiment.leaks] == [("patients_in_two_splits", 2)]


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a run folder, a sweep folder or a table"):
        read_experiments([tmp_path])
    (tmp_path / "multirun.yaml").touch()
    with pytest.raises(InputError, match="resume="):
        read_experiments([tmp_path])


def test_a_label_is_what_was_said_of_an_experiment_as_a_command_line_says_it(tmp_path):
    said = [{"heads": ["svm", "knn"], "model.weights": None, "data.fold": n, "aug": n > 1} for n in range(4)]
    for number, settings in enumerate(said):
        run_folder(tmp_path / f"job{number}", predictions(fold=number % 2), settings)
    run_folder(tmp_path / "alone", predictions(), {"seed": 3, "heads": ["svm", "knn"], "model.weights": None})
    (tmp_path / "jobs.json").write_text(json.dumps([f"job{n}" for n in range(4)]))
    labels = [one.label for one in read_experiments([tmp_path, tmp_path / "alone"])]
    assert labels == ["aug=false", "aug=true", 'heads=["svm", "knn"], model.weights=null']


def test_a_fold_of_one_class_does_not_count_and_the_number_says_so():
    table = pd.DataFrame(
        {
            "image_id": list("abcdefgh"), "patient": list("abcdefgh"), "fold": [0] * 5 + [1] * 3,
            "label": [0, 1, 0, 1, 1, 0, 0, 0], "score": [0.1, 0.8, 0.3, 0.7, 0.9, 0.97, 0.98, 0.99],
        }
    )  # fmt: skip
    found = evaluate(table)
    assert found["auroc"].of == found["balanced_accuracy"].of == "1 of 2 folds (5 of 5 patients)"
    assert found["accuracy"].of is None and "such folds do not count" in str(found).lower()
    alone = evaluate(table[table["fold"] == 0].drop(columns="fold"))["auroc"]
    assert found["auroc"].value == alone.value and found["auroc"].low == pytest.approx(alone.low)
    apart = compare(found, evaluate(table.assign(score=[0.3, 0.8, 0.1, 0.2, 0.9, 0.9, 0.9, 0.9])))
    assert "+0.167 (" in apart and ") in 1 of 2 folds (5 of 5 patients)" in apart
    whole = evaluate(table.assign(label=[0, 1, 0, 1, 1, 0, 0, 1]))
    assert whole["auroc"].of is None and "do not count" not in str(whole)


def test_an_interval_rests_on_the_patients_of_the_folds_that_count():
    """Twenty patients are left out one at a time, and three of them have films of both classes."""
    both = np.arange(20) < 3
    label = np.stack([np.where(both, 0, np.arange(20) % 2), np.where(both, 1, np.arange(20) % 2)], 1).ravel()
    fold, score = np.repeat(np.arange(20), 2), np.tile([0.2, 0.7], 20)
    table = pd.DataFrame({"image_id": range(40), "patient": fold, "fold": fold, "label": label, "score": score})
    found = evaluate(table)["auroc"]
    assert found.of == "3 of 20 folds (6 of 3 patients)" and found.low == pytest.approx(interval(np.ones(9), 3).low)
