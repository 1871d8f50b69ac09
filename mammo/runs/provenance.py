"""The origin of a run: command, configuration, versions, commit, digests of data and weights."""

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from mammo import __version__
from mammo.config import Config
from mammo.datasets.base import dataset_digest
from mammo.datasets.same_patients import note_of_names, same_patients
from mammo.datasets.split import GIVEN
from mammo.errors import InputError
from mammo.preprocessing.cutting import VERSION, read_by
from mammo.processes.devices import Plan
from mammo.processes.resume import LAST
from mammo.run_folder import RunFolder
from mammo.runs import donor as donors
from mammo.runs.learnt import almost_known
from mammo.tasks.base import Task
from mammo.training.prepare import Prepared
from mammo.wording import number_of

PACKAGES = [
    *("torch", "torchvision", "lightning", "torchmetrics", "scikit-learn", "albumentations", "hydra-core", "numpy"),
]


def provenance_of(
    run: RunFolder,
    config: Config,
    prepared: Prepared,
    task: Task,
    plan: Plan,
    *,
    goes_on: bool,
    earlier: RunFolder | None,
    donor: RunFolder | None,
) -> dict[str, Any]:
    """Return the content of `provenance.json`.

    Args:
        run: The run folder.
        config: The configuration of the run.
        prepared: The samples of the run.
        task: The task before training.
        plan: The devices.
        goes_on: True if the run was stopped before; the folder then has its first command.
        earlier: The run that is evaluated, if nothing is trained.
        donor: The run that the weights come from, if `model.weights` names one.

    Raises:
        InputError: The run was begun with another precision.
    """
    if goes_on and run.provenance["precision"] != plan.precision:
        raise InputError(
            f"{run.path} was trained with precision {run.provenance['precision']}, but this machine uses "
            f"{plan.precision}; continue on a machine like the first one, or start a new run"
        )
    crop, dataset, plain = prepared.crop, prepared.dataset, config.as_dict()
    found: dict[str, Any] = {
        "command": run.provenance["command"] if goes_on else _command(run),
        "config": plain if not config.fit else plain | {"ckpt_path": None},
        "classes": list(prepared.labels.classes),
        "crop": {"leak": crop.leak, "caption": crop.caption, "several_per_image": crop.several_per_image},
        "dataset": {"name": dataset.name, "licence": dataset.licence, "citation": dataset.citation},
        "versions": {"mammo": __version__, "python": platform.python_version()} | versions(PACKAGES),
        "git_commit": git_commit(),
        "preprocessing": {"cutting": VERSION} | read_by(),
        "dataset_digest": dataset_digest(dataset, prepared.findings),
        "weights_digest": task.net.weights_digest,
        "frozen_stages": len(task.net.frozen),
        "precision": plan.precision,
        "devices": f"{plan.world} {plan.accelerator}",
        "train_rows": len(prepared.train),
        "notes": prepared.notes,
    }
    if donor is not None:
        learnt, name = donor.learnt, donor.path.resolve().name
        patients = len(learnt[["patient", "dataset"]].drop_duplicates())
        note = (
            f"the weights come from the run {name}, but for the head, which is new; its "
            f"{number_of(patients, 'patient')} of train "
        )
        known, said = donors.known_in("test", prepared, learnt)
        almost, more = almost_known(donors.images_of("test", prepared), learnt)
        found["notes"] = [*prepared.notes, f"{note}and val, and of the runs before it, are in learnt.csv", *said, *more]
        found |= {"began_from": name, "tested_on_learnt": known} | almost
    if earlier is not None:
        known, said = _learnt(earlier.trainer, prepared, config)
        almost, more = almost_known(donors.images_of("test", prepared), earlier.trainer.learnt)
        found["notes"] = [*prepared.notes, *said, *more]
        found |= {"trained_in": str(earlier.path), "tested_on_learnt": known} | almost
    return found


def _command(run: RunFolder) -> list[str]:
    """Return the words that started a run."""
    if run.from_python:
        return ["mammo.train", *(f"{key}={value}" for key, value in run.job.items())]
    program = ["python", "train.py"] if Path(sys.argv[0]).name == "train.py" else ["mammo", "train"]
    return [*program, *(word for word in sys.argv[1:] if word != LAST)]


def _learnt(trainer: RunFolder, prepared: Prepared, config: Config) -> tuple[list[str], list[str]]:
    """Return the tested patients (images, if images were dealt) that the weights have learnt, and notes.

    If images were dealt, a patient in two parts is another leak, so only the run's own images count. A name of an image
    proves nothing in another data set, so there, and in the runs before, all images of a patient count.
    """
    images, own = donors.images_of("test", prepared), trainer.learnt_images
    same, elsewhere = same_patients(images, trainer.learnt)
    notes = note_of_names(images.loc[elsewhere, "patient"])
    if config.split.name in ("patient", "paper_by_patient", *GIVEN):
        return sorted(set(images.loc[same, "patient"])), notes
    found = set(images.loc[same & images["image_id"].isin(own["image_id"]), "image_id"])
    for dataset, rows in images.groupby("dataset"):
        others = own[(own["dataset"] != dataset).fillna(False)]
        found |= set(rows.loc[same_patients(rows, pd.concat([others, trainer.learnt_before]))[0], "image_id"])
    return sorted(found), notes


def versions(packages: list[str]) -> dict[str, str]:
    """Return the installed version of each package."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def git_commit() -> str | None:
    """Return the commit of the code, with a mark if files have changed since; None outside a checkout.

    Git looks at another user's checkout only if it is called safe. This one is, as its code runs already.
    """
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None  # an installed package, maybe inside a checkout of something else
    git = ["git", "-c", f"safe.directory={checkout}", "-C", str(checkout)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        status = [*git, "status", "--porcelain", "-uno"]
        changed = subprocess.run(status, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("-changed" if changed.strip() else "")
