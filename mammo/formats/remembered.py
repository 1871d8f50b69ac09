"""Facts that were computed from files, kept below `MAMMO_HOME` while a file is unchanged, see `state_of`."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from mammo.errors import UnreadableFilm
from mammo.paths import home
from mammo.processes.workers import shared_out

AT_ONCE = 100  # values that are written together: a run that is killed repeats fewer than these
SHORT = 100  # files below which no progress bar is shown


class Remembered:
    """Values by file, which JSON can hold, in a database that no other user may read: names can be in them.

    Args:
        name: The name of the database.
        version: The version of the code that computes the values; another one makes what is kept out of date.
    """

    def __init__(self, name: str, version: str) -> None:
        self.path = home() / "headers" / f"{name}.sqlite"
        self._version = version
        self._states: dict[str, str] = {}  # of each file before it was read

    def values(self, paths: Iterable[str], work: Callable[[str], Any], title: str) -> dict[str, Any]:
        """Return the value of each file: what is kept, and `work(path)` for the rest, by several processes.

        Values are kept as they come. A file that cannot be read has its `UnreadableFilm`, which is not kept.

        Args:
            paths: The files.
            work: The computation of one value.
            title: The words beside the progress bar.
        """
        names = list(dict.fromkeys(paths))
        found = self.recall(names)
        missing = [one for one in names if one not in found]
        console = Console(stderr=True)
        made = track(
            shared_out(work, missing),
            title,
            len(missing),
            console=console,
            disable=len(missing) < SHORT,
            transient=True,
        )
        new: dict[str, Any] = {}
        try:
            for path, value in zip(missing, made, strict=True):
                found[path] = value
                if not isinstance(value, UnreadableFilm):
                    new[path] = value
                if len(new) == AT_ONCE:
                    self.keep(new)
                    new = {}
        finally:  # what was computed is kept, even if the user stops it here
            self.keep(new)
        return found

    def recall(self, paths: Iterable[str]) -> dict[str, Any]:
        """Return the kept value of each unchanged file; a damaged database is removed, and nothing is known."""
        states = {path: self._state(path) for path in paths}
        self._states |= states
        found: dict[str, Any] = {}
        keys = {_key(path): path for path in states}
        try:
            with closing(self._open()) as database:
                for part in _parts(list(keys)):
                    marks = ",".join("?" * len(part))
                    asked = f"SELECT path, state, value FROM facts WHERE path IN ({marks})"
                    for key, state, text in database.execute(asked, part):
                        if state == states[keys[key]]:
                            found[keys[key]] = json.loads(text)
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:
            if not isinstance(error, OSError) and "locked" not in str(error):
                with suppress(OSError):
                    self.path.unlink(missing_ok=True)
            return {}
        return found

    def keep(self, values: Mapping[str, Any]) -> None:
        """Keep the values of files that were recalled before; if that fails, the next run computes them again."""
        rows = [
            (_key(path), self._states[path], json.dumps(value)) for path, value in values.items() if self._states[path]
        ]
        if rows:
            with suppress(sqlite3.Error, OSError), closing(self._open()) as database, database:
                database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", rows)

    def _state(self, path: str) -> str:
        """Return the state of a file with the version; empty if it is not there."""
        try:
            facts = os.stat(path)  # noqa: PTH116 - a Path takes five times as long, and there may be a million
        except OSError:
            return ""
        return f"{self._version} {state_of(facts)}"

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        if self.path.stat().st_mode & 0o077:
            self.path.chmod(0o600)
        if not os.access(self.path, os.R_OK | os.W_OK):  # another user's
            raise PermissionError(self.path)
        database = sqlite3.connect(self.path, timeout=30)
        database.execute(
            "CREATE TABLE IF NOT EXISTS facts (path TEXT PRIMARY KEY, state TEXT NOT NULL, value TEXT NOT NULL)"
        )
        return database


def state_of(facts: os.stat_result) -> str:
    """Return what an unchanged file keeps: its size, the times of its content and of its inode, and its inode.

    `cp -p` and `mv` bring another file with an old time of content. The time of the inode is then a new one.
    """
    return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {facts.st_ino}"


def _key(path: str) -> str:
    return path if path.startswith("/") else str(Path(path).absolute())


def _parts(keys: list[str]) -> list[list[str]]:
    return [keys[start : start + 500] for start in range(0, len(keys), 500)]
