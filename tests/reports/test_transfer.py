"""The matrix of a transfer sweep: its cells, its differences by patient, and what is said of each data set."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mammo.errors import InputError
from mammo.evaluation.predictions import COLUMNS
from mammo.reports import transfer
from mammo.reports.samples import grounds
from mammo.reports.transfer_runs import FAILED, is_of_data, recipes
from tests.evaluation.tables import predictions, run_folder

TEST = {"external_test": {"run": "../../../own", "operating": {"sample": {}}}}


def write_samples(folder, table, source):
    samples = table[table["head"] == "majority"][COLUMNS].assign(severity_source=source)
    samples.assign(radius_px=None, spacing_mm=None, contrast=0.0).to_csv(folder / "samples.csv", index=False)
    (folder / "finished.json").write_text("{}")


def run(folder, name, table, settings, source="unstated", **config):
    run_folder(folder / name, table, {"sweep": "transfer", "data": "phantom", **settings}, **config)
    write_samples(folder / name, table, source)


def write_test(folder, name, other, table, learnt=()):
    path = folder / "tests" / name / other
    table = table[table["split"] == "test"]
    run_folder(path, table)
    facts = json.loads((path / "provenance.json").read_text()) | TEST | {"tested_on_learnt": list(learnt)}
    facts["external_test"]["operating"]["sample"] = {head: {} for head in table["head"].unique()}
    (path / "provenance.json").write_text(json.dumps(facts))
    write_samples(path, table, "unstated")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two data sets, two seeds: good on the own films, worse on the others'."""
    tables, tmp_path = {}, tmp_path_factory.mktemp("sweep")
    for seed in (0, 1):
        for name, source in (("film", "pathology"), ("digital", "birads")):
            table = predictions(60, strength=2, seed=seed, noise=seed)
            tables[name, name, seed] = table
            run(tmp_path, f"{name}{seed}", table, {"data.scanner": name, "seed": seed}, source, seed=seed)
        for name, other in (("film", "digital"), ("digital", "film")):
            table = predictions(60, strength=0.7, seed=seed, noise=10 + seed + 2 * (name == "film"))
            tables[name, other, seed] = table
            write_test(tmp_path, f"{name}{seed}", f"{other}{seed}", table, ["p001"] if name == "film" else [])
    (tmp_path / "jobs.json").write_text(json.dumps(["digital0", "digital1", "film0", "film1"]))
    return tmp_path, tables


