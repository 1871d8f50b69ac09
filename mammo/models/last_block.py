"""The last stage of one frozen map, taken out of it to be trained further, on patches of what enters it."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mammo.detector_config import MapOf
from mammo.errors import InputError
from mammo.models.maps import CELL_PX, STEP, FrozenMaps, in_windows, seen_by, stride_of, to_cells

PROBE = 8  # places along a side of the view that tells the sizes of maps
WIDE = 25  # side of the map on which the reach of a stage is measured
LEAST = 1e-8  # variance, as the root has no gradient at 0


class LastBlock(nn.Module):
    """The last tapped stage of a map, which gives places their coordinates on the axes of that map.

    Args:
        maps: The frozen maps of the backbone. Their own last stage is copied, and stays as it is.
        of: The map.
        windows: The sides in cells of the windows of that map, by the number of their block.

    Attributes:
        enters: The channels that enter the stage.
        channels: The channels of its map.
        per_place: The positions of what enters the stage from one place to the next.
        around: The places that a patch reaches beyond its own place, so that its windows are those of the whole film.

    Raises:
        InputError: The stage has nothing to train, or its map does not lie on the places.
    """

    def __init__(self, maps: FrozenMaps, of: MapOf, windows: Mapping[int, int]) -> None:
        super().__init__()
        name = list(maps.stages)[-1]
        self.of, self.windows = of, dict(windows)
        self.taps = [path for path in maps.taps if path.partition(".")[0] == name]
        self.stages = nn.ModuleDict({name: copy.deepcopy(maps.stages[name])}).requires_grad_(True)
        side = PROBE * STEP * CELL_PX
        pixels = np.zeros((side, side), np.uint8)
        entrance = maps.entrance(pixels, of.scale)[None]
        with torch.no_grad():
            seen = seen_by(self.stages, self.taps, entrance)
        per_place = STEP * CELL_PX * of.scale / stride_of(maps.shown(pixels, of.scale)[0], entrance)
        self.per_place = int(per_place)
        whole = per_place == self.per_place >= 1 and entrance.shape[2] >= self.per_place * PROBE
        same = maps.as_map(entrance) is entrance and all(one.shape[2:] == entrance.shape[2:] for one in seen)
        if not (whole and same and list(self.parameters())):
            raise InputError(
                f"detector.block_map={of}: model.trainable=last_block needs a last block with weights, whose map is as "
                f"large as what enters it and lies on the places; {name} of {of} is none; name a map such as vgg16@1"
            )
        self.enters, self.channels = entrance.shape[1], sum(one.shape[1] for one in seen)
        reach = self._reach() * STEP / self.per_place  # in cells
        self.around = math.ceil((max(self.windows.values()) // 2 + reach) / STEP)

    def train(self, mode: bool = True) -> "LastBlock":
        """Stay in eval mode, so that batch norms keep the statistics that they came with."""
        return super().train(False)

    def _reach(self) -> int:
        """Return how many positions around its own one a position of the map sees."""
        middle = WIDE // 2
        with torch.enable_grad():
            x = torch.randn(1, self.enters, WIDE, WIDE, generator=torch.Generator().manual_seed(0)).requires_grad_()
            sums = [one[0, :, middle, middle].sum() for one in seen_by(self.stages, self.taps, x * 1)]
            (gradient,) = torch.autograd.grad(torch.stack(sums).sum(), x)
        return int((gradient[0].abs().sum(0).nonzero() - middle).abs().max())

    def columns(self, channels: int) -> Tensor:
        """Return the numbers of the channels of this stage among all channels of a window of the map."""
        ends = torch.tensor([channels // 2, channels])
        return torch.cat([torch.arange(int(end) - self.channels, int(end)) for end in ends])

    def maps(self, entrances: Tensor, cells: Sequence[int], least: float = 0.0) -> Tensor:
        """Return (B, 2 x channels, rows, columns) float32, mean and root mean square in each cell.

        Args:
            entrances: (B, C, h, w) what enters the stage, of views or patches.
            cells: The rows and columns of cells of each.
            least: The least mean square.
        """
        grid = cells[0], cells[1]
        height, width = (side // STEP * self.per_place for side in grid)
        seen = seen_by(self.stages, self.taps, entrances.contiguous(memory_format=torch.channels_last))
        kept = [one.float()[:, :, :height, :width] for one in seen]  # without the black around the view
        means = [to_cells(one, grid) for one in kept]
        return torch.cat([*means, *(to_cells(one.square(), grid).clamp_min(least).sqrt() for one in kept)], 1)

    def patch(
        self, entrance: Tensor, grid: Sequence[int], at: Sequence[int]
    ) -> tuple[Tensor, tuple[int, int], tuple[int, int]]:
        """Cut what enters the stage around a place; at the edge of a view the patch is moved inside.

        Args:
            entrance: (C, h, w) what enters the stage, of a view.
            grid: The rows and columns of places of the view.
            at: Row and column of the place.

        Returns:
            The patch (C, h, w), its rows and columns of cells, and the row and column of the place in it.
        """
        spans, cells, own = [], [], []
        for place, count in zip(at, grid, strict=True):
            length = min(2 * self.around + 1, count)
            start = min(max(place - self.around, 0), count - length)
            end = (start + length) * self.per_place if start + length < count else None  # or what lies beyond the view
            spans.append(slice(start * self.per_place, end))
            cells.append(length * STEP)
            own.append(place - start)
        return entrance[:, spans[0], spans[1]], (cells[0], cells[1]), (own[0], own[1])

    def forward(self, x: Tensor, patches: Sequence[Mapping[str, Any]], axes: nn.ModuleList) -> Tensor:
        """Return the coordinates (n, width) of places, with those of the map as the trained stage sees them.

        Args:
            x: (n, width) coordinates by frozen maps.
            patches: Patches of one size each: `rows` (g,) of `x`, `entrances` (g, C, h, w), `cells`, `at` the row and
                column of each place in its patch, and by the number of a block `frozen`, (g, 2 x channels) what the
                frozen stage sees.
            axes: The axes of each block.
        """
        moved, dims = torch.zeros_like(x), x.shape[1] // len(axes)
        for group in patches:
            maps = self.maps(group["entrances"], group["cells"], LEAST)
            with torch.autocast(x.device.type, enabled=False):
                for number, window in self.windows.items():
                    places = [
                        in_windows(one, window, [row], [column], LEAST)
                        for one, (row, column) in zip(maps, group["at"], strict=True)
                    ]
                    matrix: Any = axes[number].matrix
                    matrix = matrix[self.columns(len(matrix)).to(x.device)]
                    change = (torch.cat(places) - group["frozen"][number]) @ matrix
                    moved[group["rows"], number * dims : (number + 1) * dims] = change
        return x + moved
