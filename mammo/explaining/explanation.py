"""The map of a film: where its pixels raise the answer of one head, in the film's own pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from mammo.datasets.film import Film
from mammo.datasets.geometry import Geometry
from mammo.errors import InputError
from mammo.explaining import squares
from mammo.inference.classifier import ClassifierPredictor, SeenWindows, most_alarming
from mammo.inference.detector import DetectorPredictor, SeenFilm
from mammo.inference.prediction import Prediction
from mammo.inference.predictor import Point, Predictor
from mammo.inference.segmenter import SegmenterPredictor
from mammo.preprocessing.breast import Breast, find_breast
from mammo.preprocessing.squares import shown_at
from mammo.preprocessing.view import CELL_PX, FACTS, STEP
from mammo.training.marks import PARTNER

HEAT, REGION = "heat", "region"
EMPTY = 1e-6  # the largest value of a map that shows nothing but rounding
SAID = {  # what a value of a map is, by method
    squares.GRADIENT: "share of a cell in the score (gradient times activation)",
    squares.OCCLUSION: "fall of the score where a place is covered",
    HEAT: "heat, the detector's own probability of a place",
    REGION: "probability that a pixel lies in the region",
}


@dataclass(frozen=True)
class Explanation:
    """The map of a film for one head.

    Attributes:
        name: The name of the film.
        film: The film.
        prediction: The answer of the same head for it.
        of: The class for which the map shows evidence.
        method: A key of `SAID`.
        values: (height, width) float32, a value for each pixel of the film as it is stored; 0 where none was looked
            at. A positive value speaks for the class.
        breast: (height, width) bool, true on the breast.
        cell_px: The side of a cell of the map, in pixels of the film.
        lesions: The lesions on the film that are known.
        notes: What a reader of the map must know, one line each.
    """

    name: str
    film: Film
    prediction: Prediction
    of: str
    method: str
    values: np.ndarray
    breast: np.ndarray
    cell_px: float
    lesions: tuple[Geometry, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def head(self) -> str:
        """The head that gave answer and map."""
        return self.prediction.head

    @property
    def empty(self) -> bool:
        """True if no place of the breast speaks for the class."""
        return not (self.values[self.breast] > EMPTY).any()

    @property
    def hottest(self) -> Point | None:
        """The pixel with the largest value, x and y from the top left; None if the map is empty."""
        if self.empty:
            return None
        shown = np.where(self.breast, self.values, -np.inf)
        rows, columns = np.nonzero(shown >= shown.max() - EMPTY * abs(shown.max()))  # at the edge half a cell is alike
        middle = np.hypot(rows - rows.mean(), columns - columns.mean()).argmin()
        return float(columns[middle]), float(rows[middle])

    def __str__(self) -> str:
        place = self.hottest
        where = (
            f"the map is empty: no place speaks for {self.of}"
            if place is None
            else f"the hottest pixel, x {place[0]:.0f}, y {place[1]:.0f}, speaks for {self.of}"
        )
        found = self.prediction
        shown = ", ".join(f"{name} {value:.3f}" for name, value in found.probabilities.items())
        shown += "" if found.score is None else f"; score {found.score:.4g}"
        if found.score is not None and found.threshold is not None:
            shown += f" {'above' if found.score > found.threshold else 'not above'} the threshold {found.threshold:.4g}"
        more = "".join(f"; {note}" for note in (*self.notes, *found.notes))
        return f"{self.name}: {found.called} ({self.head}: {shown}); {where}{more}"


def explain(
    predictor: Predictor[Any],
    film: Film,
    *,
    at: Point | None = None,
    laterality: str | None = None,
    spacing_mm: float | None = None,
    name: str = "film",
    lesions: Sequence[Geometry] = (),
) -> Explanation:
    """Return the map of a film for the head of a predictor.

    Args:
        predictor: A run and one of its heads.
        film: The film, as the predictor's `read` returns it.
        at: See `Predictor.see`.
        laterality: See `Predictor.see`.
        spacing_mm: See `Predictor.see`.
        name: The name of the film.
        lesions: The lesions on it that are known.

    Raises:
        InputError: The film shows no breast, or a head needs more than this film.
    """
    method = method_of(predictor)
    breast, notes = find_breast(film, laterality, name, predictor.config.crop.bits), tuple[str, ...]()
    seen: Any = predictor.see(film, at=at, laterality=laterality, spacing_mm=spacing_mm, name=name)
    prediction = next(predictor.answers([seen]))
    of = predictor.classes[1] if prediction.score is not None else prediction.called
    shown = breast.map_to_film(breast.mask)
    if prediction.outline is not None:
        on_film, cell = prediction.outline.probabilities(), abs(prediction.outline.placed.step_x_px)
    else:
        if isinstance(predictor, DetectorPredictor):
            values, cell = _heat(predictor, seen, breast)
        else:
            values, cell, notes = _of_squares(predictor, seen, breast, predictor.classes.index(of))  # type: ignore[arg-type]
        on_film = breast.map_to_film(values.astype(np.float32))
    if prediction.unlike:
        notes = (*notes, f"the film is {prediction.unlike}")
    return Explanation(
        name, film, prediction, of, method, np.where(shown, on_film, 0), shown, cell, tuple(lesions), notes
    )


def method_of(predictor: Predictor[Any]) -> str:
    """Return how the map of a film is made, a key of `SAID`.

    Raises:
        InputError: The head has no map.
    """
    if predictor.head == PARTNER:
        raise InputError(f"{PARTNER} takes its score from films of both breasts; use --head detector to see the heat")
    if isinstance(predictor, DetectorPredictor):
        return HEAT
    if isinstance(predictor, SegmenterPredictor):
        return REGION
    if isinstance(predictor, ClassifierPredictor):
        return squares.method_of(predictor)
    raise InputError(f"{type(predictor).__name__} has no map; expected a classifier, a detector or a run on regions")


def _of_squares(
    predictor: ClassifierPredictor, seen: SeenWindows, breast: Breast, of: int
) -> tuple[np.ndarray, float, tuple[str, ...]]:
    """Return the map like the breast's pixels, the side of its cells there, and notes."""
    notes, counted = [], np.arange(len(seen.pixels))
    if len(counted) > 1 and (seen.searched or predictor.config.aggregate != "mean"):
        score, probabilities, _ = zip(*predictor.each_sample(iter(seen.pixels)), strict=True)
        scores = None if score[0] is None else np.array(score)
        counted = counted[most_alarming(scores, np.stack(probabilities))]
        notes.append("the map is that of the most alarming window")
    maps = squares.gradient_maps if squares.method_of(predictor) == squares.GRADIENT else squares.occlusion_maps
    total, cells = np.zeros(breast.pixels.shape, np.float32), []
    for sample in counted:
        centre = breast.from_film(*seen.places[sample, :2])
        for size, values in zip(seen.sizes[sample], maps(predictor, seen.pixels[sample], of), strict=True):
            left, top, side = shown_at(*centre, float(size), predictor.stored, predictor.shown, predictor.margin)
            total += spread(values, left, top, side, side, breast.pixels.shape) / len(counted)
            cells.append(side / values.shape[1])
    return total, max(cells), tuple(notes)


