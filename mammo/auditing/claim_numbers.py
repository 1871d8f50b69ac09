"""The numbers of a published claim, and the ways in which they are written.

A number with a decimal point or comma that is at most 1 is a fraction (0.9777, 0,9777, 1.0). Any other number is per
cent (97.77, 98, 1), and so is one that ends in %; but 1 is a fraction if all others of a claim are. A number stands for
all values that round or truncate to its digits. Counts (69/72) are a number too, or stand beside one, and give the
films that they are of.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from mammo.errors import InputError

AUC = "auc"
# The lowest and highest value, in halves of the last digit from the number; then 1 if the highest itself is excluded.
# Ties may have been rounded up, down or to even, so rounding includes both ends.
RULES = {"rounded": (-1, 1, 0), "truncated": (0, 2, 1), "either": (-1, 2, 1)}
MOST_DECIMALS = 8  # keeps products within 64 bits
MOST_FILMS = 1_000_000
LONGEST = 120  # signs of a number with all that stands beside it
_P = r"\bp\s*(?:-?\s*value)?\s*[<>=\u2264]\s*0?[.,][0-9]+"
_MARKS = re.compile(  # of footnotes, references and p-values
    rf"[*\u2217\u2020\u2021\u00a7\u00b6\u2016]|\s*\[[0-9]{{1,3}}\]$|(?<=[(\[])\s*{_P}\s*[,;]|"
    rf"\s*[,;]?\s*([(\[])?{_P}(?(1)\s*[)\]])",
    re.IGNORECASE,
)
_CENT = re.compile(r"\s*(?:per\s?cent|pct\b\.?)", re.IGNORECASE)
_FRACTION = re.compile(r"(?:0?[.,](?=[0-9])|1[.,](?=0+(?![0-9])))([0-9]+)(?![0-9])[^%]*")
_RIGHT = r"(?P<right>[0-9]{1,9})\s*(?:/|of)\s*(?P<total>[0-9]{1,9})"
_COUNTS = (
    re.compile(rf"(?P<value>.*?)\s*[(\[]?\s*{_RIGHT}\s*[)\]]?\s*(?P<cent>%?)"),
    re.compile(rf"{_RIGHT}\s*[(\[=:;,]\s*(?P<value>[0-9].*?)\s*[)\]]?\s*(?P<cent>%?)"),
)
_CI = r"(?:9[059]\s*%?\s*-?\s*)?(?:[ck]i\b|(?:confidence|credible)\s+intervals?\b)\s*[:=,;]?\s*"
_INTERVAL = re.compile(
    rf"(?P<value>.+?)\s*(?:[;,:]?\s*[(\[]?\s*{_CI}|[(\[]\s*)[(\[]?\s*(?P<low>[0-9]*[.,]?[0-9]+)\s*%?"
    r"\s*(?P<between>[-\u2010-\u2015\u2212;]|to|bis|,\s*)\s*(?P<high>[0-9]*[.,]?[0-9]+)\s*%?\s*[)\]]*\s*(?P<cent>%?)",
    re.IGNORECASE,
)
_SPREAD = re.compile(
    r"(.+?)\s*(?:\u00b1|\+/?-|[;,]?\s*\(?\s*S(?:D|EM?)\b\s*[:=]?|\(\s*(?:\u00b1|\+/?-)?)\s*([0-9.,]+)\s*%?"
    r"\s*(?:\(\s*S(?:D|EM?)\s*)?\)?\s*(%?)",
    re.IGNORECASE,
)


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

    def ends(self) -> tuple[Fraction, Fraction, bool]:
        """Return the lowest and highest fraction that this number stands for, and True if the highest is excluded.

        A truncated number does not reach its upper end, which truncates to the next digits.
        """
        low, high, left_out = self._halves("either")
        whole = 2 * self.scale
        return Fraction(low, whole), min(Fraction(high, whole), Fraction(1)), bool(left_out) and high <= whole

    def span(self) -> tuple[float, float]:
        """Return the lowest and highest fraction that this number stands for; the highest may be excluded, see `ends`.

        It is for tests that may be lenient.
        """
        low, high, _ = self.ends()
        return float(low), float(high)

    def stands_for(self, fraction: Fraction) -> bool:
        """True if a fraction rounds or truncates to this number."""
        low, high, left_out = self.ends()
        return low <= fraction <= high and not (left_out and fraction == high)

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
class Value:
    """A number and what stands beside it.

    Attributes:
        number: The number.
        spread: The standard deviation or error beside it, a fraction; None if there is none.
        untested: "interval" or "standard error" if one stands beside it, which is not tested.
        counts: The count beside it and the films that it is of; None if there are none.
    """

    number: Number
    spread: float | None = None
    untested: str = ""
    counts: tuple[int, int] | None = None


def plain(word: str) -> str:
    """Return a word in plain signs: full-width ones are narrow, a raised or Arabic decimal point is a point.

    Superscripts mark footnotes and are left out; they would become digits of the number.
    """
    word = "".join(sign for sign in word if not unicodedata.decomposition(sign).startswith("<super>"))
    return unicodedata.normalize("NFKC", word).translate(dict.fromkeys(map(ord, "\u00b7\u2219\u22c5\u066b"), "."))


def read_value(key: str, text: str) -> Value:
    """Read a number with what stands beside it, such as `95.83 (69/72)`, `97.77±0.3` or `97.77 (95 % CI 94.9-99.0)`.

    Raises:
        InputError: It cannot be understood, or is not what its counts give, or is not in its interval.
    """
    written = " ".join(text.split())
    text = " ".join(_MARKS.sub("", _CENT.sub("%", written)).split())
    if len(text) > LONGEST:
        raise InputError(f"{key}={text[:20]}... is {len(text)} signs long and no number; write {key}=97.77")
    return _value(key, text, f"{key}={written[:LONGEST]}")


def _value(key: str, text: str, said: str) -> Value:
    """Read a number without marks; `said` is what the user wrote, for errors."""
    if found := next(filter(None, (pattern.fullmatch(text) for pattern in _COUNTS)), None):
        right, total = int(found["right"]), int(found["total"])
        if not total or right > total or key == AUC:
            raise InputError(f"{said}: {right} of {total} is no share of films; write, for example, 69/72")
        value = _value(key, (found["value"] + found["cent"]) or f"{right / total:.8f}", said)
        if not value.number.stands_for(Fraction(right, total)):
            raise InputError(
                f"{said}: {right} of {total} is {100 * right / total:.4f} %, which neither rounds nor "
                "truncates to it; correct one"
            )
        return replace(value, counts=(right, total))
    if ends := _interval(key, text, said):
        number, *pairs = ends
        if not any(low.span()[0] <= number.span()[1] <= high.span()[1] + 1e-9 for low, high in pairs):
            raise InputError(f"{said}: the number does not lie in its interval; correct one")
        return Value(number, untested="interval")
    if found := _SPREAD.fullmatch(text):
        number, spread = _number(key, found[1].strip() + found[3], said), _number(key, found[2].strip("."), said)
        if key == AUC and re.search(r"\bSEM?\b", text, re.IGNORECASE):  # of one curve, not of a mean over folds
            return Value(number, untested="standard error")
        scale = number.scale / 10 ** len(re.sub(r"^[^.,]*[.,]?|%$", "", found[1].strip()))  # per cent or a fraction
        return Value(number, float(found[2].strip(".").replace(",", ".")) / scale if spread else None)
    return Value(_number(key, text, said))


def _interval(key: str, text: str, said: str) -> tuple[Number, tuple[Number, Number], tuple[Number, Number]] | None:
    """Return a number and the ends of the interval after it, such as `97.77 (95 % CI 94.9-99.0)`.

    The ends are given twice: in the unit of the number, and as they are written, for `97.77 % (0.949-0.990)`.
    """
    found = _INTERVAL.fullmatch(text)
    if found is None or (found["between"] == "," and not all("." in found[end] for end in ("low", "high"))):
        return None
    value = found["value"] + found["cent"]
    low, high = found["low"], found["high"]
    cent = "%" * ("%" in value)
    return (
        _number(key, value, said),
        (_number(key, low + cent, said), _number(key, high + cent, said)),
        (_number(key, low, said), _number(key, high, said)),
    )


def one_scale(numbers: list[str]) -> list[str]:
    """Return numbers with 0 and 1 as fractions if all others are: a spreadsheet keeps 100 % as 1.

    They have as many decimals as that of the others which has the fewest.
    """
    found = [_FRACTION.fullmatch(number) for number in numbers if number not in ("0", "1")]
    places = min((len(one[1]) if one else 0 for one in found), default=0)
    return [f"{number}.{'0' * places}" if places and number in ("0", "1") else number for number in numbers]


def _number(key: str, text: str, said: str) -> Number:
    if re.fullmatch(r"[0-9]{0,3},[0-9]+\s*%?", text):
        text = text.replace(",", ".")
    text = text.replace(" ", "")
    found = re.fullmatch(r"([0-9]{0,3})\.?([0-9]*)%?", text)
    if not found or not any(found.groups()) or len(found[2]) > MOST_DECIMALS:
        raise InputError(
            f"{said} is neither per cent nor a fraction of at most {MOST_DECIMALS} decimals; "
            f"write {key}=97.77 or {key}=0.9777, alone or with its spread, interval or counts"
        )
    fraction = "." in text and "%" not in text and float(text) <= 1
    digits, scale = int(found[1] + found[2]), 10 ** (len(found[2]) + (0 if fraction else 2))
    return Number(digits, scale, text if fraction else f"{text.removesuffix('%')} %")
