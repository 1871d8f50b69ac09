"""The answer for one film."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import pandas as pd

from mammo.preprocessing.masks import Placed
from mammo.wording import number_of

MARKS = ["x_px", "y_px", "x0_px", "y0_px", "x1_px", "y1_px", "score"]
NO_MARKS = pd.DataFrame(columns=MARKS, dtype=float)  # of answers that have none; made once, as it takes a while
EMPTY: Mapping[str, np.ndarray] = MappingProxyType({})


@dataclass(frozen=True)
class Outline:
    """The region that was found on a film, as a small picture of it.

    Attributes:
        pixels: (side, side) uint8, the probability of each pixel times 255.
        placed: The place of the picture on the film.
        shape: Height and width of the film in pixels.
        level: The probability above which a pixel lies in the region.
    """

    pixels: np.ndarray
    placed: Placed
    shape: tuple[int, int]
    level: float

    def probabilities(self) -> np.ndarray:
        """Return the probability of each pixel of the film as it is stored, (height, width) float32."""
        return self.placed.to_film(self.pixels / 255, *self.shape)

    def on_film(self) -> np.ndarray:
        """Return the region, (height, width) bool in the pixels of the film as it is stored."""
        return self.probabilities() > self.level


@dataclass(frozen=True)
class Prediction:
    """The answer for one film.

    Attributes:
        head: The head that gave it.
        probabilities: The calibrated probability of each class by its name.
        score: The score of the positive class of two, as in the predictions table; None for several classes.
        threshold: The score above which a film is called positive, from validation; None if none was chosen.
        notes: Each assumption about the film, one line each.
        windows: One row per window: its centre `x_px, y_px` and side `size_px` on the film, and its score and
            probabilities. A detector has none.
        marks: The marks of a detector, `MARKS` in pixels of the film as it is stored, the hottest first.
        outline: The region that was found, of a run with task=segmentation; else None.
        samples: One row per sample that counts, `score` and `p_<class>` as in the predictions table.
        unlike: The reason why the film is unlike those that the run was trained on, and is refused unless it is forced;
            None if it is like them, or if the run does not say.
        features: (D,) the mean of its samples' penultimate features.
        searched: True if windows all over the breast were looked at, and the most alarming one counts.
    """

    head: str
    probabilities: dict[str, float]
    score: float | None
    threshold: float | None
    notes: tuple[str, ...] = ()
    windows: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    marks: pd.DataFrame = field(default_factory=lambda: NO_MARKS, repr=False)
    samples: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    outline: Outline | None = field(default=None, repr=False)
    searched: bool = False
    unlike: str | None = None
    features: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32), repr=False)

    @property
    def called(self) -> str:
        """The class that the threshold gives, or the most probable class if there is no threshold."""
        return called(self.probabilities, self.score, self.threshold)

    @property
    def stages(self) -> dict[str, np.ndarray]:
        """The numbers of the answer by `<head>: <name>`: score and threshold, where there are any, probabilities."""
        numbers = {"score": self.score, "probabilities": list(self.probabilities.values()), "threshold": self.threshold}
        return {f"{self.head}: {name}": np.atleast_1d(of) for name, of in numbers.items() if of is not None}

    def __str__(self) -> str:
        shown = ", ".join(f"{name} {value:.3f}" for name, value in self.probabilities.items())
        decided = marked = ""
        if self.threshold is not None and self.score is not None:
            where = "above" if self.score > self.threshold else "not above"
            decided = f"The score {self.score:.3g} is {where} the threshold {self.threshold:.3g} that validation chose."
        if len(self.marks):
            x, y = self.marks[["x_px", "y_px"]].iloc[0]
            marked = (
                f"The hottest of its {number_of(len(self.marks), 'mark')} is at x {x:.0f}, y "
                f"{y:.0f} px from the top left."
            )
        odd = f"The film is {self.unlike}." if self.unlike else ""
        more = [*filter(None, [odd, decided, marked]), *self.notes, "Not for diagnostic use."]
        return "\n".join([f"{self.called} ({self.head}: {shown})", *more])


def called(probabilities: dict[str, float], score: float | None, threshold: float | None) -> str:
    """Return the class that a threshold gives, or the most probable class if there is no threshold.

    Args:
        probabilities: The probability of each class by its name.
        score: The score of the positive class of two, or None.
        threshold: The score above which the second class is called, or None.
    """
    names = list(probabilities)
    if threshold is not None and score is not None:
        return names[int(score > threshold)]
    return max(names, key=probabilities.__getitem__)


def samples_of(
    score: np.ndarray | None, probabilities: np.ndarray, classes: list[str], first: Mapping[str, np.ndarray] = EMPTY
) -> pd.DataFrame:
    """Return a table of `score` and `p_<class>`, from a score (N,) or None, and probabilities (N, classes).

    Args:
        score: The scores; None has no column.
        probabilities: The probabilities.
        classes: The names of the classes.
        first: Columns (N,) that stand before them.
    """
    scores = [] if score is None else [score]
    names = (*first, *(["score"] if scores else []), *(f"p_{name}" for name in classes))
    return pd.DataFrame(np.column_stack([*first.values(), *scores, probabilities]), columns=_index(names))


@lru_cache
def _index(names: tuple[str, ...]) -> pd.Index:
    """Return the columns of a table; made once, as this takes longer than the table."""
    return pd.Index(names)
