"""Arrays on disk that are made once. Each is named by the digest of all that determines it, so none is out of date.

A store is a folder of blocks: safetensors files that are memory-mapped when they are read. A block is written under
a temporary name and then renamed, so a killed run loses only the block that it was writing. Jobs that add to the same
store wait for each other (`Store.building`), so each array is made once. A store that a living process has read from is
not removed: the process holds a lock of it.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
import uuid
import zlib
from collections.abc import Collection, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from mammo.errors import InputError
from mammo.files import locked, owned, remove_abandoned, told_when_slow, whole

log = logging.getLogger(__name__)

USED = "used"  # the file of a store whose lock is shared by the processes that read from it
_used: dict[Path, TextIO] = {}  # those that this process holds, by store
LOOK_S = 0.5  # between two looks for arrays that another machine stores
TYPES = {"U8": np.uint8, "U16": np.uint16, "F64": np.float64}  # of arrays that are mapped, by their names in the files
KINDS = ("crops", "trunks", "maps", "gans", "hashes", "headers")  # folders of MAMMO_HOME that can be made again


def digest(facts: Mapping[str, object]) -> str:
    """Return twenty hexadecimal digits that name `facts`."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]


class Store:
    """A folder of arrays, each with a name.

    Args:
        folder: The folder.
        mapped: True gives arrays as parts of a `np.memmap` of their file (`TYPES` only), which take less memory than
            tensors.
    """

    def __init__(self, folder: Path, *, mapped: bool = False) -> None:
        self.folder, self.read = folder, _mapped if mapped else _tensors
        self._names: dict[Path, np.ndarray] = {}  # short digests of the names in each file, which never changes

    def load(self, keys: Collection[str]) -> dict[str, Any]:
        """Return the arrays of `keys` that exist, memory-mapped.

        A damaged file is removed. One that the disk does not give is left for another time. The store is in use until
        this process ends, see `in_use`.
        """
        _hold(self.folder)
        found: dict[str, Any] = {}
        digests = np.fromiter((zlib.crc32(key.encode()) for key in keys), np.uint32, len(keys))
        for path in sorted(self.folder.glob("*.safetensors")):
            if path in self._names and not np.isin(self._names[path], digests).any():
                continue
            try:
                with safe_open(path, framework="pt") as block:
                    names = block.keys()
                self._names[path] = np.array([zlib.crc32(name.encode()) for name in names], np.uint32)
                if asked := [name for name in names if name in keys]:
                    found |= self.read(path, asked)
                    with contextlib.suppress(OSError):
                        os.utime(path)  # marks the use: `bound` removes the longest unused first
            except SafetensorError:
                with contextlib.suppress(OSError):
                    path.unlink()
            except OSError:
                continue
        return found

    def load_all(self, keys: Collection[str], patience_s: float = 0.0) -> dict[str, Any]:
        """Return the arrays of all `keys`, which existed before or have just been stored.

        Args:
            keys: The names of the arrays.
            patience_s: The time in seconds to wait for those that another machine has just stored.

        Raises:
            InputError: Some arrays are missing.
        """
        found, deadline = self.load(keys), time.monotonic() + patience_s
        while lacking := len(set(keys) - set(found)):
            if time.monotonic() >= deadline:
                raise InputError(
                    f"{self.folder}: {lacking} cached arrays are missing; they were removed during the run, or another "
                    "machine has its own folder; run again, and set MAMMO_HOME to a folder that all machines see"
                )
            time.sleep(LOOK_S)
            self._refresh()
            found = self.load(keys)
        return found

    def _refresh(self) -> None:
        """Add and remove a file, so that a network file system lists the folder anew instead of from its memory."""
        with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(dir=self.folder, prefix=owned(), suffix=".tmp"):
            pass

    def store(self, arrays: Mapping[str, torch.Tensor]) -> None:
        """Add a block.

        Raises:
            InputError: The block cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole(self.folder / f"{uuid.uuid4().hex}.safetensors") as temporary:
                temporary.write_bytes(save({key: tensor.clone().contiguous() for key, tensor in arrays.items()}))
        except OSError as error:
            raise InputError(
                f"{self.folder}: the cache cannot be written ({error.strerror}); "
                "free space, for example with `python -m mammo data cache --clear`, or use data.cache=false"
            ) from error

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """Let one job in at a time; once inside, look again for what is still missing.

        The lock ends with its process. On a file system without locks two jobs may do the same work, which is harmless.
        """
        with locked(self.folder / "lock"):
            remove_abandoned(self.folder, "*.tmp")
            yield

    def shares(self, own: int, count: int, wanted: Collection[int]) -> Generator[int, None, None]:
        """Yield shares of the work one after another, each while this process alone holds it; look again what it lacks.

        The process's own share comes first, then those that no process holds, because theirs has ended or has not
        begun, and at last those that others held, when these have let go. Processes that deal the work to another
        number of shares wait meanwhile. Without locks, work may be done twice.

        Args:
            own: The number of this process's share, from 0.
            count: The number of shares.
            wanted: The numbers of the shares that may lack something.
        """
        order = [share % count for share in range(own, own + count) if share % count in wanted]
        if not order:
            return
        with self._dealt(count):
            remove_abandoned(self.folder, "*.tmp")
            for wait in (False, True):
                for share in list(order):
                    with locked(self.folder / f"share-{share}-of-{count}.lock", wait=wait) as free:
                        if free:
                            order.remove(share)
                            self._refresh()
                            yield share

    @contextlib.contextmanager
    def _dealt(self, count: int) -> Iterator[None]:
        """Let in the processes that deal the work to `count` shares; those of another number wait until all have left.

        The file `dealt` has the number. Whoever is inside shares its lock; who finds nobody inside writes the number.
        """
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):
                self.folder.mkdir(parents=True, exist_ok=True)
                lock = held.enter_context(os.fdopen(os.open(self.folder / "dealt", os.O_RDWR | os.O_CREAT)))
                while True:
                    with contextlib.suppress(BlockingIOError):
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        os.pwrite(lock.fileno(), b"%8d" % count, 0)
                    fcntl.flock(lock, fcntl.LOCK_SH)  # another process may come first, so look again
                    if os.pread(lock.fileno(), 8, 0) == b"%8d" % count:
                        break
                    log.info("cache: a job of another number of processes is filling %s; waiting for it", self.folder)
                    fcntl.flock(lock, fcntl.LOCK_UN)
                    fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _hold(folder: Path) -> None:
    """Share the lock of a store until this process and its children end."""
    if folder in _used or not folder.is_dir():
        return
    with contextlib.suppress(OSError):  # no locks there, or a folder that is only read
        lock = (folder / USED).open("w")
        with told_when_slow(folder / USED):
            fcntl.flock(lock, fcntl.LOCK_SH)
        _used[folder] = lock


@contextlib.contextmanager
def in_use(home: Path) -> Iterator[set[Path]]:
    """Yield the stores that living processes have read from; none begins to read from another one meanwhile."""
    with contextlib.ExitStack() as held:
        locks = [path for kind in KINDS for path in sorted((home / kind).glob(f"*/{USED}"))]
        yield {path.parent for path in locks if not held.enter_context(locked(path, wait=False))}


def _tensors(path: Path, keys: list[str]) -> dict[str, torch.Tensor]:
    with safe_open(path, framework="pt") as block:
        return {key: block.get_tensor(key) for key in keys}


def _mapped(path: Path, keys: list[str]) -> dict[str, np.ndarray]:
    content = np.asarray(np.memmap(path, np.uint8, "c"))  # who writes to a copy-on-write map spoils his own
    first = 8 + int.from_bytes(content[:8].tobytes(), "little")  # safetensors: a length, then JSON, then the arrays
    header = json.loads(content[8:first].tobytes())
    found = {}
    for key in keys:
        start, end = header[key]["data_offsets"]
        part = content[first + start : first + end].view(TYPES[header[key]["dtype"]])
        found[key] = part.reshape(header[key]["shape"])
    return found


def parse_bytes(text: str) -> int:
    """Return the bytes of a text such as 500MB or 2.5 GB, whose units are powers of ten.

    Raises:
        InputError: The text is not a size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", text.strip())
    if match is None:
        raise InputError(f"'{text}' is not a size; expected bytes such as 500MB or 2.5GB")
    return round(float(match[1]) * 1000 ** " kMGT".index(match[2] or " "))


