"""The doubts of an audit: what would be a leak if it were so, and what it could not compare."""

from collections.abc import Iterator

import pandas as pd

from mammo.auditing import people
from mammo.auditing.words import some
from mammo.wording import number_of


def names_alike(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the notes about patients that may be one, and the doubt that follows from them."""
    notes, across = people.alike_across(rows)
    groups = "patients with almost the same names, in several splits,"
    return notes, [f"if {across} groups of {groups} are not one" if across > 1 else f"if {groups} are two"] * bool(
        across
    )


def one_part(splits: pd.Series) -> list[str]:
    """Return the doubt that all films are in one part, so that nothing could be compared across."""
    parts = set(splits.dropna())
    return [f"all of them are in {parts.pop()}, and none in another part to compare with"] if len(parts) == 1 else []


def unknown(patients: pd.Series, what: str) -> list[str]:
    """Return the doubt that the patients of some films are unknown: they may be in two parts."""
    number = int(patients.isna().sum())
    return [f"the patients of {number:,} are unknown, so {what} compared alone"] if number else []


def beside_split(films: pd.DataFrame) -> Iterator[str]:
    """Yield a line for each patient with films in a part of a split, and others in no part."""
    known = films.dropna(subset="patient")
    for patient, group in known.groupby("patient"):
        inside, beside = group[group["split"].notna()], group[group["split"].isna()]
        if len(inside) and len(beside):
            yield (
                f"patient {patient} is in a split and among films of no split: {inside['name'].iloc[0]} "
                f"({inside['split'].iloc[0]}), {beside['name'].iloc[0]} (no split)"
            )


def no_parts(films: pd.DataFrame) -> list[str]:
    """Return the doubt that folders are parts of a split whose names are not known, if no part is known."""
    folders = sorted({name.partition("/")[0] for name in films["name"] if "/" in name})
    if len(folders) < 2 or films["split"].notna().any():
        return []
    return [f"no folder is known as a part of a split ({some(folders)}; name the parts by --sides {folders[0]}=train)"]


def of_one_name(films: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """Return a note about the images of a split that name several films each."""
    named = films[films["image_id"].isin(set(rows["image_id"]))]
    several = named[named["image_id"].duplicated(keep=False)]
    if several.empty:
        return []
    first = several["image_id"].iloc[0]
    which = some(several.loc[several["image_id"] == first, "name"], " and ")
    these = number_of(several["image_id"].nunique(), "image of the split names", "images of the split name")
    return [f"{these} several films each, {first} for example: {which}"]


def other_names(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return notes about patients of two names who are one by another column of the split, and the doubt."""
    if "patient_too" not in rows:
        return [], []
    known = rows.dropna(subset=["patient", "patient_too"])
    groups = known[known.groupby("patient_too")["patient"].transform("nunique") > 1].groupby("patient_too")
    anywhere = rows["split"].isna().all()  # any split by patient may then part them
    across = [(name, group) for name, group in groups if anywhere or group["split"].nunique() > 1]
    if not across:
        return [], []
    first = across[0][1].drop_duplicates("patient")
    named = [f"{one} ({part})" for one, part in zip(first["patient"], first["split"].fillna("no split"), strict=True)]
    these = number_of(len(across), "name of another column is", "names of another column are")
    note = f"{these} that of several patients, {across[0][0]} for example: {some(named, ' and ')}"
    return [note], ["if the patients are not those of the other column"]
