"""The external test: a finished run, with all that it has chosen, applied to films that it has not seen."""

import logging
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo import __version__
from mammo.config import Config, DataConfig, SplitConfig, TrainerConfig
from mammo.datasets.base import check_sources, choose_images, dataset_digest
from mammo.datasets.registry import open_dataset
from mammo.errors import InputError
from mammo.evaluation.aggregate import UNITS
from mammo.evaluation.predictions import head_table
from mammo.evaluation.segmentation import SEGMENTER
from mammo.files import read_json, write_json
from mammo.models.baselines import majority, shortcuts
from mammo.processes import resume
from mammo.processes.devices import Plan, plan_of
from mammo.reports import external_test as report
from mammo.run_folder import RunFolder
from mammo.runs.detected import write_marks
from mammo.runs.external_data import check_run
from mammo.runs.learnt import almost_learnt, tested_on_learnt
from mammo.runs.log import quieten
from mammo.runs.outlined import write_segments
from mammo.runs.plugins import load_plugins_of
from mammo.runs.provenance import PACKAGES, git_commit, versions
from mammo.runs.write import Answer, answers_of, write_samples
from mammo.tasks.build import build_task
from mammo.training.external_test import prepare_test
from mammo.training.fit import fit_and_predict
from mammo.training.prepare import Prepared

log = logging.getLogger(__name__)
OTHERS = ("metrics.json", "report.md", "predictions.csv")  # files that a test writes after its provenance


def test(
    run: RunFolder,
    data: DataConfig,
    folder: Path,
    *,
    parts: pd.Series | None = None,
    said: Mapping[str, Any] | None = None,
    command: Sequence[str] = ("mammo.test",),
) -> dict[str, float]:
    """Apply a finished run to the films of a data set, and write the folder of the test. Nothing is fitted or chosen.

    Args:
        run: The run. Its network, heads, crop, task and choices are taken as they are.
        data: The settings of the data set, as `data_of` returns them.
        folder: The folder to write. A test that has finished there is not repeated; another one is refused.
        parts: The part of each image, by `image_id`: the test part alone is tested. None: every image.
        said: The settings that tell this test from others.
        command: The words that started it.

    Returns:
        The metrics, `test[_by_<unit>]/<head>/<metric>`: value.

    Raises:
        InputError: The run has not finished, the films cannot be used, or the folder has something else.
    """
    _check_testable(run)
    config, kept = _config(run, data), {} if parts is None else parts.to_dict()
    digest = resume.digest({"config": config.as_dict(), "parts": kept, "run": (run.path / resume.FINISHED).read_text()})
    _check_folder(folder)
    if RunFolder(folder).finished:
        ended = read_json(folder / resume.FINISHED)
        if ended["digest"] != digest:
            raise InputError(f"{folder} has another test; name another folder for this one")
        log.info("done   %s: tested before, not repeated", folder)
        return dict(ended["metrics"])
    quieten()
    load_plugins_of(run)
    plan = plan_of(config.trainer)
    plan.prepare()
    dataset = open_dataset(config.data)
    dataset.prepare()
    if carry := getattr(dataset, "carry", None):
        carry(config.task.column)
    chosen = choose_images(dataset, config.data)
    if config.task.column == "severity":
        check_sources(chosen.findings, config.data.severity_source)
    notes = [*chosen.notes, *_read_otherwise(run.config.data, config.data)]
    prepared = prepare_test(dataset, chosen.findings, config, parts, notes)
    task = build_task(config, prepared.labels, frozen_stages=run.provenance["frozen_stages"])
    folder.mkdir(parents=True, exist_ok=True)
    with resume.held(folder):
        (folder / resume.FINISHED).unlink(missing_ok=True)
        outputs = fit_and_predict(task, prepared, config, folder, plan, weights=run.checkpoint)
        if outputs is None:
            return {}
        detector = run.selection.get("detector")
        table, more = _predictions(run, prepared, answers_of(config, prepared, outputs, run.heads(), detector))
        write_json(_provenance(folder, run, prepared, config, plan, command, more), folder / "provenance.json")
        write_json({"settings": {"run": str(run.path), **(said or {})}}, folder / "job.json")
        written = RunFolder(folder)
        write_samples(written, prepared)
        written.write_rows("predictions.csv", table)
        if outputs.heat and detector:
            write_marks(written, config, prepared, outputs, outputs.heat, detector)
        if outputs.outlines is not None:
            write_segments(written, config, prepared, outputs.outlines, run.selection[SEGMENTER]["level"])
        metrics = report.write(folder)
        write_json({"digest": digest, "metrics": metrics}, folder / resume.FINISHED)
    return metrics


def _check_testable(run: RunFolder) -> None:
    """Refuse a run that has not finished, or does not tell what it has learnt."""
    check_run(run)
    if run.recalibration is not None:
        name = run.recalibration["run"]
        raise InputError(f"{run.path} is a recalibrated model; test the run {name}, or use predict and evaluate")
    if run.portable or run.shared:
        raise InputError(
            f"{run.path} is a portable or shared model, which does not tell what it has learnt; test the run itself"
        )


