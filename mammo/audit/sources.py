"""What is there to audit: the films of a table or folder with their women and sides, and the rows of a split."""

from pathlib import Path

import pandas as pd

from mammo.datasets.findings import PARTS, STRING, read_findings
from mammo.datasets.mias import parse_info
from mammo.errors import InputError

IMAGES = {".pgm", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
SIDES = {part: part for part in PARTS} | {"valid": "val", "validation": "val"}
FILMS = ["name", "image_id", "path", "patient", "side"]
SAMPLE = r"^(?P<image_id>.+?)(?:\.(?P<finding>\d+))?(?:\.c(?P<copy>\d+))?$"  # image_id[.finding_id][.cCOPY]


def find_films(source: Path) -> pd.DataFrame:
    """The films of a findings table or of a folder: `name, image_id, path, patient, side`, the last two if known.

    A folder's images are those below it. One named train, val, valid, validation or test is a side; an Info.txt
    as mini-MIAS has it names the women.

    Raises:
        InputError: No such table or folder, or no film in it.
    """
    if source.is_dir():
        films = _of_folder(source)
    elif source.is_file():
        table = read_findings(source).drop_duplicates("image_id")
        films = table[["image_id", "path", "patient"]].assign(name=table["image_id"], side=table["official_split"])
        if films.empty:
            raise InputError(f"{source}: expected a row for each film, found no film; name another table")
        films["path"] = [str(source.parent / path) for path in films["path"]]
    else:
        raise InputError(f"{source}: expected a findings table (CSV), a folder of films or a data set, found nothing")
    return films[FILMS].astype(STRING).reset_index(drop=True)


def _of_folder(folder: Path) -> pd.DataFrame:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES and path.is_file())
    if not paths:
        raise InputError(f"{folder}: expected films ({', '.join(sorted(IMAGES))}), found none; name another folder")
    women: dict[object, object] = {}
    info = folder / "Info.txt"
    if info.is_file():
        rows = parse_info(info.read_text(encoding="ascii", errors="replace"), str(info))
        women = {row["image_id"]: row["patient"] for row in rows}
    inner = [path.relative_to(folder) for path in paths]
    sides = [{SIDES[part.lower()] for part in path.parts[:-1] if part.lower() in SIDES} for path in inner]
    for path, named in zip(inner, sides, strict=True):
        if len(named) > 1:
            raise InputError(f"{folder / path}: expected one side in its path, found {sorted(named)}; rename a folder")
    return pd.DataFrame({
        "name": [path.as_posix() for path in inner],
        "image_id": [path.stem for path in inner],
        "path": [str(path) for path in paths],
        "patient": [women.get(path.stem) for path in inner],
        "side": [next(iter(named), None) for named in sides],
    })  # fmt: skip


def read_split(path: Path) -> pd.DataFrame:
    """The rows of a split: `image_id, patient, finding, copy, side`, all text, missing where unknown.

    Args:
        path: A CSV with `split` and `image_id` or `sample_id`, or a run folder that has a split.csv.

    Raises:
        InputError: No such file, a column or value is missing, or an unknown side.
    """
    path = path / "split.csv" if path.is_dir() else path
    try:
        table = pd.read_csv(path, dtype=STRING)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(
            f"{path}: expected a split as CSV, found none that can be read ({str(error).strip()})"
        ) from None
    if "split" not in table or not {"image_id", "sample_id"} & set(table):
        raise InputError(
            f"{path}: expected the columns split and image_id or sample_id, found {', '.join(table)}; "
            "a run's split.csv has them"
        )
    if "fold" in table and table["fold"].nunique() > 1:
        raise InputError(f"{path}: expected one fold, found {table['fold'].nunique()}; audit each fold's rows alone")
    parsed = table.get("sample_id", table.get("image_id")).str.extract(SAMPLE)
    rows = pd.DataFrame({
        "image_id": table.get("image_id", parsed["image_id"]),
        "patient": table.get("patient", pd.NA),
        "finding": table.get("finding_id", parsed["finding"] if "sample_id" in table else pd.NA),
        "copy": table.get("copy", parsed["copy"] if "sample_id" in table else pd.NA),
        "side": table["split"].str.lower().map(SIDES),
    }).astype(STRING)  # fmt: skip
    for column, given in (("image_id", rows["image_id"]), ("split", table["split"])):
        if given.isna().any():
            raise InputError(f"{path}: row {int(given.isna().argmax()) + 2} has no {column}; every row needs one")
    if rows["side"].isna().any():
        wrong = table.loc[rows["side"].isna(), "split"].iloc[0]
        raise InputError(f"{path}: split '{wrong}' is unknown; expected one of {', '.join(SIDES)}")
    return rows


def place(films: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The films with the sides of a split, and with its women where theirs were unknown.

    A row's image_id is a film's name, its name without the ending, or the stem of its file. It becomes
    the film's image_id. A film on two sides has both, joined by a plus.

    Raises:
        InputError: The split names none of the films.
    """
    sides = rows.groupby("image_id")["side"].agg(lambda named: "+".join(sorted(set(named))))
    women = rows.dropna(subset="patient").drop_duplicates("image_id").set_index("image_id")["patient"]
    known = set(rows["image_id"])
    bare = films["name"].str.replace(r"\.\w+$", "", regex=True)
    key = films["image_id"].where(~bare.isin(known), bare).where(~films["name"].isin(known), films["name"])
    if not key.isin(known).any():
        raise InputError(
            f"the split names none of the {len(films)} films: expected image_ids such as {key[0]}, "
            f"found {rows['image_id'][0]}; give the split of these films"
        )
    patients = films["patient"].fillna(key.map(women).astype(STRING))
    return films.assign(image_id=key, side=key.map(sides).astype(STRING), patient=patients)
