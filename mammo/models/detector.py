"""The part of a detector that learns: principal axes of frozen maps, and small networks that give each place a value.

`Axes` is fitted to places of training films and then fixed, as a layer; `PlaceHead` is trained. A place that is seen
in one window has C channels of a byte each, which its film's own scale turns into numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mammo.models.last_block import LastBlock

AXES_SEED = 0
LARGEST = 1e4  # coordinates in units of the training places' spread; float16 ends at 65504
LEAST_LENGTH = 1e-4  # of an axis, beside the longest one; a shorter one is left at 0


class Axes(nn.Module):
    """Turns the channels of a place into its coordinates on the training places' principal axes, of unit variance.

    Args:
        dims: The number of axes. With fewer channels or training places, the rest of the coordinates are 0.
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.dims = dims
        self.register_buffer("mean", torch.zeros(0))  # (C,)
        self.register_buffer("matrix", torch.zeros(0, dims))  # (C, dims)

    def fit(self, sample: Tensor) -> None:
        """Find the axes of places (n, C) float32, whose channels count alike."""
        mean, spread = sample.mean(0), sample.std(0, correction=0) + 1e-3
        found = min(self.dims, *sample.shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(AXES_SEED)
            _, lengths, directions = torch.svd_lowrank((sample - mean) / spread, q=found, niter=2)
        whole = lengths > lengths[0] * LEAST_LENGTH  # the rest would blow up what is rounding
        unit = directions * whole / (lengths / len(sample) ** 0.5).clamp_min(1e-6) / spread[:, None]
        self.mean, self.matrix = mean, F.pad(unit, (0, self.dims - found))

    def forward(self, channels: Tensor, scale: Tensor) -> Tensor:
        """Return (n, dims) float32 of the places of a film.

        Args:
            channels: (n, C) uint8.
            scale: (2, C) the least value and the step of each channel on this film.
        """
        least, step = scale
        moved = (least - self.mean) @ self.matrix
        dtype = torch.bfloat16 if channels.device.type == "cpu" else torch.float32  # bfloat16 has every byte exactly
        return (channels.to(dtype) @ (step[:, None] * self.matrix).to(dtype)).float() + moved

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("mean", "matrix"):
            if (given := state.get(f"{prefix}{name}")) is not None:
                setattr(self, name, torch.empty_like(given))
        super()._load_from_state_dict(state, prefix, *rest)


class PlaceHead(nn.Module):
    """Small networks side by side, each with one hidden layer, that give a place a logit each.

    Args:
        width: The number of inputs.
        restarts: Groups of networks; each group is trained on places of its own.
        members: The networks of a group.
        hidden: The hidden units of a network.
        drop_inputs: The share of inputs that is dropped in training, alike for all places of a step.
        dropout: The same of hidden units.

    Attributes:
        draws: The generator of what is dropped. Whoever trains sets it before each step, alike in all processes.
    """

    draws: torch.Generator | None = None

    def __init__(
        self, width: int, restarts: int, members: int, hidden: int, *, drop_inputs: float, dropout: float
    ) -> None:
        super().__init__()
        self.drop_inputs, self.dropout = drop_inputs, dropout
        self.inner = nn.Parameter(torch.randn(restarts, width, members * hidden) / width**0.5)
        self.inner_bias = nn.Parameter(torch.zeros(restarts, 1, members * hidden))
        self.outer = nn.Parameter(torch.randn(restarts, 1, members, hidden) / hidden**0.5)
        self.outer_bias = nn.Parameter(torch.zeros(restarts, 1, members))

    def features(self, x: Tensor) -> Tensor:
        """Return the hidden units (restarts, n, members x hidden) of places (restarts or 1, n, width)."""
        if self.training and self.drop_inputs:
            x = x * self._kept(x.new_empty(len(self.inner), 1, x.shape[-1]), self.drop_inputs)
        return F.gelu(torch.matmul(x, self.inner).float() + self.inner_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (restarts, n, members) of places (restarts or 1, n, width)."""
        units = self.features(x)
        if self.training and self.dropout:
            units = units * self._kept(units.new_empty(len(units), 1, units.shape[-1]), self.dropout)
        restarts, places, _ = units.shape
        split = units.view(restarts, places, self.outer.shape[2], -1)
        return (split * self.outer).sum(-1) + self.outer_bias

    def _kept(self, like: Tensor, drop: float) -> Tensor:
        """Return a mask that keeps a share of 1 - `drop`, and scales what it keeps."""
        return (torch.rand(like.shape, generator=self.draws, device=like.device) > drop) / (1 - drop)


class Detector(nn.Module):
    """Frozen maps, the axes of each map and window, and the head that sees them side by side.

    Args:
        frozen: The frozen maps, by backbone.
        blocks: The number of maps and windows.
        axes: The axes of each.
        hottest: The number of hottest places whose mean is a film's score.
        block: The last block of one map, which is trained further; None leaves all maps frozen.
        head: The arguments of `PlaceHead`.
    """

    trains_features = True  # the hidden units have seen the labels of the training part
    loaded: frozenset[str] = frozenset()

    def __init__(
        self,
        frozen: Mapping[str, nn.Module],
        blocks: int,
        axes: int,
        hottest: int,
        block: LastBlock | None = None,
        **head: Any,
    ) -> None:
        super().__init__()
        self.hottest = hottest
        self.frozen = nn.ModuleDict(frozen)
        self.axes = nn.ModuleList([Axes(axes) for _ in range(blocks)])
        self.block = block
        self.head = PlaceHead(blocks * axes, **head)
        self.weights_digest: str | None = None

    def coordinates(self, seen: Sequence[tuple[Tensor, Tensor]], device: torch.device | str = "cpu") -> Tensor:
        """Return (n, blocks x axes) float16 on the CPU: the n places of a film on the axes of each block.

        Args:
            seen: Of each block, (n, C) uint8 and (2, C), as `maps.to_bytes` returns them.
            device: The device of the axes.
        """
        found = [
            axes(channels.to(device), scale.to(device)).clamp(-LARGEST, LARGEST).cpu().half()
            for axes, (channels, scale) in zip(self.axes, seen, strict=True)
        ]
        return torch.cat(found, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the heat (n,) of places (n, width): the mean logit of all networks."""
        return self.head(x[None]).mean(dim=(0, 2))

    def film(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a film's heat (n,), its score, and its features (restarts x members x hidden,).

        Hidden units are averaged over flips, and so is the heat, which is a weighted sum of them. Score and features
        are means over the hottest places.

        Args:
            x: (n, flips, width) coordinates of its places, on the film and on its flips.
        """
        units = self.head.features(x.flatten(0, 1)[None]).unflatten(1, x.shape[:2]).mean(2)
        split = units.view(*units.shape[:2], self.head.outer.shape[2], -1)
        heat = ((split * self.head.outer).sum(-1) + self.head.outer_bias).mean(dim=(0, 2))
        top = heat.topk(min(self.hottest, len(heat))).indices
        return heat, heat[top].mean(), units[:, top].mean(1).flatten()
