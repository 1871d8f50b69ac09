"""Batches of a detector for Lightning: the frozen maps of films on the axes of training films, and their targets."""

import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader

from mammo.config import Config
from mammo.models.detector import Detector
from mammo.paths import home
from mammo.preprocessing.flips import FILM_FLIPS
from mammo.tasks.detection import EPOCHS
from mammo.training.film_maps import Entrance, FilmMaps, Maps
from mammo.training.marks import POINT, HeatMaps, baselines
from mammo.training.place_batches import FilmPlaces, Places, Steps
from mammo.training.place_guard import PlaceGuard, check_films, check_partners, off_breast_of, targets_for
from mammo.training.place_patches import Patches, seen_anew
from mammo.training.places import Targets, lesions_of, partners_of
from mammo.training.prepare import Prepared
from mammo.training.samples import OnceSampler

log = logging.getLogger(__name__)

SAMPLED = 8000  # places of training films, on which axes are fitted


class DetectionDataModule(L.LightningDataModule):
    """Places of the training films for training, and whole films for validation and prediction.

    Args:
        prepared: The samples of the run, one for each film.
        config: The settings of the run.
    """

    def __init__(self, prepared: Prepared, config: Config) -> None:
        super().__init__()
        self.prepared, self.config = prepared, config
        self.guard, self.flips = PlaceGuard(prepared, config), len(FILM_FLIPS[config.model.flips])
        self.films: list[FilmMaps] = []
        self.entrances: list[Entrance] = []
        self.use = np.zeros(0, bool)
        self.places: Places | None = None
        self._targets: Targets | None = None

    @property
    def watched(self) -> str:
        """The part that is watched while the head trains."""
        return self.prepared.watched

    @property
    def most_places(self) -> int:
        """The largest number of places of a film."""
        return int(np.diff(self.starts).max())

    def setup(self, stage: str | None = None) -> None:
        """Make or find the maps; before training, fit the axes to places of training films."""
        trainer: Any = self.trainer
        net: Detector = trainer.lightning_module.net
        if not self.films:
            check_films(self.prepared, self.config, world=trainer.world_size)
            precision = torch.bfloat16 if str(trainer.precision).startswith("bf16") else torch.float32
            kept: Path | None = home() / "maps" if self.config.data.cache else None
            device = trainer.strategy.root_device
            maps = Maps(net, self.prepared, self.config, precision, device, kept)
            self.films = maps.of_films(trainer)
            if net.block is not None:
                self.entrances = maps.entrances(net.block, trainer)
            self.starts = np.cumsum([0, *(len(film.places) for film in self.films)])
            self.use = np.repeat(self._of("train"), np.diff(self.starts))
            off = off_breast_of(self.prepared, self.points, self.config.detector.spacing_mm)
            for line in off if trainer.is_global_zero else []:
                log.warning("films  %s", line.strip("*"))
        if hasattr(self, "x"):
            return
        if stage == "fit":
            draw = np.random.default_rng([self.config.seed, self.config.data.fold or 0])
            training = np.flatnonzero(np.repeat(self.use, self.flips))
            picked = np.sort(draw.choice(training, min(SAMPLED, len(training)), replace=False))
            for number, axes in enumerate(net.axes):
                axes.fit(self._channels(number, picked))  # type: ignore[operator]
                if trainer.world_size > 1:  # other processors may round differently: the first process's are used
                    axes.mean, axes.matrix = trainer.strategy.broadcast((axes.mean, axes.matrix))
        self.x = self._coordinates(net)

    def _of(self, part: str) -> np.ndarray:
        """Return (films,) bool, true for those of a part."""
        found = np.zeros(len(self.prepared.crops.table), bool)
        found[[sample for sample, _ in self.prepared.rows_of[part]]] = True
        return found

    def _channels(self, block: int, picked: np.ndarray) -> torch.Tensor:
        """Return the channels of some rows (n,) as float32; each place of all films has a row for each flip."""
        found = []
        for film, (start, stop) in zip(self.films, pairwise(self.starts), strict=True):
            first, end = np.searchsorted(picked, [start * self.flips, stop * self.flips])
            place, of = np.divmod(picked[first:end] - start * self.flips, self.flips)
            for flip, seen in enumerate(film.flips):
                channels, scale = seen[block]
                if (of == flip).any():
                    found.append(scale[0] + scale[1] * channels[place[of == flip]].float())
        return torch.cat(found)

    @torch.inference_mode()
    def _coordinates(self, net: Detector) -> torch.Tensor:
        """Return (N, flips, width) float16: all places, on the axes of each block."""
        trainer: Any = self.trainer
        device = trainer.strategy.root_device
        net.axes.to(device)
        width = len(net.axes) * self.config.detector.axes
        x = torch.empty((int(self.starts[-1]), self.flips, width), dtype=torch.float16)
        for film, start in zip(self.films, self.starts, strict=False):
            for flip, seen in enumerate(film.flips):
                x[start : start + len(film.places), flip] = net.coordinates(seen, device)
        return x

    @torch.inference_mode()
    def coordinates(self, film: int) -> torch.Tensor:
        """Return coordinates (n, flips, width) float16 of a film's places; a trained block gives its own."""
        trainer: Any = self.trainer
        task: Any = trainer.lightning_module
        if task.net.block is None or not (trainer.predicting or task.trains_block):
            return self.x[self.starts[film] : self.starts[film + 1]]
        device = trainer.strategy.root_device
        seen = seen_anew(task.net.block, self.films[film], self.entrances[film], device)
        return task.net.coordinates(seen, device)[:, None]

    @property
    def points(self) -> list[np.ndarray]:
        """(n, 2) x and y of the places of each film, in its pixels."""
        return [film.places[:, POINT].astype(float) for film in self.films]

    def targets(self) -> Targets:
        """Return what the places of all films ought to say; masks are read once for it."""
        if self._targets is None:
            self._targets = targets_for(self.prepared, self.prepared.findings, self.points, self.config.detector)
        return self._targets

    def heat_maps(self, heat: np.ndarray) -> HeatMaps:
        """Return the heat of the described films, of the detector and of the baselines.

        Args:
            heat: (films, most places) values, in the order of the described films, with NaN beyond the last place.
        """
        rows = [sample for sample, _ in self.prepared.described.rows]
        counts = np.diff(self.starts)
        heats = {"detector": [of[: counts[row]] for of, row in zip(heat, rows, strict=True)]}
        places = np.concatenate([film.places for film in self.films])
        for name, values in baselines(places, self.targets(), self.use).items():
            heats[name] = [values[self.starts[row] : self.starts[row + 1]] for row in rows]
        lesions, _ = lesions_of(self.prepared.findings, self.prepared.labels)
        partners = partners_of(self.prepared.crops.table.iloc[rows].reset_index(drop=True))
        check_partners(self.prepared, rows, partners)
        return HeatMaps([self.films[row].places for row in rows], heats, lesions, partners)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the steps of a stage of training."""
        trainer: Any = self.trainer
        if self.places is not None and trainer.lightning_module.trains_block:
            detector, block = self.config.detector, trainer.lightning_module.net.block
            patches = Patches(self.places, self.films, self.entrances, block, detector.block_batch)
            return DataLoader(patches, batch_size=None, sampler=Steps(detector.block_steps // EPOCHS))
        share = {"rank": trainer.global_rank, "world": trainer.world_size}
        targets = self.targets()
        silent = [
            np.arange(self.starts[film] * self.flips, self.starts[film + 1] * self.flips)
            for film in np.flatnonzero(self._of("train") & (self.prepared.classes == 1))
            if not targets.counts[self.starts[film] : self.starts[film + 1]].any()
        ]
        numbers = np.unique(self.prepared.crops.table["patient"].astype(str), return_inverse=True)[1]
        patients = np.repeat(numbers, np.diff(self.starts))
        use, patients = (np.repeat(each, self.flips) for each in (self.use, patients))
        x, targets = self.x.flatten(0, 1), targets.of_flips(self.flips)
        self.places = Places(x, targets, use, patients, self.config.detector, self.config.seed, silent, **share)
        return DataLoader(self.places, batch_size=None, sampler=Steps(len(self.places) // EPOCHS))

    def _films(self, films: list[int]) -> DataLoader[Any]:
        trainer: Any = self.trainer
        data = FilmPlaces(self.coordinates, self.prepared.classes, films)
        once = OnceSampler(len(films), rank=trainer.global_rank, world=trainer.world_size)
        return DataLoader(data, batch_size=None, sampler=once)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the films of the watched part."""
        return self._films(np.flatnonzero(self._of(self.watched)).tolist())

    def predict_dataloader(self) -> DataLoader[Any]:
        """Return all films, in the order of `Prepared.rows`."""
        return self._films([sample for sample, _ in self.prepared.described.rows])
