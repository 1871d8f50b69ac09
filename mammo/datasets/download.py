"""Downloads and archives. A file or folder appears under its own name only when it is complete."""

import fcntl
import gzip
import http.client
import os
import socket
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from rich.console import Console
from rich.progress import Progress

from mammo.errors import InputError
from mammo.files import told_when_slow, workshop

BACKOFF_S = 0.3  # the pauses before the attempts are 0, 1, 3, 7, ... times this
CHUNK_BYTES = 1 << 20


def fetch(url: str, target: Path, *, attempts: int = 5, timeout_s: float = 30.0) -> Path:
    """Download `url` to `target` through `<target>.part`, which a later attempt or process continues.

    Raises:
        OSError: All attempts failed, or the server refused the request (4xx: no second attempt).
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part, tag = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.part.tag")
    with part.open("ab") as file, Progress(console=Console(stderr=True)) as bar:
        with suppress(OSError), told_when_slow(part):  # there may be no locks
            fcntl.flock(file, fcntl.LOCK_EX)  # another process may be downloading: wait, then look at what it left
        file.seek(0, os.SEEK_END)
        if target.exists():
            part.unlink(missing_ok=True)
            return target
        if os.fstat(file.fileno()).st_nlink == 0:  # another process removed it while this one waited
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
                no_network = isinstance(getattr(error, "reason", None), socket.gaierror)
                if no_network or (isinstance(error, urllib.error.HTTPError) and error.code < 500):
                    break
        kept = file.tell()
        if not kept:
            part.unlink(missing_ok=True)
            tag.unlink(missing_ok=True)
        raise ConnectionError(
            f"{url}: {why}; {kept} bytes are kept in {part}; run the command again to continue, "
            f"or put the file at {target} yourself"
        )


def _receive(url: str, file: BinaryIO, tag: Path, timeout_s: float, show: Callable[[int, int | None], None]) -> None:
    """Request once what `file` lacks; return when it is complete. `tag` keeps the full size and the version."""
    have = file.tell()
    size, _, version = tag.read_text("latin-1").partition("\n") if have and tag.exists() else ("", "", "")
    headers = ({"Range": f"bytes={have}-"} if have else {}) | ({"If-Range": version} if version else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416 may mean that nothing is missing
            raise
        response = error
    with response:
        if response.status == 200:  # the whole file: Range not sent, not supported, or of another version
            file.seek(file.truncate(0))
            size = "" if response.length is None else str(response.length)
            tag.write_text(f"{size}\n{response.headers['ETag'] or response.headers['Last-Modified'] or ''}", "latin-1")
        else:
            span = response.headers["Content-Range"] or ""
            total = span.rpartition("/")[2]
            fits = span.startswith(f"bytes {have}-") if response.status == 206 else span == f"bytes */{have}"
            if not (fits and total.isdecimal() and size in ("", total)):
                file.seek(file.truncate(0))
                raise ConnectionError(f"HTTP {response.status}, Content-Range '{span}' does not follow {have} bytes")
            if response.status == 416:
                return
            size = total
        expected = int(size) if size else None
        response.length = None  # read on beyond Content-Length, so that extra bytes are noticed
        while (expected is None or file.tell() <= expected) and (chunk := response.read1(CHUNK_BYTES)):
            file.write(chunk)
            show(file.tell(), expected)
    file.flush()
    if expected is not None and (done := file.tell()) != expected:
        file.seek(file.truncate(0 if done > expected else done))  # after extra bytes, none is trusted
        raise ConnectionError(f"the server announced {expected} bytes and sent {done}")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that is renamed to `folder` at the end, unless an error or a faster process prevents it.

    Raises:
        InputError: `folder` exists and holds other files.
    """
    folder = folder.resolve()  # a rename would replace a link, not its target
    folder.parent.mkdir(parents=True, exist_ok=True)
    with workshop(folder) as temporary:
        made = temporary / folder.name  # a sub-folder, as the temporary folder is closed to the user's group
        made.mkdir()
        yield made
        try:
            made.rename(folder)
        except OSError as error:
            if not folder.exists():
                raise
            if lacking := {path.name for path in made.iterdir()} - {path.name for path in folder.glob("*")}:
                why = f"holds other files, and {min(lacking)} is not among them; name another folder"
                raise InputError(f"{folder} {why}") from error


def extract(archive: Path, folder: Path, *, expected: Callable[[str], int | None]) -> None:
    """Unpack all files of a tar or tar.gz into `folder`; on an error, none.

    Args:
        archive: Holds plain files, at most one sub-folder deep; the sub-folder's name is dropped.
        folder: The folder to create.
        expected: Gives the largest size in bytes of a file by its name; None if the name is not expected.

    Raises:
        InputError: The archive is damaged or holds something unexpected, or `folder` holds other files.
    """
    with whole_folder(folder) as unpacked:
        try:
            with tarfile.open(archive) as tar:
                _unpack(tar, archive, unpacked, expected)
            if not any(unpacked.iterdir()):
                raise InputError(f"{archive} holds no file; name the whole archive, or fetch it again")
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            if other := what_else(archive):
                raise InputError(f"{archive} is {other}") from error
            why = str(error).partition("\n")[0].rstrip(":")
            raise InputError(
                f"{archive} is truncated or corrupt ({why}); name a whole archive, or fetch it again"
            ) from error


def what_else(path: Path) -> str:
    """Return what a file is that should be a tar or tar.gz, with what to do; empty if its content may be one."""
    with path.open("rb") as file:
        head = file.read(1024)
    if not head:
        return "an empty file; fetch it again"
    if head.startswith(b"\x1f\x8b"):
        with suppress(OSError, EOFError, zlib.error), gzip.open(path) as packed:
            head = packed.read(1024)
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    shown = begin[:20].decode("ascii", "replace").split("\n")[0]
    if begin.startswith(b"<"):
        return (
            f"a web page or XML (it begins with {shown}): the archive has moved, or asks for a login; fetch it by hand"
        )
    if begin.startswith((b"PK", b"7z\xbc\xaf", b"Rar!")):
        kind = "a zip" if begin.startswith(b"PK") else "a 7z archive" if begin.startswith(b"7z") else "a RAR archive"
        return f"{kind}: unpack it, and name the folder of the films by data.root"
    if begin.startswith((b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"P5")):
        return "a picture or a PDF; name the archive"
    if head.isascii() and b"\0" not in head and begin:
        return f"a text (it begins with {shown}), not an archive; fetch it by hand"
    return ""


def _unpack(tar: tarfile.TarFile, archive: Path, folder: Path, expected: Callable[[str], int | None]) -> None:
    for member in tar:
        path, why = PurePosixPath(member.name), ""
        limit, source = expected(path.name), tar.extractfile(member) if member.isreg() else None
        if path.is_absolute() or ".." in path.parts or len(path.parts) > 2:
            why = "its path leads out of the folder"
        elif source is None:
            why = "" if member.isdir() else "it is a link or a device"
        elif limit is None or member.size > limit:
            why = "its name is not expected" if limit is None else f"it has more than {limit} bytes"
        elif (folder / path.name).exists():
            why = "its name occurs twice"
        else:
            (folder / path.name).write_bytes(source.read())
        if why:
            error = f"member '{member.name}' is refused: {why}"
            raise InputError(f"{archive}: {error}; delete the archive and fetch it again")
    if (stream := tar.fileobj) is not None:
        stream.seek(tar.offset)  # tarfile stops here at the end, but also at a damaged header or a cut
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("its end mark is missing")
        while stream.read(CHUNK_BYTES):  # gzip checks its checksum at the very end
            pass
