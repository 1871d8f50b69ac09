"""Python looks for garbage less often: by default that is a quarter of the time that heavy packages take to import."""

import atexit
import gc

NEW_OBJECTS = 10_000  # after so many new objects Python looks through them; its own default is 700


def collect_seldom() -> None:
    """Look for garbage seldom, and not among all modules when the process ends, where all of it is freed anyway."""
    gc.set_threshold(NEW_OBJECTS, 10, 10)
    atexit.register(gc.freeze)
