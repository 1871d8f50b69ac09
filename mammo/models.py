"""The backbones: one table, and the network that is built from a row of it.

A network is three parts in a row: `trunk` (frozen, its outputs can be cached), `body` (trained, up to the
penultimate features) and `head` (dropout and one linear layer). Input is grey, (B, 1, side, side) uint8.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torchvision.models as tv
from torch import Tensor, nn

from mammo import InputError
from mammo.weights import load_weights

Stages = list[tuple[str, nn.Module]]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5,) * 3, (0.5,) * 3)  # what torchvision's transform_input makes of ImageNet's normalisation
AUX_MIN_SIDE = 299  # the auxiliary head's pooling and 5 x 5 convolution need Mixed_6e's map of 17 x 17
AUX_WEIGHT = 0.4  # Szegedy et al. 2016 give none; torchvision's reference training takes 0.4


@dataclass(frozen=True)
class Backbone:
    """A row of the table.

    Attributes:
        build: torchvision's builder.
        weights: torchvision's ImageNet weights.
        stages: From torchvision's model to its layers in order, up to the last map.
        last_block: The stage from which `trainable=last_block` trains.
        absent: Whether a key of the state dict may be absent from a file that holds the trunk alone.
        width: Channels of the last map.
        min_side: Smallest side in pixels of an input that leaves a map.
        normalise: Mean and standard deviation of the input, of grey levels in [0, 1].
        fc: Its fully connected layers up to the penultimate, and their width; None where it has none.
        fc_side: Side of the map that they take.
        aux_after: The stage whose output an auxiliary head of the training takes.
    """

    build: Callable[..., nn.Module]
    weights: tv.WeightsEnum
    stages: Callable[[nn.Module], Stages]
    last_block: str
    absent: Callable[[str], bool]
    width: int
    min_side: int
    normalise: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    fc: tuple[Callable[[nn.Module], nn.Module], int] | None = None
    fc_side: int = 7
    aux_after: str | None = None


def _vgg_stages(model: nn.Module) -> Stages:
    stages: Stages = []
    block: list[nn.Module] = []
    for layer in model.features:  # type: ignore[union-attr]
        block.append(layer)
        if isinstance(layer, nn.MaxPool2d):
            stages.append((f"block{len(stages) + 1}", nn.Sequential(*block)))
            block = []
    return stages


def _inception_stages(model: nn.Module) -> Stages:
    left_out = ("AuxLogits", "avgpool", "dropout", "fc")
    return [(name, layer) for name, layer in model.named_children() if name not in left_out]


def _inception_absent(key: str) -> bool:
    return key.startswith(("fc.", "AuxLogits.")) or key.endswith(".num_batches_tracked")


BACKBONES = {
    "vgg16": Backbone(
        build=tv.vgg16,
        weights=tv.VGG16_Weights.IMAGENET1K_V1,
        stages=_vgg_stages,
        last_block="block5",
        absent=lambda key: key.startswith("classifier."),
        width=512,
        min_side=32,
        fc=(lambda model: nn.Sequential(*list(model.classifier.children())[:5]), 4096),  # type: ignore[union-attr]
    ),
    "inception": Backbone(
        build=lambda **kwargs: tv.inception_v3(
            init_weights=False, **kwargs
        ),  # its truncated normal of 0.1 takes seconds
        weights=tv.Inception_V3_Weights.IMAGENET1K_V1,
        stages=_inception_stages,
        last_block="Mixed_7a",
        absent=_inception_absent,
        width=2048,
        min_side=75,
        normalise=HALF,
        aux_after="Mixed_6e",
    ),
}


class Grey(nn.Module):
    """Grey (B, 1, H, W) uint8 to normalised (B, 3, H, W) float32: the one place where grey becomes three channels."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], *, channels_last: bool) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def forward(self, x: Tensor) -> Tensor:
        """Normalised (B, 3, H, W)."""
        x = (x.float() / 255 - self.mean) / self.std  # type: ignore[operator]
        return x.contiguous(memory_format=self.memory_format)

    def extra_repr(self) -> str:
        """The numbers, which are no parameters: they belong to the trunk's digest."""
        return f"{self.mean.flatten().tolist()}, {self.std.flatten().tolist()}, {self.memory_format}"  # type: ignore[operator]


class Float32(nn.Module):
    """Runs a layer in float32 outside autocast: in bfloat16 few distinct scores would be left."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """What the layer makes of `x` in float32."""
        with torch.autocast(x.device.type, enabled=False):
            return self.layer(x.float())


class Mean(nn.Module):
    """The mean of each channel's map; unlike AdaptiveAvgPool2d its gradient is deterministic on a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        """From (B, C, H, W) to (B, C)."""
        return x.mean(dim=(2, 3))


