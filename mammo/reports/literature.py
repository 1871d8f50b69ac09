"""Systems of the literature, each run in its manner by woman and by film, beside what its authors claim.

A folder holds it as plain tables: `literature.csv`, a row per system and split, and the test predictions of each,
`<system>_<split>.csv`, from which all numbers are computed.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from mammo.datasets.labels import find_task
from mammo.errors import InputError
from mammo.evaluation.aggregate import by_unit
from mammo.evaluation.leaks import leaks, run_config
from mammo.evaluation.predictions import BASELINES, choices
from mammo.files import write_text
from mammo.reports.experiments import JOBS, Mean, mean, read_systems
from mammo.reports.markdown import markdown
from mammo.tables import read_json, read_predictions, write_table

INDEX = "literature.csv"
SPLITS = {"patient": "by woman", "image": "by image (leaks)"}
SHORTCUTS = "shortcuts' AUROC by woman"
CLAIMED = "claimed by its authors, on their data and task, not re-run"


def write(folder: Path) -> Path:
    """Writes `literature/` and `literature.md` of a sweep folder; returns the second."""
    collect([folder], folder / "literature")
    path = folder / "literature.md"
    write_text("\n".join([*table(folder / "literature"), ""]), path)
    return path


def collect(sweeps: list[Path], folder: Path) -> None:
    """Adds the jobs of sweeps to a folder of tables; a system and split that are there already are replaced.

    Raises:
        InputError: No job of a sweep is of an experiment with a source, by woman or by film; a system was run in two
            ways, or twice; or the folder is of other data.
    """
    jobs: dict[tuple[str, str], list[Path]] = {}
    for sweep in sweeps:
        names = read_json(sweep / JOBS) if (sweep / JOBS).is_file() else [""]
        for job in (sweep / name for name in names):
            _, config = run_config(job)
            if config.get("source") and config["split"]["name"] in SPLITS:
                jobs.setdefault((config["source"]["key"], config["split"]["name"]), []).append(job)
    if not jobs:
        raise InputError(
            f"{sweeps[0]}: no run of an experiment with a source, by {' or '.join(SPLITS)}; "
            "run some: python train.py -m sweep=literature"
        )
    known = pd.read_csv(folder / INDEX, keep_default_na=False).to_dict("records") if (folder / INDEX).is_file() else []
    rows = [row for row in known if (row["key"], row["split"]) not in jobs]
    rows += [_facts(members) for members in jobs.values()]
    if len(data := sorted({str(row["data"]) for row in rows})) > 1:
        raise InputError(f"{folder}: one table is of one data set, found {' and '.join(data)}; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for (key, split), members in jobs.items():
        write_table(pd.concat([_judged(job) for job in members], ignore_index=True), folder / f"{key}_{split}.csv")
    write_table(pd.DataFrame(rows).sort_values(["key", "split"]), folder / INDEX)


def _judged(job: Path) -> pd.DataFrame:
    """The test rows of the head that stands for the system and of the baselines; by film where its source is."""
    config = run_config(job)[1]
    predictions, _ = read_predictions(job / "predictions.csv")
    if "unit" in config["source"]:
        predictions, _ = by_unit(predictions, find_task(config["task"]), config["source"]["unit"], config["aggregate"])
    heads = [config["source"]["head"], *BASELINES]
    return predictions[(predictions["split"] == "test") & predictions["head"].isin(heads)]


def _facts(jobs: list[Path]) -> dict[str, Any]:
    """The row of a system's jobs under one split."""
    found, folds, leaking = [], [], set()
    for job in jobs:
        provenance, config = run_config(job)
        found.append(_settings(config, provenance["frozen_stages"]))
        folds.append((config["seed"], config["data"]["fold"]))
        predictions, classes = read_predictions(job / "predictions.csv")
        operating = choices(predictions, classes, config["threshold"], config["select_on"])
        reasons = leaks(read_json(job / "split_audit.json"), provenance, predictions, operating)
        leaking |= {reason.lstrip("0123456789 ") for reason in reasons}  # how many differs between folds
    key, split = found[0]["key"], found[0]["split"]
    for other in found[1:]:
        if differ := [name for name in found[0] if other[name] != found[0][name]]:
            said = f"{differ[0]} {found[0][differ[0]]} and {other[differ[0]]}"
            raise InputError(f"{key}, split={split} was run in two ways, {said}; name the sweep of one")
    if len(set(folds)) < len(folds):
        raise InputError(f"{key}, split={split} was run twice with the same seed and fold; name one of the sweeps")
    return found[0] | {"leaks": "; ".join(sorted(leaking))}


