"""Rows of samples as tensors, and the order in which devices ask for them."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler, default_collate

from mammo.preprocessing.augment import Augment
from mammo.preprocessing.breast import resize
from mammo.preprocessing.crop_table import Crops
from mammo.preprocessing.flips import flipped
from mammo.preprocessing.mix import blend
from mammo.preprocessing.stored import StoredSquares
from mammo.preprocessing.synthetic import Draw

Row = tuple[int, int | None]  # sample, copy; a copy of None is drawn anew in each epoch
Plane = tuple[str, int, int]  # the same, and the number of one of the squares that a row shows
# Seed of draws that are made once: the copies of an expanded training part, and the few draws on a frozen part.
COPIES_SEED = 0
ANEW = -1  # the copy of a row that is drawn anew in each epoch, in an array
MIXED = 16  # blocks of neighbouring rows whose rows are mixed, if they are shuffled by blocks


class Samples(Dataset[dict[str, Any]]):
    """Gives rows (sample, copy) as `{"x", "y", "other", "share", "row"}`, by (row, epoch), so workers hold no state.

    `x` is (1, side, side) uint8 or uint16, or the output of the frozen part. A row that shows several squares, its
    windows and their flips, has one more dimension in front: all windows of the first flip, then of the next. The
    label of two mixed samples is `y` with weight `share` and `other` with the rest. Otherwise `share` is 1 and `other`
    is `y`.

    Args:
        crops: All samples of the run.
        labels: (samples,) class numbers.
        rows: The samples and copies that are given.
        augment: How samples are drawn.
        seed: Seed of what each epoch shows, and of draws that are new in each epoch. Draws that are made once are the
            same for every seed, so that a run with another seed finds them in the cache.
        pool: The samples that a draw may be mixed with, all of the training part.
        synthetic: Squares that replace a sample, by draw: `copies` of each sample, which later draws use again.
        flips: The number of flips that a row shows of each window, the original included.
    """

    def __init__(
        self,
        crops: Crops,
        labels: np.ndarray,
        rows: list[Row],
        augment: Augment,
        seed: int,
        pool: Sequence[int] = (),
        synthetic: dict[Draw, np.ndarray] | None = None,
        flips: int = 1,
    ) -> None:
        self.crops, self.labels, self.rows, self.augment, self.seed = crops, labels, rows, augment, seed
        self.pool, self.synthetic = np.asarray(pool, int), synthetic
        # Arrays, not lists of objects: a forked worker would copy the memory of each object that it looks at.
        self.names = crops.table["name"].to_numpy(str)
        self._rows = np.array([(sample, ANEW if copy is None else copy) for sample, copy in rows], int).reshape(-1, 2)
        self.few = False  # True for a frozen part: epochs choose among few draws, whose outputs are kept
        self.outputs: dict[Plane, torch.Tensor] | None = None
        self.planes = flips * crops.windows
        self.block: int | None = None  # rows that are read ahead together, see `epoch_order`
        self._ahead: deque[int] = deque(maxlen=2 * MIXED)  # the blocks that were read last

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def per_epoch(self) -> int:
        """The number of samples that training sees in an epoch."""
        return len(self.rows)

    @property
    def draws_seed(self) -> int:
        """The seed of the draws: the run's own if each epoch has new draws."""
        return self.seed if self.augment.online and not self.few else COPIES_SEED

    def draw(self, row: int, epoch: int) -> int:
        """Return the draw of its sample that a row shows in an epoch; 0 is the original."""
        sample, copy = self._rows[row].tolist()
        if copy != ANEW:
            return int(copy)
        return self.augment.online_draw(seed=self.seed, epoch=epoch, name=self.names[sample], few=self.few)

    def partner(self, sample: int, draw: int) -> tuple[int, np.ndarray] | None:
        """Return the sample that a draw is mixed with, and the draw's own weight at each pixel; None if not mixed."""
        method = self.augment.method
        if method.weights is None:
            return None
        rng = self.augment.generator(seed=self.draws_seed, draw=draw, name=self.names[sample])
        if rng is None:
            return None
        others = self.pool[self.pool != sample]
        if method.same_class:
            others = others[self.labels[others] == self.labels[sample]]
        share = rng.beta(self.augment.alpha, self.augment.alpha)
        return int(rng.choice(others)), method.weights(self.crops.shown, share, rng)

    def pixels(self, sample: int, draw: int, plane: int = 0) -> torch.Tensor:
        """Return one of the squares that a draw of a sample shows, (1, side, side) uint8 or uint16.

        All windows of a draw are changed alike.
        """
        flip, window = divmod(plane, self.crops.windows)
        shown = self._drawn(sample, draw, window)
        if mixed := self.partner(sample, draw):
            shown = blend(shown, self._drawn(mixed[0], draw, window), mixed[1])
        return torch.from_numpy(flipped(shown, flip))[None]

    def _drawn(self, sample: int, draw: int, window: int) -> np.ndarray:
        key = {"seed": self.draws_seed, "draw": draw, "name": self.names[sample]}
        stored = self.crops.window(sample, window)
        if self.synthetic is not None and self.augment.generator(**key):
            copy = 1 + (draw - 1) % self.augment.copies
            stored = resize(self.synthetic[self.names[sample], copy], len(stored))
        return self.augment(stored, self.crops.shown, **key)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        row, epoch = key
        if self.block is not None:
            self._read_ahead(row // self.block)
        sample = int(self._rows[row, 0])
        draw = self.draw(row, epoch)
        squares = [self._x(sample, draw, plane) for plane in range(self.planes)]
        x = squares[0] if self.planes == 1 else torch.stack(squares)
        mixed = self.partner(sample, draw)
        y, share = int(self.labels[sample]), 1.0
        other = int(self.labels[mixed[0]]) if mixed else y
        if mixed and self.augment.method.soft:
            share = float(mixed[1].mean())
        return {"x": x, "y": y, "other": other, "share": torch.tensor(share), "row": row}

    def _read_ahead(self, number: int) -> None:
        """Have the squares of a block of rows read in the order in which they lie on the disk."""
        if self.block is None or number in self._ahead or not isinstance(self.crops.pixels, StoredSquares):
            return
        self._ahead.append(number)
        self.crops.pixels.read_ahead(self._rows[number * self.block : (number + 1) * self.block, 0])

    def _x(self, sample: int, draw: int, plane: int) -> torch.Tensor:
        if self.outputs is None:
            return self.pixels(sample, draw, plane)
        return self.outputs[self.names[sample], draw, plane]

    def collate(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch of B rows; its `x` has B x planes squares, those of a row side by side."""
        batch: dict[str, Any] = default_collate(items)
        if self.planes > 1:
            batch["x"] = batch["x"].flatten(0, 1)
        return batch


def epoch_order(rows: int, *, seed: int, epoch: int, block: int | None = None) -> np.ndarray:
    """Return the (rows,) numbers of all rows in the order of an epoch.

    Args:
        rows: Number of rows.
        seed: Seed of the order.
        epoch: The number of the epoch.
        block: Number of neighbouring rows in a block. The blocks are shuffled, and `MIXED` of them that follow each
            other are mixed, so that only these are read at a time. None shuffles all rows.
    """
    rng = np.random.default_rng([seed, 0x0DE5, epoch])
    if block is None:
        return rng.permutation(rows)
    blocks = [np.arange(start, min(start + block, rows)) for start in rng.permutation(-(-rows // block)) * block]
    mixed = (np.concatenate(blocks[first : first + MIXED]) for first in range(0, len(blocks), MIXED))
    return np.concatenate([rng.permutation(some) for some in mixed])


class EpochSampler(Sampler[tuple[int, int]]):
    """Gives one rank its share of each global batch, as (row, epoch), shuffled by (seed, epoch) alike on all ranks.

    Args:
        rows: Number of rows.
        batch_size: Number of rows in a batch of all ranks together.
        rank: Number of this process.
        world: Number of processes.
        seed: Seed of the order.
        block: See `epoch_order`.
        epoch: The first epoch.
        done: Number of batches of that epoch that an interrupted run has already trained on.
    """

    def __init__(
        self,
        rows: int,
        *,
        batch_size: int,
        rank: int,
        world: int,
        seed: int,
        block: int | None = None,
        epoch: int = 0,
        done: int = 0,
    ) -> None:
        self.rows, self.batch_size, self.rank, self.world, self.seed = rows, batch_size, rank, world, seed
        self.block, self.epoch, self.done = block, epoch, done

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that Lightning begins."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.rows // self.batch_size * (self.batch_size // self.world)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = epoch_order(self.rows, seed=self.seed, epoch=self.epoch, block=self.block)
        batches = order[: self.rows // self.batch_size * self.batch_size].reshape(
            -1, self.world, self.batch_size // self.world
        )
        epoch, left, self.done = self.epoch, batches[self.done :, self.rank].ravel(), 0
        return ((int(row), epoch) for row in left)


class OnceSampler(Sampler[tuple[int, int]]):
    """Gives one rank its share of an evaluation: over all ranks each row once.

    Args:
        rows: Number of rows.
        rank: Number of this process.
        world: Number of processes.
        block: The share is filled up to a multiple of this number, by its last row.
    """

    def __init__(self, rows: int, *, rank: int, world: int, block: int = 1) -> None:
        share = range(rank, rows, world)
        self.share = [*share, *list(share[-1:]) * (-len(share) % block)]

    def __len__(self) -> int:
        return len(self.share)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((row, 0) for row in self.share)
