"""The doubts of an audit: what would be a leak if it were so, and what it could not compare."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePosixPath

import pandas as pd

from mammo.auditing import people
from mammo.auditing.sides import folds_among, part_of
from mammo.auditing.words import some
from mammo.datasets.table_rows import FAULT
from mammo.tables.numbers import ROUNDED
from mammo.tables.patients import somebody
from mammo.tables.spellings import SPLITS, fold
from mammo.tables.visits import like_dates
from mammo.wording import number_of

_END = 60  # signs at the end of a name, in which marks of a copy are looked for
MOST_PARTS = 50  # different words of a column that may tell parts
_MARKS = (  # of a copy, as programs and people write them
    "copy|kopie|copia|copie|aug|augmented|augmentation|flip|flipped|hflip|vflip|mirror|mirrored|"
    "rot|rotate|rotated|rotation|clahe|noise|noisy|bright|blur|resized|enhanced"
)
_NUMBER = r"[\s_.-]*+\(\d{1,3}\)"


def _end_of_copy(words: str, others: str = "") -> re.Pattern[str]:
    """Return the end of a copy's name, with words and perhaps other marks; each separator is looked at once."""
    return re.compile(rf"(?<![\s_.-])(?:[\s_.-]++(?:{words})(?:[\s_.-]?\d{{1,3}})?(?:{_NUMBER})*+{others})+$")


_COPY = _end_of_copy(_MARKS)
_ANY_COPY = _end_of_copy(f"{_MARKS}|crop|cropped", f"|{_NUMBER}")  # these number images, too: `benign (1)`, `p12_crop2`
TELLS_PARTS = re.compile(  # the folded name of a column
    r"(cv|k)?folds?|split|subset|(is|in)?(train|training|test|testing|val|validation)(test|set|flag)?"
)


