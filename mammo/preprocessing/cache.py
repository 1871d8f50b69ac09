"""Arrays on disk that are made once, each named by the digest of all that determines it: none can go stale.

A store is a folder of blocks, safetensors files that are memory-mapped when they are read. A block is written under
a temporary name and renamed: a killed run loses the block it was at. Jobs that lack the same arrays wait for each
other (`Store.building`), so that each is made once; so do jobs that fill the same store with others. What a store
holds can be removed whenever no run is at work.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from mammo.errors import InputError
from mammo.files import remove_abandoned, whole

log = logging.getLogger(__name__)

KINDS = ("crops", "trunks", "gans", "hashes")  # folders of MAMMO_HOME whose content can be made again


def digest(facts: Mapping[str, object]) -> str:
    """Twenty hexadecimal digits that name `facts`."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]


class Store:
    """Arrays by name in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, keys: Collection[str]) -> dict[str, torch.Tensor]:
        """Return those of `keys` that are there, memory-mapped. A file that cannot be read is removed."""
        found: dict[str, torch.Tensor] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                with safe_open(path, framework="pt") as block:
                    asked = [key for key in block.keys() if key in keys]  # noqa: SIM118
                    found |= {key: block.get_tensor(key) for key in asked}
                if asked:
                    with contextlib.suppress(OSError):
                        os.utime(path)  # what was used last is removed last
            except (SafetensorError, OSError):
                path.unlink(missing_ok=True)
        return found

    def load_all(self, keys: Collection[str]) -> dict[str, torch.Tensor]:
        """All of `keys`, which were there or have been stored just now.

        Raises:
            InputError: Somebody has removed some.
        """
        found = self.load(keys)
        if lacking := len(set(keys) - set(found)):
            raise InputError(
                f"{self.folder}: {lacking} cached arrays were removed while a run used them, or another machine has "
                "them in a folder of its own; run it again, MAMMO_HOME where all machines see it"
            )
        return found

    def store(self, arrays: Mapping[str, torch.Tensor]) -> None:
        """Adds a block.

        Raises:
            InputError: It cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with whole(self.folder / f"{uuid.uuid4().hex}.safetensors") as temporary:
                temporary.write_bytes(save({key: tensor.clone().contiguous() for key, tensor in arrays.items()}))
        except OSError as error:
            raise InputError(
                f"{self.folder}: the cache cannot be written ({error.strerror}); "
                "free space, say by `python -m mammo data cache --clear`, or run with data.cache=false"
            ) from error

    @contextlib.contextmanager
    def building(self) -> Iterator[None]:
        """While one job is in here, others wait; look again inside for what is still lacking.

        The lock ends with its process. Where the file system has none, two jobs do the same work, and nothing wrong.
        """
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):
                lock = held.enter_context((self.folder / "lock").open("w"))
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    log.info("cache: another run is filling %s; waiting for it", self.folder)
                    fcntl.flock(lock, fcntl.LOCK_EX)
                remove_abandoned(self.folder, "*.tmp")
            yield


def parse_bytes(text: str) -> int:
    """Bytes from a number and a unit of ten's powers, say 500MB or 2.5 GB.

    Raises:
        InputError: Something else.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", text.strip())
    if match is None:
        raise InputError(f"'{text}' is no size; expected bytes, say 500MB or 2.5GB")
    return round(float(match[1]) * 1000 ** " kMGT".index(match[2] or " "))


def _files(home: Path) -> list[Path]:
    """All files of all caches; temporary ones, which a killed run may have left, included."""
    return [path for kind in KINDS for path in sorted((home / kind).rglob("*")) if path.is_file()]


def sizes(home: Path) -> dict[str, tuple[int, int]]:
    """Return the number of files and of bytes of each kind of cache."""
    found = dict.fromkeys(KINDS, (0, 0))
    for path in _files(home):
        kind = path.relative_to(home).parts[0]
        found[kind] = found[kind][0] + 1, found[kind][1] + path.stat().st_size
    return found


def clear(home: Path) -> None:
    """Removes all caches, and nothing else."""
    for kind in KINDS:
        shutil.rmtree(home / kind, ignore_errors=True)


def bound(home: Path, most: int) -> None:
    """Removes the files that were used longest ago until at most so many bytes are left."""
    whole = [path for path in _files(home) if path.suffix in (".safetensors", ".npy")]  # no lock, nothing in the making
    files = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in whole)
    total = sum(size for _, size, _ in files)
    for _, size, path in files:
        if total <= most:
            break
        path.unlink(missing_ok=True)
        total -= size
