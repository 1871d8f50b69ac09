"""The numbers of lesion windows: AUROC of heat and of brightness, over folds and seeds, and beside a classifier's."""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from mammo.evaluation.lesion_windows import BRIGHTNESS, DRAWINGS, HEAT, areas
from mammo.reports import leaderboard
from tests.evaluation.tables import predictions, run_folder


def windows(seeds=(0,), folds=1):
    """Sixty windows of thirty patients in each seed: heat tells more of the class than brightness does."""
    rng, tables = np.random.default_rng(0), []
    for seed in seeds:
        table = predictions(30, heads=("softmax",)).query("head == 'softmax'").drop(columns=["p_normal", "p_abnormal"])
        for name, strength in ((HEAT, 1.5), (BRIGHTNESS, 0.5)):
            for drawing in DRAWINGS:
                score = rng.normal(size=len(table)) + strength * (table["label"] == "abnormal")
                fold = np.arange(len(table)) // 2 % folds
                tables.append(table.assign(head=f"{name}_{drawing}", score=score, seed=seed, split="test", fold=fold))
    table = pd.concat(tables, ignore_index=True)
    return table.assign(positive=table["label"] == "abnormal")


def test_an_area_is_that_of_all_folds_of_a_seed_and_a_mean_over_seeds():
    table = windows(seeds=(0, 1), folds=5)
    found = areas(table)
    for drawing in DRAWINGS:
        means = {}
        for name in (HEAT, BRIGHTNESS):
            rows = table[table["head"] == f"{name}_{drawing}"]
            means[name] = np.mean([roc_auc_score(one["positive"], one["score"]) for _, one in rows.groupby("seed")])
            assert np.isclose(found[drawing][name].value, means[name])
        apart = found[drawing]["difference"]
        assert np.isclose(apart.value, means[HEAT] - means[BRIGHTNESS]) and apart.low < apart.value < apart.high


def test_without_a_window_of_one_class_the_numbers_are_undefined():
    found = areas(windows().query("positive"))
    assert all(value.value is None and value.reason for of in found.values() for value in of.values())


def test_heat_is_paired_with_the_heads_of_a_classifier_of_the_same_windows(tmp_path):
    classifier = run_folder(tmp_path / "classifier", predictions(30))
    tested = predictions(30).query("split == 'test'")["image_id"]
    table = windows().assign(fold="")
    table[table["image_id"].isin(tested)].drop(columns="positive").to_csv(tmp_path / "windows.csv", index=False)
    said = leaderboard.side_by_side([classifier, tmp_path / "windows.csv"])
    for head in ("softmax", "svm"):
        assert f"{head} - windows {HEAT}_recentred" in said
    assert f"shortcuts - windows {HEAT}_recentred" not in said
