"""The predictor of a run, by the kind of its task. What needs torch is imported when it is built."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mammo.errors import InputError, content_of
from mammo.inference.classifier import ClassifierPredictor
from mammo.inference.exported import ExportedRun, OnnxPredictor
from mammo.inference.predictor import Predictor
from mammo.run_folder import RunFolder

if TYPE_CHECKING:
    from mammo.inference.detector import DetectorPredictor


def open_run(path: Path) -> RunFolder:
    """Return the run of a path: a file is an ONNX file, which `mammo export` wrote, and all else a run folder."""
    return ExportedRun(path) if path.is_file() else RunFolder(path)


def build_predictor(run: RunFolder, head: str | None = None) -> Predictor[Any]:
    """Return the predictor of a run.

    Args:
        run: A finished run, or an exported one.
        head: One of its heads; None takes the network's own, `softmax`, `detector` of a run with task=detection, or
            the only one of an exported run.

    Raises:
        InputError: The folder is no finished run, it has no such head, its crop cannot be made of a new film, or its
            settings name code that the user has not allowed.
    """
    run.check_whole()
    run.check_code()
    with content_of(run.path):
        known = heads_of(run, head)
        made: Predictor[Any] = _kind_of(run)(run, head or known[0])
        return made


def heads_of(run: RunFolder, head: str | None = None) -> list[str]:
    """Return the names of the heads that can answer for new films, the network's own first.

    Args:
        run: A finished run, or an exported one.
        head: A head that must be among them; None asks for none.

    Raises:
        InputError: See `build_predictor`.
    """
    known: list[str] = _kind_of(run).heads_of(run)
    if head is not None and head not in known:
        raise InputError(f"{run.path} has no head {head}; it has {', '.join(known)}")
    return known


def _kind_of(run: RunFolder) -> Any:
    """Return the class of the predictor of a run."""
    if run.external is not None:
        raise InputError(f"{run.path} is an external test of the run {run.tested_run.path}; name that run")
    if isinstance(run, ExportedRun):
        return OnnxPredictor
    if (task := run.config.task.kind) == "detection":
        from mammo.inference.detector import DetectorPredictor

        return DetectorPredictor
    if task == "segmentation":
        from mammo.inference.segmenter import SegmenterPredictor

        return SegmenterPredictor
    if task != "classification":
        raise InputError(f"{run.path}: task.kind={task} has no predictor; use mammo test on a table of films")
    return ClassifierPredictor


def detector_of(predictor: Predictor[Any]) -> "DetectorPredictor | None":
    """Return the predictor if it is one of a detector; None for another."""
    return cast("DetectorPredictor", predictor) if predictor.config.task.kind == "detection" else None
