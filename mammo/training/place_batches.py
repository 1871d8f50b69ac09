"""The places of films as batches: for training half of them in lesions, for predicting a film at a time."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from mammo.config import DetectorConfig
from mammo.errors import InputError
from mammo.tasks.detection import EPOCHS
from mammo.training.places import Targets

DRAW = 0xD07
LEFT_OUT = 0x1EF7


class Places(Dataset[dict[str, Tensor]]):
    """Gives the step of training that is asked for: `x` (restarts, batch, width) and `y` (restarts, batch).

    Half of a batch lies in lesions, each lesion as often as any other, its middle more often than its edge. The other
    half lies outside, on all training films alike; when the hardest of them are known, a share of it are these. From
    then on, the hottest places of a positive film whose lesions have no place count as a lesion too, as a weak one.
    Each restart can be made to learn without a share of the patients, another one than the restart before it.

    Args:
        x: (N, width) float16 coordinates of all places, of each on the film and on its flips.
        targets: What each ought to say.
        use: (N,) bool, true for the places of training films.
        patients: (N,) the patient of each place.
        config: The batch, the share of hard places, the value of weak ones, and the share of patients left out.
        unplaced: The places of each positive training film whose lesions have no place.
        seed: The seed of the draws.
        world, rank: The number of processes, which share each batch, and that of this one.
    """

    def __init__(
        self,
        x: Tensor,
        targets: Targets,
        use: np.ndarray,
        patients: np.ndarray,
        config: DetectorConfig,
        seed: int,
        unplaced: Sequence[np.ndarray] = (),
        *,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.x, self.config, self.seed, self.rank, self.world = x, config, seed, rank, world
        self.steps = config.steps // EPOCHS * EPOCHS
        self.unplaced = list(unplaced) if config.weak else []
        self.inside = np.flatnonzero(use & (targets.soft > 0))
        self.outside = np.flatnonzero(use & targets.counts & (targets.soft == 0))
        if not len(self.inside) or not len(self.outside):
            raise InputError(
                "no place of a training film lies in a lesion, or all do; a detector learns from lesions on the breast "
                "and from tissue beside them. Places lie 32 pixels of detector.spacing_mm apart: lower it for lesions "
                "that lie between them"
            )
        self.soft = torch.from_numpy(targets.soft).float().repeat(config.restarts, 1)
        self.lesion = targets.lesion
        self.seen = [~np.isin(patients, left) for left in _left_out(np.unique(patients[use]), config, seed)]
        drawn = [self.inside[seen[self.inside]] for seen in self.seen]
        self.others = [self.outside[seen[self.outside]] for seen in self.seen]
        if not all(map(len, [*drawn, *self.others])):
            raise InputError(
                f"detector.left_out={config.left_out} leaves one of {config.restarts} restarts without a lesion, or "
                "without tissue outside lesions; take a smaller share, or 0"
            )
        self.taught = [(rows, _chance(targets.soft[rows], targets.lesion[rows])) for rows in drawn]
        self.hardest: list[np.ndarray] = [self.outside[:0]] * config.restarts

    def __len__(self) -> int:
        return self.steps

    def find_hardest(self, heat: Callable[[Tensor], Tensor]) -> None:
        """Note the places outside lesions that each restart takes for the most suspicious.

        Args:
            heat: Returns (restarts, n) values of places (n, width).
        """
        for restart, values in enumerate(heat(self.x[self.outside])):
            others = self.others[restart]
            count = max(int(self.config.hardest * len(others)), 1)
            own = values[torch.from_numpy(self.seen[restart][self.outside])]
            self.hardest[restart] = others[own.topk(count).indices.numpy()]
            self._teach_weak(restart, heat)

    def _teach_weak(self, restart: int, heat: Callable[[Tensor], Tensor]) -> None:
        """Let the hottest places of each film without a place count as a lesion of one restart."""
        unplaced = [rows for rows in self.unplaced if self.seen[restart][rows[0]]]
        if not unplaced:
            return
        heats = [heat(self.x[rows])[restart].numpy() for rows in unplaced]
        hottest = [rows[np.argsort(of)[-self.config.hottest :]] for rows, of in zip(unplaced, heats, strict=True)]
        soft, weak = self.soft[restart], np.concatenate(hottest)
        soft[np.concatenate(unplaced)] = 0
        soft[weak] = self.config.weak
        numbers = np.repeat(np.arange(len(hottest)), [len(rows) for rows in hottest]) + self.lesion.max() + 1
        drawn = self.inside[self.seen[restart][self.inside]]
        inside = np.concatenate([drawn, weak])
        self.taught[restart] = inside, _chance(soft[inside].numpy(), np.concatenate([self.lesion[drawn], numbers]))

    def rows(self, step: int, restart: int, batch: int | None = None) -> np.ndarray:
        """Return the places of a step of one restart, those in lesions first; `batch` is another number of them."""
        draw = np.random.default_rng([self.seed, DRAW, restart, step])
        half, hardest = (batch or self.config.batch) // 2, self.hardest[restart]
        taught, chance = self.taught[restart]
        inside, outside = draw.choice(taught, half, p=chance), draw.choice(self.others[restart], half)
        if len(hardest):
            hard = round(self.config.hard * half)
            outside[:hard] = draw.choice(hardest, hard)
        return np.concatenate([inside, outside])

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        rows = np.stack([self.rows(step, restart)[self.rank :: self.world] for restart in range(self.config.restarts)])
        return {"x": self.x[rows].float(), "y": self.soft.gather(1, torch.from_numpy(rows))}


def _left_out(patients: np.ndarray, config: DetectorConfig, seed: int) -> list[np.ndarray]:
    """Return the patients that each restart does not see; the restarts take turns, until all were left out."""
    order, count = np.random.default_rng([seed, LEFT_OUT]).permutation(patients), round(config.left_out * len(patients))
    return [np.take(order, np.arange(count) + restart * count, mode="wrap") for restart in range(config.restarts)]


def _chance(soft: np.ndarray, lesion: np.ndarray) -> np.ndarray:
    """Return how likely each place is drawn: each lesion alike, and in it by the values that its places are taught."""
    of_lesion = np.zeros(lesion.max() + 1)
    np.add.at(of_lesion, lesion, soft)
    chance = soft / of_lesion[lesion]
    return chance / chance.sum()


class Steps(Sampler[int]):
    """Gives the numbers of the steps of one epoch after another.

    Args:
        steps: The steps of an epoch.
    """

    def __init__(self, steps: int) -> None:
        self.steps, self.epoch = steps, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that Lightning begins."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.epoch * self.steps, (self.epoch + 1) * self.steps))


class FilmPlaces(Dataset[dict[str, Any]]):
    """Gives the places of one film: `x` (n, flips, width), its class `y`, and its `row` among these films.

    Args:
        coordinates: Returns the coordinates (n, flips, width) of the places of a film.
        classes: (films,) class numbers.
        films: The films that are given.
    """

    def __init__(self, coordinates: Callable[[int], Tensor], classes: np.ndarray, films: Sequence[int]) -> None:
        self.coordinates, self.classes, self.films = coordinates, classes, list(films)

    def __len__(self) -> int:
        return len(self.films)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        film = self.films[key[0]]
        x = self.coordinates(film).float()
        return {"x": x, "y": torch.tensor(int(self.classes[film])), "row": torch.tensor(key[0])}