def _settings(config: dict[str, Any], frozen_stages: int) -> dict[str, Any]:
    model, source = config["model"], config["source"]
    trained = "from nothing" if model["weights"] is None else "all trained"
    if frozen_stages:
        trained = "frozen" if model["trainable"] == "head" else "last block trained"
    return {
        **{name: source[name] for name in ("key", "authors", "method", "head")},
        "claimed": source["accuracy"],
        "data": config["data"]["name"],
        "split": config["split"]["name"],
        "folds": config["data"]["folds"],
        "task": config["task"],
        "seen": config["crop"]["name"] + (f" by {source['unit']}" if "unit" in source else ""),
        "network": model["name"],
        "trained": trained,
        "side_px": model["image_size"],
        "epochs": config["trainer"]["max_epochs"],
        "augment": config["augment"]["mode"],
        "method_of_draws": config["augment"].get("method", "geometric"),
        "loss": config["loss"]["name"],
    }


def table(folder: Path) -> list[str]:
    """The lines of the table.

    Raises:
        InputError: The folder is none of these.
    """
    if not (folder / INDEX).is_file():
        raise InputError(f"{folder}: no {INDEX} in it; expected a folder that `mammo literature --to` has written")
    index = pd.read_csv(folder / INDEX, keep_default_na=False)
    rows = []
    for key, systems in index.groupby("key", sort=False):
        facts = systems.iloc[0]
        seen = f"{facts['seen']}; {facts['network']}, {facts['side_px']} px, {facts['trained']}; {facts['head']}"
        of = {split: _numbers(folder / f"{key}_{split}.csv", facts["head"]) for split in systems["split"]}
        shown = [of.get(split, {}) for split in SPLITS]
        any_side = next(side for side in shown if side)
        cells = [f"`{key}`", facts["task"], seen, any_side["n"], any_side["majority"]]
        cells.append(shown[0].get("shortcuts", ""))
        cells += [side.get(metric, "") for side in shown for metric in ("accuracy", "auroc")]
        rows.append([*cells, f"{facts['authors']}: {facts['claimed']:.4f}".rstrip("0")])
    ours = [f"{metric} {words}" for words in SPLITS.values() for metric in ("accuracy", "AUROC")]
    header = ["system", "task", "what is seen; network; head", "n", "majority class", SHORTCUTS, *ours, CLAIMED]
    notes = []
    if "phantom" in set(index["data"]):
        notes = ["**Synthetic films: our numbers say that the programs run, and nothing about mammograms.**", ""]
    leaky = index[(index["leaks"] != "") & (index["split"] == "patient")]
    notes += [f"**{row.key}, by woman, leaks: {row.leaks}.**\n" for row in leaky.itertuples()]
    return [*notes, *markdown(header, rows)]


def _numbers(path: Path, head: str) -> dict[str, str]:
    """A head's accuracy and AUROC, the baselines', and n: means over folds, with intervals by woman."""
    system = read_systems([path])[0]
    found: dict[str, tuple[Mean, Any]] = mean(system, head)
    answers = system.tested(head)
    baselines = {name: mean(system, name) for name in BASELINES}
    return {
        "n": f"{len(set(answers.samples))} of {len(set(answers.patients))} women, {system.folds} folds",
        "majority": f"{baselines['majority']['accuracy'][0].value.value:.3f}",
        "shortcuts": str(baselines["shortcuts"]["auroc"][0].value),
        **{metric: str(found[metric][0].value) for metric in ("accuracy", "auroc")},
    }
