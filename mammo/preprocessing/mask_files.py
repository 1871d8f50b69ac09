"""The files of masks, looked at before a run learns from them: which cannot be used, and which seem to be inverted."""

from collections.abc import Iterable, Mapping, Sequence

import cv2
import numpy as np
import pandas as pd

from mammo.datasets.film import read_levels
from mammo.datasets.geometry import box_of
from mammo.errors import UnreadableFilm
from mammo.formats import READING_VERSION
from mammo.formats.header import read_headers
from mammo.formats.remembered import Remembered
from mammo.wording import number_of

MOST_COVERED = 0.5  # of a film; no lesion is as large
HOLLOW = 2  # times that a region grows if it is filled, from which on it seems to be an outline
SCATTERED = 10  # times that a box is as large as the filled region in it, from which on that has parts far apart


def fault_of(path: str, covered: float) -> str | None:
    """Return what is wrong with a mask that covers this share of its film; None if it may be a finding."""
    if covered <= MOST_COVERED:
        return None
    return (
        f"{path}: the mask covers {100 * covered:.0f} % of its film; expected levels above 0 on the finding alone: "
        "is it inverted?"
    )


def shares_of(levels: np.ndarray) -> tuple[float, ...]:
    """Return what tells of a mask (height, width) whether it may be a finding.

    Returns:
        The share of its pixels above 0, and above half of the highest level; how many times its region is as large if
        it is filled; and how many times the box around it is as large as that.
    """
    region = levels > 0
    shares = float(region.mean()), float((levels > levels.max() / 2).mean())
    if not shares[0]:
        return *shares, 1.0, 1.0
    left, top, right, bottom = map(int, box_of(region))
    cut = region[top:bottom, left:right].astype(np.uint8)
    lines, _ = cv2.findContours(cut, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = int(cv2.drawContours(cut.copy(), lines, -1, 1, cv2.FILLED).sum())
    return *shares, filled / int(cut.sum()), cut.size / filled


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


def spread_of(shares: Sequence[float]) -> str | None:
    """Return what is odd about the shape of a mask, by `shares_of`: an outline, or parts far apart; None if nothing."""
    if shares[2] > HOLLOW:
        return f"seems to be an outline: what it encloses is {shares[2]:.0f} times as large; fill it"
    if shares[3] > SCATTERED:
        return (
            f"has parts far apart: the box around it, in which a detector's mark finds it, is {shares[3]:.0f} times as "
            "large as its region; give each lesion a mask, and remove specks"
        )
    return None


def looks_by(paths: Iterable[str]) -> dict[str, Sequence[float] | UnreadableFilm]:
    """Return `shares_of` each mask and then its `box_of`, or why it cannot be read, by path; they are remembered."""
    return Remembered("covered", f"{READING_VERSION} shapes").values(map(str, paths), _look, "Looking at masks")


def _look(path: str) -> Sequence[float]:
    levels = read_levels(path)
    return *shares_of(levels), *box_of(levels > 0)


def usable_masks(findings: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the findings without masks that are empty or cannot be read, and notes on these and on inverted ones."""
    looks, why = dict[str, Sequence[float]](), dict[str, str]()
    for path, one in looks_by(findings["mask_path"].dropna()).items():
        if isinstance(one, UnreadableFilm):
            why[path] = str(one)
        elif one[0] > 0:
            looks[path] = one
        else:
            why[path] = f"{path} is empty; expected levels above 0 on the finding"
    lost, notes = findings["mask_path"].isin(list(why)), [*inverted(looks), *odd_masks(looks)]
    if lost.any():
        first = findings[lost].iloc[0]
        count = number_of(int(lost.sum()), "mask gives", "masks give")
        notes.insert(0, f"{count} no place: image {first['image_id']}: {why[str(first['mask_path'])]}")
    return findings.assign(mask_path=findings["mask_path"].mask(lost)), notes


def sizes_of(paths: Iterable[str]) -> list[tuple[int, int] | None]:
    """Return the height and width of each mask, from its header; None if it cannot be read."""
    return [None if one.refused else (one.height, one.width) for one in read_headers(paths)]


def inverted(looks: Mapping[str, Sequence[float]]) -> list[str]:
    """Return a note on the masks that cover too much of their film, by `looks_by`; none if there are none."""
    wrong = [fault for path, one in looks.items() if (fault := fault_of(path, one[0]))]
    if not wrong:
        return []
    seem = number_of(len(wrong), "mask seems", "masks seem")
    return [f"**{seem} to be inverted, and what is learnt from such masks is wrong: {wrong[0]}**"]


def odd_masks(looks: Mapping[str, Sequence[float]]) -> list[str]:
    """Return notes on the masks whose region depends on a level or that have an odd shape, by `looks_by`."""
    notes = []
    for what, of in (("grey levels", greys_of), ("an odd shape", spread_of)):
        odd = [(path, said) for path, one in looks.items() if (said := of(one))]
        notes += [f"{number_of(len(odd), 'mask has', 'masks have')} {what}: {' '.join(odd[0])}"] if odd else []
    return notes
