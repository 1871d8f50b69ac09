"""A backbone with a decoder, from the maps of its stages to one logit for each pixel of the input, after U-Net.

The decoder is our own because the stages are our own: weights files, donors, freezing and grey input hang on them.
segmentation-models-pytorch 0.6 brings encoders of its own and needs timm and huggingface-hub. Its U-Net decoder alone
is the loop below.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mammo.models.layers import Float32
from mammo.models.network import Network
from mammo.models.taps import POOL

INPUT = "input"  # the stage that gives the picture itself, which is no map
APART = 1.5  # the least ratio of the sides of two maps that are both used
RARE = -4.0  # the first logit of every pixel, as few lie in a lesion (Lin et al. 2017, arXiv:1708.02002, section 4.1)


class Decoder(nn.Module):
    """Joins maps from the coarsest to the finest, each level at the size of the next finer one.

    Args:
        channels: The channels of the maps, the finest map first.
        width: The channels of the decoder at the finest map; twice as many at each coarser one, up to 128.

    Normalisation is by groups, not by batches, so that small batches, several devices and evaluation agree.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        wide = [max(min(width << level, 128), width) for level in range(len(channels))]
        self.deepest = _joined(channels[-1], wide[-1])
        self.levels = nn.ModuleList(
            _joined(wide[level + 1] + channels[level], wide[level]) for level in reversed(range(len(channels) - 1))
        )
        last = nn.Conv2d(wide[0], 1, 1)
        nn.init.constant_(last.bias, RARE)  # type: ignore[arg-type]
        self.last = Float32(last)

    def forward(self, maps: Sequence[Tensor], side: int) -> Tensor:
        """Return logits (B, side, side) float32 from maps (B, channels, h, w), the finest first."""
        x = self.deepest(maps[-1])
        for layer, finer in zip(self.levels, reversed(maps[:-1]), strict=True):
            x = functional.interpolate(x, size=finer.shape[-2:], mode="bilinear", align_corners=False)
            x = layer(torch.cat([x, finer], dim=1))
        logits = self.last(x)
        return functional.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)[:, 0]


def _joined(channels: int, width: int) -> nn.Module:
    """Return two convolutions of 3 x 3 to `width` channels, each with a normalisation by 8 groups."""
    layers: list[nn.Module] = []
    for given in (channels, width):
        layers += [nn.Conv2d(given, width, 3, padding=1, bias=False), nn.GroupNorm(8, width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class Segmenter(nn.Module):
    """The stages of a network up to its last map, and a decoder on their maps.

    The maps of frozen stages are too large to be kept on disk (7 MB by VGG16 for a picture of 224 pixels), so they are
    computed for each batch.

    Args:
        network: A network whose features are those of its last map.
        width: The channels of the decoder at the finest map.
        side: The side of the input in pixels.
    """

    trains_features = True  # those of the decoder

    def __init__(self, network: Network, *, width: int, side: int) -> None:
        super().__init__()
        self.frozen, self.body = (_without_pool(part) for part in (network.frozen, network.body))
        self.as_map, self.compiled = network.as_map, network.compiled
        self.loaded, self.weights_digest = network.loaded, network.weights_digest
        with torch.inference_mode():
            maps = self.eval().maps(torch.zeros(1, 1, side, side, dtype=torch.uint8))
        self.decoder = Decoder([one.shape[1] for one in maps], width)
        self.train()

    def train(self, mode: bool = True) -> "Segmenter":
        """Set the mode. The frozen part stays in eval mode, so its batch norm and dropout do not change."""
        super().train(mode)
        self.frozen.eval()
        return self

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """Return the last map (B, C, h, w) of each size, the finest first, from (B, 1, side, side) pixels."""
        maps, x = list[Tensor](), pixels
        for name, stage in [*self.frozen.named_children(), *self.body.named_children()]:
            x = stage(x)
            if name == INPUT:
                continue
            one = self.as_map(x)
            if maps and maps[-1].shape[-1] < APART * one.shape[-1]:
                maps.pop()
            maps.append(one)
        return maps

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, side, side) and the means (B, D) of the channels of the coarsest map, both float32."""
        maps = self.maps(pixels)
        return self.decoder(maps, pixels.shape[-1]), maps[-1].float().mean(dim=(2, 3))


def _without_pool(part: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(OrderedDict((name, layer) for name, layer in part.named_children() if name != POOL))


def overlap_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Return twice the binary cross-entropy over a batch, and the mean of 1 - Dice of the pictures that have a region.

    Each region counts alike in the Dice, as in the measure: that of a whole batch is the Dice of its largest regions.
    A picture without a region has cross-entropy alone, as its Dice would be 0/0.

    Args:
        logits: (B, side, side).
        shares: (B, side, side), the share of each pixel that lies in the region, 0 to 1.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, shares)
    has = shares.any(dim=(1, 2))
    if not bool(has.any()):
        return 2 * entropy
    return 2 * entropy + (1 - dice_of(logits[has].sigmoid(), shares[has])).mean()


def dice_of(found: Tensor, shares: Tensor) -> Tensor:
    """Return the Dice (B,) of found and true regions (B, side, side), both as shares of each pixel from 0 to 1."""
    both, areas = (found * shares).sum(dim=(1, 2)), found.sum(dim=(1, 2)) + shares.sum(dim=(1, 2))
    return 2 * both / areas
