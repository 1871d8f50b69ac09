"""Eight perceptual hashes and a thumbnail of each film, computed in threads and cached on disk."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import imagehash
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

from mammo.errors import InputError
from mammo.files import whole
from mammo.paths import home

VERSION = "v1"  # of the records; raise it whenever a hash or a thumbnail changes
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


def read_film(path: Path) -> np.ndarray:
    """Read an image as (height, width) uint8; deeper levels are scaled from their 0.1th to 99.9th percentile.

    Raises:
        InputError: The file is not an image that can be read.
    """
    try:
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    except (OSError, cv2.error):
        pixels = None
    if pixels is None:
        raise InputError(f"{path}: expected an image (pgm, png, jpg, tif, bmp), found none; mend or remove the file")
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


def records(paths: Sequence[Path], cache: Path | None = None) -> np.ndarray:
    """Return the records of films, (films,) of type `RECORD`, in the order of `paths`.

    Args:
        paths: The files of the films.
        cache: A file of records; films of the same path, size and time are taken from it. If any is missing, the
            file is replaced by the records of these films. None reads all films.
    """
    keys = [_key(path) for path in paths]
    known = _cached(cache)
    at = {key: row for row, key in enumerate(known["key"])}
    missing = [row for row, key in enumerate(keys) if key not in at]
    if not missing and len(known) == len(keys):
        return known[[at[key] for key in keys]] if list(known["key"]) != keys else known
    found = np.empty(len(paths), RECORD)
    for row, key in enumerate(keys):
        if key in at:
            found[row] = known[at[key]]
    with ThreadPoolExecutor() as pool:
        read = pool.map(lambda row: record(read_film(paths[row]), keys[row]), missing)
        bar = track(read, f"hashing {len(missing)} films", total=len(missing), console=Console(stderr=True))
        for row, made in zip(missing, bar, strict=True):
            found[row] = made
    if cache is not None:
        _store(found, cache)
    return found


def cache_of(source: Path) -> Path:
    """Return the path in `MAMMO_HOME` of the records of a folder's or table's films."""
    return home() / "hashes" / f"{VERSION}-{hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:20]}.npy"


def _key(path: Path) -> bytes:
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"{path}: expected a film, found none ({error.strerror}); mend its path") from error
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
