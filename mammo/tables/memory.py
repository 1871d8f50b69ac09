"""The memory that large tables leave behind, which the process would keep and the system gets back."""

import pyarrow as pa

from mammo.memory import return_freed


def keep_little() -> None:
    """Let Arrow use jemalloc where it has it; mimalloc, its default, keeps half a table of what it has freed."""
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())


def give_back() -> None:
    """Return freed memory of Arrow and of the C library to the system."""
    pa.default_memory_pool().release_unused()
    return_freed()
