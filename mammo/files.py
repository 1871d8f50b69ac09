"""Files that are written completely or not at all, locks, and folders for temporary files."""

import errno
import fcntl
import hashlib
import json
import logging
import multiprocessing
import os
import re
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mammo.errors import NO_SPACE, InputError, content_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


log = logging.getLogger(__name__)
TELL_S = 5.0  # wait for a lock without a word
TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)  # of a rename to a name that another one has


@contextmanager
def told_when_slow(path: Path) -> Iterator[None]:
    """Say which file's lock is waited for if it takes long: a file system of a network may give none, and no error."""
    said = "wait   the lock of %s is not given: another process has it, or its file system gives no locks"
    timer = threading.Timer(TELL_S, log.warning, (said, path))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a file, which ends with its process; yield False if another holds it and `wait` is False.

    On a file system without locks it is as if no other process held it.
    """
    free = True
    with ExitStack() as held:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context(path.open("w"))
            try:
                with told_when_slow(path):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                free = wait
                if wait:
                    log.info("cache: another process is filling %s; waiting for it", path.parent)
                    fcntl.flock(lock, fcntl.LOCK_EX)
        yield free


@contextmanager
def _told_of(target: Path, temporary: Path) -> Iterator[None]:
    """Let errors name the file or folder that is made, and not a temporary one; a disk that is full names none."""
    try:
        yield
    except OSError as error:
        if str(error.filename or "").startswith(str(temporary)) or (error.errno in NO_SPACE and not error.filename):
            error.filename = str(target)
        raise


def take_name(made: Path, target: Path) -> None:
    """Give a file or folder that is made its name, which another process may have taken meanwhile.

    Raises:
        InputError: The name is taken; what bears it stays.
    """
    try:
        if made.is_dir():
            made.rename(target)
            return
        with suppress(OSError):  # a file system without links
            os.link(made, target)
            return
        if target.exists():
            raise FileExistsError
        made.rename(target)
    except OSError as error:
        if error.errno not in TAKEN and not isinstance(error, FileExistsError):
            raise
        raise InputError(
            f"{target} was made by another process meanwhile, and is not overwritten; give another name"
        ) from None


@contextmanager
def whole(path: Path, *, new: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write to, which is renamed to `path` if no error occurs.

    So a full disk or a kill leaves the previous file unchanged; a temporary file that a kill leaves behind is removed
    when the file is written again. Two processes may write the same file at once.

    Args:
        path: The file.
        new: True refuses to replace a file, also one that another process has made meanwhile.
    """
    remove_abandoned(path.parent, f"*-{path.name}.tmp")
    temporary = path.with_name(f"{owned()}{path.name}.tmp")
    try:
        with _told_of(path, temporary):
            yield temporary
            if new:
                take_name(temporary, path)
            else:
                temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(text: str, path: Path) -> None:
    """Write a text completely or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text)


def write_json(content: object, path: Path) -> None:
    """Write JSON completely or not at all; NaN is an error."""
    write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", path)


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        InputError: The file does not exist or is not JSON.
    """
    if not path.is_file():
        raise InputError(f"no {path.name} in {path.parent}; name a run folder that `train.py` has finished")
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON, but it cannot be read ({error})") from None


def read_arrays(path: Path) -> "dict[str, np.ndarray]":
    """Read the arrays of a safetensors file, by name.

    Raises:
        InputError: The file is damaged, or another one.
    """
    from safetensors.numpy import load_file  # noqa: PLC0415 - numpy, which writing files does not need

    with content_of(path):
        return load_file(path)


def write_table(table: "pd.DataFrame", path: Path, *, new: bool = False) -> None:
    """Write a table as CSV completely or not at all; `.xz` is compressed; `new` is as of `whole`."""
    with whole(path, new=new) as temporary:
        compression = "xz" if path.suffix == ".xz" else None
        table.to_csv(temporary, index=False, lineterminator="\n", compression=compression)


