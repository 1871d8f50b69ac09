"""The error stream while a decoder in C works: its complaints are kept from the terminal, and tell of damage."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()
_DAMAGE = (b"Corrupt JPEG data", b"Premature end of JPEG", b"Inconsistent progression")
_PROFILE = re.compile(rb"^libpng [^\n]*profile '.{0,79}': [^\n]*", re.DOTALL | re.MULTILINE)  # a name of any bytes
_OTHERS = (b"libpng", b"Unsupported", b"Invalid", b"Bogus", b"Unknown Adobe", b"Warning: unknown JFIF", b"Huffman")
_COMPLAINTS = (*_DAMAGE, *_OTHERS)


def whole_at_fork(lock: threading.Lock) -> None:
    """Let a process fork only while no thread holds the lock: the child would wait for it forever."""
    os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)


whole_at_fork(_LOCK)


class Heard:
    """The outcome of `heard`: `damage` is true if the decoder filled in what it could not read."""

    damage = False


@contextmanager
def heard() -> Iterator[Heard]:
    """Listen to the error stream of the process, one thread at a time; other lines come back to it at the end.

    libjpeg writes there of damaged data, which it fills with grey, and of some that are sound; libpng writes words of
    the file itself.
    """
    found = Heard()
    with _LOCK:
        try:
            kept = os.dup(2)
        except OSError:  # there is no error stream
            yield found
            return
        written = os.memfd_create("errors")
        try:
            os.dup2(written, 2)
            yield found
        finally:
            os.dup2(kept, 2)
            size = os.lseek(written, 0, os.SEEK_CUR)
            lines = _PROFILE.sub(b"libpng", os.pread(written, size, 0)).splitlines(keepends=True)
            os.close(kept)
            os.close(written)
            found.damage = any(line.startswith(_DAMAGE) for line in lines)
            if others := b"".join(line for line in lines if not line.startswith(_COMPLAINTS)):
                os.write(2, others)
