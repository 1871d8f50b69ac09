"""The files of masks, looked at before a run learns from them: which cannot be used, and which seem to be inverted."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from mammo.datasets.film import read_levels
from mammo.errors import UnreadableFilm
from mammo.formats import READING_VERSION
from mammo.formats.remembered import Remembered
from mammo.wording import number_of

MOST_COVERED = 0.5  # of a film; no lesion is as large


def fault_of(path: str, covered: float) -> str | None:
    """Return what is wrong with a mask that covers this share of its film; None if it may be a finding."""
    if covered <= MOST_COVERED:
        return None
    return (
        f"{path}: the mask covers {100 * covered:.0f} % of its film; expected levels above 0 on the finding alone: "
        "is it inverted?"
    )


def shares_of(levels: np.ndarray) -> tuple[float, float]:
    """Return the shares of a mask (height, width) whose levels are above 0, and above half of the highest one."""
    return float((levels > 0).mean()), float((levels > levels.max() / 2).mean())


def greys_of(shares: Sequence[float]) -> str | None:
    """Return what is odd about a mask, by `shares_of`, whose region depends on a level; None if it does not.

    Args:
        shares: See `shares_of`.
    """
    if shares[0] == shares[1]:
        return None
    return (
        f"has grey levels: above 0, which counts, its region is {100 * (shares[0] / shares[1] - 1):.0f} % larger than "
        "above half of the highest level; if that is the grey of JPEG or smoothing, write masks of two levels as PNG"
    )


def shares_by(paths: Iterable[str]) -> dict[str, Sequence[float] | UnreadableFilm]:
    """Return `shares_of` each mask, or why it cannot be read, by path; they are remembered."""
    return Remembered("covered", f"{READING_VERSION} shares").values(map(str, paths), _shares, "Looking at masks")


def _shares(path: str) -> Sequence[float]:
    return shares_of(read_levels(path))


def covered_by(paths: Iterable[str]) -> dict[str, float | UnreadableFilm]:
    """Return the share of its film that each mask covers, or why it cannot be read, by path."""
    return {path: one if isinstance(one, UnreadableFilm) else one[0] for path, one in shares_by(paths).items()}


def usable_masks(findings: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the findings without masks that are empty or cannot be read, and notes on these and on inverted ones."""
    shares_of_levels = shares_by(findings["mask_path"].dropna())
    shares = {path: one if isinstance(one, UnreadableFilm) else one[0] for path, one in shares_of_levels.items()}
    empty = "expected levels above 0 on the finding"
    why = {path: f"{path} is empty; {empty}" if isinstance(one, float) else str(one)
           for path, one in shares.items() if not (isinstance(one, float) and one > 0)}  # fmt: skip
    lost = findings["mask_path"].isin(list(why))
    notes = inverted({path: one for path, one in shares.items() if isinstance(one, float)})
    grey = {path: said for path, one in shares_of_levels.items()
            if not isinstance(one, UnreadableFilm) and one[0] > 0 and (said := greys_of(one))}  # fmt: skip
    if grey:
        path, said = next(iter(grey.items()))
        notes.append(f"{number_of(len(grey), 'mask has', 'masks have')} grey levels: {path} {said}")
    if lost.any():
        first = findings[lost].iloc[0]
        count = number_of(int(lost.sum()), "mask gives", "masks give")
        notes.insert(0, f"{count} no place: image {first['image_id']}: {why[str(first['mask_path'])]}")
    return findings.assign(mask_path=findings["mask_path"].mask(lost)), notes


def inverted(shares: Mapping[str, float]) -> list[str]:
    """Return a note on the masks that cover too much of their film, by path the share; none if there are none."""
    wrong = [fault for path, one in shares.items() if (fault := fault_of(path, one))]
    if not wrong:
        return []
    seem = number_of(len(wrong), "mask seems", "masks seem")
    return [f"**{seem} to be inverted, and what is learnt from such masks is wrong: {wrong[0]}**"]
