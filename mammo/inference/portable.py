"""The part of a run that goes with its weights: what predicting reads, and what a user of the model must know.

A portable folder and an ONNX file carry it. It names no path, no patient and no image.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mammo.config import Config
from mammo.formats import READING_VERSION
from mammo.inference.operating import FILMS, operating_point
from mammo.preprocessing import CUTTING_VERSION
from mammo.run_folder import RunFolder

PREPROCESSING = {"reading": READING_VERSION, "cutting": CUTTING_VERSION}  # versions of the code that makes squares
USE = "Research. Not for diagnostic use: nobody has tested it for that."
ORIGIN = (  # keys of provenance.json
    *("task", "classes", "crop", "dataset", "versions", "git_commit", "preprocessing", "dataset_digest"),
    *("weights_digest", "frozen_stages", "precision"),
)
GROUPS = (  # of the configuration: those that answers depend on, or that say which weights there are
    *("task", "crop", "augment", "model", "detector", "segmentation", "loss"),
    *("seed", "aggregate", "partner", "threshold", "select_on", "plugins"),
)
DATA = ("voi", "cache")  # keys of the data that answers depend on


def facts_of(run: RunFolder, heads: Sequence[str]) -> dict[str, Any]:
    """Return what predicting by some heads reads of a run, by the names of `RunFolder`'s properties.

    Args:
        run: A finished run.
        heads: The heads that go along.
    """
    origin, selection = run.provenance, run.selection
    fitted = {name: how for name, how in selection["heads"].items() if name in heads}
    told = run.recalibration
    return {
        "provenance": {key: origin[key] for key in ORIGIN if key in origin}
        | {"config": _config(run.config), "films": run.of_films},
        "selection": selection | {"heads": fitted},
        "numbers": _numbers(run.numbers, heads, (run.config.select_on, "test")),
        "recalibration": told and _numbers(told, heads, (FILMS, "before")) | {"run": told["run"]},
    }


def card_of(run: RunFolder, heads: Sequence[str]) -> dict[str, Any]:
    """Return what a user must know of a model: classes, choices, preprocessing, protocol, leaks, digests and terms."""
    origin, config = run.provenance, run.config
    points = {head: operating_point(run, head) for head in heads}
    return {
        "classes": origin["classes"],
        "operating": {head: point.as_json() for head, point in points.items()},
        "preprocessing": PREPROCESSING
        | {"crop": config.crop.name, "image_size": config.model.image_size, "flips": config.model.flips},
        "protocol": run.numbers["protocol"],
        "leaks": [str(leak) for leak in run.leaks],
        "data_digest": origin["dataset_digest"],
        "weights_digest": {"began_from": origin["weights_digest"], "trained": run.weights_digest},
        "licences": {"films": origin["dataset"]["licence"], "citation": origin["dataset"]["citation"]},
        "intended_use": USE,
    }


def _config(config: Config) -> dict[str, Any]:
    """Return the settings that predicting depends on, without a path."""
    plain = config.as_dict()
    changed: dict[str, Any] = {"model": plain["model"] | {"weights": None}}
    changed["data"] = {key: plain["data"][key] for key in DATA}
    named = [config.plugins] if isinstance(config.plugins, str) else config.plugins or []
    changed["plugins"] = [Path(one).name if one.endswith(".py") else one for one in named]
    return {key: plain[key] for key in GROUPS} | changed


def _numbers(numbers: dict[str, Any], heads: Sequence[str], parts: Sequence[str]) -> dict[str, Any]:
    """Return the part of `metrics.json`, or of a file of its form, that is about some heads; notes name images."""
    kept: dict[str, Any] = {key: numbers[key] for key in ("task", "protocol", "leaks", "n", "rule") if key in numbers}
    for key in ("operating", "prevalence", *parts):
        if key in numbers:
            kept[key] = {head: one for head, one in numbers[key].items() if head in heads}
    units = {key: of for key, of in numbers.items() if key.startswith("by_")}
    return kept | {key: _numbers(of, heads, parts) for key, of in units.items()}
