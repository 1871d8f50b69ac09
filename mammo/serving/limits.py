"""The most that a service takes, and how much it holds at a time. Sizes are in bytes, times in seconds."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mammo.errors import InputError
from mammo.formats.pixels import MOST_PIXELS
from mammo.wording import number_of

MEGA = 10**6
HELD = 2  # requests of the largest size that are in memory at a time


@dataclass(frozen=True)
class Limits:
    """The most that a service takes.

    Attributes:
        megabytes: The size of a request.
        films: The films of a request.
        megapixels: The pixels of a film; the largest mammograms have about 30 million.
        seconds: The time from the first byte of a request to its answer.
        queue: The requests that are waiting or at work.
    """

    megabytes: float = 256
    films: int = 32
    megapixels: float = 60
    seconds: float = 120
    queue: int = 32

    def __post_init__(self) -> None:
        """Refuse a limit that lets nothing in, or more pixels than are ever read."""
        for name, value in vars(self).items():
            if not value > 0 or not math.isfinite(value):
                raise InputError(f"--{name} {value}: expected a number above 0")
        if self.megapixels * MEGA > MOST_PIXELS:
            raise InputError(f"--megapixels {self.megapixels}: at most {MOST_PIXELS // MEGA} are read")

    @property
    def bytes(self) -> int:
        """The bytes of a request."""
        return int(self.megabytes * MEGA)

    @property
    def pixels(self) -> int:
        """The pixels of a film."""
        return int(self.megapixels * MEGA)


class Refused(Exception):
    """A request that is not answered: the HTTP status, the reason in one sentence, and headers."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass
class Admission:
    """The requests that are in memory. Only the event loop uses it.

    Attributes:
        limits: What is taken at most.
        requests: Their number.
        bytes: The bytes that they announced.
        mean_s: The time that one takes, a running mean.
    """

    limits: Limits
    requests: int = 0
    bytes: int = 0
    mean_s: float = 1.0
    closed: bool = field(default=False)

    @contextmanager
    def admit(self, size: int) -> Iterator[None]:
        """Hold a request of `size` bytes; refuse it with 429 if the queue or the memory is full."""
        if self.closed:
            raise Refused(503, "the service is stopping; ask again later", Retry_After="10")
        if size > self.limits.bytes:
            raise Refused(
                413, f"the request has {_mega(size)} MB, at most {self.limits.megabytes:g} are taken; send fewer films"
            )
        if self.requests >= self.limits.queue or self.bytes + size > HELD * self.limits.bytes:
            raise Refused(
                429,
                f"{number_of(self.requests, 'request is', 'requests are')} waiting; ask again in {self.wait_s} s",
                Retry_After=str(self.wait_s),
            )
        self.requests, self.bytes = self.requests + 1, self.bytes + size
        try:
            yield
        finally:
            self.requests, self.bytes = self.requests - 1, self.bytes - size

    @property
    def wait_s(self) -> int:
        """The seconds after which half of the queue will be answered."""
        return max(1, math.ceil(self.requests * self.mean_s / 2))

    def took(self, seconds: float) -> None:
        """Count the time of a request that was answered, without its waiting."""
        self.mean_s += (seconds - self.mean_s) / 8

    def as_json(self) -> dict[str, Any]:
        """Return the numbers of the queue."""
        return {"waiting": self.requests, "queue": self.limits.queue}


def _mega(size: int) -> str:
    return f"{size / MEGA:,.1f}"
