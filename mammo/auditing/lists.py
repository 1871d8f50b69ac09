"""The tables and lists of a folder of which each names the images of one part of a split: train.csv, val.txt."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import pandas as pd

from mammo.auditing.mias_films import mias_film
from mammo.auditing.sides import COUNT, REPEAT, folded, folds_among, part_of
from mammo.auditing.words import some
from mammo.errors import InputError
from mammo.tables.spellings import SEVERITY, SPLITS, fold, is_spelling

TABLES = frozenset([".csv", ".tsv", ".xlsx", ".parquet"])
LISTS = frozenset([".txt", ".lst", ".list"])
PICTURES = {".pgm", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"}
DICOM = {".dcm", ".dicom"}
_ENDINGS = "|".join(map(re.escape, sorted(PICTURES | DICOM)))
_FILM = re.compile(rf"(.+?(?:{_ENDINGS}))(?=$|[\s,;|\"'])", re.IGNORECASE)
_BETWEEN = r"[\s,;|]+"  # the fields of a line
_NUMBER = r"[+-]?[0-9]+(?:\.[0-9]*)?(?:e[+-]?[0-9]+)?"
_SEVERITIES = "|".join(word for words in SEVERITY.values() for word in words.split())
_NAMELESS = rf"[+-]?[0-9]*\.[0-9]+(?:e[+-]?[0-9]+)?|{'|'.join(one for one in _SEVERITIES.split('|') if len(one) > 1)}"
_BARE = rf"(?!(?:{_NAMELESS})(?:[\s,;|]|$))[^\s,;|]+(?:{_BETWEEN}(?:-?[0-9]+|{_SEVERITIES}))*"  # a name and labels
_REMARK = re.compile(rf"#(?:\s|(?!.*(?:{_ENDINGS})))", re.IGNORECASE)  # a film may be called #1.png
_LABEL = re.compile(rf"(?:{_BETWEEN}(?:{_NUMBER}|{_SEVERITIES}))+$", re.IGNORECASE)
_COLUMNS = frozenset(["id", "ids", "name", "names", "images", "files", "films", "sampleid", "index"])
_OF_SPLITS = frozenset(["split", "splits", "fold", "folds", "partition", "partitions", "subset", "subsets"])


def lists_of_parts(files: Iterable[Path]) -> dict[Path, str]:
    """Return the tables and lists whose names tell a part, with it, in the order of their names."""
    listed = sorted(path for path in files if path.suffix.lower() in TABLES | LISTS)
    folds = folds_among([path.stem for path in listed])
    return {path: part for path in listed if (part := folds.get(path.stem) or part_of(path.stem))}


def check_one_split(folder: Path, found: Mapping[Path, str]) -> None:
    """Refuse tables and lists that tell the parts of several splits, or folds and other parts, by their names.

    Raises:
        InputError: They do.
    """
    folds = [path.name for path, part in found.items() if part.startswith("fold")]
    if folds and len(folds) < len(found):
        other = next(path.name for path in found if path.name not in folds)
        raise InputError(f"{folder}: expected the parts of one split, found {folds[0]} and {other}; move one away")
    repeats = {int(told[1]): path.name for path in found if (told := REPEAT.search(folded(path.stem)))}
    repeats = repeats or _numbered_alike(found)
    if len(repeats) > 1 and not folds:
        raise InputError(
            f"{folder}: expected the parts of one split, found those of several, {some(repeats.values())}; "
            "put those of each into a folder of their own, and give one"
        )


def _numbered_alike(found: Mapping[Path, str]) -> dict[int, str]:
    """Return the name of a file of each number if those of all parts end in the same ones: train_1, test_1, ..."""
    numbers = {path: int(end[0]) for path in found if (end := re.search(r"(?<![0-9])[0-9]{1,2}$", path.stem))}
    of_parts = {frozenset(end for path, end in numbers.items() if found[path] == part) for part in found.values()}
    return {end: path.name for path, end in numbers.items()} if len(of_parts) == 1 else {}


def read_list(path: Path) -> pd.DataFrame:
    """Return the images of a list with one path in each line, perhaps with a label after it, as `image_id`.

    A header line and lines that begin with # are passed over.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: expected a list of images, one in each line, which cannot be read ({error})"
        ) from None
    stripped = {number: line.strip() for number, line in enumerate(lines, start=1)}
    named = {number: line for number, line in stripped.items() if line and not _REMARK.match(line)}
    if named and _is_header([*named.values()]):
        del named[next(iter(named))]
    return pd.DataFrame({"image_id": [*map(_image, named.values())]}, index=list(named), dtype=object)


