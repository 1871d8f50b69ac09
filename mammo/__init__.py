"""Trains, judges and uses classifiers of mammograms. Importing it loads nothing heavy."""

import errno
import time

__version__ = "0.1.0"

STARTED = time.perf_counter()  # a process begins with this import, or little before


class InputError(ValueError):
    """Input that cannot be used: one line that says what was expected, what was found and what to do.

    The programs print it without a traceback; any other exception is a bug and keeps its own.
    """


def told(error: Exception) -> str | None:
    """The line that an error comes to which the user can mend: bad input, a missing file, a full disk; else None."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{error.filename or 'a file'}: {error.strerror}; free space, then go on with resume=<folder>"
    return str(error) if isinstance(error, InputError | FileNotFoundError) else None
