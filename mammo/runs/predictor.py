"""Open a run and what answers for new films by one of its heads."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mammo.inference.build import build_predictor, open_run
from mammo.run_folder import RunFolder
from mammo.runs.plugins import load_plugins_of

if TYPE_CHECKING:
    from mammo.inference.predictor import Predictor


def predictor_of(run: "RunFolder | Path | str", head: str | None = None) -> "Predictor[Any]":
    """Return the predictor of a run, its folder or an exported file, after the run's plugins are loaded."""
    opened = run if isinstance(run, RunFolder) else open_run(Path(run))
    load_plugins_of(opened)
    return build_predictor(opened, head)
