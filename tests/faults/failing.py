"""A file system that fails: the n-th time that a program opens, makes or renames something below some folders."""

import builtins
import errno
import io
import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

FULL, BROKEN, DENIED = errno.ENOSPC, errno.EIO, errno.EACCES
WAYS = {"write": (FULL, DENIED), "make": (FULL, DENIED), "read": (BROKEN, DENIED), "rename": (BROKEN,)}


def native():
    """Return the readers of files that do without Python, as a module and a name each."""
    users = ("mammo.preprocessing.cache", "mammo.models.maps")
    return [(sys.modules[name], "safe_open") for name in users if name in sys.modules]


class Failing:
    """Counts what is done below some folders, and lets one operation fail.

    A disk that is full lets a file be made, and fails as it is flushed, so that an empty file stays; it is full for all
    that is written later, too. Any other error comes once: as a file is opened, or before anything is renamed or made.

    Args:
        folders: The folders below which is counted.
        at: The number of the operation that fails, from 0; None lets all succeed.
        error: The error of the operation; None for none, but Ctrl-C is pressed before it.
    """

    def __init__(self, *folders: Path, at: int | None = None, error: int | None = BROKEN) -> None:
        self.folders, self.at, self.error = [f"{folder}{os.sep}" for folder in folders], at, error
        self.done: list[str] = []  # `read`, `write`, `make` or `rename` and the name of the file, in turn

    def fails(self, what: str, path: object) -> bool:
        """Count an operation, and say whether it is one that fails."""
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        name = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - resolves no link
        if not name.startswith(tuple(self.folders)):
            return False
        self.done.append(f"{what} {name.removeprefix(str(Path(self.folders[0]).parent) + os.sep)}")
        if self.error is None and len(self.done) - 1 == self.at:
            os.kill(os.getpid(), signal.SIGINT)
            return False
        if self.at is None or self.error != FULL:
            return len(self.done) - 1 == self.at
        return len(self.done) > self.at and what in ("write", "make")

    def refuse(self, path: object) -> None:
        raise OSError(self.error, os.strerror(self.error), os.fsdecode(path))

    @contextmanager
    def at_work(self):
        """Stand between Python and the file system of this process."""
        opened, made = io.open, os.mkdir

        def open_(file, mode="r", *given, **how):
            writes = any(letter in mode for letter in "wax+")
            if self.fails("write" if writes else "read", file):
                if not writes or self.error != FULL:
                    self.refuse(file)
                opened(file, mode, *given, **how).close()
                return opened("/dev/full", mode.replace("x", "w").replace("a", "w"), *given, **how)
            return opened(file, mode, *given, **how)

        def make(path, *given, **how):
            if not os.path.exists(path) and self.fails("make", path):  # noqa: PTH110 - takes bytes
                self.refuse(path)
            return made(path, *given, **how)

        def before(what, honest, which):
            def act(*given, **how):
                if self.fails(what, given[which]):
                    self.refuse(given[which])
                return honest(*given, **how)

            return act

        with ExitStack() as patches:
            for of, name, one in (
                *((io, "open", open_), (builtins, "open", open_), (os, "mkdir", make)),
                *((os, name, before("rename", getattr(os, name), 1)) for name in ("replace", "rename")),
                *((of, name, before("read", getattr(of, name), 0)) for of, name in native()),
            ):
                patches.enter_context(mock.patch.object(of, name, one))
            yield self
