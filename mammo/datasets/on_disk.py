"""The films that a findings table names by their paths: how each is read, and how its pixels are named in caches."""

import hashlib
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mammo.datasets import film as films
from mammo.datasets.film import Film
from mammo.formats import READING_VERSION
from mammo.formats.remembered import state_of

FACTS = ["path", "laterality", "view", "spacing_mm"]  # of an image, which its film needs


class OnDisk:
    """A data set whose findings table is made once, and whose films are the files that the table names.

    A class that inherits gives `_findings`, the findings table.

    Args:
        voi: The window of DICOM films, as `read_film` takes it.
    """

    def __init__(self, voi: str = "first") -> None:
        self.voi = voi
        self._made: pd.DataFrame | None = None
        self._images: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()  # several threads may ask for the first film

    def _findings(self) -> pd.DataFrame:
        """Return the findings table."""
        raise NotImplementedError

    def findings(self) -> pd.DataFrame:
        """Return the findings table. The first call may read the header of each film, no pixel.

        Raises:
            InputError: A row of a table of the data set cannot be used.
        """
        with self._lock:
            if self._made is None:
                self._made, self._images = self._findings(), {}
        return self._made.copy()

    def read(self, image_id: str) -> Film:
        """Return a film; laterality, view and spacing of the table replace those of the file."""
        row = self._image(image_id)
        film = films.read_film(row["path"], self.voi)
        facts = {key: row[key] for key in FACTS[1:] if pd.notna(row[key])}
        return replace(film, **facts)

    def digest(self, image_id: str) -> str | None:
        """Return a digest of the file's path, its state, and all else that decides the film."""
        row = self._image(image_id)
        path = Path(row["path"])
        try:
            state = state_of(path.stat())
        except OSError:
            return None
        told = [None if pd.isna(row[key]) else row[key] for key in FACTS[1:]]
        facts = [str(path.absolute()), state, self.voi, READING_VERSION, *told]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _image(self, image_id: str) -> dict[str, Any]:
        if not self._images:
            table = self.findings().drop_duplicates("image_id")
            self._images = dict(zip(table["image_id"], table[FACTS].to_dict("records"), strict=True))
        return self._images[image_id]
