"""Score maps on the test part: do they point at lesions, and does the answer rest on where they point?"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch

from mammo.datasets.film import Film
from mammo.errors import InputError
from mammo.evaluation.marks import HIT_MM
from mammo.evaluation.pointing import BLOB, CENTRE, COLUMNS, MAP, RANDOM
from mammo.explaining import squares
from mammo.explaining.covering import covered, disc
from mammo.explaining.explanation import EMPTY, Explanation, explain
from mammo.explaining.films import Images
from mammo.inference.build import build_predictor
from mammo.inference.predictor import Point, Predictor
from mammo.preprocessing.breast import find_breast
from mammo.preprocessing.crops import Lesion, build_crop
from mammo.processes.progress import watched
from mammo.run_folder import RunFolder
from mammo.training.marks import PARTNER

MARKED = 0.02  # share of the breast's area that a marked disc has: on mini-MIAS a radius of about 11 mm
DRAWS = 3  # random places of a film
BREAST_MM2 = 20_000.0  # area of a breast whose pixels have no known size, only for the size of a blob
BLOB_MM = 3.0
FEW = 4  # films from which on a bar is shown
SEED = 0


@dataclass(frozen=True)
class Marked:
    """A film with the places that are compared.

    Attributes:
        explanation: Its map.
        facts: Laterality, spacing and name of the film, as `see` takes them.
        patient: The patient.
        places: The places by name, several of `RANDOM`; None where the map is empty.
        lesion: (height, width) bool, true on lesions and within `HIT_MM` of their centres.
        radius_px: The radius of the marked discs.
        rank_correlation: That with the map of shuffled weights; None if one of them is flat.
    """

    explanation: Explanation
    facts: dict[str, Any]
    patient: str
    places: list[tuple[str, Point | None]]
    lesion: np.ndarray
    radius_px: float
    rank_correlation: float | None


def score_maps(run: RunFolder, head: str | None) -> pd.DataFrame:
    """Return the scored places of all test images of the positive class whose lesion is known, `COLUMNS`.

    Args:
        run: A finished run on whole films.
        head: One of its heads; None takes them all.

    Raises:
        InputError: The run looks at windows on lesions, or has no such test image.
    """
    if run.config.task.kind != "detection" and isinstance(build_crop(run.config.crop), Lesion):
        raise InputError(
            f"crop={run.config.crop.name} centres its windows on lesions, so its maps point at them by themselves; "
            "score a run on whole films"
        )
    predictor = build_predictor(run, head)
    images = Images.of_run(run)
    heads = [head] if head else [one for one in predictor.heads_of(run) if one != PARTNER]  # type: ignore[attr-defined]
    return pd.concat([_scored(build_predictor(run, one), images) for one in heads], ignore_index=True)


def _scored(predictor: Predictor[Any], images: Images) -> pd.DataFrame:
    """Return the rows of one head."""
    samples = predictor.run.samples
    tested = samples[(samples["split"] == "test") & (samples["label"] != predictor.classes[0])]
    tested = tested.drop_duplicates("image_id")[["image_id", "patient"]]
    known = [row for row in tested.to_dict("records") if images.facts(str(row["image_id"]))["lesions"]]
    if not known:
        raise InputError(
            f"{predictor.run.path}: no test image of the positive class has a lesion whose place is known, "
            "so maps cannot be scored; score a run on films with circles, boxes, contours or masks"
        )
    other = shuffled(predictor)
    marked: list[Marked] = []

    def seen() -> Iterator[Any]:
        """Yield each film as it is, then with each place covered."""
        for row in watched(known, len(known), f"Maps of {predictor.head}", few=FEW):
            one = _marked(predictor, other, images, str(row["image_id"]), str(row["patient"]))
            marked.append(one)
            film = one.explanation.film
            for pixels in (film.pixels, *(_without(one, at) for _, at in one.places)):
                yield predictor.see(replace(film, pixels=pixels), **one.facts)

    answers = predictor.answers(seen())
    rows: list[dict[str, Any]] = []
    number = 0
    while (first := next(answers, None)) is not None:
        one = marked[number]
        number += 1
        before = _score(first, one.explanation.of)
        drops = [before - _score(next(answers), one.explanation.of) for _ in one.places]
        rows += _rows(one, predictor.head, drops)
        marked[number - 1] = replace(one, explanation=None, lesion=None)  # type: ignore[arg-type]  # films are large
    return pd.DataFrame(rows, columns=COLUMNS)


def _score(prediction: Any, of: str) -> float:
    """Return the score of an answer, or the log odds of a class if there is none."""
    if prediction.score is not None:
        return float(prediction.score)
    found = np.array([[prediction.probabilities[of]]])
    return float(squares.score_of(None, found, 0)[0])


def _marked(predictor: Predictor[Any], other: Predictor[Any], images: Images, image: str, patient: str) -> Marked:
    """Return a test film with its map and places."""
    facts, film = images.facts(image), images.dataset.read(image)
    one, shuffled_map = (explain(asked, film, **facts) for asked in (predictor, other))
    del facts["lesions"]
    breast, spacing = one.breast, facts["spacing_mm"] or film.spacing_mm
    area = np.count_nonzero(breast)
    down, across = np.nonzero(breast)
    rng = np.random.default_rng([SEED, *image.encode()])
    drawn = [(float(across[at]), float(down[at])) for at in rng.integers(area, size=DRAWS)]
    places = [(MAP, one.hottest), (CENTRE, (float(across.mean()), float(down.mean())))]
    places += [(BLOB, _blob(film, facts, spacing or math.sqrt(BREAST_MM2 / area), breast))]
    places += [(RANDOM, at) for at in drawn]
    lesion = lesion_mask(one, HIT_MM / spacing if spacing else 0.0)
    radius = math.sqrt(MARKED * area / math.pi)
    return Marked(one, facts, patient, places, lesion, radius, rank_correlation(one, shuffled_map))


def _blob(film: Film, facts: dict[str, Any], spacing_mm: float, shown: np.ndarray) -> Point:
    """Return the brightest pixel of the smoothed breast, in pixels of the film."""
    breast = find_breast(film, facts["laterality"], facts["name"])
    levels = breast.map_to_film(cv2.GaussianBlur(np.float32(breast.pixels), (0, 0), BLOB_MM / spacing_mm))
    row, column = np.unravel_index(np.where(shown, levels, -np.inf).argmax(), levels.shape)
    return float(column), float(row)


def lesion_mask(one: Explanation, least_px: float) -> np.ndarray:
    """Return where the lesions of a film are, (height, width) bool: their own shape, and a disc around each centre."""
    mask = np.zeros(one.values.shape, bool)
    for lesion in one.lesions:
        mask |= disc(mask.shape, lesion.x_px, lesion.y_px, max(least_px, 0.5))
        if (own := lesion.region()) is not None:
            shape, left, top = own
            mask[top : top + len(shape), left : left + shape.shape[1]] |= shape
        elif lesion.round and lesion.radius_px is not None:
            mask |= disc(mask.shape, lesion.x_px, lesion.y_px, lesion.radius_px)
        else:
            x0, y0, x1, y1 = (max(round(edge), 0) for edge in lesion.box)
            mask[y0:y1, x0:x1] = True
    return mask


def _without(one: Marked, at: Point | None) -> np.ndarray:
    """Return the film's pixels without what a disc shows."""
    film = one.explanation.film
    if at is None:
        return film.pixels
    return covered(film.pixels, disc(film.pixels.shape, *at, one.radius_px), one.explanation.breast)


