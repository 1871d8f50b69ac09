"""The errors that a user can correct, and the line that is printed for each."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mammo.paths import home

log = logging.getLogger(__name__)

DEBUG = "MAMMO_DEBUG"  # shows the tracebacks of errors that are told as damaged files
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FAILING = (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENOLCK)  # of a disk, or a file system of the network
SHARED = Path("/dev/shm")  # Linux: the memory that processes share
OF_LIBRARIES = {  # lines for their errors, which share no other class; OpenCV's import takes long
    "cv2": "pixels cannot be scaled or cut as the settings ask for ({said}); use smaller numbers for sizes",
    "yaml": "a file of settings is no YAML ({said}); mend it there",
}
NO_SHARED = (
    f"{SHARED} is too small for the processes that load samples; use data.workers=0, or make it larger, in Docker by "
    "--shm-size=2g"
)


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

    Only what reads such content stands in this context: damage raises whatever the reader below likes. So may a fault
    of the program: with the environment variable `DEBUG` the log shows the traceback.
    """
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # such as a place before the start
            raise
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        if os.environ.get(DEBUG):
            log.error("%s: %s", path, said, exc_info=error)
        raise InputError(
            f"{path}: it is damaged, or another version wrote it ({said}); copy it again, or make it anew; {DEBUG}=1 "
            "shows where it was read"
        ) from error


def check_shared_memory() -> None:
    """Refuse to start processes that share samples where there is no memory for it, which torch's error does not say.

    Raises:
        InputError: There is none.
    """
    if _shared_is_full():
        raise InputError(NO_SHARED)


def _shared_is_full() -> bool:
    """True if processes have less than 64 KiB left to share."""
    if not SHARED.is_dir():
        return False
    free = os.statvfs(SHARED)
    return free.f_bavail * free.f_frsize < 1 << 16


def is_interrupt(error: BaseException | None) -> bool:
    """Tell whether Ctrl-C is behind an error, as Python and libraries that import wrap it in errors of their own."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def message_for_user(error: BaseException, unnamed: str = "a file") -> str | None:
    """Return the line for an error that the user can correct (bad input, a missing file, a full disk), else None.

    Args:
        error: The error.
        unnamed: The words for the file in the line, if the error names none.
    """
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:  # bytes of a name that are no UTF-8
        shown = error.object.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        return f"a name of a file or folder is not in UTF-8: {' '.join(shown.split())[:200]}; rename it"
    if isinstance(error, OSError):
        return _of_disk(error, unnamed)
    module, said = type(error).__module__.partition(".")[0], " ".join(str(error).split())[:300]
    if module in OF_LIBRARIES:
        return OF_LIBRARIES[module].format(said=said)
    if isinstance(error, RuntimeError) and "shared memory" in str(error):  # torch has no class for it
        return NO_SHARED
    return _of_disk(error.__cause__, unnamed) if isinstance(error.__cause__, OSError) else None  # a library wrapped it


def _of_disk(error: OSError, unnamed: str) -> str | None:
    """Return the line for an error of the system, which names what cannot be read or written; None for a bug."""
    where, why = error.filename or unnamed, (error.strerror or "").lower()
    again = "then repeat the command, or continue a run with resume=<folder>"
    if error.errno in NO_SPACE:
        full = error.errno == errno.ENOSPC and not error.filename and _shared_is_full()
        return NO_SHARED if full else f"{where}: {error.strerror}; free space, {again}"
    if error.errno in FAILING:
        return f"{where}: {why}; look at the disk, {again}"
    refused = isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError | IsADirectoryError)
    if not refused and error.errno != errno.EROFS:
        return None
    if error.errno == errno.ENOENT:
        why = "no such file or folder"
    at_home = home() in Path(str(error.filename)).parents
    hint = "set MAMMO_HOME to another folder" if at_home else "name another path, or mend this one"
    return f"{error.filename}: {why}; {hint}" if error.errno else str(error)
