"""The part that all public archives share: where an archive lies, what is missing of it, and what is said of it."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pandas as pd

from mammo.datasets.findings import findings_table
from mammo.datasets.on_disk import OnDisk
from mammo.errors import InputError
from mammo.formats.header import Header, read_headers
from mammo.paths import home
from mammo.tables.spreadsheet import read_spreadsheet
from mammo.wording import number_of

DEPTH = 5  # folders below the root in which a table is looked for
FEW = 3  # names in a note


class Archive(OnDisk):
    """A public archive that its user has on disk. Nothing is downloaded: most need an agreement.

    A reader inherits from it, gives the attributes, and `rows`.

    Attributes:
        name: One word.
        licence: The terms of use of the films.
        citation: The publication to cite.
        source: Where to get it and on which terms, in a sentence or two.
        table: The name of the file by which the archive is recognised; case does not count.
        published: The published numbers of what `counted` counts, as far as they are known.

    Args:
        root: The folder of the archive, or one above it. None: `<name>` below `MAMMO_HOME`.
        voi: The window of DICOM films, as `read_film` takes it.
    """

    name: str
    licence: str
    citation: str
    source: str
    table: str
    published: ClassVar[dict[str, int]]

    def __init__(self, *, root: str | None = None, voi: str = "first") -> None:
        super().__init__(voi)
        self.root = Path(root).expanduser() if root else home() / self.name
        self.notes: list[str] = []

    def prepare(self) -> None:
        """Find the archive on disk.

        Raises:
            FileNotFoundError: It is not there; the message says where it was looked for, and where to get it.
        """
        self.find(self.table)

    def rows(self) -> pd.DataFrame | list[dict[str, object]]:
        """Return the rows of the findings table, with the path of each film as it should be, there or not."""
        raise NotImplementedError

    def _findings(self) -> pd.DataFrame:
        self.notes.clear()
        self.prepare()
        table = findings_table(self.rows())
        table["dataset"] = self.name
        images, found = table.drop_duplicates("image_id"), self.counted(table)
        if odd := [one for one in self.published if found[one] != self.published[one]]:
            said = ", ".join(f"{found[one]:,} {one} instead of {self.published[one]:,}" for one in odd)
            self.notes.append(f"the tables list {said}: a part of the archive, or another edition")
        there = images["path"].map(os.path.isfile)
        if not there.any():
            raise FileNotFoundError(
                f"{self.name}: none of the {number_of(len(images), 'film')} of the table is on disk, the first is "
                f"{images['path'].iloc[0]}; name the folder of the archive by data.root"
            )
        if not there.all():
            lost = images.loc[~there, "image_id"]
            first = ", ".join(lost[:FEW])
            self.notes.append(f"**{len(lost)} of {len(images)} images are not on disk and are left out: {first}, ...**")
        return table[table["image_id"].isin(images.loc[there, "image_id"])].reset_index(drop=True)

    def counted(self, table: pd.DataFrame) -> dict[str, int]:
        """Return the numbers that are compared with the published ones, from the findings table of all films."""
        return {"images": table["image_id"].nunique(), "patients": table["patient"].nunique()}

    def find(self, *names: str) -> Path:
        """Return the file or folder of one of these names; case does not count, and the nearest to the root wins.

        Raises:
            FileNotFoundError: It is not there.
        """
        wanted = {name.casefold() for name in names}
        for folder in self._folders():
            for entry in sorted(folder.iterdir()):
                if entry.name.casefold() in wanted:
                    return entry
        raise FileNotFoundError(
            f"{self.name}: no {names[0]} in {self.root}, nor in the folders below it; name the folder of the archive, "
            f"data.root=<folder>. {self.source} Nothing is downloaded."
        )

    def _folders(self) -> Iterator[Path]:
        """Yield the root and the folders below it, level by level, down to `DEPTH`."""
        level = [self.root] if self.root.is_dir() else []
        for _ in range(DEPTH):
            yield from level
            inner = [Path(one) for folder in level for one in os.scandir(folder) if one.is_dir()]
            level = sorted(one for one in inner if not one.name.startswith("."))

    def headers(self, paths: pd.Series) -> pd.Series:
        """Return the header of each film, read in parallel and remembered; None for a file that is not there."""
        there = list(filter(os.path.isfile, paths.dropna().unique()))
        found: dict[str, Header] = dict(zip(there, read_headers(there), strict=True))
        return pd.Series([found.get(path) for path in paths], paths.index, dtype=object)

    def compare(self, table: pd.DataFrame, column: str, other: pd.Series, where: str) -> None:
        """Note the images of which another place, say the header, tells another word; the table counts.

        Args:
            table: One row per image, with `image_id` and the column.
            column: A column of the findings table.
            other: The word of the other place for each row, missing where it tells nothing.
            where: The other place, in words.
        """
        odd = table.loc[(table[column].notna() & other.notna() & (table[column] != other)).fillna(False), "image_id"]
        if len(odd):
            self.notes.append(
                f"the {column} of {number_of(len(odd), 'image')} differs from that of {where}, "
                f"{odd.iloc[0]} for example; the table counts"
            )

    def sheet(self, name: str, needed: Iterable[str]) -> pd.DataFrame:
        """Return the rows of a table of the archive as text, with the columns in the spelling of `needed`.

        Blanks around names and words, and line breaks, underscores and case of names do not count. The index is the
        number of the row in a spreadsheet.

        Raises:
            FileNotFoundError: The table is not there.
            InputError: It lacks a column, or is no table.
        """
        path = self.find(name)
        rows = read_spreadsheet(path, f"a table of {self.name}").rows
        ours = {_bare(one): one for one in needed}
        rows = rows.rename(columns={one: ours[_bare(one)] for one in rows if _bare(one) in ours})
        if lacking := [one for one in needed if one not in rows]:
            raise InputError(f"{path}: no column {', '.join(lacking)}; found {', '.join(rows)}; use the original table")
        return rows


def _bare(name: str) -> str:
    return " ".join(str(name).replace("_", " ").split()).casefold()


def words(table: pd.DataFrame, column: str, meaning: Mapping[str, str | None], where: str) -> pd.Series:
    """Return our word for each word of a column; blanks and case do not count, an empty cell stays missing.

    Args:
        table: The rows of an archive's table, as text.
        column: One of its columns.
        meaning: Our word for each of theirs, in lower case; None if it has none.
        where: The name of the table, for the error.

    Raises:
        InputError: A word has no entry; the error names the row.
    """
    given = table[column].astype("string").str.strip().str.casefold().replace("", pd.NA)
    unknown = given.notna() & ~given.isin(meaning)
    if unknown.any():
        row = unknown.idxmax()
        raise InputError(
            f"{where}, row {row}: {column} is {table.at[row, column]}; expected one of {', '.join(meaning)}"
        )
    return given.map(meaning).astype("string")
