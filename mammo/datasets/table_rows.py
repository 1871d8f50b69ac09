"""The rows of a user's table, step by step turned into a findings table: words, identities, labels and findings."""

import re
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pandas as pd

from mammo.datasets.findings import IDENTITY, IMAGE_COLUMNS
from mammo.datasets.label_words import as_word
from mammo.errors import InputError
from mammo.tables.numbers import ROUNDED, named_rows
from mammo.tables.spellings import ABSENT, ASKED, NOTHING, SHORT, fold, is_sure, ours_of, side_and_view, translations
from mammo.tables.words import Meanings
from mammo.wording import some

FAULT = r"#(REF|VALUE|NAME|DIV/0|NUM|NULL)[!?]"  # what a spreadsheet shows for a formula that failed
NO = frozenset(["0", "0.0", "no", "false", "nein", "non"])  # answers, which are no names of findings
YES = frozenset(["1", "1.0", "yes", "true", "ja", "oui", "si", "sim"])
TRANSLATED = {"finding", "view", *ASKED}  # those of our columns whose words may have a meaning of the user's own
FEW = 5  # words, files and names that a note lists


class Rows:
    """The rows of a table with our names for its columns.

    Args:
        name: The name of the table, for errors.
        raw: Text; the index is the number of each row as a spreadsheet shows it.
        columns: The table's column for each of ours.
        values: Words of the user's own, by column: `{"severity": {"krank": "malignant"}}`; None stands for missing.
        notes: Gets a line for everything that is interpreted.
    """

    def __init__(
        self,
        name: str,
        raw: pd.DataFrame,
        columns: Mapping[str, str],
        values: Mapping[str, Mapping[str, object]],
        notes: list[str],
    ) -> None:
        self.name, self.raw, self.columns, self.notes = name, raw, dict(columns), notes
        self.translated: dict[str, dict[str, str]] = {}
        self.values: dict[str, Meanings] = {}
        for column, words in values.items():
            ours = ours_of(str(column))
            key = next((one for one, theirs in columns.items() if column in (theirs, one)), None) or ours
            if key not in columns:
                key = next((one for one in raw if fold(one) == fold(column)), None)
                key = next((one for one, theirs in columns.items() if theirs == key), key)
            if key is None or not isinstance(words, Mapping):
                raise InputError(
                    f"data.values.{column}={words}: expected a column of {name} ({', '.join(raw)}) and words of it, "
                    "say data.values.severity.krank=malignant"
                )
            of = {as_word(word): self._target(key, one, f"data.values.{column}.{word}") for word, one in words.items()}
            earlier = self.values.get(key, Meanings())
            if odd := [word for word in of if word in earlier and earlier[word] != of[word]]:
                raise InputError(f"data.values.{column}.{odd[0]}: column {key} has another meaning of it; give one")
            self.values[key] = Meanings({**earlier, **of})

    def _target(self, column: str, meant: object, setting: str) -> str | None:
        """Return the word of ours that a setting names; None stands for missing."""
        if meant is None or meant == "":
            return None
        if isinstance(meant, Mapping | list | tuple):
            raise InputError(f"{setting}={meant}: expected one word, or null")
        word = as_word(meant)
        if column in ASKED:
            known = translations(column, [word])[word] or None
            if known is None:
                raise InputError(f"{setting}={word}: expected {ASKED[column]}, or null")
            return known
        return word

    def say_unused(self) -> None:
        """Say which meanings of the user's own do nothing: no cell has the word, or the column is not translated."""
        for column, meanings in self.values.items():
            theirs, setting = self.columns.get(column, column), f"data.values.{SHORT.get(column, column)}"
            if column in self.columns and column not in TRANSLATED:
                self.notes.append(f"**{setting} does nothing: column {theirs} is taken as written**")
            elif words := meanings.unused(self.raw[theirs].dropna().unique()):
                mark = "**" if len(words) == len(meanings) else ""  # some words may be for another table
                self.notes.append(f"{mark}{setting}: no row of column {theirs} has the word {some(words, FEW)}{mark}")

    def refuse(self, wrong: Iterable[bool], why: str) -> None:
        """Raise an error that names the wrong rows, if there are any."""
        given = wrong if isinstance(wrong, pd.Series | np.ndarray) else list(wrong)
        mask = pd.array(given, dtype="boolean").to_numpy(bool, na_value=False)
        if mask.any():
            raise InputError(f"{self.name}: {named_rows(list(self.raw.index[mask]))}: {' '.join(why.split())}")

    def words(self, ours: str) -> pd.Series:
        """Return the words of one of our columns, missing where the table has none."""
        if ours not in self.columns:
            return pd.Series(pd.NA, index=self.raw.index, dtype="string")
        words = self.raw[self.columns[ours]]
        fault = words.str.fullmatch(FAULT).fillna(False)
        self.refuse(fault, f"column {self.columns[ours]} holds an error of a formula; mend it in the spreadsheet")
        if ours in IDENTITY:
            return words
        absent = ABSENT - {"none"} if ours == "finding" else ABSENT  # no finding is a finding's word
        missing = words.str.casefold().isin(absent).fillna(False)
        own = self.values.get(ours, Meanings())  # a meaning that the user gives counts first
        meant = [word for word in words[missing].unique() if own.get(word) is not None]
        return words.mask(missing & ~words.isin(meant) if meant else missing)

    def identity(self, ours: str) -> pd.Series:
        """Return names, such as those of patients: a number that a spreadsheet gave a decimal point has none."""
        words = self.words(ours)
        if ours not in self.columns:
            return words
        self.refuse(
            words.str.fullmatch(ROUNDED, case=False),
            f"{self.columns.get(ours)} was rounded by a spreadsheet, so that several may look like one; "
            "write it out as text",
        )
        return words.str.replace(r"^(\d+)\.0+$", r"\1", regex=True)

    def known_words(self, ours: str, leave_out: Collection[str] = ()) -> pd.Series:
        """Return one of our columns in our words; unknown words are asked for, or kept where any word is allowed."""
        words = self.words(ours)
        if ours not in self.columns:
            return words
        words, own = words.mask(words.isin(leave_out)), self.values.get(ours, Meanings())
        found = [str(one) for one in words.dropna().unique()]
        known: dict[str, str | None] = dict(translations(ours, [one for one in found if one not in own]))
        known |= {one: own[one] or "" for one in found if one in own}
        unknown = [one for one in found if known[one] is None]
        if ours in ASKED and any(set(one) == {"+"} for one in found):  # beside which - is a word, too
            written = self.raw[self.columns[ours]]
            unknown += [one for one in written.dropna().unique() if one in ("-", "--") and one not in own]
            words = written if unknown else words
        if unknown:
            self._refuse_unknown(ours, words, unknown)
            self.notes.append(
                f"{ours}: {', '.join(unknown[:FEW])} {'is' if len(unknown) == 1 else 'are'} kept as written"
            )
        ours_of_each = {one: one if word is None else word for one, word in known.items()}
        self._say(ours, {one: word for one, word in ours_of_each.items() if word != one})
        return words.map(ours_of_each).replace("", pd.NA).astype("string")

    def _refuse_unknown(self, ours: str, words: pd.Series, unknown: list[str]) -> None:
        """Refuse unknown words of a column that takes our words only, and answers such as `yes` as findings."""
        expected = ASKED.get(ours)
        if ours == "finding" and (answers := [one for one in unknown if one.casefold() in NO]):
            unknown, expected = answers, "the name of a finding, or NORM"
        if expected:
            short = SHORT.get(ours, ours)
            first = unknown[0] if re.fullmatch(r"\w+", unknown[0]) else f"'{unknown[0]}'"
            self.refuse(
                words.isin(unknown),
                f"column {self.columns[ours]} has words that are not known: {some(unknown, FEW)}; expected {expected}; "
                f"say what each is, data.values.{short}.{first}=<one of these, or null>, or do not use the column, "
                f"data.columns.{short}=null",
            )

    def _say(self, ours: str, changed: dict[str, str]) -> None:
        if changed:
            self.translated[ours] = self.translated.get(ours, {}) | changed
            pairs = [f"{' '.join(one.split())} is {word or 'missing'}" for one, word in changed.items()]
            self.notes.append(f"{ours}: {some(pairs, 2 * FEW)}")

    def sides_and_views(self) -> tuple[pd.Series, pd.Series]:
        """Return laterality and view; a word such as `LMLO` in either column gives both."""
        both: dict[str, dict[str, tuple[str, str]]] = {}
        given = {ours: self.words(ours) for ours in ("view", "laterality")}
        for ours, words in given.items():
            own = self.values.get(ours, Meanings())
            pairs = {word: side_and_view(word) for word in map(str, words.dropna().unique()) if word not in own}
            both[ours] = {word: pair for word, pair in pairs.items() if pair is not None}
            self._say(ours, {word: " ".join(pair) for word, pair in both[ours].items()})
        told = [self.known_words("laterality", set(both["laterality"])), self.known_words("view", set(both["view"]))]
        for ours, words in given.items():
            if not both[ours]:
                continue
            for place, what in enumerate(("laterality", "view")):
                found = words.map({word: pair[place] for word, pair in both[ours].items()}).astype("string")
                self.refuse(
                    found != told[place],
                    f"column {self.columns.get(ours)} tells another {what} than column {self.columns.get(what)}",
                )
                told[place] = told[place].fillna(found)
        return told[0], told[1]

    def doubt_severity(self) -> None:
        """Do not take a column such as `label` for the severity unless all its words are known."""
        theirs = self.columns.get("severity")
        if theirs and not is_sure("severity", theirs) and "severity" not in self.values:
            found = [str(one) for one in self.words("severity").dropna().unique()]
            if None in translations("severity", found).values():
                self.notes.append(
                    f"column {theirs} ({some(found, FEW)}) is no severity; "
                    f"task=label task.column={theirs} uses it as it is, data.values.severity.<word>=malignant tells "
                    "what a word means"
                )
                del self.columns["severity"]

    def doubt_finding(self) -> None:
        """Do not take a column such as `lesion` for the finding if its words only count or answer, as 1 and 0."""
        theirs = self.columns.get("finding")
        if theirs and not is_sure("finding", theirs) and "finding" not in self.values:
            found = self.words("finding").dropna().str.casefold()
            if len(found) and (found.isin(NO | YES).all() or found.str.fullmatch(r"\d+([.,]0+)?").all()):
                self.notes.append(
                    f"column {theirs} ({', '.join(sorted(found.unique())[:FEW])}) names no finding; task=label "
                    f"task.column={theirs} uses it as it is"
                )
                del self.columns["finding"]

    def doubt_view(self) -> None:
        """Do not take a column such as `Aufnahme` for the view unless all its words are views."""
        theirs = self.columns.get("view")
        if theirs and not is_sure("view", theirs) and "view" not in self.values:
            found = [str(one) for one in self.words("view").dropna().unique()]
            told = translations("view", found)
            if not found or any(told[one] is None and side_and_view(one) is None for one in found):
                del self.columns["view"]

    def others(self) -> pd.DataFrame:
        """Return the columns that are not ours, and those of labels as they were written."""
        kept = {"severity", "finding", "density"}
        used = {theirs for ours, theirs in self.columns.items() if ours not in kept or theirs == ours}
        table = self.raw[[name for name in self.raw if name not in used]]
        for column, words in self.values.items():
            if column in table and column not in self.columns:
                found = table[column].dropna().unique()
                meant = table[column].map({one: words.get(one, one) for one in found}).astype("string")
                table = table.assign(**{column: meant})
                self._say(column, {one: words[one] or "" for one in found if one in words and words[one] != one})
        return table.mask(table.apply(lambda column: column.str.casefold().isin(NOTHING)))


def one_value_per_image(rows: Rows, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with each image's facts in all of its rows; refuse rows of an image that disagree."""
    if table["path"].is_unique:
        rows.refuse(
            table.duplicated("image_id", keep=False), "the same image_id names several films; give each its own"
        )
        return table
    of = table.groupby("path")
    for column in ("image_id", *IMAGE_COLUMNS):
        first = of[column].transform("first")
        rows.refuse(
            (table[column] != first) & table[column].notna(),
            f"{SHORT.get(column, column)} differs from that of an earlier row of the same film; give one",
        )
        table = table.assign(**{column: first})
    same = table.groupby("image_id")["path"].transform("nunique") > 1
    rows.refuse(same, "the same image_id names several films; give each its own")
    return table
