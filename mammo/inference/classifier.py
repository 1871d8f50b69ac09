"""The predictor of a classifier: squares of a film as the run cut them, its network and one head."""

import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mammo.datasets.film import Film
from mammo.datasets.findings import findings_table
from mammo.errors import InputError
from mammo.evaluation.aggregate import any_positive, none_positive
from mammo.inference.prediction import Prediction, samples_of
from mammo.inference.predictor import Point, Predictor, Seen
from mammo.preprocessing.appearance import appearance
from mammo.preprocessing.breast import Breast, find_breast, whole_film
from mammo.preprocessing.crops import Grid, Whole, build_crop
from mammo.preprocessing.flips import FLIPS, flipped
from mammo.preprocessing.squares import Ask, squares_of
from mammo.run_folder import RunFolder

if TYPE_CHECKING:
    from mammo.models.head_layers import HeadLayers, OwnAnswer
    from mammo.models.heads import FittedHead

PLACE = ["x_px", "y_px", "size_px"]  # the first of the numbers of a square
SMALL = (1, 4)  # sizes of blocks for few films, if this machine gives the same digits for them as for a full block
Answer = tuple[np.ndarray | None, np.ndarray]  # (N,) scores, None for several classes; (N, classes) probabilities


@dataclass(frozen=True)
class SeenWindows(Seen):
    """The squares of a film that the network looks at.

    Attributes:
        pixels: (samples, windows, side, side) uint8 or uint16.
        places: (samples, 3) centre and side of each sample's largest window, in pixels of the film.
        sizes: (samples, windows) side of each window, in pixels of the film.
        searched: The note that windows all over the breast are looked at; None if they are those of training.
    """

    pixels: np.ndarray
    places: np.ndarray
    sizes: np.ndarray
    searched: str | None

    @property
    def looked_at(self) -> np.ndarray:
        """The pixels that the network is given."""
        return self.pixels


