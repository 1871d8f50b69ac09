"""The rows of a split, and the films that they name."""

import re
from pathlib import Path

import pandas as pd

from mammo.auditing.doubts import TELLS_PARTS, telling
from mammo.auditing.lists import (
    LISTS,
    bare_names,
    check_one_split,
    is_plain,
    lists_of_parts,
    names_images,
    read_list,
    stem,
)
from mammo.auditing.sides import folded, folds_among, part_of
from mammo.auditing.words import some
from mammo.datasets.findings import STRING
from mammo.datasets.table_rows import FAULT
from mammo.errors import InputError
from mammo.tables.numbers import ROUNDED
from mammo.tables.spellings import NAMES, SPLITS, fold, spelt
from mammo.tables.spreadsheet import read_spreadsheet

UIDS = "studyinstanceuid studyuid"  # names of a column of exams that no two patients share, folded
IDS = "studyid examid"  # of columns that number exams of all patients, where no column names these
OF_ONE = (  # names of other columns whose words no two patients share: exams, then films and their digests
    "accession accessionnumber accanon",
    "sopinstanceuid sopuid md5 md5sum sha1 sha256 digest checksum filehash imagehash",
)


LEAST_ID = 4  # signs of an exam's name


def read_split(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of a split as text: `image_id, patient, finding_id, patch, copy, split`, missing if unknown; and
    `patient_too` and `exam_uid`, if other columns could be the patient as well, or name exams. Return notes, too.
    A `patient_too` begins with the name of its column: `AccessionNumber A7`.

    Names are never parsed: the finding, patch and copy of a row come from its columns alone.

    Args:
        path: A table (CSV, XLSX or Parquet) with `image_id` (or `sample_id`, or the name of a file) and `split` (or
            `official_split`), under these names or others that people use; a run folder with a split.csv; or a folder
            with a table or list for each part, such as train.csv and test.csv.

    Raises:
        InputError: The file does not exist, a column or value is missing, or a split is unknown.
    """
    if path.is_dir() and not (path / "split.csv").exists():
        parts = lists_of_parts(one for one in path.iterdir() if one.is_file())
        if len(set(parts.values())) > 1:
            return _of_parts(path, parts)
    path = path / "split.csv" if path.is_dir() else path
    sheet = read_spreadsheet(path, "a split")
    return split_rows(sheet.rows, str(path)), [f"{path}: {sheet.others}"] * bool(sheet.others)


def _of_parts(folder: Path, parts: dict[Path, str]) -> tuple[pd.DataFrame, list[str]]:
    """Return what `read_split` does, of a table or list for each part; files that name no images are passed over."""
    tables, notes, over = dict[Path, pd.DataFrame](), list[str](), dict[str, str]()
    for path in (one for one in parts if one.suffix.lower() not in LISTS):
        sheet = read_spreadsheet(path, "the images of a part")
        if "image_id" in {*map(str, sheet.rows), *_columns(list(map(str, sheet.rows)), str(path)).values()}:
            tables[path] = sheet.rows
            notes += [f"{path}: {sheet.others}"] * bool(sheet.others)
        else:
            over[path.name] = f"columns {', '.join(map(str, sheet.rows))}"
    known = {stem(str(one)) for path, table in tables.items() for one in _images(table, path)}
    lists = {path: read_list(path) for path in parts if path.suffix.lower() in LISTS}
    named = {path: table for path, table in lists.items() if names_images(table, known)}
    alone = len({parts[path] for path in (*tables, *named)}) < 2
    for path, table in lists.items():  # of names without an ending
        if path not in named and (alone or is_plain(path)) and bare_names(path):
            named[path] = table
    over |= {path.name: "no image in its lines" for path in lists if path not in named}
    used = {path: part for path, part in parts.items() if path in tables or path in named}
    if over:
        notes.append(f"{some(f'{name} ({why})' for name, why in over.items())}: passed over, as no list of images")
    if len(set(used.values())) < 2:
        raise InputError(
            f"{folder}: expected a table or list of images for each part of a split, found "
            f"{some(path.name for path in used) or 'none'}; {notes[-1] if over else 'add those of the other parts'}"
        )
    check_one_split(folder, used)
    rows = [_of_part(path, part, {**tables, **named}[path]) for path, part in used.items()]
    return pd.concat(rows, ignore_index=True), notes


def _images(table: pd.DataFrame, path: Path) -> pd.Series:
    """Return the words of a table's column of images."""
    return table.rename(columns=_columns(list(map(str, table)), str(path)))["image_id"].dropna()


def _of_part(path: Path, part: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the table of one part, which may have a column split of its own, unless it is that of a fold.

    Raises:
        InputError: The table of a fold has parts of its own.
    """
    ours = _columns(list(map(str, table)), str(path))
    own = [one for one in map(str, table) if ours.get(one, one) == "split"]
    rows = split_rows(table if own else table.assign(split=part), str(path))
    if part.startswith("fold"):
        others = [one for one in map(str, table) if TELLS_PARTS.fullmatch(fold(one)) and table[one].nunique() > 1]
        if others := [one for one in own if {*rows["split"]} != {part}] or others:
            raise InputError(
                f"{path}: expected the images of {part} alone, found a column {others[0]} with parts of its own; "
                "audit the table of each fold by itself"
            )
    return rows


def split_rows(table: pd.DataFrame, path: str) -> pd.DataFrame:
    """Return the rows of a split as `read_split` does, from a table that is called `path` in errors.

    Raises:
        InputError: A column or value is missing, or a split is unknown.
    """
    ours = _columns(list(map(str, table)), path)
    named = table.rename(columns=ours)
    if not {"split", "image_id"} <= set(named):
        raise InputError(
            f"{path}: expected the columns split and image_id, found {', '.join(map(str, table))}; "
            + _advice(named, path)
        )
    if "fold" in named and named["fold"].nunique() > 1:
        raise InputError(
            f"{path}: expected one fold, found {named['fold'].nunique()}; audit the rows of each fold separately"
        )
    if not len(named):
        raise InputError(f"{path}: expected a row for each image, found a header alone; name the table of the split")
    columns = ["image_id", "patient", "finding_id", "patch", "copy", "split"]
    others = [column for column in ("patient_too", "exam_uid") if column in named]
    rows = pd.DataFrame({column: named.get(column, pd.NA) for column in columns + others}, index=named.index).astype(
        STRING
    )
    rows = rows.apply(lambda words: words.str.strip().replace("", pd.NA))
    rows["patient"] = rows["patient"].str.normalize("NFC")
    rows[others] = rows[others].apply(telling)
    if any(
        one == "exam_uid" and fold(theirs) in IDS.split() for theirs, one in ours.items()
    ):  # 1 may be the first visit of each patient
        rows["exam_uid"] = rows["exam_uid"].mask((rows["exam_uid"].str.len() < LEAST_ID).fillna(False))
    if "patient_too" in others:
        called = next((theirs for theirs, one in ours.items() if one == "patient_too"), "patient_too")
        rows["patient_too"] = f"{called} " + rows["patient_too"]
    for column in columns:
        if (fault := rows[column].str.fullmatch(FAULT).fillna(False)).any():
            raise InputError(
                f"{path}: row {fault.idxmax()}: {column} holds an error of a formula; mend it in the spreadsheet"
            )
    rounded = rows["patient"].str.fullmatch(ROUNDED, case=False).fillna(False)
    if rounded.any():
        raise InputError(
            f"{path}: row {rounded.idxmax()}: the patient was rounded by a spreadsheet, so that several may look like "
            "one; write it out as text"
        )
    for column in ("image_id", "split"):
        if rows[column].isna().any():
            raise InputError(f"{path}: row {rows[column].isna().idxmax()} has no {column}; every row needs one")
    words = rows["split"].str.replace(r"^([0-9]{1,2})$", r"fold\1", regex=True)  # a number alone is a part, too
    folds = folds_among(words.unique())
    known = words.map(lambda word: folds.get(word) or SPLITS.get(word.casefold()) or part_of(word), na_action="ignore")
    known = known.astype(STRING)
    if known.isna().any():
        wrong = rows.loc[known.isna(), "split"].iloc[0]
        raise InputError(
            f"{path}: split '{wrong}' is unknown; expected one of train, val, test, or a fold such as fold1"
        )
    return rows.assign(split=known)


def _advice(table: pd.DataFrame, path: str) -> str:
    """Return what to do with a table of a split that lacks a column."""
    if "image_id" in table and part_of(Path(path).stem):
        return "if it is that of one part, name the folder with the tables of all parts, such as train.csv and test.csv"
    if "fold" in table:
        return "call fold split, to compare its parts"
    if "split" in table:
        return "give each image a row of its own, with its image_id"
    if told := [str(one) for one in table if TELLS_PARTS.fullmatch(fold(str(one)))]:
        now = ("one column for each part: " if len(told) > 1 else "in ") + ", ".join(told)
        return f"give each image a row, with its part, train or test, in a column split (now {now})"
    if len(table.columns) == 1 and len(str(table.columns[0]).split()) > 1:
        return "separate the columns by commas, semicolons or tabs"
    return "a run's split.csv has them: a row for each image, with its part"


def _columns(found: list[str], path: str) -> dict[str, str]:
    """Return our name of each column of a split whose own name is another one.

    Raises:
        InputError: Two columns could both be one of ours.
    """
    own = {"image_id", "patient", "finding_id", "patch", "copy", "split", "fold"}
    left, names = {one: fold(one) for one in found if one not in own}, dict[str, str]()
    ways = {
        "split": [fold("official_split"), *NAMES["official_split"]],
        "image_id": [fold("sample_id"), *NAMES["image_id"], *NAMES["path"]],
        "patient": NAMES["patient"],
        "exam_uid": [UIDS],
    }
    for ours, spellings in ways.items():
        fit = [] if ours in found else spelt([fold(ours), *spellings], left)
        if len(fit) > 1:
            raise InputError(f"{path}: columns {' and '.join(fit)} could both be the {ours}; call one of them {ours}")
        names |= dict.fromkeys(fit, ours)
        left = {one: folded for one, folded in left.items() if one not in fit}
    if "patient" not in {*found, *names.values()} and "exam_uid" not in names.values():
        names |= dict.fromkeys(spelt([IDS], left)[:1], "exam_uid")  # nothing else tells who is who
        left = {one: folded for one, folded in left.items() if one not in names}
    return names | dict.fromkeys(spelt([" ".join(NAMES["patient"]), *OF_ONE], left)[:1], "patient_too")


def named_as(films: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a split with the names of the films where theirs differ in their writing alone.

    That is in folders, case, extension, or the form of letters in Unicode. A name that fits several films, and one of
    several that fit one film, stays as it is.
    """
    exact = {*films["name"], *films["image_id"], *films["name"].str.replace(r"\.\w+$", "", regex=True)}
    fits: dict[str, set[str]] = {}
    for name in films["name"]:
        for form in {name, name.rpartition(".")[0]} if "." in name else {name}:
            fits.setdefault(folded(form), set()).add(name)
    found: dict[str, str] = {}
    named = set(rows["image_id"])
    written = {folded(one): one for one in sorted(named & exact)}
    for image in named - exact:
        parts = [one for one in re.split(r"[\\/]+", folded(image)) if one not in ("", ".")]
        inner = ("/".join(parts[start:]) for start in range(len(parts)))
        forms = (form for one in inner for form in (one, re.sub(r"\.\w+$", "", one)))
        found[image] = next((name for form in forms for name in fits.get(form, ()) if len(fits[form]) == 1), image)
    taken = pd.Series(found, dtype=object).value_counts()
    found = {image: name for image, name in found.items() if taken[name] == 1 and name not in named}
    for image in named - exact:  # which differs in case alone from another row, and from no other film
        if (same := written.get(folded(image))) and len(fits.get(folded(image), ())) == 1:
            found[image] = same
    return rows.assign(image_id=rows["image_id"].replace(found))


def place(films: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the films with the splits of `rows`, and with the patients of `rows` where the films' own are unknown.

    The image_id of a row is a film's name, its name without the extension, or the stem of its file; it becomes the
    image_id of the film. A film in two splits gets both, joined by a plus.

    Raises:
        InputError: The rows name none of the films.
    """
    splits = rows.groupby("image_id")["split"].agg(lambda named: "+".join(sorted(set(named))))
    patients = rows.dropna(subset="patient").drop_duplicates("image_id").set_index("image_id")["patient"]
    known = set(rows["image_id"])
    bare = films["name"].str.replace(r"\.\w+$", "", regex=True)
    key = films["image_id"].where(~bare.isin(known), bare).where(~films["name"].isin(known), films["name"])
    if not key.isin(known).any():
        raise InputError(
            f"the split names none of the {len(films)} films: expected image_ids such as {key.iloc[0]}, "
            f"found {rows['image_id'].iloc[0]}; give the split of these films"
        )
    patient = films["patient"].fillna(key.map(patients).astype(STRING))
    return films.assign(image_id=key, split=key.map(splits).astype(STRING), patient=patient)
