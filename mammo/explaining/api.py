"""The function `mammo.explain`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mammo.api import load_run
from mammo.errors import UnreadableFilm
from mammo.explaining.explanation import Explanation
from mammo.explaining.films import explanations, picture_path
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
        out: A folder for the pictures; None draws none. Pictures that are there are not overwritten.
    """
    predictor = load_run(run.path if isinstance(run, RunFolder) else run).predictor(head)
    folder, named = None if out is None else Path(out), Counter[str]()
    found = list(explanations(predictor, [films] if isinstance(films, Path | str) else films, out=folder))
    for one in found:
        if folder is not None and isinstance(one, Explanation):
            save(one, picture_path(folder, one, named))
    return found
