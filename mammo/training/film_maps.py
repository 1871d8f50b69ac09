"""Frozen maps of films in windows around their places, which a detector sees; made once, kept on disk as bytes."""

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.progress import track
from torch import Tensor, nn

from mammo.config import Config
from mammo.datasets.film import checked
from mammo.detector_config import MapOf, blocks_of
from mammo.memory import return_freed
from mammo.models.detector import Detector
from mammo.models.last_block import LastBlock
from mammo.models.maps import in_windows, to_bytes
from mammo.preprocessing.breast import find_breast
from mammo.preprocessing.cache import Store, digest
from mammo.preprocessing.cutting import film_names, read_by
from mammo.preprocessing.flips import FILM_FLIPS
from mammo.preprocessing.view import CELL_PX, FACTS, STEP, View, view_of
from mammo.training.prepare import Prepared

log = logging.getLogger(__name__)

VERSION = 1  # raise it if a number of this file, of `view` or `maps` changes
WRITTEN_BYTES = 64 << 20  # held before they are written: a kill loses these
FILLED = 0.7  # share of a view that is breast, about
Seen = tuple[Tensor, Tensor]  # (places, C) uint8, and (2, C) the least value and the step of each channel
Entrance = tuple[Tensor, Tensor]  # (C, h, w) what enters the last stage of a map, and (2,) rows and columns of places
Arrays = dict[str, Tensor]
Missing = tuple[int, list[str]]  # a film, and those of its keys whose arrays are not in the store


@dataclass(frozen=True)
class FilmMaps:
    """A film as a detector sees it.

    Attributes:
        places: (n, FACTS) float32.
        flips: For the film itself, and then for its flip if there is one, the channels of its places in each block.
    """

    places: np.ndarray
    flips: list[list[Seen]]

    @property
    def seen(self) -> list[Seen]:
        """The channels of its places in each block, on the film itself."""
        return self.flips[0]

    @property
    def at(self) -> np.ndarray:
        """(n, 2) row and column of each place."""
        return _at(self.places)


