"""Files that are written whole or not at all, and a place for those that only a running process needs."""

import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mammo.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to, which becomes `path` when nothing went wrong.

    A full disk or a kill so leaves the file that was there before; what a kill leaves of the temporary one goes when
    the file is written again. Two processes may write one file at once.
    """
    remove_abandoned(path.parent, f"*-{path.name}.tmp")
    temporary = path.with_name(f"{owned()}{path.name}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(text: str, path: Path) -> None:
    """Write a text, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text)


def write_json(content: object, path: Path) -> None:
    """Write JSON whole, or not at all; NaN is an error."""
    write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", path)


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        InputError: There is no such file, or it holds no JSON.
    """
    if not path.is_file():
        raise InputError(f"no {path.name} in {path.parent}; name a run folder that `train.py` has finished")
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: expected JSON, found none ({error})") from None


def write_table(table: "pd.DataFrame", path: Path) -> None:
    """Write a table as CSV, whole or not at all; a name that ends with `.xz` is compressed."""
    with whole(path) as temporary:
        compression = "xz" if path.suffix == ".xz" else None
        table.to_csv(temporary, index=False, lineterminator="\n", compression=compression)


def owned() -> str:
    """Return the start of a temporary name that tells which process of which machine it belongs to."""
    return f"{socket.gethostname()}-{os.getpid()}-"


def remove_abandoned(folder: Path, pattern: str) -> None:
    """Remove what `pattern` finds that is `owned` by a process of this machine that is gone."""
    for path in folder.glob(pattern):
        owner = re.search(rf"{re.escape(socket.gethostname())}-(\d+)-", path.name)
        if owner and not Path("/proc", owner[1]).exists() and Path("/proc/self").exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files below a folder that is this process's alone."""
    for path in folder.rglob("*.tmp"):
        if re.fullmatch(r".+-\d+-.+\.tmp", path.name):
            path.unlink(missing_ok=True)


@contextmanager
def workshop(target: Path) -> Iterator[Path]:
    """Give a folder beside `target` to make it in; those of processes that were killed are removed."""
    remove_abandoned(target.parent, f".{target.name}-*")
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-{owned()}", dir=target.parent) as folder:
        yield Path(folder)


@contextmanager
def scratch(folder: Path, rank: int) -> Iterator[None]:
    """Keep all temporary files of a job's process, and of those that it starts, in one folder, emptied at both ends.

    Its name follows from that of the job's folder: so what a kill left behind goes when the job goes on. It is not in
    the job's folder, whose path may be too long for a socket. What several devices need of shared memory goes too.
    """
    before, name = os.environ.get("TMPDIR"), hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
    own = Path(tempfile.gettempdir(), f"mammo-{name}-{rank}")
    for killed in own.glob("process-*"):
        for semaphore in Path("/dev/shm").glob(f"sem.*-{killed.name.removeprefix('process-')}-*"):
            semaphore.unlink(missing_ok=True)
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    (own / f"process-{os.getpid()}").touch()
    os.environ["TMPDIR"], tempfile.tempdir = str(own), None
    try:
        yield
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before
        tempfile.tempdir = None
