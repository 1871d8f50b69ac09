"""The words of a published claim: its numbers, the films that they are of, and the number of folds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mammo.auditing.claim_names import CELLS, COUNTS, KEYS, METRICS, PARTS, hint, known_key
from mammo.auditing.claim_numbers import AUC, MOST_FILMS, Number, one_scale, plain, read_value
from mammo.errors import InputError

MOST_FILMS_UNKNOWN = 3_000  # if the number of positives is unknown: time and memory grow with the square
OF_COUNTS = {"accuracy": "n", "sensitivity": "n_pos", "specificity": "n_neg"}  # what the second of two counts counts
MOST_REPEATS = 1_000
_ONE_FOLD = r"lo[ops]?o(cv)?|lop(cv)?|leave[- ]?one[- ](\w+[- ])?out.*|hold[- ]?out.*"  # of one film each, or none
_STRATIFIED = re.compile(r"(?<!not[ -])(?<!non[ -])\bstratified\b", re.IGNORECASE)


@dataclass(frozen=True)
class Claim:
    """A published result on `n` test films; the number of positives and the training split may be unknown."""

    n: int
    n_pos: int | None
    numbers: dict[str, Number]
    n_train: int | None
    train: tuple[int, int] | None
    films_per_patient: int
    auc: Number | None = None
    folds: int | None = None
    spreads: Mapping[str, float] = field(default_factory=dict)  # standard deviation after a plus-minus, a fraction
    untested: tuple[str, ...] = ()  # what stands beside numbers and is not tested, such as `the interval of accuracy`
    repeats: int | None = 1  # the times that all folds are dealt anew; None if unknown
    note: str = ""  # what has been understood by words for the folds
    over: tuple[str, ...] = ()  # the numbers above 100 %, as printed
    cells: Mapping[str, int] = field(default_factory=dict)  # counts of the confusion matrix, all or some of CELLS
    stratified: bool = False  # True if the folds are said to have equal shares of each class

    def has(self, **cells: np.ndarray | int) -> np.ndarray:
        """Return which of some confusion matrices have the counts that are given; each cell is an array (R,)."""
        fits = [np.asarray(cells[name] == count) for name, count in self.cells.items()]
        return np.logical_and.reduce(np.broadcast_arrays(*cells.values(), *fits)[len(cells) :] or [True])


def read_claim(words: list[str]) -> Claim:
    """Read a claim from words `key=value`.

    A key is one of METRICS, `auc`, COUNTS, CELLS or PARTS (value: normal,abnormal films), or another name that people
    use.

    Raises:
        InputError: A word or the whole cannot be understood.
    """
    values: dict[str, str] = {}
    for word in map(plain, words):
        name, equals, text = word.partition("=")
        key = known_key(name)
        if not equals or key is None or key in values:
            wrong = "is given twice" if key in values else "is not key=value" if not equals else "has an unknown key"
            raise InputError(
                f"'{word}' {wrong}; {hint(name)}write, for example, n=225 accuracy=97.77, with each of "
                f"{', '.join(KEYS)} at most once"
            )
        values[key] = text.strip()
    said = values.pop("folds", None)
    folds, repeats, note = (None, 1, "") if said is None else _folds(said)
    counts = {key: _count(key, values[key]) for key in COUNTS if key in values}
    cells = {key: _count(key, values[key]) for key in CELLS if key in values}
    correct, missed = _sum(cells, "tp", "tn"), _sum(cells, "fp", "fn")
    if correct is not None and missed is not None and correct + missed and not {*METRICS, AUC} & set(values):
        values["accuracy"] = f"{correct}/{correct + missed}"  # nothing else is claimed
    given = {key: values[key] for key in (*METRICS, AUC) if key in values}
    read = {key: read_value(key, text) for key, text in zip(given, one_scale([*given.values()]), strict=True)}
    told = dict[str, int]()
    for key, value in read.items():
        if value.counts and (of := OF_COUNTS.get(key)):
            told[of] = _agreed(of, told.get(of), value.counts[1]) or 0
    parts = {part: _pair(part, values[part]) for part in PARTS if part in values}
    normal, abnormal = parts.get("test", (None, None))
    n_neg = _agreed("n_neg", counts.get("n_neg"), normal, told.get("n_neg"), _sum(cells, "tn", "fp"))
    n_pos = _agreed("n_pos", counts.get("n_pos"), abnormal, told.get("n_pos"), _sum(cells, "tp", "fn"))
    both = None if n_pos is None or n_neg is None else n_pos + n_neg
    n = _agreed("n", counts.get("n"), counts.get("n_test"), both, told.get("n"))
    if not n or n > MOST_FILMS:
        raise InputError(
            f"n is {'missing' if n is None else n}; give the number of test films, 1 to {MOST_FILMS}, such as n=225"
        )
    if n_pos is None and n_neg is not None:
        n_pos = n - n_neg
    if n_pos is not None and not 0 <= n_pos <= n:
        raise InputError(f"n={n} is smaller than the number of positive or negative films; correct the counts")
    _check_cells(cells, n, n_pos)
    spreads = {key: value.spread for key, value in read.items() if value.spread is not None}
    untested = tuple(f"the {value.untested} of {key}" for key, value in read.items() if value.untested)
    numbers = {key: value.number for key, value in read.items()}
    over = [f"{key} {one.text}" for key, one in numbers.items() if one.digits > one.scale]
    auc = numbers.pop(AUC, None)
    if not numbers and auc is None:
        raise InputError(f"no metric is given; expected one of {', '.join((*METRICS, AUC))}, such as accuracy=97.77")
    if folds is not None and not 2 <= folds <= n:
        raise InputError(f"folds={folds}: expected 2 folds or more, and no more than the {n} films")
    if n_pos is None and n > MOST_FILMS_UNKNOWN and set(numbers) != {"accuracy"}:
        raise InputError(
            f"n={n} is above {MOST_FILMS_UNKNOWN}, and the number of positive films is unknown; give n_pos="
        )
    train = parts.get("train")
    n_train = _agreed("n_train", counts.get("n_train"), sum(train) if train else None)
    if (films := counts.get("films_per_patient", 2)) < 1:
        raise InputError("films_per_patient is 0; use 1 or more")
    return Claim(
        n, n_pos, numbers, n_train, train, films, auc, folds, spreads, untested, repeats, note, tuple(over), cells,
        stratified=bool(_STRATIFIED.search(said or "")),
    )  # fmt: skip


def _sum(cells: Mapping[str, int], *names: str) -> int | None:
    """Return the sum of two counts of a confusion matrix; None if one of them is not given."""
    return sum(cells[name] for name in names) if set(names) <= set(cells) else None


def _check_cells(cells: Mapping[str, int], n: int, n_pos: int | None) -> None:
    """Refuse counts of a confusion matrix that are more than the films of their class, or than all."""
    of = {"all": n} if n_pos is None else {"positive": n_pos, "negative": n - n_pos}
    for kind, films in of.items():
        names = [name for name in cells if kind == "all" or (name in ("tp", "fn")) == (kind == "positive")]
        if sum(cells[name] for name in names) > films:
            raise InputError(
                f"{' + '.join(names)} is {sum(cells[name] for name in names)}, but {films} films are "
                f"{'there' if kind == 'all' else kind}; correct the counts"
            )


def _count(key: str, text: str) -> int:
    bare = re.sub(r"\s*(films?|images?|mammograms?|samples?)$", "", text.strip(), flags=re.IGNORECASE)
    if re.fullmatch(r"[0-9]{1,3}([, '\u2019][0-9]{3})+", bare):  # 1,225
        bare = re.sub("[, '\u2019]", "", bare)
    if re.fullmatch(r"[1-9][0-9]{0,2}(\.[0-9]{3})+", bare):
        raise InputError(
            f"{key}={text} may be thousands or decimals; write {key}={bare.replace('.', '')} if it counts films"
        )
    if not re.fullmatch(r"[0-9]{1,9}(\.0+)?", bare):  # 225.0 is a count that was a column with gaps
        raise InputError(f"{key}={text} is not a count of films; use a whole number, such as {key}=225")
    return int(bare.partition(".")[0])


def _folds(text: str) -> tuple[int | None, int, str]:
    """Return the number of folds, how often they are dealt anew, and what is understood by a word for them."""
    if re.fullmatch(_ONE_FOLD, text, re.IGNORECASE):
        return None, 1, f"folds={text}: the numbers are read as counts of all films, not as means over folds."
    found = re.fullmatch(
        r"([0-9]{1,9})(?:\.0+)?(?:\s*[x\u00d7*]\s*([0-9]{1,9}))?(\s*-?\s*folds?\b.*)?",
        _STRATIFIED.sub("", text).strip(" -,"),
        re.IGNORECASE,
    )
    if found is None:
        raise InputError(
            f"folds={text} is not a number of folds; use folds=5, folds=5x10 for ten repeats, LOOCV or hold-out"
        )
    first, second = int(found[1]), int(found[2] or 1)
    folds, repeats = (second, first) if found[2] and found[3] else (first, second)  # 10x5-fold is ten times five
    if not 1 <= repeats <= MOST_REPEATS:
        raise InputError(f"folds={text}: expected 1 to {MOST_REPEATS} repeats, such as folds=5x10")
    return folds, repeats, f"folds={text} is read as {folds} folds, dealt {repeats} times." if found[2] else ""


def _pair(key: str, text: str) -> tuple[int, int]:
    separator = next((sign for sign in "/;+" if sign in text), ",")
    normal, there, abnormal = text.partition(separator)
    if not there:
        raise InputError(
            f"{key}={text} is not two counts; use normal and abnormal films, such as {key}=54,43, or n_{key}= for all"
        )
    return _count(key, normal), _count(key, abnormal)


def _agreed(key: str, *given: int | None) -> int | None:
    different = sorted({value for value in given if value is not None})
    if len(different) > 1:
        raise InputError(
            f"{key} has the values {' and '.join(map(str, different))}; correct one (n, n_test, test=, "
            f"n_pos + n_neg and tp + tn + fp + fn all count the test films)"
        )
    return different[0] if different else None
