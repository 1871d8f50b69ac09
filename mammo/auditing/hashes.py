"""Eight perceptual hashes and a thumbnail of each film, computed in several processes and cached on disk."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import imagehash
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from mammo.datasets.film import read_film
from mammo.errors import UnreadableFilm
from mammo.files import whole
from mammo.formats import READING_VERSION
from mammo.paths import home
from mammo.processes.workers import shared_out

VERSION = "v2"  # of the records; raise it whenever a hash or a thumbnail changes
SIDE = 256  # of a thumbnail, in pixels
SYMMETRIES = [
    "not turned", "rotated by 90", "rotated by 180", "rotated by 270",
    "mirrored", "mirrored and rotated by 90", "mirrored and rotated by 180", "mirrored and rotated by 270",
]  # fmt: skip
_BITS = 16  # along a side of the hash: 0.01 % of distinct pairs are as near as the worst copy; with 8 bits 1.4 %
RECORD = np.dtype([("key", "S64"), ("hashes", "<u8", (len(SYMMETRIES), _BITS**2 // 64)), ("thumb", "u1", (SIDE, SIDE))])


def turned(pixels: np.ndarray, symmetry: int) -> np.ndarray:
    """Return a square image turned by one of `SYMMETRIES`, given by its position."""
    return np.ascontiguousarray(np.rot90(pixels[:, ::-1] if symmetry >= 4 else pixels, symmetry % 4))


def read_grey(path: Path) -> np.ndarray:
    """Read a film as (height, width) uint8; deeper levels are scaled from their 0.1th to 99.9th percentile.

    Raises:
        UnreadableFilm: The file cannot be used as a film.
    """
    pixels = read_film(path).pixels
    if pixels.dtype != np.uint8:
        low, high = np.percentile(pixels, [0.1, 99.9])
        pixels = np.clip((pixels - low) * (255.0 / max(high - low, 1e-9)), 0, 255).astype(np.uint8)
    return pixels


def record(film: np.ndarray, key: bytes = b"") -> np.ndarray:
    """Return the record of a film (height, width) uint8 as a `RECORD`."""
    thumb = cv2.resize(film, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    small = cv2.resize(thumb, (4 * _BITS, 4 * _BITS), interpolation=cv2.INTER_AREA)
    bits = [
        imagehash.phash(Image.fromarray(turned(small, symmetry)), hash_size=_BITS).hash.ravel()
        for symmetry in range(len(SYMMETRIES))
    ]
    return np.array((key, np.packbits(bits, axis=1).view("<u8"), thumb), RECORD)


def records(paths: Sequence[Path], cache: Path | None = None) -> tuple[np.ndarray, dict[int, str]]:
    """Return the records of the films that can be read, and the reason of each other film by its place in `paths`.

    Args:
        paths: The files of the films.
        cache: A file of records; films of the same path, size and time are taken from it, and those that are missing
            are added. If some of its films are not asked for, they are kept. None reads all films.

    Returns:
        The records, (readable films,) of type `RECORD`, in the order of `paths`; and the reasons.
    """
    keys = [_key(path) for path in paths]
    known = _cached(cache)
    at = {key: row for row, key in enumerate(known["key"])}
    missing = [row for row, key in enumerate(keys) if key not in at]
    if not missing:
        return known[[at[key] for key in keys]] if list(known["key"]) != keys else known, {}
    found = np.zeros(len(paths), RECORD)
    for row, key in enumerate(keys):
        if key in at:
            found[row] = known[at[key]]
    reasons: dict[int, str] = {}
    made = shared_out(lambda row: record(read_grey(paths[row]), keys[row]), missing)
    bar = track(made, f"hashing {len(missing)} films", total=len(missing), console=Console(stderr=True))
    try:
        for row, one in zip(missing, bar, strict=True):
            if isinstance(one, UnreadableFilm):
                reasons[row] = str(one) if str(paths[row]) in str(one) else f"{paths[row]}: {one}"
            else:
                found[row] = one
    finally:  # what was hashed is kept, even if the user stops it here
        if cache is not None and (found["key"][missing] != b"").any():
            others = ~np.isin(known["key"], keys)
            made = found[found["key"] != b""]
            _store(np.concatenate([known[others], made]) if others.any() else made, cache)
    return np.delete(found, list(reasons)), reasons


def records_of(paths: Sequence[Path], sources: Sequence[Path]) -> tuple[np.ndarray, dict[int, str]]:
    """Return the records of films as `records` does, each from the cache of its source.

    Args:
        paths: The files of the films.
        sources: The folder or table that each film comes from.
    """
    found, reasons = np.zeros(len(paths), RECORD), dict[int, str]()
    for source in dict.fromkeys(sources):
        rows = [row for row, one in enumerate(sources) if one == source]
        made, lost = records([paths[row] for row in rows], cache_of(source))
        if len(rows) == len(paths):
            return made, lost  # mapped from the file, not copied
        reasons |= {rows[at]: why for at, why in lost.items()}
        found[[row for at, row in enumerate(rows) if at not in lost]] = made
    return np.delete(found, list(reasons)), reasons


def cache_of(source: Path) -> Path:
    """Return the path in `MAMMO_HOME` of the records of a folder's or table's films."""
    return (
        home()
        / "hashes"
        / f"{VERSION}.{READING_VERSION}-{hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:20]}.npy"
    )


def _key(path: Path) -> bytes:
    """Return what names the file as it is now; nothing if it is not there."""
    try:
        stat = path.stat()
    except OSError:
        return b""
    return hashlib.sha256(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest().encode()


def _cached(cache: Path | None) -> np.ndarray:
    if cache is not None and cache.is_file():
        try:
            known = np.load(cache, mmap_mode="r", allow_pickle=False)  # 10,000 films have 660 MB: read on demand
            if known.dtype == RECORD and known.ndim == 1:
                return known
        except (OSError, EOFError, ValueError):
            pass  # a file that cannot be read is replaced
    return np.empty(0, RECORD)


def _store(found: np.ndarray, cache: Path) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    with whole(cache) as temporary, temporary.open("wb") as file:
        np.save(file, found, allow_pickle=False)