class Maps:
    """Makes the maps of films, or takes them from a store.

    Args:
        net: The detector with its frozen maps.
        prepared: The samples of the run, one for each film.
        config: The settings of the run.
        dtype: The precision of the frozen layers.
        device: The device that the frozen layers run on.
        home: The folder of the store; None keeps nothing.
    """

    def __init__(
        self,
        net: Detector,
        prepared: Prepared,
        config: Config,
        dtype: torch.dtype,
        device: torch.device,
        home: Path | None,
    ) -> None:
        self.net, self.prepared, self.config, self.dtype, self.device = net, prepared, config, dtype, device
        self.blocks, self.flips = blocks_of(config.model.maps, config.detector), FILM_FLIPS[config.model.flips]
        self.table = prepared.crops.table
        self.store = None if home is None else Store(home / store_name(config.detector.spacing_mm, dtype, device))
        weights = {name: maps.digest() for name, maps in net.frozen.items()}  # type: ignore[operator]
        names = film_names(prepared.dataset.read, prepared.dataset.digest, self.table["image_id"].tolist())
        spacings, sides = (self.table[key].astype(object) for key in ("spacing_mm", "laterality"))
        films = [
            {"film": names[image], "spacing": _given(spacing), "laterality": _given(side)}
            for image, spacing, side in zip(self.table["image_id"], spacings, sides, strict=True)
        ]
        seen = [
            {"map": str(of), "weights": weights[of.backbone], "window": window} | ({"flip": "vertical"} if flip else {})
            for flip in self.flips
            for of, window in self.blocks
        ]
        # Of each film: the key of its places, then one for each block, of the film itself and then of its flip.
        self.keys = [[digest(film), *(digest(film | one) for one in seen)] for film in films]
        if (block := net.block) is not None:
            enters = {"map": str(block.of), "weights": weights[block.of.backbone], "enters": list(block.stages)}
            self.entrance_keys = [[digest(film | enters)] for film in films]

    def of_films(self, trainer: Any) -> list[FilmMaps]:
        """Return the maps of all films; the processes of a trainer share the work."""
        found = self._once(self.keys, self._made, self._bytes, trainer)
        films = []
        for keys in self.keys:
            places, *blocks = ([found[name] for name in _names(key)] for key in keys)
            seen, count = [(one[0], one[1]) for one in blocks], len(self.blocks)
            flips = [seen[at : at + count] for at in range(0, len(seen), count)]
            films.append(FilmMaps(places[0].numpy(), flips))
        return films

    def entrances(self, block: LastBlock, trainer: Any) -> list[Entrance]:
        """Return what enters the block that is trained, of all films; the processes of a trainer share the work."""

        def made(missing: list[Missing], trainer: Any) -> Iterator[Arrays]:
            frozen = self._frozen()
            for (_, keys), view in self._views(missing, f"Entrances of {block.of}", trainer):
                yield dict(zip(_names(keys[0]), entrance_of(view, frozen, block), strict=True))

        def place_bytes(_: Missing) -> float:
            return block.enters * block.per_place**2 * self.dtype.itemsize / FILLED

        found = self._once(self.entrance_keys, made, place_bytes, trainer)
        return [(found[name], found[grid]) for name, grid in (_names(keys[0]) for keys in self.entrance_keys)]

    def _once(
        self,
        keys: list[list[str]],
        made: Callable[[list[Missing], Any], Iterator[Arrays]],
        place_bytes: Callable[[Missing], float],
        trainer: Any,
    ) -> Arrays:
        """Return the arrays of all films by name, from the store or made now.

        Args:
            keys: The keys of each film's arrays.
            made: Yields the missing arrays of films.
            place_bytes: Returns about how many bytes a place of a film takes.
            trainer: The trainer whose processes share the work.
        """
        strategy, store = trainer.strategy, self.store
        if store is None:
            return {name: array for arrays in made(list(enumerate(keys)), trainer) for name, array in arrays.items()}
        wanted = {name for of_film in keys for key in of_film for name in _names(key)}
        found = store.load(wanted)
        if strategy.broadcast(len(found) < len(wanted)):
            with store.building() if trainer.is_global_zero else nullcontext():
                strategy.barrier()  # all look again, after another run may have filled the store
                there = store.load(wanted).keys()
                lacking = ([key for key in of_film if not there >= set(_names(key))] for of_film in keys)
                missing = [(row, those) for row, those in enumerate(lacking) if those]
                strategy.barrier()  # no process stores maps before all have looked
                if missing and trainer.is_global_zero:
                    area = float(self.table["breast_mm2"].mean())
                    places = area / (CELL_PX * STEP * self.config.detector.spacing_mm) ** 2
                    log.info("maps   %d films of %d lack some, which are made once, about %.2g GB in %s", len(missing),
                             len(keys), places * sum(map(place_bytes, missing)) / 1e9, store.folder)  # fmt: skip
                mine = missing[trainer.global_rank :: trainer.world_size]
                held: Arrays = {}
                for arrays in made(mine, trainer):
                    held |= arrays
                    if sum(one.nbytes for one in held.values()) > WRITTEN_BYTES:
                        store.store(held)
                        held = {}
                        return_freed()
                if held:
                    store.store(held)
                strategy.barrier()
            found = store.load_all(wanted)
        return found

    @cached_property
    def channels(self) -> dict[str, int]:
        """The channels of the map of each backbone."""
        probe = np.zeros((CELL_PX * STEP * 2,) * 2, np.uint8)
        return {name: len(maps(probe)) for name, maps in self.net.frozen.items()}

    def _bytes(self, missing: Missing) -> float:
        """Return how many bytes a place of a film takes in the blocks that are missing: one for each channel."""
        row, lacking = missing
        blocks = zip(self.keys[row][1:], self.blocks * len(self.flips), strict=True)
        return sum(self.channels[of.backbone] for key, (of, _) in blocks if key in lacking)

    def _frozen(self) -> Any:
        """Return a copy of the frozen layers in their precision, on their device."""
        return copy.deepcopy(self.net.frozen).to(device=self.device, dtype=self.dtype)

    def _views(self, missing: list[Missing], said: str, trainer: Any) -> Iterator[tuple[Missing, View]]:
        """Yield each film that lacks arrays with its view, with a progress bar that is named `said`."""
        for one in track(missing, said, disable=not (missing and trainer.is_global_zero)):
            row = self.table.iloc[one[0]]
            image, side, spacing = str(row["image_id"]), _given(row["laterality"]), float(row["spacing_mm"])
            breast = find_breast(checked(self.prepared.dataset.read)(image), side, image)
            yield one, view_of(breast, spacing, self.config.detector.spacing_mm)

    def _made(self, missing: list[Missing], trainer: Any) -> Iterator[Arrays]:
        """Yield the missing arrays of each film, by name."""
        frozen = self._frozen()
        for (row, lacking), view in self._views(missing, "Maps of films", trainer):
            arrays: Arrays = {}
            places, *keys = self.keys[row]
            if places in lacking:
                arrays |= zip(_names(places), (torch.from_numpy(view.places), torch.zeros(0)), strict=True)
            for flip in self.flips:
                own, keys = keys[: len(self.blocks)], keys[len(self.blocks) :]
                wanted = [(key, block) for key, block in zip(own, self.blocks, strict=True) if key in lacking]
                made = seen_of(view, frozen, [block for _, block in wanted], flip=flip)
                for (key, _), seen in zip(wanted, made, strict=True):
                    arrays |= zip(_names(key), seen, strict=True)
            yield arrays


def store_name(spacing_mm: float, dtype: torch.dtype, device: torch.device) -> str:
    """Return the name of the store of maps that are made alike; kinds of devices may differ in the last bit."""
    facts = {"version": VERSION, "torch": torch.__version__} | read_by()
    facts |= {"spacing_mm": spacing_mm, "precision": str(dtype)}
    return digest(facts if device.type == "cpu" else facts | {"device": device.type})


def seen_of(
    view: View, frozen: nn.ModuleDict, blocks: Sequence[tuple[MapOf, int]], *, flip: bool = False
) -> list[Seen]:
    """Return the channels of a view's places in each block.

    Args:
        view: The breast as the detector sees it.
        frozen: The frozen maps, by backbone.
        blocks: The maps and windows (sides in cells), those of one map side by side.
        flip: Show the view upside down; the places stay where they are.
    """
    found: list[Seen] = []
    maps: dict[MapOf, Tensor] = {}
    for of, window in blocks:
        if of not in maps:
            maps = {of: frozen[of.backbone](view.pixels, of.scale, flip=flip)}
        found.append(to_bytes(in_windows(maps[of], window, *_at(view.places).T)))
    return found


def entrance_of(view: View, frozen: nn.ModuleDict, block: LastBlock) -> Entrance:
    """Return what enters a block of a view, and the view's rows and columns of places; see `seen_of`."""
    maps: Any = frozen[block.of.backbone]
    return maps.entrance(view.pixels, block.of.scale), torch.tensor(view.pixels.shape) // (CELL_PX * STEP)


def _at(places: np.ndarray) -> np.ndarray:
    """Return (n, 2) row and column of places (n, FACTS)."""
    return places[:, [FACTS.index("row"), FACTS.index("column")]].astype(int)


def _names(key: str) -> tuple[str, str]:
    return key, f"{key}.scale"


def _given(value: Any) -> Any:
    return None if pd.isna(value) else value
