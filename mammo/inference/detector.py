"""The predictor of a detector: the places of a film, the marks on it, and what the other breast's film changes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import or_
from typing import Any

import numpy as np
import pandas as pd
import torch

from mammo.datasets.film import Film
from mammo.detector_config import blocks_of
from mammo.errors import InputError, content_of
from mammo.inference.operating import OperatingPoint, check_number, operating_point
from mammo.inference.prediction import MARKS, Prediction, samples_of
from mammo.inference.predictor import Point, Predictor, Seen
from mammo.memory import return_freed
from mammo.models.platt import Platt
from mammo.preprocessing.appearance import appearance
from mammo.preprocessing.breast import find_breast
from mammo.preprocessing.flips import FILM_FLIPS
from mammo.preprocessing.view import View, check_size, view_of
from mammo.run_folder import RunFolder
from mammo.training.film_maps import FilmMaps, entrance_of, seen_of
from mammo.training.marks import ALONE, PARTNER, POINT, candidates, lowered, taken_away, with_partners
from mammo.training.place_patches import seen_anew

NO_PARTNER = "no film of the other breast is known; the mean score of the run's negative films stands for it"


@dataclass(frozen=True)
class SeenFilm(Seen):
    """A film as the detector looks at it.

    Attributes:
        view: The breast at the run's size of a pixel, with its places.
        spacing_mm: Side of a pixel of the film.
    """

    view: View
    spacing_mm: float

    @property
    def looked_at(self) -> np.ndarray:
        """The pixels that the network is given."""
        return self.view.pixels


class DetectorPredictor(Predictor[SeenFilm]):
    """A detector.

    Args:
        run: A finished run with task=detection.
        head: `detector`; or `detector_partner`, whose answer for one film alone takes the score that stands for a
            missing partner. `with_partners` gives that for films of both breasts.
    """

    takes_point = False

    def __init__(self, run: RunFolder, head: str = ALONE) -> None:
        super().__init__(run, head)
        self.blocks = blocks_of(self.config.model.maps, self.config.detector)
        self.chosen: dict[str, Any] = run.selection["detector"]
        file = run.path / "selection.json"
        check_number(file, "absent", self.chosen["absent"])
        for name, curve in self.chosen["curves"].items():
            check_number(file, f"the slope of {name}", curve["slope"], above=0)
            check_number(file, f"the offset of {name}", curve["offset"])

    @staticmethod
    def heads_of(run: RunFolder) -> list[str]:
        """Return the names of a run's heads, that of a film alone first."""
        with content_of(run.path / "selection.json"):
            return [head for head in (ALONE, PARTNER) if head in run.selection["detector"]["curves"]]

    @cached_property
    def points(self) -> dict[str, OperatingPoint]:
        """The operating point of each head for images."""
        return {head: operating_point(self.run, head) for head in self.heads_of(self.run)}

    @cached_property
    def network(self) -> Any:
        """The detector with its frozen maps in the precision of the run."""
        net = super().network
        net.frozen.to(torch.bfloat16 if self.low else torch.float32)
        return net

    def see(
        self,
        film: Film,
        *,
        at: Point | None = None,
        laterality: str | None = None,
        spacing_mm: float | None = None,
        name: str = "film",
    ) -> SeenFilm:
        """Return the view of a film; see `Predictor.see`."""
        if at is not None:
            raise InputError("a detector looks at whole films; a point is for a run on lesion windows")
        spacing, notes = self.assumed(film, spacing_mm)
        if spacing is None:
            looked = f"a detector looks at films of {self.config.detector.spacing_mm} mm a pixel"
            raise InputError(f"{name} does not give the size of a pixel, but {looked}; give spacing_mm")
        height, width = film.pixels.shape
        check_size(name, height, width, spacing)
        breast = find_breast(film, laterality, name)
        view = view_of(breast, spacing, self.config.detector.spacing_mm)
        return SeenFilm((*notes, *breast.notes), appearance(film, breast), view, spacing)

    def answers(self, seen: Iterable[SeenFilm]) -> Iterator[Prediction]:
        """Yield the answer for each film; `detector_partner` answers as if no other film were there."""
        for one in self.alone(seen):
            yield one if self.head == ALONE else self.with_partners([one], [[]])[0]

    def alone(self, seen: Iterable[SeenFilm]) -> Iterator[Prediction]:
        """Yield the answer of `detector` for each film."""
        for film in seen:
            heat, score, features = self.outputs(film)
            answer = self._prediction(ALONE, score, film.notes, self._marks(film, heat))
            yield self.judged(answer, film, features[None])

    def outputs(self, film: SeenFilm) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the heat (n,) of a film's places, its score (1,) and its features (D,)."""
        x = self._coordinates(film.view).float()
        with self.computing():
            heat, score, features = self.network.film(x)
        return_freed()
        return heat.numpy(), score.float().numpy()[None], features.float().numpy()

    def stages(self, seen: Sequence[SeenFilm]) -> list[dict[str, np.ndarray]]:
        """Return the numbers of each stage; see `Predictor.stages`."""
        found = []
        for film in seen:
            heat, score, features = self.outputs(film)
            numbers = {"places": film.view.places[:, POINT], "heat": heat, "features": features}
            alone = self._prediction(ALONE, score, film.notes, self._marks(film, heat))
            both = self.with_partners([alone], [[]]) if PARTNER in self.points else []
            found.append(reduce(or_, (one.stages for one in (alone, *both)), numbers))
        return found

    def _coordinates(self, view: View) -> torch.Tensor:
        """Return coordinates (n, flips, width) of a view's places, as in training outside the precision of the head."""
        net = self.network
        with torch.inference_mode():
            flips = [seen_of(view, net.frozen, self.blocks, flip=flip) for flip in FILM_FLIPS[self.config.model.flips]]
            if net.block is not None:
                film = FilmMaps(view.places, flips)
                flips = [seen_anew(net.block, film, entrance_of(view, net.frozen, net.block))]
            return torch.stack([net.coordinates(seen) for seen in flips], 1)

    def _marks(self, film: SeenFilm, heat: np.ndarray) -> pd.DataFrame:
        """Return the marks of a film, as `candidates.csv` has them."""
        image = pd.DataFrame([{"image_id": "film", "patient": "film", "split": "none"}])
        places, apart_mm = film.view.places, self.config.detector.apart_mm
        marks = candidates(image, [places], {ALONE: [heat]}, [film.spacing_mm], apart_mm)
        return marks[MARKS].astype(float)

    def _prediction(self, head: str, score: np.ndarray, notes: Sequence[str], marks: pd.DataFrame) -> Prediction:
        """Return the answer of a head from its score (1,)."""
        probabilities = Platt(**self.chosen["curves"][head])(score)
        point = self.points[head]
        calibrated = point.choices.calibrated(probabilities)[0]
        return Prediction(
            head,
            dict(zip(self.classes, map(float, calibrated), strict=True)),
            float(score[0]),
            point.threshold,
            (*notes, *point.notes),
            marks=marks,
            samples=samples_of(score, probabilities, self.classes),
        )

    def with_partners(self, alone: Sequence[Prediction], partners: Sequence[Sequence[int]]) -> list[Prediction]:
        """Return the answers of `detector_partner`: of each film with those of the other breast.

        Args:
            alone: The answers of `detector`.
            partners: The films of the other breast of each film, by their number in `alone`.
        """
        scores = np.array([one.score for one in alone], np.float32)
        share, absent = self.config.detector.partner_share, self.chosen["absent"]
        both, taken = (of(scores, partners, share, absent) for of in (with_partners, taken_away))
        return [
            replace(
                self._prediction(
                    PARTNER, both[n : n + 1], self._notes(one, paired=bool(others)), _lowered(one.marks, taken[n])
                ),
                unlike=one.unlike,
                features=one.features,
            )
            for n, (one, others) in enumerate(zip(alone, partners, strict=True))
        ]

    def _notes(self, one: Prediction, *, paired: bool) -> tuple[str, ...]:
        """Return the notes of an answer of `detector` that are about the film, and that it has no partner if so."""
        of_film = [note for note in one.notes if note not in self.points[ALONE].notes]
        return (*of_film, *([] if paired else [NO_PARTNER]))


def _lowered(marks: pd.DataFrame, taken: float) -> pd.DataFrame:
    """Return the marks of a film with that of the other breast."""
    return lowered(marks.assign(image_id="film"), {"film": taken})[MARKS].astype(float)
