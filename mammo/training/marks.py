"""The marks of a detector and of baselines that learn nothing of a lesion's looks: the hottest places of a film."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from mammo.preprocessing.view import FACTS
from mammo.training.places import Targets

ALONE, PARTNER = "detector", "detector_partner"  # heads: of a film alone, and with that of the other breast
MARKS = 30  # most marks of a film
POINT, CELL = ([FACTS.index(name) for name in names] for names in (("x_px", "y_px"), ("row", "column")))
GRID, SMOOTH = 24, 1.5  # cells of the position prior across and down, and the width of its smoothing in cells
COLUMNS = ["image_id", "patient", "split", "head", "x_px", "y_px", "x0_px", "y0_px", "x1_px", "y1_px", "score"]


@dataclass(frozen=True)
class HeatMaps:
    """The heat of the described films of a detector, in their order.

    Attributes:
        places: (n, FACTS) the places of each film.
        heats: By head, `detector` first and then the baselines, (n,) values of the places of each film.
        lesions: The lesions of these films that have a place, a row each.
        partners: The films of the other breast of each film, by their number here.
    """

    places: list[np.ndarray]
    heats: dict[str, list[np.ndarray]]
    lesions: pd.DataFrame
    partners: list[list[int]]

    @property
    def points(self) -> list[np.ndarray]:
        """(n, 2) x and y of the places of each film, in its pixels."""
        return [of_film[:, POINT].astype(float) for of_film in self.places]


def marks_of(heat: np.ndarray, places: np.ndarray, apart_px: float, most: int = MARKS) -> tuple[list[int], np.ndarray]:
    """Return the hottest place, then the hottest one that is farther than `apart_px` from all before, and so on.

    Args:
        heat: (n,) values of places.
        places: (n, FACTS) the places.
        apart_px: The distance within which a mark hides others, in pixels of the film.
        most: The largest number of marks.

    Returns:
        The numbers of m places, and (m, 2) x and y of their peaks on the film, in pixels.
    """
    points = places[:, POINT].astype(float)
    left, found = np.ones(len(heat), bool), list[int]()
    while left.any() and len(found) < most:
        hottest = int(np.where(left, heat, -np.inf).argmax())
        found.append(hottest)
        left &= np.hypot(*(points - points[hottest]).T) > apart_px
    numbers = {(row, column): number for number, (row, column) in enumerate(places[:, CELL].astype(int).tolist())}
    return found, np.reshape([_peak(heat, places, points, numbers, place) for place in found], (-1, 2))


def _peak(
    heat: np.ndarray, places: np.ndarray, points: np.ndarray, numbers: Mapping[tuple[int, int], int], place: int
) -> np.ndarray:
    """Return x and y of the peak at a hot place: across and down, that of the parabola through it and its neighbours.

    It lies at most half way to a neighbour, and on the place where a neighbour is hotter or not on the breast.
    """
    row, column = places[place, CELL].astype(int).tolist()
    peak = points[place].copy()
    for down, across in ((1, 0), (0, 1)):
        before, after = (numbers.get((row + sign * down, column + sign * across)) for sign in (-1, 1))
        if before is None or after is None or heat[place] < max(heat[before], heat[after]):
            continue
        if bend := 2 * heat[place] - heat[before] - heat[after]:
            peak += (heat[after] - heat[before]) / (2 * bend) * (points[after] - points[before]) / 2
    return peak


def position_prior(places: np.ndarray, targets: Targets, use: np.ndarray) -> np.ndarray:
    """Return how often places like these (N,) lie in a lesion in the training part, by their point in the breast.

    Args:
        places: (N, FACTS) of all films.
        targets: What the places ought to say.
        use: (N,) bool, true for places of training films.
    """
    at = [(places[:, FACTS.index(name)].clip(0, 1) * (GRID - 1e-3)).astype(int) for name in ("down", "across")]

    def counted(which: np.ndarray) -> np.ndarray:
        counts = np.zeros((GRID, GRID), np.float32)
        np.add.at(counts, (at[0][which], at[1][which]), 1)
        return cv2.GaussianBlur(counts, (0, 0), SMOOTH, borderType=cv2.BORDER_REPLICATE)

    inside, seen = counted(use & (targets.soft > 0)), counted(use & targets.counts)
    return (inside / np.maximum(seen, 1e-3))[at[0], at[1]]


def baselines(places: np.ndarray, targets: Targets, use: np.ndarray) -> dict[str, np.ndarray]:
    """Return the heat (N,) of each baseline: where lesions lie, the brightest blob, and the blob minus its surround.

    Without a training film nobody knows where lesions lie, and that baseline is left out.
    """
    prior = {"position_prior": position_prior(places, targets, use)} if use.any() else {}
    bright = {"brightest_blob": "blob", "blob_minus_surround": "blob_minus_surround"}
    return prior | {name: places[:, FACTS.index(fact)] for name, fact in bright.items()}


def candidates(
    images: pd.DataFrame,
    places: Sequence[np.ndarray],
    heats: Mapping[str, Sequence[np.ndarray]],
    spacing_mm: Sequence[float],
    apart_mm: float,
) -> pd.DataFrame:
    """Return the candidates table: the marks of each head on each film, in pixels of the film, the hottest first.

    Args:
        images: `image_id, patient, split` of each film.
        places: (n, FACTS) the places of each film.
        heats: By head, the values of the places of each film.
        spacing_mm: The side of a pixel of each film.
        apart_mm: The least distance of two marks, which is also the side of a mark's box.
    """
    tables = []
    for head, of_films in heats.items():
        for image, of_film, heat, side in zip(images.to_dict("records"), places, of_films, spacing_mm, strict=True):
            (rows, at), reach = marks_of(heat, of_film, apart_mm / side), apart_mm / side / 2
            found = pd.DataFrame(np.hstack([at, at - reach, at + reach]), columns=COLUMNS[4:10])
            tables.append(found.assign(**image, head=head, score=heat[rows]))
    table = pd.concat(tables, ignore_index=True)[COLUMNS]
    table["score"] = [f"{value:.9g}" for value in table["score"].astype(np.float32)]
    return table.round({name: 2 for name in COLUMNS[4:10]})


def with_partners(scores: np.ndarray, partners: Sequence[Sequence[int]], share: float, absent: float) -> np.ndarray:
    """Return the score of each film less a share of the mean score of its partners.

    Args:
        scores: (films,) own scores.
        partners: The films of the other breast of each film.
        share: The share that is taken away.
        absent: The score that stands for a partner which there is not.
    """
    return scores - taken_away(scores, partners, share, absent)


def taken_away(scores: np.ndarray, partners: Sequence[Sequence[int]], share: float, absent: float) -> np.ndarray:
    """Return (films,) what `with_partners` takes away from each score."""
    other = np.array([scores[list(rows)].mean() if len(rows) else absent for rows in partners], scores.dtype)
    return share * other


def lowered(marks: pd.DataFrame, taken: Mapping[str, float]) -> pd.DataFrame:
    """Return the marks of `detector_partner`: those of `detector`, each score lowered by what its film's score is.

    Args:
        marks: The rows of `detector` in the candidates table.
        taken: By image, what the other breast takes away from the score of the film.
    """
    by = marks["image_id"].map(taken).to_numpy(np.float32)
    scores = marks["score"].to_numpy(np.float32) - by
    return marks.assign(head=PARTNER, score=[f"{score:.9g}" for score in scores])
