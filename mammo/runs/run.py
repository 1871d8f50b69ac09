"""A run as the public functions return it: its folder, and what answers for new films."""

from typing import TYPE_CHECKING, Any

from mammo.run_folder import RunFolder

if TYPE_CHECKING:
    from mammo.inference.predictor import Predictor


class Run(RunFolder):
    """A run folder that can also answer for new films."""

    def predictor(self, head: str | None = None) -> "Predictor[Any]":
        """Return what answers for new films by one head: `ask = run.predictor("svm"); ask(ask.read("film.png"))`.

        Args:
            head: A head of the run; None takes the network's own.

        Raises:
            InputError: The run has no such head, or its crop cannot be made of a new film.
        """
        from mammo.runs.predictor import predictor_of

        return predictor_of(self, head)
