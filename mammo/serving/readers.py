"""Processes that read and cut the films of a service, so that a film that kills or stops its decoder ends no service.

Each works on one film at a time. One that dies, or takes too long, is replaced; its film is refused with the reason.
"""

import logging
import multiprocessing
import queue
import signal
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2

from mammo.datasets.film import Film
from mammo.errors import InputError
from mammo.formats.header import Header, read_header
from mammo.inference.predictor import Point, Predictor, Seen
from mammo.serving.model import open_model

log = logging.getLogger(__name__)

DIED = "the process that read it died; a decoder failed, or memory was short"
BROKEN = (InputError, OSError, MemoryError)  # errors of one film


@dataclass(frozen=True)
class Ask:
    """A film to read.

    Attributes:
        content: The bytes of its file.
        laterality: left or right; None takes what the header says.
        spacing_mm: Side of a pixel; None takes what the header says.
        at: A point of it.
        name: Its name in reasons.
        whole: True for the film itself, False for what the network looks at.
    """

    content: bytes
    laterality: str | None = None
    spacing_mm: float | None = None
    at: Point | None = None
    name: str = "film"
    whole: bool = False


@dataclass(frozen=True)
class Read:
    """A film as it was read: its header, and what was asked for, or the reason why there is none."""

    header: Header
    seen: Seen | None = None
    film: Film | None = None
    refused: str | None = None


def read(predictor: Predictor[Any], ask: Ask, pixels: int) -> Read:
    """Read a film.

    Args:
        predictor: The run that will answer.
        ask: The film.
        pixels: The number of pixels above which none is decoded.
    """
    header = read_header(ask.content)
    if header.refused:
        return Read(header, refused=header.refused)
    if header.height * header.width > pixels:
        size = f"{header.height} x {header.width} pixels"
        return Read(header, refused=f"it states {size}; this service takes at most {pixels / 1e6:g} million")
    try:
        film = predictor.read(ask.content)
        if ask.whole:
            return Read(header, film=film)
        side, spacing = ask.laterality or header.laterality, ask.spacing_mm or header.spacing_mm
        return Read(header, predictor.see(film, at=ask.at, laterality=side, spacing_mm=spacing, name=ask.name))
    except BROKEN as error:
        return Read(header, refused=str(error) or "it does not fit into the memory")


def _work(connection: Connection, path: Path, head: str, pixels: int) -> None:
    """Read films until the service ends, which leaves this process's signals to itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    predictor = open_model(path, head)
    try:
        while True:
            connection.send(read(predictor, connection.recv(), pixels))
    except (EOFError, OSError):
        return  # the service has ended
    except Exception as error:  # a fault of the program: another process takes the place of this one
        log.error(trail(error))  # of several lines


def trail(error: BaseException) -> str:
    """Return the kind of an error and where it came from, without its message, which may name a patient."""
    lines = traceback.format_tb(error.__traceback__)
    return f"{type(error).__name__}\n{''.join(lines)}".rstrip()


class Reader:
    """One process that reads films; another takes its place when it ends."""

    def __init__(self, start: Callable[[], tuple[Any, Connection]]) -> None:
        self._start, self._ended = start, False
        self._process, self._connection = start()

    def read(self, ask: Ask, seconds: float) -> Read:
        """Return what was read, or the reason why it was not."""
        try:
            self._connection.send(ask)
            if self._connection.poll(seconds):
                found: Read = self._connection.recv()
                return found
            reason = f"it could not be read in {seconds:g} s"
        except (EOFError, OSError):
            reason = DIED
        if not self._ended:
            self._kill()
            self._process, self._connection = self._start()
        return Read(Header("", refused=reason), refused=reason)

    def end(self) -> None:
        """End the process; none takes its place."""
        self._ended = True
        self._kill()

    def _kill(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.join()


class Readers:
    """Several processes that read films.

    Args:
        predictor: The run and the head that will answer.
        pixels: The number of pixels above which no film is decoded.
        seconds: The time that a film may take.
        count: The number of processes.
    """

    def __init__(self, predictor: Predictor[Any], pixels: int, seconds: float, count: int) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["mammo.serving.readers"])

        def start() -> tuple[Any, Connection]:
            here, there = context.Pipe()
            words = (there, predictor.run.path, predictor.head, pixels)
            process = context.Process(target=_work, args=words, daemon=True, name="mammo reader")
            process.start()
            there.close()
            return process, here

        self._seconds = seconds
        self._all = [Reader(start) for _ in range(count)]
        self._idle: queue.SimpleQueue[Reader] = queue.SimpleQueue()
        for reader in self._all:
            self._idle.put(reader)
        self._threads = ThreadPoolExecutor(count, "reader")

    def submit(self, ask: Ask) -> "Future[Read]":
        """Return what will be read."""
        return self._threads.submit(self._read, ask)

    def _read(self, ask: Ask) -> Read:
        reader = self._idle.get()
        try:
            return reader.read(ask, self._seconds)
        finally:
            self._idle.put(reader)

    def close(self) -> None:
        """End all processes; what was asked for and not begun is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for reader in self._all:
            reader.end()
