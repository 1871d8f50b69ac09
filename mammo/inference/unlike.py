"""Films unlike those that a run was trained on: how far a film lies from them, and how far is too far.

Two distances are measured: that of the film's appearance, a few numbers such as the share that is breast, and that of
the network's penultimate features. The training part is the cloud that both are measured from. The films of training
and validation say how far a film of this kind may lie, such that one of a hundred would be refused in error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from mammo.preprocessing.appearance import LEAST_SPREAD, NUMBERS, on_scale
from mammo.run_folder import RunFolder

SHARE = 0.01  # of films like the training part that are refused in error, half of them by either distance
AXES = 32  # principal axes of a cloud that have a length of their own; all others share one
SHRINKAGE = 0.1  # of the lengths of axes towards that of independent numbers
MOST = 1000  # films of a part that are looked at
PARTS = 5  # into which training patients are dealt, to measure each from the others
FEW = 2  # films below which nothing can be said
NO_LIKENESS = (
    "this run does not say which films are like its own, so none can be refused as unlike them; train it again"
)


@dataclass(frozen=True)
class Cloud:
    """Points (D,) of films, as a normal distribution whose axes are shrunk towards those of independent numbers.

    Attributes:
        mean: (D,) the middle of each number.
        spread: (D,) its spread.
        axes: (k, D) the longest principal axes of the numbers in units of their spread.
        lengths: (k + 1,) the variance along each axis, and along all others.
    """

    mean: np.ndarray
    spread: np.ndarray
    axes: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, points: np.ndarray, least: np.ndarray | float) -> "Cloud":
        """Return the cloud of points (n, D); `least` is the least spread of a number."""
        mean, spread = points.mean(0), np.maximum(points.std(0), least)
        unit = (points - mean) / spread
        count, width = unit.shape
        _, sizes, axes = np.linalg.svd(unit, full_matrices=False)
        kept = min(AXES, max(count // 2, 1), width)
        variances = sizes**2 / count
        rest = variances[kept:].sum() / max(width - kept, 1)
        lengths = (1 - SHRINKAGE) * np.append(variances[:kept], rest) + SHRINKAGE
        return cls(mean, spread, axes[:kept], lengths)

    def distances(self, points: np.ndarray) -> np.ndarray:
        """Return the distance of points (n, D) from the cloud, (n,), about 1 for a point that belongs to it."""
        unit = (points - self.mean) / self.spread
        along = unit @ self.axes.T
        beyond = np.maximum((unit**2).sum(1) - (along**2).sum(1), 0)
        squared = (along**2 / self.lengths[:-1]).sum(1) + beyond / self.lengths[-1]
        return np.sqrt(squared / len(self.mean)) + 1e-9


@dataclass(frozen=True)
class Likeness:
    """The films of a run, and how far a film may lie from them.

    Attributes:
        appearance: The cloud of the appearance of training films.
        features: The cloud of their features.
        limits: (2,) the logarithm of each distance above which a film is refused.
        range: (2, numbers) the least and the largest of the `NUMBERS` of training films.
    """

    appearance: Cloud
    features: Cloud
    limits: np.ndarray
    range: np.ndarray

    def strangeness(self, appearance: np.ndarray, features: np.ndarray) -> tuple[float, float]:
        """Return how strange a film's appearance and its features are: above 0 it is refused.

        Args:
            appearance: (numbers,) its `NUMBERS`.
            features: (D,) the mean of its samples' features.
        """
        near = self.appearance.distances(on_scale(appearance[None]))[0]
        far = self.features.distances(features[None])[0]
        return math.log(near) - float(self.limits[0]), math.log(far) - float(self.limits[1])

    def reason(self, appearance: np.ndarray, features: np.ndarray) -> str | None:
        """Return the reason why a film is refused; None if it is like the films of the run. See `strangeness`."""
        looks, far = self.strangeness(appearance, features)
        if max(looks, far) <= 0:
            return None
        if looks <= 0:
            times = f"{math.exp(far):.3g} times as far"
            return f"unlike the training films: the network's features lie {times} from them as may be"
        unit = np.abs(on_scale(appearance[None])[0] - self.appearance.mean) / self.appearance.spread
        outside = (appearance < self.range[0]) | (appearance > self.range[1])
        if not outside.any():
            return "unlike the training films: each number of its appearance occurs among them, but not all together"
        at = int(np.argmax(np.where(outside, unit, -1)))
        words, (low, high) = list(NUMBERS.values())[at][0], self.range[:, at]
        return f"unlike the training films: {words} is {appearance[at]:.3g}, theirs is {low:.3g} to {high:.3g}"

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the likeness as plain arrays by name."""
        clouds = {"appearance": self.appearance, "features": self.features}
        found = {
            f"{name}.{one.name}": getattr(cloud, one.name) for name, cloud in clouds.items() for one in fields(Cloud)
        }
        return found | {"limits": self.limits, "range": self.range}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Likeness":
        """Return the likeness of `arrays`; arrays that do not fit together raise whatever numpy does."""
        appearance, features = (
            Cloud(**{one.name: arrays[f"{name}.{one.name}"] for one in fields(Cloud)})
            for name in ("appearance", "features")
        )
        made = cls(appearance, features, arrays["limits"], arrays["range"])
        made.strangeness(made.range[0], features.mean)
        return made


