"""The paths of films in a table: where they are on this machine, and the names and patients that they tell."""

import os
import re
import unicodedata
from pathlib import Path

import pandas as pd


def patient_in(path: str, pattern: re.Pattern[str]) -> str | None:
    """Return what group `patient`, or the first group, of a pattern finds in a path; None for nothing."""
    match = pattern.search(path)
    group = "patient" if "patient" in pattern.groupindex else 1
    return (match[group] or "").strip() or None if match else None


def paths_of(words: pd.Series, folder: Path) -> pd.Series:
    """Return absolute paths: from `folder` unless absolute, with slashes, the extension in the file's case.

    A letter with a mark is one character or two (`ä`); a path is tried in both ways, as macOS and Linux differ.
    """
    folder = folder.absolute()  # so that a film which is named by a relative and an absolute path is one film

    def placed(word: str) -> str:
        ways = dict.fromkeys([word, *(unicodedata.normalize(form, word) for form in ("NFC", "NFD"))])
        tries = [spelt(way) for way in ways]
        return next((path for path in tries if mode_of(Path(path))), tries[0])

    def spelt(word: str) -> str:
        path = _joined(folder, word)
        if "\\" in word and not mode_of(path):
            path = _joined(folder, word.replace("\\", "/"))
        if path.suffix and not mode_of(path):
            for suffix in (path.suffix.lower(), path.suffix.upper()):
                if mode_of(path.with_suffix(suffix)):
                    return os.path.normpath(path.with_suffix(suffix))
        return os.path.normpath(path)

    return words.map({word: placed(word) for word in words.dropna().unique()}).astype("string")


def _joined(folder: Path, word: str) -> Path:
    try:
        return folder / Path(word).expanduser()
    except RuntimeError:  # ~ before the name of a user that this machine does not have
        return folder / word


def mode_of(path: Path) -> int:
    """Return the mode of a file or folder; 0 if it does not exist, or cannot be looked at."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return 0


def names_of(paths: pd.Series) -> pd.Series:
    """Return a name for each path: its stem if all differ, else the path from the common folder, without extension."""
    different = [Path(one) for one in paths.unique()]
    common = os.path.commonpath([one.parent for one in different])
    inner = [one.relative_to(common) for one in different]
    ways = [
        [one.stem for one in different],
        [one.with_suffix("").as_posix().replace("/", "_") for one in inner],
        [one.as_posix().replace("/", "_") for one in inner],
        [one.as_posix() for one in inner],
    ]
    names = next(way for way in ways if len({one.casefold() for one in way}) == len(way) or way is ways[-1])
    return paths.map(dict(zip(map(str, different), names, strict=True))).astype("string")
