"""Patches of films around places, on which the last block of one map is trained, and films as it sees them then."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mammo.models.last_block import LastBlock
from mammo.models.maps import STEP, in_windows, to_bytes
from mammo.training.film_maps import Entrance, FilmMaps, Seen
from mammo.training.place_batches import Places


class Patches(Dataset[dict[str, Any]]):
    """Gives the steps in which a block is trained: `x` (n, width), `y` (restarts, n), and `patches` around the places.

    The places are drawn as in the steps before. The restarts share the block, so they share the places too: each step
    takes those of one restart after another.

    Args:
        places: The places of the steps before, of which the hardest are known.
        films: All films, as frozen maps see them.
        entrances: What enters the block of each.
        block: The block.
        batch: The places of a step, on all devices together.
    """

    def __init__(
        self, places: Places, films: Sequence[FilmMaps], entrances: Sequence[Entrance], block: LastBlock, batch: int
    ) -> None:
        self.places, self.films, self.entrances, self.block, self.batch = places, films, entrances, block, batch
        self.starts = np.cumsum([0, *(len(film.places) for film in films)])

    def __len__(self) -> int:
        return self.places.config.block_steps

    def __getitem__(self, step: int) -> dict[str, Any]:
        restarts, later = self.places.config.restarts, self.places.steps + step  # so that no draw comes twice
        restart = step % restarts
        rows = self.places.rows(later, restart, self.batch)[self.places.rank :: self.places.world]
        groups: dict[Any, list[Any]] = {}
        for number, row in enumerate(rows.tolist()):
            film = int(np.searchsorted(self.starts, row, side="right")) - 1
            own, place, (entrance, grid) = self.films[film], row - int(self.starts[film]), self.entrances[film]
            patch, cells, at = self.block.patch(entrance, grid.tolist(), own.at[place].tolist())
            groups.setdefault((patch.shape, cells), []).append((number, patch, at, own, place))
        patches = []
        for (_, cells), members in groups.items():
            numbers, cut, at, owners, places = zip(*members, strict=True)
            frozen = {
                of: torch.stack([self._frozen(own.seen[of], place) for own, place in zip(owners, places, strict=True)])
                for of in self.block.windows
            }
            patches.append(
                {"rows": torch.tensor(numbers), "entrances": torch.stack(cut), "cells": cells, "at": at}
                | {"frozen": frozen}
            )
        y = self.places.soft[restart, torch.from_numpy(rows)].expand(restarts, -1)
        return {"x": self.places.x[rows].float(), "y": y, "patches": patches}

    def _frozen(self, seen: Seen, place: int) -> Tensor:
        """Return the channels of the block at a place, before it was trained."""
        channels, (least, step) = seen
        columns = self.block.columns(channels.shape[1])
        return least[columns] + step[columns] * channels[place, columns].float()


@torch.inference_mode()
def seen_anew(block: LastBlock, film: FilmMaps, entered: Entrance, device: torch.device | str = "cpu") -> list[Seen]:
    """Return the channels of a film's places in each block, with those of a trained last block as it sees them now.

    A block that has not been trained gives what the frozen map has, to the bit.

    Args:
        block: The block.
        film: The film as frozen maps see it.
        entered: What enters the block, in the precision of the frozen layers.
        device: The device that computes.
    """
    entrance, grid = entered
    layers = copy.deepcopy(block).to(device=device, dtype=entrance.dtype)
    maps = layers.maps(entrance[None].to(device), (grid * STEP).tolist())[0].cpu()
    found = list(film.seen)
    for number, window in block.windows.items():
        channels, scale = (one.clone() for one in film.seen[number])
        columns = block.columns(channels.shape[1])
        channels[:, columns], scale[:, columns] = to_bytes(in_windows(maps, window, *film.at.T))
        found[number] = channels, scale
    return found