def likeness_of(run: RunFolder, *, learnt: bool) -> Likeness | None:
    """Return the likeness of a run from its tables and features; None if too few films can tell it.

    Args:
        run: A run whose films and features are written.
        learnt: True if the features have learnt from the training part, whose films then lie nearer than new ones; the
            validation part alone says how far a film may lie.
    """
    numbers, features, rows = films_of(run, ("train", "val"))
    train, val = (rows["split"] == part for part in ("train", "val"))
    if train.sum() < FEW:
        return None
    train, val = train.to_numpy(), val.to_numpy()
    scaled = on_scale(numbers)
    clouds = Cloud.of(scaled[train], LEAST_SPREAD), _of_features(features[train])
    measured = [np.stack([clouds[0].distances(scaled[val]), clouds[1].distances(features[val])], 1)]
    if not (learnt and val.sum() >= FEW):
        measured += _from_others(scaled[train], features[train], rows.loc[train, "patient"].to_numpy())
    logs = np.log(np.concatenate(measured))
    if len(logs) < FEW:
        return None
    limits = np.array([threshold(one, SHARE / 2) for one in logs.T])
    return Likeness(*clouds, limits, np.stack([numbers[train].min(0), numbers[train].max(0)]))


def threshold(scores: np.ndarray, share: float) -> float:
    """Return the score above which a new film lies with the probability `share`, from those of films like it, (n,).

    It is an order statistic, which promises this whatever the distribution. Too few films for it have none; then it is
    that of a normal distribution, or the largest score if that is above.
    """
    count = len(scores)
    rank = math.ceil((count + 1) * (1 - share))
    if rank <= count:
        return float(np.sort(scores)[rank - 1])
    from scipy.stats import t as student  # half of what an answer's imports would take, and no answer needs it

    beyond = student.ppf(1 - share, count - 1) * scores.std(ddof=1) * math.sqrt(1 + 1 / count)
    return float(max(scores.mean() + beyond, scores.max()))


def _of_features(features: np.ndarray) -> Cloud:
    """Return the cloud of features (n, D); a feature that is nearly always the same counts little."""
    return Cloud.of(features, 0.1 * float(features.std(0).mean()) + 1e-6)


def _from_others(scaled: np.ndarray, features: np.ndarray, patients: np.ndarray) -> list[np.ndarray]:
    """Return both distances of films, (n, 2) in parts, each measured from the films of the other parts' patients."""
    number = {patient: place % PARTS for place, patient in enumerate(dict.fromkeys(patients))}
    dealt = np.array([number[patient] for patient in patients])
    found = []
    for part in range(PARTS):
        own, others = dealt == part, dealt != part
        if own.any() and others.sum() >= FEW:
            near = Cloud.of(scaled[others], LEAST_SPREAD).distances(scaled[own])
            found.append(np.stack([near, _of_features(features[others]).distances(features[own])], 1))
    return found


def films_of(run: RunFolder, parts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Return `NUMBERS` (n, numbers) and mean features (n, D) of films, at most `MOST` of each part, and their rows."""
    films = run.films.set_index("image_id")[list(NUMBERS)]
    features, table = run.features()
    table = table.assign(at=np.arange(len(table)))
    table = table[(table["copy"] == 0) & table["split"].isin(parts) & table["image_id"].isin(films.index)]
    images = table.drop_duplicates(["split", "image_id"])
    kept = [of.iloc[np.linspace(0, len(of) - 1, min(len(of), MOST)).astype(int)] for _, of in images.groupby("split")]
    rows = pd.concat([images.iloc[:0], *kept]).reset_index(drop=True)
    of_image = {key: of.to_numpy() for key, of in table.groupby(["split", "image_id"])["at"]}
    places = [of_image[key] for key in zip(rows["split"], rows["image_id"], strict=True)]
    means = [features[at].mean(0, dtype=np.float64) for at in places]
    numbers = films.loc[rows["image_id"]].to_numpy(np.float64)
    return numbers, np.array(means, np.float64).reshape(len(rows), features.shape[1]), rows