def names_images(listed: pd.DataFrame, known: Iterable[str] = ()) -> bool:
    """Tell whether most lines of a list look like films, or one is a known image, by the name of its file."""
    images = listed["image_id"]
    like = sum(map(_is_film, images))
    return bool(len(images)) and (2 * like >= len(images) or not {*map(stem, images)}.isdisjoint(known))


def stem(image: str) -> str:
    """Return the name of an image without folders, the ending of a film, and case."""
    name = re.split(r"[\\/]", image)[-1].casefold()
    return Path(name).stem if _FILM.fullmatch(name) else name


def bare_names(path: Path) -> bool:
    """Tell whether a list may hold images without an ending: a name of its own in each line, and perhaps a label."""
    images = read_list(path)["image_id"]
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    return bool(len(images)) and images.is_unique and all(map(re.compile(_BARE, re.IGNORECASE).fullmatch, lines))


def is_plain(path: Path) -> bool:
    """Tell whether the name of a list is that of a part alone, such as val or val_list, and not val_classes."""
    bare = re.sub(r"[\W_]*(list|ids?|names?|images?|imgs?|files?|films?|sets?|splits?)$", "", folded(path.stem))
    return bare in SPLITS or bool(COUNT.fullmatch(bare)) or (part_of(bare) or "").startswith("fold")


def beside(files: Iterable[Path]) -> list[str]:
    """Return the doubt that tables or lists beside films tell the parts of a split: of two parts, or called split."""
    files = list(files)
    parts = {path: part for path, part in lists_of_parts(files).items() if _may_list(path)}
    named = [path.name for path in parts] if len(set(parts.values())) > 1 else []
    named += [path.name for path in files if path.stem.casefold() in _OF_SPLITS and path.suffix.lower() in TABLES]
    return [f"{some(named, ' and ')} may tell the parts: give it, or its folder, by --split"] * bool(named)


def _may_list(path: Path) -> bool:
    """Tell whether a table or list may name images: a list whose lines are none does not."""
    if path.suffix.lower() not in LISTS:
        return True
    with suppress(InputError):
        listed = read_list(path)
        return names_images(listed) or bare_names(path)
    return True


def _is_header(lines: list[str]) -> bool:
    """Tell whether the first line names columns: one of images, or more than one above lines that all begin so."""
    first, *others = ([one.strip(" \"'#") for one in re.split(_BETWEEN, line.strip(" #"))] for line in lines)
    if any(map(_is_film, first)) or not others:
        return False
    column = fold(first[0])
    if is_spelling("path", column) or is_spelling("image_id", column) or column in _COLUMNS:
        return True
    return len(first) > 1 and all(any(map(_is_film, line)) for line in others)


def _is_film(word: str) -> bool:
    return bool(_FILM.fullmatch(word) or mias_film(Path(word)))


def _image(line: str) -> str:
    """Return the image of a line without what stands after it: that of `a b.png 1` is `a b.png`."""
    line = line.strip().strip("\"'")
    if found := _FILM.match(line):
        return re.sub(rf"^(?:{_NUMBER}\s*[,;|\t]\s*)+", "", found[1]).strip(" \"'")
    first, *others = re.split(_BETWEEN, line)
    if mias_film(Path(first)) or re.search(r"[,;|\t]", line):
        return first
    bare = _LABEL.sub("", line)
    return bare if bare != line or not others or Path(others[-1]).suffix else line.rsplit(None, 1)[0]
