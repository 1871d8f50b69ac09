"""The predictor of a run on regions: the picture of a film as the run cut it, and the region found on it."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mammo.datasets.film import Film
from mammo.evaluation.segmentation import SEGMENTER
from mammo.inference.classifier import ClassifierPredictor, SeenWindows
from mammo.inference.operating import check_number
from mammo.inference.prediction import Outline, Prediction
from mammo.preprocessing.breast import Breast
from mammo.preprocessing.masks import Placed, placed_of
from mammo.preprocessing.squares import Ask
from mammo.run_folder import RunFolder
from mammo.tasks.answers import outputs_of
from mammo.training.frozen import BLOCK


@dataclass(frozen=True)
class SeenPicture(SeenWindows):
    """The picture of a film that the network looks at.

    Attributes:
        placed: Its place on the film.
        shape: Height and width of the film in pixels.
    """

    placed: Placed
    shape: tuple[int, int]


class SegmenterPredictor(ClassifierPredictor):
    """A network that finds regions. Its score, `softmax`, is that of the hottest pixels.

    Args:
        run: A finished run with task=segmentation.
        head: `softmax`.
    """

    def __init__(self, run: RunFolder, head: str = "softmax") -> None:
        super().__init__(run, head)
        check_number(run.path / "selection.json", "level", level := run.selection[SEGMENTER]["level"])
        self.level = float(level)

    def _placed(self, seen: SeenWindows, film: Film, cut_from: Breast, ask: Ask) -> SeenPicture:
        """Return what is seen, with its place on the film."""
        (placed,) = placed_of(cut_from, ask, self.stored, self.shown, self.margin)
        height, width = film.pixels.shape
        return SeenPicture(**vars(seen), placed=placed, shape=(height, width))

    def answers(self, seen: Iterable[SeenWindows]) -> Iterator[Prediction]:
        """Yield the answer for each film, with the region on it."""
        films = iter(seen)
        while block := list(itertools.islice(films, BLOCK)):
            pictures = [one.pixels[0] for one in block]
            outlines, features, logits = self._outlined(pictures + pictures[-1:] * (BLOCK - len(block)))
            scores, probabilities = self.scored(features, logits)
            for number, film in enumerate(block):
                here = slice(number, number + 1)
                answer = self._prediction(film, None if scores is None else scores[here], probabilities[here])
                yield self.judged(replace(answer, outline=self._outline(film, outlines[number])), film, features[here])

    def _outline(self, film: SeenWindows, pixels: np.ndarray) -> Outline | None:
        """Return the region on a film from its probabilities (side, side) uint8."""
        return Outline(pixels, film.placed, film.shape, self.level) if isinstance(film, SeenPicture) else None

    def outputs(self, samples: Sequence[np.ndarray], block: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the features (N, D) and logits (N, 2) of N samples, each (1, side, side)."""
        return self._outlined(samples)[1:]

    def _outlined(self, samples: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return outlines (N, side, side) uint8, features (N, D) and logits (N, 2) of samples, each (1, side, side)."""
        with self.computing():
            maps, features = self.network(torch.from_numpy(np.stack(samples)))
            found = outputs_of(maps, self.config.segmentation.hottest)
        return found["outline"].numpy(), features.float().numpy(), found["logits"].float().numpy()
