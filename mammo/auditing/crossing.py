"""The patients, findings and images that are in several parts of a split by the names in its rows."""

from collections.abc import Iterator

import pandas as pd

from mammo.auditing.words import some

_WORDS = {2: "two", 3: "three"}


def crossing(rows: pd.DataFrame) -> Iterator[str]:
    """Yield a line for each patient, finding and image that is in several splits; `rows` come from `read_split`."""
    for (patient,), group in _in_several(rows, ["patient"]):
        yield f"patient {patient} is {_splits(group)}: {_one_each(group)}"
    exams = rows[rows["exam_uid"].notna()] if "exam_uid" in rows else rows[:0]
    for (exam,), group in _in_several(exams, ["exam_uid"]) if len(exams) else ():
        if group["patient"].isna().any():
            yield f"exam {exam} is {_splits(group)}: {_one_each(group)}"
        elif group["patient"].nunique() > 1:
            yield f"exam {exam} of patients {some(map(str, group['patient'].unique()), ' and ')} is {_splits(group)}"
    told = set()
    lesions = rows[rows["finding_id"].notna() & (rows["finding_id"] != "0")]
    for (image, finding), group in _in_several(lesions, ["image_id", "finding_id"]):
        told.add(image)
        yield _crossed(f"finding {finding} of image {image}", group)
    for (image,), group in _in_several(rows, ["image_id"]):
        if image not in told:
            yield _crossed(f"image {image}", group)


def _one_each(group: pd.DataFrame) -> str:
    """Return the first image of each split, in words."""
    first = group.drop_duplicates("split")
    return ", ".join(f"{name} ({part})" for name, part in zip(first["image_id"], first["split"], strict=True))


def _in_several(rows: pd.DataFrame, key: list[str]) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    return iter(rows[rows.groupby(key)["split"].transform("nunique") > 1].groupby(key))


def _crossed(name: str, group: pd.DataFrame) -> str:
    parts = ", ".join(sorted(set(group["split"])))
    if (group["copy"].notna() & (group["copy"] != "0")).any():
        return f"augmented copies of {name} are {_splits(group)}: {parts}"
    if len(group) > group["split"].nunique() or group[["finding_id", "patch"]].notna().any(axis=None):
        return f"crops of {name} are {_splits(group)}: {parts}"
    return f"{name} is {_splits(group)}: {parts}"


def _splits(group: pd.DataFrame) -> str:
    number = int(group["split"].nunique())
    return f"in {_WORDS.get(number, number)} splits"
