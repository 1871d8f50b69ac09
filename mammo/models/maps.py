"""Frozen maps of a whole film: what backbones see at several scales, as mean and spread in windows around each place.

`model.maps=[vgg16@1,inception@2]` names them: a backbone, and the scale at which the film is shown to it.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mammo.errors import InputError
from mammo.models.backbones import find_backbone
from mammo.models.network import Grey

CELL_PX, STEP = 16, 2  # as in `preprocessing.view`
MODEL_SIDE = 224  # of which nothing depends here, but that the backbone can be built
BEYOND = 40  # pixels of black below and on the right for such layers


class FrozenMaps(nn.Module):
    """The maps of a backbone's taps for a whole film, as mean and root mean square in each cell. Nothing of it trains.

    Args:
        name: The backbone.
        fill: Fills the backbone's model with weights; None leaves random ones.
    """

    def __init__(self, name: str, fill: Callable[[nn.Module], object] | None = None) -> None:
        super().__init__()
        row = find_backbone(name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # random weights are the same in every process
            model = row.build(MODEL_SIDE)
        if fill is not None:
            fill(model)
        if row.step > 1:
            raise InputError(f"model.maps={name}: it takes films of one size only; use a convolutional network")
        names = row.dense or tuple(row.taps)[-3:]
        self.taps, self.moved, self.as_map = tuple(row.taps[one] for one in names), row.moved_px, row.as_map
        self.least, self.whole = row.min_side, row.whole_px
        stages = row.stages(model)
        last = [stage for stage, _ in stages].index(self.taps[-1].split(".")[0])
        self.grey = Grey(*row.normalise, channels_last=True)
        self.stages = nn.ModuleDict(dict(stages[: last + 1])).eval().requires_grad_(False)
        for module in self.stages.modules():
            if hasattr(module, "bn") and hasattr(module, "conv"):  # torchvision's BasicConv2d
                module.conv, module.bn = fuse_conv_bn_eval(module.conv, module.bn), nn.Identity()  # type: ignore[arg-type, type-var]
        self.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> "FrozenMaps":
        """Stay in eval mode, whatever the mode of the rest."""
        return super().train(False)

    def digest(self) -> str:
        """Return the SHA-256 of the layers and their weights."""
        found = hashlib.sha256(f"{self.taps} {self.grey} {self.stages}".encode())
        for name, tensor in self.stages.state_dict().items():
            found.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    @torch.inference_mode()
    def forward(self, pixels: np.ndarray, scale: float = 1.0, *, flip: bool = False) -> Tensor:
        """Return (2 x channels, rows, columns) float32: the means of each cell of a view, then its root mean squares.

        Args:
            pixels: (height, width) uint8, a view with a whole number of cells.
            scale: The scale at which the view is shown to the backbone.
            flip: Show the view upside down, and turn its maps back, onto the cells of the view.
        """
        grid = pixels.shape[0] // CELL_PX, pixels.shape[1] // CELL_PX
        x, shown = self.shown(pixels, scale, flip=flip)
        means, squares = [], []
        for output in seen_by(self.stages, self.taps, x):
            seen = self.as_map(output).float()
            seen = seen.flip(2) if flip else seen
            if x.shape[2:] != shown:
                rows, columns = (max(side // stride_of(x, seen), 1) for side in shown)
                seen = seen[:, :, :rows, :columns]
            means.append(to_cells(seen, grid))
            squares.append(to_cells(seen.square(), grid).sqrt())
        return torch.cat(means + squares, 1)[0].cpu()

    @torch.inference_mode()
    def entrance(self, pixels: np.ndarray, scale: float = 1.0) -> Tensor:
        """Return what enters the last stage, (C, h, w), of a view and of the black around it; see `forward`."""
        x, _ = self.shown(pixels, scale)
        for stage in list(self.stages.values())[:-1]:
            x = stage(x)
        return x[0].cpu()

    def shown(self, pixels: np.ndarray, scale: float, *, flip: bool = False) -> tuple[Tensor, tuple[int, int]]:
        """Return a view as the first stage takes it (1, 3, H, W), and the height and width without black around it.

        Of a flip, so much black is added below that no layer leaves a row over (`Backbone.whole_px`), before all of it
        is turned upside down.
        """
        height, width = pixels.shape
        if scale != 1:
            method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
            pixels = cv2.resize(pixels, (round(width * scale), round(height * scale)), interpolation=method)
        shown, before, after = pixels.shape, self.moved, BEYOND if self.moved else 0
        down, across = (max(after, self.least - before - side) for side in shown)  # a smaller one leaves no map
        if flip:
            multiple, rest = self.whole or (1, 0)
            down += (rest - before - shown[0] - down) % multiple
        if before or down or across:
            pixels = cv2.copyMakeBorder(pixels, before, down, before, across, cv2.BORDER_CONSTANT, value=0)
        if flip:
            pixels = pixels[::-1].copy()
        some = next(self.stages.parameters())
        return self.grey(torch.from_numpy(pixels)[None, None].to(some.device)).to(some.dtype), shown


def seen_by(stages: nn.ModuleDict, taps: Sequence[str], x: Tensor) -> list[Tensor]:
    """Return the outputs of some layers, each `<stage>` or `<stage>.<layer in it>`, of stages in sequence."""
    seen: dict[str, Tensor] = {}
    hooks = []
    for path in taps:
        stage, _, inner = path.partition(".")
        hooks.append(stages[stage].get_submodule(inner).register_forward_hook(_keep(seen, path)))
    for layers in stages.values():
        x = layers(x)
    for hook in hooks:
        hook.remove()
    return [seen[path] for path in taps]


def _keep(seen: dict[str, Tensor], path: str) -> Callable[..., None]:
    """Return a hook that keeps the output of a layer."""

    def keep(_: nn.Module, __: object, output: Tensor) -> None:
        seen[path] = output

    return keep


def stride_of(x: Tensor, seen: Tensor) -> int:
    """Return how many pixels of an input (B, C, H, W) lie between positions of a map of it (B, C, h, w)."""
    return 2 ** round(math.log2(x.shape[2] / seen.shape[2]))


def to_cells(seen: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return a map (B, C, h, w) on a grid of cells: the mean of what lies in a cell, or the nearest value."""
    return F.adaptive_avg_pool2d(seen, grid) if seen.shape[2] >= grid[0] else F.interpolate(seen, grid)


