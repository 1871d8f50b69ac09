"""The files of masks, looked at before a run learns from them: which cannot be used, and which seem to be inverted."""

from collections.abc import Iterable, Mapping

import pandas as pd

from mammo.datasets.film import read_mask
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


def covered_by(paths: Iterable[str]) -> dict[str, float | UnreadableFilm]:
    """Return the share of its film that each mask covers, or why it cannot be read, by path; it is remembered."""
    return Remembered("covered", f"{READING_VERSION}").values(map(str, paths), _covered, "Looking at masks")


def _covered(path: str) -> float:
    return float(read_mask(path).mean())


def usable_masks(findings: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the findings without masks that are empty or cannot be read, and notes on these and on inverted ones."""
    shares = covered_by(findings["mask_path"].dropna())
    empty = "expected levels above 0 on the finding"
    why = {path: f"{path} is empty; {empty}" if isinstance(one, float) else str(one)
           for path, one in shares.items() if not (isinstance(one, float) and one > 0)}  # fmt: skip
    lost = findings["mask_path"].isin(list(why))
    notes = inverted({path: one for path, one in shares.items() if isinstance(one, float)})
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
