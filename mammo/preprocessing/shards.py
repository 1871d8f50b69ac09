"""A cutter that cuts one shard of the squares of a run, so that the jobs of an array fill a cache together."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mammo.datasets.film import Film
from mammo.preprocessing.cache import Store, digest
from mammo.preprocessing.cutting import Cutter, Facts, Place, names_of
from mammo.preprocessing.squares import Ask, Made
from mammo.wording import number_of


class OthersMissing(Exception):
    """Squares of other shards are not there yet, so a crop cannot go on.

    Attributes:
        images: The number of images that they belong to.
    """

    def __init__(self, images: int) -> None:
        super().__init__(f"squares of {number_of(images, 'image is', 'images are')} missing")
        self.images = images


class ShardCutter(Cutter):
    """Cuts one shard of the films, and says so if squares of other shards are missing then.

    A film of its shard that cannot be used is noted in the store, so that the other shards do not wait for it.

    Args:
        read: See `Cutter`.
        home: The folder of all stores.
        shard: The number of the shard, from 0, and the number of shards; None cuts as `Cutter` does.
        how: The other arguments of `Cutter`.

    Attributes:
        cut: The images that were cut, and not found in the store.
    """

    def __init__(
        self, read: Callable[[str], Film], *, home: Path, shard: tuple[int, int] | None = None, **how: Any
    ) -> None:
        super().__init__(read, home=home, **how)
        self.alone = shard is not None
        if shard is not None:
            self.own, self.count = shard
        self.cut: set[str] = set()

    def images(self) -> list[str]:
        """Return the images of this shard among those that were asked for so far."""
        return [image_id for image_id in self.order if self.share(image_id) == self.own]

    def _cut(self, wanted: list[tuple[Place, Ask]]) -> Iterator[tuple[Place, Facts, list[tuple[Ask, Made]]]]:
        for film, facts, squares in super()._cut(wanted):
            self.cut.add(film[0])
            yield film, facts, squares

    def _complete(
        self,
        store: Store,
        lacking: list[tuple[Place, Ask]],
        keys: dict[tuple[Place, Ask], str],
        only: int | None = None,
    ) -> None:
        """Cut this shard of what a store lacks.

        Raises:
            OthersMissing: Squares of other shards are missing, and not because their films cannot be used.
        """
        super()._complete(store, lacking, keys, self.own if self.alone else only)
        if not self.alone:
            return
        self._note(store, [image_id for image_id in self.images() if image_id in self.unreadable])
        others = [one for one in lacking if self.share(one[0][0]) != self.own]
        noted = {self._mark(image_id): image_id for image_id in dict.fromkeys(film[0] for film, _ in others)}
        found = store.load({*noted, *(name for one in others for name in names_of(keys[one]))})
        self.unreadable |= {noted[mark]: found[mark].tobytes().decode() for mark in noted if mark in found}
        missing = {film[0] for film, ask in others if not found.keys() >= set(names_of(keys[film, ask]))}
        if left := len(missing - self.unreadable.keys()):
            raise OthersMissing(left)

    def _note(self, store: Store, lost: list[str]) -> None:
        """Store why films cannot be used, for the other shards."""
        marks = {self._mark(image_id): image_id for image_id in lost if image_id in self.known}
        there = store.load(marks)
        new = {mark: image_id for mark, image_id in marks.items() if mark not in there}
        if new:
            said = {mark: self.unreadable[image_id].encode() for mark, image_id in new.items()}
            store.store({mark: torch.from_numpy(np.frombuffer(text, np.uint8).copy()) for mark, text in said.items()})

    def _mark(self, image_id: str) -> str:
        return digest({"unreadable": self.known[image_id]})
