"""The words of a user's column, and the classes that they make (`task=label`)."""

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from mammo.config import TaskConfig
from mammo.datasets.findings import COLUMNS
from mammo.errors import InputError
from mammo.tables.spellings import MARKS, NOTHING
from mammo.wording import number_of

NO_WORD = NOTHING | MARKS | {"", "#ref!", "#value!"}  # a word such as unknown may be a class
RESERVED = ("samples", "patients")  # keys that stand beside the classes in metrics.json
SHOWN = 10  # the number of words that a line lists
NUMBER = re.compile(r"[-+]?[\d.,]+")
LONG, NEAR = 5, 0.85  # letters of a word, and likeness, from which on two words may be one that is misspelt


def as_word(value: object) -> str:
    """Return a value as a word; whole numbers have no decimal point."""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if isinstance(value, float | np.floating) and np.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)


def words_of(values: pd.Series) -> pd.Series:
    """Return the words of a column without needless blanks, `1.0` as `1`; missing if a value says nothing."""
    words = [pd.NA if pd.isna(value) else " ".join(as_word(value).split()) for value in values]
    words = [re.sub(r"^([-+]?\d+)\.0+$", r"\1", word) if isinstance(word, str) else word for word in words]
    found = pd.Series(words, values.index, "string")
    return found.mask(found.str.casefold().isin(NO_WORD))


def fold(word: str) -> str:
    """Return the common form of the spellings of a word, an umlaut being one character and marks of order none."""
    plain = unicodedata.normalize("NFKC", as_word(word))
    plain = "".join(one for one in plain if unicodedata.category(one) != "Cf")  # such as a mark of byte order
    return " ".join(plain.split()).casefold()


def resolved(task: TaskConfig, findings: pd.DataFrame) -> tuple[TaskConfig, list[str]]:
    """Return a task with its classes, and notes; those of a task whose classes are not given are words of its column.

    Args:
        task: The settings of a task. With `positive`, there are two classes: those words, and all others, or those of
            `negative` alone.
        findings: A findings table.

    Raises:
        InputError: The column is not there or has one word only, or a positive or negative word is not among its words.
    """
    if task.classes is not None:
        return task, []
    column = task.column
    _check_column(findings, column)
    words = words_of(findings[column])
    images = findings["image_id"].groupby(words).nunique()
    spellings: dict[str, list[str]] = {}
    for word in sorted(images.index, key=lambda word: (-images[word], word.swapcase())):  # small letters first
        spellings.setdefault(fold(word), []).append(word)
    known = {key: several[0] for key, several in spellings.items()}  # the most frequent spelling
    empty = findings.loc[words.isna() & findings[column].notna(), column].astype(str)
    marks = sorted({word.strip() for word in empty} - {""})
    if len(known) < 2:
        said = f"found the word {next(iter(known.values()), 'nothing')} alone; a task needs two or more"
        hint = [f"; {one} counts as missing, data.values.{column}.{one}=<a word> gives it a meaning" for one in marks]
        raise InputError(f"task.column={column}: {said}{''.join(hint[:1])}")
    positive, negative = positive_words(task.positive), positive_words(task.negative)
    _check_words(positive, negative, known, column)
    ours = {fold(word) for word in positive}
    named = ours | {fold(word) for word in negative} if negative else known.keys()  # the others are in neither class
    used = {key: word for key, word in known.items() if key in named}
    out = {key: word for key, word in known.items() if key not in named}
    classes = _two_classes(used, positive, column) if positive else {word: [word] for word in sorted(used.values())}
    if taken := [name for name in classes if name in RESERVED]:
        raise InputError(f"task.column={column}: a class cannot be named {taken[0]}; write another word in the table")
    folded = words.map(fold, na_action="ignore")
    counts = Counter(findings[["image_id"]].assign(word=folded).drop_duplicates().dropna()["word"])
    notes = [_said(column, classes, counts, ordered=bool(positive))]
    notes += _misspelt(column, used, [fold(word) for word in positive], counts) if positive and not negative else []
    if out:
        notes.append(f"words of {column} in neither class are left out: {_counted(out.values(), counts)}")
    for several in spellings.values():
        if len(several) > 1:
            seen = "capitals" if len({*map(str.casefold, several)}) == 1 else "what is not seen"
            notes.append(f"{', '.join(several)} differ in {seen} only and are one word of {column}")
    if marks:
        notes.append(f"{_listed(marks)} in {column} is taken as missing ({number_of(len(empty), 'row')})")
    return replace(task, classes=classes, positive=positive, negative=negative or None, ordered=bool(positive)), notes