def of_names(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the notes about the names of patients in the rows of a split, and the doubts that follow from them."""
    found = names_alike(rows), other_names(rows), two_patients(rows), dates(rows["patient"])
    return [note for notes, _ in found for note in notes], [doubt for _, doubts in found for doubt in doubts]


def names_alike(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the notes about patients that may be one, and the doubt that follows from them."""
    notes, across = people.alike_across(rows)
    groups = "patients with almost the same names, in several splits,"
    return notes, [f"if {across} groups of {groups} are not one" if across > 1 else f"if {groups} are two"] * bool(
        across
    )


def dates(patients: pd.Series) -> tuple[list[str], list[str]]:
    """Return the note about patients that look like dates, and the doubt that follows from them."""
    if not (dated := like_dates(patients.dropna().unique())):
        return [], []
    these = number_of(len(dated), "patient looks", "patients look")
    note = f"{these} like a date, such as {some(dated)}: a spreadsheet may have changed them; write patients as text"
    return [note], ["if no patient whose name looks like a date is several"]


def one_part(splits: pd.Series) -> list[str]:
    """Return the doubt that all films are in one part, so that nothing could be compared across."""
    parts = set(splits.dropna())
    return [f"all of them are in {parts.pop()}, and none in another part to compare with"] if len(parts) == 1 else []


def standing(films: pd.DataFrame, *, own: bool) -> Callable[[int, int], str]:
    """Return a function that tells where two films lie, by their numbers: in two parts, or in one.

    Its answers are `across` and `within` one part, or one patient if no part is known; `beside` for a film of a split
    and one of none; and `unplaced` for a pair that no part forbids.

    Args:
        films: The films, with `split`, in which a plus joins the parts of a film, and `patient`.
        own: True if the folders or the table of the films tell their splits, so that a pair beside a split counts.
    """
    splits, patients = (films[one].to_numpy(dtype=object, na_value=None) for one in ("split", "patient"))
    known = films["split"].notna().any()

    def lies(one: int, other: int) -> str:
        if not known:
            return "within" if patients[one] == patients[other] is not None else "across"
        placed = [splits[film] for film in (one, other) if splits[film] is not None]
        if len(placed) < (1 if own else 2):
            return "unplaced"
        if len(placed) == 1:
            return "beside"
        return "within" if len({part for parts in placed for part in parts.split("+")}) == 1 else "across"

    return lies


def nearly_same(
    films: pd.DataFrame, pairs: Iterable[tuple[int, int, str, float]], lies_of: Callable[[int, int], str]
) -> list[str]:
    """Return the doubt that films of two parts, or of two patients if no part is known, are one: they look nearly so.

    Args:
        films: The films.
        pairs: The pairs, from `Pairs.nearly`.
        lies_of: The function of `standing`.
    """
    across = [(one, other, value) for one, other, _, value in pairs if lies_of(one, other) in ("across", "beside")]
    if not across:
        return []
    one, other, value = across[0]
    named = some([films["name"].iloc[film] for film in (one, other)], " and ")
    pairs_are = number_of(len(across), "pair of films that is", "pairs of films that are")
    show = "shows" if len(across) == 1 else "show"
    return [f"if {pairs_are} nearly the same, {named} for example (correlation {value:.3f}), {show} two breasts"]


def coarse(names: Sequence[str]) -> list[str]:
    """Return the doubt that copies of some films are not found, for these have few grey levels."""
    if not names:
        return []
    these = number_of(len(names), "film has", "films have")
    return [f"{these} few grey levels, or large areas of one, {names[0]} for example: copies of such may not be found"]


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


def no_parts(films: pd.DataFrame, in_folder: bool) -> list[str]:
    """Return the doubt that no part of a split is known, and what may tell the parts: folders, or names of films."""
    if films["split"].notna().any():
        return []
    above = [PurePosixPath(name).parent for name in films["name"]]
    folders = sorted(set(map(str, above)))
    said = "no part of a split is known, so patients were not compared across parts"
    if in_folder and len(folders) > 1:
        first = next(one for one in folders if one != ".")
        return [f"{said} ({some(folders)}; name the parts by --sides {first}=train)"]
    told = sorted({part for name in films["name"] if (part := part_of(PurePosixPath(name).stem))})
    return [f"{said}; names of films tell {some(told, ' and ')}: give the parts by --split" if len(told) > 1 else said]


def parts_of_columns(rows: pd.DataFrame) -> list[str]:
    """Return a doubt for each column of a table whose words, or whose name, tell parts of a split."""
    found = []
    for column in rows:
        words = rows[column].dropna().astype(str).unique()
        folds = folds_among(words)
        parts = {folds.get(word) or SPLITS.get(word.casefold()) or part_of(word) for word in words[: MOST_PARTS + 1]}
        parts |= {None} if len(words) > MOST_PARTS else set()
        if (None not in parts and len(parts) > 1) or TELLS_PARTS.fullmatch(fold(column)):
            found.append(
                f"the column {column} may tell the parts of a split ({some(words)}); name it by "
                f"data.columns.official_split={column}"
            )
    return found


def images_alike(rows: pd.DataFrame) -> list[str]:
    """Return the doubts that images of two parts are one, for their names differ in their writing alone."""
    names = _bare_names(rows)
    return [*_written_alike(names), *_copies_alike(names)]


def _written_alike(names: pd.DataFrame) -> list[str]:
    """Return the doubt that images of two parts are one, for their names differ in folders, case or ending alone."""
    across = names[(names.groupby("bare")[["image_id", "split"]].transform("nunique") > 1).all(axis=1)]
    if across.empty:
        return []
    these = number_of(across["bare"].nunique(), "image")
    return [f"if {these} of other folders, case or ending, {_first_of(across, 'bare')} for example, are two"]


def _copies_alike(names: pd.DataFrame) -> list[str]:
    """Return the doubt that images of two parts are one: their names differ in a mark of a copy alone, say `_rot90`.

    A number in brackets and a crop are such a mark only beside the image without it: `a (1)` and `a`.
    """
    bare = names["bare"]
    plain, other = (
        bare.str[:-_END] + bare.str[-_END:].str.replace(marks, "", regex=True) for marks in (_ANY_COPY, _COPY)
    )
    names = names.assign(plain=plain.where(plain.isin(set(bare)), other))
    names = names[names["plain"] != ""]
    across = names[(names.groupby("plain")[["bare", "split"]].transform("nunique") > 1).all(axis=1)]
    if across.empty:
        return []
    return [f"if images whose names have marks of copies, {_first_of(across, 'plain')} for example, are no copies"]


def _bare_names(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `image_id, split` of a split, and `bare`, the name without case and ending, and without folders if it can.

    Folders stay where a part has two images of one name in different folders.
    """
    names = rows.drop_duplicates(["image_id", "split"])[["image_id", "split"]]
    bare = names["image_id"].str.normalize("NFC").str.casefold().str.replace("\\", "/", regex=False)
    bare = bare.str.replace(r"\.[a-z]\w{1,5}$", "", regex=True)
    last = bare.str.rpartition("/")[2]
    several = last[~names["image_id"].duplicated()].groupby(names["split"]).value_counts().gt(1).any()
    return names.assign(bare=bare if several else last)


def _first_of(across: pd.DataFrame, column: str) -> str:
    """Return the images of the first name in a column, each with its part."""
    first = next(iter(across.groupby(column)))[1]
    return some([f"{one} ({part})" for one, part in zip(first["image_id"], first["split"], strict=True)], " and ")


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


def two_patients(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the note about images that have two patients in the rows of a split, and the doubt about them."""
    known = rows.dropna(subset="patient")
    several = known[known.groupby("image_id")["patient"].transform("nunique") > 1]
    if several.empty:
        return [], []
    image = several["image_id"].iloc[0]
    who = some(list(several.loc[several["image_id"] == image, "patient"].unique()), " and ")
    these = number_of(several["image_id"].nunique(), "image has", "images have")
    return [f"{these} several patients, {image} for example: {who}; correct the rows"], [
        "if patients who have an image in common are several"
    ]


def other_names(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the note about patients of two names who are one by another column of the split, and the doubt."""
    if "patient_too" not in rows:
        return [], []
    known = rows.dropna(subset=["patient", "patient_too"])
    patients = known.groupby("patient_too")["patient"].transform("nunique")
    placeholder = patients > max(people.PLACEHOLDER, known["patient"].nunique() / 2)
    groups = known[(patients > 1) & ~placeholder].groupby("patient_too")
    anywhere = rows["split"].isna().all()  # any split by patient may then part them
    across = [(name, group) for name, group in groups if anywhere or group["split"].nunique() > 1]
    if not across:
        return [], []
    first = across[0][1].drop_duplicates("patient")
    named = [f"{one} ({part})" for one, part in zip(first["patient"], first["split"].fillna("no split"), strict=True)]
    more = f"; so {'is' if len(across) == 2 else 'are'} {len(across) - 1:,} more of this column"
    note = f"{across[0][0]} is that of several patients: {some(named, ' and ')}" + more * (len(across) > 1)
    return [note], [
        f"if the patients of {across[0][0]}{f' and {len(across) - 1:,} more' * (len(across) > 1)} are several"
    ]


def telling(words: pd.Series) -> pd.Series:
    """Return a column that names one patient, exam or film each, without words that name none.

    Those are placeholders such as `ANON`, numbers that a spreadsheet rounded, and errors of its formulas.
    """
    words, _ = somebody(words)
    wrong = words.str.fullmatch(ROUNDED, case=False) | words.str.fullmatch(FAULT)
    return words.mask(wrong.fillna(False))
