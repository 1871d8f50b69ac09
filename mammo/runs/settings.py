"""The settings of a run, checked together: composed by Hydra, or taken from a run that is evaluated."""

import json
import sys
from functools import reduce
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from mammo.config import GROUPS, Config
from mammo.datasets.findings import PARTS
from mammo.datasets.label_words import positive_words
from mammo.datasets.labels import Labels
from mammo.errors import InputError
from mammo.evaluation.aggregate import UNITS, check_rule
from mammo.evaluation.operating_point import check_rule as check_threshold
from mammo.run_folder import RunFolder
from mammo.runs import checks
from mammo.runs.hydra_words import plain_of
from mammo.runs.plugins import load_own, load_plugins_of

FIXED = ("model.", "optim.", "loss.", "detector.", "segmentation.")  # what a checkpoint has learnt, and with what
EVALUATED = (  # those of them that say how its answers are read
    *("model.flips", "detector.hottest", "detector.partner_share", "detector.apart_mm"),
    *("segmentation.level", "segmentation.hottest"),
)


def resolve(composed: DictConfig, overrides: list[str]) -> Config:
    """Return the settings to run; with `fit=false` those of the run at `ckpt_path`, changed by the overrides.

    Raises:
        InputError: A value is out of range, or settings do not go together.
    """
    plain: Any = OmegaConf.to_container(composed, resolve=True)
    config = Config.of(plain)
    load_own(config)
    heads = checks.rows_of("mammo.models.heads", "HEADS", checks.HEADS)
    if config.fit and config.ckpt_path not in (None, "last"):
        raise InputError(
            f"ckpt_path={config.ckpt_path} names a run to evaluate; add fit=false, or continue one with ckpt_path=last"
        )
    if not config.fit:
        if config.ckpt_path is None:
            raise InputError("fit=false needs a run to evaluate; name its folder, ckpt_path=outputs/<date>/<time>")
        config = _of_run(RunFolder(Path(config.ckpt_path)), overrides, config)
    config.heads = heads if config.heads == "all" else [config.heads] if isinstance(config.heads, str) else config.heads
    checks.known_name("heads", config.heads, ("all", *heads))
    if (loaded := sys.modules.get("mammo.models.heads")) is not None:  # where plugins may have added rows
        for head in config.heads:
            loaded.find_head(head)
    check_threshold(config.threshold)
    _check_task(config)
    unnamed = config.objective == Config.objective and not any(word.startswith("objective=") for word in overrides)
    if config.task.kind == "detection" and unnamed:  # a task of one's own
        config.objective = "val/detector/auroc"
    part, head, _ = [*str(config.objective).split("/", 2), "", ""][:3]
    of_samples = reduce(lambda name, unit: name.removesuffix(f"_by_{unit}"), UNITS, part)
    names = {"detection": ("detector", "detector_partner"), "segmentation": ("segmenter", "softmax")}
    own = names.get(config.task.kind, ("softmax",))
    known = (*own, "shortcuts", "majority", *config.heads)
    if config.objective is not None and (of_samples not in PARTS or head not in known):
        raise InputError(
            f"objective={config.objective}: expected null or <part>/<head>/<metric>, say val/{own[0]}/auroc"
        )
    return config


def _check_task(config: Config) -> None:
    """Refuse a rule of units that the task does not allow, and positive words beside classes."""
    task = config.task
    if task.classes is not None:
        if task.positive is not None and config.fit:
            raise InputError(
                f"task.positive={task.positive} does nothing with task={task.name}, whose classes are given; "
                "use task=label"
            )
        check_rule(config.aggregate, Labels.from_config(task))
    elif config.aggregate != "mean" and not positive_words(task.positive):
        raise InputError(f"aggregate={config.aggregate} needs a positive class; name its words by task.positive")


def _of_run(run: RunFolder, overrides: list[str], composed: Config) -> Config:
    """Return the settings of an earlier run, with the single keys changed that the overrides name.

    Raises:
        InputError: The run's settings name code that neither the user trusts nor the command line names too.
    """
    load_plugins_of(run)
    found, asked, now = run.config.as_dict(), run.asked.as_dict(), composed.as_dict()
    parse = OverridesParser.create().parse_override
    for override in map(parse, overrides):
        key, value = override.key_or_group, override.value()
        files_moved = key in ("model", "data") and value == found[key]["name"]  # options of these groups may name files
        if key in GROUPS and (now[key] == asked[key] or files_moved):
            continue  # the same as in that run
        if "." not in key and key not in ("fit", "ckpt_path", "seed", "objective") and found.get(key) != value:
            hint = "change single keys, say data.root or seed"
            if key in found and key not in GROUPS:
                hint = f"{key} is {found[key]} there; leave it out, as another value needs a new run"
            raise InputError(f"{key}={value}: fit=false takes the settings of {run.path}; {hint}")
        if key.startswith(FIXED) and key not in EVALUATED:
            raise InputError(f"{key}={value}: fixed by the checkpoint that fit=false evaluates; leave it out")
        line = f"{key}={json.dumps(plain_of(value), ensure_ascii=False)}"  # which YAML reads as what it is
        changed = OmegaConf.merge(found, OmegaConf.from_dotlist([line]))
        found = OmegaConf.to_container(changed)  # type: ignore[assignment]
    return Config.of(found)


def objective(name: str | None, metrics: dict[str, float]) -> float | None:
    """Return the metric that a sweep optimises; None if the run has no such part.

    Raises:
        InputError: The run has the part, but not the metric.
    """
    if name is None or name in metrics:
        return metrics[name] if name else None
    part = name.partition("/")[0]
    if any(key.startswith(f"{part}/") for key in metrics):
        raise InputError(f"objective={name} is not a metric of this run; metrics.json lists them all")
    return None
