"""Export a finished run as one file or folder that goes to others: `mammo export`, and `mammo.export` in Python."""

from pathlib import Path
from typing import TYPE_CHECKING

from mammo.errors import InputError
from mammo.files import take_name, workshop
from mammo.inference.build import build_predictor, heads_of
from mammo.run_folder import RunFolder
from mammo.runs.checks import check_writable
from mammo.runs.external_data import check_run
from mammo.runs.plugins import load_plugins_of

if TYPE_CHECKING:
    from mammo.inference.export import Parity
    from mammo.inference.self_test import SelfTest

FORMATS, PRECISIONS = ("onnx", "portable"), ("float32", "int8")


def export(
    run: "RunFolder | Path | str",
    path: Path | str,
    head: str | None = None,
    format: str = "onnx",
    precision: str | None = None,
) -> "Parity | SelfTest | None":
    """Write a finished run as an ONNX file or a portable folder, which `predict` takes in the place of the run.

    Args:
        run: The run, or its folder.
        path: The file or folder to write; it must not exist.
        head: A head of the run. None: the network's own (`onnx`), or all (`portable`).
        format: `onnx`, a file with the network and one head, for which torch is not needed; or `portable`, a folder
            with weights, heads and facts, which answers as the run does to the last digit.
        precision: Of an ONNX file: `float32` or `int8`. The difference to the run's answers is then told, in every
            answer too. None computes as the run did, and refuses a difference.

    Returns:
        The comparison with the run, with `lines()` in words: over its test images (`onnx`), or its self-test; None if a
        portable folder has another set of heads than the run, or the run has no self-test.

    Raises:
        InputError: The run or head cannot be exported, or the file answers otherwise than the run.
    """
    folder, target = run if isinstance(run, RunFolder) else RunFolder(Path(run)), Path(path)
    if format not in FORMATS:
        raise InputError(f"format={format}: expected {' or '.join(FORMATS)}")
    if precision is not None and (precision not in PRECISIONS or format != "onnx"):
        raise InputError(f"precision={precision}: expected {' or '.join(PRECISIONS)}, of an ONNX file")
    if format == "onnx" and target.suffix.lower() != ".onnx":
        raise InputError(f"{target}: expected a name that ends in .onnx; --format portable writes a folder")
    check_run(folder)
    if target.exists():
        raise InputError(f"{target} exists and is not overwritten; give another name")
    known = heads_of(folder, head)
    check_writable(target.parent, "the folder of the model")
    load_plugins_of(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    if format == "portable":
        return _portable(folder, target, [one for one in known if head in (None, one) or one not in _fitted(folder)])
    if (kind := folder.config.task.kind) != "classification":
        raise InputError(f"{folder.path} has task.kind={kind}, for which there is no ONNX file; use --format portable")
    try:
        from mammo.inference.export import write_onnx
    except ImportError as error:
        raise InputError(f"{error}, which an export needs; pip install 'mammo[onnx]'") from None
    return write_onnx(build_predictor(folder, head), target, precision)  # type: ignore[arg-type]


def _fitted(run: RunFolder) -> list[str]:
    """Return the names of the scikit-learn heads of a run."""
    return list(run.selection["heads"])


def _portable(run: RunFolder, target: Path, heads: list[str]) -> "SelfTest | None":
    """Write a portable folder, after a check that it answers as the run does."""
    from mammo.runs.portable import tested, write_portable

    with workshop(target) as temporary:
        made = write_portable(run, temporary / "model", heads)
        found = tested(made, run)
        take_name(made.path, target)
    return found
