"""The memory that large tables leave behind, which the process would keep and the system gets back."""

import pyarrow as pa

from mammo.memory import return_freed


def keep_little() -> None:
    """Let Arrow use jemalloc where it has it, and keep nothing that is freed; else that is half a table and more."""
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
        pa.jemalloc_set_decay_ms(0)


def give_back() -> None:
    """Return freed memory of Arrow and of the C library to the system."""
    pa.default_memory_pool().release_unused()
    return_freed()
