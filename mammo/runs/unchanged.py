"""A run goes on with the findings and the split that it was begun with, and all jobs of a sweep have the same."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mammo.auditing.words import some
from mammo.config import Config, DataConfig
from mammo.datasets.base import choose_images
from mammo.datasets.registry import GENERAL, open_dataset
from mammo.datasets.split import GIVEN, read_split
from mammo.errors import InputError
from mammo.files import read_json
from mammo.preprocessing.cutting import VERSION, read_by
from mammo.run_folder import RunFolder
from mammo.wording import number_of

KEY = "findings_digest"  # of provenance.json
PATHS = ["path", "mask_path"]  # a folder that was moved has the same findings
DEALT = ("folds", "fold")  # settings of the data that decide the split, and not the findings
LOADED = frozenset(GENERAL) - {"spacing_mm", "view", "laterality", "severity_source"}  # which decide no finding


def findings_digest(findings: pd.DataFrame) -> str:
    """Return a SHA-256 of all rows of a findings table, labels and places included, in any order and at any path."""
    kept = findings[sorted(set(findings) - set(PATHS))]
    own = [name for name, kind in kept.dtypes.items() if kind == "object"]
    rows = pd.util.hash_pandas_object(kept.astype(dict.fromkeys(own, "string")), index=False).to_numpy()
    return hashlib.sha256(json.dumps(list(kept)).encode() + np.sort(rows).tobytes()).hexdigest()


def check_unchanged(folder: Path, config: Config, findings: pd.DataFrame, split: pd.DataFrame | None) -> None:
    """Refuse to go on, or to add a job to a sweep, with other findings or another split than before.

    Args:
        folder: The run folder.
        config: The settings as they were given, before the words of a column became classes.
        findings: The findings table of the images that the settings choose.
        split: One row per image. None: the findings and the settings alone decide it.

    Raises:
        InputError: The findings or the split differ; the line says in what.
    """
    if config.ckpt_path == "last":
        _compare(folder, findings, split)
    own = config.as_dict()
    for other in _jobs_beside(folder):
        asked = _record(other)["config"]
        if _of_findings(asked) == _of_findings(own):
            _compare(other, findings, split if _of_split(asked) == _of_split(own) else None)


def check_same_films(folder: Path, films: pd.DataFrame) -> None:
    """Refuse to go on with files that have other pixels under the same names than when the run was begun.

    The numbers of `films.csv` tell, which every run computes when it cuts a film. They hold at any path. A run that
    wrote none, or whose films another version read, goes on unchecked.

    Args:
        folder: The run folder.
        films: The films that were cut now, as `Crops.films`.

    Raises:
        InputError: Films differ; the line names some.
    """
    if _record(folder).get("preprocessing") != {"cutting": VERSION} | read_by():
        return
    if changed := RunFolder.changed_films(RunFolder(folder).films, films):
        raise InputError(
            f"{folder} was begun with other films: the pixels of {number_of(len(changed), 'image')} differ "
            f"({some(changed)}); restore the files to go on, or begin anew in another folder"
        )


def check_finished(folder: Path, config: Config) -> None:
    """Refuse to skip a finished job whose findings or given split have changed since.

    If its data cannot be read here any more, there is nothing to compare: its numbers stay as they are.

    Raises:
        InputError: They differ; the line says in what.
    """
    if not config.fit or KEY not in _record(folder):
        return
    try:
        findings = _findings(json.dumps(config.as_dict()["data"], default=str), config.task.column)
        split = read_split(findings, config.split.table) if config.split.name == "table" else None
    except Exception:  # a data set of somebody's own raises any kind
        return
    _compare(folder, findings, split)


@cache
def _findings(data: str, column: str) -> pd.DataFrame:
    """Return the findings that settings of the data choose; jobs of a sweep ask for the same."""
    config = DataConfig(**json.loads(data))
    dataset = open_dataset(config)
    if carry := getattr(dataset, "carry", None):
        carry(column)
    return choose_images(dataset, config).findings


def _record(folder: Path) -> dict[str, Any]:
    """Return the content of `provenance.json`, of any version; nothing if the run has not begun."""
    path = folder / "provenance.json"
    return dict(read_json(path)) if path.is_file() else {}


def _jobs_beside(folder: Path) -> list[Path]:
    """Return the other jobs of the sweep that have begun; none if the run is no job of a sweep."""
    if not (folder.parent / "multirun.yaml").is_file():
        return []
    records = sorted(folder.parent.glob("*/provenance.json"))
    return [one.parent for one in records if one.parent.name != folder.name]


def _of_findings(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that decide the findings."""
    data = {key: value for key, value in config["data"].items() if key not in LOADED}
    return data | {"column": config["task"]["column"]}


def _of_split(config: dict[str, Any]) -> list[Any]:
    """Return the settings that decide the split of the same findings."""
    split, data, task, augment = (config[key] for key in ("split", "data", "task", "augment"))
    if split["name"] in GIVEN:
        return [split]
    return [split, task, config["seed"], augment["mode"], augment["copies"], *(data[key] for key in DEALT)]


def _compare(folder: Path, findings: pd.DataFrame, split: pd.DataFrame | None) -> None:
    """Raise an InputError if a run has begun with other findings or another split."""
    if not (record := _record(folder)):
        return
    counts = _counts(RunFolder(folder).split, findings if split is None else split)
    said = [f"{number_of(count, 'image is', 'images are')} {words}" for words, count in counts.items() if count]
    digest = findings_digest(findings)
    if not counts["gone"] and not counts["new"] and record.get(KEY, digest) != digest:
        said.append("labels, places or other facts of findings differ")
    if said:
        raise InputError(
            f"{folder} was begun with other data: {', '.join(said)}; restore the table to go on, or begin anew in "
            "another folder"
        )


def _counts(before: pd.DataFrame, now: pd.DataFrame) -> dict[str, int]:
    """Return how many images differ, in their patient too and, if both tables have it, in their part."""
    shared = [name for name in ("patient", "split", "copy") if name in before and name in now]
    one, two = (table[["image_id", *shared]].astype("string").drop_duplicates() for table in (before, now))
    gone, new = set(one["image_id"]) - set(two["image_id"]), set(two["image_id"]) - set(one["image_id"])
    counts = {"gone": len(gone), "new": len(new)}
    for name, words in (("patient", "of another patient"), ("split", "in another part of the split")):
        if name in shared:
            key = ["image_id", *({"copy"} & set(shared))]
            rows = one[[*key, name]].drop_duplicates().merge(two[[*key, name]].drop_duplicates(), on=key)
            counts[words] = rows.loc[rows[f"{name}_x"] != rows[f"{name}_y"], "image_id"].nunique()
    return counts
