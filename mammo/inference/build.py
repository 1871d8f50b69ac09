"""The predictor of a run, by the kind of its task."""

from typing import Any

from mammo.errors import InputError
from mammo.inference.classifier import ClassifierPredictor
from mammo.inference.detector import DetectorPredictor
from mammo.inference.predictor import Predictor
from mammo.run_folder import RunFolder

KINDS: dict[str, type[ClassifierPredictor] | type[DetectorPredictor]] = {
    "classification": ClassifierPredictor,
    "detection": DetectorPredictor,
}


def build_predictor(run: RunFolder, head: str | None = None) -> Predictor[Any]:
    """Return the predictor of a run.

    Args:
        run: A finished run.
        head: One of its heads; None takes the network's own, `softmax`, or `detector` of a run with task=detection.

    Raises:
        InputError: The folder is no finished run, it has no such head, or its crop cannot be made of a new film.
    """
    if run.external is not None:
        raise InputError(f"{run.path} is an external test of the run {run.tested_run.path}; name that run")
    if (kind := KINDS.get(run.config.task.kind)) is None:
        raise InputError(
            f"{run.path}: task.kind={run.config.task.kind} has no predictor; use mammo test on a table of films"
        )
    known = kind.heads_of(run)
    if head is not None and head not in known:
        raise InputError(f"{run.path} has no head {head}; it has {', '.join(known)}")
    return kind(run, head or known[0])
