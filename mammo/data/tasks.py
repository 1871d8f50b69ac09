"""The tasks: what is to be told apart, as class names and a rule from a finding's row to one of them."""

from dataclasses import dataclass

import pandas as pd

from mammo import InputError

WORST = {"normal": 0, "benign": 1, "malignant": 2}


@dataclass(frozen=True)
class Task:
    """A classification.

    Attributes:
        classes: Names in the order of the network's outputs; of two, the second is positive.
        column: Column of the findings table that decides.
        of: From a value of that column to a class; a value that is absent takes no part in the task.
    """

    classes: tuple[str, ...]
    column: str
    of: dict[str, str]


def _identity(column: str, *classes: str) -> Task:
    return Task(classes, column, {name: name for name in classes})


TASKS = {
    "abnormality": Task(
        ("normal", "abnormal"), "severity", {"normal": "normal", "benign": "abnormal", "malignant": "abnormal"}
    ),
    "severity": _identity("severity", "normal", "benign", "malignant"),
    "malignancy": _identity("severity", "benign", "malignant"),
    "density": _identity("density", "F", "G", "D"),
    "finding": _identity("finding", "NORM", "CALC", "CIRC", "SPIC", "MISC", "ARCH", "ASYM"),
}


def find_task(name: str) -> Task:
    """The task of that name; an unknown one lists the known."""
    if name not in TASKS:
        raise InputError(f"task '{name}' is unknown; expected one of {', '.join(TASKS)}")
    return TASKS[name]


def worst_findings(table: pd.DataFrame) -> pd.DataFrame:
    """One row per film, its worst finding (the first of equals), in the order of the table."""
    worst_first = table.assign(_rank=table["severity"].map(WORST)).sort_values("_rank", ascending=False, kind="stable")
    return worst_first.drop_duplicates("image_id").drop(columns="_rank").sort_index()
