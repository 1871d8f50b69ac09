"""A file system that fails once: the n-th time that a program opens or renames a file below a folder."""

import builtins
import errno
import io
import os
from contextlib import contextmanager
from pathlib import Path

FULL, BROKEN = errno.ENOSPC, errno.EIO


class Failing:
    """Counts what is done below a folder, and lets one operation fail.

    A read fails as it is opened. A write fails as it is flushed, so that an empty file stays, as on a full disk. A
    rename fails before anything is renamed.

    Args:
        folder: The folder below which is counted.
        at: The number of the operation that fails, from 0; None lets all succeed.
        error: The error of a read or a rename; a write always finds the disk full.
    """

    def __init__(self, folder: Path, at: int | None = None, error: int = BROKEN) -> None:
        self.folder, self.at, self.error = str(folder), at, error
        self.done: list[str] = []  # `read`, `write` or `rename` and the name of the file, in turn

    def fails(self, what: str, path: object) -> bool:
        """Count an operation, and say whether it is the one that fails."""
        if not isinstance(path, str | os.PathLike) or not str(Path(path).absolute()).startswith(self.folder):
            return False
        self.done.append(f"{what} {os.path.relpath(path, self.folder)}")
        return len(self.done) - 1 == self.at

    @contextmanager
    def at_work(self):
        """Stand between Python and the file system of this process."""
        opened, replaced, renamed = io.open, os.replace, os.rename

        def open_(file, mode="r", *given, **how):
            writes = any(letter in mode for letter in "wax+")
            if self.fails("write" if writes else "read", file):
                if not writes:
                    raise OSError(self.error, os.strerror(self.error), str(file))
                opened(file, mode, *given, **how).close()
                return opened("/dev/full", mode.replace("x", "w").replace("a", "w"), *given, **how)
            return opened(file, mode, *given, **how)

        def moves(honest):
            def move(source, target, *given, **how):
                if self.fails("rename", target):
                    raise OSError(self.error, os.strerror(self.error), str(target))
                return honest(source, target, *given, **how)

            return move

        io.open = builtins.open = open_
        os.replace, os.rename = moves(replaced), moves(renamed)
        try:
            yield self
        finally:
            io.open = builtins.open = opened
            os.replace, os.rename = replaced, renamed
