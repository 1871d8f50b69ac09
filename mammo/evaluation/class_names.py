"""The class names of a table of predictions from any source, and which of two classes is positive."""

import re

import pandas as pd

from mammo.datasets.label_words import as_word
from mammo.datasets.labels import known_tasks
from mammo.errors import InputError
from mammo.wording import some

PAIRS = [("negative", "positive"), ("neg", "pos"), ("no", "yes"), ("false", "true"), ("healthy", "diseased"),
         ("normal", "cancer"), ("benign", "cancer"), ("no cancer", "cancer"), ("control", "case")]  # fmt: skip


def class_names(table: str, label: pd.Series, named: list[str], positive: object, *, ours: bool) -> list[str]:
    """Return the class names; of two, the positive one last.

    Args:
        table: The name of the table, for errors.
        label: The labels as words.
        named: The classes that have a column `p_<class>`, in the order of the columns.
        positive: The positive class of two; None if it is not given.
        ours: True for a predictions table of this project, whose second class is positive.

    Raises:
        InputError: There are not two classes or a probability of each, or nothing says which class is positive.
    """
    found = list(label.unique())
    if len(named) > 1:
        classes = named
    elif named:
        (one,) = named
        others = [name for name in found if key(name) != key(one)]
        if len(others) > 1:
            raise InputError(
                f"{table}: labels are {', '.join(found)}, but p_{one} is the only column of a probability; "
                "give each class a column p_<class>"
            )
        classes = [*(others or [f"not {one}"]), one]
    else:
        classes = sorted(found)
    if len(classes) == 2:
        return _positive_last(table, classes, positive, certain=ours, otherwise=len(named) == 1)
    if not named and len(found) > 2:
        count = f"{len(found)} classes ({some(sorted(found), 5)})"
        raise InputError(f"{table}: label has {count}, but a score is for two; give each class a column p_<class>")
    if not named:
        raise InputError(f"{table}: every label is {found[0]}; expected two classes")
    if positive is not None:
        raise InputError(f"{table}: positive={positive} is for two classes, but there are {len(classes)}")
    known = [list(task.classes) for task in known_tasks().values()]
    return next((one for one in known if sorted(one) == sorted(classes)), classes)


def _positive_last(table: str, classes: list[str], positive: object, *, certain: bool, otherwise: bool) -> list[str]:
    """Return two classes, the positive one last; `otherwise` the given order is right if no pair is known."""
    if positive is not None:
        asked = {key(as_word(positive))} | ({str(int(positive))} if isinstance(positive, bool) else set())
        wanted = [one for one in classes if key(one) in asked]
        if not wanted:
            raise InputError(f"{table}: positive={positive} is not a class; expected {' or '.join(classes)}")
        return [*(one for one in classes if one != wanted[0]), wanted[0]]
    if certain:
        return classes
    if known := _known_pair(classes):
        return known
    if otherwise:
        return classes
    raise InputError(
        f"{table}: which of {' and '.join(classes)} is the positive class? Say "
        f"{' or '.join(f'positive={one}' for one in classes)} ({' or '.join(f'--positive {one}' for one in classes)})"
    )


def _known_pair(classes: list[str]) -> list[str] | None:
    """Return two classes in the order of a pair that we know; None if they are none."""
    by_key = {key(one): one for one in classes}
    pairs = [*PAIRS, *(task.classes for task in known_tasks().values() if len(task.classes) == 2)]
    for pair in [*pairs, ("0", "1"), ("-1", "1")]:
        if set(by_key) == {key(one) for one in pair}:
            return [by_key[key(one)] for one in pair]
    return None


def key(name: object) -> str:
    """Return the common form of the spellings of a class; 1.0 becomes 1, and Yes becomes yes."""
    word = str(name).strip().lower()
    return str(int(float(word))) if re.fullmatch(r"[-+]?\d+\.0+", word) else word


def same_names(label: pd.Series, classes: list[str], table: str) -> dict[str, str]:
    """Return the class of each label, whatever its spelling."""
    by_key = {key(one): one for one in classes}
    unknown = [one for one in label.unique() if key(one) not in by_key]
    if unknown:
        raise InputError(f"{table}: label {unknown[0]} has no column p_{unknown[0]}; classes are {', '.join(classes)}")
    return {one: by_key[key(one)] for one in label.unique()}
