"""The rows of a user's table, step by step turned into a findings table: words, identities, labels and findings."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from mammo.datasets.column_words import ASKED, SHORT, fold, is_sure, ours_of, side_and_view, translations
from mammo.datasets.findings import IDENTITY, IMAGE_COLUMNS
from mammo.datasets.spreadsheet import named_rows
from mammo.errors import InputError

ABSENT = frozenset(
    ["na", "n/a", "nan", "none", "null", "<na>", "#n/a", "-", ".", "?", "missing", "unknown", "unbekannt"]
)
BLANK = frozenset(["na", "n/a", "nan", "null", "<na>", "#n/a"])  # of the columns that we do not know
FAULT = r"#(REF|VALUE|NAME|DIV/0|NUM|NULL)[!?]"  # what a spreadsheet shows for a formula that failed
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
        self.values: dict[str, dict[str, object]] = {}
        for column, words in values.items():
            ours = ours_of(str(column))
            key = next((one for one, theirs in columns.items() if column in (theirs, one)), None) or ours
            key = key if key in columns else next((one for one in raw if fold(one) == fold(column)), None)
            if key is None or not isinstance(words, Mapping):
                raise InputError(
                    f"data.values.{column}={words}: expected a column of {name} ({', '.join(raw)}) and words of it, "
                    "say data.values.severity.krank=malignant"
                )
            self.values[key] = {fold(word): ours for word, ours in words.items()}

    def refuse(self, wrong: Iterable[bool], why: str) -> None:
        """Raise an error that names the wrong rows, if there are any."""
        mask = pd.Series(list(wrong), dtype="boolean").fillna(False).to_numpy(bool)
        if mask.any():
            raise InputError(f"{self.name}: {named_rows(list(self.raw.index[: len(mask)][mask]))}: {why}")

    def words(self, ours: str) -> pd.Series:
        """Return the words of one of our columns, missing where the table has none."""
        if ours not in self.columns:
            return pd.Series(pd.NA, index=self.raw.index, dtype="string")
        words = self.raw[self.columns[ours]]
        fault = words.str.fullmatch(FAULT).fillna(False)
        self.refuse(fault, f"column {self.columns[ours]} holds an error of a formula; mend it in the spreadsheet")
        return words if ours in IDENTITY else words.mask(words.str.casefold().isin(ABSENT))

    def identity(self, ours: str) -> pd.Series:
        """Return names, such as those of patients: a number that a spreadsheet gave a decimal point has none."""
        words = self.words(ours)
        self.refuse(
            words.str.fullmatch(r"\d[.,]\d+E\+\d+", case=False),
            f"{self.columns.get(ours)} was rounded by a spreadsheet, so that several may look like one; "
            "write it out as text",
        )
        return words.str.replace(r"^(\d+)\.0+$", r"\1", regex=True)

    def known_words(self, ours: str) -> pd.Series:
        """Return one of our columns in our words; unknown words are asked for, or kept where any word is allowed."""
        words, theirs, own = self.words(ours), self.columns.get(ours, ""), self.values.get(ours, {})
        found = [str(one) for one in words.dropna().unique()]
        said: dict[str, object] = dict(translations(ours, [one for one in found if fold(one) not in own]))
        said |= {one: own[fold(one)] or "" for one in found if fold(one) in own}
        unknown = [one for one in found if said[one] is None]
        if unknown and ours in ASKED:
            shown = ", ".join(unknown[:FEW]) + ", ..." * (len(unknown) > FEW)
            first = unknown[0] if re.fullmatch(r"\w+", unknown[0]) else f"'{unknown[0]}'"
            self.refuse(
                words.isin(unknown),
                f"column {theirs} has words that are not known: {shown}; expected {ASKED[ours]}; say what each means, "
                f"data.values.{SHORT.get(ours, ours)}.{first}=<one of these, or null>",
            )
        if unknown:
            self.notes.append(
                f"{ours}: {', '.join(unknown[:FEW])} {'is' if len(unknown) == 1 else 'are'} kept as written"
            )
        changed = {one: str(word) for one, word in said.items() if word is not None and word != one}
        self._say(ours, changed)
        return (
            words.map({one: one if word is None else str(word) for one, word in said.items()})
            .replace("", pd.NA)
            .astype("string")
        )

    def _say(self, ours: str, changed: dict[str, str]) -> None:
        if changed:
            self.translated[ours] = changed
            pairs = [f"{one} is {word or 'missing'}" for one, word in list(changed.items())[: 2 * FEW]]
            self.notes.append(f"{ours}: {', '.join(pairs)}{', ...' * (len(changed) > 2 * FEW)}")

    def sides_and_views(self) -> tuple[pd.Series, pd.Series]:
        """Return laterality and view; a word such as `LMLO` in either column gives both."""
        split: dict[str, pd.Series] = {}
        for ours in ("view", "laterality"):
            words = self.words(ours)
            pairs = words.map(lambda word: side_and_view(word) if isinstance(word, str) else None, na_action="ignore")
            both = pairs.map(lambda pair: isinstance(pair, tuple)).astype(bool)
            if both.any():
                split[ours] = pairs[both]
                column = self.columns[ours]
                shown = dict(zip(words[both], pairs[both], strict=True))
                self._say(ours, {one: " ".join(pair) for one, pair in shown.items()})
                self.raw = self.raw.assign(**{column: self.raw[column].mask(both)})
        side, view = self.known_words("laterality"), self.known_words("view")
        for ours, pairs in split.items():
            of_pairs = [pairs.str[0], pairs.str[1]]
            for place, series in enumerate((side, view)):
                given = of_pairs[place].reindex(series.index)
                what = ("laterality", "view")[place]
                self.refuse(
                    (given != series) & given.notna() & series.notna(),
                    f"column {self.columns[ours]} tells another {what} than column {self.columns.get(what)}",
                )
                series.update(given.dropna().astype("string"))
        return side, view

    def severity(self) -> pd.Series:
        """Return the severity; a column such as `label` is one only if all its words are known."""
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
        return self.known_words("severity")

    def others(self) -> pd.DataFrame:
        """Return the columns that are not ours, and those of labels as they were written."""
        kept = {"severity", "finding", "density"}
        used = {theirs for ours, theirs in self.columns.items() if ours not in kept or theirs == ours}
        table = self.raw[[name for name in self.raw if name not in used]]
        for column, words in self.values.items():
            if column in table and column not in self.columns:
                table = table.assign(**{column: table[column].map(lambda one, of=words: of.get(fold(one), one))})
        return table.mask(table.apply(lambda column: column.str.casefold().isin(BLANK)))


def paths_of(words: pd.Series, folder: Path) -> pd.Series:
    """Return paths on this machine: from `folder` unless absolute, with slashes, the extension in the file's case."""

    def placed(word: str) -> str:
        path = folder / Path(word).expanduser()
        if "\\" in word and not path.exists():
            path = folder / Path(word.replace("\\", "/")).expanduser()
        if not path.exists() and path.suffix:
            for suffix in (path.suffix.lower(), path.suffix.upper()):
                if path.with_suffix(suffix).is_file():
                    return os.path.normpath(path.with_suffix(suffix))
        return os.path.normpath(path)

    return words.map({word: placed(word) for word in words.dropna().unique()}).astype("string")


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