def _files(home: Path) -> list[Path]:
    """Return all files of all caches, with the temporary ones that a killed run may have left."""
    found = [path for kind in KINDS for path in sorted((home / kind).rglob("*"))]
    return [path for path in found if path.is_file() and path.name != USED]


def sizes(home: Path) -> dict[str, tuple[int, int]]:
    """Return the number of files and the number of bytes of each kind of cache."""
    found = dict.fromkeys(KINDS, (0, 0))
    for path in _files(home):
        kind = path.relative_to(home).parts[0]
        found[kind] = found[kind][0] + 1, found[kind][1] + path.stat().st_size
    return found


def clear(home: Path) -> list[Path]:
    """Remove all caches, and nothing else; return the stores that are kept, because they are in use."""
    with in_use(home) as busy:
        for kind in KINDS:
            for path in [*(home / kind).glob("*")]:
                if path.is_file():
                    path.unlink(missing_ok=True)
                elif path not in busy:
                    shutil.rmtree(path, ignore_errors=True)
        return sorted(busy)


def bound(home: Path, most: int) -> list[Path]:
    """Remove the files that have not been used for longest, until at most `most` bytes are left.

    Returns:
        If more is left: the stores that are in use, which are kept.
    """
    # Locks and unfinished files have other suffixes.
    complete = [path for path in _files(home) if path.suffix in (".safetensors", ".npy", ".npz")]
    files = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in complete)
    total = sum(size for _, size, _ in files)
    with in_use(home) as busy:
        for _, size, path in files:
            if total <= most:
                return []
            if path.parent not in busy:
                path.unlink(missing_ok=True)
                total -= size
        return sorted(busy) if total > most else []
