"""Layers and small networks of our own, beside those of torchvision."""

from typing import Any

import torch
from torch import Tensor, nn


class Grey(nn.Module):
    """Turns grey pixels into normalised channels. Only this class knows the bit depth of a crop."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], *, channels_last: bool) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, H, W) float32 from (B, 1, H, W) uint8 or uint16, with one channel for each mean."""
        largest = torch.iinfo(x.dtype).max
        x = (x.float() / largest - self.mean) / self.std  # type: ignore[operator]
        return x.contiguous(memory_format=self.memory_format)

    def extra_repr(self) -> str:
        """Return the settings as text, so that they enter the digest of the frozen part (they are no parameters)."""
        return f"{self.mean.flatten().tolist()}, {self.std.flatten().tolist()}, {self.memory_format}"  # type: ignore[operator]


class Float32(nn.Module):
    """Runs a layer in float32 outside autocast, because bfloat16 would leave few distinct scores."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output for `x`, computed in float32."""
        with torch.autocast(x.device.type, enabled=False):
            return self.layer(x.float())


class EachWindow(nn.Module):
    """Gives the mean of a head's logits for each of several windows."""

    def __init__(self, head: nn.Module, windows: int) -> None:
        super().__init__()
        self.head, self.windows = head, windows

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes) from the features of all windows side by side (B, windows x D)."""
        logits = self.head(x.unflatten(1, (self.windows, -1)).flatten(0, 1))
        return logits.unflatten(0, (-1, self.windows)).mean(dim=1)


class Mean(nn.Module):
    """Takes the mean of each channel's map. Unlike AdaptiveAvgPool2d, its gradient is deterministic on a GPU."""

    def __init__(self, over: tuple[int, int] = (2, 3)) -> None:
        super().__init__()
        self.over = over

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C) from (B, C, H, W); `over` names the dimensions of rows and columns if they lie elsewhere."""
        return x.mean(dim=self.over)


class Embed(nn.Module):
    """Makes the tokens of a vision transformer: the class token and the patches, each with its position."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.patches, self.dropout = model.conv_proj, model.encoder.dropout
        self.class_token, self.places = model.class_token, model.encoder.pos_embedding

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 1 + patches, width) from (B, 3, H, W)."""
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(x.shape[0], -1, -1), patches], dim=1)
        return self.dropout(tokens + self.places)


class ClassToken(nn.Module):
    """Takes the first token."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, width) from (B, tokens, width)."""
        return x[:, 0]


class Shallow(nn.Module):
    """Four convolutions that compute a second image from a crop; before training it equals the crop.

    Gao et al. 2018 train theirs on the recombined images of contrast-enhanced mammography. There are none here, so
    this one learns from the labels, through the deep network.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (3, 16, 16):
            layers += [nn.Conv2d(channels, 16, 3, padding=1), nn.ReLU(inplace=True)]
        last = nn.Conv2d(16, 1, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, x: Tensor) -> Tensor:
        """Replace the second of three channels (B, 3, H, W) by the computed image."""
        return torch.cat([x[:, :1], x[:, 1:2] + self.layers(x), x[:, 2:]], dim=1)


def block(channels: int, *widths: int, kernel: int = 3, stride: int = 1, pool: int = 2) -> nn.Module:
    """Return convolutions with batch norm, followed by a pooling by two."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width)]
        layers += [nn.ReLU(inplace=True)]
        channels = width
    return nn.Sequential(*layers, nn.MaxPool2d(pool, 2))


def compact(side: int) -> nn.Module:
    """Return five convolutions with 0.24 million weights, few enough to train on some hundred images from scratch."""
    widths = (1, 16, 32, 64, 128, 128)
    model = nn.Sequential()
    for i in range(5):
        model.add_module(f"block{i + 1}", block(widths[i], widths[i + 1]))
    return model


def alexnet_modified(side: int) -> nn.Module:
    """Return AlexNet's five convolutions with batch norm; the last map's mean replaces 58 million weights."""
    model = nn.Sequential()
    model.add_module("block1", block(1, 64, kernel=11, stride=4, pool=3))
    model.add_module("block2", block(64, 192, kernel=5, pool=3))
    model.add_module("block3", block(192, 384, 256, 256, pool=3))
    return model
