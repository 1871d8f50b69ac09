"""The plain files between stages: the predictions table, the features, JSON. Written whole or not at all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save

from mammo.errors import InputError
from mammo.files import whole, write_text

IDENTITY = ["sample_id", "image_id", "patient", "split", "fold", "seed", "head", "label"]


def merge(batches: list[dict[str, np.ndarray]], rows: int) -> dict[str, np.ndarray]:
    """The arrays of all batches of all devices, in the order of `row`, each row once.

    Raises:
        RuntimeError: A row is missing.
    """
    arrays = {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}
    found, first = np.unique(arrays.pop("row"), return_index=True)
    if not np.array_equal(found, np.arange(rows)):
        raise RuntimeError(f"expected predictions of {rows} rows, gathered {len(found)}")
    return {key: array[first] for key, array in arrays.items()}


def head_table(
    rows: pd.DataFrame,
    head: str,
    score: np.ndarray | None,
    probabilities: np.ndarray,
    classes: list[str],
    *,
    fold: int | None,
    seed: int,
) -> pd.DataFrame:
    """One head's rows of the predictions table.

    Args:
        rows: `sample_id, image_id, patient, split, label` of each sample.
        head: Name of the head.
        score: (N,) float32 score of the positive class; None where there are several classes.
        probabilities: (N, classes).
        classes: Their names.
        fold: Of the split, if it has folds.
        seed: Of the run.
    """
    table = rows.assign(head=head, fold="" if fold is None else fold, seed=seed)[IDENTITY]
    table["score"] = [""] * len(rows) if score is None else [f"{value:.9g}" for value in score.astype(np.float32)]
    for index, name in enumerate(classes):
        table[f"p_{name}"] = [f"{value:.9g}" for value in probabilities[:, index].astype(np.float32)]
    return table


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Writes a table whole, or not at all."""
    with whole(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def read_predictions(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """A predictions table and its class names; scores and probabilities are float64, an absent score NaN.

    Raises:
        InputError: No such file, or a column is missing.
    """
    if not path.is_file():
        raise InputError(f"no predictions at {path}; name a run folder that `train.py` has finished")
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys([*IDENTITY], str))
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path}: expected a table of predictions as CSV, found none ({str(error).strip()})") from None
    classes = [column.removeprefix("p_") for column in table.columns if column.startswith("p_")]
    missing = [column for column in [*IDENTITY, "score"] if column not in table.columns]
    if missing or len(classes) < 2:
        raise InputError(
            f"{path}: expected columns {', '.join([*IDENTITY, 'score', 'p_<class>...'])}; missing {missing}"
        )
    if unknown := sorted(set(table["label"]) - set(classes)):
        raise InputError(f"{path}: label '{unknown[0]}' has no column p_{unknown[0]}")
    return table, classes


def write_json(content: object, path: Path) -> None:
    """Writes JSON whole, or not at all; a NaN is an error."""
    write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", path)


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        InputError: No such file.
    """
    if not path.is_file():
        raise InputError(f"no {path.name} in {path.parent}; name a run folder that `train.py` has finished")
    return json.loads(path.read_text())


def write_features(folder: Path, features: np.ndarray, rows: pd.DataFrame) -> None:
    """`features.safetensors`, (N, D) float32, and `features.csv`, which names its rows in the same order."""
    with whole(folder / "features.safetensors") as temporary:
        temporary.write_bytes(save({"features": np.ascontiguousarray(features, np.float32)}))
    write_table(rows, folder / "features.csv")


def read_features(folder: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """What `write_features` wrote."""
    return load_file(folder / "features.safetensors")["features"], pd.read_csv(folder / "features.csv", dtype=str)
