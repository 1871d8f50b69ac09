"""Comparisons: paired by patient, refused where the test samples differ, corrected for how many there are."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mammo.errors import InputError
from mammo.evaluation.compare import compare, pairs
from mammo.evaluation.external import read_external
from mammo.reports import leaderboard
from mammo.reports.experiments import experiment_of, read_experiments
from tests.evaluation.tables import predictions


def written(folder, **tables):
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return read_experiments([folder / f"{name}.csv" for name in tables])


def test_a_difference_is_narrower_paired_than_its_sides_are(tmp_path):
    table = predictions(90)
    nudged = table.assign(score=table["score"] + 0.05 * np.random.default_rng(0).normal(size=len(table)))
    first, second = written(tmp_path, first=table, second=nudged)
    found = compare((first, "softmax"), (second, "softmax"))
    width = found.differences["auroc"].high - found.differences["auroc"].low
    assert width < 0.05 and abs(found.differences["auroc"].value) < 0.02
    assert found.detectable["auroc"] == pytest.approx(2.8 * width / 2 / 2.0, rel=0.05)  # 2.80 errors


def test_a_clear_difference_is_found_by_both_tests_and_chance_is_not(tmp_path):
    strong, weak = written(tmp_path, strong=predictions(90, strength=4), weak=predictions(90, strength=0.2))
    found = compare((strong, "softmax"), (weak, "softmax"))
    assert found.p["auroc"] < 0.001 and found.p["accuracy"] < 0.01 and found.differences["auroc"].low > 0
    same = compare((strong, "softmax"), (strong, "softmax"))
    assert same.p == {"auroc": 1.0, "accuracy": 1.0} and same.differences["auroc"].value == 0


def test_known_means_change_no_difference(tmp_path):
    first, second = written(tmp_path, first=predictions(60), second=predictions(60, strength=2))
    pair = (first, "svm"), (second, "svm")
    means = {(one.label, head): found for one, head, found, _ in leaderboard.results([first, second])}
    assert compare(*pair, means=means) == compare(*pair)


def test_the_order_of_rows_does_not_matter(tmp_path):
    table = predictions(60)
    first, second = written(tmp_path, first=table, second=table.sample(frac=1, random_state=0))
    found = compare((first, "softmax"), (second, "softmax"))
    assert found.differences["auroc"].value == 0 and found.p == {"auroc": 1.0, "accuracy": 1.0}


def test_runs_of_other_images_are_not_paired_and_the_line_names_one(tmp_path):
    table = predictions(30)
    fewer = table[table["image_id"] != "mdb005"]
    experiments = written(tmp_path, whole=table, fewer=fewer)
    with pytest.raises(InputError, match="mdb005 of whole"):
        compare((experiments[0], "svm"), (experiments[1], "svm"))
    with pytest.raises(InputError, match=r"whole \(\S+whole.csv\) and fewer \(\S+fewer.csv\) cannot be paired"):
        leaderboard.side_by_side([tmp_path / "whole.csv", tmp_path / "fewer.csv"])


def test_other_folds_are_not_paired(tmp_path):
    folds = [predictions(fold=f) for f in (0, 1)]
    experiments = written(tmp_path, two=pd.concat(folds), one=folds[0])
    with pytest.raises(InputError, match="2 and 1 jobs"):
        compare((experiments[0], "svm"), (experiments[1], "svm"))


def test_another_task_on_the_same_images_is_not_paired(tmp_path):
    table = predictions(30)
    other = table.rename(columns={"p_normal": "p_F", "p_abnormal": "p_D"})
    other["label"] = other["label"].map({"normal": "F", "abnormal": "D"})
    experiments = written(tmp_path, abnormality=table, density=other)
    with pytest.raises(InputError, match="normal, abnormal and F, D"):
        compare((experiments[0], "svm"), (experiments[1], "svm"))


def test_tests_of_one_table_are_corrected_together(tmp_path):
    experiments = written(tmp_path, first=predictions(60, strength=3), second=predictions(60, strength=0.5))
    found = [compare(*pair) for pair in pairs(experiments)]
    assert len(found) == 2 + 3 + 3  # two heads between experiments, three pairs of heads in each
    rows = [line.split(" | ") for line in leaderboard.paired(found) if line.startswith("| ") and "---" not in line][1:]
    plain = min(float(row[4]) for row in rows)
    corrected = min(float(row[5]) for row in rows)
    assert corrected == pytest.approx(16 * plain, rel=0.02)  # Holm: the smallest of sixteen


def test_experiments_side_by_side_show_protocol_n_interval_and_baseline(tmp_path):
    written(tmp_path, first=predictions(60), second=predictions(60, strength=2))
    shown = leaderboard.side_by_side([tmp_path / "first.csv", tmp_path / "second.csv"])
    rows = [line for line in shown.partition("## Paired")[0].splitlines() if line.startswith("| first |")]
    assert any("majority" in row for row in rows) and all("of 20 patients" in row for row in rows)
    assert "could show" in shown and f"- **second** ({tmp_path / 'second.csv'}): " in shown


def compared(patients, first, second):
    """The paired difference of two scores of one image a patient or of one patient; the later half is positive."""
    labels = (np.arange(len(first)) >= len(first) / 2).astype(int)
    table = pd.DataFrame({"image_id": [f"f{i}" for i in range(len(first))], "patient": patients, "label": labels})
    one, two = (experiment_of(read_external(table.assign(score=score))) for score in (first, second))
    return compare((one, "score"), (replace(two, label="two"), "score"))


def test_a_comparison_on_one_patient_has_no_interval_and_shows_nothing():
    found = compared("P", [0.1, 0.3, 0.9, 0.8, 0.7, 0.2], [0.1, 0.3, 0.2, 0.8, 0.7, 0.9])
    assert all(one.low is None and one.value is not None for one in found.differences.values())
    assert set(found.detectable.values()) == {None}


def test_always_right_against_always_wrong_in_three_patients_a_class_is_no_certainty():
    found = compared(list("abcdef"), [0.1] * 3 + [0.9] * 3, [0.9] * 3 + [0.1] * 3)
    assert found.differences["auroc"].value == 1 and found.differences["auroc"].low < 0
    assert 0 < found.differences["accuracy"].low < 0.5 and set(found.detectable.values()) == {None}
    equal = compared(list("abcdef"), [0.1] * 3 + [0.9] * 3, [0.2] * 3 + [0.7, 0.8, 0.9])
    assert equal.differences["auroc"].low == -equal.differences["auroc"].high < -0.5


def test_auroc_is_compared_with_the_quantile_of_the_rarest_class_and_few_patients_are_told(tmp_path):
    rare = predictions(60)
    rare["label"] = np.where(rare["patient"].isin(["p002", "p005", "p008", "p011"]), rare["label"], "normal")
    first, second = written(
        tmp_path, first=rare, second=rare.assign(score=rare["score"] + 0.2 * predictions(60, noise=1)["score"])
    )
    found = compare((first, "svm"), (second, "svm"))
    assert found.rests_on == {"auroc": 4, "accuracy": 20}
    wide = found.differences["auroc"]
    assert wide.high - wide.low == pytest.approx(2 * found.detectable["auroc"] / 2.8016 * 3.1824, rel=1e-3)
    assert leaderboard.paired([found])[-1].count("first - second (svm): 4 patients") == 1
    many = [compare((one, "svm"), (one, "softmax")) for one in written(tmp_path, many=predictions(60))]
    assert leaderboard.paired(many)[-1].startswith("|")
