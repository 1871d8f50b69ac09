"""The table of a tuning sweep: all trials by their number on validation, and the test result of the best one only."""

from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf

from mammo.errors import InputError
from mammo.evaluation.bootstrap import Value
from mammo.files import read_json, write_table, write_text
from mammo.reports.markdown import markdown, page
from mammo.run_folder import RunFolder


def write(folder: Path) -> Path:
    """Write `tune.md` and `tune.csv` of a sweep folder; return the first.

    Raises:
        InputError: No trial has ended with the objective.
    """
    trials = _trials(folder)
    shown = trials.drop(columns="job")
    write_table(trials, folder / "tune.csv")
    best = folder / trials["job"].iloc[0]
    objective = trials.columns[-1]
    cells = shown.map(lambda value: f"{value:.4g}" if isinstance(value, float) else str(value))
    head = objective.split("/")[1]
    lines = [
        f"The best of {len(trials)} trials by {objective} is `{best.name}`.",
        "",
        f"On the test part, which was not used to choose, its head {head} has {_on_test(best, head)}.",
        "",
        *markdown(list(cells.columns), cells.to_numpy().tolist()),
        "",
    ]
    write_text(page(lines), folder / "tune.md")
    return folder / "tune.md"


def _trials(folder: Path) -> pd.DataFrame:
    """Return a row for each trial that has ended, the best first: its job, its drawn values, and last its objective."""
    sweeper = OmegaConf.load(folder / "multirun.yaml").hydra.sweeper
    rows = []
    for ended in sorted(folder.glob("*/finished.json")):  # also those before a stop: they are of one study
        config = OmegaConf.load(ended.parent / ".hydra" / "config.yaml")
        value = read_json(ended)["metrics"].get(config.objective)
        values = {key: OmegaConf.select(config, key) for key in sweeper.params}
        rows.append({"job": ended.parent.name, **values, str(config.objective): value})
    trials = pd.DataFrame(rows)
    if trials.empty or trials.iloc[:, -1].isna().all():
        raise InputError(f"{folder}: no trial has ended with a value of its objective; go on with the sweep")
    least = sweeper.direction == "minimize"
    return trials.sort_values(trials.columns[-1], ascending=least, ignore_index=True, kind="stable")


def _on_test(job: Path, head: str) -> str:
    found = RunFolder(job).numbers["test"][head]
    return ", ".join(f"{metric} {Value(**found[metric])}" for metric in ("auroc", "accuracy"))
