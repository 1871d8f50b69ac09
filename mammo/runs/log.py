"""The log of a run: counts, the model, the devices, and how long each part took."""

import logging
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mammo.config import Config
from mammo.datasets.findings import PARTS
from mammo.processes import peers
from mammo.processes.devices import Plan
from mammo.tasks.base import Task
from mammo.training.prepare import Prepared

log = logging.getLogger(__name__)


def quieten() -> None:
    """Hide Lightning's messages about what the run logs itself (its devices) or does on purpose (eval mode)."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")  # a frozen part stays there
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable")  # the project's sampler is
    warnings.filterwarnings("ignore", message="The `srun` command is available")  # shown on a login node of a cluster
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")  # by lightning 2.6 on torch 2.15


class Clock:
    """A clock for each part of a run. Only the log shows its times, so that tables are the same in every run.

    The first clock of a process starts with the program, so its first part is the imports. Later ones start with a job.
    """

    first = True  # no clock has been made in this process

    def __init__(self) -> None:
        self.laps: list[str] = []
        self.started = self.last = time.perf_counter()
        if Clock.first:
            self.started = self.last = peers.BEGAN
            self.lap("imports")
        Clock.first = False

    def lap(self, name: str) -> None:
        """Note that a part has ended."""
        now = time.perf_counter()
        self.laps.append(f"{name} {now - self.last:.1f}")
        self.last = now

    def __str__(self) -> str:
        return f"{self.last - self.started:.1f} s: {', '.join(self.laps)}"


def say_plan(
    folder: Path, config: Config, prepared: Prepared, task: Task, plan: Plan, provenance: Mapping[str, Any]
) -> None:
    """Log the plan of the run: patients and samples of each part, notes, trained parameters, devices."""
    rows = prepared.rows()
    samples = rows[~((rows["copy"] > 0) & (rows["split"] == "train"))]
    for part in PARTS:
        counts = samples.loc[samples["split"] == part, "label"].value_counts()
        patients = samples.loc[samples["split"] == part, "patient"].nunique()
        shown = ", ".join(f"{counts.get(name, 0)} {name}" for name in prepared.labels.classes)
        log.info("%-5s  %4d patients, samples: %s", part, patients, shown)
    if len(prepared.train) != (samples["split"] == "train").sum():
        log.info("train  expanded to %d rows", len(prepared.train))
    for note in provenance["notes"]:
        log.info("note   %s", note)
    if known := len(provenance.get("tested_on_learnt", ())):
        log.warning("leak   %d patients or images of the test part were learnt before by these weights", known)
    if almost := len(provenance.get("almost_learnt", ())):
        log.warning("leak?  %d patients of the test part have almost the name of a patient learnt before", almost)
    if doubted := len(prepared.audit.get("patients_alike_in_two_splits", ())):
        log.warning("leak?  %d groups of patients with almost the same names lie in several splits", doubted)
    if config.fit:
        _say_model(config, task)
    else:
        log.info("model  %s: nothing is trained, all weights are those of %s", config.network, config.ckpt_path)
    log.info("run    %d %s, %s%s, batches of %d, into %s", plan.world, plan.accelerator, plan.precision, plan.why,
             config.data.batch_size, folder)  # fmt: skip


def _say_model(config: Config, task: Task) -> None:
    """Log how many parameters are trained, and how many of them from random values."""
    net, model = task.net, config.model
    sizes = {name: parameter.numel() for name, parameter in net.named_parameters()}
    trained = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    fresh = sum(size for name, size in sizes.items() if name not in net.loaded)
    shown = f"{trained:,} of {sum(sizes.values()):,} parameters are trained, {fresh:,} of them from random values"
    log.info("model  %s: %s", config.network, shown)
    if model.weights is None and model.trainable != "all" and config.task.kind != "detection":
        log.info("note   model.weights=null: nothing can stay frozen, so all parameters are trained")
