"""Predictions of images, breasts, exams and patients, computed from those of their samples by a stated rule."""

import numpy as np
import pandas as pd

from mammo.datasets.labels import Labels
from mammo.errors import InputError
from mammo.evaluation.predictions import originals
from mammo.tables.alike import places_among, row_numbers, unlike_parts
from mammo.tables.memory import give_back
from mammo.wording import number_of

UNITS = {  # the columns that name each unit, the finest first
    "image": ["image_id"],
    "breast": ["patient", "exam", "laterality"],
    "exam": ["patient", "exam"],
    "patient": ["patient"],
}
PLACES = ["exam", "laterality"]  # columns of an image that breasts and exams need
RULES = {
    "mean": "the mean score and probabilities of its samples",
    "max": "its most alarming sample: the highest score or, with several classes, the least probability of the first",
    "noisy_or": "the probability that one of its samples at least is positive, 1 - (1 - p)(1 - p)...; "
    "the score is its log-odds",
}
SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of 0 counts as this one, so that a logarithm is finite
DIGITS = 12  # of a combined number; errors of rounding are in the 16th
TINY = 1e-250  # numbers below it, and above its inverse, are not rounded: a power of 10 may not hold them
NAMED = 5  # the number of images that a note names


def check_rule(rule: object, task: Labels) -> None:
    """Refuse an unknown rule, and `max` or `noisy_or` for a task that has no most alarming class."""
    if rule not in RULES:
        raise InputError(f"aggregate={rule}: expected {' or '.join(RULES)}")
    if rule != "mean" and not task.alarming:
        raise InputError(
            f"aggregate={rule}: none of the classes {', '.join(task.classes)} is the most alarming one; use mean"
        )
    if rule == "noisy_or" and len(task.classes) != 2:
        raise InputError(f"aggregate=noisy_or is for two classes, and there are {len(task.classes)}; use max or mean")


