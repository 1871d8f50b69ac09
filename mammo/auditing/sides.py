"""The parts of a split that the names of folders tell: train, val, test, or a numbered fold."""

import re
import unicodedata
from collections.abc import Mapping
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
_FOLD = re.compile(
    r"(?:(?:[0-9]{1,3}|k|cv|cross[ _-]?val(?:idation)?)[ _-]*)?(?:folds?|cv|cross[ _-]?val(?:idation)?)[ _-]*"
    r"([0-9]{1,3})(?:[ _-]*of[ _-]*[0-9]{1,3})?"
)
_NOT = {"non", "not", "no", "without", "except", "excluding", "minus", "ohne", "nicht", "sans", "sin", "sem", "senza"}
REPEAT = re.compile(r"(?:fold|cv|split|run|repeat|iteration)[ _-]*([0-9]{1,3})(?![0-9])")  # in a folded name


def part_of(name: str) -> str | None:
    """Return the part that the name of one folder tells, or None; a name that tells two parts tells none."""
    bare = re.sub(r"(hold|held)[ _-]?(out)", r"\1\2", unicodedata.normalize("NFC", name), flags=re.IGNORECASE)
    if fold := _FOLD.fullmatch(bare.casefold()):
        return f"fold{int(fold[1])}"
    bare = re.sub(r"cross[ _-]?validation", "", bare, flags=re.IGNORECASE)  # which holds folds
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", bare)
    joined = re.split(r"[\W_]+", bare.casefold())
    if _NOT & {*map(str.casefold, words)}:  # non_test holds the films of another part, or of none
        return None
    told = {_LONG[found[1]] for one in (*map(str.casefold, words), *joined) if (found := _WORD.fullmatch(one))}
    if not told and words and (short := SPLITS.get(words[-1].casefold()) or _SHORT.get(words[-1].casefold())):
        told = {short}
    return told.pop() if len(told) == 1 else None


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


def part_of_path(inner: PurePath, sides: Mapping[str, str | None]) -> str | None:
    """Return the part that the folders of a path tell, or None.

    Args:
        inner: The path of a folder, from the folder that is audited.
        sides: The parts that the user gives to folders, by name or path without case; `.` is the audited folder.

    Raises:
        InputError: The folders tell several parts.
    """
    told: set[str] = set()
    for depth, name in enumerate(inner.parts, start=1):
        keys = [key for key in (folded("/".join(inner.parts[:depth])), folded(name)) if key in sides]
        part = sides[keys[0]] if keys else part_of(name)
        told |= {part} if part else set()
    if len(told) > 1:
        several = any(one.startswith("fold") for one in told)
        remedy = (
            "audit the folder of each fold by itself, or give its name by --sides NAME=none"
            if several
            else "rename one, or give it by --sides NAME=none"
        )
        raise InputError(f"{inner}: expected folders of one part of a split, found {', '.join(sorted(told))}; {remedy}")
    return next(iter(told), sides.get("."))