def check_new_table(path: Path, option: str) -> None:
    """Refuse the name of a table to write that exists, or whose ending is that of another kind than CSV."""
    if not path.name.lower().endswith((".csv", ".csv.xz")):
        raise InputError(f"{path}: a table is written as CSV; name a file that ends in .csv with {option}")
    if path.exists():
        raise InputError(f"{path} exists and is not overwritten; name another file with {option}")


def check_own_folder(folder: Path, names: Iterable[str], option: str, mark: str | None = None) -> None:
    """Refuse a folder that holds anything but what is written there, so that nothing of another origin is replaced.

    Args:
        folder: The folder; it need not exist.
        names: The names of the files that are written there, in which * stands for any signs; none: it must be empty.
        option: The option that names the folder, for the error.
        mark: A file that a folder which was written before has; None needs none.
    """
    there = sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []
    others = [one for one in there if not any(fnmatchcase(one, name) for name in names)]
    if others or (there and mark is not None and mark not in there):
        raise InputError(
            f"{folder} has {(others or there)[0]}, which is not of this command, so nothing is written there; "
            f"name a new folder with {option}"
        )


def check_own_picture(path: Path, title: str, option: str) -> None:
    """Refuse to replace a file that is no picture with this title, which `figures.save` writes into the file."""
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: a picture is written as PNG; name a file that ends in .png with {option}")
    if path.is_file():
        with path.open("rb") as file:
            own = title.encode() in file.read(4096)  # the bytes in which the texts of a PNG file lie
        if not own:
            raise InputError(f"{path} exists and is no picture of {title}; name another file with {option}")


def owned() -> str:
    """Return the prefix of a temporary name: the machine and the process that it belongs to."""
    return f"{socket.gethostname()}-{os.getpid()}-"


def remove_abandoned(folder: Path, pattern: str) -> None:
    """Remove files and folders that match `pattern` and are `owned` by a process of this machine that has ended."""
    for path in folder.glob(pattern):
        owner = re.search(rf"{re.escape(socket.gethostname())}-(\d+)-", path.name)
        if owner and not Path("/proc", owner[1]).exists() and Path("/proc/self").exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files below a folder that only this process uses."""
    for path in folder.rglob("*.tmp"):
        if re.fullmatch(r".+-\d+-.+\.tmp", path.name):
            path.unlink(missing_ok=True)


def sha256_of(folder: Path, names: Iterable[str]) -> dict[str, str | None]:
    """Return the SHA-256 of files in a folder, by name; None of one that is not there."""
    found: dict[str, str | None] = dict.fromkeys(names)
    for name in found:
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


@contextmanager
def workshop(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target` in which to make it; such folders of killed processes are removed."""
    remove_abandoned(target.parent, f".{target.name}-*")
    begins = target.with_name(f".{target.name}-{owned()}")
    with _told_of(target, begins), tempfile.TemporaryDirectory(prefix=begins.name, dir=target.parent) as folder:
        yield Path(folder)


@contextmanager
def scratch(folder: Path, rank: int) -> Iterator[None]:
    """Keep all temporary files of a job's process and its children in one folder, which is removed before and after.

    The folder's name is derived from the job's folder, so a resumed job removes what a killed one left behind, with its
    semaphores in shared memory. It is not in the job's folder, whose path may be too long for a socket.
    """
    before, name = os.environ.get("TMPDIR"), hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    own = Path(tempfile.gettempdir(), f"mammo-{name}-{rank}")
    for killed in own.glob("process-*"):
        for semaphore in Path("/dev/shm").glob(f"sem.*-{killed.name.removeprefix('process-')}-*"):
            semaphore.unlink(missing_ok=True)
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    (own / f"process-{os.getpid()}").touch()
    names = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    prefix = names["semprefix"]
    names["semprefix"] = f"/mp-{os.getpid()}"  # of semaphores, which a SIGKILL to all processes leaves behind
    os.environ["TMPDIR"], tempfile.tempdir = str(own), None
    try:
        yield
    finally:
        shutil.rmtree(own, ignore_errors=True)
        names["semprefix"] = prefix
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before
        tempfile.tempdir = None
