"""Frozen maps of films in windows around their places, which a detector sees; made once, kept on disk as bytes."""

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.progress import track
from torch import Tensor, nn

from mammo.config import Config
from mammo.detector_config import MapOf, blocks_of
from mammo.models.detector import Detector
from mammo.models.maps import in_windows, to_bytes
from mammo.preprocessing.breast import find_breast
from mammo.preprocessing.cache import Store, digest
from mammo.preprocessing.cutting import film_names, read_by
from mammo.preprocessing.view import CELL_PX, FACTS, STEP, View, view_of
from mammo.training.prepare import Prepared

log = logging.getLogger(__name__)

VERSION = 1  # raise it if a number of this file, of `view` or `maps` changes
WRITTEN_BYTES = 64 << 20  # held before they are written: a kill loses these
Seen = tuple[Tensor, Tensor]  # (places, C) uint8, and (2, C) the least value and the step of each channel


@dataclass(frozen=True)
class FilmMaps:
    """A film as a detector sees it.

    Attributes:
        places: (n, FACTS) float32.
        seen: The channels of its places in each block.
    """

    places: np.ndarray
    seen: list[Seen]


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
        self.blocks = blocks_of(config.model.maps, config.detector)
        self.table = prepared.crops.table
        self.store = None if home is None else Store(home / store_name(config.detector.spacing_mm, dtype, device))
        weights = {name: maps.digest() for name, maps in net.frozen.items()}  # type: ignore[operator]
        names = film_names(prepared.dataset.read, prepared.dataset.digest, self.table["image_id"].tolist())
        spacings, sides = (self.table[key].astype(object) for key in ("spacing_mm", "laterality"))
        self.keys: list[list[str]] = []  # of each film: its places, then each block
        for image, spacing, side in zip(self.table["image_id"], spacings, sides, strict=True):
            film = {"film": names[image], "spacing": _given(spacing), "laterality": _given(side)}
            blocks = [film | {"map": str(of), "weights": weights[of.backbone], "window": w} for of, w in self.blocks]
            self.keys.append([digest(film), *map(digest, blocks)])

    def of_films(self, trainer: Any) -> list[FilmMaps]:
        """Return the maps of all films; the processes of a trainer share the work."""
        strategy = trainer.strategy
        if self.store is None:
            return [
                self._film(arrays, keys) for arrays, keys in zip(self._made(self.keys, trainer), self.keys, strict=True)
            ]
        wanted = {name for keys in self.keys for key in keys for name in _names(key)}
        found = self.store.load(wanted)
        if strategy.broadcast(len(found) < len(wanted)):
            with self.store.building() if trainer.is_global_zero else nullcontext():
                strategy.barrier()  # all look again, after another run may have filled the store
                there = self.store.load(wanted).keys()
                missing = [keys for keys in self.keys if not there >= {name for key in keys for name in _names(key)}]
                strategy.barrier()  # no process stores maps before all have looked
                if missing and trainer.is_global_zero:
                    log.info("maps   %d films of %d are to be made once, about %.2g GB in %s", len(missing),
                             len(self.keys), self._bytes(missing) / 1e9, self.store.folder)  # fmt: skip
                mine = missing[trainer.global_rank :: trainer.world_size]
                held: dict[str, Tensor] = {}
                for arrays in self._made(mine, trainer):
                    held |= arrays
                    if sum(one.nbytes for one in held.values()) > WRITTEN_BYTES:
                        self.store.store(held)
                        held = {}
                if held:
                    self.store.store(held)
                strategy.barrier()
            found = self.store.load_all(wanted)
        return [self._film(found, keys) for keys in self.keys]

    def _film(self, arrays: dict[str, Tensor], keys: list[str]) -> FilmMaps:
        places, *blocks = ([arrays[name] for name in _names(key)] for key in keys)
        return FilmMaps(places[0].numpy(), [(one[0], one[1]) for one in blocks])

    def _bytes(self, missing: list[list[str]]) -> float:
        """Return about how many bytes films take: a byte for each channel of each place."""
        area = float(self.table["breast_mm2"].mean()) / (CELL_PX * STEP * self.config.detector.spacing_mm) ** 2
        probe = np.zeros((CELL_PX * STEP * 2,) * 2, np.uint8)
        channels = {name: len(maps(probe)) for name, maps in self.net.frozen.items()}
        return len(missing) * area * sum(channels[of.backbone] for of, _ in self.blocks)

    def _made(self, missing: list[list[str]], trainer: Any) -> Iterator[dict[str, Tensor]]:
        """Yield the arrays of each film that is missing, by name."""
        frozen = copy.deepcopy(self.net.frozen).to(device=self.device, dtype=self.dtype)
        rows = {keys[0]: row for row, keys in enumerate(self.keys)}
        for keys in track(missing, "Maps of films", disable=not (missing and trainer.is_global_zero)):
            row = self.table.iloc[rows[keys[0]]]
            image, side, spacing = str(row["image_id"]), _given(row["laterality"]), float(row["spacing_mm"])
            breast = find_breast(self.prepared.dataset.read(image), side, image)
            view = view_of(breast, spacing, self.config.detector.spacing_mm)
            arrays = dict(zip(_names(keys[0]), (torch.from_numpy(view.places), torch.zeros(0)), strict=True))
            for key, seen in zip(keys[1:], seen_of(view, frozen, self.blocks), strict=True):
                arrays |= zip(_names(key), seen, strict=True)
            yield arrays


def store_name(spacing_mm: float, dtype: torch.dtype, device: torch.device) -> str:
    """Return the name of the store of maps that are made alike; kinds of devices may differ in the last bit."""
    facts = {"version": VERSION, "torch": torch.__version__} | read_by()
    facts |= {"spacing_mm": spacing_mm, "precision": str(dtype)}
    return digest(facts if device.type == "cpu" else facts | {"device": device.type})


def seen_of(view: View, frozen: nn.ModuleDict, blocks: Sequence[tuple[MapOf, int]]) -> list[Seen]:
    """Return the channels of a view's places in each block.

    Args:
        view: The breast as the detector sees it.
        frozen: The frozen maps, by backbone.
        blocks: The maps and windows (sides in cells), those of one map side by side.
    """
    at = view.places[:, [FACTS.index("row"), FACTS.index("column")]].astype(int).T
    found: list[Seen] = []
    maps: dict[MapOf, Tensor] = {}
    for of, window in blocks:
        if of not in maps:
            maps = {of: frozen[of.backbone](view.pixels, of.scale)}
        found.append(to_bytes(in_windows(maps[of], window, *at)))
    return found


def _names(key: str) -> tuple[str, str]:
    return key, f"{key}.scale"


def _given(value: Any) -> Any:
    return None if pd.isna(value) else value
