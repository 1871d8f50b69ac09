"""The words in the cells of a table: the form by which two are compared, and the meanings that a user gives to them."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

_QUOTES = "\"'\u2018\u2019\u201c\u201d"
_MARKS = r"[-_./\\,;:'\u2019\u2010\u2011\u2013]+"
# Marks that only join the parts of a word, unless it is a number on both sides: `follow-up`, but not `2-3`.
_JOINED = re.compile(rf"(?<=[^\W\d_]){_MARKS}(?=[^\W_])|(?<=\d){_MARKS}(?=[^\W\d_])")
_AROUND = re.compile(rf"^[\[{_QUOTES}_]+|[\]{_QUOTES}_.,;:]+$")  # and those of lists and sentences around it


def word_key(word: str) -> str:
    """Return a word without case, blanks and marks that change no meaning, by which spellings are compared.

    Marks that may mean a doubt or the opposite stay: `M-`, `M+`, `malignant?`, `(M)` and `M*` differ from `m`.
    """
    plain = unicodedata.normalize("NFKC", word).casefold()
    plain = "".join(one for one in plain if unicodedata.category(one) != "Cf")  # such as a mark of byte order
    plain = re.sub(r"(?<=\d)\s+(?=\d)", "_", " ".join(plain.split())).replace(" ", "")
    bare = _JOINED.sub("", _AROUND.sub("", plain))
    return re.sub(r"^([-+]?\d+)\.0+$", r"\1", bare)


class Meanings(Mapping[str, "str | None"]):
    """The meanings that a user gives to words of a column; a word exactly as written counts before other spellings.

    Args:
        given: The meaning of each word; None if it means nothing. Two spellings of one word that mean different things
            are words of their own, and no other spelling of it is known.
    """

    def __init__(self, given: Mapping[str, str | None] | None = None) -> None:
        self._given = {" ".join(word.split()): meant for word, meant in (given or {}).items()}
        self._by_form: list[dict[str, str | None]] = []
        for form in (str.casefold, word_key):
            meant_by: dict[str, set[str | None]] = {}
            for word, meant in self._given.items():
                meant_by.setdefault(form(word), set()).add(meant)
            self._by_form.append({key: next(iter(of)) for key, of in meant_by.items() if len(of) == 1})

    def __getitem__(self, word: str) -> str | None:
        plain = " ".join(word.split())
        for known, key in zip((self._given, *self._by_form), (plain, plain.casefold(), word_key(plain)), strict=True):
            if key in known:
                return known[key]
        raise KeyError(word)

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def unused(self, words: Iterable[str]) -> list[str]:
        """Return the words that have a meaning and are none of the words of a column, in any spelling."""
        there = set(map(word_key, words))
        return [word for word in self._given if word_key(word) not in there]
