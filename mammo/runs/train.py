"""The steps of a run, from its configuration to its report; each step can also be called alone."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import lightning as L

from mammo.config import Config
from mammo.datasets.registry import open_dataset
from mammo.models.batch_norm import check_batch_norm
from mammo.processes.devices import Plan, plan_of
from mammo.reports import run as report
from mammo.run_folder import RunFolder
from mammo.runs.audit import audit
from mammo.runs.donor import donor_of, known_in, weights_of
from mammo.runs.log import Clock, quieten, say_plan
from mammo.runs.plugins import load_own
from mammo.runs.provenance import provenance_of
from mammo.runs.unchanged import KEY, check_unchanged, findings_digest
from mammo.runs.write import (
    keep_likeness,
    keep_self_test,
    open_run,
    show_in_tensorboard,
    show_samples,
    tensorboard,
    write_run,
)
from mammo.tasks.base import Task
from mammo.tasks.build import build_task
from mammo.training.callbacks import Outputs
from mammo.training.fit import fit_and_predict
from mammo.training.prepare import Prepared, choose, prepare, split_of

if TYPE_CHECKING:
    from mammo.models.heads import FittedHead

log = logging.getLogger(__name__)


def train(config: Config, folder: Path) -> dict[str, float]:
    """Run one job and write its run folder. Every process runs this; only the first one writes and returns numbers.

    Args:
        config: The settings. With `ckpt_path=last` the run continues from the folder's `last.ckpt`, if there is one,
            and ends as if it had not been stopped. With `fit=false` it evaluates the run that `ckpt_path` names.
        folder: The run folder.

    Returns:
        The metrics, `<part>[_by_<unit>]/<head>/<metric>`: value; in other processes than the first, none.
    """
    clock = Clock()
    quieten()
    load_own(config)  # named by a command line, or by a run that `settings.resolve` has checked
    L.seed_everything(config.seed, workers=True, verbose=False)
    run, earlier = RunFolder(folder), None if config.fit else RunFolder(Path(config.ckpt_path or ""))
    kept = folder / "checkpoints" / "last.ckpt"
    last = kept if config.ckpt_path == "last" and kept.is_file() else None
    donor = donor_of(config)
    plan = _planned(config)

    dataset = open_dataset(config.data)
    dataset.prepare()
    given, (config, chosen) = config, choose(dataset, config)
    split = split_of(chosen.findings, config)
    if plan.main:
        check_unchanged(folder, given, chosen.findings, split)
    prepared = prepare(dataset, chosen.findings, split, config, chosen.notes)
    clock.lap("films and crops")
    audit(prepared, config)
    clock.lap("audit")
    frozen_stages = earlier.provenance["frozen_stages"] if earlier else None
    learnt = weights_of(donor) if donor else None
    task = build_task(config, prepared.labels, prepared.class_counts(), frozen_stages, learnt)
    clock.lap("model")
    logger = tensorboard(folder, last)
    if plan.main:
        known = provenance_of(run, given, prepared, task, plan, goes_on=last is not None, earlier=earlier, donor=donor)
        known |= {KEY: findings_digest(chosen.findings)} | ({"task": vars(config.task)} if config != given else {})
        open_run(run, prepared, known, goes_on=last is not None, learnt=donor.learnt if donor else None)
        say_plan(folder, config, prepared, task, plan, known)
    clock.lap("tables")
    weights = earlier.checkpoint if earlier else None
    outputs = fit_and_predict(task, prepared, config, folder, plan, logger=logger, weights=weights, last=last)
    clock.lap("training and predictions")
    if outputs is None:  # this is not the first process
        return {}
    fitted = earlier.heads() if earlier else fit_heads(config, prepared, outputs, task, donor)
    write_run(run, config, prepared, outputs, fitted)
    keep_likeness(run, learnt=donor is not None or task.net.trains_features)
    clock.lap("heads")
    show_samples(run, prepared)
    metrics = report.write(folder)
    clock.lap("report")
    keep_self_test(run)
    clock.lap("self-test")
    show_in_tensorboard(logger, run, config, metrics)
    clock.lap("TensorBoard")
    log.info("time   %s", clock)
    log.info("report %s", folder / "report.md")
    if lost := len(prepared.crops.unreadable):
        log.warning("films  %d unreadable images were left out: %s", lost, folder / "unreadable.csv")
    return metrics


def _planned(config: Config) -> Plan:
    """Return the devices of a run, which can share its batches."""
    plan = plan_of(config.trainer)
    plan.prepare()
    plan.check_batch(config.data.batch_size)
    check_batch_norm(config, plan.world)
    return plan


def fit_heads(
    config: Config, prepared: Prepared, outputs: Outputs, task: Task, donor: RunFolder | None = None
) -> dict[str, "FittedHead"]:
    """Fit the scikit-learn heads to the penultimate features; the rows that no head may see are withheld.

    Features of training rows have seen their labels if the run trains them, or if the donor did.
    """
    from mammo.models import heads  # scikit-learn, which training need not wait for

    seen = donor is not None and bool(known_in("train", prepared, donor.learnt)[0])
    return heads.fit_heads(
        config.heads,
        outputs.features,
        prepared.targets(),
        prepared.rows(),
        trained_backbone=task.net.trains_features or seen,
        select_on=config.select_on,
        mixed_copies=prepared.augment.mixes_copies,
        windows=config.crop.windows if config.crop.join == "scores" else 1,
    )
