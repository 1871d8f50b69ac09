"""The function `mammo.explain`."""

from collections.abc import Sequence
from pathlib import Path

from mammo.api import load_run
from mammo.errors import UnreadableFilm
from mammo.explaining.explanation import Explanation
from mammo.explaining.films import explanations, picture_name
from mammo.explaining.picture import save
from mammo.run_folder import RunFolder


def explain(
    run: RunFolder | Path | str,
    films: Path | str | Sequence[Path | str],
    head: str | None = None,
    out: Path | str | None = None,
) -> list[Explanation | UnreadableFilm]:
    """Return the map of each film for one head, or the reason why there is none, as `mammo explain` draws them.

    Args:
        run: A finished run, or its folder.
        films: Films, folders and tables of films, or images of the run's data set by their `image_id`.
        head: A head of the run; None takes the network's own, or of a detector `detector`.
        out: A folder for the pictures; None draws none.
    """
    predictor = load_run(run.path if isinstance(run, RunFolder) else run).predictor(head)
    found = list(explanations(predictor, [films] if isinstance(films, Path | str) else films))
    for one in found:
        if out is not None and isinstance(one, Explanation):
            save(one, Path(out) / picture_name(one))
    return found
