"""The one thread that computes: it shows all films that are waiting to the network together, in its blocks."""

import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mammo.errors import InputError
from mammo.explaining.explanation import Explanation, explain
from mammo.inference.answers import Answers
from mammo.inference.films import FACTS, Films, with_headers
from mammo.inference.predict import answers_from, shown_to
from mammo.inference.predictor import Point, Predictor
from mammo.serving.readers import Read, trail
from mammo.serving.uploads import Upload
from mammo.tables.paths import names_of

log = logging.getLogger(__name__)

MOST = 64  # films that are shown to the network together
OWN = (InputError, MemoryError)  # errors that are told to the sender


@dataclass
class Job:
    """Work for the thread, and its result.

    Attributes:
        result: The result; a job whose sender has gone is cancelled, and passed over.
    """

    result: "Future[Any]" = field(default_factory=Future, kw_only=True)


@dataclass
class Predict(Job):
    """Films to predict, as they were read.

    Attributes:
        films: The films as they were sent.
        read: What was read of each.
        units: See `predict`.
        force: See `predict`.
        partners: See `predict`.
    """

    films: Sequence[Upload]
    read: Sequence[Read]
    units: Sequence[str] | None = None
    force: bool = False
    partners: bool = False


@dataclass
class Explain(Job):
    """A film to explain, as it was read.

    Attributes:
        film: The film as it was sent.
        read: What was read of it.
        at: A point of it.
    """

    film: Upload
    read: Read
    at: Point | None = None


class Worker(threading.Thread):
    """The thread.

    Args:
        predictor: The model.
    """

    def __init__(self, predictor: Predictor[Any]) -> None:
        super().__init__(name="network", daemon=True)
        self._predictor = predictor
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def submit(self, job: Job) -> "Future[Any]":
        """Put a job into the queue, and return its result, which is there later."""
        self._jobs.put(job)
        return job.result

    def stop(self) -> None:
        """End the thread after the job at work."""
        self._jobs.put(None)

    def run(self) -> None:
        """Work until `stop`."""
        while (first := self._jobs.get()) is not None:
            together, last = self._waiting(first)
            several = [
                job for job in together if isinstance(job, Predict) and job.result.set_running_or_notify_cancel()
            ]
            if several:
                self._predict(several)
            for job in together:
                if isinstance(job, Explain) and job.result.set_running_or_notify_cancel():
                    self._do(job, lambda of=job: explained(self._predictor, of))
            if last:
                return

    def _waiting(self, first: Job) -> tuple[list[Job], bool]:
        """Return the jobs that are waiting, as far as their films are shown together, and True if none follows."""
        found, films = [first], 0
        while films < MOST:
            films += len(found[-1].read) if isinstance(found[-1], Predict) else MOST
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                return found, True
            found.append(job)
        return found, False

    def _predict(self, jobs: Sequence[Predict]) -> None:
        """Answer jobs together; if one breaks, each alone."""
        try:
            answers = answered(self._predictor, jobs)
        except Exception:
            if len(jobs) == 1:
                self._do(jobs[0], lambda: answered(self._predictor, jobs)[0])
            else:
                for job in jobs:
                    self._predict([job])
            return
        for job, answer in zip(jobs, answers, strict=True):
            job.result.set_result(answer)

    @staticmethod
    def _do(job: Job, work: Any) -> None:
        """Do the work of a job; an error becomes its result."""
        try:
            job.result.set_result(work())
        except OWN as error:
            job.result.set_exception(InputError(str(error) or "it does not fit into the memory"))
        except Exception as error:
            log.error(trail(error))  # of several lines
            job.result.set_exception(error)


def answered(predictor: Predictor[Any], jobs: Sequence[Predict]) -> list[Answers]:
    """Return the answers of each job; their films are shown to the network together."""
    seen = [one.seen for job in jobs for one in job.read if one.seen is not None]
    predictions = iter(list(shown_to(predictor, seen)))
    found = []
    for job in jobs:
        own = {n: next(predictions) for n, one in enumerate(job.read) if one.seen is not None}
        refused = {n: one.refused or "" for n, one in enumerate(job.read) if one.seen is None}
        how: dict[str, Any] = {"units": job.units, "partners": job.partners, "force": job.force}
        found.append(answers_from(predictor, films_of(job.films, job.read), own, refused, **how))
    return found


def films_of(films: Sequence[Upload], read: Sequence[Read]) -> Films:
    """Return films with what their senders and their headers tell."""
    rows = pd.DataFrame([{"path": one.name} | {name: getattr(one, name) for name in FACTS} for one in films])
    rows["image_id"] = names_of(rows["path"])
    notes: list[str] = []
    return Films(with_headers(rows, [one.header for one in read], notes), notes)


def explained(predictor: Predictor[Any], job: Explain) -> Explanation:
    """Return the map of a film.

    Raises:
        InputError: The film cannot be read, or the head has no map.
    """
    if job.read.film is None:
        raise InputError(job.read.refused or "")
    told = job.read.header
    return explain(
        predictor,
        job.read.film,
        at=job.at,
        laterality=job.film.laterality or told.laterality,
        spacing_mm=job.film.spacing_mm or told.spacing_mm,
        name=job.film.name,
    )
