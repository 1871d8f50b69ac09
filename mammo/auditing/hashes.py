"""Eight perceptual hashes and a thumbnail of each film, computed in several processes and cached on disk."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
from numpy.lib import format as npy
from PIL import Image
from rich.console import Console
from rich.progress import track

from mammo.datasets.film import read_film, read_levels
from mammo.errors import EmptyFilm, UnreadableFilm
from mammo.files import locked, whole
from mammo.formats import READING_VERSION
from mammo.formats.remembered import state_of
from mammo.paths import home
from mammo.processes.workers import shared_out

VERSION = "v3"  # of the records; raise it whenever a hash, a thumbnail or a key changes
SIDE = 256  # of a thumbnail, in pixels
AT_ONCE = 100  # records that are written together, 7 MB
SYMMETRIES = [
    "not turned", "rotated by 90", "rotated by 180", "rotated by 270",
    "mirrored", "mirrored and rotated by 90", "mirrored and rotated by 180", "mirrored and rotated by 270",
]  # fmt: skip
_BITS = 16  # along a side of the hash: 0.01 % of distinct pairs are as near as the worst copy; with 8 bits 1.4 %
RECORD = np.dtype([("key", "S64"), ("hashes", "<u8", (len(SYMMETRIES), _BITS**2 // 64)), ("thumb", "u1", (SIDE, SIDE))])


def turned(pixels: np.ndarray, symmetry: int) -> np.ndarray:
    """Return a square image turned by one of `SYMMETRIES`, given by its position; the negative from 8 on."""
    pixels, symmetry = (pixels if symmetry < len(SYMMETRIES) else 255 - pixels), symmetry % len(SYMMETRIES)
    return np.ascontiguousarray(np.rot90(pixels[:, ::-1] if symmetry >= 4 else pixels, symmetry % 4))


def read_grey(path: Path) -> np.ndarray:
    """Read a film as (height, width) uint8; deeper levels are scaled from their 0.1th to 99.9th percentile.

    A film of one level is read too: it is blank, which is a fact about it.

    Raises:
        UnreadableFilm: The file cannot be used as a film.
    """
    try:
        pixels = read_film(path).pixels
    except EmptyFilm:
        pixels = read_levels(path)
    if pixels.dtype != np.uint8:
        low, high = np.percentile(pixels, [0.1, 99.9])
        pixels = np.clip((pixels - low) * (255.0 / max(high - low, 1e-9)), 0, 255).astype(np.uint8)
    return pixels


def shrunk(film: np.ndarray, factor: float) -> np.ndarray:
    """Return a film (height, width) made smaller by a factor of at most 1; each side keeps at least one pixel."""
    if factor >= 1:
        return film
    down, across = (max(factor, 1 / length) for length in film.shape)
    return cv2.resize(film, None, fx=across, fy=down, interpolation=cv2.INTER_AREA)


def record(film: np.ndarray, key: bytes = b"") -> np.ndarray:
    """Return the record of a film (height, width) uint8 as a `RECORD`."""
    thumb = cv2.resize(film, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    small = cv2.resize(thumb, (4 * _BITS, 4 * _BITS), interpolation=cv2.INTER_AREA)
    bits = [
        imagehash.phash(Image.fromarray(turned(small, symmetry)), hash_size=_BITS).hash.ravel()
        for symmetry in range(len(SYMMETRIES))
    ]
    return np.array((key, np.packbits(bits, axis=1).view("<u8"), thumb), RECORD)


@dataclass(frozen=True)
class Records:
    """The records of films: like an array of `RECORD`, but the thumbnails stay on disk until they are looked at.

    Attributes:
        key: (films,) the names of the files as they are now.
        hashes: (films, symmetries, words) uint64.
        thumb: The thumbnail (side, side) uint8 of each film, mapped from the file of its source.
        unkept: A line that says why the records could not be kept for the next run; empty if they were.
    """

    key: np.ndarray
    hashes: np.ndarray
    thumb: list[np.ndarray]
    unkept: str = ""

    @classmethod
    def of(cls, known: list[np.ndarray], rows: list[int], unkept: str = "") -> "Records":
        """Return some rows of arrays of `RECORD`, counted through all of them."""
        key, hashes = (np.concatenate([part[name] for part in known])[rows] for name in ("key", "hashes"))
        thumbs = [thumb for part in known for thumb in np.asarray(part["thumb"])]
        return cls(key, hashes, [thumbs[row] for row in rows], unkept)

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


def records(
    paths: Sequence[Path], cache: Path | None = None, own: Path | None = None
) -> tuple[Records, dict[int, str]]:
    """Return the records of the films that can be read, and the reason of each other film by its place in `paths`.

    Of processes that add to one file one hashes, with all cores, while the others wait and find the records there.

    Args:
        paths: The files of the films.
        cache: A file of records; unchanged films (see `key_of`) are taken from it and from those of its shards, and
            those that are missing are added as they come. If some of its films are not asked for, they are kept.
            None reads all films.
        own: The file from `shard_of` that missing films are added to, in place of `cache`.

    Returns:
        The records, in the order of `paths`, and the reasons.
    """
    keys = [key_of(path) for path in paths]
    known, reasons, unkept = _known(cache), dict[int, str](), ""
    own = own or cache
    if set(keys) - _keys(known):
        with nullcontext() if own is None else locked(own.with_suffix(".lock")):
            known, reasons, unkept = _completed(paths, keys, cache, own)
    at = {key: row for row, key in enumerate(key for part in known for key in part["key"].tolist())}
    for row, key in enumerate(keys):
        if key not in at:
            reasons.setdefault(row, f"{paths[row]}: it or its record changed while films were read; run again")
    return Records.of(known, [at[key] for row, key in enumerate(keys) if row not in reasons], unkept), reasons


def _completed(
    paths: Sequence[Path], keys: Sequence[bytes], cache: Path | None, own: Path | None
) -> tuple[list[np.ndarray], dict[int, str], str]:
    """Return all records of a cache when those that it lacks are added, the reasons of films without, and `unkept`.

    If `own` cannot be written, the records are held in the memory instead.
    """
    unkept = ""
    there = _keys(_known(cache))
    missing = [row for row, key in enumerate(keys) if key not in there]
    reasons: dict[int, str] = {}
    block: list[np.ndarray] = []
    made = shared_out(lambda row: record(read_grey(paths[row]), keys[row]), missing, alone=True)
    bar = track(
        made,
        f"hashing {len(missing)} film{'s' * (len(missing) != 1)}",
        total=len(missing),
        console=Console(stderr=True),
    )
    try:
        for row, one in zip(missing, bar, strict=True):
            if isinstance(one, UnreadableFilm):
                reasons[row] = str(one) if str(paths[row]) in str(one) else f"{paths[row]}: {one}"
            elif keys[row]:
                block.append(one)
            if own is not None and len(block) >= AT_ONCE and not unkept:
                block, unkept = _kept(block, own)
    finally:  # what was hashed is kept, even if the user stops it here
        if own is not None and block and not unkept:
            block, unkept = _kept(block, own)
    return [*_known(cache), np.array(block, RECORD)], reasons, unkept


def hash_shard(paths: Sequence[Path], sources: Sequence[Path], shard: tuple[int, int]) -> tuple[int, int, list[str]]:
    """Hash each film of a shard that has no record, into a file of the shard's own, which `records` finds.

    Args:
        paths: The files of all films.
        sources: The folder or table that each film comes from.
        shard: The number of the shard, from 0, and the number of shards.

    Returns:
        The number of films of the shard, how many of them were hashed now, and why others cannot be.
    """
    films, hashed, reasons = 0, 0, list[str]()
    for source in dict.fromkeys(sources):
        of_source = [path for path, one in zip(paths, sources, strict=True) if one == source]
        mine, cache = of_source[shard[0] :: shard[1]], cache_of(source)
        missing = len(unhashed(mine, [source] * len(mine)))
        _, lost = records(mine, cache, shard_of(cache, shard))
        films, hashed = films + len(mine), hashed + missing - len(lost)
        reasons += lost.values()
    return films, hashed, reasons


def unhashed(paths: Sequence[Path], sources: Sequence[Path]) -> list[Path]:
    """Return the films that have no record in the cache of their source."""
    there = {source: _keys(_known(cache_of(source))) for source in set(sources)}
    return [path for path, source in zip(paths, sources, strict=True) if key_of(path) not in there[source]]


def _kept(block: list[np.ndarray], cache: Path) -> tuple[list[np.ndarray], str]:
    """Add records to a cache; return those that it does not hold now, and the reason as a line."""
    try:
        _add(block, cache)
    except OSError as error:
        why = error.strerror or f"{error}, as on a full disk"  # for which NumPy has no number
        return block, (
            f"what was computed of the films is not kept for the next audit: {cache.parent}: {why}; name another "
            "folder by MAMMO_HOME"
        )
    return [], ""


def records_of(paths: Sequence[Path], sources: Sequence[Path]) -> tuple[Records, dict[int, str]]:
    """Return the records of films as `records` does, each from the cache of its source.

    Args:
        paths: The files of the films.
        sources: The folder or table that each film comes from.
    """
    parts, places, reasons = list[Records](), list[int](), dict[int, str]()
    for source in dict.fromkeys(sources):
        rows = [row for row, one in enumerate(sources) if one == source]
        made, lost = records([paths[row] for row in rows], cache_of(source))
        parts.append(made)
        places += [row for at, row in enumerate(rows) if at not in lost]
        reasons |= {rows[at]: why for at, why in lost.items()}
    if len(parts) == 1:
        return parts[0], reasons
    order = np.argsort(places)
    thumbs = [thumb for part in parts for thumb in part.thumb]
    unkept = next((part.unkept for part in parts if part.unkept), "")
    key, hashes = (np.concatenate([part[name] for part in parts])[order] for name in ("key", "hashes"))
    return Records(key, hashes, [thumbs[at] for at in order], unkept), reasons


def cache_of(source: Path) -> Path:
    """Return the path in `MAMMO_HOME` of the records of a folder's or table's films."""
    return (
        home()
        / "hashes"
        / f"{VERSION}.{READING_VERSION}-{hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:20]}.npy"
    )


def shard_of(cache: Path, shard: tuple[int, int]) -> Path:
    """Return the file beside a cache that a shard, its number from 0 and their number, adds to."""
    return cache.with_name(f"{cache.stem}-{shard[0] + 1}of{shard[1]}.npy")


def key_of(path: Path) -> bytes:
    """Return what names the file as it is now; nothing if it is not there."""
    try:
        state = state_of(path.stat())
    except OSError:
        return b""
    return hashlib.sha256(f"{path.resolve()} {state}".encode()).hexdigest().encode()


def _known(cache: Path | None) -> list[np.ndarray]:
    """Return the records of a cache and of its shards."""
    shards = [] if cache is None else sorted(cache.parent.glob(f"{cache.stem}-*.npy"))
    return [_cached(one) for one in (cache, *shards)]


def _keys(known: list[np.ndarray]) -> set[bytes]:
    return {key for part in known for key in part["key"].tolist()}


def _cached(cache: Path | None) -> np.ndarray:
    if cache is not None and cache.is_file():
        try:
            known = np.load(cache, mmap_mode="r", allow_pickle=False)  # 10,000 films have 660 MB: read on demand
            if known.dtype == RECORD and known.ndim == 1:
                return known
        except (OSError, EOFError, ValueError):
            pass  # a file that cannot be read is replaced
    return np.empty(0, RECORD)


def _add(block: list[np.ndarray], cache: Path) -> None:
    """Add records at the end of a cache. Its header counts them and is written last: a kill loses one block."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    before, made = len(_cached(cache)), np.array(block, RECORD)
    if not before:  # there is no file, or one that cannot be read
        with whole(cache) as temporary, temporary.open("wb") as file:
            np.save(file, made, allow_pickle=False)
        return
    with cache.open("r+b") as file:
        npy.read_magic(file)
        npy.read_array_header_1_0(file)  # NumPy leaves room in it for a larger number
        file.seek(before * RECORD.itemsize, os.SEEK_CUR)
        file.write(made.tobytes())
        file.flush()
        file.seek(0)
        npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(made) | {"shape": (before + len(made),)})