def _check_column(findings: pd.DataFrame, column: str) -> None:
    """Refuse a column that is empty or not there; the error lists those with words."""
    if column not in findings or findings[column].isna().all():
        there = ", ".join(str(name) for name in findings if findings[name].notna().any())
        own = column in findings and column not in COLUMNS
        why = f"column {column} is empty; fill it in, or take" if own else "the data set has no such column; expected"
        raise InputError(f"task.column={column}: {why} one of {there}")


def _check_words(positive: list[str], negative: list[str], known: dict[str, str], column: str) -> None:
    """Refuse words that the column does not have, a word in both classes, and negative words alone."""
    for key, given in (("positive", positive), ("negative", negative)):
        if unknown := [word for word in given if fold(word) not in known]:
            listed = _listed(sorted(known.values()))
            raise InputError(f"task.{key}={unknown[0]}: {column} has no such word; expected some of {listed}")
    if negative and not positive:
        raise InputError(f"task.negative={negative} needs task.positive, the words of the other class")
    if both := [word for word in negative if fold(word) in map(fold, positive)]:
        raise InputError(f"{both[0]} is in task.positive and in task.negative; name it in one of them")


def positive_words(given: object) -> list[str]:
    """Return the words that `task.positive` or `task.negative` names: a list, one word, or nothing."""
    several = given if isinstance(given, list | tuple) else [] if given is None else [given]
    return [" ".join(as_word(word).split()) for word in several]


def _two_classes(known: dict[str, str], positive: list[str], column: str) -> dict[str, list[str]]:
    """Return the negative and the positive class, each with its words."""
    keys = list(dict.fromkeys(fold(word) for word in positive))
    ours, others = [known[key] for key in keys], sorted(word for key, word in known.items() if key not in keys)
    if not others:
        raise InputError(f"task.positive={positive} names all words of {column}; leave one for the negative class")
    name = "+".join(ours)
    negative = others[0] if len(others) == 1 and others[0] != name else f"not {name}"
    return {negative: others, name: ours}


def _misspelt(column: str, known: dict[str, str], positive: list[str], counts: Counter[str]) -> list[str]:
    """Return a note for each word that is negative although it is spelt almost like a positive one."""
    notes = []
    for key in (one for one in known if one not in positive):
        alike = difflib.get_close_matches(key, positive, 1, NEAR) if len(key) >= LONG else []
        near = [one for one in alike if abs(len(one) - len(key)) < 2] or [one for one in positive if _part(key, one)]
        if near:
            notes.append(
                f"**{known[key]} ({number_of(counts[key], 'image')}) is spelt almost like "
                f"{known[near[0]]}, but counts as negative: "
                f"mend it in {column}, or name the negative words by task.negative**"
            )
    return notes


def _part(word: str, positive: str) -> bool:
    """Tell whether a word is a positive one with marks around it, such as `ja?`, or a grade of it, such as 4A of 4."""
    grade = re.fullmatch(r"\d+", positive) and re.fullmatch(re.escape(positive) + "[a-z]", word)
    return bool(grade) or (re.sub(r"^[\W_]+|[\W_]+$", "", word) == positive and not NUMBER.fullmatch(word))


def _said(column: str, classes: dict[str, list[str]], counts: Counter[str], *, ordered: bool) -> str:
    """Return the note that says which words make each class."""
    of = []
    for name, words in classes.items():
        listed = _counted(words, counts)
        of.append(listed if words == [name] else f"{name} is {listed}")
    said = f"the classes are words of {column}: {'; '.join(of)}"
    return said if ordered or len(classes) > 2 else f"{said}; the second counts as positive, as none was named"


def _listed(words: list[str]) -> str:
    return ", ".join(words[:SHOWN]) + f" and {len(words) - SHOWN} more" * (len(words) > SHOWN)


def _counted(words: Iterable[str], counts: Counter[str]) -> str:
    """Return the first words of a list, each with its number of images."""
    return _listed([f"{word} ({number_of(counts[fold(word)], 'image')})" for word in words])
