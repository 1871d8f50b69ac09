"""The paths of films in a table: where they are on this machine, and the names and patients that they tell."""

import os
import re
import unicodedata
from itertools import takewhile
from pathlib import Path

import pandas as pd

from mammo.errors import InputError

PLAIN = re.compile(r"(?!\.\.?(/|$))[A-Za-z0-9_.-]+(/(?!\.\.?(/|$))[A-Za-z0-9_.-]+)*")  # a path with nothing odd


def pattern_of(words: str, setting: str, *, grouped: bool = False) -> re.Pattern[str]:
    """Return a regular expression.

    Args:
        words: The expression, as a user wrote it.
        setting: The option that gives it, for errors.
        grouped: True requires a group, which is then the patient.

    Raises:
        InputError: It is no regular expression, or has no group.
    """
    try:
        pattern = re.compile(words)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"{setting}: expected a regular expression, found '{words}' ({error})") from None
    if grouped and not pattern.groups:
        raise InputError(f"{setting}: '{words}' has no group; put the patient in brackets, say '(P\\d+)_'")
    return pattern


def patient_in(path: str, pattern: re.Pattern[str]) -> str | None:
    """Return what group `patient`, or the first group, of a pattern finds in a path; None for nothing."""
    match = pattern.search(path)
    group = "patient" if "patient" in pattern.groupindex else 1
    return (match[group] or "").strip() or None if match else None


def paths_of(words: pd.Series, folder: Path) -> pd.Series:
    """Return absolute paths: from `folder` unless absolute, with slashes, the extension in the file's case.

    A letter with a mark is one character or two (`ä`); a path is tried in both ways, as macOS and Linux differ.
    """
    return words.map({word: path for word, (path, _) in modes_of(words, folder).items()}).astype("string")


def modes_of(words: pd.Series, folder: Path) -> dict[str, tuple[str, int]]:
    """Return the path of each word as `paths_of` does, with the mode of the file there; 0 if there is none."""
    folder = folder.absolute()  # so that a film which is named by a relative and an absolute path is one film
    plain = os.path.normpath(folder)
    same = os.path.realpath(plain) == os.path.realpath(folder)  # `..` of a link is elsewhere

    def placed(word: str) -> tuple[str, int]:
        if not (same and PLAIN.fullmatch(word)):
            path = odd(word)
            return path, mode_of(path)
        at = word.rfind(".", word.rfind("/") + 2)  # as below, without a Path: there may be a million
        stem, suffix = (word[:at], word[at:]) if at > 0 else (word, "")
        start = "" if word.startswith("/") else f"{plain}/"
        for one in dict.fromkeys([suffix, suffix.lower(), suffix.upper()]):
            if mode := mode_of(start + stem + one):
                return start + stem + one, mode
        return start + word, 0

    def odd(word: str) -> str:
        ways = dict.fromkeys([word, *(unicodedata.normalize(form, word) for form in ("NFC", "NFD"))])
        tries = [spelt(way) for way in ways]
        return next((path for path in tries if mode_of(path)), tries[0])

    def spelt(word: str) -> str:
        path = _joined(folder, word)
        if "\\" in word and not mode_of(path):
            path = _joined(folder, word.replace("\\", "/"))
        if path.suffix and not mode_of(path):
            for suffix in (path.suffix.lower(), path.suffix.upper()):
                if mode_of(path.with_suffix(suffix)):
                    return os.path.normpath(path.with_suffix(suffix))
        return os.path.normpath(path)

    return {word: placed(word) for word in words.dropna().unique()}


def _joined(folder: Path, word: str) -> Path:
    try:
        return folder / Path(word).expanduser()
    except RuntimeError:  # ~ before the name of a user that this machine does not have
        return folder / word


def near_file(missing: str, folder: Path) -> str | None:
    """Return a file whose name differs from that of a missing one in case, ending or folder alone; None for none.

    It is looked for in the folder that the path names, and in `folder`.
    """
    last = missing.rpartition("/")[2].casefold()
    for place in dict.fromkeys([os.path.dirname(missing), os.path.abspath(folder)]):  # noqa: PTH100, PTH120
        try:
            with os.scandir(place) as entries:
                names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
        except (OSError, ValueError):
            continue
        same = [name for name in names if name.casefold() == last]
        if found := same or [name for name in names if _stem(name).casefold() == _stem(last) and "." in name]:
            return f"{place}/{found[0]}"
    return None


def mode_of(path: Path | str) -> int:
    """Return the mode of a file or folder; 0 if it does not exist, or cannot be looked at."""
    try:
        return os.stat(path).st_mode  # noqa: PTH116 - five times as fast as a Path
    except (OSError, ValueError):
        return 0


def names_of(paths: pd.Series) -> pd.Series:
    """Return a name for each path: its stem if all differ, else the path from the common folder, without extension.

    Names that would differ in nothing but capitals are whole paths.
    """
    different = list(paths.unique())
    names = list(map(_stem, different))
    if not _all_differ(names):
        folders = [one.split("/")[:-1] for one in different]
        alike = takewhile(lambda two: two[0] == two[1], zip(min(folders), max(folders), strict=False))
        common = sum(len(one) + 1 for one, _ in alike)  # bare names share nothing
        inner = [one[common:] for one in different]
        stems = [one[: len(one) - len(one.rpartition("/")[2])] + _stem(one) for one in inner]
        ways = (*([one.replace("/", "_") for one in some] for some in (stems, inner)), inner)
        names = next(filter(_all_differ, ways), different)
    return paths.map(dict(zip(different, names, strict=True))).astype("string")


def _stem(path: str) -> str:
    """Return the name of a file without its extension, as `Path.stem` does."""
    name = path.rpartition("/")[2]
    at = name.rfind(".")
    return name[:at] if 0 < at < len(name) - 1 else name


def _all_differ(names: list[str]) -> bool:
    return len({one.casefold() for one in names}) == len(names)
