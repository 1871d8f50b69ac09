"""Systems of the literature, each run in its manner by woman and by film, beside what its authors claim.

A folder holds it as plain tables: `literature.csv`, a row per system and split, and the test predictions of each,
`<system>_<split>.csv`, from which all numbers are computed.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from mammo import InputError
from mammo.data.tasks import find_task
from mammo.evaluation.audit import run_config
from mammo.evaluation.systems import JOBS, Mean, mean, read_systems
from mammo.evaluation.tables import markdown
from mammo.evaluation.units import by_unit
from mammo.predictions import read_json, read_predictions, write_table

INDEX = "literature.csv"
SPLITS = {"patient": "by woman", "film": "by film (leaks)"}
CLAIMED = "claimed by its authors, on their data and task, not re-run"


def write(folder: Path) -> Path:
    """Writes `literature/` and `literature.md` of a sweep folder; returns the second."""
    collect([folder], folder / "literature")
    path = folder / "literature.md"
    path.write_text("\n".join([*table(folder / "literature"), ""]))
    return path


def collect(sweeps: list[Path], folder: Path) -> None:
    """Adds the jobs of sweeps to a folder of tables; a system and split that are there already are replaced.

    Raises:
        InputError: No job of a sweep is of an experiment with a source.
    """
    jobs: dict[tuple[str, str], list[Path]] = {}
    for sweep in sweeps:
        names = read_json(sweep / JOBS) if (sweep / JOBS).is_file() else [""]
        for job in (sweep / name for name in names):
            _, config = run_config(job)
            if config.get("source"):
                jobs.setdefault((config["source"]["key"], config["split"]["name"]), []).append(job)
    if not jobs:
        raise InputError(f"{sweeps[0]}: no run of an experiment with a source; run some: train.py -m sweep=literature")
    folder.mkdir(parents=True, exist_ok=True)
    known = pd.read_csv(folder / INDEX).to_dict("records") if (folder / INDEX).is_file() else []
    rows = [row for row in known if (row["key"], row["split"]) not in jobs]
    for (key, split), members in jobs.items():
        provenance, config = run_config(members[0])
        write_table(pd.concat([_judged(job) for job in members], ignore_index=True), folder / f"{key}_{split}.csv")
        rows.append(_facts(config, provenance))
    write_table(pd.DataFrame(rows).sort_values(["key", "split"]), folder / INDEX)


def _judged(job: Path) -> pd.DataFrame:
    """The test rows of the head that stands for the system and of the majority class; by film where its source is."""
    config = run_config(job)[1]
    predictions, _ = read_predictions(job / "predictions.csv")
    heads = [config["source"]["head"], "majority"]
    tested = predictions[(predictions["split"] == "test") & predictions["head"].isin(heads)]
    if config["source"].get("unit") == "film":
        tested, _ = by_unit(tested, find_task(config["task"]), "film", config["aggregate"])
    return tested


def _facts(config: dict[str, Any], provenance: dict[str, Any]) -> dict[str, Any]:
    model, source = config["model"], config["source"]
    trained = "from nothing" if model["weights"] is None else "all trained"
    if provenance["frozen_stages"]:
        trained = "frozen" if model["trainable"] == "head" else "last block trained"
    how = [config["augment"]["mode"], config["augment"].get("method", "geometric"), config["loss"]["name"]]
    return {
        **{name: source[name] for name in ("key", "authors", "method", "head")},
        "claimed": source["accuracy"],
        "split": config["split"]["name"],
        "task": config["task"],
        "seen": "films by patches" if source.get("unit") else config["crop"]["name"],
        "network": model["name"],
        "trained": trained,
        "side_px": model["image_size"],
        **dict(zip(("augment", "method_of_draws", "loss"), how, strict=True)),
    }


def table(folder: Path) -> list[str]:
    """The lines of the table.

    Raises:
        InputError: The folder is none of these.
    """
    if not (folder / INDEX).is_file():
        raise InputError(f"{folder}: no {INDEX} in it; expected a folder that `mammo literature --to` has written")
    index = pd.read_csv(folder / INDEX)
    rows = []
    for key, systems in index.groupby("key", sort=False):
        facts = systems.iloc[0]
        cells = [f"`{key}`", facts["task"], f"{facts['seen']}; {facts['network']}, {facts['trained']}; {facts['head']}"]
        of = {split: _numbers(folder / f"{key}_{split}.csv", facts["head"]) for split in systems["split"]}
        shown = [of.get(split, {}) for split in SPLITS]
        any_side = next(side for side in shown if side)
        cells += [any_side["n"], any_side["majority"]]
        cells += [side.get(metric, "") for side in shown for metric in ("accuracy", "auroc")]
        rows.append([*cells, f"{facts['authors']}: {facts['claimed']:.4f}".rstrip("0")])
    ours = [f"{metric} {words}" for words in SPLITS.values() for metric in ("accuracy", "AUROC")]
    return markdown(["system", "task", "what is seen; network; head", "n", "majority class", *ours, CLAIMED], rows)


def _numbers(path: Path, head: str) -> dict[str, str]:
    """Accuracy and AUROC of a head, the majority's accuracy, and n: means over folds, with intervals by woman."""
    system = read_systems([path])[0]
    found: dict[str, tuple[Mean, Any]] = mean(system, head)
    answers = system.tested(head)
    majority = mean(system, "majority")["accuracy"][0].value.value
    return {
        "n": f"{len(set(answers.samples))} of {len(set(answers.patients))} women, {system.folds} folds",
        "majority": f"{majority:.3f}",
        **{metric: str(found[metric][0].value) for metric in ("accuracy", "auroc")},
    }
