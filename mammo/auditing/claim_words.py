"""The words of a published claim: its numbers, the films that they are of, and the number of folds.

A number with a decimal point or comma that is at most 1 is a fraction (0.9777, 0,9777, 1.0). Any other number is per
cent (97.77, 98, 1), and so is one that ends in %. A number stands for all values that round or truncate to its digits.
Counts (69/72) are a number too, or stand after one, and give the films that they are of.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mammo.errors import InputError

METRICS = ("accuracy", "sensitivity", "specificity", "precision", "npv", "f1")
AUC = "auc"
COUNTS = ("n", "n_pos", "n_neg", "n_train", "n_test", "films_per_patient", "folds")
PARTS = ("train", "test")
SYNONYMS = {
    "acc": "accuracy", "recall": "sensitivity", "tpr": "sensitivity", "sens": "sensitivity", "sn": "sensitivity",
    "tnr": "specificity", "spec": "specificity", "spe": "specificity", "sp": "specificity", "ppv": "precision",
    "prec": "precision", "f1_score": "f1", "f1score": "f1", "f_score": "f1", "fscore": "f1", "f": "f1", "dice": "f1",
    "f_measure": "f1", "auroc": AUC, "roc_auc": AUC, "k": "folds", "cv": "folds",
}  # fmt: skip
# The lowest and highest value, in halves of the last digit from the number; then 1 if the highest itself is excluded.
# Ties may have been rounded up, down or to even, so rounding includes both ends.
RULES = {"rounded": (-1, 1, 0), "truncated": (0, 2, 1), "either": (-1, 2, 1)}
MOST_DECIMALS = 8  # keeps products within 64 bits
MOST_FILMS = 1_000_000
MOST_FILMS_UNKNOWN = 3_000  # if the number of positives is unknown: time and memory grow with the square
OF_COUNTS = {"accuracy": "n", "sensitivity": "n_pos", "specificity": "n_neg"}  # what the second of two counts counts
MEANS = ("macro", "micro", "weighted", "mean", "average", "avg", "averaged")
_INTERVAL = re.compile(
    r"(?P<value>.+?)\s*[(\[]\s*(?:9[059]\s*%?\s*(?:-?\s*[ck]i\b)|[ck]i\b)?\s*[:=,;]?\s*(?P<low>[0-9]*[.,]?[0-9]+)\s*%?"
    r"\s*(?P<between>[-\u2010-\u2015\u2212;]|to|bis|,\s*)\s*(?P<high>[0-9]*[.,]?[0-9]+)\s*%?\s*[)\]]\s*(?P<cent>%?)",
    re.IGNORECASE,
)
_SPREAD = re.compile(r"(.+?)\s*(?:\u00b1|\+/?-|\(\s*(?:\u00b1|\+/?-)?)\s*([0-9.,]+)\s*%?\s*\)?\s*(%?)")


@dataclass(frozen=True)
class Number:
    """A published fraction, `digits` / `scale`: 97.77 % is 9777 / 10,000."""

    digits: int
    scale: int
    text: str  # as printed in the report: 98 becomes 98 %

    def numerators(self, denominator: int, rule: str) -> tuple[int, int]:
        """Return the lowest and highest count that is this fraction of `denominator`; if low > high there is none."""
        if denominator == 0:
            return 0, 0 if self.digits == 0 else -1
        low, high, left_out = self._halves(rule)
        return -(-low * denominator // (2 * self.scale)), (high * denominator - left_out) // (2 * self.scale)

    def span(self, rule: str = "either") -> tuple[float, float]:
        """Return the lowest and highest fraction that this number stands for."""
        low, high, _ = self._halves(rule)
        return low / (2 * self.scale), min(high / (2 * self.scale), 1.0)

    def complements(self, others: np.ndarray, most: int, rule: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and highest count, up to `most`, that is this fraction of itself plus `others` (R,)."""
        low, high, left_out = self._halves(rule)
        whole = 2 * self.scale
        if low < whole:
            least = -(-low * others // (whole - low))
        else:  # all of them
            least = np.where((others == 0) & (low == whole), 0, most + 1)
        top = (high * others - left_out) // (whole - high) if high < whole else np.full_like(others, most)
        if high == whole and left_out:
            top = np.where(others == 0, -1, top)
        one = low <= whole and (whole < high or (whole == high and not left_out))  # the fraction of some and no others
        least = np.where(others == 0, 0 if self.digits == 0 else 1 if one else most + 1, least)
        top = np.where(others == 0, most if one else 0 if self.digits == 0 else -1, top)
        return least, np.minimum(top, most)

    def denominators(self, numerators: np.ndarray, rule: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and highest total of which each of the `numerators` (R,) is this fraction."""
        low, high, left_out = self._halves(rule)
        scaled = numerators * (2 * self.scale)
        least = np.maximum(-(-(scaled + left_out) // high), 0 if self.digits == 0 else 1)
        if self.digits == 0:
            least = np.where(numerators == 0, 0, least)
        return least, scaled // low if low else np.full_like(scaled, 2 * MOST_FILMS)

    def _halves(self, rule: str) -> tuple[int, int, int]:
        low, high, left_out = RULES[rule]
        return max(2 * self.digits + low, 0), 2 * self.digits + high, left_out


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
    intervals: tuple[str, ...] = ()  # the metrics with an interval after them, which is not tested


def read_claim(words: list[str]) -> Claim:
    """Read a claim from words `key=value`.

    A key is one of METRICS, `auc`, COUNTS or PARTS (value: normal,abnormal films), or one of SYNONYMS.

    Raises:
        InputError: A word or the whole cannot be understood.
    """
    values: dict[str, str] = {}
    for word in map(_plain, words):
        name, equals, value = word.partition("=")
        key = known_key(name)
        if not equals or key is None or key in values:
            wrong = "is given twice" if key in values else "is not key=value" if not equals else "has an unknown key"
            raise InputError(
                f"'{word}' {wrong}; {_hint(name)}write, for example, n=225 accuracy=97.77, with each of "
                f"{', '.join((*METRICS, AUC, *COUNTS, *PARTS))} at most once"
            )
        values[key] = value.strip()
    counts = {key: _count(key, values[key]) for key in COUNTS if key in values}
    told, intervals = _besides(values)
    parts = {part: _pair(part, values[part]) for part in PARTS if part in values}
    normal, abnormal = parts.get("test", (None, None))
    n_neg = _agreed("n_neg", counts.get("n_neg"), normal, told.get("n_neg"))
    n_pos = _agreed("n_pos", counts.get("n_pos"), abnormal, told.get("n_pos"))
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
    spreads, numbers = dict[str, float](), dict[str, Number]()
    for key in (*METRICS, AUC):
        if key in values:
            numbers[key], spread = _with_spread(key, values[key])
            spreads |= {} if spread is None else {key: spread}
    auc = numbers.pop(AUC, None)
    if not numbers and auc is None:
        raise InputError(f"no metric is given; expected one of {', '.join((*METRICS, AUC))}, such as accuracy=97.77")
    if (folds := counts.get("folds")) is not None and not 2 <= folds <= n:
        raise InputError(f"folds={folds}: expected 2 folds or more, and no more than the {n} films")
    if n_pos is None and n > MOST_FILMS_UNKNOWN and set(numbers) != {"accuracy"}:
        raise InputError(
            f"n={n} is above {MOST_FILMS_UNKNOWN}, and the number of positive films is unknown; give n_pos="
        )
    train = parts.get("train")
    n_train = _agreed("n_train", counts.get("n_train"), sum(train) if train else None)
    if (films := counts.get("films_per_patient", 2)) < 1:
        raise InputError("films_per_patient is 0; use 1 or more")
    return Claim(n, n_pos, numbers, n_train, train, films, auc, folds, spreads, intervals)


def _plain(word: str) -> str:
    """Return a word in plain signs: full-width ones are narrow, a raised or Arabic decimal point is a point."""
    return unicodedata.normalize("NFKC", word).translate(dict.fromkeys(map(ord, "\u00b7\u2219\u22c5\u066b"), "."))


def _hint(name: str) -> str:
    """Return what to write for the name of a mean over classes, such as `macro_f1`; empty for other names."""
    parts = re.split(r"[^a-z0-9]+", name.casefold())
    bare = known_key("_".join(one for one in parts if one not in MEANS))
    return f"write {bare}=, whose means over classes are tried too; " if bare and set(parts) & set(MEANS) else ""


def _count(key: str, text: str) -> int:
    if key == "folds":
        text = re.sub(r"\s*-?\s*folds?\b.*", "", text, flags=re.IGNORECASE)
    if not re.fullmatch(r"[0-9]{1,9}(\.0+)?", text):  # 225.0 is a count that was a column with gaps
        what, such = ("number of folds", "5") if key == "folds" else ("count of films", "225")
        raise InputError(f"{key}={text} is not a {what}; use a whole number, such as {key}={such}")
    return int(text.partition(".")[0])


def _besides(values: dict[str, str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Take counts and intervals from the numbers; return the films that counts are of, and the metrics with intervals.

    Raises:
        InputError: A number is not what its counts give, is not in its interval, or two counts differ.
    """
    told, intervals = dict[str, int](), list[str]()
    for key in (key for key in (*METRICS, AUC) if key in values):
        text = values[key]
        if found := re.fullmatch(r"(.*?)\s*[(\[]?\s*([0-9]{1,9})\s*(?:/|of)\s*([0-9]{1,9})\s*[)\]]?\s*(%?)", text):
            right, total = int(found[2]), int(found[3])
            if not total or right > total or key == AUC:
                raise InputError(f"{key}={text}: {right} of {total} is no share of films; write, for example, 69/72")
            exact = f"{right / total:.8f}"
            values[key] = (found[1] + found[4]) or exact
            if found[1] and not _holds(read_number(key, values[key]), right / total):
                raise InputError(
                    f"{key}={text}: {right} of {total} is {100 * right / total:.4f} %, which neither rounds nor "
                    "truncates to it; correct one"
                )
            if of := OF_COUNTS.get(key):
                told[of] = _agreed(of, told.get(of), total) or 0
        elif ends := _interval(key, text):
            values[key], low, high = ends
            if not low.span()[0] <= read_number(key, values[key]).span()[1] <= high.span()[1] + 1e-9:
                raise InputError(f"{key}={text}: the number does not lie in its interval; correct one")
            intervals.append(key)
    return told, tuple(intervals)


def _holds(number: Number, value: float) -> bool:
    low, high = number.span()
    return low - 1e-9 <= value <= high + 1e-9


def _interval(key: str, text: str) -> tuple[str, Number, Number] | None:
    """Return a number and the ends of the interval in brackets after it, such as `97.77 (95 % CI 94.9-99.0)`."""
    found = _INTERVAL.fullmatch(text)
    if found is None or (found["between"] == "," and not all("." in found[end] for end in ("low", "high"))):
        return None
    value = found["value"] + found["cent"]
    low, high = (_number(key, found[end] + "%" * ("%" in value)) for end in ("low", "high"))
    return value, low, high


def _pair(key: str, text: str) -> tuple[int, int]:
    normal, comma, abnormal = text.partition(",")
    if not comma:
        raise InputError(f"{key}={text} is not two counts; use normal and abnormal films, such as {key}=54,43")
    return _count(key, normal), _count(key, abnormal)


def _agreed(key: str, *given: int | None) -> int | None:
    different = sorted({value for value in given if value is not None})
    if len(different) > 1:
        raise InputError(
            f"{key} has the values {' and '.join(map(str, different))}; correct one (n, n_test, test= and "
            f"n_pos + n_neg all count the test films)"
        )
    return different[0] if different else None


def known_key(name: str) -> str | None:
    """Return our key for a name of a number, say `sensitivity` for `Recall`; None if it is unknown."""
    bare = re.sub(r"\(.*?\)|\[.*?\]", "", name)  # Accuracy (95 % CI)
    folded = re.sub(r"[^a-z0-9]+", "_", bare.strip().casefold()).strip("_")
    key = SYNONYMS.get(folded, folded)
    return key if key in (*METRICS, AUC, *COUNTS, *PARTS) else None


def read_number(key: str, text: str) -> Number:
    """Return the number of a text, without the spread that may stand after it."""
    return _with_spread(key, text.strip())[0]


def _with_spread(key: str, text: str) -> tuple[Number, float | None]:
    """Return a number, and the standard deviation that stands after it, as a fraction; None if there is none."""
    found = _SPREAD.fullmatch(text)
    if found is None:
        return _number(key, text), None
    number, spread = _number(key, found[1].strip() + found[3]), _number(key, found[2].strip("."))
    scale = number.scale / 10 ** len(re.sub(r"^[^.,]*[.,]?|%$", "", found[1].strip()))  # per cent or a fraction
    return number, float(found[2].strip(".").replace(",", ".")) / scale if spread else None


def _number(key: str, text: str) -> Number:
    if re.fullmatch(r"[0-9]{0,3},[0-9]+\s*%?", text):
        text = text.replace(",", ".")
    text = text.replace(" ", "")
    found = re.fullmatch(r"([0-9]{0,3})\.?([0-9]*)%?", text)
    if not found or not any(found.groups()) or len(found[2]) > MOST_DECIMALS:
        raise InputError(
            f"{key}={text} is neither per cent nor a fraction of at most {MOST_DECIMALS} decimals; "
            f"write {key}=97.77 or {key}=0.9777"
        )
    fraction = "." in text and "%" not in text and float(text) <= 1
    digits, scale = int(found[1] + found[2]), 10 ** (len(found[2]) + (0 if fraction else 2))
    return Number(digits, scale, text if fraction else f"{text.removesuffix('%')} %")
