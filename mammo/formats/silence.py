"""The error stream while a decoder in C works: its complaints are kept from the terminal, and tell of damage."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()
_DAMAGE = (b"Corrupt JPEG data", b"Premature end of JPEG", b"Inconsistent progression")
_COMPLAINTS = (*_DAMAGE, b"Unsupported", b"Invalid", b"Bogus", b"Unknown Adobe", b"Warning: unknown JFIF", b"Huffman")


class Heard:
    """The outcome of `heard`: `damage` is true if the decoder filled in what it could not read."""

    damage = False


@contextmanager
def heard() -> Iterator[Heard]:
    """Listen to the error stream of the process, one thread at a time; other lines come back to it at the end.

    libjpeg writes there of damaged data, which it fills with grey, and of some that are sound.
    """
    found = Heard()
    with _LOCK, tempfile.TemporaryFile() as written:
        kept = os.dup(2)
        try:
            os.dup2(written.fileno(), 2)
            yield found
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            lines = written.read().splitlines(keepends=True)
            found.damage = any(line.startswith(_DAMAGE) for line in lines)
            if others := b"".join(line for line in lines if not line.startswith(_COMPLAINTS)):
                os.write(2, others)