def _check_folder(folder: Path) -> None:
    """Refuse a folder that has something else than an external test."""
    there = folder / "provenance.json"
    if there.is_file() and "external_test" not in read_json(there):
        raise InputError(f"{folder} has a run; name another folder for the test")
    if not there.is_file() and (others := [name for name in OTHERS if (folder / name).is_file()]):
        raise InputError(f"{folder} has {others[0]} of something else; name another folder for the test")


def _config(run: RunFolder, data: DataConfig) -> Config:
    """Return the settings of the run, with the data of the test."""
    trainer = TrainerConfig(precision=run.provenance["precision"], deterministic=run.config.trainer.deterministic)
    return replace(
        run.config,
        data=data,
        split=SplitConfig(name="external", shares=None),
        trainer=trainer,
        select_on="val",
        fit=False,
        ckpt_path=str(run.path),
    )


def _read_otherwise(own: DataConfig, here: DataConfig) -> list[str]:
    """Return notes of the images and the reading that differ by settings, one line each."""
    keys = ("view", "laterality", "voi")
    return [
        f"the run took data.{key}={getattr(own, key)}, the test takes data.{key}={getattr(here, key)}"
        for key in keys
        if getattr(own, key) != getattr(here, key)
    ]


def _predictions(run: RunFolder, prepared: Prepared, answers: dict[str, Answer]) -> tuple[pd.DataFrame, list[str]]:
    """Return the predictions table of the heads and of the run's baselines, and notes."""
    table, classes = run.predictions()
    train = table[(table["split"] == "train") & (table["head"] == "majority")]
    rows, notes = prepared.rows(), list[str]()
    seen = prepared.shortcuts()
    before = train[["image_id", "finding_id", "patch"]].merge(run.samples, how="left")
    if before["spacing_mm"].isna().all() != prepared.crops.table["spacing_mm"].isna().all():
        seen = seen.drop(columns="breast_mm2")
        notes.append("the shortcuts leave out the area of the breast, which is in mm2 in one of both data sets only")
    ours, theirs = (set(one["dataset"].astype(str)) for one in (run.samples, prepared.crops.table))
    if max(len(ours), len(theirs)) > 1 and not ("dataset" in seen and theirs <= ours):
        seen = seen.drop(columns="dataset", errors="ignore")
        notes.append("the shortcuts leave out the data set of a film, which does not tell as much here as in the run")
    labels = np.concatenate([train["label"].map(classes.index).to_numpy(int), prepared.targets()])
    both = pd.concat([train[["split"]], rows[["split"]]], ignore_index=True)
    tested, found = slice(len(train), None), dict(answers)
    for head, (score, chance) in {  # the baselines of the run, fitted to the same rows once more
        "shortcuts": shortcuts(pd.concat([before[list(seen)], seen], ignore_index=True), labels, both),
        "majority": majority(labels, both, len(classes)),
    }.items():
        found[head] = None if score is None else score[tested], chance[tested]
    fold, seed = run.config.data.fold, run.config.seed
    return pd.concat(head_table(rows, head, *one, classes, fold=fold, seed=seed) for head, one in found.items()), notes


def _provenance(
    folder: Path,
    run: RunFolder,
    prepared: Prepared,
    config: Config,
    plan: Plan,
    command: Sequence[str],
    notes: list[str],
) -> dict[str, Any]:
    """Return the content of `provenance.json`."""
    own, dataset, numbers = run.provenance, prepared.dataset, run.numbers
    learnt, said = tested_on_learnt(run, prepared.crops.table)
    almost, more = almost_learnt(run, prepared.crops.table, learnt)
    operating = {"sample": numbers["operating"]}
    operating |= {unit: numbers[f"by_{unit}"]["operating"] for unit in UNITS if f"by_{unit}" in numbers}
    found = {
        "command": list(command),
        "config": replace(config, task=run.asked.task).as_dict(),
        **({"task": own["task"]} if "task" in own else {}),
        "classes": own["classes"],
        "crop": own["crop"],
        "dataset": {"name": dataset.name, "licence": dataset.licence, "citation": dataset.citation},
        "versions": {"mammo": __version__, "python": platform.python_version()} | versions(PACKAGES),
        "git_commit": git_commit(),
        "dataset_digest": dataset_digest(dataset, prepared.findings),
        "weights_digest": own.get("weights_digest"),
        "frozen_stages": own["frozen_stages"],
        "precision": plan.precision,
        "devices": f"{plan.world} {plan.accelerator}",
        "notes": [*prepared.notes, *notes, *said, *more],
        "tested_on_learnt": learnt,
        **almost,
        "external_test": {"run": os.path.relpath(run.path, folder), "operating": operating},
    }
    return found
