"""Settings that are given, and that the chosen variant does not read: they are refused, as they would do nothing."""

from collections.abc import Callable, Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser

from mammo.config import Config
from mammo.errors import InputError

READ_BY: dict[str, tuple[str, Callable[[Config], bool]]] = {  # a key, or the beginning of keys
    "split.table": ("split=table", lambda config: config.split.name == "table"),
    "model.maps": ("task=detection", lambda config: config.task.kind == "detection"),
    "partner": ("task=detection", lambda config: config.task.kind == "detection"),
    "detector.": ("task=detection", lambda config: config.task.kind == "detection"),
    "segmentation.": ("task=segmentation", lambda config: config.task.kind == "segmentation"),
    "augment.alpha": ("augment=mixup or cutmix", lambda config: config.augment.method in ("mixup", "cutmix")),
    "augment.steps": ("augment=gan", lambda config: config.augment.method == "gan"),
}
VARIED = ("leak_study", "literature")  # sweeps whose own jobs have variants that no word names


def check_read(jobs: Iterable[tuple[Config, list[str]]], sweep: str | None = None) -> None:
    """Refuse a setting that no job reads.

    Args:
        jobs: The settings of each job that was composed, and the words that were given for it.
        sweep: The option of `sweep=`; None if there is none.

    Raises:
        InputError: A key is given and read by no job; the line names what reads it.
    """
    if sweep in VARIED:
        return
    unread: list[dict[str, str]] = []
    for config, words in jobs:
        given = [(one.key_or_group, one.value()) for one in OverridesParser.create().parse_overrides(words)]
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
    for key, by in (unread[0] if unread else {}).items():
        if all(key in one for one in unread):
            raise InputError(f"{key} does nothing here: only {by} reads it; add that, or leave {key} out")