def alike(patients: Iterable[str]) -> list[tuple[str, ...]]:
    """Return groups of patients whose names differ only by case, zeros in front or one letter at the end."""
    groups: dict[str, list[str]] = {}
    for one in patients:
        bare = re.sub(r"(?<!\d)0+(?=\d)", "", one.casefold())
        groups.setdefault(re.sub(r"(?<=\d)[a-z]$", "", bare), []).append(one)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def one_value_per_image(rows: Rows, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with each image's facts in all of its rows; refuse rows of an image that disagree."""
    for column in ("image_id", *IMAGE_COLUMNS):
        first = table.groupby("path")[column].transform("first")
        rows.refuse(
            (table[column] != first) & table[column].notna(),
            f"{SHORT.get(column, column)} differs from that of an earlier row of the same film; give one",
        )
        table = table.assign(**{column: first})
    same = table.groupby("image_id")["path"].transform("nunique") > 1
    rows.refuse(same, "the same image_id names several films; give each its own")
    return table


def carry(rows: Rows, table: pd.DataFrame, label_of: str, columns: Iterable[str]) -> pd.DataFrame:
    """Return the table with the labels of each breast or patient in all rows of it; refuse labels that disagree."""
    if label_of == "image":
        return table
    unit = table["patient"]
    if label_of == "breast":
        unit = (unit + "|" + table["exam"].fillna("") + "|" + table["laterality"]).astype("string")
        if count := table.loc[unit.isna(), "image_id"].nunique():
            rows.notes.append(f"labels are not carried to {count} images, because their laterality is unknown")
    carried = pd.Series(False, index=table.index)
    for column in columns:
        if column not in table:
            raise InputError(f"data.label_columns: {rows.name} has no column {column}")
        first = table.groupby(unit)[column].transform("first")
        wrong = (table[column] != first) & table[column].notna() & first.notna()
        rows.refuse(wrong, f"{column} differs from that of an earlier row of the same {label_of}; data.label_of="
                    f"{label_of} needs one label of each")  # fmt: skip
        carried |= table[column].isna() & first.notna()
        table = table.assign(**{column: table[column].fillna(first)})
    if label_of == "patient":
        source = table["severity_source"].mask(carried & table["severity_source"].isna(), "patient_label")
        table = table.assign(severity_source=source)
    images = table.loc[carried, "image_id"].nunique()
    plural = {"breast": "breasts", "patient": "patients"}[label_of]
    rows.notes.append(f"labels describe {plural}: {images} images carry the label of their {label_of}")
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
    rows.refuse(several & ~has, "another row is of the same film, and this one has no finding; leave one of them out")
    number = has.astype(int).groupby(table["path"]).cumsum()
    return table.assign(finding_id=number.where(has, 0))
