"""A laboratory's own films: one row of a table per image or finding, with a path, a patient and whatever is known."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from mammo.datasets import table_identities, table_labels
from mammo.datasets import table_places as places
from mammo.datasets import table_rows as steps
from mammo.datasets.findings import COLUMNS, findings_table
from mammo.datasets.on_disk import OnDisk
from mammo.datasets.understood import Understood
from mammo.errors import InputError
from mammo.formats.header import Header, read_headers
from mammo.tables import patients
from mammo.tables.paths import paths_of, pattern_of
from mammo.tables.spellings import has_size, ours_of, recognise
from mammo.tables.spreadsheet import read_spreadsheet
from mammo.tables.visits import like_dates
from mammo.wording import number_of

LABELS_OF = ("image", "breast", "patient")


class Table(OnDisk):
    """The films that a table lists: CSV, XLSX or Parquet, one row per image or finding.

    Args:
        table: The path of the table.
        columns: The table's column for each of ours, where its name does not tell: `{"patient": "PatientID"}`; None
            if a column that is recognised is not to be used.
        values: The meaning of words, by column: `{"severity": {"krank": "malignant", "offen": None}}`.
        patient_from: A regular expression whose group `patient`, or first group, finds the patient in the path.
        voi: The window of DICOM films, as `read_film` takes it.
        root: The folder from which paths count; None: that of the table.
        label_of: The thing that a label describes, `image`, `breast` or `patient`. Labels of a breast or patient that
            stand in some of its rows are carried to its other images.
        label_columns: Columns that are carried beside `severity`.
        origin: `top` if y counts from the top row of the film, `bottom` if from its bottom row.

    Raises:
        InputError: The table cannot be read, or its columns are not told from each other.
    """

    licence = "unstated"
    citation = ""
    strangers = False  # True of an audit, which takes words such as `unknown` for unknown patients, and says so

    def __init__(
        self,
        table: str,
        columns: Mapping[str, str | None] | None = None,
        patient_from: str | None = None,
        voi: str = "first",
        root: str | None = None,
        label_of: str = "image",
        values: Mapping[str, Mapping[str, object]] | None = None,
        label_columns: Sequence[str] | None = None,
        origin: str = "top",
    ) -> None:
        if table is None:
            raise InputError("data.table is missing; name the table of your films, data.table=films.csv")
        self.table, self.columns, self.values, self.patient_from = table, columns, values, patient_from
        super().__init__(voi)
        self.root, self.label_of, self.label_columns = root, label_of, label_columns
        self.origin = origin
        examples = ("columns", columns, "patient=PatientID"), ("values", values, "severity.krank=malignant")
        for key, given, example in examples:
            if given is not None and not isinstance(given, Mapping):
                raise InputError(f"data.{key}={given}: expected a mapping, say data.{key}.{example}")
        if isinstance(label_columns, str) or not all(isinstance(one, str) for one in label_columns or []):
            raise InputError(f"data.label_columns={label_columns}: expected a list, say [Befund]")
        path = Path(table).expanduser()
        self.name = re.sub(r"\W+", "_", path.stem)
        if label_of not in LABELS_OF or origin not in ("top", "bottom"):
            raise InputError(
                f"data.label_of={label_of}, data.origin={origin}: expected {', '.join(LABELS_OF)}; top, bottom"
            )
        self.folder = path.parent if root is None else Path(root).expanduser()
        if not self.folder.is_dir():
            raise InputError(f"data.root={root}: no such folder; name the folder from which the paths of {table} count")
        sheet = read_spreadsheet(path, "a table of films")
        if sheet.rows.empty:
            raise InputError(f"{table} has a header, but no rows; expected one for each film")
        self._raw, self._sheets = sheet.rows, sheet.others
        self.understood = Understood(recognise(str(table), list(self._raw), columns or {}), notes=list(sheet.notes))
        rows = self._rows(self._raw)
        named = {ours_of(str(one)) for one in columns or {}}
        doubts = {"severity": rows.doubt_severity, "finding": rows.doubt_finding, "view": rows.doubt_view}
        for ours, doubt in doubts.items():
            if ours not in named:
                doubt()
        self.understood.columns = rows.columns
        self._check_columns()
        self._opened = len(self.notes)  # those that do not depend on the films
        self._task_column: str | None = None

    @property
    def notes(self) -> list[str]:
        """The lines that say what was understood; all are there once `findings` was called."""
        return self.understood.notes

    def _check_columns(self) -> None:
        """Ask for the columns that nothing stands for, and say which was taken for which."""
        found, has = self.understood.columns, ", ".join(self._raw)
        more = f"; {self._sheets}" if self._sheets else ""
        if "path" not in found:
            raise InputError(
                f"{self.table}: no column is the path of the film; name it, data.columns.path=<one of {has}>{more}"
            )
        if self.patient_from is not None:
            pattern_of(self.patient_from, "data.patient_from", grouped=True)
        elif "patient" not in found:
            raise InputError(
                f"{self.table}: no column is the patient; name it, data.columns.patient=<one of {has}>, or take it "
                f"from the paths, data.patient_from='(P\\d+)_'{more}"
            )
        corner = "x_px" in found and "radius_px" not in found and has_size(self._raw)
        if corner and "x" not in map(str, (self.columns or {})):
            raise InputError(
                f"{self.table}: x and y beside a width and a height may be the corner or the centre of a box; give "
                "xmin, ymin, xmax, ymax, or say that they are a centre, data.columns.x=x data.columns.y=y"
            )
        said = [f"{theirs} is {ours}" for ours, theirs in found.items() if theirs != ours]
        if said:
            self.notes.append(f"columns: {', '.join(said)}")

    def _rows(self, raw: pd.DataFrame) -> steps.Rows:
        known = self.understood
        return steps.Rows(str(self.table), raw, known.columns, self.values or {}, known.notes)

    def prepare(self) -> None:
        """Do nothing: the films are where the table says."""

    def carry(self, column: str) -> None:
        """Carry the column of a task, too, where labels describe a breast or patient (`data.label_of`)."""
        with self._lock:
            if column != self._task_column:
                self._task_column, self._made = column, None

    def _findings(self) -> pd.DataFrame:
        known = self.understood
        del known.notes[self._opened :]
        twice = self._raw.duplicated()
        if twice.any():
            copies = number_of(int(twice.sum()), "row is an exact copy", "rows are exact copies")
            known.notes.append(f"{copies} of earlier ones, and left out")
        rows = self._rows(self._raw[~twice])
        rows.say_unused()
        table, known.missing = table_identities.identities(
            rows, self.folder, self.patient_from, strangers=self.strangers
        )
        known.alike = patients.alike(table["patient"].unique())
        if known.alike:
            shown = [str((table["patient"] == one).idxmax()) for one in known.alike[0]]
            known.notes.append(
                f"{number_of(len(known.alike), 'patient is', 'patients are')} spelt in several "
                f"ways, rows {' and '.join(shown)} for example: one "
                "patient? They are taken as different"
            )
        if dated := like_dates(table["patient"].unique()):
            known.notes.append(
                f"{number_of(len(dated), 'patient looks', 'patients look')} like a date, row "
                f"{(table['patient'] == dated[0]).idxmax()} for example: a spreadsheet may have changed it, and made "
                "one of two; if so, write patients as text"
            )
        table["laterality"], table["view"] = rows.sides_and_views()
        for column in ("density", "finding", "severity", "severity_source", "official_split"):
            table[column] = rows.known_words(column)
        table = table.join(places.numbers(rows))
        masks = rows.words("mask_path")
        table["mask_path"] = paths_of(masks, self.folder)
        others = rows.others()
        known.translated = rows.translated
        table = table.join(others[[name for name in others if name not in COLUMNS]])
        table = steps.one_value_per_image(rows, table)
        known.kept = [name for name in others if name not in COLUMNS and name not in known.columns.values()]
        if computed := [name for name in others if name in COLUMNS]:
            known.notes.append(f"columns that are not used: {', '.join(computed)}")
        if known.kept:
            known.notes.append(f"other columns are kept as they are: {', '.join(known.kept)}")
        self._read_headers(rows, table)
        table = self._with_facts(table, rows)
        table_labels.check_labels(rows, table, self.label_of)
        table = table_labels.carry(rows, table, self.label_of, self.label_columns or [], self._task_column)
        return findings_table(
            table_labels.number_findings(rows, table).assign(dataset=self.name).reset_index(drop=True)
        )

    def _read_headers(self, rows: steps.Rows, table: pd.DataFrame) -> None:
        paths = list(table["path"].unique())
        known = self.understood
        missing = set(known.missing)
        there = [path for path in paths if path not in missing]
        headers = dict(zip(there, read_headers(there), strict=True))
        nothing = Header("", refused="it does not exist")
        known.headers = {path: headers.get(path, nothing) for path in paths}
        real: dict[tuple[int, int], list[str]] = {}
        for path, image_id in table.drop_duplicates("path")[["path", "image_id"]].itertuples(index=False):
            if path not in missing:
                stat = os.stat(path)  # noqa: PTH116 - five times as fast as a Path
                real.setdefault((stat.st_dev, stat.st_ino), []).append(image_id)
        known.listed_twice = [tuple(group) for group in real.values() if len(group) > 1]
        file = table["image_id"].map({one: group[0] for group in known.listed_twice for one in group})
        several = table.groupby(file)["patient"].transform("nunique").reindex(table.index) > 1
        rows.refuse(several, "the file is also named by another path, for another patient; give it one patient")
        for group in known.listed_twice[: steps.FEW]:
            known.notes.append(f"images {' and '.join(group)} are one file")
        unusable = {path: one.refused for path, one in known.headers.items() if one.refused and path not in missing}
        if unusable:
            why = "; ".join(list(map(str, unusable.values()))[: steps.FEW])
            known.notes.append(f"{len(unusable)} of {number_of(len(paths), 'film')} cannot be used: {why}")

    def _with_facts(self, table: pd.DataFrame, rows: steps.Rows) -> pd.DataFrame:
        """Return the table with what headers tell where it has nothing, and with places from the top of the film."""
        known = self.understood
        headers = table["path"].map(known.headers)
        for column in ("laterality", "view", "exam", "spacing_mm"):
            told = headers.map(lambda header, of=column: getattr(header, of)).astype(COLUMNS[column])
            if column == "exam":  # names of exams in a table and in headers are not the same
                told = told.mask(table["exam"].notna().groupby(table["patient"]).transform("any"))
            taken, odd = table[column].isna() & told.notna(), (table[column] != told).fillna(False)
            if taken.any():
                count = table.loc[taken, "path"].nunique()
                known.notes.append(f"the {column} of {number_of(count, 'image')} is taken from their headers")
            if column in ("laterality", "view") and odd.any():
                known.disagreements[column] = list(table.loc[odd, "image_id"].unique())
                first = table[odd].iloc[0]
                known.notes.append(
                    f"the {column} of {number_of(len(known.disagreements[column]), 'image')} "
                    "differs from that of their headers, "
                    f"{first['image_id']} for example; the table counts"
                )
            if column == "spacing_mm":
                known.spacings = places.other_spacings(table, told, known.notes)
            table = table.assign(**{column: table[column].fillna(told)})
        films = table.drop_duplicates("path")
        known.mixed, said = patients.mixed(films["patient"], headers[films.index].map(lambda one: one.patient))
        known.notes += said
        sizes = [headers.map(lambda one, of=of: getattr(one, of) or pd.NA) for of in ("height", "width")]
        heights, widths = (one.astype("Int64") for one in sizes)
        places.refuse_per_cent(rows, table, heights, widths)
        if self.origin == "bottom":
            table = places.turned(rows, table, heights)
        places.check_places(rows, table, heights, widths)
        return places.check_masks(rows, table, known.headers)
