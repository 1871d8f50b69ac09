"""The tables and arrays of a run folder. A table that a run may lack is None, or empty, where it is not there."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save

from mammo.datasets.findings import SAMPLE
from mammo.errors import InputError, content_of
from mammo.evaluation.mark_tables import checked, lesions_of_file, marks_of_run
from mammo.evaluation.pointing import MEASURES as POINTED
from mammo.evaluation.predictions import TYPES, WORDS, read_predictions
from mammo.files import read_arrays, read_json, whole, write_json, write_table
from mammo.tables.arrow_csv import LARGE, arrow_csv
from mammo.tables.memory import give_back
from mammo.wording import number_of

DESCRIBED = ["finding", "severity", "density", "dataset"]  # words of lesions.csv
REPORTED = TYPES | dict.fromkeys([*DESCRIBED, "severity_source"], str)  # words of samples.csv that a report shows
LEARNT = ["patient", "dataset", "run"]  # columns of learnt.csv
MEASURED = ["radius_px", "spacing_mm", "contrast"]  # numbers of samples.csv that a report shows
NAMES = ["image_id", "patient", "split", "head"]
NEEDS: dict[str, tuple[list[str], list[str]]] = {  # columns that need a word in each row, and columns of numbers
    "split.csv": (NAMES[:3], []),
    "samples.csv": ([*NAMES[:2], "label"], [*SAMPLE[1:3], *MEASURED]),
    "windows.csv": ([*NAMES, "label"], [*SAMPLE[1:3], "score"]),
    "explained.csv": ([*NAMES[:2], "head", "place"], ["x_px", "y_px", *POINTED, "rank_correlation"]),
}
FILM = ["image_id", "spacing_mm", "notes"]  # columns of films.csv that are no numbers of the pixels
ROWS = "rows.json"  # the number of rows of each table, so that one which was cut is known; older runs lack it


@dataclass(frozen=True)
class RunTables:
    """A run's tables and arrays. Each property reads its file when it is used.

    A file that is missing, or holds another table, is an InputError.
    """

    path: Path

    def file(self, name: str) -> Path:
        """Return the path of a file in the folder.

        Raises:
            InputError: The file does not exist.
        """
        if not (self.path / name).is_file():
            raise InputError(f"no {name} in {self.path}; name a run folder that `train.py` has finished")
        return self.path / name

    def _table(self, name: str, types: Any = TYPES, wanted: Collection[str] = ()) -> pd.DataFrame:
        """Return a table of the folder, whose columns have these types; of a large file only the wanted ones, if any.

        A wanted column that has no type holds numbers.
        """
        path = self.file(name)
        with content_of(path):
            quick = wanted and path.stat().st_size > LARGE
            table = arrow_csv(path, types, lambda _: True, wanted) if quick else pd.read_csv(path, dtype=types, **WORDS)
            table = self._uncut(name, table)
        return checked(table, *NEEDS.get(name, ([], [])), path)

    def write_rows(self, name: str, table: pd.DataFrame) -> None:
        """Write a table of the folder, and remember how many rows it has."""
        write_table(table, self.path / name)
        write_json(self._rows | {name: len(table)}, self.path / ROWS)

    @property
    def _rows(self) -> dict[str, Any]:
        """The number of rows that each table was written with, by the name of its file."""
        if not (self.path / ROWS).is_file():
            return {}
        with content_of(self.path / ROWS):
            return {**read_json(self.path / ROWS)}

    def _uncut(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table that was read from a file; refuse one that has lost or won rows since it was written."""
        if (written := self._rows.get(name, len(table))) != len(table):
            raise InputError(
                f"{self.path / name} has {number_of(len(table), 'row')}, but was written with {written}; the file may "
                "be cut: copy it again"
            )
        return table

    @property
    def split(self) -> pd.DataFrame:
        """The table of `image_id`, `patient` and `split`, with a column `copy` if copies were dealt."""
        return self._table("split.csv", wanted=[*NAMES[:3], "copy"])

    @property
    def samples(self) -> pd.DataFrame:
        """One row per sample: identity, finding, label, place and shortcut features."""
        found = self._table("samples.csv")
        give_back()  # what it was read into, which may be large
        return found

    @property
    def reported(self) -> pd.DataFrame:
        """The `samples` of a report. If they are many, the columns that it does not show are not read."""
        return self._table("samples.csv", REPORTED, [*REPORTED, *MEASURED])

    @property
    def detects(self) -> bool:
        """True if the run marked places on films: it then has `candidates` and `lesions`."""
        return (self.path / "candidates.csv").is_file()

    @property
    def candidates(self) -> pd.DataFrame:
        """One row per mark: `image_id, patient, split, head`, its place and box in pixels of the film, its `score`."""
        return marks_of_run(self._table("candidates.csv"), self.path / "candidates.csv")

    @property
    def lesions(self) -> pd.DataFrame:
        """One row per lesion that has a place: its identity, place, size and description; lengths are in pixels."""
        found = self._table("lesions.csv", TYPES | dict.fromkeys(DESCRIBED, str))
        return lesions_of_file(found, self.path / "lesions.csv")

    @property
    def windows(self) -> pd.DataFrame | None:
        """One row per head and lesion window of a detector's test films; None if the run has no such table."""
        if not (self.path / "windows.csv").is_file():
            return None
        return self._table("windows.csv")

    def write_windows(self, windows: pd.DataFrame | None) -> None:
        """Write the table of lesion windows; None removes it."""
        if windows is None:
            (self.path / "windows.csv").unlink(missing_ok=True)
        else:
            self.write_rows("windows.csv", windows)

    @property
    def explained(self) -> pd.DataFrame | None:
        """One row per test image, head and place that a map or a rule points at; None if no map was scored."""
        if not (self.path / "explained.csv").is_file():
            return None
        return self._table("explained.csv")

    def write_explained(self, table: pd.DataFrame) -> None:
        """Write the scored maps; heads that the table does not have keep their rows."""
        before = self.explained
        kept = pd.DataFrame() if before is None else before[~before["head"].isin(table["head"])]
        joined = pd.concat([kept, table.astype(object)]) if len(kept) else table
        write_table(joined, self.path / "explained.csv")

    @property
    def segmented(self) -> bool:
        """True if the run found regions: it then has `segments`."""
        return (self.path / "segments.csv").is_file()

    @property
    def segments(self) -> pd.DataFrame:
        """One row per image and head: its regions measured on the film, see `evaluation.segmentation`."""
        return self._table("segments.csv", TYPES | {"source": str})

    @property
    def unreadable(self) -> int:
        """The number of films that could not be used."""
        return len(self._table("unreadable.csv", str)) if (self.path / "unreadable.csv").is_file() else 0

    @property
    def films(self) -> pd.DataFrame:
        """One row per film that was cut: its size, white, spacing and notes; empty in runs that wrote none."""
        if not (self.path / "films.csv").is_file():
            return pd.DataFrame(columns=["image_id", "notes"])
        return self._table("films.csv", {"image_id": "string", "notes": "string"})

    @staticmethod
    def changed_films(before: pd.DataFrame, now: pd.DataFrame) -> list[str]:
        """Return the images that have other pixels in one `films.csv` than in another, as their numbers tell."""
        numbers = [name for name in now if name in before and name not in FILM]
        both = before.merge(now.astype({"image_id": "string"}), on="image_id")
        one, two = (both[[f"{name}{end}" for name in numbers]].to_numpy(float) for end in ("_x", "_y"))
        # Another kind of processor may round a grey level otherwise.
        same = np.isclose(one, two, rtol=1e-3, atol=1e-3, equal_nan=True).all(axis=1)
        return both.loc[~same, "image_id"].tolist()

    @property
    def learnt_before(self) -> pd.DataFrame:
        """The patients that the weights had learnt from before this run: `LEARNT`; empty if it began from no run."""
        if not (self.path / "learnt.csv").is_file():
            return pd.DataFrame(columns=LEARNT, dtype="string")
        return self._table("learnt.csv", "string")

    def write_learnt(self, patients: pd.DataFrame | None) -> None:
        """Write the patients that the weights had learnt from before this run, `LEARNT`; None removes the file."""
        if patients is None:
            (self.path / "learnt.csv").unlink(missing_ok=True)
        else:
            write_table(patients[LEARNT], self.path / "learnt.csv")

    def predictions(self) -> tuple[pd.DataFrame, list[str]]:
        """Return the predictions table, which has a test part, and the class names."""
        table, classes = read_predictions(self.path / "predictions.csv", tested=True)
        return self._uncut("predictions.csv", table), classes

    def write_features(self, features: np.ndarray, rows: pd.DataFrame) -> None:
        """Write (N, D) float32 features, and the table that names their rows in the same order."""
        with whole(self.path / "features.safetensors") as temporary:
            temporary.write_bytes(save({"features": np.ascontiguousarray(features, np.float32)}))
        self.write_rows("features.csv", rows[[*SAMPLE, "patient", "split", "label"]])

    def features(self) -> tuple[np.ndarray, pd.DataFrame]:
        """Return the (N, D) float32 features, and the table that names their rows in the same order."""
        rows = self._table("features.csv")
        with content_of(self.path / "features.safetensors"):
            return read_arrays(self.file("features.safetensors"))["features"], rows

    def write_likeness(self, arrays: dict[str, np.ndarray] | None) -> None:
        """Write what tells films like those of the run from others; None removes it."""
        if arrays is None:
            (self.path / "likeness.safetensors").unlink(missing_ok=True)
            return
        with whole(self.path / "likeness.safetensors") as temporary:
            temporary.write_bytes(save({name: np.ascontiguousarray(one) for name, one in arrays.items()}))

    @property
    def likeness(self) -> dict[str, np.ndarray] | None:
        """The arrays that tell films like those of the run from others; None in runs that have none."""
        path = self.path / "likeness.safetensors"
        return read_arrays(path) if path.is_file() else None


def windowed(notes: Iterable[str]) -> bool:
    """Tell from the notes of a film if a window or VOI table of its file was applied."""
    return any(note.startswith(("window ", "VOI table")) and "applied" in note for note in notes)
