"""A service without its addresses: the queue, the processes that read, and the thread that computes."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import ClientDisconnect, Request

from mammo.explaining.explanation import Explanation
from mammo.inference.answers import Answers
from mammo.inference.predict import check_units
from mammo.inference.predictor import Predictor
from mammo.serving.limits import HELD, Admission, Limits, Refused
from mammo.serving.maps import levels_of, map_of
from mammo.serving.model import card_page, examples_of, page_facts
from mammo.serving.readers import Ask, Read, Readers
from mammo.serving.uploads import Form, Upload, form_of
from mammo.serving.worker import Explain, Predict, Worker
from mammo.wording import number_of

MOST_READERS = 4
DRAIN_S = 10.0  # for which the rest of a refused request is taken, so that its sender reads the reason


class Service:
    """A model that answers requests.

    Args:
        predictor: The model.
        limits: What is taken at most.
        partners: True adds the answers of `detector_partner` to those of `detector`.
        readers: The number of processes that read films; None takes as many as there are cores, at most `MOST_READERS`.
    """

    def __init__(
        self, predictor: Predictor[Any], limits: Limits, *, partners: bool = False, readers: int | None = None
    ) -> None:
        self.predictor, self.limits, self.partners = predictor, limits, partners
        count = readers or min(len(os.sched_getaffinity(0)), MOST_READERS)
        self.readers = Readers(predictor, limits.pixels, limits.seconds, count)
        self.admission = Admission(limits)
        self.worker = Worker(predictor)
        self.whole = asyncio.Semaphore(HELD)  # films whose pixels are held: a small file may have a hundred megabytes
        self.examples = examples_of(predictor.run)
        self.card = card_page(predictor.run)
        self.facts = page_facts(predictor, limits, self.examples) | {"card": bool(self.card)}

    def start(self) -> None:
        """Load the model, and begin to work."""
        _ = self.predictor.network, self.predictor.likeness
        self.worker.start()

    def stop(self) -> None:
        """End the thread and the processes; what is at work is answered first."""
        self.admission.closed = True
        self.worker.stop()
        self.readers.close()

    @property
    def alive(self) -> bool:
        """True if requests are answered."""
        return self.worker.is_alive() and not self.admission.closed

    @asynccontextmanager
    async def admitted(self, request: Request) -> AsyncIterator[Form]:
        """Take a request into memory, for as long as its answer is made, and bound the time of both.

        Raises:
            Refused: The request is too large, too slow, or one too many.
        """
        size = request.headers.get("content-length", "")
        if not size.isdecimal():
            raise Refused(411, "the size of the request must be stated (Content-Length)")
        try:
            with self.admission.admit(int(size)):
                try:
                    async with asyncio.timeout(self.limits.seconds):
                        yield await form_of(request, self.limits)
                except TimeoutError:
                    said = f"no answer in {self.limits.seconds:g} s"
                    raise Refused(503, said, Retry_After=str(self.admission.wait_s)) from None
        except Refused as refused:
            if refused.status in (413, 429, 503):
                await self._drain(request)
            raise
        except ClientDisconnect:
            raise Refused(400, "the sender has gone") from None

    async def _drain(self, request: Request) -> None:
        """Take what is left of a request, without keeping it, as far as one may send."""
        left = self.limits.bytes
        try:
            async with asyncio.timeout(DRAIN_S):
                async for part in request.stream():
                    left -= len(part)
                    if left < 0:
                        return
        except (TimeoutError, ClientDisconnect, RuntimeError):  # it is gone, or was taken before
            return

    async def predict(self, form: Form) -> Answers:
        """Return the answers for films."""
        check_units(form.units)
        read = await self._read(form.films, form)
        begun = time.monotonic()
        job = Predict(form.films, read, units=form.units, force=form.force, partners=self.partners)
        found: Answers = await _result(self.worker.submit(job))
        self.admission.took(time.monotonic() - begun)
        return found

    async def explain(self, form: Form) -> dict[str, Any]:
        """Return the map of a film; see `map_of`."""
        async with self.whole:
            (read,) = await self._read(form.films, form, whole=True)
            found: Explanation = await _result(self.worker.submit(Explain(form.films[0], read, form.at)))
            return await asyncio.to_thread(map_of, found)

    async def film(self, form: Form) -> tuple[bytes, dict[str, str]]:
        """Return the grey levels of a film; see `levels_of`.

        Raises:
            Refused: It cannot be read.
        """
        async with self.whole:
            (read,) = await self._read(form.films, form, whole=True)
            if read.film is None:
                raise Refused(422, read.refused or "")
            return await asyncio.to_thread(levels_of, read.film)

    async def _read(self, films: Sequence[Upload], form: Form, *, whole: bool = False) -> list[Read]:
        if whole and len(films) != 1:
            raise Refused(422, f"{number_of(len(films), 'film is', 'films are')} sent; expected one")
        asks = [Ask(one.content, one.laterality, one.spacing_mm, form.at, one.name, whole) for one in films]
        return list(await asyncio.gather(*(_result(self.readers.submit(ask)) for ask in asks)))


async def _result(future: "Future[Any]") -> Any:
    """Wait for a result; if the wait ends early, work that has not begun is not done."""
    return await asyncio.wrap_future(future)
