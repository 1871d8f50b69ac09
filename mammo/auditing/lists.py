"""The tables and lists of a folder of which each names the images of one part of a split: train.csv, val.txt."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mammo.auditing.sides import part_of
from mammo.auditing.words import some
from mammo.errors import InputError

TABLES = frozenset([".csv", ".tsv", ".xlsx", ".parquet"])
LISTS = frozenset([".txt", ".lst", ".list"])
_OF_SPLITS = frozenset(["split", "splits", "fold", "folds", "partition", "partitions", "subset", "subsets"])


def lists_of_parts(files: Iterable[Path]) -> dict[Path, str]:
    """Return the tables and lists whose names tell a part, with it, in the order of their names."""
    told = {path: part_of(path.stem) for path in files if path.suffix.lower() in TABLES | LISTS}
    return {path: part for path, part in sorted(told.items()) if part}


def lists_in(folder: Path) -> dict[Path, str]:
    """Return the tables and lists in a folder whose names tell the parts of one split; nothing if there are not two.

    Raises:
        InputError: They tell folds and other parts.
    """
    found = lists_of_parts(path for path in folder.iterdir() if path.is_file())
    folds = [path.name for path, part in found.items() if part.startswith("fold")]
    if folds and len(folds) < len(found):
        other = next(path.name for path in found if path.name not in folds)
        raise InputError(f"{folder}: expected the parts of one split, found {folds[0]} and {other}; move one away")
    return found if len(set(found.values())) > 1 else {}


def read_list(path: Path) -> pd.DataFrame:
    """Return the images of a list with one path in each line, perhaps with a label after it, as `image_id`.

    Raises:
        InputError: The file cannot be read, or has no line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: expected a list of images, one in each line, which cannot be read ({error})"
        ) from None
    named = {number: line.strip() for number, line in enumerate(lines, start=1) if line.strip()}
    if not named:
        raise InputError(f"{path}: expected the path of an image in each line, found none")
    images = [line if len(line.split()) == 1 else _without_label(line) for line in named.values()]
    return pd.DataFrame({"image_id": images}, index=list(named))


def beside(files: Iterable[Path]) -> list[str]:
    """Return the doubt that tables or lists beside films tell the parts of a split: of two parts, or called split."""
    files = list(files)
    parts = lists_of_parts(files)
    named = [path.name for path in parts] if len(set(parts.values())) > 1 else []
    named += [path.name for path in files if path.stem.casefold() in _OF_SPLITS and path.suffix.lower() in TABLES]
    return [f"{some(named, ' and ')} may tell the parts: give it, or its folder, by --split"] * bool(named)


def _without_label(line: str) -> str:
    """Return the path before a label: that of `a b.png 1` is `a b.png`."""
    path, label = line.rsplit(None, 1)
    return line if Path(label).suffix else path
