"""Experiments of the literature, each run in its manner by patient and by image, beside what its authors claim.

A folder holds it as plain tables: `literature.csv`, a row per experiment and split, and the test predictions of each,
`<key>_<split>.csv.xz`, from which all numbers are computed.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from mammo.datasets.labels import Labels
from mammo.errors import InputError
from mammo.evaluation.aggregate import by_unit
from mammo.evaluation.experiments import mean
from mammo.evaluation.leaks import united
from mammo.evaluation.predictions import BASELINES
from mammo.files import check_own_folder, read_json, write_table, write_text
from mammo.reports.experiments import JOBS, check_same_films, read_experiments
from mammo.reports.markdown import markdown, page
from mammo.run_folder import RunFolder

INDEX = "literature.csv"
SPLITS = {"patient": "by patient", "image": "by image (leaks)"}
CLAIMED = "claimed by its authors, on their data and task, not re-run"


def write(folder: Path) -> Path:
    """Write `literature/` and `literature.md` of a sweep folder; return the second."""
    collect([folder], folder / "literature")
    write_text(page([*table(folder / "literature"), ""]), folder / "literature.md")
    return folder / "literature.md"


def collect(sweeps: list[Path], folder: Path) -> None:
    """Add the jobs of sweeps to a folder of tables; replace an experiment and split that are there already.

    Raises:
        InputError: No job of a sweep is of an experiment with a source, by patient or by image; an experiment was run
            in two ways, or twice; or the folder is of other data.
    """
    runs: dict[tuple[str, str], list[RunFolder]] = {}
    for sweep in sweeps:
        names = read_json(sweep / JOBS) if (sweep / JOBS).is_file() else [""]
        jobs = [RunFolder(sweep / name) for name in names]
        check_same_films(sweep, jobs)
        for run in jobs:
            config = run.config
            if config.source and config.split.name in SPLITS:
                runs.setdefault((config.source["key"], config.split.name), []).append(run)
    if not runs:
        raise InputError(
            f"{sweeps[0]}: no run of an experiment with a source, by {' or '.join(SPLITS)}; "
            "run some: python train.py -m sweep=literature"
        )
    known = pd.read_csv(folder / INDEX, keep_default_na=False).to_dict("records") if (folder / INDEX).is_file() else []
    rows = [row for row in known if (row["key"], row["split"]) not in runs]
    rows += [_facts(members) for members in runs.values()]
    if len(data := sorted({str(row["data"]) for row in rows})) > 1:
        raise InputError(f"{folder}: one table is of one data set, found {' and '.join(data)}; name another folder")
    check_own_folder(folder, (INDEX, "*.csv.xz"), "--to", INDEX)
    folder.mkdir(parents=True, exist_ok=True)
    for (key, split), members in runs.items():
        write_table(pd.concat([_tested(run) for run in members], ignore_index=True), folder / f"{key}_{split}.csv.xz")
    write_table(pd.DataFrame(rows).sort_values(["key", "split"]), folder / INDEX)


def _tested(run: RunFolder) -> pd.DataFrame:
    """Return the test rows of the experiment's head and of the baselines; by image where its source is."""
    config, (predictions, _) = run.config, run.predictions()
    if unit := config.source.get("unit"):
        predictions, _ = by_unit(predictions, Labels.from_config(config.task), unit, config.aggregate)
    heads = [config.source["head"], *BASELINES]
    return predictions[(predictions["split"] == "test") & predictions["head"].isin(heads)]


