"""Export a finished run as one file that needs no torch: `mammo export`, and `mammo.export` in Python."""

from pathlib import Path
from typing import TYPE_CHECKING

from mammo.errors import InputError
from mammo.run_folder import RunFolder
from mammo.runs.checks import check_writable
from mammo.runs.external_data import check_run
from mammo.runs.plugins import load_plugins

if TYPE_CHECKING:
    from mammo.inference.export import Parity


def export(run: "RunFolder | Path | str", path: Path | str, head: str | None = None) -> "Parity":
    """Write a finished run and one of its heads as an ONNX file, which `predict` takes in the place of the run.

    Args:
        run: The run, or its folder.
        path: The file to write; it must not exist.
        head: A head of the run; None takes the network's own, `softmax`.

    Returns:
        The largest differences between the run's answers and the file's, over the run's test images.

    Raises:
        InputError: The run or head cannot be exported, or the file answers otherwise than the run.
    """
    folder, target = run if isinstance(run, RunFolder) else RunFolder(Path(run)), Path(path)
    check_run(folder)
    if folder.config.task.kind == "detection":
        raise InputError(f"{folder.path} is a detector, which cannot be exported yet; predict with the run folder")
    if target.exists():
        raise InputError(f"{target} exists and is not overwritten; name another file")
    check_writable(target.parent, "the folder of the model")
    load_plugins(folder.config.plugins)
    try:
        from mammo.inference.export import write_onnx
    except ImportError as error:
        raise InputError(f"{error}, which an export needs; pip install 'mammo[onnx]'") from None
    from mammo.inference.classifier import ClassifierPredictor

    known = ClassifierPredictor.heads_of(folder)
    if head is not None and head not in known:
        raise InputError(f"{folder.path} has no head {head}; it has {', '.join(known)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    return write_onnx(ClassifierPredictor(folder, head or known[0]), target)