class ClassifierPredictor(Predictor[SeenWindows]):
    """A network and one head of a run.

    Args:
        run: A finished run.
        head: One of its heads, or `softmax` for the network's own output.

    Raises:
        InputError: The crop of the run cannot be made of a film without findings.

    Attributes:
        fills: True if each block is filled up, so that no last digit depends on the number of films.
        short: The number of blocks so far that were not full.
    """

    fills = True
    short = 0

    def __init__(self, run: RunFolder, head: str) -> None:
        super().__init__(run, head)
        self.crop = build_crop(self.config.crop)
        if not hasattr(self.crop, "look"):
            raise InputError(f"crop={self.config.crop.name} cannot cut a new film; give it a method `look`")
        self.shown, self.margin = self.config.model.image_size, self.config.augment.margin
        self.takes_point = not isinstance(self.crop, Whole | Grid)
        self.stored = math.ceil(self.shown * self.margin)
        self.windows, self.flips = self.config.crop.windows, FLIPS[self.config.model.flips]

    @staticmethod
    def heads_of(run: RunFolder) -> list[str]:
        """Return the names of a run's heads, the network's own first."""
        return ["softmax", *run.selection["heads"]]

    @cached_property
    def rows(self) -> int:
        """The number of samples of a block."""
        from mammo.training.frozen import rows_of_block

        return rows_of_block(self.windows * self.flips)

    @cached_property
    def fitted(self) -> "FittedHead":
        """The scikit-learn head."""
        return self.run.heads()[self.head]

    @cached_property
    def layers(self) -> "HeadLayers | OwnAnswer":
        """The head as layers of torch: from the logits for `softmax`, from the features for another head.

        Raises:
            InputError: The head is none of those that are known as layers.
        """
        from mammo.models.head_layers import HeadLayers, OwnAnswer

        return OwnAnswer() if self.head == "softmax" else HeadLayers(self.head, self.fitted)

    def see(
        self,
        film: Film,
        *,
        at: Point | None = None,
        laterality: str | None = None,
        spacing_mm: float | None = None,
        name: str = "film",
    ) -> SeenWindows:
        """Return the squares of a film; see `Predictor.see`."""
        spacing, notes = self.assumed(film, spacing_mm)
        if at is not None and not self.takes_point:
            raise InputError(
                f"crop={self.config.crop.name} looks at whole films; a point is for a run on lesion windows"
            )
        height, width = film.pixels.shape
        if at is not None and not (0 <= at[0] <= width and 0 <= at[1] <= height):
            raise InputError(
                f"the point {at[0]:g},{at[1]:g} is outside the film of {width} x {height} pixels; name another"
            )
        row = {"dataset": "film", "image_id": name, "finding_id": 0, "path": name, "patient": "film"}
        facts = {"laterality": laterality or film.laterality, "spacing_mm": spacing}
        asks, searched = self.crop.look(findings_table(pd.DataFrame([row | facts])).iloc[0], at)  # type: ignore[attr-defined]
        breast = find_breast(film, laterality, name, self.config.crop.bits)
        cut_from = whole_film(film, breast, self.config.crop.bits) if asks[0].kind == "film" else breast
        made = [squares_of(cut_from, spacing, ask, self.stored, self.shown, self.margin) for ask in asks]
        inset = slice((self.stored - self.shown) // 2, (self.stored - self.shown) // 2 + self.shown)
        if self.windows > 1:  # each ask is for one of the windows around the same centres, the largest first
            pixels, places = np.stack([squares for squares, _ in made], axis=1), made[0][1]
            sizes = np.stack([numbers[:, 2] for _, numbers in made], axis=1)
        else:
            pixels, places = (np.concatenate(one) for one in zip(*made, strict=True))
            pixels, sizes = pixels[:, None], places[:, 2:3]
        if not len(pixels):
            raise InputError("no window can be cut from this film; name a point on the breast")
        notes += [*breast.notes, *filter(None, [searched])]
        squares = pixels[..., inset, inset].copy()
        of = SeenWindows(tuple(notes), appearance(film, breast), squares, places[:, : len(PLACE)], sizes, searched)
        return self._placed(of, film, cut_from, asks[0])

    def _placed(self, seen: SeenWindows, film: Film, cut_from: Breast, ask: Ask) -> SeenWindows:
        """Return what is seen, with what else a predictor needs of the film; a classifier needs nothing."""
        return seen

    def answers(self, seen: Iterable[SeenWindows]) -> Iterator[Prediction]:
        """Yield the answer for each film; blocks of samples go across films."""
        films = deque[SeenWindows]()

        def samples() -> Iterator[np.ndarray]:
            for film in seen:
                films.append(film)
                yield from film.pixels

        each = self.each_sample(samples())
        while (first := next(each, None)) is not None:
            film = films.popleft()
            rest = itertools.islice(each, len(film.pixels) - 1)
            score, probabilities, features = zip(first, *rest, strict=True)
            scores = None if score[0] is None else np.array(score)
            yield self.judged(self._prediction(film, scores, np.stack(probabilities)), film, np.stack(features))

    def each_sample(self, samples: Iterator[np.ndarray]) -> Iterator[tuple[np.float32 | None, np.ndarray, np.ndarray]]:
        """Yield score, probabilities (classes,) and features (D,) of each sample, (windows, side, side)."""
        while block := list(itertools.islice(samples, self.rows)):
            filled = block + block[-1:] * (self._size(len(block)) - len(block))
            features, logits = self._computed(filled)
            score, probabilities = self.scored(features, logits)
            scores = [None] * len(filled) if score is None else score
            yield from itertools.islice(zip(scores, probabilities, features, strict=True), len(block))

    def _size(self, count: int) -> int:
        """Return the number of samples to which a block is filled up; from the second short one, as few as `sizes`."""
        if not self.fills:
            return count
        self.short += count < self.rows
        return min(size for size in self.sizes if size >= count) if self.short > 1 else self.rows

    @cached_property
    def sizes(self) -> list[int]:
        """The sizes of blocks that give the same digits on this machine, as seen on noise; the last is a full block."""
        bits = self.config.crop.bits
        shape = self.rows, self.windows, self.shown, self.shown
        noise = list(np.random.default_rng(0).integers(0, 1 << bits, shape, np.uint8 if bits == 8 else np.uint16))

        def numbers(size: int) -> np.ndarray:
            parts = [self._computed(noise[at : at + size]) for at in range(0, self.rows, size)]
            return np.concatenate([np.hstack([*part, self.scored(*part)[1]]) for part in parts])

        full = numbers(self.rows)
        smaller = [size for size in SMALL if self.rows % size == 0 and size < self.rows]
        return [*(size for size in smaller if np.array_equal(numbers(size), full)), self.rows]

    def _computed(self, samples: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the features and logits of a block of samples; a full one goes through the cache's blocks, if any."""
        from mammo.training.frozen import BLOCK

        full = self.config.data.cache and len(samples) == self.rows
        return self.outputs(samples, BLOCK if full else None)

    def outputs(self, samples: Sequence[np.ndarray], block: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the features (N, D) and logits (N, classes) of N samples, each (windows, side, side).

        Args:
            samples: The samples.
            block: The number of squares that the frozen part is given at a time, filled up; None gives it all.
        """
        import torch

        squares = [flipped(one, flip) for sample in samples for flip in range(self.flips) for one in sample]
        x, net = torch.from_numpy(np.stack(squares)[:, None]), self.network
        with self.computing():
            if len(net.frozen):
                size = block or len(x)
                filled = torch.cat([x, x[-1:].expand(-len(x) % size, -1, -1, -1)])
                x = torch.cat([net.frozen(part) for part in filled.split(size)])[: len(x)]
            features = net.features_of(x, len(samples))
            least = features[-1:].expand(max(self.rows - len(features), 0), -1)  # of few rows it sums in another order
            logits = net.head(torch.cat([features, least]))[: len(features)]
        return features.float().numpy(), logits.float().numpy()

    def scored(self, features: np.ndarray, logits: np.ndarray) -> Answer:
        """Return score and probabilities that the head gives to the outputs of the network."""
        from mammo.tasks.answers import answer_of

        if self.head == "softmax":
            return answer_of(logits)
        return self.fitted.score(features), self.fitted.probabilities(features)

    def stages(self, seen: Sequence[SeenWindows]) -> list[dict[str, np.ndarray]]:
        """Return the numbers of each stage; see `Predictor.stages`."""
        features, logits = self.outputs([sample for film in seen for sample in film.pixels])
        ends = np.cumsum([len(film.pixels) for film in seen])[:-1]
        each = zip(seen, np.split(features, ends), np.split(logits, ends), strict=True)
        found = [{"places": film.places, "features": one, "logits": out} for film, one, out in each]
        fitted = self.run.heads()
        for head in self.heads_of(self.run):
            other = type(self)(self.run, head)
            if head in fitted:
                other.fitted = fitted[head]
            for film, numbers in zip(seen, found, strict=True):
                answer = other.scored(numbers["features"], numbers["logits"])
                numbers.update(other._prediction(film, *answer).stages)
        return found

    def _prediction(self, film: SeenWindows, score: np.ndarray | None, probabilities: np.ndarray) -> Prediction:
        """Return the answer for a film from those for its samples, by the rule of the run (`aggregate`)."""
        windows = samples_of(score, probabilities, self.classes, dict(zip(PLACE, film.places.T, strict=True)))
        chosen = slice(None)
        if (self.config.aggregate == "max" or film.searched) and len(windows) > 1:
            chosen = most_alarming(score, probabilities)
        means, ranked = probabilities[chosen].mean(axis=0, keepdims=True), None if score is None else score[chosen]
        if self.config.aggregate == "noisy_or" and self.several:
            found = any_positive(none_positive(*probabilities.T).sum(keepdims=True))
            means, ranked = found[:, 1:], found[:, 0]
        means = self.point.choices.calibrated(means)[0]
        return Prediction(
            self.head,
            dict(zip(self.classes, map(float, means), strict=True)),
            None if ranked is None else float(ranked.mean()),
            None if film.searched else self.point.threshold,  # chosen for one window, not for the worst of many
            (*film.notes, *self.said, *self.point.notes),
            windows,
            samples=windows[chosen if film.searched else slice(None)],
            searched=bool(film.searched),
        )


def most_alarming(score: np.ndarray | None, probabilities: np.ndarray) -> slice:
    """Return the sample with the highest score (N,), or else with the least probability (N, classes) of the first."""
    alarm = int(np.argmax(score if score is not None else -probabilities[:, 0]))
    return slice(alarm, alarm + 1)
