"""The errors that a user can correct, and the line that is printed for each."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mammo.paths import home

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FAILING = (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENOLCK)  # of a disk, or a file system of the network


class InputError(ValueError):
    """Input that cannot be used: one line that says what was found, what was expected and what to do.

    The programs print this line without a traceback. Any other exception is a bug and shows its traceback. A text that
    a file or a user gives may have line breaks; each becomes a blank.
    """

    def __init__(self, line: object = "") -> None:
        super().__init__(" ".join(str(line).splitlines()))


class UnreadableFilm(InputError):
    """A file that cannot be used as a film. A run can leave it out, name the reason, and go on with the others."""


class EmptyFilm(UnreadableFilm):
    """A film of one grey level, on which nothing can be seen."""


@contextmanager
def content_of(path: Path) -> Iterator[None]:
    """Turn what the content of a file or folder of ours breaks into an `InputError` that names it.

    Only what reads such content stands in this context: damage raises whatever the reader below likes.
    """
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # such as a place before the start
            raise
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(
            f"{path}: it is damaged, or another version wrote it ({said}); copy it again, or make it anew"
        ) from error


def message_for_user(error: BaseException) -> str | None:
    """Return the line for an error that the user can correct (bad input, a missing file, a full disk), else None."""
    if isinstance(error, InputError):
        return str(error)
    if not isinstance(error, OSError):
        return message_for_user(error.__cause__) if isinstance(error.__cause__, OSError) else None  # it was wrapped
    where, why = error.filename or "a file", (error.strerror or "").lower()
    again = "then repeat the command, or continue a run with resume=<folder>"
    if error.errno in NO_SPACE:
        return f"{where}: {error.strerror}; free space, {again}"
    if error.errno in FAILING:
        return f"{where}: {why}; look at the disk, {again}"
    if isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError | IsADirectoryError) or (
        error.errno == errno.EROFS
    ):
        if error.errno == errno.ENOENT:
            why = "no such file or folder"
        at_home = error.filename and home() in Path(os.fsdecode(error.filename)).parents
        hint = "set MAMMO_HOME to another folder" if at_home else "name another path, or mend this one"
        return f"{error.filename}: {why}; {hint}" if error.errno else str(error)
    return None