def _facts(runs: list[RunFolder]) -> dict[str, Any]:
    """Return the row of an experiment's jobs under one split."""
    found, folds = [_settings(run) for run in runs], {(run.config.seed, run.config.data.fold) for run in runs}
    key, split = found[0]["key"], found[0]["split"]
    for other in found[1:]:
        if differ := [name for name in found[0] if other[name] != found[0][name]]:
            said = f"{differ[0]} {found[0][differ[0]]} and {other[differ[0]]}"
            raise InputError(f"{key}, split={split} was run in two ways, {said}; name the sweep of one")
    if len(folds) < len(runs):
        raise InputError(f"{key}, split={split} was run twice with the same seed and fold; name one of the sweeps")
    leaks = united(run.find_leaks(*run.predictions()) for run in runs)
    return found[0] | {"leaks": "; ".join(sorted(leak.text for leak in leaks))}


def _settings(run: RunFolder) -> dict[str, Any]:
    config, source, frozen = run.config, run.config.source, run.provenance["frozen_stages"]
    trained = "from nothing" if config.model.weights is None else "all trained"
    if frozen:
        trained = "frozen" if config.model.trainable == "head" else "last block trained"
    return {
        **{name: source[name] for name in ("key", "authors", "method", "head")},
        "claimed": source["accuracy"],
        "data": config.data.name,
        "split": config.split.name,
        "folds": config.data.folds,
        "task": config.task.name,
        "seen": config.crop.name + (f" by {source['unit']}" if "unit" in source else ""),
        "network": config.network,
        "trained": trained,
        "image_size": config.model.image_size,
        "epochs": config.trainer.max_epochs,
        "augment": config.augment.mode,
        "method_of_draws": config.augment.method,
        "loss": config.loss.name,
    }


def table(folder: Path) -> list[str]:
    """Return the lines of the table.

    Raises:
        InputError: The folder is none of these.
    """
    if not (folder / INDEX).is_file():
        raise InputError(f"{folder}: no {INDEX} in it; expected a folder that `mammo literature --to` has written")
    index = pd.read_csv(folder / INDEX, keep_default_na=False)
    rows = []
    for key, experiments in index.groupby("key", sort=False):
        facts = experiments.iloc[0]
        seen = f"{facts['seen']}; {facts['network']}, {facts['image_size']} px, {facts['trained']}; {facts['head']}"
        splits = [split for split in SPLITS if split in set(experiments["split"])]
        found = {split: _numbers(folder / f"{key}_{split}.csv.xz", facts["head"]) for split in splits}
        cells = [f"`{key}`", facts["task"], seen, *(found[splits[0]][name] for name in ("n", "majority"))]
        cells.append(found.get("patient", {}).get("shortcuts", ""))
        cells += [found.get(split, {}).get(metric, "") for split in SPLITS for metric in ("accuracy", "auroc")]
        rows.append([*cells, f"{facts['authors']}: {facts['claimed']:.4f}".rstrip("0")])
    ours = [f"{metric} {words}" for words in SPLITS.values() for metric in ("accuracy", "AUROC")]
    header = ["experiment", "task", "what is seen; network; head", "n", "majority class"]
    header += ["shortcuts' AUROC by patient", *ours, CLAIMED]
    synthetic = "**Synthetic films: our numbers say that the programs run, and nothing about mammograms.**"
    notes = [synthetic, ""] if "phantom" in set(index["data"]) else []
    leaky = index[(index["leaks"] != "") & (index["split"] == "patient")]
    for row in leaky.itertuples():
        notes += [f"**{row.key}, by patient, leaks: {row.leaks}.**", ""]
    return [*notes, *markdown(header, rows)]


def _numbers(path: Path, head: str) -> dict[str, str]:
    """Return a head's accuracy and AUROC, the baselines', and n: means over folds, with intervals by patient."""
    (experiment,) = read_experiments([path])
    found, majority, shortcuts = (mean(experiment, name) for name in (head, "majority", "shortcuts"))
    return {
        "n": f"{experiment.tested(head).n}, {experiment.folds} folds",
        "majority": f"{majority['accuracy'].value.value:.3f}",
        "shortcuts": str(shortcuts["auroc"].value),
        **{metric: str(found[metric].value) for metric in ("accuracy", "auroc")},
    }
