"""Trains, judges and uses classifiers of mammograms. Importing it loads nothing heavy."""

import time

__version__ = "0.1.0"

STARTED = time.perf_counter()  # a process begins with this import, or little before


class InputError(ValueError):
    """Input that cannot be used: one line that says what was expected, what was found and what to do.

    The programs print it without a traceback; any other exception is a bug and keeps its own.
    """
