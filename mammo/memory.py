"""The memory that a process has freed, and that the C library keeps."""

import ctypes


def return_freed() -> None:
    """Return freed memory to the system: what things of many sizes leave is too scattered to be used again."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # only glibc has it
        libc.malloc_trim(0)