class Network(nn.Module):
    """Trunk, body and head of a backbone; see the module."""

    def __init__(
        self, *, trunk: Stages, body: Stages, head: nn.Module, aux: nn.Module | None, aux_after: str | None
    ) -> None:
        super().__init__()
        self.trunk = nn.Sequential()
        self.body = nn.Sequential()
        for part, stages in ((self.trunk, trunk), (self.body, body)):
            for name, stage in stages:
                part.add_module(name, stage)
        self.head, self.aux, self.aux_after = head, aux, aux_after
        self.trunk.requires_grad_(False).eval()
        self.loaded: frozenset[str] = frozenset()  # parameters that came from a file
        self.weights_digest: str | None = None  # of that file

    @property
    def frozen(self) -> bool:
        """Whether a part is frozen; the network then takes what `trunk` makes of the pixels."""
        return len(self.trunk) > 0

    @property
    def trained_features(self) -> bool:
        """Whether the features have been trained on labels, and not the linear layer alone."""
        return any(True for _ in self.body.parameters())

    def train(self, mode: bool = True) -> "Network":
        """As ever, but the frozen trunk stays in eval mode, its batch norms and dropouts included."""
        super().train(mode)
        self.trunk.eval()
        return self

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features (B, D) float32 of what `trunk` returns."""
        return self.body(x).float()

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) float32 of what `trunk` returns."""
        return self.head(self.features(x))

    def weighted_logits(self, x: Tensor) -> Iterator[tuple[float, Tensor]]:
        """All logits that a training step learns from, each with its weight in the loss."""
        for name, stage in self.body.named_children():
            x = stage(x)
            if self.aux is not None and name == self.aux_after:
                yield AUX_WEIGHT, self.aux(x).float()
        yield 1.0, self.head(x)

    def trunk_digest(self) -> str:
        """SHA-256 of the frozen trunk's layers and weights."""
        digest = hashlib.sha256(str(self.trunk).encode())
        for name, tensor in self.trunk.state_dict().items():
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def build_network(
    *,
    name: str,
    weights: str | None,
    trainable: str,
    pool: str,
    classes: int,
    image_size: int,
    dropout: float = 0.5,
    channels_last: bool = True,
    frozen_stages: int | None = None,
) -> Network:
    """The network of a backbone.

    Args:
        name: A key of `BACKBONES`.
        weights: `imagenet` (torchvision's, downloaded once), a safetensors file, or null.
        trainable: `head` (all that the weights lack, and the linear layer), `last_block`, or `all`.
        pool: `avg` (the features are the last map's mean) or `fc` (the backbone's own fully connected layers).
        classes: Number of classes.
        image_size: Side in pixels of the input.
        dropout: Before the linear layer.
        channels_last: Memory format of the maps.
        frozen_stages: How many stages are frozen in the checkpoint that will fill the network; no weights are read.

    Raises:
        InputError: An unknown name or setting, an input too small, or weights that do not fit.
    """
    backbone = find_backbone(name)
    for key, value, known in (("trainable", trainable, ("head", "last_block", "all")), ("pool", pool, ("avg", "fc"))):
        if value not in known:
            raise InputError(f"model.{key}={value} is unknown; expected one of {', '.join(known)}")
    if pool == "fc" and backbone.fc is None:
        raise InputError(f"model.pool=fc: {name} has no fully connected layers; use model.pool=avg")
    if image_size < backbone.min_side:
        raise InputError(
            f"model.image_size={image_size} is too small for {name}; expected at least {backbone.min_side}"
        )
    aux = backbone.aux_after is not None and trainable == "all" and image_size >= AUX_MIN_SIDE
    model = backbone.build(weights=None)
    keys: set[str] = set()
    digest = None
    if weights is not None and frozen_stages is None:
        keys, digest = load_weights(model, weights, name=name, source=backbone.weights, absent=backbone.absent)
    loaded = {id(parameter) for key, parameter in model.named_parameters() if key in keys}

    stages: Stages = [("input", Grey(*backbone.normalise, channels_last=channels_last)), *backbone.stages(model)]
    last_block = [stage for stage, _ in stages].index(backbone.last_block)
    if pool == "avg" or backbone.fc is None:
        stages.append(("pool", Float32(Mean())))
        width = backbone.width
    else:
        layers, width = backbone.fc
        stages.append(("pool", nn.Sequential(nn.AdaptiveAvgPool2d(backbone.fc_side), nn.Flatten())))
        stages.append(("fc", Float32(layers(model))))
    if frozen_stages is None:
        frozen_stages = {"head": len(stages), "last_block": last_block, "all": 0}[trainable]
        lacking = [i for i, (_, stage) in enumerate(stages) if any(id(p) not in loaded for p in stage.parameters())]
        frozen_stages = min([frozen_stages, *lacking])
        if not any(list(stage.parameters()) for _, stage in stages[:frozen_stages]):
            frozen_stages = 0  # nothing but the input stage would be frozen
    head = nn.Sequential(nn.Dropout(dropout), Float32(nn.Linear(width, classes)))
    aux_head: Any = None
    if aux:
        aux_head = model.AuxLogits
        aux_head.fc = nn.Linear(768, classes)  # the width of torchvision's InceptionAux
    network = Network(
        trunk=stages[:frozen_stages], body=stages[frozen_stages:], head=head, aux=aux_head, aux_after=backbone.aux_after
    )
    network.weights_digest = digest
    network.loaded = frozenset(key for key, parameter in network.named_parameters() if id(parameter) in loaded)
    return network.to(memory_format=torch.channels_last) if channels_last else network


def find_backbone(name: str) -> Backbone:
    """The backbone of that name; an unknown one lists the known."""
    if name not in BACKBONES:
        raise InputError(f"model '{name}' is unknown; expected one of {', '.join(BACKBONES)}")
    return BACKBONES[name]
