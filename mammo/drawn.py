"""Figures that are drawn once: a report that is written again keeps those that show the same."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

KEY = "Shown"  # of the text in the PNG file that holds the digest of what it shows
BEGIN = 4096  # bytes of a PNG file within which its texts lie


def once(path: Path, draw: str, *shown: Any) -> None:
    """Draw a figure into a PNG file, unless the file shows the same already; matplotlib is imported only to draw.

    Args:
        path: The file.
        draw: The name of the function of `mammo.figures` that draws it.
        shown: Its arguments: arrays, tables, dataclasses, words, numbers, and lists or dictionaries of these.
    """
    source = Path(__file__).with_name("figures.py").read_bytes()
    digest = hashlib.sha256(source + draw.encode() + _bytes(shown)).hexdigest()
    if path.is_file():
        with path.open("rb") as file:
            if digest.encode() in file.read(BEGIN):
                return
    from mammo import figures  # noqa: PLC0415 - half a second

    figures.save(getattr(figures, draw)(*shown), path, **{KEY: digest})


def _bytes(shown: Any) -> bytes:
    """Return bytes that differ where what is shown differs."""
    if isinstance(shown, np.ndarray):
        return repr((shown.dtype, shown.shape)).encode() + np.ascontiguousarray(shown).tobytes()
    if isinstance(shown, pd.DataFrame):
        return _bytes(shown.to_csv(index=False))
    if isinstance(shown, dict):
        return b"{" + b"".join(_bytes(key) + _bytes(value) for key, value in shown.items()) + b"}"
    if isinstance(shown, list | tuple):
        return b"[" + b"".join(map(_bytes, shown)) + b"]"
    if shown is None or isinstance(shown, str | int | float | np.generic):
        return repr(shown).encode() + b","
    return _bytes(vars(shown))