@pytest.fixture
def sweep(made, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(made[0], tmp_path / "sweep"), made[1]


@pytest.fixture(scope="module")
def written(made, tmp_path_factory):
    """A copy that is written and only read: its folder and its page."""
    folder = shutil.copytree(made[0], tmp_path_factory.mktemp("written") / "sweep")
    return folder, transfer.write(folder).read_text()


def own_area(table, head="softmax"):
    rows = table[(table["head"] == head) & (table["split"] == "test")]
    return roc_auc_score(rows["label"] == "abnormal", rows["score"])


@pytest.mark.slow
def test_a_cell_is_the_mean_over_seeds_and_its_difference_is_paired(made, written):
    (_, tables), (folder, _) = made, written
    found = pd.read_csv(folder / "transfer.csv").set_index(["head", "trained_on", "tested_on"])
    assert len(found) == 3 * 4  # the heads and the shortcuts
    for trained, on in (("film", "digital"), ("digital", "film"), ("film", "film")):
        areas = [own_area(tables[f"{trained}", f"{on}", seed], "svm") for seed in (0, 1)]
        row = found.loc["svm", f"scanner={trained}", f"scanner={on}"]
        assert row["auroc"] == pytest.approx(np.mean(areas), abs=1e-6) and row["low"] < row["auroc"] < row["high"]
        if trained == on:
            assert np.isnan(row["minus_own"])
        else:
            own = np.mean([own_area(tables[f"{on}", f"{on}", seed], "svm") for seed in (0, 1)])
            assert row["minus_own"] == pytest.approx(np.mean(areas) - own, abs=1e-6)
            assert row["minus_own_low"] < row["minus_own"] < row["minus_own_high"] < 0
    assert set(found["prevalence"]) == {0.5} and set(found["runs"]) == {2} and set(found["patients"]) == {20}


def test_runs_that_rank_alike_differ_by_nothing_for_certain(sweep):
    """Paired: the images of a column are drawn together, so nothing varies."""
    folder, tables = sweep
    for seed in (0, 1):
        table = tables["digital", "digital", seed].assign(score=lambda rows: rows["score"] + 3)
        table[table["split"] == "test"].to_csv(folder / f"tests/film{seed}/digital{seed}/predictions.csv", index=False)
    transfer.write(folder)
    found = pd.read_csv(folder / "transfer.csv").set_index(["head", "trained_on", "tested_on"])
    row = found.loc["svm", "scanner=film", "scanner=digital"]
    assert row["minus_own"] == row["minus_own_low"] == row["minus_own_high"] == 0


def test_the_page_names_prevalence_grounds_and_leaks(written):
    folder, text = written
    assert "scanner=film: 50 % abnormal, 20 patients; labels: pathology (80)" in text
    assert "labels: BI-RADS, a reader's guess (80)" in text
    assert "**Leaks of runs trained on scanner=film, tested on scanner=digital: the run has trained or chosen" in text
    softmax = text.partition("## softmax: AUROC\n")[2].partition("\n## ")[0]
    assert softmax.count("(leaks)") == 1 and softmax.count("| **") == 2
    assert "## Failed" not in text and (folder / "transfer.png").is_file()


@pytest.mark.filterwarnings("error")
def test_labels_whose_grounds_are_all_empty_in_a_file_are_unstated():
    empty = pd.DataFrame({"severity_source": [np.nan] * 3})  # as pandas reads a column without a word
    assert grounds(empty) == grounds(empty.astype("string")) == grounds(empty[[]])
    assert "(3)" in grounds(empty)


@pytest.mark.slow
def test_the_figure_has_a_square_for_each_pair(sweep, drawn):
    folder, _ = sweep
    transfer.write(folder)
    assert (folder / "transfer.png").stat().st_size > 10_000


def test_what_failed_is_named_and_the_rest_is_written(sweep):
    folder, _ = sweep
    for name in ("tests/film0/digital0", "dr0"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / FAILED).write_text(json.dumps({"error": f"no films for {name}"}))
    (folder / "tests/film0/digital0/finished.json").unlink()
    text = transfer.write(folder).read_text()
    assert "- **dr0: no films for dr0**" in text and "- **tests/film0/digital0: no films" in text
    assert text.count("not tested") == 2  # once for each head
    found = pd.read_csv(folder / "transfer.csv")
    assert len(found) == 3 * 3


@pytest.mark.slow
def test_tests_of_another_configuration_stay_out(sweep):
    folder, _ = sweep
    (folder / "tests/film0/earlier").mkdir()
    (folder / "tests/film0/earlier" / FAILED).write_text(json.dumps({"error": "of an earlier one"}))
    assert "earlier" not in transfer.write(folder).read_text()


@pytest.mark.slow
def test_other_settings_make_a_matrix_of_their_own_and_differences_are_said(sweep):
    folder, _ = sweep
    for name, size in (("film", 64), ("digital", 128)):
        settings = {"data.scanner": name, "model": "vgg16"}
        run(folder, f"{name}_vgg", predictions(60), settings, model={"image_size": size})
    names = ["digital0", "digital1", "film0", "film1", "film_vgg", "digital_vgg"]
    (folder / "jobs.json").write_text(json.dumps(names))
    text = transfer.write(folder).read_text()
    assert text.count("# Transfer: ") == 2 and "(model=vgg16)" in text and (folder / "transfer-2.png").is_file()
    assert "model.image_size is 64 (scanner=film), 128 (scanner=digital)" in text


def test_one_data_set_is_no_transfer(sweep):
    folder, _ = sweep
    (folder / "jobs.json").write_text(json.dumps(["film0", "film1"]))
    with pytest.raises(InputError, match="two data sets"):
        recipes(folder)
    (folder / "jobs.json").unlink()
    with pytest.raises(InputError, match="resume="):
        recipes(folder)


def test_images_that_differ_are_not_paired(sweep):
    folder, _ = sweep
    path = folder / "tests/film0/digital0/predictions.csv"
    table = pd.read_csv(path, keep_default_na=False)
    table[table["image_id"] != table["image_id"].iloc[0]].to_csv(path, index=False)
    assert "There is no paired difference" in transfer.write(folder).read_text()
    found = pd.read_csv(folder / "transfer.csv").set_index(["head", "trained_on", "tested_on"])
    assert np.isnan(found.loc["svm", "scanner=film", "scanner=digital"]["minus_own"])


def test_what_says_which_data_a_run_has():
    assert all(map(is_of_data, ("data", "data.view", "data.spacing_mm", "data.parts", "data.columns.patient")))
    assert not any(map(is_of_data, ("data.batch_size", "data.fold", "data.cache", "model", "database")))
