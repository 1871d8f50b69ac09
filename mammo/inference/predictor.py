"""The contract of a predictor: a run and one head, which answer for a film, or for many one after the other.

A predictor works in two steps. `see` finds the breast and cuts what is looked at; it needs no network, and other
processes may do it. `answers` shows this to the network, in blocks of a fixed size as in training.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from mammo.datasets.film import Film, check_film, read_film
from mammo.datasets.labels import Labels
from mammo.errors import InputError, content_of
from mammo.inference.operating import OperatingPoint, operating_point
from mammo.inference.prediction import Prediction
from mammo.inference.unlike import Likeness
from mammo.run_folder import RunFolder
from mammo.run_tables import windowed

Point = tuple[float, float]  # x and y on a film as it is stored, in pixels from the top left


@dataclass(frozen=True)
class Seen(ABC):
    """A film as a predictor looks at it, without the film's own pixels.

    Attributes:
        notes: Each assumption about the film, one line each.
        appearance: The numbers of its appearance, `preprocessing.appearance.NUMBERS`.
    """

    notes: tuple[str, ...]
    appearance: np.ndarray

    @property
    @abstractmethod
    def looked_at(self) -> np.ndarray:
        """The pixels that the network is given."""


S = TypeVar("S", bound=Seen)


class Predictor(ABC, Generic[S]):
    """A run and one of its heads; call it with a film.

    Args:
        run: A finished run.
        head: One of its heads.

    Attributes:
        takes_point: True if it can look at a point of a film.
        said: The notes of every answer of this model, one line each.
    """

    takes_point: bool
    said: tuple[str, ...] = ()

    def __init__(self, run: RunFolder, head: str) -> None:
        self.run, self.head, self.config = run, head, run.config
        origin = run.provenance
        self.classes: list[str] = list(origin["classes"])
        if self.classes != (of_task := list(Labels.from_config(self.config.task).classes)):
            raise InputError(
                f"{run.path}: provenance.json has classes={self.classes}, but its task has {of_task}; "
                "copy the folder again"
            )
        self.several = bool(origin["crop"]["several_per_image"])
        self.low = origin["precision"] == "bf16-mixed"  # the network computed in bfloat16
        told = run.of_films
        self.of_films = {key: told[key] for key in ("spacing_mm", "windowed")}

    @abstractmethod
    def see(
        self,
        film: Film,
        *,
        at: Point | None = None,
        laterality: str | None = None,
        spacing_mm: float | None = None,
        name: str = "film",
    ) -> S:
        """Return a film as the network looks at it.

        Args:
            film: A film, as `read` returns it.
            at: A point, for a run on lesion windows. None: such a run looks at windows all over the breast.
            laterality: left or right; None takes the film's own.
            spacing_mm: Side of a pixel; None takes the film's own, or else that of all films of the run.
            name: The film's name in errors.

        Raises:
            InputError: The film shows no breast, or a point or a spacing is missing or not wanted.
        """

    @abstractmethod
    def answers(self, seen: Iterable[S]) -> Iterator[Prediction]:
        """Yield the answer for each film in the order of `seen`, which is read as far as a block of the network."""

    @abstractmethod
    def stages(self, seen: Sequence[S]) -> list[dict[str, np.ndarray]]:
        """Return for each film the numbers of every stage from places to answers, of all heads, in their order.

        They are those of `answers` but for the last digits, as no block is filled up.
        """

    def __call__(self, film: Film, *, at: Point | None = None, force: bool = False) -> Prediction:
        """Return the answer for a film.

        Args:
            film: A film, as `read` returns it.
            at: A point x, y in pixels of the film, from the top left, for a run on lesion windows. None: such a run
                looks at windows all over the breast, and the most alarming one counts.
            force: True answers for a film unlike those of the run too; `unlike` says why it would have been refused.

        Raises:
            InputError: It is no film, needs a spacing that it does not give, shows no breast, or is unlike the films of
                the run.
        """
        check_film(film)
        answer = next(self.answers([self.see(film, at=at)]))
        if answer.unlike and not force:
            raise InputError(f"the film is {answer.unlike}; force=True answers all the same")
        return answer

    def read(self, source: Path | str | bytes) -> Film:
        """Read a film, a file or its content, as the run read its own: with the DICOM window that `data.voi` says.

        Raises:
            UnreadableFilm: The file cannot be used as a film.
        """
        return read_film(source, self.config.data.voi)

    @cached_property
    def point(self) -> OperatingPoint:
        """The operating point for images."""
        return operating_point(self.run, self.head)

    @cached_property
    def network(self) -> Any:
        """The network with the weights of the chosen epoch."""
        with content_of(self.run.path):
            return self.run.network()

    @cached_property
    def likeness(self) -> Likeness | None:
        """The films of the run, and how far one may lie from them; None in a run that does not say."""
        arrays = self.run.likeness
        with content_of(self.run.path):
            return None if arrays is None else Likeness.from_arrays(arrays)

    def judged(self, answer: Prediction, film: Seen, features: np.ndarray) -> Prediction:
        """Return an answer with the film's features, of which (samples, D) are given, and why it is to be refused."""
        mean = features.mean(0, dtype=np.float64)
        unlike = self.likeness.reason(film.appearance, mean) if self.likeness else None
        return replace(answer, unlike=unlike, features=mean.astype(np.float32))

    def computing(self) -> AbstractContextManager[Any]:
        """Return the context in which the network computes as in training."""
        import torch

        with ExitStack() as both:
            both.enter_context(torch.inference_mode())
            both.enter_context(torch.autocast("cpu", torch.bfloat16, enabled=self.low))
            return both.pop_all()

    def window_note(self, film: Film) -> str | None:
        """Return a note if the film was read with another window than the films of the run; None if it was not."""
        if self.config.data.voi == "none" and windowed(film.notes):
            return "The film was read with its window, those of the run without one (data.voi=none); read it by `read`."
        if self.of_films["windowed"] and not windowed(film.notes):
            return "No window was applied to this film, but one was to each film of the run."
        return None

    def assumed(self, film: Film, spacing_mm: float | None) -> tuple[float | None, list[str]]:
        """Return the side of a pixel in mm, None if nobody knows it, and what was assumed of the film so far."""
        notes = [*film.notes, *filter(None, [self.window_note(film)])]
        spacing = film.spacing_mm if spacing_mm is None else spacing_mm
        if spacing is None and self.of_films["spacing_mm"] is not None:
            spacing = self.of_films["spacing_mm"]
            notes.append(f"The film does not give the size of a pixel; {spacing} mm is assumed, as in training.")
        return spacing, notes
