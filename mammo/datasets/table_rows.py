"""The rows of a user's table, step by step turned into a findings table: words, identities, labels and findings."""

import re
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import pandas as pd

from mammo.datasets.findings import IDENTITY, IMAGE_COLUMNS
from mammo.datasets.label_words import as_word, words_of
from mammo.errors import InputError
from mammo.tables.numbers import named_rows
from mammo.tables.spellings import ABSENT, ASKED, NOTHING, SHORT, fold, is_sure, ours_of, side_and_view, translations
from mammo.wording import number_of

FAULT = r"#(REF|VALUE|NAME|DIV/0|NUM|NULL)[!?]"  # what a spreadsheet shows for a formula that failed
RANK = {"normal": 0, "benign": 1, "malignant": 2}
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
        self.values: dict[str, dict[str, str | None]] = {}
        for column, words in values.items():
            ours = ours_of(str(column))
            key = next((one for one, theirs in columns.items() if column in (theirs, one)), None) or ours
            key = key if key in columns else next((one for one in raw if fold(one) == fold(column)), None)
            if key is None or not isinstance(words, Mapping):
                raise InputError(
                    f"data.values.{column}={words}: expected a column of {name} ({', '.join(raw)}) and words of it, "
                    "say data.values.severity.krank=malignant"
                )
            self.values[key] = {
                fold(word): self._target(key, meant, f"data.values.{column}.{word}") for word, meant in words.items()
            }

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
        return words.mask(words.str.casefold().isin(absent))

    def identity(self, ours: str) -> pd.Series:
        """Return names, such as those of patients: a number that a spreadsheet gave a decimal point has none."""
        words = self.words(ours)
        if ours not in self.columns:
            return words
        self.refuse(
            words.str.fullmatch(r"\d[.,]\d+E\+\d+", case=False),
            f"{self.columns.get(ours)} was rounded by a spreadsheet, so that several may look like one; "
            "write it out as text",
        )
        return words.str.replace(r"^(\d+)\.0+$", r"\1", regex=True)

    def known_words(self, ours: str, leave_out: Collection[str] = ()) -> pd.Series:
        """Return one of our columns in our words; unknown words are asked for, or kept where any word is allowed."""
        words = self.words(ours)
        if ours not in self.columns:
            return words
        words, theirs, own = words.mask(words.isin(leave_out)), self.columns.get(ours, ""), self.values.get(ours, {})
        found = [str(one) for one in words.dropna().unique()]
        said: dict[str, str | None] = dict(translations(ours, [one for one in found if fold(one) not in own]))
        said |= {one: own[fold(one)] or "" for one in found if fold(one) in own}
        unknown = [one for one in found if said[one] is None]
        if unknown and ours in ASKED:
            short = SHORT.get(ours, ours)
            shown = ", ".join(unknown[:FEW]) + ", ..." * (len(unknown) > FEW)
            first = unknown[0] if re.fullmatch(r"\w+", unknown[0]) else f"'{unknown[0]}'"
            self.refuse(
                words.isin(unknown),
                f"column {theirs} has words that are not known: {shown}; expected {ASKED[ours]}; say what each "
                f"is, data.values.{short}.{first}=<one of these, or null>, or do not use the column, "
                f"data.columns.{short}=null",
            )
        if unknown:
            self.notes.append(
                f"{ours}: {', '.join(unknown[:FEW])} {'is' if len(unknown) == 1 else 'are'} kept as written"
            )
        changed = {one: word for one, word in said.items() if word is not None and word != one}
        self._say(ours, changed)
        return (
            words.map({one: one if word is None else word for one, word in said.items()})
            .replace("", pd.NA)
            .astype("string")
        )

    def _say(self, ours: str, changed: dict[str, str]) -> None:
        if changed:
            self.translated[ours] = self.translated.get(ours, {}) | changed
            pairs = [
                f"{' '.join(one.split())} is {word or 'missing'}" for one, word in list(changed.items())[: 2 * FEW]
            ]
            self.notes.append(f"{ours}: {', '.join(pairs)}{', ...' * (len(changed) > 2 * FEW)}")

    def sides_and_views(self) -> tuple[pd.Series, pd.Series]:
        """Return laterality and view; a word such as `LMLO` in either column gives both."""
        both: dict[str, dict[str, tuple[str, str]]] = {}
        given = {ours: self.words(ours) for ours in ("view", "laterality")}
        for ours, words in given.items():
            pairs = {word: side_and_view(word) for word in map(str, words.dropna().unique())}
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
                    f"column {theirs} ({', '.join(found[:FEW])}{', ...' * (len(found) > FEW)}) is no severity; "
                    f"task=label task.column={theirs} uses it as it is, data.values.severity.<word>=malignant tells "
                    "what a word means"
                )
                del self.columns["severity"]

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
                table = table.assign(**{column: table[column].map(lambda one, of=words: of.get(fold(one), one))})
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