def weights_file(weights: str, name: str) -> str:
    """Return what fills a backbone: `weights` itself, or if it is a folder, the file in it whose keys fit.

    Raises:
        InputError: No file of the folder fits.
    """
    folder = Path(weights).expanduser()
    if not folder.is_dir():
        return weights
    row = find_backbone(name)
    with torch.device("meta"):  # of which only the names are asked
        own = {key for key in row.build(MODEL_SIDE).state_dict() if not row.absent(key)}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                there = {key for key in file.keys() if not row.absent(key)}  # noqa: SIM118
        except SafetensorError:
            continue
        if {key for key in own ^ there if not key.endswith(".num_batches_tracked")} == set():
            return str(path)
    raise InputError(
        f"model.weights={weights}: no .safetensors file in this folder fits {name}; add one, or leave {name} out of "
        "model.maps"
    )


def in_windows(
    maps: Tensor, cells: int, rows: Sequence[int] | np.ndarray, columns: Sequence[int] | np.ndarray, least: float = 0.0
) -> Tensor:
    """Return mean and standard deviation in a square window around each place, (places, 2 x channels) float32.

    Args:
        maps: (2 x channels, rows, columns) as `FrozenMaps` returns them.
        cells: Side of the window in cells, an odd number. At the edge the window is cut.
        rows: (places,) row of each place.
        columns: (places,) column of each place.
        least: The least variance; a gradient needs one above 0.
    """

    def pooled(x: Tensor) -> Tensor:
        return F.avg_pool2d(x[None], cells, STEP, cells // 2, count_include_pad=False)[0]

    mean, square = maps.chunk(2)
    mean, square = pooled(mean), pooled(square.square())
    both = torch.cat([mean, (square - mean.square()).clamp_min(least).sqrt()])
    return both[:, rows, columns].T.contiguous()


def to_bytes(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return values (n, C) as uint8, and the least value and the step of each channel, (2, C): least + step x byte."""
    least = values.amin(0)
    step = ((values.amax(0) - least) / 255).clamp_min(1e-12)
    return ((values - least) / step).round().to(torch.uint8), torch.stack([least, step])