def with_places(predictions: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Return predictions with the exam and laterality of each image; they are missing where `images` lacks them."""
    images = images.drop_duplicates("image_id").reindex(columns=["image_id", *PLACES]).astype("string")
    row = places_among(predictions["image_id"], images["image_id"])  # a merge would copy all columns
    added = {column: images[column].array.take(row, allow_fill=True) for column in PLACES}
    return predictions.reset_index(drop=True).assign(**added)


def telling_units(predictions: pd.DataFrame) -> list[str]:
    """Return the units whose numbers differ from those of a finer one, and always `patient`.

    Args:
        predictions: A predictions table with the columns `PLACES`.
    """
    give_back()
    of_heads = unlike_parts(originals(predictions), "head", ["split", "image_id", "patient", *PLACES]).values()
    several = any(one.duplicated(["split", "image_id"]).any() for one in of_heads)
    images = pd.concat(of_heads)
    if several or len(of_heads) > 1:
        images = images.drop_duplicates(["split", "image_id"])
    del of_heads  # as they may be large
    exams = placed(images, "exam")
    breasts = exams.dropna(subset="laterality")
    visits = exams.drop_duplicates(["split", *UNITS["exam"]])
    differs = {
        "image": several,
        "breast": breasts.duplicated(["split", *UNITS["breast"]]).any(),
        "exam": len(visits) < len(exams) and visits.duplicated(["split", "patient"]).any(),
        "patient": True,
    }
    return [unit for unit in UNITS if differs[unit]]


def rows_for_units(predictions: pd.DataFrame) -> pd.DataFrame:
    """Take the rows that `by_unit` needs for val and test out of a table, which is empty then, as both may be large.

    Rows of train only tell how frequent each class is, so those of the head `majority` are enough.
    """
    give_back()
    needed = ((predictions["split"] != "train") | (predictions["head"] == "majority")).to_numpy(bool)
    return pd.DataFrame({column: predictions.pop(column).array[needed] for column in list(predictions)})


def unit_notes(predictions: pd.DataFrame, unit: str) -> list[str]:
    """Return what must be said about images whose breast or exam is not known, one line each."""
    if unit not in ("breast", "exam"):
        return []
    columns = ["image_id", "patient", *PLACES]
    images, notes = predictions.drop_duplicates("image_id").reindex(columns=columns), []
    exams = _exams(images)
    if (unknown := exams.isna()).any():
        why = "no exam, though the patient has several: part of none"
        notes.append(f"{_counted(images[unknown])} {why} ({_names(images[unknown])})")
    taken = images["exam"].isna() & (exams.fillna("") != "")
    if taken.any():
        why = "no exam: taken as of the patient's only one"
        notes.append(f"{_counted(images[taken])} {why} ({_names(images[taken])})")
    if unit == "breast" and (unknown := images["laterality"].isna()).any():
        why = "no known laterality: part of no breast"
        notes.append(f"{_counted(images[unknown])} {why} ({_names(images[unknown])})")
    return notes


def by_unit(predictions: pd.DataFrame, task: Labels, unit: str, rule: str) -> tuple[pd.DataFrame, int]:
    """Return the predictions of images, breasts, exams or patients, from those of their samples without copies.

    Args:
        predictions: A predictions table; a unit that lies in several splits has a row for each. Breasts and exams
            need the columns `PLACES`; images whose breast or exam is not known are left out.
        task: The task of the classes. If one class is the most alarming one, a unit has the worst class of its
            samples, where classes are ordered, or the only one beside the first; otherwise the one they all have.
        unit: A key of `UNITS`.
        rule: A key of `RULES`.

    Returns:
        The table, whose `image_id` is the name of the unit; and how many were left out for two classes.
    """
    if unit not in UNITS:
        raise InputError(f"unit={unit}: expected {' or '.join(UNITS)}")
    check_rule(rule, task)
    table = placed(originals(predictions), unit).reset_index(drop=True)
    if table.empty:
        raise InputError(f"unit={unit}: no row has a known {unit}; give each image its {UNITS[unit][-1]}")
    keys = ["split", *UNITS[unit], "fold", "seed", "head"]
    numbers = [column for column in table if column == "score" or column.startswith("p_")]
    of = pd.Series(row_numbers(table, keys), table.index)
    if rule == "max":
        alarm = -table[f"p_{task.classes[0]}"] if table["score"].isna().any() else table["score"]
        chosen = alarm.groupby(of).idxmax()
    else:
        chosen = of.index[~of.duplicated()]
        combined = combined_means(table[numbers], of.to_numpy())
        if rule == "noisy_or":
            seen = table["head"] != "majority"  # which says the same of every unit, however large
            columns = ["score", *(f"p_{name}" for name in task.classes)]
            combined.loc[seen, columns] = _of_any(table[seen], task, of[seen].to_numpy())
        table[numbers] = combined
    named = {"image_id": _name(table, unit), "finding_id": 0, "patch": 0, "copy": 0}
    table = table.assign(label=_labels(table["label"], of.to_numpy(), task), **named).loc[chosen]
    undecided = table.loc[table["label"].isna(), ["split", "image_id"]].drop_duplicates()
    table = table.dropna(subset="label")
    for _, run in table[table["head"] == "majority"].groupby(["fold", "seed"], dropna=False):
        trained = run.loc[run["split"] == "train", "label"]
        if len(trained):  # the frequencies of the classes among units, not among samples
            table.loc[run.index, [f"p_{name}" for name in task.classes]] = [
                float((trained == name).mean()) for name in task.classes
            ]
    return table, len(undecided)


def none_positive(negative: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Return (N,) the log probability that a sample is negative; their sum is that of no sample being positive.

    Args:
        negative: (N,) the probability of the negative class, which is exact where it is small.
        positive: (N,) the probability of the positive class, likewise.
    """
    return np.where(positive < 0.5, np.log1p(-np.minimum(positive, 0.5)), np.log(np.maximum(negative, SMALLEST)))


def any_positive(none: np.ndarray) -> np.ndarray:
    """Return (N, 3) log-odds and probabilities of both classes from the (N,) log probability that none is positive."""
    some = -np.expm1(none)
    return np.stack([np.log(np.maximum(some, SMALLEST)) - none, np.exp(none), some], axis=1)


def _of_any(table: pd.DataFrame, task: Labels, of: np.ndarray) -> np.ndarray:
    """Return (rows, 3) score and probabilities of each row's unit, whose number is `of`, by `noisy_or`."""
    negative, positive = (table[f"p_{name}"].to_numpy(float) for name in task.classes)
    if np.isnan(positive).any():
        raise InputError("aggregate=noisy_or needs probabilities, and these scores are none; use mean or max")
    none = pd.DataFrame({"none": none_positive(negative, positive)})
    units = none.groupby(of)
    return any_positive(_rounded(none, units.sum(), of)["none"].loc[of].to_numpy())


def combined_means(numbers: pd.DataFrame, of: np.ndarray) -> pd.DataFrame:
    """Return the mean of each row's unit in each column; rows that say the same keep their number.

    Args:
        numbers: N rows of numbers.
        of: (N,) the numbers 0, 1, ... of the units.
    """
    units = numbers.groupby(of)
    lowest, highest = units.min(), units.max()
    combined = _rounded(numbers, units.mean(), of).where(lowest < highest, highest)
    return combined.take(of).set_axis(numbers.index)


def _rounded(numbers: pd.DataFrame, combined: pd.DataFrame, of: np.ndarray) -> pd.DataFrame:
    """Return numbers of units, rounded to `DIGITS` of their largest part, so that equal ones stay equal.

    The mean of 0.1 and 0.7 would else differ from that of 0.3 and 0.5, and be no tie. A unit of one row keeps its own.
    """
    units = numbers.abs().groupby(of)
    largest = units.max()
    kept = ~((largest > TINY) & (largest < 1 / TINY)) | (units.size() == 1).to_numpy()[:, None]
    scale = 10.0 ** (DIGITS - 1 - np.floor(np.log10(largest.mask(kept, 1.0))))
    return combined.where(kept, (combined * scale).round() / scale)


def placed(table: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Return the rows whose unit is known, with the exams that follow from others of the patient.

    Args:
        table: Rows with `patient` and the columns `PLACES`.
        unit: A key of `UNITS`.

    Raises:
        InputError: The table lacks a column that the unit needs.
    """
    if unit not in ("breast", "exam"):
        return table
    if lacking := [column for column in UNITS[unit] if column not in table and column != "exam"]:
        raise InputError(f"unit={unit} needs a column {lacking[0]}, and there is none; add it, left or right")
    if "exam" not in table:
        if unit == "exam":
            raise InputError("unit=exam needs a column exam, and there is none; add the exam of each row")
        table = table.assign(exam=pd.Series(pd.NA, table.index, "string"))
    return table.assign(exam=_exams(table)).dropna(subset=UNITS[unit])


def _exams(table: pd.DataFrame) -> pd.Series:
    """Return the exam of each row: a missing one is the patient's only one, or stays missing if there are several.

    A patient without any known exam has one without a name.
    """
    known = table["exam"].astype("string").groupby(table["patient"])
    only = known.transform("first").fillna("").mask(known.transform("nunique") > 1)
    return table["exam"].astype("string").fillna(only)


def _name(table: pd.DataFrame, unit: str) -> pd.Series:
    """Return the name of each row's unit, such as `P1 2024 left`."""
    first, *others = UNITS[unit]
    name = table[first]
    for column in others:
        name = name + (" " + table[column]).where(table[column] != "", "")
    return name


def _counted(images: pd.DataFrame) -> str:
    return number_of(len(images), "image has", "images have")


def _names(images: pd.DataFrame) -> str:
    """Return the names of some images, for a note."""
    names = images["image_id"].astype(str).tolist()
    return ", ".join(names[:NAMED]) + f" and {len(names) - NAMED} more" * (len(names) > NAMED)


def _labels(label: pd.Series, of: np.ndarray, task: Labels) -> np.ndarray:
    """Return the (N,) class of each row's unit, from the labels of rows and the numbers of their units."""
    found = np.zeros(of.max(initial=-1) + 1, int)  # of each unit: a bit for each class that its samples have
    for index, name in enumerate(task.classes):
        found[of[(label == name).to_numpy()]] |= 1 << index
    of_unit = np.empty(len(found), object)
    for bits in np.unique(found):
        of_unit[found == bits] = _label({n for i, n in enumerate(task.classes) if bits >> i & 1}, task)
    return of_unit[of]


def _label(found: set[str], task: Labels) -> str | None:
    """Return the class of a unit whose samples have the classes `found`; None if none of them is the worst."""
    ranked = [name for name in task.classes if name in found]
    if task.alarming and (task.ordered or (len(ranked) == 2 and ranked[0] == task.classes[0])):
        return ranked[-1]
    return ranked[0] if len(ranked) == 1 else None