def carry(
    rows: Rows, table: pd.DataFrame, label_of: str, columns: Collection[str], task_column: str | None = None
) -> pd.DataFrame:
    """Return the table with the labels of each breast or patient in all rows of it.

    The worst severity of a unit counts for its rows without one. Other columns are carried where the unit has one word.

    Args:
        rows: The rows, for errors and notes.
        table: The table.
        label_of: The unit, `image`, `breast` or `patient`.
        columns: The columns that are carried beside severity; each unit must have one word in them.
        task_column: The column of the task; it is not carried in units that have several words.

    Raises:
        InputError: A column is not there, or the rows of a unit disagree.
    """
    if label_of == "image":
        return table
    unit = table["patient"]
    if label_of == "breast":
        unit = (unit + "|" + table["exam"].fillna("") + "|" + table["laterality"]).astype("string")
        if count := table.loc[unit.isna(), "image_id"].nunique():
            rows.notes.append(
                f"labels are not carried to {number_of(count, 'image')}, because their laterality is unknown"
            )
    rank = table["severity"].map(RANK).astype("Int64")
    worst = rank.groupby(unit).transform("max")
    wrong = ((rank == 0) & (worst > 0)).fillna(False)
    rows.refuse(wrong, f"severity is normal, and another row of the same {label_of} has a finding; "
                f"data.label_of={label_of} needs one of them")  # fmt: skip
    carried = rank.isna() & worst.notna()
    table = table.assign(severity=table["severity"].fillna(worst.map({rank: word for word, rank in RANK.items()})))
    for column in dict.fromkeys([*columns, *([task_column] if task_column in table else [])]):
        if column == "severity":
            continue
        if column not in table:
            raise InputError(f"data.label_columns: {rows.name} has no column {column}")
        words = words_of(table[column])
        spelt = words.str.casefold().groupby(unit)
        several = (spelt.transform("nunique") > 1).fillna(False)
        if column in columns:
            rows.refuse(several & (words.str.casefold() != spelt.transform("first")),
                        f"{column} differs from that of an earlier row of the same {label_of}; data.label_of="
                        f"{label_of} needs one word of each")  # fmt: skip
        lacking = words.isna() & unit.notna()
        if count := table.loc[lacking & several, "image_id"].nunique():
            rows.notes.append(
                f"{column} is not carried to {number_of(count, 'image')}, as rows of their {label_of} differ"
            )
        lacking &= ~several & spelt.transform("first").notna()
        first = words.groupby(unit).transform("first")
        table = table.assign(**{str(column): table[column].mask(lacking, first)})
        carried |= lacking
    if label_of == "patient":
        source = table["severity_source"].mask(carried & table["severity_source"].isna(), "patient_label")
        table = table.assign(severity_source=source)
    images = table.loc[carried, "image_id"].nunique()
    plural = {"breast": "breasts", "patient": "patients"}[label_of]
    rows.notes.append(
        f"labels describe {plural}: {number_of(images, 'image carries', 'images carry')} the label of their {label_of}"
    )
    return table


def number_findings(rows: Rows, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with `finding_id`: 1, 2, ... within an image, 0 for an image without a finding."""
    placed = table[["x_px", "x0_px", "mask_path"]].notna().any(axis=1)
    rows.refuse(
        placed & (table["severity"] == "normal"), "it is normal and has a place of a finding; expected one of them"
    )
    named = table["finding"].notna() & (table["finding"] != "NORM")
    has = placed | named | table["severity"].isin(["benign", "malignant"])
    several = table.duplicated("path", keep=False)
    well = ((table["severity"] == "normal") | (table["finding"] == "NORM")).fillna(False)
    wrong = several & ~has & well
    rows.refuse(wrong, "another row is of the same film, and this one has no finding; leave one of them out")
    has |= several  # rows that differ in some other column, say in the words of a label
    number = has.astype(int).groupby(table["path"]).cumsum()
    return table.assign(finding_id=number.where(has, 0))
