"""The configuration as it will run: composed by Hydra and checked, or that of an earlier run under a few changes."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from mammo.datasets.findings import PARTS
from mammo.datasets.labels import find_task
from mammo.errors import InputError
from mammo.evaluation import aggregate as units
from mammo.evaluation.operating_point import check_rule
from mammo.files import read_json
from mammo.models.heads import HEADS, find_head

LIMITS: list[tuple[str, Callable[[Any], bool], str]] = [
    ("seed", lambda v: isinstance(v, int) and v >= 0, "a whole number, 0 or larger"),
    ("select_on", lambda v: v in ("val", "test"), "val or test"),
    ("data.batch_size", lambda v: isinstance(v, int) and v >= 1, "a whole number, 1 or larger"),
    ("data.workers", lambda v: v is None or (isinstance(v, int) and v >= 0), "null, or a whole number, 0 or larger"),
    ("model.dropout", lambda v: isinstance(v, int | float) and 0 <= v < 1, "a number from 0 to below 1"),
    ("trainer.max_epochs", lambda v: isinstance(v, int) and v >= 1, "a whole number, 1 or larger"),
    *(
        (f"optim.{key}", lambda v: isinstance(v, int | float) and v >= 0, "a number, 0 or larger")
        for key in ("lr_trunk", "lr_head", "weight_decay", "warmup_epochs")
    ),
]


FILES = ("model", "data")  # groups that name files, which may lie elsewhere by now


def effective(cfg: DictConfig, overrides: list[str]) -> dict[str, Any]:
    """The configuration to run: as composed, or with `fit=false` that of `ckpt_path`'s run under these overrides.

    Raises:
        InputError: A value out of range, or settings that do not go together.
    """
    found: Any = OmegaConf.to_container(cfg, resolve=True)
    found["task"] = found["task"]["name"]
    if found["fit"] and found["ckpt_path"] not in (None, "last"):
        raise InputError("ckpt_path names a run to evaluate: add fit=false; or say ckpt_path=last to go on with one")
    if not found["fit"]:
        if found["ckpt_path"] is None:
            raise InputError("fit=false evaluates a run: name its folder, ckpt_path=outputs/<date>/<time>")
        found |= _of_run(Path(found["ckpt_path"]), overrides, found)
    check_rule(found["threshold"])
    units.check_rule(found["aggregate"], find_task(found["task"]))
    heads = found["heads"]
    found["heads"] = list(HEADS) if heads == "all" else heads if isinstance(heads, list) else [heads]
    for head in found["heads"]:
        find_head(head)
    for key, fits, expected in LIMITS:
        value = reduce(lambda node, name: node.get(name), key.split("."), found)
        if isinstance(value, bool) or not fits(value):
            raise InputError(f"{key}={value}: expected {expected}")
    part, head, _ = [*str(found["objective"]).split("/", 2), "", ""][:3]
    of_samples = reduce(lambda name, unit: name.removesuffix(f"_by_{unit}"), units.UNITS, part)
    if found["objective"] is not None and (
        of_samples not in PARTS or head not in ("softmax", "shortcuts", "majority", *found["heads"])
    ):
        raise InputError(
            f"objective={found['objective']}: expected null or <part>/<head>/<metric>, say val/softmax/auroc"
        )
    return found


def _of_run(folder: Path, overrides: list[str], composed: dict[str, Any]) -> dict[str, Any]:
    """The configuration of an earlier run, single keys of its data, protocol and trainer changed.

    Args:
        folder: Of the run.
        overrides: Of the command line.
        composed: What they would give without the run.
    """
    found = {"source": None} | read_json(folder / "provenance.json")["config"]
    found["task"] = found["task"]["name"]
    parse = OverridesParser.create().parse_override
    for override in map(parse, overrides):
        key, value = override.key_or_group, override.value()
        group = found.get(key)
        if isinstance(group, dict) and (composed[key] == group or (key in FILES and value == group["name"])):
            continue  # said again, as it was
        if "." not in key and key not in ("fit", "ckpt_path", "seed", "objective") and found.get(key) != value:
            raise InputError(
                f"{key}={value}: fit=false has the configuration of {folder}; change single keys, say data.root or seed"
            )
        if key.startswith(("model.", "optim.", "loss.")):
            raise InputError(f"{key}={value}: fixed by the checkpoint that fit=false evaluates; leave it out")
        changed = OmegaConf.merge(found, OmegaConf.from_dotlist([f"{key}={'null' if value is None else value}"]))
        found = OmegaConf.to_container(changed)
    return found


def objective(name: str | None, metrics: dict[str, float]) -> float | None:
    """The number that a sweep's optimiser gets; none where the run has no such part.

    Raises:
        InputError: The part is there, but has no such metric.
    """
    if name is None or name in metrics:
        return metrics[name] if name else None
    part = name.partition("/")[0]
    if any(key.startswith(f"{part}/") for key in metrics):
        raise InputError(f"objective={name} is no number of this run; metrics.json lists them")
    return None