def _rows(one: Marked, head: str, drops: list[float]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a film: of its map, and of each other place."""
    table = pd.DataFrame([_measured(one, *place, drop) for place, drop in zip(one.places, drops, strict=True)])
    means = table.groupby("place", sort=False).mean().reset_index()
    for row in means.to_dict("records"):
        own = {"image_id": one.facts["name"], "patient": one.patient, "head": head}
        if row["place"] == RANDOM:
            row |= {"x_px": None, "y_px": None}
        yield own | row | {"rank_correlation": one.rank_correlation if row["place"] == MAP else None}


def _measured(one: Marked, place: str, at: Point | None, drop: float) -> dict[str, Any]:
    """Return the measures of a place."""
    if at is None:
        return {"place": place, "x_px": np.nan, "y_px": np.nan, "pointing": 0.0, "energy": 0.0, "drop": 0.0}
    shown = one.explanation
    values = shown.values.clip(0) if place == MAP else disc(shown.values.shape, *at, one.radius_px).astype(np.float32)
    energy = float(values[one.lesion & shown.breast].sum(dtype=float) / values[shown.breast].sum(dtype=float))
    hit = float(one.lesion[round(at[1]), round(at[0])])
    return {"place": place, "x_px": at[0], "y_px": at[1], "pointing": hit, "energy": energy, "drop": drop}


def shuffled(predictor: Predictor[Any]) -> Predictor[Any]:
    """Return the same predictor over a network each of whose weights changed places with others of its layer.

    A network whose maps stay as they were does not show what it has learnt (Adebayo et al. 2018, arXiv:1810.03292).
    """
    other, net = copy.copy(predictor), copy.deepcopy(predictor.network)
    draws = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(parameter.flatten()[torch.randperm(parameter.numel(), generator=draws)].view_as(parameter))
    vars(other)["network"] = net  # where the property keeps it
    return other


def rank_correlation(one: Explanation, other: Explanation) -> float | None:
    """Return Spearman's rank correlation of two maps of a film on its breast; None if one of them is flat."""
    step = max(int(one.cell_px) // 4, 1)
    part = one.breast[::step, ::step]
    first, second = (np.nan_to_num(each.values[::step, ::step][part]) for each in (one, other))
    if min(np.ptp(first), np.ptp(second)) <= EMPTY:
        return None
    ranks = [pd.Series(each).rank().to_numpy() for each in (first, second)]
    return float(np.corrcoef(*ranks)[0, 1])
