"""Predictions of images and patients, computed from those of their samples by a stated rule."""

import pandas as pd

from mammo.datasets.labels import Labels
from mammo.errors import InputError
from mammo.evaluation.predictions import originals

UNITS = {"image": "image_id", "patient": "patient"}
RULES = {
    "mean": "the mean score and probabilities of its samples",
    "max": "its most alarming sample: the highest score or, with several classes, the least probability of the first",
}


def check_rule(rule: object, task: Labels) -> None:
    """Refuse an unknown rule, and `max` for a task that has no most alarming class."""
    if rule not in RULES:
        raise InputError(f"aggregate={rule}: expected {' or '.join(RULES)}")
    if rule == "max" and not task.of_lesions:
        raise InputError(
            f"aggregate=max: none of the classes {', '.join(task.classes)} is the most alarming one; use mean"
        )


def by_unit(predictions: pd.DataFrame, task: Labels, unit: str, rule: str) -> tuple[pd.DataFrame, int]:
    """Return the predictions of images or patients, computed from those of their samples without copies.

    Args:
        predictions: A predictions table; an image or patient that lies in several splits has a row for each.
        task: The task of the classes. If they are ordered classes of lesions, an image or patient has the worst class
            of its samples; if they are not ordered, the only one beside the first; otherwise the one they all have.
        unit: A key of `UNITS`.
        rule: A key of `RULES`.

    Returns:
        The table, whose `image_id` is the name of the image or patient; and how many were left out for two classes.
    """
    if unit not in UNITS:
        raise InputError(f"unit={unit}: expected {' or '.join(UNITS)}")
    check_rule(rule, task)
    table = originals(predictions).reset_index(drop=True)
    keys = ["split", UNITS[unit], "fold", "seed", "head"]
    numbers = [column for column in table if column == "score" or column.startswith("p_")]
    of = table.groupby(keys, sort=False, dropna=False).ngroup()
    if rule == "mean":
        chosen = of.index[~of.duplicated()]
        table[numbers] = table.groupby(of)[numbers].transform("mean")
    else:
        alarm = -table[f"p_{task.classes[0]}"] if table["score"].isna().any() else table["score"]
        chosen = alarm.groupby(of).idxmax()
    labels = {number: _label(set(found), task) for number, found in table["label"].groupby(of)}
    named = {"image_id": table[UNITS[unit]], "finding_id": 0, "patch": 0, "copy": 0}
    table = table.assign(label=of.map(labels), **named).loc[chosen]
    undecided = table.loc[table["label"].isna(), ["split", "image_id"]].drop_duplicates()
    table = table.dropna(subset="label")
    for _, run in table[table["head"] == "majority"].groupby(["fold", "seed"], dropna=False):
        trained = run.loc[run["split"] == "train", "label"]
        if len(trained):  # the frequencies of the classes among units, not among samples
            table.loc[run.index, [f"p_{name}" for name in task.classes]] = [
                float((trained == name).mean()) for name in task.classes
            ]
    return table, len(undecided)


def _label(found: set[str], task: Labels) -> str | None:
    """Return the class of a unit whose samples have the classes `found`; None if none of them is the worst."""
    ranked = [name for name in task.classes if name in found]
    if task.of_lesions and (task.ordered or (len(ranked) == 2 and ranked[0] == task.classes[0])):
        return ranked[-1]
    return ranked[0] if len(ranked) == 1 else None
