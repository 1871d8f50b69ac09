"""The parts of a split that the names of folders tell: train, val, test, or a numbered fold."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePath

from mammo.errors import InputError
from mammo.tables.spellings import SPLITS

NONE = "none"  # the value of a folder in `--sides` that is no part
_LONG = SPLITS | {"heldout": "test", "eval": "val", "evaluation": "val", "tuning": "val"}
_ENDING = (
    "(?:s|sets?|data|datasets?|images?|imgs?|films?|splits?|parts?|files?|png|pgm|jpe?g|tiff?|dcm|dicom|satz|menge|daten"
    "|[0-9]+)"
)
_WHOLE = sorted((one for one in _LONG if len(one) > 2 or not one.isascii()), key=len, reverse=True)
_WORD = re.compile(rf"({'|'.join(_WHOLE)})(?:s?{_ENDING})?")
_SHORT = {"tr": "train", "ts": "test", "te": "test"}  # as a folder's whole name, or after a word: imagesTr
_CROSS = (
    "cross[ _-]?val(?:idation)?|kreuzvalidierung|valida(?:tion|ción|cion|ção|cao|zione)[ _-]*"
    "(?:croisée|croisee|cruzada|incrociata)"
)
_ONE = "fold|pliegue|pli|dobra|falte|折"  # of several folds
_FOLD = re.compile(  # with a number of folds before it, the last number is that of one of them: 5folds_3
    rf"(?:(?:k|cv|{_CROSS})?[ _-]*(?:{_ONE}|cv)|[0-9]{{1,3}}[ _-]*(?:folds?|cv|{_CROSS})|(?:{_CROSS})(?=[ _-]*0*[01]$))"
    r"[ _.#(\[-]*([0-9]{1,3})(?:[ _-]*of[ _-]*[0-9]{1,3})?[)\]]?"
)
COUNT = re.compile(rf"(?:{_CROSS})[ _-]*([0-9]{{1,3}})")  # of folds, or the number of one if others stand beside it
_NO_PART = re.compile(  # words that hold the name of a part: folds lie in the first; the second is the work on a model
    rf"{_CROSS}|(?:fine|(?:hyper[ _-]?)?param(?:eter)?s?|hyper|prompt|instruction|model)[ _-]?tuning", re.IGNORECASE
)
_NOT = {"non", "not", "no", "without", "except", "excluding", "minus", "ohne", "nicht", "sans", "sin", "sem", "senza"}
REPEAT = re.compile(  # in a folded name
    rf"(?:fold|cv|{_CROSS}|split|run|repeat|iteration|(?<![^\W\d_])(?:{_ONE}|seed|rep|iter|trial|round))"
    r"[ _-]*([0-9]{1,3})(?![0-9])"
)


def part_of(name: str) -> str | None:
    """Return the part that the name of one folder tells, or None; a name that tells two parts tells none.

    A negation before the word of a part takes that part away: `non_test` holds the films of another part, or of none.
    """
    bare = re.sub(r"(hold|held)[ _-]?(out)", r"\1\2", unicodedata.normalize("NFC", name), flags=re.IGNORECASE)
    if fold := _FOLD.fullmatch(bare.casefold()):
        return f"fold{int(fold[1])}"
    bare = _NO_PART.sub(" cv ", bare)
    words = [*map(str.casefold, re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", bare))]
    (told, denied), (also, too) = _told(words), _told(re.split(r"[\W_]+", bare.casefold()))
    told, denied = told | also, denied | too
    if not told and words and not _NOT & {*words[-2:-1]}:
        told = {short} if (short := SPLITS.get(words[-1]) or _SHORT.get(words[-1])) else told
    told -= denied
    return told.pop() if len(told) == 1 else None


def _told(words: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the parts that words tell, and those that follow a negation, which holds for all parts after it."""
    told, denied, negated = set[str](), set[str](), False
    for word in words:
        if found := _WORD.fullmatch(word):
            (denied if negated else told).add(_LONG[found[1]])
        else:
            negated = word in _NOT
    return told, denied


def folds_among(names: Collection[str]) -> dict[str, str]:
    """Return the folds of names such as crossval_2, which are folds if others of them have other numbers."""
    found = {name: int(count[1]) for name in names if (count := COUNT.fullmatch(name.casefold()))}
    return {name: f"fold{number}" for name, number in found.items()} if len({*found.values()}) > 1 else {}


def folds_of_folders(folders: Iterable[PurePath]) -> dict[str, str | None]:
    """Return the folds of folders such as crossval_2 that lie side by side, by path without case."""
    beside: dict[PurePath, set[str]] = {}
    for folder in {one for path in folders for one in (path, *path.parents) if one.name}:
        beside.setdefault(folder.parent, set()).add(folder.name)
    found = {parent / name: fold for parent, names in beside.items() for name, fold in folds_among(names).items()}
    return {folded(folder.as_posix()): fold for folder, fold in found.items()}


def read_sides(words: str) -> dict[str, str | None]:
    """Read the parts that a user gives to folders, such as `full=train,extra=none`.

    Returns:
        The part of each folder, by its name without case; None for a folder that is no part.

    Raises:
        InputError: A word is no `folder=part`.
    """
    sides: dict[str, str | None] = {}
    for word in filter(None, (one.strip() for one in words.split(","))):
        folder, equals, part = (one.strip() for one in word.rpartition("="))
        known = None if part.casefold() == NONE else SPLITS.get(part.casefold()) or part_of(part)
        if not equals or not folder or (known is None and part.casefold() != NONE):
            raise InputError(
                f"--sides: expected folder=part with train, val, test, a fold such as fold1, or none, found '{word}'; "
                "write, for example, --sides full=train,extra=none"
            )
        sides[folded(folder.strip("/"))] = known
    return sides


def folded(folder: str) -> str:
    """Return the name of a folder without case, its letters composed as they are typed."""
    return unicodedata.normalize("NFC", folder).casefold()


def parts_of_path(inner: PurePath, sides: Mapping[str, str | None]) -> dict[PurePath, str]:
    """Return the parts that the folders of a path tell, by folder, the outermost first.

    Args:
        inner: The path of a folder, from the folder that is audited.
        sides: The parts that the user gives to folders, by name or path without case; `.` is the audited folder.
    """
    told: dict[PurePath, str] = {}
    for folder in [*reversed(inner.parents), inner]:
        keys = [key for key in (folded(folder.as_posix()), folded(folder.name)) if key in sides and folder.name]
        if part := sides[keys[0]] if keys else part_of(folder.name):
            told[folder] = part
    return told


def part_of_path(inner: PurePath, sides: Mapping[str, str | None]) -> str | None:
    """Return the part that the folders of a path tell, or None; of a fold inside another, the inner one.

    Args:
        inner: The path of a folder, from the folder that is audited.
        sides: The parts that the user gives to folders, by name or path without case; `.` is the audited folder.

    Raises:
        InputError: The folders tell several parts.
    """
    parts = [*parts_of_path(inner, sides).values()]
    told, folds = {*parts}, [one.startswith("fold") for one in parts]
    if len(told) > 1 and not all(folds):
        remedy = (
            "audit the folder of each fold by itself, or give its name by --sides NAME=none"
            if any(folds)
            else "rename one, or give it by --sides NAME=none"
        )
        raise InputError(f"{inner}: expected folders of one part of a split, found {', '.join(sorted(told))}; {remedy}")
    return parts[-1] if parts else sides.get(".")
