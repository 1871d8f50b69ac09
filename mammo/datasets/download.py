"""Files from the network and out of archives: whole under their own name, or not there at all."""

import fcntl
import gzip
import http.client
import os
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from rich.console import Console
from rich.progress import Progress

from mammo.errors import InputError
from mammo.files import workshop

BACKOFF_S = 0.3  # pauses before the attempts are 0, 1, 3, 7, ... times this
CHUNK_BYTES = 1 << 20


def fetch(url: str, target: Path, *, attempts: int = 5, timeout_s: float = 30.0) -> Path:
    """Download `url` to `target`, by way of `<target>.part`, from which a later attempt or process goes on.

    Raises:
        OSError: Not complete after all attempts, or refused (4xx: at once); says what is kept and what to do.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part, tag = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.part.tag")
    with part.open("ab") as file, Progress(console=Console(stderr=True)) as bar:
        fcntl.flock(file, fcntl.LOCK_EX)  # another process may be at it: wait, then see what it left
        file.seek(0, os.SEEK_END)
        if target.exists():
            part.unlink(missing_ok=True)
            return target
        if os.fstat(file.fileno()).st_nlink == 0:  # removed while we waited
            return fetch(url, target, attempts=attempts, timeout_s=timeout_s)
        task, why = bar.add_task(target.name, total=None), ""
        for attempt in range(attempts):
            time.sleep(BACKOFF_S * (2**attempt - 1))
            try:
                _receive(url, file, tag, timeout_s, lambda done, size: bar.update(task, completed=done, total=size))
                tag.unlink(missing_ok=True)
                return part.replace(target)
            except (OSError, http.client.HTTPException) as error:
                why = f"{' '.join(str(error).split()) or type(error).__name__} (attempt {attempt + 1} of {attempts})"
                if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                    break
        kept = file.tell()
        if not kept:
            part.unlink(missing_ok=True)
            tag.unlink(missing_ok=True)
        raise ConnectionError(
            f"{url}: {why}; {kept} bytes kept in {part}; run it again to go on, or put the file at {target} yourself"
        )


def _receive(url: str, file: BinaryIO, tag: Path, timeout_s: float, show: Callable[[int, int | None], None]) -> None:
    """Ask once for what `file` lacks; return when it is whole. `tag` holds size and version of what is there."""
    have = file.tell()
    size, _, version = tag.read_text("latin-1").partition("\n") if have and tag.exists() else ("", "", "")
    headers = ({"Range": f"bytes={have}-"} if have else {}) | ({"If-Range": version} if version else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # this one may say that nothing is lacking
            raise
        response = error
    with response:
        if response.status == 200:  # to a Range too: not supported, or the version is another
            file.seek(file.truncate(0))
            size = "" if response.length is None else str(response.length)
            tag.write_text(f"{size}\n{response.headers['ETag'] or response.headers['Last-Modified'] or ''}", "latin-1")
        else:
            span = response.headers["Content-Range"] or ""
            total = span.rpartition("/")[2]
            fits = span.startswith(f"bytes {have}-") if response.status == 206 else span == f"bytes */{have}"
            if not (fits and total.isdecimal() and size in ("", total)):
                file.seek(file.truncate(0))
                raise ConnectionError(f"HTTP {response.status}, Content-Range '{span}' does not continue {have} bytes")
            if response.status == 416:
                return
            size = total
        expected = int(size) if size else None
        response.length = None  # read as long as something comes, or bytes beyond Content-Length stay unseen
        while (expected is None or file.tell() <= expected) and (chunk := response.read1(CHUNK_BYTES)):
            file.write(chunk)
            show(file.tell(), expected)
    file.flush()
    if expected is not None and (done := file.tell()) != expected:
        file.seek(file.truncate(0 if done > expected else done))  # of too many bytes none is trusted
        raise ConnectionError(f"{expected} bytes announced, {done} received")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder that becomes `folder` when nothing went wrong, or if another process was faster, goes.

    Raises:
        InputError: `folder` holds other things.
    """
    folder = folder.resolve()  # a rename would replace a link, not what it leads to
    folder.parent.mkdir(parents=True, exist_ok=True)
    with workshop(folder) as temporary:
        made = temporary / folder.name  # the temporary folder itself is closed to the user's group
        made.mkdir()
        yield made
        try:
            made.rename(folder)
        except OSError as error:
            if lacking := {path.name for path in made.iterdir()} - {path.name for path in folder.glob("*")}:
                why = f"{error.strerror}, and {min(lacking)} is not in it; delete it or name another folder"
                raise InputError(f"{folder}: {why}") from error


def extract(archive: Path, folder: Path, *, expected: Callable[[str], int | None]) -> None:
    """Unpack a tar or tar.gz of plain files, at most one sub-folder deep, flat into `folder`: all or nothing.

    `expected` gives the largest size in bytes of a file of that name, None where no such file belongs there.

    Raises:
        InputError: The archive is damaged or holds what it should not (names the member); `folder` holds other things.
    """
    with whole_folder(folder) as unpacked:
        try:
            with tarfile.open(archive) as tar:
                _unpack(tar, archive, unpacked, expected)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            why = str(error).partition("\n")[0].rstrip(":")
            raise InputError(f"{archive}: truncated or corrupt ({why}); delete it and fetch again") from error


def _unpack(tar: tarfile.TarFile, archive: Path, folder: Path, expected: Callable[[str], int | None]) -> None:
    for member in tar:
        path, why = PurePosixPath(member.name), ""
        limit, source = expected(path.name), tar.extractfile(member) if member.isreg() else None
        if path.is_absolute() or ".." in path.parts or len(path.parts) > 2:
            why = "its path leads elsewhere"
        elif source is None:
            why = "" if member.isdir() else "it is a link or a device"
        elif limit is None or member.size > limit:
            why = "no such name belongs there" if limit is None else f"more than {limit} bytes"
        elif (folder / path.name).exists():
            why = "its name comes twice"
        else:
            (folder / path.name).write_bytes(source.read())
        if why:
            raise InputError(f"{archive}: member '{member.name}' refused, {why}; delete the archive and fetch again")
    if (stream := tar.fileobj) is not None:
        stream.seek(tar.offset)  # where tarfile stopped: at the end, but also at a damaged header or a clean cut
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("no mark at its end")
        while stream.read(CHUNK_BYTES):  # gzip compares its checksum at the very end
            pass