def _heat(predictor: DetectorPredictor, seen: SeenFilm, breast: Breast) -> tuple[np.ndarray, float]:
    """Return the heat of a film as a probability, like the breast's pixels, and the side of its cells there."""
    heat, _, _ = predictor.outputs(seen)
    rows, columns = (seen.view.places[:, FACTS.index(name)].astype(int) for name in ("row", "column"))
    values = np.zeros((rows.max() + 1, columns.max() + 1), np.float32)
    values[rows, columns] = expit(heat)
    unit = predictor.config.detector.spacing_mm / seen.spacing_mm  # a pixel of the view, in pixels of the film
    cell = CELL_PX * STEP * unit
    left, height, width = (CELL_PX * unit - cell) / 2, cell * len(values), cell * values.shape[1]
    return spread(values, left, left + breast.box[0], width, height, breast.pixels.shape), cell


def spread(
    values: np.ndarray, left: float, top: float, width: float, height: float, shape: tuple[int, ...]
) -> np.ndarray:
    """Return a picture of this shape with a map in one of its rectangles, and 0 elsewhere.

    Args:
        values: (rows, columns) float32, whose cells fill the rectangle; between their centres the map is linear.
        left: The rectangle's left edge in pixels; the first pixel's centre is 0.
        top: Its top edge.
        width: Its width.
        height: Its height.
        shape: Height and width of the picture.
    """
    picture = values.astype(np.float32)
    for axis, first, length in ((0, top, height), (1, left, width)):
        pixels, cells = np.arange(shape[axis]), values.shape[axis]
        place = ((pixels + 0.5 - first) / length * cells - 0.5).clip(0, cells - 1)
        inside = (pixels + 0.5 >= first) & (pixels + 0.5 < first + length)
        below = place.astype(int)
        share = (place - below).astype(np.float32)
        above = np.minimum(below + 1, cells - 1)
        weights = [np.expand_dims(one * inside, 1 - axis).astype(np.float32) for one in (1 - share, share)]
        picture = picture.take(below, axis) * weights[0] + picture.take(above, axis) * weights[1]
    return picture
