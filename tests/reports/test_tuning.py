"""A tuned sweep's table: validation orders the trials, and test is told of the best alone."""

import json

import pandas as pd
import pytest
from omegaconf import OmegaConf

from mammo.errors import InputError
from mammo.reports import tuning


def trial(folder, name, rate, *, val, test):
    (folder / name / ".hydra").mkdir(parents=True)
    config = {"objective": "val/softmax/auroc", "optim": {"lr_head": rate}, "model": {"dropout": 0.5}}
    OmegaConf.save(OmegaConf.create(config), folder / name / ".hydra" / "config.yaml")
    if val is not None:
        (folder / name / "finished.json").write_text(json.dumps({"metrics": {"val/softmax/auroc": val}}))
    value = {"value": test, "low": test - 0.1, "high": test + 0.1}
    found = {"test": {"softmax": {"auroc": value, "accuracy": {"value": None, "low": None, "high": None}}}}
    (folder / name / "metrics.json").write_text(json.dumps(found))


def sweep(folder, trials, direction="maximize"):
    params = {"optim.lr_head": "interval(0, 1)", "model.dropout": "interval(0, 1)"}
    record = {"hydra": {"sweeper": {"params": params, "direction": direction}}}
    OmegaConf.save(OmegaConf.create(record), folder / "multirun.yaml")
    for name, rate, val, test in trials:
        trial(folder, name, rate, val=val, test=test)
    return folder


def test_validation_orders_the_trials_and_test_is_told_of_the_best_alone(tmp_path):
    folder = sweep(
        tmp_path, [("a", 0.1, 0.6, 0.9), ("b", 0.2, 0.8, 0.512), ("c", 0.3, 0.7, 0.8), ("cut", 0.4, None, 0)]
    )
    text = tuning.write(folder).read_text()
    assert "3 trials by val/softmax/auroc is `b`." in text
    assert "auroc 0.512 (0.412 to 0.612), accuracy undefined." in text
    assert "0.9" not in text and "0.412" in text  # what test says of the others stands nowhere
    table = pd.read_csv(folder / "tune.csv")
    assert table["job"].tolist() == ["b", "c", "a"]
    assert table["optim.lr_head"].tolist() == [0.2, 0.3, 0.1]
    assert table.columns[-1] == "val/softmax/auroc"


def test_where_less_is_better_the_least_is_the_best(tmp_path):
    folder = sweep(tmp_path, [("a", 0.1, 0.6, 0.9), ("b", 0.2, 0.8, 0.5)], "minimize")
    assert "2 trials by val/softmax/auroc is `a`." in tuning.write(folder).read_text()


def test_a_sweep_whose_trials_all_failed_has_no_table(tmp_path):
    with pytest.raises(InputError, match="no trial has ended"):
        tuning.write(sweep(tmp_path, [("a", 0.1, None, 0.5)]))
