"""Settings that are given, and that the chosen variant does not read: they are refused, as they would do nothing."""

import logging
from collections.abc import Callable, Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser

from mammo.config import Config
from mammo.errors import InputError

log = logging.getLogger(__name__)

READ_BY: dict[str, tuple[str, Callable[[Config], bool]]] = {  # a key, or the beginning of keys
    "split.table": ("split=table", lambda config: config.split.name == "table"),
    "model.maps": ("task=detection", lambda config: config.task.kind == "detection"),
    "partner": ("task=detection", lambda config: config.task.kind == "detection"),
    "detector.": ("task=detection", lambda config: config.task.kind == "detection"),
    "segmentation.": ("task=segmentation", lambda config: config.task.kind == "segmentation"),
    "augment.alpha": ("augment=mixup or cutmix", lambda config: config.augment.method in ("mixup", "cutmix")),
    "augment.steps": ("augment=gan", lambda config: config.augment.method == "gan"),
}
LEARNT = ("loss", "optim.", "early_stopping.", "model.dropout", "trainer.max_epochs")  # of networks, not of detectors
VARIED = ("leak_study", "literature")  # sweeps whose own jobs have variants that no word names


def check_read(jobs: Iterable[tuple[Config, list[str]]], sweep: str | None = None) -> None:
    """Refuse a setting that no job reads, and tell of those by which a detector does not learn.

    Args:
        jobs: The settings of each job that was composed, and the words that were given for it.
        sweep: The option of `sweep=`; None if there is none.

    Raises:
        InputError: A key is given and read by no job; the line names what reads it.
    """
    if sweep in VARIED:
        return
    unread: list[dict[str, str]] = []
    idle: list[set[str]] = []
    for config, words in jobs:
        given = [(one.key_or_group, one.value()) for one in OverridesParser.create().parse_overrides(words)]
        keys = [key for key, _ in given]
        if sweep == "folds" and {"seed", "repeats"} <= {*keys}:
            raise InputError("repeats does nothing beside seed: it gives the seeds 0, 1, ...; name all, say seed=5,6,7")
        reads = {**READ_BY, "repeats": ("-m sweep=folds", lambda _: sweep == "folds")}
        unread.append(
            {
                key: by
                for key, value in given
                for start, (by, is_read) in reads.items()
                if value is not None and (key == start or (start.endswith(".") and key.startswith(start)))
                if not is_read(config)
            }
        )
        learnt = {key for key, _ in given if key.startswith(LEARNT)}
        idle.append(learnt if config.task.kind == "detection" else set())
    for key in sorted(set.intersection(*idle)) if idle else []:
        log.warning("%s does nothing with a detector, which is trained by the keys of detector.", key)
    for key, by in (unread[0] if unread else {}).items():
        if all(key in one for one in unread):
            raise InputError(f"{key} does nothing here: only {by} reads it; add that, or leave {key} out")
