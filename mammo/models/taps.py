"""Features that are pooled from the maps of several stages (`model.features`) in one of several ways (`model.pool`)."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

POOLS: dict[str, Callable[[Tensor], Tensor]] = {  # from maps (B, C, h, w) to (B, C), or (B, 2 C) by mean_std
    "avg": lambda maps: maps.mean(dim=(2, 3)),
    "mean_std": lambda maps: torch.cat([maps.mean(dim=(2, 3)), maps.flatten(2).std(2, correction=0)], dim=1),
    "max": lambda maps: maps.amax(dim=(2, 3)),
}
POOL = "pool"  # the stage after which a tensor holds features


@dataclass(frozen=True)
class Taps:
    """The maps that give the features.

    Attributes:
        layers: The path of the layer inside each tapped stage whose output is the map; empty for the stage's own.
        pool: A key of `POOLS`.
        as_map: Turns such an output into (B, C, h, w).
    """

    layers: dict[str, str]
    pool: str
    as_map: Callable[[Tensor], Tensor]

    def pooled(self, output: Tensor) -> Tensor:
        """Return the float32 features of one output: (B, C), or (B, 2 C) by mean_std."""
        return POOLS[self.pool](self.as_map(output).float())


class Pooled(nn.Module):
    """Pools the last map, if it is the only one that gives features."""

    def __init__(self, pool: str, as_map: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.taps = Taps({}, pool, as_map)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C) or (B, 2 C) float32 from the output of the last stage."""
        return self.taps.pooled(x)

    def extra_repr(self) -> str:
        """Return the pooling as text, so that it enters the digest of the frozen part."""
        return self.taps.pool


class Join(nn.Module):
    """Joins the pooled maps."""

    def forward(self, pooled: list[Tensor]) -> Tensor:
        """Return (B, D) from several (B, D_i), in their order."""
        return torch.cat(pooled, dim=1)


class Tapped(nn.Sequential):
    """Stages in sequence, some of whose maps are pooled on the way and joined by the last stage, `pool`.

    A part that ends before `pool` hands on one tensor (B, n), so that it is cached like any other output: the pooled
    maps, then its last output, flat. The part that follows takes it apart.

    Args:
        stages: The stages in order.
        taps: The maps that give the features.
        given: The shape of the output that an earlier part hands on, without B; None if there is no such part.
    """

    def __init__(
        self, stages: Sequence[tuple[str, nn.Module]], taps: Taps, given: tuple[int, ...] | None = None
    ) -> None:
        super().__init__(OrderedDict(stages))
        self.taps, self.given = taps, given

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (B, D), or what the next part takes."""
        *_, (_, made) = self.steps(x)
        return made

    def steps(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield the name of each stage with its output, and at last what is handed on if `pool` is in the next part."""
        pooled = []
        if self.given is not None:
            size = prod(self.given)
            pooled, x = [x[:, :-size]], x[:, -size:].unflatten(1, self.given)
        for name, stage in self.named_children():
            if name == POOL:
                yield name, stage(pooled)
                return
            inner = self.taps.layers.get(name)
            if inner:  # layer by layer, so such a stage is not compiled as a whole
                for path, layer in stage.named_children():
                    x = layer(x)
                    if path == inner:
                        pooled.append(self.taps.pooled(x))
            else:
                x = stage(x)
                if inner is not None:
                    pooled.append(self.taps.pooled(x))
            yield name, x
        yield "handed on", torch.cat([*pooled, x.float().flatten(1)], dim=1)

    def extra_repr(self) -> str:
        """Return the taps as text, so that they enter the digest of the frozen part."""
        return f"{self.taps.layers}, {self.taps.pool}"


def steps(part: nn.Module, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield the name of each stage of a part with its output."""
    if isinstance(part, Tapped):
        yield from part.steps(x)
        return
    for name, stage in part.named_children():
        x = stage(x)
        yield name, x


def parts_of(
    stages: Sequence[tuple[str, nn.Module]], count: int, taps: Taps, side: int
) -> tuple[nn.Sequential, nn.Sequential, int]:
    """Return the frozen part, the part that follows, and the number of features.

    Args:
        stages: The stages in order, from `input` to `pool`.
        count: The number of frozen stages.
        taps: The maps that give the features.
        side: The side of the input in pixels; one blank input shows the shapes.
    """
    first, rest = list(stages[:count]), list(stages[count:])
    ahead = any(name in taps.layers for name, _ in first)
    frozen = Tapped(first, taps) if ahead else nn.Sequential(OrderedDict(first))
    with torch.inference_mode():
        outputs = [made for _, made in steps(frozen.eval(), torch.zeros(1, 1, side, side, dtype=torch.uint8))]
        given = tuple(outputs[-2].shape[1:]) if ahead and rest else None
        body = Tapped(rest, taps, given) if rest else nn.Sequential()
        blank = outputs[-1] if outputs else torch.zeros(1, 1, side, side, dtype=torch.uint8)
        width = body.eval()(blank).shape[1]
    return frozen, body.train(), width
